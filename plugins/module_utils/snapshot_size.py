# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much room a snapshot would take."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    snapshot_collect,
    snapshot_files,
    snapshot_sqlite,
)

BLOCK = 4096
# What the manifest says of one file.
ENTRY = 512


def needed(services, names, store=None):
    """Bytes that a snapshot of `names` would take, rather too many than too few. `services`: the bundle's map.

    `store`: a snapshot_store.Store; files that did not change since its newest snapshot then take no room.
    A dump of PostgreSQL is not larger than its data directory without the write-ahead log. What cannot be read counts
    as nothing: taking it fails with a better text. SnapshotError for paths that lead out of the config directory.
    """
    total = 0
    for name in names:
        service = services.get(name) or {}
        rule = service.get("snapshot") or {}
        root = service.get("config_dir")
        if not root or not rule.get("paths"):
            continue
        if rule["method"] == "pg_dump":
            total += _tree(root, ["."], (), {}, "pg_wal")
        else:
            paths = snapshot_files.normal(rule["paths"], name)
            skip, earlier = (store.skipped(), store.earlier_files(name)) if store else ((), {})
            total += _tree(root, paths, skip, earlier)
    return total


def _tree(root, paths, skip, earlier, without=None):
    total = 0
    try:
        for found in snapshot_files.walk(root, paths, skip):
            total += ENTRY
            if found.kind == "directory":
                total += BLOCK
            elif found.kind == "file" and without not in found.path.split("/"):
                total += _file(found, earlier)
                if found.path in paths:
                    total += _log_beside(found)
    except OSError:
        return total
    return total


def _file(found, earlier):
    entry, _path = earlier.get(found.path, (None, None))
    size, time = found.info.st_size, found.info.st_mtime_ns
    if entry and size >= snapshot_collect.LINKED_FROM and (entry["size"], entry["mtime"]) == (size, time):
        return 0
    return -(-size // BLOCK) * BLOCK


def _log_beside(found):
    """The size of the write-ahead log of a path that is a single database: it is brought into the copy."""
    info = snapshot_files.look(found.parent, found.name + snapshot_sqlite.COMPANIONS[0])
    return info.st_size if info is not None else 0
