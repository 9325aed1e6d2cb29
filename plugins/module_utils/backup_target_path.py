# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of backups in a directory of this host, usually a mounted share.

A share that is not mounted looks like an empty directory of the system's disk, and copies would fill that. So the first
copy leaves a file there, and from then on nothing is copied where it is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_state, mounts
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError

SENTINEL = ".mediastack-backup-target"
_STALE_SECONDS = 24 * 3600
_TEXT = "Backups of homelab.mediastack are copied here. Where this file is missing, none are: see docs/backup.md.\n"


class DirectoryTarget:
    """A directory of this host."""

    def __init__(self, path, backup_path, fstab="/etc/fstab", table=None):
        """`backup_path`: where backups lie; `table`: mounts, as `mounts.read` gives them; None: as they are."""
        self.path, self._backup_path, self._fstab, self._table = path, backup_path, fstab, table
        self.messages = []
        self._record = os.path.join(backup_path, ".target")

    def prepare(self):
        """BackupError unless copies may be written there; the first time the file that says so is left there."""
        sentinel = os.path.join(self.path, SENTINEL)
        known = _read(self._record) == self.path
        if not os.path.isdir(self.path):
            raise BackupError("%s is no directory here: mount the share, or make the directory" % self.path)
        if not os.path.exists(sentinel):
            if known:
                raise BackupError(
                    "%s has no %s, which the first backup left there: its share is not mounted, or another one is. "
                    "Mount it; if it is to be a new place, make that file (touch %s)" % (self.path, SENTINEL, sentinel)
                )
            point = self._unmounted()
            if point:
                raise BackupError("%s is not mounted, as /etc/fstab says it should be: mount %s" % (point, point))
            with open(sentinel, "w", encoding="utf-8") as handle:
                handle.write(_TEXT)
        if not known:
            with open(self._record, "w", encoding="utf-8") as handle:
                handle.write(self.path)
        if os.stat(self.path).st_dev == os.stat(self._backup_path).st_dev:
            self.messages.append(
                "the copies in %s lie on the same disk as the backups: one broken disk takes both" % self.path
            )
        self._sweep()

    def _sweep(self):
        """Remove what a copy that broke off has left. Copies of one host do not overlap for as long as a day."""
        for name in os.listdir(self.path):
            if not (name.startswith(".") and name.endswith(".part") and backup_state.taken(name[1:].split(".")[0])):
                continue
            path = os.path.join(self.path, name)
            with contextlib.suppress(OSError):
                if time.time() - os.lstat(path).st_mtime < _STALE_SECONDS:
                    continue
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def _unmounted(self):
        """The mount point of /etc/fstab that the directory lies in and that nothing is mounted on; None."""
        points = [point for point, _source, _type in mounts.declared(self._fstab) if point != "/"]
        mounted = {mount.point for mount in (mounts.read() if self._table is None else self._table)}
        real = os.path.realpath(self.path)
        wanted = [point for point in points if mounts.inside(real, os.path.realpath(point))]
        return next((point for point in wanted if os.path.realpath(point) not in mounted), None)

    def put_directory(self, source, name):
        """Copy a directory with owners, modes and times. OSError."""
        part, whole = self._names(name)
        shutil.copytree(source, part, symlinks=True, copy_function=_copy)
        shutil.copystat(source, part)
        _sync(part)
        os.rename(part, whole)

    def stage(self, name, _beside):
        """Where a file is to be written that `put_file` then puts in its place: the target itself."""
        return self._names(name)[0]

    def put_file(self, part, name, digest):
        """Give a file that was staged its name, with its checksum beside it. OSError."""
        whole = os.path.join(self.path, name)
        with open(os.open(whole + ".sha256", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
            handle.write("%s  %s\n" % (digest, name))
        os.rename(part, whole)
        _sync(self.path)

    def _names(self, name):
        part = os.path.join(self.path, ".%s.part" % name)
        if os.path.isdir(part):
            shutil.rmtree(part)
        return part, os.path.join(self.path, name)

    def mark(self, name):
        """Make an empty file. OSError."""
        with open(os.path.join(self.path, name), "w", encoding="utf-8"):
            pass

    def names(self):
        """Names of what is there. OSError."""
        return os.listdir(self.path)

    def remove(self, identifier):
        """Remove one copy."""
        for ending in backup_state.ENDINGS:
            path = os.path.join(self.path, identifier + ending)
            if os.path.isdir(path) and not os.path.islink(path):
                # First another name: half a copy has no id.
                gone = os.path.join(self.path, ".%s.part" % identifier)
                os.rename(path, gone)
                shutil.rmtree(gone)
            elif os.path.lexists(path):
                os.unlink(path)


def _copy(source, target, follow_symlinks=True):
    """As shutil.copy2, with the owner where the file system has one."""
    shutil.copy2(source, target, follow_symlinks=follow_symlinks)
    info = os.lstat(source)
    # A share may know nothing of owners; the manifest does.
    with contextlib.suppress(OSError):
        os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)


def _sync(path):
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if hasattr(os, "sync"):
        os.sync()


def _read(path):
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()
    return None
