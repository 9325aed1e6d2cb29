# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of `mediastack-pull`: one run at a time on a host, and everybody can read whose.

Not the run lock of the stack: that one each module takes for as long as it works, so that a run from a controller waits
its turn, or names the pull.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_state import now

_ROUNDS = 20


class Busy(Exception):
    """Another run is at work; the text names it."""


class Left(Busy):
    """No other run is at work, but processes are that one has left which was killed."""


@contextlib.contextmanager
def held(place):
    """The lock, as a descriptor that the steps of the run inherit. Busy (or Left) where it cannot be had at once."""
    descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise Busy("another run is at work: %s. Nothing was done." % _holder(place)) from error
        left = orphans(place)
        if left:
            raise Left(
                "a run was killed, and what it had started is still at work: process %s. Nothing was done."
                % ", ".join(map(str, left))
            )
        atomic_files.write_json(place.holder, {"pid": os.getpid(), "started": now(), "who": who()})
        yield descriptor
    finally:
        os.close(descriptor)


def mark(place):
    """(name, value) of what stands in the environment of every step of a place, and of nothing else."""
    return "ANSIBLE_HOME", os.path.join(place.work, "ansible")


def orphans(place, proc="/proc"):
    """Numbers of the processes that an earlier run has left: Ansible hands the lock on to none of its own."""
    words = ("%s=%s" % mark(place)).encode("utf-8")
    found = []
    with contextlib.suppress(OSError):
        for name in os.listdir(proc):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError), open(os.path.join(proc, name, "environ"), "rb") as handle:
                    found += [int(name)] if words in handle.read().split(b"\0") else []
    return sorted(found)


def end_orphans(place):
    """End what the steps of a place have started, at once."""
    # One that dies may have just started another.
    for _time in range(_ROUNDS):
        left = orphans(place)
        for number in left:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        if not left:
            return


def who():
    """Who started this process."""
    return os.environ.get("SUDO_USER") or ("timer" if "INVOCATION_ID" in os.environ else "root")


def _holder(place):
    known = {}
    with contextlib.suppress(FileError):
        known = atomic_files.read_json(place.holder, {})
    words = "process %s (%s), since %s" % tuple(known.get(key, "unknown") for key in ("pid", "who", "started"))
    if isinstance(known.get("pid"), int) and not os.path.exists("/proc/%d" % known["pid"]):
        words += "; that process is gone, but a step that it had started still runs"
    return words
