# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a snapshot: walking a config directory without leaving it, copying with a checksum, making it last.

A container may write to its config directory while we are in it as root, so nothing here follows a symbolic link: every
step goes from an open directory to a name in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
import stat
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import progress
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import (
    TEMPORARY,
    FileError,
    reason,
    sync_directory,
)

try:
    import ctypes
except ImportError:
    ctypes = None

CHUNK = 1024 * 1024
# Up to so many files each is synced by itself; a library of Plex has 100,000.
SYNCED_SINGLY = 200
# Of files and directories that are about to get their name; `atomic_files.TEMPORARY` knows them too.
TEMPORARY_PREFIX = ".snapshot.mediastack-"
FULL = (errno.ENOSPC, errno.EDQUOT)
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A fifo must not make us wait for its writer.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


class SnapshotError(FileError):
    """A snapshot could not be taken, read or put back; the text names what, where and the remedy.

    `service`: the one that it is about, None for the whole snapshot.
    """

    def __init__(self, message, service=None):
        super().__init__(message)
        self.service = service


class Found(NamedTuple):
    """One thing below a config directory.

    kind: file, directory, link, special; `above`: a directory on the way to a path that is to be taken, not itself
    part of it; `absent`: a path that is not there; `behind`: a path that leads through a symbolic link.
    """

    kind: str
    path: str
    info: object = None
    parent: int = -1
    name: str = ""


def normal(paths, service):
    """`paths` of a service file: relative, in order, none inside another. SnapshotError for one that leads out."""
    found = []
    for path in paths:
        text = posixpath.normpath(str(path))
        if text.startswith(("/", "../")) or text == ".." or not str(path) or "\0" in text:
            raise SnapshotError(
                "snapshot.paths of %s names %r: write a path below its config directory, without a leading slash and "
                "without '..'" % (service, path),
                service,
            )
        found.append(text)
    unique = list(dict.fromkeys(found))
    return [path for path in unique if not any(inside(path, other) for other in unique)]


def inside(path, other):
    """Whether the relative `path` is below `other`."""
    return path != other and (other == "." or path.startswith(other + "/"))


def walk(root, paths, skip=()):
    """Yield a Found for everything at or below `paths` (as `normal` gives them) of the directory `root`.

    A directory comes before what is in it. `skip`: (device, inode) of directories to leave out with all below them.
    Found.parent is an open directory, valid until the next step. What vanishes meanwhile is left out. OSError.
    """
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        for path in paths:
            yield Found("absent", path)
        return
    try:
        seen = set()
        if "." not in paths:
            yield Found("above", ".", os.fstat(top), top, ".")
        for path in paths:
            if path == ".":
                yield Found("directory", ".", os.fstat(top), top, ".")
                yield from _below(top, "", skip)
            else:
                yield from _descend(top, path, skip, seen)
    finally:
        os.close(top)


def temporary():
    """A name for what is about to get its own."""
    return "%s%s.tmp" % (TEMPORARY_PREFIX, os.urandom(6).hex())


