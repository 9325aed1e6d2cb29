# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run says while it works: the file on the host, and what the controller makes of it."""

import json
import os
import threading
import time
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, docker_cli, images
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import FAILED, SETTLED, WAITING, Gate, Verdict
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import (
    PAUSE,
    SILENT,
    STALE_SECONDS,
    Progress,
    names,
    path_of,
    size,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils import progress_watch

TOKEN = "0123456789abcdef"


@pytest.fixture
def project(tmp_path):
    (tmp_path / ".mediastack").mkdir(mode=0o700)
    return tmp_path


def state(project):
    return sorted(os.listdir(project / ".mediastack"))


def text(project):
    with open(path_of(project, TOKEN), encoding="utf-8") as handle:
        record = json.load(handle)
    return f"{record['what']}: {record['why']}" if record["why"] else record["what"]


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_run_that_says_nothing_makes_no_file(project):
    Progress(project, TOKEN).close()
    assert state(project) == []


def test_what_is_said_is_there_and_gone_at_the_end(project):
    progress = Progress(project, TOKEN)
    progress.say("pulling images")
    assert text(project) == "pulling images"
    assert os.stat(path_of(project, TOKEN)).st_mode & 0o777 == 0o600
    progress.say("waiting for sonarr", "is starting")
    assert text(project) == "waiting for sonarr: is starting"
    assert len(state(project)) == 1
    progress.close()
    assert state(project) == []
    progress.say("too late")
    assert state(project) == []


def test_reasons_are_written_now_and_then_only(project):
    clock = Clock()
    progress = Progress(project, TOKEN, clock)
    progress.say("waiting for sonarr", "0.1 s")
    progress.say("waiting for sonarr", "0.2 s")
    assert text(project).endswith("0.1 s")
    with open(path_of(project, TOKEN), encoding="utf-8") as handle:
        since = json.load(handle)["since"]
    clock.now += PAUSE
    progress.say("waiting for sonarr", "0.6 s")
    assert text(project).endswith("0.6 s")
    with open(path_of(project, TOKEN), encoding="utf-8") as handle:
        assert json.load(handle)["since"] == since
    progress.say("starting radarr")
    assert text(project) == "starting radarr"


def test_later_is_said_only_when_nothing_else_was(project):
    progress = Progress(project, TOKEN)
    progress.later("asking", 0.01)
    deadline = time.monotonic() + 10
    while not os.path.exists(path_of(project, TOKEN)) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert text(project) == "asking"
    progress.later("never", 60)
    progress.say("other")
    assert progress._timer is None
    progress.close()


def test_what_comes_too_late_is_not_said(project, monkeypatch):
    """The timer's time had come, but not its turn."""
    due = []
    monkeypatch.setattr(threading.Timer, "start", lambda timer: due.append(timer.function))
    progress = Progress(project, TOKEN)
    progress.later("asking")
    progress.say("other")
    due.pop()()
    assert text(project) == "other"
    progress.later("asking")
    progress.close()
    due.pop()()
    assert state(project) == []


@pytest.mark.parametrize("token", [None, "", "../../etc/passwd", "short", "g" * 16])
def test_nobody_watches(project, token):
    progress = Progress(project, token)
    assert not progress.watched
    progress.say("x")
    progress.close()
    SILENT.say("x")
    assert state(project) == []


def test_what_a_run_killed_while_it_wrote_has_left_is_found_by_the_next(project, monkeypatch):
    def killed(*_paths):
        raise OSError

    monkeypatch.setattr(os, "replace", killed)
    Progress(project, TOKEN).say("pulling images")
    [left] = state(project)
    assert atomic_files.left_behind([project / ".mediastack"]) == [str(project / ".mediastack" / left)]


def test_it_never_fails_the_run(tmp_path, project):
    for path in (tmp_path / "none", "/proc/none"):
        progress = Progress(str(path), TOKEN)
        progress.say("x")
        progress.close()
    assert not (tmp_path / "none").exists()
    progress = Progress(project, TOKEN)
    progress.say("x")
    os.unlink(path_of(project, TOKEN))
    progress.close()


def test_what_killed_runs_left_goes(project):
    old, young = (project / ".mediastack" / f"progress-{name}.json" for name in ("aaaaaaaa", "bbbbbbbb"))
    for path in (old, young):
        path.write_text("{}")
    os.utime(old, (time.time() - STALE_SECONDS - 60,) * 2)
    (project / ".mediastack" / "secrets.json").write_text("{}")
    os.utime(project / ".mediastack" / "secrets.json", (0, 0))
    progress = Progress(project, TOKEN)
    progress.say("x")
    progress.close()
    assert state(project) == ["progress-bbbbbbbb.json", "secrets.json"]


def test_words():
    assert names(["a"]) == "a"
    assert names("abcde") == "a, b, c, d, e"
    assert names("abcdef") == "a, b, c, d and 2 more"
    assert [size(count) for count in (7, 1500, 43_210_000, 429_000_000, 1_234_000_000)] == [
        "7 B",
        "1.5 kB",
        "43.2 MB",
        "429 MB",
        "1.23 GB",
    ]


# What says it


class Said:
    """A Progress that keeps what it is told."""

    watched = True

    def __init__(self):
        self.texts = []

    def say(self, what, why=""):
        self.texts.append(f"{what}: {why}" if why else what)


def test_the_gate_tells_for_what_it_waits():
    said, looks = Said(), iter([WAITING, WAITING, SETTLED])
    gate = Gate(lambda: None, 2, sleep=lambda _s: None, progress=said)

    def look(_goals, _project):
        status = next(looks)
        return {"sonarr": Verdict(status, "is starting"), "radarr": Verdict(status, "runs"), "x": Verdict(SETTLED, "")}

    gate.look = look
    gate.wait({}, deadline=float("inf"))
    assert said.texts == ["waiting for sonarr, radarr: sonarr is starting"] * 2
    gate.look = lambda _goals, _project: {"sonarr": Verdict(FAILED, "x"), "radarr": Verdict(SETTLED, "runs")}
    gate.wait({}, deadline=float("inf"))
    assert len(said.texts) == 2


class Store:
    """docker, as far as pulling goes."""

    def run(self, *arguments, **_options):
        if arguments[0] == "pull":
            bad = arguments[-1].endswith("bad:1")
            return docker_cli.Completed(int(bad), "", "manifest unknown error" if bad else "")
        assert arguments[:2] == ("image", "inspect")
        return docker_cli.Completed(0, json.dumps([{"Id": "sha256:1", "Size": 212_000_000}]), "")


def test_pulling_tells_images_and_sizes(monkeypatch):
    monkeypatch.setattr(images, "PULLS_AT_ONCE", 1)
    said = Said()
    images.pull(Store(), {"lscr.io/linuxserver/sonarr:4": ["sonarr"], "docker.io/x/y@sha256:0": ["y"]}, progress=said)
    assert said.texts == [
        "pulling images, 0 of 2 done; now sonarr:4",
        "pulling images, 1 of 2 done; came: sonarr:4 (212 MB)",
        "pulling images, 1 of 2 done; now y; came: sonarr:4 (212 MB)",
        "pulling images, 2 of 2 done; came: y (212 MB), sonarr:4 (212 MB)",
    ]


def test_a_pull_that_fails_did_not_come(monkeypatch):
    said = Said()
    with pytest.raises(images.PullError, match="bad:1"):
        images.pull(Store(), {"x/bad:1": ["x"]}, progress=said)
    assert said.texts[-1] == "pulling images, 0 of 1 done"


# The controller's side

RECORD = {"what": "x", "why": "", "since": 90.5, "now": 100.0}


@pytest.mark.parametrize(
    ("out", "record"),
    [
        ('{"what": "x", "why": "", "since": 90.5}\n100\n', RECORD),
        ('motd\n{"what": "x", "why": "", "since": 90.5}\n\n100\n', RECORD),
        ("\n100\n", {}),
        ('{"what": "x", "sin\n100', {}),
        ('{"what": "x"}\n100', {}),
        ("", None),
        ("sudo: a password is required", None),
    ],
)
def test_what_the_host_answers(out, record):
    assert progress_watch.record_of(out) == record


class Shown(list):
    def __call__(self, text, **options):
        self.append((text, options.get("newline", True)))


def record(what, seconds=5, why=""):
    return {"what": what, "why": why, "since": 100.0, "now": 100.0 + seconds}


def test_lines_where_there_is_no_terminal():
    shown, clock = Shown(), Clock()
    painter = progress_watch.Painter("nas", False, shown, lambda: 80, clock)
    painter.paint(record("pulling"))
    painter.paint(record("pulling", 6, "another reason"))
    painter.paint(record("waiting", 0, "is starting"))
    clock.now += progress_watch.AGAIN_SECONDS
    painter.paint(record("waiting", 40))
    painter.close()
    painter.paint(record("late"))
    assert shown == [("nas: pulling", True), ("nas: waiting: is starting", True), ("nas: waiting (40 s)", True)]


def test_in_place_on_a_terminal():
    shown = Shown()
    painter = progress_watch.Painter("nas", True, shown, lambda: 40)
    painter.paint(record("waiting for sonarr", 5, "x" * 80))
    painter.paint(record("evil \x1b[2J text"))
    painter.close()
    assert shown[0][0].startswith("\r\x1b[Knas: waiting for sonarr (5 s): xxx")
    assert len(shown[0][0]) == len("\r\x1b[K") + 39
    assert shown[1][0] == "\r\x1b[Knas: evil [2J text (5 s)"
    assert shown[2] == ("\r\x1b[K", False)


class Action:
    """An action whose commands are a function's answers."""

    def __init__(self, command, check_mode=False):
        self._task = types.SimpleNamespace(check_mode=check_mode)
        self._connection = types.SimpleNamespace(become=None)
        self._command = command

    def _low_level_execute_command(self, _command):
        return {"stdout": self._command()}


@pytest.fixture
def impatient(monkeypatch):
    shown = Shown()
    monkeypatch.setattr(progress_watch, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(progress_watch, "PAUSE", 0.01)
    monkeypatch.setattr(progress_watch.display, "display", shown, raising=False)
    return shown


def watched(action, seconds=0.2):
    with progress_watch.Watch(action, {"inventory_hostname": "nas"}, "/srv/stack") as watch:
        threading.Event().wait(seconds)
    return watch


def test_it_watches(impatient):
    watched(Action(lambda: '{"what": "pulling", "why": "", "since": 1}\n4\n'))
    assert impatient == [("nas: pulling", True)]


def test_where_it_cannot_watch_it_is_silent(impatient):
    def refuse():
        raise RuntimeError("one command at a time")

    calls = []

    def nothing():
        calls.append(1)
        return "sorry"

    watched(Action(refuse))
    watched(Action(nothing))
    assert impatient == []
    assert len(calls) == progress_watch.FAILURES


def test_a_short_run_is_not_watched():
    def never():
        raise AssertionError("looked")

    assert watched(Action(never), 0)._thread.is_alive() is False


def test_check_mode_is_not_watched():
    assert watched(Action(None, check_mode=True), 0)._thread is None


def test_the_watcher_has_a_connection_of_its_own():
    become = types.SimpleNamespace(prompt="")

    class Connection:
        def __init__(self):
            self.become = become

        def set_become_plugin(self, plugin):
            self.become = plugin

    action = Action(None)
    action._connection = Connection()
    private = progress_watch._private(action)
    assert private._connection is not action._connection
    assert private._connection.become is not become
    assert action._connection.become is become
