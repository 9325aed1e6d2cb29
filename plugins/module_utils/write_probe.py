# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a user can work in a directory: tried as that user, in a child process, relative to the directory itself.

Relative, since a container sees the mounted directory and not what is above it: a parent that only root may enter is
no obstacle.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import select
import signal
import time

DEADLINE = 10


def probe(directory, uid, gid, check=False, other=None):
    """What fails for uid:gid in `directory`, as words; None when all works.

    It makes, links, renames and removes an empty file; with `other` (a directory) it links from there to here and
    prefixes a failure of that with `link:`. `check`: only asks the kernel, writes nothing (and cannot tell about
    links).
    """
    # Hidden, and a name that no app uses.
    name = ".mediastack-probe-%s" % os.urandom(6).hex()
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return error.strerror
    second = None
    try:
        second = os.open(other, os.O_RDONLY | os.O_DIRECTORY) if other else None
        return _in_child(lambda: _try(handle, second, name, check), handle, uid, gid)
    except OSError as error:
        return "link: %s" % error.strerror
    finally:
        for descriptor in (handle, second):
            if descriptor is not None:
                os.close(descriptor)


def can_become(uid, gid):
    """Whether this process can act as uid:gid."""
    return os.geteuid() == 0 or (uid == os.geteuid() and gid in set(os.getgroups()) | {os.getegid()})


def owner(directory):
    """`root:media (0:1001), mode 0755` of a directory."""
    info = os.stat(directory)
    try:
        user = pwd.getpwuid(info.st_uid).pw_name
    except KeyError:
        user = str(info.st_uid)
    try:
        group = grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        group = str(info.st_gid)
    return "%s:%s (%d:%d), mode %04o" % (user, group, info.st_uid, info.st_gid, info.st_mode & 0o7777)


def _try(handle, second, name, check):
    if check:
        allowed = os.access(".", os.R_OK | os.W_OK | os.X_OK)
        return None if allowed else os.strerror(errno.EACCES)
    linked, renamed = name + "-link", name + "-renamed"
    made, link_error = [], None
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=handle))
        made.append((handle, name))
        os.rename(name, renamed, src_dir_fd=handle, dst_dir_fd=handle)
        made[0] = (handle, renamed)
        if second is not None:
            try:
                os.link(renamed, linked, src_dir_fd=handle, dst_dir_fd=second)
                made.append((second, linked))
            except OSError as error:
                link_error = "link: %s" % error.strerror
    except OSError as error:
        return error.strerror
    finally:
        for directory, path in made:
            os.unlink(path, dir_fd=directory)
    return link_error


def _in_child(work, directory, uid, gid):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            os.write(writing, _child(work, directory, uid, gid).encode("utf-8", "replace"))
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    return _result(child, reading)


def _child(work, directory, uid, gid):
    try:
        os.fchdir(directory)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        return work() or ""
    except OSError as error:
        return error.strerror


def _result(child, reading):
    """What the child wrote; a network share that hangs does not hang the run."""
    data, until = b"", time.monotonic() + DEADLINE
    try:
        while True:
            ready = select.select([reading], [], [], max(0, until - time.monotonic()))[0]
            if not ready:
                os.kill(child, signal.SIGKILL)
                return "it did not answer within %d s" % DEADLINE
            chunk = os.read(reading, 4096)
            if not chunk:
                break
            data += chunk
    finally:
        os.close(reading)
    status = os.waitpid(child, 0)[1]
    if status != 0:
        return "the probe failed (status %d)" % status
    return data.decode("utf-8") or None
