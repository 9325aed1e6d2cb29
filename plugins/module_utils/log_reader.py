# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at the logs of a project: which containers there are, what is new in their logs, made fit to be shown."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import time
from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    engine_state,
    log_mask,
    log_position,
    log_source,
    log_text,
)

COMPOSE = engine_state.COMPOSE
# How many lines from the end a look begins with, and how many times as many where these do not reach far enough back.
WINDOW, WIDER = 200, 8
# What may be written until the next look, when one has left lines for it.
MEANWHILE = 2 * log_position.PIECE


class Wish(NamedTuple):
    """What is asked for.

    `services`: empty = all; `tail`: lines of each container; `since`: `600s` ago, seconds since 1970, or "";
    `grep`: regular expression; `mask`: secrets of the inventory; `positions`: where the look before ended, by container
    id, None = first look; `follow`: whether another look will follow.
    """

    project: str
    path: str
    services: Sequence[str] = ()
    tail: int = 50
    since: str = ""
    grep: str = ""
    mask: Sequence[str] = ()
    positions: dict | None = None
    follow: bool = False
    seconds: float = 60


class TooLong(Exception):
    """The look took longer than it may."""


class _Latest:
    """What a first look gets of one container: the last lines that are fit to be shown."""

    def __init__(self, container, size, wish, fit):
        """`size`: how many lines from the end of the log are read, None = all; `fit`: see `Reader._fit`."""
        self.container, self._size, self._follow, self._fit = container, size, wish.follow, fit
        self.tracker = log_position.Tracker()
        #: Lines as the engine counts them.
        self.pieces = 0
        #: (key for sorting, time, text)
        self.kept = collections.deque(maxlen=wish.tail)
        self.matching = 0

    def take(self, time_, text, pieces):
        """One line more; never enough."""
        self.pieces += pieces
        key, shown = self.tracker.add(time_), self._fit(text)
        if shown is not None:
            self.matching += 1
            self.kept.append((key, time_, shown))
        return False

    @property
    def enough(self):
        """Whether the next look will know from these what is new."""
        return not self._follow or self._size is None or self.pieces < self._size or self.tracker.settled


class _Later:
    """What a later look gets of one container: what is new since the look before."""

    def __init__(self, container, size, position):
        """`size`: see `_Latest`; `position`: after the look before."""
        self.container, self._size = container, size
        self.fresh = log_position.Fresh(position, size is None)
        self.pieces = 0

    def take(self, time_, text, pieces):
        """One line more; whether that is enough."""
        self.pieces += pieces
        return self.fresh.take(time_, text[: log_text.LOOKED_AT])

    @property
    def enough(self):
        """Whether these reach far enough back to know what is new."""
        return self.fresh.sure(self._size is None or self.pieces < self._size)

    @property
    def next_size(self):
        """How many lines the next look had better read."""
        if not self.fresh.more:
            return max(WINDOW, 2 * len(self.fresh.lines))
        return max(WINDOW, (self._size or 0) - self.pieces + MEANWHILE)


