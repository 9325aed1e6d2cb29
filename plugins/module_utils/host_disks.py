# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disks of this host that could hold a library: mounted file systems with their room."""

from __future__ import annotations

import os
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import mounts

_NETWORK = re.compile(r"^(nfs\d?|cifs|smb\d?|smbfs|9p|glusterfs|ceph|afs|fuse\.(sshfs|rclone|davfs))$")
# Real file systems; whatever else the kernel mounts is no place for files.
_DISKS = re.compile(
    r"^(ext[234]|xfs|btrfs|zfs|f2fs|jfs|reiserfs|bcachefs|ntfs|ntfs3|exfat|vfat|hfsplus|apfs|fuseblk|"
    r"fuse\.(shfs|mergerfs|unionfs|zfs)|virtiofs|drvfs)$"
)
# Parts of the system on a disk of their own, and what container engines mount.
_SYSTEM = re.compile(r"^/(boot|efi|etc|usr|var/lib|run|snap|nix|proc|sys|dev|tmp)(/|$)|^/(rom|initrd|mnt/wsl|mnt/wslg)")


def listing(table, statvfs=os.statvfs):
    """[{mount, fstype, source, kind: local|network, total_bytes, free_bytes}], the system's own first, then by room.

    `table`: `mounts.read()`. A file system that is mounted in several places stands once, at its shortest path.
    """
    found = {}
    for mount in table:
        network = bool(_NETWORK.match(mount.fstype))
        if not (network or _DISKS.match(mount.fstype) or mount.point == "/") or _SYSTEM.search(mount.point):
            continue
        try:
            room = statvfs(mount.point)
        except OSError:
            continue
        if not room.f_blocks or not os.path.isdir(mount.point):
            continue
        entry = {
            "mount": mount.point,
            "fstype": mount.fstype,
            "source": mount.source,
            "kind": "network" if network else "local",
            "total_bytes": room.f_blocks * room.f_frsize,
            "free_bytes": room.f_bavail * room.f_frsize,
        }
        known = found.get(mount.source)
        if known is None or len(mount.point) < len(known["mount"]):
            found[mount.source] = entry
    return sorted(found.values(), key=lambda entry: (entry["mount"] != "/", -entry["free_bytes"], entry["mount"]))


def read(path="/proc/self/mountinfo"):
    """The mounts of this host; none where the kernel does not tell (macOS)."""
    return mounts.read(path) if os.path.exists(path) else []
