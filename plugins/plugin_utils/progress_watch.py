# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shows what a long module run is doing: a thread reads its progress file through the host's connection.

The connection of the action is busy with the module. The thread works with copies of the action, the connection and its
become plugin, which share the settings but not the state of a command. Whatever goes wrong, it stays silent.
"""

from __future__ import annotations

import contextlib
import copy
import json
import secrets
import shlex
import threading
import time

from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.module_utils import progress

from . import table, terminal

# Nothing is shown of what is done sooner; a run that finds nothing to do ends before.
QUIET_SECONDS = 3.0
PAUSE = 1.0
# On a line of its own the same thing is said again after this time.
AGAIN_SECONDS = 30.0
# So many readings without an answer, and it is given up.
FAILURES = 3
CLEAR = "\r" + terminal.CLEAR_TO_END_OF_LINE

display = Display()


class Watch:
    """Shows the progress of what runs inside the `with`."""

    def __init__(self, action, task_vars, project_path):
        """`action`: the ActionBase whose module runs."""
        self.token = secrets.token_hex(8)
        self._action = action
        self._host = task_vars["inventory_hostname"]
        self._path = progress.path_of(project_path, self.token)
        hosts = task_vars.get("ansible_play_batch") or [self._host]
        in_place = terminal.can_move() and len(hosts) == 1
        self._painter = Painter(self._host, in_place, display.display, lambda: display.columns)
        self._over = threading.Event()
        self._thread = None

    def __enter__(self):
        if not self._action._task.check_mode:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        if self._thread:
            # A reading that hangs does not hold up the run.
            self._thread.join(PAUSE)
        self._painter.close()

    def _work(self):
        with contextlib.suppress(Exception):
            reader, failures = _private(self._action), 0
            pause = QUIET_SECONDS
            while failures < FAILURES and not self._over.wait(pause):
                pause = PAUSE
                record = self._read(reader)
                failures = failures + 1 if record is None else 0
                if record:
                    self._painter.paint(record)

    def _read(self, reader):
        """See `record_of`."""
        done = reader._low_level_execute_command(f"cat {shlex.quote(self._path)} 2>/dev/null; echo; date +%s")
        return record_of(done["stdout"])


def record_of(out):
    """What the module wrote last, {what, why, since}, with the host's time as `now`.

    {} when it wrote nothing, None when the host did not answer.
    """
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    if not lines or not lines[-1].isdigit():
        return None
    for line in lines:
        if line.startswith('{"what"'):
            with contextlib.suppress(ValueError, KeyError):
                record = json.loads(line)
                numbers = {"since": float(record["since"]), "now": float(lines[-1])}
                return {"what": str(record["what"]), "why": str(record["why"]), **numbers}
    return {}


def _private(action):
    """A copy of the action with a connection of its own, for commands beside the one that runs."""
    reader = copy.copy(action)
    reader._connection = copy.copy(action._connection)
    if reader._connection.become:
        reader._connection.set_become_plugin(copy.copy(reader._connection.become))
    return reader


class Painter:
    """Prints what a host is doing: in place on the terminal, or a line for each new thing."""

    def __init__(self, host, in_place, show, columns, clock=time.monotonic):
        """`show`: as `Display.display`; `columns()`: width of the terminal."""
        self._host, self._in_place, self._show, self._columns, self._clock = host, in_place, show, columns, clock
        self._what, self._said, self._painted = None, 0.0, False
        self._lock, self._closed = threading.Lock(), False

    def paint(self, record):
        """Show a record {what, why, since, now}; nothing after `close`."""
        with self._lock:
            if not self._closed:
                what, why = table.clean(record["what"]), table.clean(record["why"])
                self._paint(what, f": {why}" if why else "", max(0, int(record["now"] - record["since"])))

    def _paint(self, what, why, seconds):
        if self._in_place:
            self._painted = True
            line = table.cut(f"{self._host}: {what} ({seconds} s){why}", max(20, self._columns() - 1))
            # The carriage return also makes Python send the line, which has no end.
            self._show(CLEAR + line, newline=False, screen_only=True)
        elif what != self._what or self._clock() - self._said >= AGAIN_SECONDS:
            again = f" ({seconds} s)" if what == self._what else ""
            self._what, self._said = what, self._clock()
            self._show(f"{self._host}: {what}{again}{why}")

    def close(self):
        """Leave the terminal as it was."""
        with self._lock:
            self._closed = True
            if self._painted:
                self._show(CLEAR, newline=False, screen_only=True)
