# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run is doing, in a small file that the controller reads while the module runs.

`<project>/.mediastack/progress-TOKEN.json`, 0600, written anew as a whole, removed at the end. It is a courtesy:
whatever goes wrong with it, the run goes on. A run that has nothing to do says nothing, and no file is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time

PREFIX = "progress-"
TOKEN = re.compile(r"^[0-9a-f]{8,32}$")
# Between two writes for the same thing; what is new is written at once.
PAUSE = 0.5
# Longer than this no run takes: the file of one that was killed.
STALE_SECONDS = 24 * 3600
# As many names as a reader takes in.
NAMED = 4


class Progress:
    """Says what a run is doing."""

    def __init__(self, project_path=None, token=None, clock=time.monotonic):
        """`token`: chosen by the one who wants to read it, hexadecimal; None: nobody does."""
        self._path = None
        if project_path and token and TOKEN.match(token):
            self._path = path_of(project_path, token)
        self._clock = clock
        self._what, self._why, self._since, self._written = None, None, None, None
        self._made = False
        # A timer says things too, in a thread of its own.
        self._lock, self._timer = threading.Lock(), None

    @property
    def watched(self):
        """Whether anybody wants to know, so that it is worth finding out more."""
        return self._path is not None

    def say(self, what, why=""):
        """The run is at `what`; `why` may change often and is written only now and then."""
        with self._lock:
            self._drop_timer()
            self._say(what, why)

    def later(self, what, seconds=2.0):
        """As `say`, when nothing else was said until then: for what is usually over before."""

        def late():
            with self._lock:
                # Else something was said while this waited for its turn.
                if self._timer is timer:
                    self._say(what, "")

        timer = threading.Timer(seconds, late)
        timer.daemon = True
        with self._lock:
            if self._path is not None:
                self._drop_timer()
                self._timer = timer
                timer.start()

    def close(self):
        """The run is over."""
        with self._lock:
            self._drop_timer()
            if self._made:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)
            self._path = None

    def _say(self, what, why):
        if self._path is None:
            return
        now = self._clock()
        if what != self._what:
            self._since = time.time()
        elif why == self._why or now - self._written < PAUSE:
            return
        self._what, self._why, self._written = what, why, now
        self._write({"what": what, "why": why, "since": self._since})

    def _drop_timer(self):
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _write(self, record):
        # Named as `atomic_files` names them: what a killed run leaves, the next one finds and removes.
        directory, name = os.path.split(self._path)
        temporary = os.path.join(directory, ".%s.mediastack-%s.tmp" % (name, os.urandom(6).hex()))
        # Before the first run there is no directory, and none is made for this.
        with contextlib.suppress(OSError):
            if not self._made:
                _sweep(directory)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="utf-8") as handle:
                json.dump(record, handle)
            os.replace(temporary, self._path)
            self._made = True


# For runs that nobody watches.
SILENT = Progress()


def path_of(project_path, token):
    """Where the run with that token writes."""
    return os.path.join(project_path, ".mediastack", "%s%s.json" % (PREFIX, token))


def names(services, most=NAMED):
    """`sonarr, radarr and 5 more`."""
    services = list(services)
    if len(services) <= most + 1:
        return ", ".join(services)
    return "%s and %d more" % (", ".join(services[:most]), len(services) - most)


def size(count):
    """Bytes for people: `43 MB`, as `docker images` counts them."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= divisor:
            return "%.3g %s" % (count / divisor, unit)
    return "%d B" % count


def _sweep(directory):
    """Remove what runs that were killed have left."""
    for name in os.listdir(directory):
        if name.startswith(PREFIX):
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                if time.time() - os.stat(path).st_mtime > STALE_SECONDS:
                    os.unlink(path)
