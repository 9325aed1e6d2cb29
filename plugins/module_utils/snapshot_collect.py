# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copying the files of one service into a draft."""

from __future__ import annotations

import contextlib
import os
import stat

from ansible_collections.homelab.mediastack.plugins.module_utils import progress, snapshot_files, snapshot_sqlite
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_sqlite import DatabaseError

# A file that did not change since the snapshot before is a second name of that one's copy. Smaller ones gain nothing,
# and are kept as often as there are snapshots.
LINKED_FROM = 16 * 1024
_WORDS = "taking a snapshot"


def new_record(method, paths):
    """What the manifest says of a service, still empty."""
    kinds = ("files", "directories", "links", "databases", "absent", "notes")
    return dict({kind: [] for kind in kinds}, method=method, paths=list(paths))


def about(path, info):
    """Owner, mode and time (nanoseconds since 1970) of what is at `path`."""
    return {
        "path": path,
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime": info.st_mtime_ns,
    }


def is_quiet(head, found):
    """Whether no app has a database open: with a write-ahead log there would be one beside it.

    `head`: its first bytes; `found`: a snapshot_files.Found.
    """
    return snapshot_sqlite.uses_wal(head) and not any(
        snapshot_files.look(found.parent, found.name + ending) for ending in ("-wal", "-journal")
    )


def cannot_open(service, paths, skip):
    """Why a database of the service cannot be taken while its app runs; None when all of them can. OSError."""
    for found in snapshot_files.walk(service["config_dir"], paths, skip):
        if found.kind != "file":
            continue
        head = snapshot_files.head(found.parent, found.name)
        if not snapshot_sqlite.is_database(head) or is_quiet(head, found):
            continue
        try:
            snapshot_sqlite.try_open(os.path.join(service["config_dir"], found.path))
        except DatabaseError as error:
            if snapshot_files.look(found.parent, found.name) is not None:
                return str(error)
    return None