class Reader:
    """Looks once."""

    def __init__(self, docker, wish):
        self._docker, self._wish = docker, wish
        self._pattern = re.compile(wish.grep) if wish.grep else None
        self._mask = None
        self._facts = {}
        self.lines, self.troubles, self.positions = [], {}, {}
        #: Services of which lines were left out, because `tail` was reached: how many.
        self.left_out = collections.Counter()
        self.more = False

    def look(self):
        """The result: see the module stack_logs."""
        found = _containers(self._docker, self._wish)
        wanted = [c for c in found if not self._wish.services or c["service"] in self._wish.services]
        if self._wish.positions is None:
            self._first(wanted)
        else:
            self._again(wanted)
        self.lines.sort(key=lambda line: line[0])
        present = sorted({container["service"] for container in found})
        return {
            "lines": self.lines,
            "services": present,
            "missing": [name for name in self._wish.services if name not in present],
            "troubles": self.troubles,
            "left_out": dict(self.left_out),
            "positions": self.positions,
            "more": self.more,
        }

    # The first look

    def _first(self, containers):
        """The last lines, or those since a time; read as a stream, because with a pattern all of a log is searched."""
        wish, since = self._wish, _since(self._wish.since)
        # Without a pattern and a time the end of the log is enough.
        size = None if wish.grep or since else max(wish.tail, WINDOW) if wish.follow else wish.tail
        marks = self._prepare(containers)

        def begin(container, size):
            return _Latest(container, size, wish, self._fit)

        quiet = []
        for reading in self._read([(container, size) for container in containers], begin, since):
            if since and wish.follow and not reading.pieces:
                quiet.append(reading.container)
                continue
            self._keep(reading, marks)
        # Where nothing came since then, it is still to be learned where the log ends.
        for reading in self._read([(container, WINDOW) for container in quiet], begin):
            reading.kept = [line for line in reading.kept if line[1] >= float(since) * 1e9]
            reading.matching = len(reading.kept)
            self._keep(reading, marks)

    def _keep(self, reading, marks):
        container = reading.container
        self.lines += [[key, _label(container), text] for key, _time, text in reading.kept]
        if (self._wish.grep or self._wish.since) and reading.matching > len(reading.kept):
            self.left_out[_label(container)] += reading.matching - len(reading.kept)
        self._place(container, reading.tracker.position, marks[container["id"]])

    # Later looks

    def _again(self, containers):
        """What is new since the positions."""
        known, changed = self._wish.positions, []
        for container in containers:
            position = known.get(container["id"])
            if position and position["mark"] and position["mark"] == _mark(position["path"]):
                self.positions[container["id"]] = position
            else:
                changed.append(container)
        marks = self._prepare(changed)

        def begin(container, size):
            return _Later(container, size, self._at(container))

        # All of a container that was not there before.
        sizes = [(container, (known.get(container["id"]) or {}).get("window")) for container in changed]
        for reading in self._read(sizes, begin):
            self._new(reading, marks[reading.container["id"]])

    def _new(self, reading, mark):
        """Take what is new in a log."""
        container, fresh = reading.container, reading.fresh
        if fresh.lost:
            self.troubles[_label(container)] = "its log was emptied, or rotated faster than read; lines may be missing"
        for key, text in fresh.lines:
            shown = self._fit(text)
            if shown is not None:
                self.lines.append([key, _label(container), shown])
        self.more = self.more or fresh.more
        # What is left for the next look must not be hidden by the mark.
        self._place(container, fresh.position, None if fresh.more else mark, reading.next_size)

    # Both

    def _at(self, container):
        return ((self._wish.positions or {}).get(container["id"]) or {}).get("at")

    def _place(self, container, at, mark, window=WINDOW):
        path = self._facts[container["id"]]["path"]
        self.positions[container["id"]] = {"path": path, "mark": mark, "at": at, "window": window}

    def _read(self, sizes, begin, since=""):
        """The ends of logs, each so long that it can be told what is new in it: yields what `begin` made.

        `sizes`: [(container, how many lines to begin with, None = all)]; `begin(container, size)`: what takes them.
        """
        while sizes:
            readings = {container["id"]: begin(container, size) for container, size in sizes}
            jobs = [(container["id"], _arguments(container, size, since)) for container, size in sizes]

            def hand_over(identifier, *line, readings=readings):
                return readings[identifier].take(*line)

            complaints = log_source.sweep(self._docker, jobs, hand_over, self._wish.seconds)
            wider = []
            for container, size in sizes:
                reading = readings[container["id"]]
                if container["id"] in complaints:
                    self._trouble(container, complaints[container["id"]])
                    self._place(container, self._at(container), None)
                elif reading.enough:
                    yield reading
                else:
                    wider.append((container, size * WIDER))
            sizes = wider

    def _prepare(self, containers):
        """Learn where the logs are, and every secret that must not be shown; the marks of the logs, by id."""
        if not containers:
            return {}
        inspected = engine_state.inspect(self._docker, [container["id"] for container in containers])
        self._facts = {container["id"]: {"path": None, "driver": ""} for container in containers}
        environments = []
        for container in inspected:
            driver = (container.raw["HostConfig"].get("LogConfig") or {}).get("Type") or ""
            self._facts[container.id] = {"path": container.raw.get("LogPath") or None, "driver": driver}
            environments += container.raw["Config"].get("Env") or []
        self._mask = log_mask.Mask(log_mask.known(self._wish.path, self._wish.mask, environments))
        # Before the logs are read: what is written meanwhile changes the mark.
        return {identifier: _mark(facts["path"]) for identifier, facts in self._facts.items()}

    def _fit(self, text):
        """The text as it may be shown; None when it does not match."""
        text = log_text.shortened(self._mask(log_text.clean(text)))
        if self._pattern and not self._pattern.search(log_text.plain(text)):
            return None
        return text

    def _trouble(self, container, complaint):
        text, facts = complaint.lower(), self._facts[container["id"]]
        if "no such container" in text or "is dead or marked for removal" in text:
            return
        if "does not support reading" in text:
            complaint = (
                "its log cannot be read: the log driver %s keeps nothing to read. Set another, such as "
                "mediastack_overrides: {%s: {logging: {driver: json-file}}}"
                % (facts["driver"] or "of this engine", container["service"])
            )
        self.troubles[_label(container)] = complaint


