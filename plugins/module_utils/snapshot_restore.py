# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Putting the files of a snapshot back into a config directory. No journal is needed:

* What is as it was stays. What differs is moved below `aside` first, and only when its copy lies beside it, whole and
  checked against the manifest; then the copy gets its name.
* So a killed run leaves each file old, absent with the old one aside, or new; the next one goes on from any of these.
* A database is moved together with its -wal, -shm and -journal: beside another file they would be applied to it.
"""

from __future__ import annotations

import contextlib
import os
import stat

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    progress,
    snapshot_aside,
    snapshot_files,
    snapshot_sqlite,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import FULL, SnapshotError

_PREFIX = snapshot_files.TEMPORARY_PREFIX


def config_directory(snapshot, services, name):
    """Where the files of the service `name` go; None when there are none in the snapshot. SnapshotError."""
    root = (services.get(name) or {}).get("config_dir")
    if not snapshot.services[name]["paths"]:
        return None
    if not root:
        raise SnapshotError(
            "%s has no config directory in this stack, so its files from %s cannot be put back: select it in the "
            "inventory first" % (name, snapshot.id),
            name,
        )
    return root


def check_room(snapshot, services, names):
    """SnapshotError when the disk of the config directories is too full to put `names` back. Nothing is touched.

    What has size and time of its entry counts as being there already.
    """
    needed = {}
    for name in names:
        root = config_directory(snapshot, services, name)
        if root is not None:
            place = _existing(root)
            missing = sum(entry["size"] for entry in snapshot.services[name]["files"] if _differs(root, entry))
            device = needed.setdefault(os.stat(place).st_dev, [place, 0, []])
            device[1] += missing
            device[2].append(name)
    for place, size, about in needed.values():
        left = snapshot_files.free(place)
        if left is not None and size > left:
            raise SnapshotError(
                "%s cannot be put back from %s: %s are needed on the disk of %s, %s are free. Nothing was touched: "
                "free some space there, then run again"
                % (progress.names(about), snapshot.id, progress.size(size), place, progress.size(left)),
                about[0],
            )


def put_back(snapshot, services, name, aside):
    """Put the files of the service `name` back. `services`: the bundle's map; `aside`: absolute path. SnapshotError."""
    root = config_directory(snapshot, services, name)
    if root is None:
        return
    record = snapshot.services[name]
    try:
        top = _open_root(root, record)
        if top is None:
            return
        try:
            with snapshot_aside.Aside(os.path.join(aside, name), snapshot.skipped()) as kept:
                _Restore(snapshot, name, record, root, kept).run(top)
        finally:
            os.close(top)
    except OSError as error:
        if error.errno in FULL:
            needed, left = sum(entry["size"] for entry in record["files"]), snapshot_files.free(root)
            raise SnapshotError(
                "%s cannot be put back from %s: the disk of %s (or of %s) is full: at most %s are needed, %s are free. "
                "Free some space there, then run again: it goes on where it stopped, and nothing is lost"
                % (name, snapshot.id, root, aside, progress.size(needed), progress.size(left or 0)),
                name,
            ) from error
        what = "cannot put %s back from %s into %s" % (name, snapshot.id, root)
        raise snapshot_files.failed(error, what, name) from error


def _differs(root, entry):
    try:
        info = os.lstat(os.path.join(root, entry["path"]))
    except OSError:
        return True
    return (info.st_size, info.st_mtime_ns) != (entry["size"], entry["mtime"])


def _existing(path):
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _open_root(root, record):
    """Descriptor of the config directory, made like the one that was there; None when there was none and is none."""
    if not os.path.isdir(root):
        like = next((entry for entry in record["directories"] if entry["path"] == "."), None)
        if like is None:
            return None
        above = os.path.dirname(root)
        os.makedirs(above, exist_ok=True)
        parent = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _make_directory(parent, os.path.basename(root), like)
        finally:
            os.close(parent)
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _make_directory(parent, name, entry):
    """A directory that has its owner and mode from its first moment on."""
    temporary = snapshot_files.temporary()
    os.mkdir(temporary, 0o700, dir_fd=parent)
    descriptor = snapshot_files.open_directory(parent, temporary)
    try:
        _dress(descriptor, entry)
    finally:
        os.close(descriptor)
    os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)


