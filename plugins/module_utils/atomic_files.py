# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Atomic writes: a reader sees the old bytes or the new ones, also after a power cut."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import time

# `.sonarr.xml.mediastack-0123456789ab.tmp`: hidden, and no other program makes such a name.
TEMPORARY = re.compile(r"^\..+\.mediastack-[0-9a-f]{12}\.tmp$")


class FileError(Exception):
    """A file could not be read or written; the text names the file, the cause and the remedy."""


def reason(error):
    """Words for an OSError, with the remedy where there is one."""
    remedies = {
        errno.EACCES: "run with become: true, or as a user who may write there",
        errno.EPERM: "run with become: true; a NAS share or an immutable file may forbid it too",
        errno.ENOSPC: "free some space on that disk, then run again: nothing is half written",
        errno.EDQUOT: "raise the quota or free some space, then run again",
        errno.EROFS: "the file system is mounted read-only: remount it or choose another path",
        errno.ENOTDIR: "a part of the path is a file where a directory is needed: move it away",
        errno.EISDIR: "a directory is in the way: move it away",
        errno.ELOOP: "a symbolic link points to itself: repair it",
    }
    words = error.strerror or str(error)
    remedy = remedies.get(error.errno)
    return "%s (%s)" % (words, remedy) if remedy else words


def read_bytes(path):
    """Bytes of a file; None where there is none. FileError when it cannot be read."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError("cannot read %s: %s" % (path, reason(error))) from error


def read_json(path, default):
    """A JSON object that we wrote ourselves; `default` where there is none. FileError when it is not one."""
    data = read_bytes(path)
    if data is None:
        return default
    try:
        value = json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise FileError("%s is not JSON (%s): restore it from a backup or move it away" % (path, error)) from error
    if not isinstance(value, dict):
        raise FileError("%s does not hold a JSON object: restore it from a backup or move it away" % path)
    return value


def sync_directory(path):
    """Make a rename in `path` survive a power cut. File systems that cannot (some network shares) are let off."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def may_own(owner, group):
    """Whether this process can give a file to `owner` and `group` (numbers; None = as it comes)."""
    if os.geteuid() == 0:
        return True
    groups = set(os.getgroups()) | {os.getegid(), 0, None}
    return owner in (None, 0, os.geteuid()) and group in groups


def give(descriptor, owner, group):
    """Owner and group of an open file. Without root, root stands for "whoever runs this" and is left as it is."""
    if os.geteuid() == 0:
        os.fchown(descriptor, -1 if owner is None else owner, -1 if group is None else group)
    elif group not in (None, 0, os.fstat(descriptor).st_gid):
        os.fchown(descriptor, -1, group)


def same_owner(info, owner, group):
    """Whether a stat result has the owner and group that `give` would leave."""
    if os.geteuid() == 0:
        return (owner is None or info.st_uid == owner) and (group is None or info.st_gid == group)
    return group in (None, 0) or info.st_gid == group


def write(path, data, mode, owner=None, group=None):
    """Replace `path` by `data` (bytes) in one step: temporary file beside it, fsync, rename, fsync of the directory.

    `mode` is an int; `owner` and `group` are numbers or None. FileError, with nothing left behind, when it fails.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, ".%s.mediastack-%s.tmp" % (name[:200], os.urandom(6).hex()))
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            raise FileError("%s is a directory, a file is to be written there: move it away" % path)
        # 0600 until owner and mode are right: a secret is never readable by others, not even for a moment.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
                handle.flush()
                give(descriptor, owner, group)
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            os.rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise FileError("cannot write %s: %s" % (path, reason(error))) from error
    sync_directory(directory)


def write_json(path, value, mode=0o600):
    """Write a JSON object, readable for a person."""
    write(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode("utf-8"), mode)


def state_directory(project_path):
    """`<project>/.mediastack`, 0700, made when missing (the project directory too)."""
    path = os.path.join(project_path, ".mediastack")
    try:
        os.makedirs(project_path, mode=0o755, exist_ok=True)
        os.makedirs(path, mode=0o700, exist_ok=True)
        if stat.S_IMODE(os.stat(path).st_mode) != 0o700:
            os.chmod(path, 0o700)
    except OSError as error:
        raise FileError("cannot make %s: %s" % (path, reason(error))) from error
    return path


def dated(path, word):
    """A free name for what is kept of `path`: `<path>.<word>-YYYYmmdd-HHMMSS`."""
    base = "%s.%s-%s" % (path, word, time.strftime("%Y%m%d-%H%M%S"))
    name, count = base, 1
    while os.path.lexists(name):
        count += 1
        name = "%s-%d" % (base, count)
    return name


def left_behind(directories):
    """Temporary files of an interrupted run in `directories` (not below them). Call under the run lock only."""
    found = []
    for directory in sorted(set(directories)):
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        found.extend(os.path.join(directory, name) for name in names if TEMPORARY.match(name))
    return sorted(found)
