# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One picture of all hosts, again and again: in place on a terminal, as one table after the other everywhere else."""

from __future__ import annotations

import datetime
import time

from . import report_files, report_model, status_text, table, terminal

POLL = 0.2
"""Seconds between two looks at what the workers left."""

FIRST_PATIENCE = 15.0
"""Seconds that the first picture waits for hosts that take long to answer."""

STALE = 60.0
"""Seconds, and two intervals, after which what was seen last of a host counts no more."""

NOT_YET = "not looked at yet"

# Lines that are too long for the terminal are cut by it, so that the picture keeps its height.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Painter:
    """Makes reports of what the workers left, shows and writes them."""

    def __init__(self, hosts, watched, interval, local, outputs, fail_on, show, style, clock=time.monotonic):
        """
        Args:
            hosts: all hosts of the play; those not in `watched` have failed before.
            watched: hosts with a worker.
            interval: seconds between two looks.
            local: see `report_model.build`.
            outputs: of `report_files.check_outputs`.
            fail_on: the verb's.
            show: function of (text, whether it goes to standard output as it is) that displays.
            style: function without arguments that returns (Style, height); height None: do not paint in place.
            clock: seconds that always go forward.
        """
        self._hosts, self._watched = hosts, watched
        self._interval, self._local = interval, local
        self._outputs, self._fail_on = outputs, fail_on
        self._show, self._style, self._clock = show, style, clock
        self._began = clock()
        self._painted = None
        self._shown = {}

    def step(self, seen):
        """Paint if it is time to; *seen*: `{host: watch_spool.Seen}`."""
        if self._is_due(seen):
            self._painted = self._clock()
            self._shown = {host: look.moment for host, look in seen.items()}
            self._paint(seen)

    def _is_due(self, seen):
        """When every host has been looked at anew; or else after the interval, if at least one has."""
        new = [host for host, look in seen.items() if self._shown.get(host) != look.moment]
        if len(new) == len(self._watched):
            return True
        if self._painted is None:
            return self._clock() - self._began > max(FIRST_PATIENCE, self._interval)
        return self._clock() - self._painted > self._interval + 1

    def _paint(self, seen):
        results, sentences = self.results(seen)
        report = report_model.build(results, self._local)
        files = [path for path in self._outputs if path != report_files.STDOUT]
        try:
            report_files.write_all(files, report, self._fail_on)
        except report_files.OutputError as error:
            sentences.append(f"output: {error}")
        if report_files.STDOUT in self._outputs:
            self._show(report_files.as_json_line(report))
            return
        style, height = self._style()
        moment = datetime.datetime.now().astimezone()
        sentences += [*status_text.notes(results), status_text.summary(report["services"])]
        if height is None:
            lines = status_text.picture(report, sentences, style)
            # The display takes one newline away: an empty line stands between two tables.
            self._show("\n".join([f"{moment:%Y-%m-%d %H:%M:%S %z}", *lines, "\n"]))
            return
        heading = f"{moment:%H:%M:%S}, every {self._interval} s, Ctrl-C ends"
        lines = [heading, *status_text.picture(report, sentences, style, height - 2)]
        self._show(frame(lines), True)

    def results(self, seen):
        """`({host: result}, sentences)` as they stand now: what is too old counts no more."""
        results, sentences = {}, []
        for host in self._hosts:
            results[host] = None
            if host not in self._watched:
                continue
            if host not in seen:
                results[host] = {"failed": True, "msg": NOT_YET}
                continue
            age = self._clock() - seen[host].moment
            results[host] = seen[host].result
            if age > STALE + 2 * self._interval:
                results[host] = {"failed": True, "msg": f"the last look at it was {age:.0f} s ago"}
            elif age > 2 * self._interval + 5:
                sentences.append(f"{table.clean(host)}: seen {age:.0f} s ago, the next look takes long")
        return results, sentences


def frame(lines):
    """What puts *lines* on the screen in the place of what was there, without a flicker."""
    text = f"{terminal.CLEAR_TO_END_OF_LINE}\n".join(lines)
    return f"{_NO_WRAP}{terminal.HOME}{text}{terminal.CLEAR_TO_END_OF_LINE}\n{terminal.CLEAR_BELOW}{_WRAP}"


def make_room(height):
    """What moves everything on the screen up, so that it stays readable above the picture."""
    return "\n" * height
