# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's disks: where the paths are, whether they are mounted, have room, and let PUID:PGID work; and the time
zone."""

from __future__ import annotations

import difflib
import os
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, mounts, nas_family, write_probe
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem

GENERIC_BASE = "/srv/mediastack"
# SQLite needs locks and shared memory that these do not have (Sonarr #1886, Radarr #4165). Unraid's own user shares
# (fuse.shfs) are let off with a warning: its users have no other place.
_NO_DATABASES = re.compile(r"^(nfs\d?|cifs|smb\d?|smbfs|9p|glusterfs|ceph|afs|ncpfs|fuse|fuseblk|fuse\..+)$")
_UNRAID_SHARES = "fuse.shfs"
_VOLATILE = ("tmpfs", "ramfs", "rootfs", "squashfs")
_MIB = 1024 * 1024
# (free bytes, free inodes) that a run needs; media and downloads may be nearly full, but apps must be able to write
# at all.
FLOORS = {
    "docker": (1024 * _MIB, 10000),
    "config": (256 * _MIB, 5000),
    "media": (64 * _MIB, 100),
    "downloads": (64 * _MIB, 100),
}
LOW = 2048 * _MIB


def check(bundle, facts, check_mode, warnings, root="/", mountinfo="/proc/self/mountinfo"):
    """Every problem with the paths of the bundle, and with its time zone. In check mode nothing is written."""
    paths = {name: bundle["paths"][name] for name in ("base", "config", "media", "downloads")}
    table = mounts.read(mountinfo)
    problems = _base(paths["base"], table, nas_family.family(root))
    problems += _config(paths["config"], table, warnings)
    problems += _unmounted(dict(paths, project=bundle["project"]["path"]), table, os.path.join(root, "etc/fstab"))
    problems += _room(dict(paths, docker=facts.get("root_dir")), table, warnings)
    problems += _writable(bundle, paths, check_mode, warnings)
    problems += _hardlinks(bundle, paths, table, check_mode)
    problems += _owners(bundle)
    return problems + time_zone(bundle["timezone"], warnings, root)


def _variable(name):
    return "mediastack_%s_path" % name


def _base(base, table, family):
    words = nas_family.words(family)
    if family != "generic" and base == GENERIC_BASE:
        return [
            problem(
                "base",
                "on %s there is no usual place for the stack's data, and %s is on the system partition"
                % (words["name"], base),
                "mediastack_base_path",
                base,
                "set mediastack_base_path to a directory on a data disk, such as %s" % words["example"],
            )
        ]
    mount = mounts.of(mounts.existing(base), table)
    if mount is None:
        return []
    example = words["example"] if family != "generic" else "a directory on a disk, such as %s" % GENERIC_BASE
    remedy = "set mediastack_base_path to %s" % example
    if mount.fstype in _VOLATILE or _volatile_overlay(mount, table):
        return [
            problem(
                "base",
                "%s is on %s (%s), which is empty after a restart" % (base, mount.point, mount.fstype),
                "mediastack_base_path",
                base,
                remedy,
            )
        ]
    if family != "generic" and mount.point == "/":
        return [
            problem(
                "base",
                "%s is on the system partition of this %s, which is small and replaced by updates"
                % (base, words["name"]),
                "mediastack_base_path",
                base,
                remedy,
            )
        ]
    return []


def _volatile_overlay(mount, table):
    """A live system keeps its changes in memory: the upper directory of its overlay is on a tmpfs."""
    if mount.fstype != "overlay":
        return False
    for option in mount.options:
        if option.startswith("upperdir="):
            upper = option[len("upperdir=") :]
            below = mounts.of(upper, [other for other in table if other.point != "/"])
            return below is not None and below.fstype in _VOLATILE
    return False


def _config(config, table, warnings):
    mount = mounts.of(mounts.existing(config), table)
    if mount is None or not _NO_DATABASES.match(mount.fstype):
        return []
    if mount.fstype == _UNRAID_SHARES:
        warnings.append(
            "%s is on an Unraid user share (%s): the apps' databases are safer on a pool, such as "
            "mediastack_config_path: /mnt/cache/mediastack/config" % (config, mount.point)
        )
        return []
    return [
        problem(
            "config",
            "%s is on %s (%s from %s): the apps' SQLite databases break there"
            % (config, mount.point, mount.fstype, mount.source),
            "mediastack_config_path",
            config,
            "set mediastack_config_path to a directory on a disk of this host; media may stay where it is",
        )
    ]


def _unmounted(paths, table, fstab):
    """A path below a mount point of fstab where nothing is mounted: apps would fill the empty directory under it."""
    mounted = {mount.point for mount in table}
    problems = []
    for point, source, fstype in mounts.declared(fstab):
        real = mounts.resolved(point)
        if fstype == "swap" or point == "/" or real in mounted:
            continue
        names = [name for name in sorted(paths) if paths[name] and mounts.inside(mounts.resolved(paths[name]), real)]
        if names:
            problems.append(
                problem(
                    "mount",
                    "%s (%s) is in /etc/fstab but not mounted, and %s would be written into the empty directory "
                    "below it" % (point, source, ", ".join(paths[name] for name in names)),
                    ", ".join(_variable(name) for name in names),
                    point,
                    "mount it: mount %s; or take its line out of /etc/fstab" % point,
                )
            )
    return problems


def _room(paths, table, warnings):
    """Free bytes and inodes, once per file system."""
    needed = {}
    for name, (size, inodes) in FLOORS.items():
        if not paths.get(name):
            continue
        try:
            place = mounts.existing(paths[name])
            usage, device = os.statvfs(place), os.stat(place).st_dev
        except OSError:
            continue
        entry = needed.setdefault(device, {"names": [], "size": 0, "inodes": 0, "usage": usage})
        entry["names"].append(paths[name])
        entry["size"], entry["inodes"] = max(entry["size"], size), max(entry["inodes"], inodes)
    problems = []
    for entry in needed.values():
        usage, where = entry["usage"], ", ".join(entry["names"])
        free = usage.f_bavail * usage.f_frsize
        if free < entry["size"]:
            problems.append(
                problem(
                    "space",
                    "only %d MiB are free for %s: %d MiB are needed" % (free // _MIB, where, entry["size"] // _MIB),
                    where,
                    free,
                    "free some space (docker image prune removes images that nothing uses), or use another disk",
                )
            )
        elif free < LOW:
            warnings.append("only %d MiB are free for %s" % (free // _MIB, where))
        # File systems that make inodes as they need them (btrfs, ZFS on some) count none.
        if usage.f_files and usage.f_favail < entry["inodes"]:
            problems.append(
                problem(
                    "inodes",
                    "only %d inodes are free for %s: %d are needed" % (usage.f_favail, where, entry["inodes"]),
                    where,
                    usage.f_favail,
                    "remove directories with very many small files, or use another disk",
                )
            )
    return problems


def _writable(bundle, paths, check_mode, warnings):
    """Whether PUID:PGID can work in config, media and downloads; and whether this run can make what is missing."""
    uid, gid = bundle["identity"]["puid"], bundle["identity"]["pgid"]
    problems, seen = [], set()
    for name in ("base", "config", "media", "downloads"):
        path = paths[name]
        place = mounts.existing(path)
        missing = place != os.path.realpath(path)
        if (place, missing) in seen:
            continue
        seen.add((place, missing))
        if not os.path.isdir(place):
            problems.append(
                problem(
                    "write",
                    "%s is not a directory" % place,
                    _variable(name),
                    path,
                    "move it away, or set %s to another path" % _variable(name),
                )
            )
        elif missing:
            # It will be made by this run, for PUID:PGID.
            if not os.access(place, os.W_OK | os.X_OK):
                problems.append(
                    problem(
                        "write",
                        "%s is missing and cannot be made in %s, which belongs to %s"
                        % (path, place, write_probe.owner(place)),
                        _variable(name),
                        path,
                        "make it yourself for %d:%d, use become: true, or mount the disk writable" % (uid, gid),
                    )
                )
        elif name == "base" and _ours_below(paths, path):
            # Only the way to the others: apps write in config, media and downloads.
            continue
        elif not write_probe.can_become(uid, gid):
            warnings.append("whether %d:%d can write to %s cannot be tried without root" % (uid, gid, path))
        else:
            failure = write_probe.probe(place, uid, gid, check_mode)
            if failure:
                problems.append(
                    problem(
                        "write",
                        "PUID:PGID %d:%d cannot write to %s, which belongs to %s: %s"
                        % (uid, gid, path, write_probe.owner(place), failure),
                        _variable(name),
                        path,
                        _owner_remedy(place, uid, gid),
                    )
                )
    return problems


def _ours_below(paths, base):
    return all(mounts.inside(paths[name], base) and paths[name] != base for name in ("config", "media", "downloads"))


def _owner_remedy(place, uid, gid):
    info = os.stat(place)
    text = "chown %d:%d %s" % (uid, gid, place)
    if info.st_uid != 0:
        text += ", or set mediastack_puid: %d and mediastack_pgid: %d" % (info.st_uid, info.st_gid)
    return text


def _hardlinks(bundle, paths, table, check_mode):
    """Media and downloads on one file system, shown by a link where both exist; else copies take twice the room."""
    if bundle["paths"].get("split_mounts"):
        return []
    media, downloads = (mounts.existing(paths[name]) for name in ("media", "downloads"))
    first, second = (mounts.of(place, table) for place in (media, downloads))
    failure = None
    if first is not None and second is not None and first.number != second.number:
        failure = "they are on different mounts, %s and %s" % (first.point, second.point)
    elif (
        not check_mode
        and os.path.isdir(paths["media"])
        and os.path.isdir(paths["downloads"])
        and write_probe.can_become(bundle["identity"]["puid"], bundle["identity"]["pgid"])
    ):
        words = write_probe.probe(downloads, bundle["identity"]["puid"], bundle["identity"]["pgid"], other=media)
        failure = words[len("link: ") :] if words and words.startswith("link: ") else None
    if failure is None:
        return []
    return [
        problem(
            "hardlinks",
            "files cannot be linked from %s to %s: %s" % (paths["downloads"], paths["media"], failure),
            "mediastack_downloads_path",
            paths["downloads"],
            "put both below one directory of one file system (one dataset or share), or accept copies: "
            "mediastack_split_mounts: true",
        )
    ]


def _owners(bundle):
    """Without root, files can only be made for oneself."""
    wanted = {
        (entry["owner"], entry["group"])
        for name in ("files", "presets", "directories")
        for entry in bundle.get(name, [])
        if not atomic_files.may_own(entry.get("owner"), entry.get("group"))
    }
    if not wanted:
        return []
    pairs = ", ".join("%s:%s" % pair for pair in sorted(wanted, key=str))
    return [
        problem(
            "owner",
            "files are to belong to %s, which this user (%d) cannot do" % (pairs, os.geteuid()),
            "mediastack_puid",
            pairs,
            "use become: true, or set mediastack_puid: %d and mediastack_pgid: %d" % (os.geteuid(), os.getegid()),
        )
    ]


def time_zone(name, warnings, root="/"):
    """The zone by this host's own list; without one it is only a warning, the images bring theirs."""
    directory = os.path.join(root, "usr/share/zoneinfo")
    if not os.path.isdir(directory):
        warnings.append("this host has no list of time zones: %s was not checked" % name)
        return []
    plain = re.match(r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$", name or "")
    if plain and os.path.isfile(os.path.join(directory, name)):
        return []
    known = _zones(directory)
    if name in known:
        return []
    near = difflib.get_close_matches(name or "", sorted(known), 1)
    return [
        problem(
            "timezone",
            "the time zone %r is unknown on this host" % name,
            "mediastack_timezone",
            name,
            "set mediastack_timezone: %s" % (near[0] if near else "a name such as Europe/Berlin"),
        )
    ]


def _zones(directory):
    """Names of all zones; those that the distribution keeps in a package of its own are in tzdata.zi."""
    zones = set()
    for folder, names, files in os.walk(directory):
        names[:] = [name for name in names if name not in ("posix", "right")]
        zones.update(os.path.relpath(os.path.join(folder, name), directory) for name in files if "." not in name)
    try:
        with open(os.path.join(directory, "tzdata.zi"), encoding="utf-8", errors="replace") as handle:
            for line in handle:
                fields = line.split()
                if len(fields) > 2 and fields[0] == "L":
                    zones.add(fields[2])
    except OSError:
        pass
    return zones