def look(docker, wish):
    """One look at the logs: `Reader.look`, within `wish.seconds`.

    Raises:
        TooLong: it took longer.
        docker_cli.DockerError, atomic_files.FileError: it could not be done.
    """
    with _limit(wish.seconds):
        return Reader(docker, wish).look()


@contextlib.contextmanager
def _limit(seconds):
    """TooLong after that time, also in the midst of a regular expression that never comes to an end."""

    def late(_signal, _frame):
        raise TooLong(
            "reading took longer than %g s: ask for fewer services, a later time, or a simpler pattern" % seconds
        )

    before = signal.signal(signal.SIGALRM, late)
    # The commands have the same time, and know better what to say.
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _containers(docker, wish):
    """The project's containers, by one `docker ps`: [{id, service, number}]; those of another directory are not."""
    labels = ("service", "container-number", "oneoff", "project.working_dir")
    form = "\t".join(["{{.ID}}", *('{{.Label "%s%s"}}' % (COMPOSE, label) for label in labels)])
    done = docker.run(
        "ps", "--all", "--no-trunc", "--filter", "label=%sproject=%s" % (COMPOSE, wish.project), "--format", form
    )
    found, own = [], os.path.realpath(wish.path)
    for line in done.out.splitlines():
        identifier, service, number, one_off, directory = line.split("\t")
        if one_off != "True" and directory and os.path.realpath(directory) == own:
            found.append({"id": identifier, "service": service, "number": number})
    return sorted(found, key=lambda container: (container["service"], container["number"]))


def _label(container):
    """What stands before its lines: the service, and which one it is where there are several."""
    number = container["number"]
    return container["service"] if number in ("", "1") else "%s-%s" % (container["service"], number)


def _arguments(container, size=None, since=""):
    arguments = ["logs", "--timestamps"]
    if since:
        arguments += ["--since", since]
    if size is not None:
        arguments += ["--tail", str(size)]
    return [*arguments, container["id"]]


def _since(text):
    """The time as docker takes it: seconds since 1970 by this host's clock."""
    return "%.9f" % (time.time() - float(text[:-1])) if text.endswith("s") else text


def _mark(path):
    """Changes whenever something is written to a log; None where that cannot be known (other drivers, no rights)."""
    if not path:
        return None
    try:
        info = os.stat(path)
    except OSError:
        return None
    return [info.st_ino, info.st_size, info.st_mtime_ns]
