# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.watch: what stack_health does, again and again until Ctrl-C, in one picture of all.

Every host has a worker of its own, which looks at it through its own connection and leaves what it saw in a directory
on the controller. The first host's worker paints too.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import time

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.action import stack_health
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    interruption,
    local_hosts,
    notifying,
    report_files,
    report_model,
    status_text,
    terminal,
    watch_painter,
    watch_spool,
)

REST = 0.5
"""Seconds between two looks at least, however long they take."""

NOBODY_PAINTS = 60.0
"""Seconds that a worker waits for the first host's, which Ansible starts before it."""

LINES = 24
"""Height of a terminal that does not tell its own."""

display = Display()


class ActionModule(stack_health.ActionModule):
    """One module execution a look, through the connection of the host."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._interruption = interruption.Interruption()
        self._filled = None

    def run(self, tmp=None, task_vars=None):
        """Look once and return the result; with `interval` go on for ever."""
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "interval": {"type": "int", "default": 0},
                "output": {"type": "str", "default": ""},
                "fail_on": {"type": "str", "choices": list(report_model.PASSING), "default": "degraded"},
            }
        )
        # What stack_health is run with: none of this.
        self._task = self._task.copy()
        self._task.args = {}
        interval = arguments["interval"]
        if interval == 0:
            result = super().run(tmp, task_vars)
            self._notify(result, task_vars)
            return result
        if interval < 0:
            raise AnsibleActionFail(f"interval is {interval}: give a number of seconds, or 0 to look once")
        try:
            outputs = report_files.check_outputs(arguments["output"])
        except report_files.OutputError as error:
            raise AnsibleActionFail(f"output: {error}") from error
        host = task_vars["inventory_hostname"]
        watched = task_vars.get("ansible_play_batch") or [host]
        leads = host == watched[0]
        refusal = _too_many(watched)
        if refusal:
            # Said once: nothing else is to be read of the other hosts.
            return {"changed": False, "failed": True, "msg": refusal} if leads else {"changed": False, "skipped": True}
        if self._task.check_mode:
            if leads:
                display.display(_description(watched, interval, outputs))
            return {"changed": False, "skipped": True}
        hosts = task_vars.get("ansible_play_hosts_all") or watched
        spool = watch_spool.Spool(os.path.join(constants.DEFAULT_LOCAL_TMP, f"watch-{self._task._uuid}"), hosts)
        with self._interruption.raised():
            if leads:
                painter = self._painter(hosts, watched, interval, outputs, arguments["fail_on"], task_vars)
                return self._lead(spool, painter, host, interval, task_vars)
            if not _wait(spool.exists, NOBODY_PAINTS):
                raise AnsibleActionFail(f"{watched[0]}, which would show what is seen, does not watch")
            return self._watch(spool, host, interval, task_vars)

    def _notify(self, result, task_vars):
        """Tell what one look has seen. Who watches sees it."""
        if not self._values:
            return
        if self._not_asked:
            notifying.unreachable(self, task_vars, self._values, self._not_asked)
        else:
            notifying.tell(self, task_vars, self._values, "of_status", result)

    def _lead(self, spool, painter, host, interval, task_vars):
        """Look at this host, and beside it paint what all workers saw."""
        spool.create()
        over = threading.Event()
        failures = []

        def paint():
            try:
                while not over.wait(watch_painter.POLL):
                    painter.step(spool.read())
            except Exception as error:
                failures.append(error)
                spool.remove()

        thread = threading.Thread(target=paint, daemon=True)
        try:
            thread.start()
            result = self._watch(spool, host, interval, task_vars)
        finally:
            over.set()
            # What it is about to say may be for somebody who is gone.
            thread.join(1)
            spool.remove()
        if failures:
            raise failures[0]
        return result

    def _watch(self, spool, host, interval, task_vars):
        """Look at the host until nobody paints any more, or Ansible's main process is gone."""
        main = os.getppid()
        while os.getppid() == main:
            began = time.monotonic()
            with self._interruption.held():
                result = self._look(task_vars)
            if not spool.put(host, result):
                break
            time.sleep(max(interval - (time.monotonic() - began), REST))
        return {"changed": False, "msg": "nobody watches any more"}

    def _look(self, task_vars):
        """The result of one look, whatever becomes of it."""
        try:
            result = super().run(None, task_vars)
        except Exception as error:
            result = {"failed": True, "msg": str(error) or type(error).__name__}
        if result.get("failed") or all(row["status"] == "UNKNOWN" for row in result.get("services") or []):
            # The next look begins anew: the host may have been away, and with it the temporary directory.
            with contextlib.suppress(Exception):
                self.cleanup()
            self._connection._shell.tmpdir = None
            with contextlib.suppress(Exception):
                self._connection.reset()
        return result

    def _fill(self, arguments, task_vars):
        """What the settings say does not change while one watches: it is worked out once."""
        if self._filled is None:
            known = super()._fill(arguments, task_vars)
            self._filled = copy.deepcopy((arguments, known))
        arguments.update(self._filled[0])
        return copy.deepcopy(self._filled[1])

    def _painter(self, hosts, watched, interval, outputs, fail_on, task_vars):
        in_place = terminal.can_move() and report_files.STDOUT not in outputs
        if in_place:
            display.display(watch_painter.make_room(_height()), newline=False, screen_only=True)
        return watch_painter.Painter(
            hosts,
            watched,
            interval,
            local_hosts.among(hosts, task_vars, self._task.connection),
            outputs,
            fail_on,
            _show,
            _style_in_place if in_place else _style,
        )


def _too_many(watched):
    """Why so many hosts cannot be watched, or None: the workers never end, so none is left for another host."""
    forks = context.CLIARGS.get("forks") or constants.DEFAULT_FORKS
    if len(watched) <= forks:
        return None
    return (
        f"{len(watched)} hosts are to be watched at once, but Ansible works on {forks} at a time: "
        f"add -f {len(watched)}, or choose fewer hosts with --limit"
    )


def _description(watched, interval, outputs):
    files = [path for path in outputs if path != report_files.STDOUT]
    writes = f", and write {', '.join(files)} at every look" if files else ""
    return f"check mode: would look at {', '.join(watched)} every {interval} s until Ctrl-C{writes}"


def _wait(predicate, seconds):
    deadline = time.monotonic() + seconds
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _show(text, as_it_is=False):
    """Display from a worker; *as_it_is*: without a newline, and not into the log file of the run."""
    display.display(text, newline=not as_it_is, screen_only=as_it_is)


def _paint():
    return color.stringc if color.ANSIBLE_COLOR else None


def _height():
    return (terminal.size() or (0, LINES))[1]


def _style():
    return status_text.Style(columns=display.columns if terminal.ON_TERMINAL else None, paint=_paint()), None


def _style_in_place():
    columns, height = terminal.size() or (display.columns, LINES)
    return status_text.Style(columns, _paint(), terminal.link if color.ANSIBLE_COLOR else None), height