class Collector:
    """Takes the files of one service."""

    def __init__(self, service, method, paths, place, skip, earlier, say=progress.SILENT):
        """`place`: an empty directory of ours; `skip`: see snapshot_files.walk; `earlier`: path → (entry, file) of the
        snapshot before, for files that did not change.
        """
        self.root, self.method, self.paths = service["config_dir"], method, paths
        self.place, self.skip, self.earlier, self._say = place, skip, earlier, say
        self.record = new_record(method, paths)
        self.bytes = 0

    def run(self, down):
        """The record of the manifest. `down`: no container of the service runs. OSError, DatabaseError."""
        for found in snapshot_files.walk(self.root, self.paths, self.skip):
            if found.kind == "absent":
                self.record["absent"].append(found.path)
            elif found.kind in ("directory", "above"):
                self._directory(found)
            elif found.kind == "link":
                self._link(found)
            elif found.kind == "file":
                self._file(found, down)
                self._say.say(_WORDS, "%s, %s" % (os.path.basename(self.place), progress.size(self.bytes)))
            elif found.kind == "behind":
                self.record["notes"].append("%s is not in it: %s is a symbolic link" % (found.path, found.name))
            else:
                self.record["notes"].append("%s is not in it: it is neither file nor directory" % found.path)
        return self.record

    def _directory(self, found):
        if found.path != ".":
            os.mkdir(self._target(found), 0o700)
        entry = about(found.path, found.info)
        self.record["directories"].append(dict(entry, above=True) if found.kind == "above" else entry)

    def _link(self, found):
        # It may be gone, or be something else by now.
        with contextlib.suppress(FileNotFoundError, OSError):
            target = os.readlink(found.name, dir_fd=found.parent)
            self.record["links"].append(dict(about(found.path, found.info), target=target))

    def _file(self, found, down):
        if self.method == "sqlite":
            if self._beside_database(found):
                return
            head = snapshot_files.head(found.parent, found.name)
            if snapshot_sqlite.is_database(head):
                self._database(found, head, down)
                return
        self._plain(found)

    def _beside_database(self, found):
        """Whether it is a log or journal of a database: those are part of it, never files of their own."""
        owner = snapshot_sqlite.companion_of(found.name)
        info = snapshot_files.look(found.parent, owner) if owner else None
        if info is None or not stat.S_ISREG(info.st_mode):
            return False
        return info.st_size == 0 or snapshot_sqlite.is_database(snapshot_files.head(found.parent, owner))

    def _plain(self, found):
        """Copy a file; its entry, or None when it is gone."""
        target = self._target(found)
        entry = self._same_as_earlier(found, target)
        if entry is None:
            copied = snapshot_files.copy_out(found.parent, found.name, target)
            if copied is None:
                return None
            size, digest, info, still = copied
            entry = dict(about(found.path, info), size=size, sha256=digest)
            if not still:
                self.record["notes"].append("%s changed while it was read" % found.path)
        self.record["files"].append(entry)
        self.bytes += entry["size"]
        return entry

    def _same_as_earlier(self, found, target):
        """The entry of a file that is as in the snapshot before, whose copy gets a second name; else None."""
        known = self.earlier.get(found.path)
        if known is None or found.info.st_size < LINKED_FROM:
            return None
        entry, path = known
        if (entry["size"], entry["mtime"]) != (found.info.st_size, found.info.st_mtime_ns):
            return None
        source = snapshot_files.open_file(found.parent, found.name)
        if source is None:
            return None
        try:
            # Size and time are a hint only; and a damaged copy must not become the copy of this one too.
            seen = (entry["size"], entry["sha256"])
            if snapshot_files.pour(source) != seen or snapshot_files.checksum(path) != seen:
                return None
            os.link(path, target)
            return dict(about(found.path, os.fstat(source)), size=entry["size"], sha256=entry["sha256"])
        except OSError:
            # No links on that file system, too many, or not readable: then it is copied.
            return None
        finally:
            os.close(source)

    def _database(self, found, head, down):
        target = self._target(found)
        entry, note, problems = None, None, []
        if down or is_quiet(head, found):
            entry, note, problems = self._database_as_file(found, target, head, down)
        if not down and (entry is None or problems):
            # The usual way; or its app has just opened it.
            entry = self._database_online(found, target)
            if entry is None:
                return
            problems, note = snapshot_sqlite.check(target)
        if problems:
            raise DatabaseError("%s: %s" % (os.path.join(self.root, found.path), "; ".join(problems)))
        if entry is None:
            return
        entry["size"], entry["sha256"] = snapshot_files.checksum(target)
        self.bytes += entry["size"]
        self.record["files"].append(entry)
        self.record["databases"].append({"path": found.path, "check": note or "ok"})

    def _database_as_file(self, found, target, head, down):
        """(entry, note, problems) of a database that nobody has open; no entry when that turned out not to be so."""
        copied = snapshot_files.copy_out(found.parent, found.name, target)
        if copied is None:
            return None, None, []
        _size, _digest, info, still = copied
        if not down and not (still and is_quiet(head, found)):
            return None, None, []
        if down and not self._with_log(found, target):
            return about(found.path, info), "not checked: its log is a file of its own beside it", []
        problems, note = snapshot_sqlite.check(target)
        return about(found.path, info), note, problems

    def _database_online(self, found, target):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            snapshot_sqlite.backup(os.path.join(self.root, found.path), target)
        except DatabaseError:
            if snapshot_files.look(found.parent, found.name) is not None:
                raise
            os.unlink(target)
            return None
        return about(found.path, found.info)

    def _with_log(self, found, target):
        """Bring what its app left in a -wal or -journal into the copy. False where that cannot be done here.

        Without the sqlite3 module they are copied as files.
        """
        entries = []
        for ending in ("-wal", "-journal"):
            copied = snapshot_files.copy_out(found.parent, found.name + ending, target + ending)
            if copied is None:
                continue
            size, digest, info, _still = copied
            if size == 0:
                os.unlink(target + ending)
            else:
                entries.append(dict(about(found.path + ending, info), size=size, sha256=digest))
        if not entries:
            return True
        if snapshot_sqlite.AVAILABLE:
            snapshot_sqlite.settle(target)
            return True
        self.record["files"] += entries
        return False

    def _target(self, found):
        return os.path.join(self.place, found.path)
