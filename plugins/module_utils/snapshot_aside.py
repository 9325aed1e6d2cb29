# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where what a restore replaces is kept: moved, never deleted.

On the same file system it is a rename. Elsewhere it is copied, synced, and only then removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import sync_directory


class Aside:
    """The kept things of one service, below `root` in the same tree as in its config directory."""

    def __init__(self, root, guarded=()):
        """`root`: absolute path, made when something is moved there; `guarded`: (device, inode) of what stays."""
        self.root = root
        self._guarded = tuple(guarded)
        self._touched = set()

    def __enter__(self):
        for place, _names, names in os.walk(self.root):
            for name in names:
                if name.startswith(snapshot_files.TEMPORARY_PREFIX):
                    # Of a run that was killed.
                    os.unlink(os.path.join(place, name))
        return self

    def __exit__(self, _kind, _error, _trace):
        with contextlib.suppress(OSError):
            self.sync()

    def is_guarded(self, parent, name):
        """Whether `name` in the open directory `parent` stays where it is: it is gone, or the way to what is kept."""
        info = snapshot_files.look(parent, name)
        return info is None or (info.st_dev, info.st_ino) in self._guarded + self._above()

    def move(self, parent, name, path):
        """Move `name` of the open directory `parent` to `path` below `root`. OSError.

        Something that is kept there already stays: the new one gets another name, unless it is the very same file.
        """
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
        target = os.path.join(self.root, path)
        self._make(os.path.dirname(target))
        if os.path.lexists(target):
            if stat.S_ISDIR(info.st_mode) and os.path.isdir(target) and not os.path.islink(target):
                self._merge(parent, name, path)
                return
            if _same(parent, name, target):
                # A killed run had copied it, and not yet removed it.
                os.unlink(name, dir_fd=parent)
                return
            target = _free(target)
            path = os.path.relpath(target, self.root)
        try:
            os.rename(name, target, src_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._carry(parent, name, path, target, info)
        self._touched.add(os.path.dirname(target))

    def sync(self):
        """What was moved stays moved after a power cut."""
        for path in sorted(self._touched):
            sync_directory(path)
        self._touched.clear()

    def _above(self):
        found, path = [], self.root
        while path not in ("", "/"):
            with contextlib.suppress(OSError):
                info = os.stat(path)
                found.append((info.st_dev, info.st_ino))
            path = os.path.dirname(path)
        return tuple(found)

    def _make(self, directory):
        """A directory below `root` for root alone, with those above it."""
        if os.path.isdir(directory):
            return
        self._make(os.path.dirname(directory))
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        self._touched.add(os.path.dirname(directory))

    def _merge(self, parent, name, path):
        descriptor = snapshot_files.open_directory(parent, name)
        try:
            for each in sorted(os.listdir(descriptor)):
                self.move(descriptor, each, "%s/%s" % (path, each))
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=parent)

    def _carry(self, parent, name, path, target, info):
        """To another file system."""
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(target, 0o700)
            self._merge(parent, name, path)
            if os.geteuid() == 0:
                os.chown(target, info.st_uid, info.st_gid)
            os.chmod(target, stat.S_IMODE(info.st_mode))
            os.utime(target, ns=(info.st_mtime_ns, info.st_mtime_ns))
            return
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=parent), target)
        elif stat.S_ISREG(info.st_mode):
            _copy(parent, name, target, info)
        # A socket or a fifo holds nothing: its app makes it anew.
        sync_directory(os.path.dirname(target))
        os.unlink(name, dir_fd=parent)


def _copy(parent, name, target, info):
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    temporary = os.path.join(os.path.dirname(target), snapshot_files.temporary())
    try:
        made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            snapshot_files.pour(source, made)
            if os.geteuid() == 0:
                os.fchown(made, info.st_uid, info.st_gid)
            os.fchmod(made, stat.S_IMODE(info.st_mode))
            os.utime(made, ns=(info.st_mtime_ns, info.st_mtime_ns))
            os.fsync(made)
        finally:
            os.close(made)
        os.rename(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(source)


def _same(parent, name, target):
    """Whether both are files with the same bytes, or the same symbolic links."""
    if os.path.islink(target):
        info = snapshot_files.look(parent, name)
        return stat.S_ISLNK(info.st_mode) and os.readlink(name, dir_fd=parent) == os.readlink(target)
    descriptor = snapshot_files.open_file(parent, name) if os.path.isfile(target) else None
    if descriptor is None:
        return False
    try:
        return snapshot_files.pour(descriptor) == snapshot_files.checksum(target)
    finally:
        os.close(descriptor)


def _free(path):
    number = 2
    while os.path.lexists("%s~%d" % (path, number)):
        number += 1
    return "%s~%d" % (path, number)
