# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watching: when a picture is due, what is in it, how workers meet, how they end."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    interruption,
    status_text,
    terminal,
    watch_painter,
    watch_spool,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.watch_spool import Seen

HOSTS = ["nas", "attic", "refused"]


def result(status="HEALTHY", **more):
    return {"services": [report_sample.row("sonarr", status)], **more}


class Scene:
    """A painter with a clock of the test's own."""

    def __init__(self, height=None, outputs=(), columns=80):
        self.now = 1000.0
        self.shown = []
        style = status_text.Style(columns if height else None)
        self.painter = watch_painter.Painter(
            HOSTS,
            HOSTS[:2],
            5,
            set(),
            list(outputs),
            "degraded",
            lambda text, as_it_is=False: self.shown.append((text, as_it_is)),
            lambda: (style, height),
            clock=lambda: self.now,
        )

    def step(self, **moments):
        """How many pictures come of what was seen at these moments."""
        before = len(self.shown)
        self.painter.step({host: Seen(moment, result()) for host, moment in moments.items()})
        return len(self.shown) - before


def test_a_picture_is_due_when_every_host_was_looked_at_anew():
    scene = Scene()
    assert scene.step() == 0
    assert scene.step(nas=1000) == 0, "the other may be about to answer"
    assert scene.step(nas=1000, attic=1001) == 1
    assert scene.step(nas=1000, attic=1001) == 0
    assert scene.step(nas=1005, attic=1001) == 0
    assert scene.step(nas=1005, attic=1006) == 1


def test_a_host_that_hangs_does_not_hold_up_the_others():
    scene = Scene()
    scene.step(nas=1000, attic=1001)
    scene.now += 5.5
    assert scene.step(nas=1005, attic=1001) == 0
    scene.now += 1
    assert scene.step(nas=1005, attic=1001) == 1
    assert scene.step(nas=1005, attic=1001) == 0
    scene.now += 6.5
    assert scene.step(nas=1005, attic=1001) == 1, "its age is to be seen, although nothing is new"


def test_the_first_picture_comes_without_a_host_that_does_not_answer():
    scene = Scene()
    scene.now += watch_painter.FIRST_PATIENCE + 1
    assert scene.step(nas=1000) == 1
    [(text, _as_it_is)] = scene.shown
    assert re.search(r"^attic +\(host\) +UNKNOWN +not looked at yet", text, re.M)
    assert re.search(r"^refused +\(host\) +UNKNOWN +its health was not read", text, re.M)
    assert re.search(r"^nas +sonarr +HEALTHY", text, re.M)


def test_what_was_seen_long_ago_is_not_what_is():
    scene = Scene()
    seen = {"nas": Seen(1000, result()), "attic": Seen(1000, result())}
    scene.now = 1014
    results, sentences = scene.painter.results(seen)
    assert results["nas"]["services"]
    assert sentences == []
    scene.now = 1020
    assert scene.painter.results(seen)[1][0] == "nas: seen 20 s ago, the next look takes long"
    scene.now = 1000 + watch_painter.STALE + 11
    results, sentences = scene.painter.results(seen)
    assert results["nas"] == {"failed": True, "msg": "the last look at it was 71 s ago"}
    assert sentences == []


def test_in_a_pipe_one_table_follows_the_other_with_its_time():
    scene = Scene()
    scene.step(nas=1000, attic=1000)
    scene.step(nas=1001, attic=1001)
    assert len(scene.shown) == 2
    for text, as_it_is in scene.shown:
        assert not as_it_is
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\nHOST ", text)
        assert text.endswith("1 of 3 not healthy: refused (host)\n\n")
        assert "\x1b" not in text


def test_on_a_terminal_it_is_painted_in_place_and_fits():
    scene = Scene(height=7)
    scene.step(nas=1000, attic=1000)
    [(text, as_it_is)] = scene.shown
    assert as_it_is
    assert text.startswith(f"\x1b[?7l{terminal.HOME}")
    assert text.endswith(f"\n{terminal.CLEAR_BELOW}\x1b[?7h")
    lines = text.split("\n")
    assert len(lines) <= 7, "one more would scroll"
    assert re.search(r"\d\d:\d\d:\d\d, every 5 s, Ctrl-C ends", lines[0])
    assert all(line.endswith(terminal.CLEAR_TO_END_OF_LINE) for line in lines[:-1])


def test_files_are_written_anew_each_time_and_trouble_with_one_is_told(tmp_path):
    scene = Scene(outputs=[str(tmp_path / "a.json"), str(tmp_path / "gone" / "b.prom")])
    scene.step(nas=1000, attic=1000)
    first = (tmp_path / "a.json").stat().st_ino
    assert len(json.loads((tmp_path / "a.json").read_text())["services"]) == 3
    scene.step(nas=1001, attic=1001)
    assert (tmp_path / "a.json").stat().st_ino != first
    assert os.listdir(tmp_path) == ["a.json"]
    assert re.search(r"^output: .*b\.prom. cannot be written: No such file", scene.shown[0][0], re.M)