def _dress(descriptor, entry):
    """Owner, mode and time of an open file or directory, in this order: a new owner takes setuid bits away."""
    info = os.fstat(descriptor)
    if os.geteuid() == 0 and (info.st_uid, info.st_gid) != (entry["uid"], entry["gid"]):
        os.fchown(descriptor, entry["uid"], entry["gid"])
    os.fchmod(descriptor, entry["mode"])
    os.utime(descriptor, ns=(entry["mtime"], entry["mtime"]))


class _Restore:
    """One service."""

    def __init__(self, snapshot, name, record, root, kept):
        self.name, self.record, self.root, self.kept = name, record, root, kept
        self.data = snapshot.data(name)
        self.entries = {}
        for kind in ("directories", "files", "links"):
            for entry in record[kind]:
                self.entries[entry["path"]] = (kind, entry)
        self.children = {}
        for path in self.entries:
            if path != ".":
                self.children.setdefault(os.path.dirname(path) or ".", set()).add(os.path.basename(path))
        self.databases = {database["path"] for database in record["databases"] if "path" in database}
        # Each file is synced before it gets its name; many are synced at once at the end, before which nobody says
        # that they are back: after a power cut the next run compares what there is.
        self.singly = len(record["files"]) <= snapshot_files.SYNCED_SINGLY

    def run(self, top):
        """`top`: descriptor of the config directory."""
        for path in self.record["absent"]:
            self._clear(top, path)
        _kind, entry = self.entries.get(".", (None, {"above": True}))
        self._fill(top, ".", whole=not entry.get("above"))
        if not entry.get("above"):
            _dress(top, entry)
        if not self.singly and not snapshot_files.sync_file_system(self.root):
            snapshot_files.sync_tree(self.root)

    def _fill(self, descriptor, path, whole):
        """Bring the open directory to what the snapshot says. `whole`: whatever else is in it goes aside."""
        wanted = self.children.get(path, ())
        changed = False
        for name in os.listdir(descriptor):
            if name.startswith(_PREFIX):
                _drop(descriptor, name)
            elif whole and name not in wanted:
                changed = self._move_extra(descriptor, name, path, wanted) or changed
        for name in sorted(wanted):
            kind, entry = self.entries[_join(path, name)]
            act = {"directories": self._directory, "links": self._link, "files": self._file}[kind]
            changed = act(descriptor, name, entry) or changed
        if changed:
            os.fsync(descriptor)
            self.kept.sync()

    def _move_extra(self, descriptor, name, path, wanted):
        if self.kept.is_guarded(descriptor, name):
            return False
        owner = snapshot_sqlite.companion_of(name)
        if owner in wanted and self._is_database(_join(path, owner)):
            # It goes together with its database.
            return False
        self.kept.move(descriptor, name, _join(path, name))
        return True

    def _directory(self, parent, name, entry):
        info = snapshot_files.look(parent, name)
        there = info is not None and stat.S_ISDIR(info.st_mode)
        if not there:
            if info is not None:
                self.kept.move(parent, name, entry["path"])
            _make_directory(parent, name, entry)
        descriptor = snapshot_files.open_directory(parent, name)
        try:
            self._fill(descriptor, entry["path"], whole=not entry.get("above"))
            if not entry.get("above"):
                _dress(descriptor, entry)
        finally:
            os.close(descriptor)
        return not there

    def _link(self, parent, name, entry):
        info = snapshot_files.look(parent, name)
        if info is not None and stat.S_ISLNK(info.st_mode) and os.readlink(name, dir_fd=parent) == entry["target"]:
            return False
        temporary = snapshot_files.temporary()
        os.symlink(entry["target"], temporary, dir_fd=parent)
        if os.geteuid() == 0:
            os.chown(temporary, entry["uid"], entry["gid"], dir_fd=parent, follow_symlinks=False)
        os.utime(temporary, ns=(entry["mtime"], entry["mtime"]), dir_fd=parent, follow_symlinks=False)
        if info is not None:
            self.kept.move(parent, name, entry["path"])
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        return True

    def _file(self, parent, name, entry):
        beside = self._beside(parent, name, entry["path"])
        if not beside and self._is_there(parent, name, entry):
            return False
        temporary = self._copy(parent, entry)
        try:
            for each in [name] + beside:
                if snapshot_files.look(parent, each) is not None:
                    self.kept.move(parent, each, _join(os.path.dirname(entry["path"]), each))
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=parent)
            raise
        return True

    def _beside(self, parent, name, path):
        """Names of what SQLite keeps beside this file now and the snapshot does not hold; none for other files."""
        found = [
            name + ending
            for ending in snapshot_sqlite.COMPANIONS
            if path + ending not in self.entries and snapshot_files.look(parent, name + ending) is not None
        ]
        return found if found and self._is_database(path) else []

    def _is_database(self, path):
        if path in self.databases:
            return True
        if self.entries[path][0] != "files":
            return False
        with open(os.path.join(self.data, path), "rb") as handle:
            return snapshot_sqlite.is_database(handle.read(len(snapshot_sqlite.HEADER)))

    def _is_there(self, parent, name, entry):
        """Whether the file is as the snapshot has it; owner, mode and time are then set right.

        Not when it has other names, which may be anywhere: their owner and mode are not ours to change.
        """
        info = snapshot_files.look(parent, name)
        if info is None or not stat.S_ISREG(info.st_mode) or info.st_size != entry["size"] or info.st_nlink > 1:
            return False
        descriptor = snapshot_files.open_file(parent, name)
        if descriptor is None:
            return False
        try:
            if snapshot_files.pour(descriptor)[1] != entry["sha256"]:
                return False
            _dress(descriptor, entry)
            return True
        finally:
            os.close(descriptor)

    def _copy(self, parent, entry):
        """Name of a whole copy in the open directory. SnapshotError when the snapshot is damaged."""
        temporary = snapshot_files.temporary()
        path = os.path.join(self.data, entry["path"])
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(temporary, flags, 0o600, dir_fd=parent)
            try:
                if snapshot_files.pour(source, target) != (entry["size"], entry["sha256"]):
                    raise SnapshotError(
                        "%s is damaged: its checksum is another one. %s is as it was; use another snapshot"
                        % (path, os.path.join(self.root, entry["path"])),
                        self.name,
                    )
                _dress(target, entry)
                if self.singly:
                    os.fsync(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            finally:
                os.close(target)
        finally:
            os.close(source)
        return temporary

    def _clear(self, top, path):
        """Nothing was at `path`: what is there now goes aside, with what SQLite keeps beside it."""
        if path == ".":
            for name in os.listdir(top):
                if not self.kept.is_guarded(top, name):
                    self.kept.move(top, name, name)
            return
        directory, name = os.path.split(path)
        parent = os.dup(top)
        try:
            for part in directory.split("/") if directory else ():
                below = snapshot_files.open_directory(parent, part)
                os.close(parent)
                parent = below
            for each in [name] + [name + ending for ending in snapshot_sqlite.COMPANIONS]:
                there = snapshot_files.look(parent, each) is not None and _join(directory, each) not in self.entries
                if there and not self.kept.is_guarded(parent, each):
                    self.kept.move(parent, each, _join(directory, each))
        except (FileNotFoundError, NotADirectoryError):
            # No way leads there, or one through a symbolic link, which is not followed.
            return
        finally:
            os.close(parent)


def _drop(parent, name):
    """Remove what a killed run was about to give a name to: a file, a link or an empty directory."""
    try:
        os.unlink(name, dir_fd=parent)
    except IsADirectoryError:
        os.rmdir(name, dir_fd=parent)


def _join(directory, name):
    return name if directory in (".", "") else "%s/%s" % (directory, name)
