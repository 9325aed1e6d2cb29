# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows of the result model for data roots whose file system is nearly full, or cannot be looked at (pure)."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.health_model import DEGRADED, UNHEALTHY, UNKNOWN, row

# Nothing that an app does succeeds with less: a database's next write fails.
FULL_BYTES = 1 << 20
#: Where apps write all the time. Full media or downloads are no reason for a run to fail.
WRITTEN = ("base", "config")
_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"))


def rows(disks, host, warn_percent, critical_percent):
    """An entry for every file system at or above a threshold, and for every path that cannot be looked at.

    `disks`: as `health_sweep.look` returns them; `warn_percent` makes DEGRADED, `critical_percent` UNHEALTHY. What
    several paths have in common is told once, for the first of them.
    """
    found, told = [], set()
    for name, disk in disks.items():
        if "error" in disk:
            status, message = UNKNOWN, disk["error"]
        else:
            # Subvolumes are devices of their own and have the space of all.
            marks = {disk["device"], (disk["total_bytes"], disk["free_bytes"])}
            if marks & told:
                continue
            told |= marks
            status, message = _judge(disk, warn_percent, critical_percent)
        if status:
            service = {"name": "(disk %s)" % name, "title": "Disk %s" % name}
            found.append(row(service, host, status, message))
    return found


def full(disks, host):
    """An entry for the file system of configuration when it is full, whatever the apps still answer. `disks`: as above.

    They go on answering until their next write to it fails, which may be after a run has ended.
    """
    for name in WRITTEN:
        disk = disks.get(name) or {}
        if disk.get("free_bytes", FULL_BYTES) < FULL_BYTES:
            message = "%s is full, %s free: apps fail as soon as they write; make room, then run site" % (
                disk["path"],
                size(disk["free_bytes"]),
            )
            return [row({"name": "(disk %s)" % name, "title": "Disk %s" % name}, host, UNHEALTHY, message)]
    return []


def _judge(disk, warn_percent, critical_percent):
    """Status and message; an empty status when all is well."""
    inodes, least = disk["inodes_used_percent"] or 0.0, min(warn_percent, critical_percent)
    worst = max(disk["used_percent"], inodes)
    if worst < least:
        return "", ""
    parts = []
    if disk["used_percent"] >= least:
        parts.append("%d %% full, %s free" % (disk["used_percent"], size(disk["free_bytes"])))
    if inodes >= least:
        parts.append("%d %% of its inodes used" % inodes)
    status = UNHEALTHY if worst >= critical_percent else DEGRADED
    return status, "%s: %s" % (disk["path"], ", ".join(parts))


def size(number):
    """Bytes for people: `120 GB`, `1.2 TB`, `3.4 MB`."""
    for unit, name in _UNITS:
        if number >= unit:
            return "%.*f %s" % (0 if number >= 100 * unit else 1, number / float(unit), name)
    return "%d kB" % (number // 1000)
