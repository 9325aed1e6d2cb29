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
# How many lines from the end a look begins with, how much further the next one goes, and where it takes the whole log.
WINDOW, WIDER, WIDEST = 200, 8, 100000
# Of one container, in one look of a follower: what comes at once is read in pieces.
PIECE = 5000


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


class _Reading:
    """What came of one container's log."""

    def __init__(self, container, most=None):
        self.container = container
        self.tracker = log_position.Tracker()
        #: Lines as the engine counts them.
        self.pieces = 0
        #: (key for sorting, time, text)
        self.kept = collections.deque(maxlen=most)
        self.matching = 0

    def take(self, time_, text, pieces):
        self.pieces += pieces
        self.kept.append((self.tracker.add(time_), time_, text))


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
        quiet = []
        for reading in self._read(containers, lambda _container: size, self._fitting, wish.tail, since):
            container = reading.container
            if since and wish.follow and not reading.pieces:
                quiet.append(container)
                continue
            self._keep(reading, marks)
        # Where nothing came since then, it is still to be learned where the log ends.
        for reading in self._read(quiet, lambda _container: WINDOW, self._fitting, wish.tail):
            reading.kept = [line for line in reading.kept if line[1] >= float(since) * 1e9]
            reading.matching = len(reading.kept)
            self._keep(reading, marks)

    def _keep(self, reading, marks):
        container = reading.container
        self.lines += [[key, _label(container), text] for key, _time, text in reading.kept]
        if (self._wish.grep or self._wish.since) and reading.matching > len(reading.kept):
            self.left_out[_label(container)] += reading.matching - len(reading.kept)
        self._place(container, reading.tracker.position, marks[container["id"]])

    def _fitting(self, reading, time_, text, pieces):
        """Take a line of a first look: only what is shown is kept."""
        reading.pieces += pieces
        key, shown = reading.tracker.add(time_), self._fit(text)
        if shown is not None:
            reading.matching += 1
            reading.kept.append((key, time_, shown))

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

        def window(container):
            # All of a container that was not there before.
            return known[container["id"]]["window"] if container["id"] in known else None

        for reading in self._read(changed, window, _Reading.take):
            self._new(reading, marks[reading.container["id"]])

    def _new(self, reading, mark):
        """Take what is new in a window."""
        container, window = reading.container, list(reading.kept)
        before = self._at(container)
        first = log_position.unseen([line[1] for line in window], before, True)
        if before and first == 0 and window:
            self.troubles[_label(container)] = "its log was emptied, or rotated faster than read; lines may be missing"
        fresh = window[first : first + PIECE]
        if len(window) > first + PIECE:
            # What is left for the next look must not be hidden by the mark.
            self.more, mark = True, None
        for key, _time, text in fresh:
            shown = self._fit(text)
            if shown is not None:
                self.lines.append([key, _label(container), shown])
        tracker = log_position.Tracker()
        for line in window[: first + PIECE]:
            tracker.add(line[1])
        self._place(container, tracker.position or before, mark, min(max(WINDOW, 2 * len(window[first:])), WIDEST))

    # Both

    def _at(self, container):
        return ((self._wish.positions or {}).get(container["id"]) or {}).get("at")

    def _place(self, container, at, mark, window=WINDOW):
        path = self._facts[container["id"]]["path"]
        self.positions[container["id"]] = {"path": path, "mark": mark, "at": at, "window": window}

    def _read(self, containers, size_of, take, most=None, since=""):
        """The ends of these logs, each so long that it can be told what is new in it: yields `_Reading`s.

        `size_of(container)`: how many lines to begin with, None = all; `take`: see `_Reading.take`.
        """
        waiting = [(container, size_of(container)) for container in containers]
        while waiting:
            readings = {container["id"]: _Reading(container, most) for container, _size in waiting}
            jobs = [(container["id"], _arguments(container, size, since)) for container, size in waiting]

            def hand_over(identifier, *line, readings=readings):
                take(readings[identifier], *line)

            complaints = log_source.sweep(self._docker, jobs, hand_over, self._wish.seconds)
            wider = []
            for container, size in waiting:
                reading = readings[container["id"]]
                if container["id"] in complaints:
                    self._trouble(container, complaints[container["id"]])
                    self._place(container, self._at(container), None)
                elif self._enough(reading, size is None or reading.pieces < size):
                    yield reading
                else:
                    wider.append((container, size * WIDER if size * WIDER <= WIDEST else None))
            waiting = wider

    def _enough(self, reading, whole):
        """Whether it can be told from these lines what is new, and in the next look what will be."""
        if self._wish.positions is None:
            return whole or not self._wish.follow or reading.tracker.settled
        times = [line[1] for line in reading.kept]
        return log_position.unseen(times, self._at(reading.container), whole) is not None

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
