# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which file system a path is on, from /proc/self/mountinfo and /etc/fstab."""

from __future__ import annotations

import os
import re


class Mount:
    """One line of mountinfo."""

    def __init__(self, number, point, fstype, source, options):
        self.number, self.point, self.fstype, self.source, self.options = number, point, fstype, source, options


def read(path="/proc/self/mountinfo"):
    """The mounts in order; fields per proc(5), octal escapes undone."""
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return parse(handle.read())


def parse(text):
    """`Mount`s of a text in the format of mountinfo."""
    mounts = []
    for line in text.splitlines():
        fields, separator, rest = line.partition(" - ")
        fields, rest = fields.split(" "), rest.split(" ")
        if separator and len(fields) >= 6 and len(rest) >= 2:
            options = rest[2].split(",") if len(rest) > 2 else []
            mounts.append(Mount(fields[0], unescape(fields[4]), rest[0], unescape(rest[1]), options))
    return mounts


def unescape(text):
    r"""`/mnt/My\040Disk` → `/mnt/My Disk`."""
    raw = re.sub(
        rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), text.encode("utf-8", "surrogateescape")
    )
    return raw.decode("utf-8", "surrogateescape")


def inside(path, directory):
    """Whether `path` is `directory` or below it: by parts, so that /mnt/disk10 is not in /mnt/disk1."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def of(path, mounts):
    """The mount that an existing path is on: the longest mount point above it, of equal ones the last."""
    best = None
    for mount in mounts:
        if inside(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def existing(path):
    """The path itself, or the nearest directory above it that exists; links resolved."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.path.realpath(path)


def resolved(path):
    """Where `path` is or would be: links of its existing part resolved."""
    path = os.path.abspath(path)
    base = path
    while not os.path.exists(base):
        base = os.path.dirname(base)
    return os.path.normpath(os.path.join(os.path.realpath(base), os.path.relpath(path, base)))


def declared(path="/etc/fstab"):
    """[(mount point, source, type)] of fstab, without swap."""
    found = []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as handle:
            lines = handle.readlines()
    except OSError:
        return []
    for line in lines:
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith("#") and fields[1].startswith("/"):
            found.append((os.path.normpath(unescape(fields[1])), unescape(fields[0]), fields[2]))
    return found