def look(parent, name):
    """`os.lstat` of `name` in the open directory `parent`; None where there is nothing."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        # A name that is too long with "-wal" behind it is no file's.
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            return None
        raise


def kind_of(info):
    """file, directory, link or special."""
    return _KINDS.get(stat.S_IFMT(info.st_mode), "special")


def open_directory(parent, name):
    """Descriptor of a real directory in the open directory `parent`."""
    return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)


def _descend(top, path, skip, seen):
    parts, opened, at = path.split("/"), [], top
    try:
        for number, part in enumerate(parts[:-1]):
            info = look(at, part)
            here = "/".join(parts[: number + 1])
            if info is None or kind_of(info) not in ("directory", "link"):
                yield Found("absent", path)
                return
            if kind_of(info) == "link":
                yield Found("behind", path, info, at, here)
                return
            if here not in seen:
                seen.add(here)
                yield Found("above", here, info, at, part)
            at = open_directory(at, part)
            opened.append(at)
        info = look(at, parts[-1])
        if info is None:
            yield Found("absent", path)
        else:
            yield from _visit(at, parts[-1], path, info, skip)
    except (FileNotFoundError, NotADirectoryError):
        yield Found("absent", path)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _visit(parent, name, path, info, skip):
    kind = kind_of(info)
    if kind != "directory":
        yield Found(kind, path, info, parent, name)
        return
    if (info.st_dev, info.st_ino) in skip:
        return
    try:
        descriptor = open_directory(parent, name)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        yield Found(kind, path, info, parent, name)
        yield from _below(descriptor, path + "/", skip)
    finally:
        os.close(descriptor)


def _below(descriptor, prefix, skip):
    for name in sorted(os.listdir(descriptor)):
        if TEMPORARY.match(name):
            continue
        info = look(descriptor, name)
        if info is not None:
            yield from _visit(descriptor, name, prefix + name, info, skip)


def head(parent, name, count=100):
    """The first bytes of a file in the open directory `parent`; empty when it is no file or gone."""
    try:
        descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return b""
        raise
    try:
        return os.read(descriptor, count) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    finally:
        os.close(descriptor)


def open_file(parent, name):
    """Descriptor of a regular file in the open directory `parent`; None when it is gone or something else."""
    try:
        descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return descriptor


def pour(source, target=None):
    """Copy all of the open file `source` to the open file `target` (None: only read); (bytes, SHA-256 in hex)."""
    digest, count = hashlib.sha256(), 0
    os.lseek(source, 0, os.SEEK_SET)
    while True:
        data = os.read(source, CHUNK)
        if not data:
            return count, digest.hexdigest()
        digest.update(data)
        count += len(data)
        if target is not None:
            _write_all(target, data)


def _write_all(descriptor, data):
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def copy_out(parent, name, target):
    """Copy a file that may be written to meanwhile to the new file `target` (0600).

    Returns (size, sha256, info of the source, whether it stood still), or None when it is gone. OSError.
    """
    source = open_file(parent, name)
    if source is None:
        return None
    made = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for _turn in range(2):
            before = os.fstat(source)
            os.ftruncate(made, 0)
            os.lseek(made, 0, os.SEEK_SET)
            size, digest = pour(source, made)
            after = os.fstat(source)
            still = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and size == after.st_size
            if still:
                break
        return size, digest, after, still
    finally:
        os.close(made)
        os.close(source)


def checksum(path):
    """(size, SHA-256 in hex) of a file of ours. OSError."""
    descriptor = os.open(path, _OPEN_FILE)
    try:
        return pour(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root):
    """Make all below the directory `root`, and itself, survive a power cut. OSError."""
    files, directories = [], []
    for place, _names, names in os.walk(root):
        directories.append(place)
        files += [os.path.join(place, name) for name in names]
    if len(files) + len(directories) > SYNCED_SINGLY and sync_file_system(root):
        return
    for path in files:
        if not os.path.islink(path):
            descriptor = os.open(path, _OPEN_FILE)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    for path in reversed(directories):
        sync_directory(path)


def sync_file_system(path):
    """Write out the whole file system of `path` by syncfs(2); False where this Python or system cannot. OSError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if ctypes else None
    if call is None:
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if call(descriptor) != 0:
            number = ctypes.get_errno()
            if number == errno.ENOSYS:
                return False
            raise OSError(number, os.strerror(number), path)
        return True
    finally:
        os.close(descriptor)


def free(path):
    """Bytes that root may still write on the file system of `path`, or of what is there of it; None if unknown."""
    while path and not os.path.isdir(path):
        path = os.path.dirname(path) if path != os.path.dirname(path) else ""
    with contextlib.suppress(OSError):
        info = os.statvfs(path or "/")
        return (info.f_bfree if os.geteuid() == 0 else info.f_bavail) * info.f_frsize
    return None


def full(path, needed, what, service=None):
    """The SnapshotError of a disk that is full, or would be. `needed`: bytes in all, None: unknown."""
    left = free(path)
    return SnapshotError(
        "%s does not fit on the disk of %s: %s needed, %s free. Nothing of it was kept. Free some space there, or set "
        "mediastack_backup_path to a directory on a larger disk, then run again"
        % (
            what,
            path,
            "an unknown size is" if needed is None else progress.size(needed) + " are",
            "an unknown size is" if left is None else progress.size(left) + " are",
        ),
        service,
    )


def failed(error, what, service=None):
    """The SnapshotError of an OSError: `what` could not be done."""
    where = " (%s)" % os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    return SnapshotError("%s%s: %s" % (what, where, reason(error)), service)