def test_only_lines_of_json():
    scene = Scene(outputs=["-"])
    scene.step(nas=1000, attic=1000)
    scene.step(nas=1001, attic=1001)
    assert [json.loads(text)["schema"] for text, _as_it_is in scene.shown] == [1, 1]
    assert all("\n" not in text for text, _as_it_is in scene.shown)


def test_what_workers_leave_is_found(tmp_path):
    painter, worker = (watch_spool.Spool(str(tmp_path / "spool"), HOSTS) for _each in range(2))
    assert not worker.exists()
    assert worker.put("nas", result()) is False
    painter.create()
    assert worker.exists()
    assert painter.read() == {}
    assert worker.put("attic", result("STOPPED"))
    seen = painter.read()
    assert list(seen) == ["attic"]
    assert seen["attic"].result["services"][0]["status"] == "STOPPED"
    assert time.monotonic() - seen["attic"].moment < 60
    assert painter.read()["attic"] is seen["attic"], "what has not changed is not read again"
    worker.put("attic", result())
    assert painter.read()["attic"].result["services"][0]["status"] == "HEALTHY"
    assert os.stat(tmp_path / "spool").st_mode & 0o777 == 0o700
    for _turn in range(50):
        worker.put("attic", result())
    assert len(os.listdir(tmp_path / "spool")) == 1, "it does not grow"
    painter.remove()
    assert worker.put("attic", result()) is False
    assert os.listdir(tmp_path) == []


def worker(body):
    """A process as a worker of Ansible is one: leader of a group, with a child; what it prints."""
    program = textwrap.dedent(
        """
        import os, signal, subprocess, sys, time
        sys.path.insert(0, {path!r})
        from ansible_collections.homelab.mediastack.plugins.plugin_utils import interruption
        os.setsid()
        child = subprocess.Popen(["sleep", "60"])
        watch = interruption.Interruption()
        def say(text):
            print(text, flush=True)
        """
    ).format(path=str(interruption.__file__).partition("/ansible_collections/")[0])
    return subprocess.Popen(
        [sys.executable, "-c", program + textwrap.dedent(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_between_two_looks_an_interruption_counts_at_once():
    process = worker(
        """
        try:
            with watch.raised():
                say("up")
                time.sleep(60)
        except interruption.Interrupted:
            os.kill(os.getpid(), signal.SIGTERM)  # as Ansible does soon after; it is ignored
            say("tidy")
        child.kill()
        """
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert out == "tidy\n", errors
    assert process.returncode == 0


def test_an_interruption_waits_for_what_is_under_way():
    process = worker(
        """
        try:
            with watch.raised():
                with watch.held():
                    say("up")
                    time.sleep(0.5)
                    say("done")
                say("never")
        except interruption.Interrupted:
            say("child runs: %s" % (child.poll() is None))
        child.kill()
        """
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert out == "done\nchild runs: True\n", errors


def test_an_interruption_does_not_wait_for_ever():
    process = worker(
        """
        try:
            with watch.raised(), watch.held():
                say("up")
                child.wait()
        except interruption.Interrupted:
            say("child ended by %d" % child.wait())
        """
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=interruption.GRACE + 15)
    assert out == f"child ended by -{signal.SIGINT.value}\n", errors
    assert process.returncode == 0


def test_tidying_up_that_hangs_comes_to_an_end():
    process = worker(
        """
        try:
            with watch.raised():
                say("up")
                time.sleep(60)
        except interruption.Interrupted:
            child.kill()
            time.sleep(60)
        """
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=interruption.PATIENCE + 15)
    assert process.returncode == -signal.SIGALRM


def test_without_an_interruption_everything_is_as_before():
    before = signal.getsignal(signal.SIGINT)
    watch = interruption.Interruption()
    with watch.raised(), watch.held():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize(("term", "moves"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_where_the_cursor_can_move(monkeypatch, term, moves):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(terminal, "ON_TERMINAL", True)
    assert terminal.can_move() is moves
    monkeypatch.setattr(terminal, "ON_TERMINAL", False)
    assert terminal.can_move() is False


def test_the_size_of_a_terminal_by_its_name(monkeypatch):
    primary, secondary = os.openpty()
    try:
        os.set_blocking(secondary, False)
        subprocess.run(["stty", "cols", "93", "rows", "31"], stdin=secondary, check=True)
        monkeypatch.setattr(terminal, "DEVICE", os.ttyname(secondary))
        assert terminal.size() == (93, 31)
        monkeypatch.setattr(terminal, "DEVICE", "/nonexistent/tty")
        assert terminal.size() is None
        monkeypatch.setattr(terminal, "DEVICE", None)
        assert terminal.size() is None
    finally:
        os.close(primary)
        os.close(secondary)
