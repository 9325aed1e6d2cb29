# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run lock of a project: one run at a time, and everybody can read who holds it.

Compose has no lock: two runs at once leave duplicate networks and containers with wrong names. The lock is a flock on
`.mediastack/run.lock`; who holds it stands in `.mediastack/run.json` beside it. A flock ends with the last process
that has the file open, also after SIGKILL, so there is no stale lock to break. The docker commands of a run inherit
the file: a killed run stays locked until the command that it had started has ended.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import getpass
import json
import os
import platform
import time

STATE_DIRECTORY = ".mediastack"
LOCK_FILE = "run.lock"
RECORD_FILE = "run.json"
POLL_SECONDS = 0.2
#: Set by pull mode for everything that it starts: root at the host itself would say nothing.
WHO_VARIABLE = "HOMELAB_MEDIASTACK_WHO"


class LockError(Exception):
    """The lock could not be had; the text names its holder, or what is wrong with the lock file."""


class RunLock:
    """The run lock of one project directory, as a context manager."""

    def __init__(self, project_path, what, timeout, shared=False, clock=time.monotonic, sleep=time.sleep):
        """`what` the run does, for others to read; `timeout`: longest wait in seconds.

        `shared`: for a run that only looks. It waits for a run that changes something, but not for another that looks.
        """
        self.directory = os.path.join(project_path, STATE_DIRECTORY)
        self.project_path = project_path
        self.what = what
        self.timeout = timeout
        self.shared = shared
        self.descriptor = None
        self.waited = False
        #: Set by a run that does not repair what an interrupted one before it left: that one's record is back when
        #: this one has ended.
        self.keeps_earlier = False
        #: The record of the run before this one, or None.
        self.earlier = None
        self._clock, self._sleep = clock, sleep

    @property
    def possible(self):
        """Whether there is a place for the lock: before the first run there is none, and only a run may make it."""
        return os.path.isdir(self.directory)

    @property
    def interrupted(self):
        """Whether the run before this one never came to its end."""
        return bool(self.earlier) and not self.earlier.get("finished")

    def make_place(self):
        """Create the directory for the lock (0700), and those above it."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise LockError("cannot create %s: %s" % (self.directory, error.strerror)) from error

    def __enter__(self):
        path = os.path.join(self.directory, LOCK_FILE)
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError as error:
            raise LockError(
                "no permission for %s: run with become: true, or as the user who ran it before" % path
            ) from error
        except OSError as error:
            raise LockError("cannot open %s: %s" % (path, error.strerror)) from error
        try:
            self._acquire(path)
            self.earlier = self.read_record()
            if not self.shared:
                self._record = describe_run(self.what)
                self._write_record()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, _kind, _error, _trace):
        if not self.shared:
            if self.keeps_earlier and self.interrupted:
                self._record = self.earlier
            else:
                self._record["finished"] = _now()
            # On a full disk the run may just have failed for that reason, which is what should be heard of.
            with contextlib.suppress(LockError):
                self._write_record()
        self._close()

    def _acquire(self, path):
        deadline = self._clock() + self.timeout
        mode = (fcntl.LOCK_SH if self.shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
        while True:
            try:
                fcntl.flock(self.descriptor, mode)
                return
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise LockError(
                        "cannot lock %s: %s: does its file system support locks?" % (path, error.strerror)
                    ) from error
            if self._clock() >= deadline:
                raise LockError(describe_wait(self.project_path, self.read_record(), self.timeout))
            self.waited = True
            self._sleep(POLL_SECONDS)

    def _close(self):
        os.close(self.descriptor)
        self.descriptor = None

    def read_record(self):
        """What the present or last run wrote about itself; None when there is nothing readable."""
        try:
            with open(os.path.join(self.directory, RECORD_FILE), encoding="utf-8") as handle:
                record = json.load(handle)
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def _write_record(self):
        # Not synced to disk: it is for those who look while it is held, and a no-op run must stay fast.
        path = os.path.join(self.directory, RECORD_FILE)
        temporary = "%s.%d.tmp" % (path, os.getpid())
        try:
            with open(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as handle:
                json.dump(self._record, handle)
            os.replace(temporary, path)
        except OSError as error:
            raise LockError("cannot write %s: %s" % (path, error.strerror)) from error


def describe_run(what):
    """The record of a run that begins now."""
    return {
        "what": what,
        "who": os.environ.get(WHO_VARIABLE) or os.environ.get("SUDO_USER") or _user(),
        "pid": os.getpid(),
        "host": platform.node(),
        "started": _now(),
        "finished": None,
    }


def describe_wait(project_path, record, timeout):
    """The error text of a run that waited in vain; `record` of the holder or None."""
    if record and not record.get("finished"):
        holder = "%s (%s, process %s on %s, since %s)" % tuple(
            record.get(key, "unknown") for key in ("what", "who", "pid", "host", "started")
        )
        if record.get("host") == platform.node() and not _alive(record.get("pid")):
            holder += "; that process is gone, but a docker command that it started still runs"
    else:
        holder = "a run that only looks (check mode)"
    return "another run works on %s: %s. Waited %g s for it (lock_timeout): run again when it has ended" % (
        project_path,
        holder,
        timeout,
    )


def _alive(pid):
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "uid %d" % os.getuid()


def _now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
