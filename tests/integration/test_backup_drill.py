# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore drill: apps start from what a backup holds, have no way out, and nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socketserver
import threading

import pytest
from backup_lab import BackupLab, writing
from compose_stack_lab import QUICK, docker, until

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_drill
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker

# Is well exactly when its configuration is there.
WELL = {"test": ["CMD", "cat", "/config/config.xml"], "interval": "1s", "timeout": "5s", "retries": 30}


@pytest.fixture
def lab(box):
    """A project; gone after the test, with what a drill may have left."""
    made = BackupLab()
    yield made
    made.clean()
    assert leftovers(made) == []


def leftovers(lab):
    """Names of what carries a drill's label."""
    label = f"label=org.homelab.mediastack.drill={lab.name}"
    found = docker("ps", "-aq", "--filter", label).split()
    for kind in ("network", "volume"):
        found += docker(kind, "ls", "-q", "--filter", label).split()
    return found


def drill(lab, **more):
    """(result, error) of a drill."""
    made = backup_drill.Drill(str(lab.path), Docker(environ=lab.environ), **{"timeout": 30, **more})
    error = None
    try:
        made.run()
    except backup_drill.ERRORS as failure:
        error = str(failure)
    assert leftovers(lab) == [] and not (lab.backups / ".drill").exists()
    return made.result(), error


def states(result):
    return {name: one["state"] for name, one in result["services"].items()}


def test_a_backup_under_constant_writes_passes_its_drill(lab):
    lab.vpn()
    lab.keeps("sonarr", "sqlite", "config.xml", "sonarr.db", healthcheck=WELL)
    lab.keeps("qbittorrent", "copy", "config.xml", behind="gluetun", healthcheck=WELL)
    lab.add("flaresolverr")
    for name in ("sonarr", "qbittorrent"):
        (lab.config(name) / "config.xml").write_text("<Config/>")
    lab.run()
    lives = lab.lives()
    with writing(lab.config("sonarr") / "sonarr.db"):
        assert lab.backup()[0] == 0
        result, error = drill(lab)
    assert error is None and result["passed"]
    assert states(result) == {"sonarr": "passed", "qbittorrent": "passed"}
    assert lab.lives() == lives
    assert lab.state()["drill"]["ok"] and lab.state()["drill"]["id"] == lab.newest().id
    assert lab.audit()[-1]["verb"] == "drill"


@pytest.mark.long
def test_an_app_that_does_not_come_up_from_its_backup_fails_and_is_named(lab):
    lab.keeps("sonarr", "copy", "other.xml", healthcheck=dict(WELL, retries=3))
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    (lab.config("sonarr") / "other.xml").write_text("")
    lab.run()
    assert lab.backup()[0] == 0
    result, error = drill(lab, timeout=15)
    assert states(result) == {"sonarr": "failed"} and not result["passed"]
    assert error.startswith("sonarr failed: its health check")
    assert lab.state()["drill"]["ok"] is False


def test_a_damaged_backup_is_found_before_anything_is_started(lab):
    lab.keeps("sonarr", "copy", "config.xml", healthcheck=WELL)
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    lab.run()
    assert lab.backup()[0] == 0
    with open(os.path.join(lab.newest().data("sonarr"), "config.xml"), "w", encoding="utf-8") as handle:
        handle.write("<CONFIG/>")
    result, error = drill(lab)
    assert "is damaged: config.xml of sonarr" in " ".join(error.replace(lab.newest().id + ": ", "").split())
    assert result["services"] == {}


def test_an_image_that_is_gone_is_inconclusive_which_is_no_pass(lab, moving_image):
    tag = moving_image()
    lab.keeps("sonarr", "copy", "config.xml", image=tag)
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    lab.run()
    assert lab.backup()[0] == 0
    docker("rm", "-f", lab.one("sonarr")["Id"])
    docker("image", "rm", "-f", tag)
    result, error = drill(lab)
    assert states(result) == {"sonarr": "inconclusive"}
    assert "is not on this host any more, and a drill pulls nothing" in error


# Asks every address at which this machine answers a container; "reached" stands in the file for each that does.
ASK = (
    "for a in 172.17.0.1 $$(ip route | busybox sed -n 's/default via \\([0-9.]*\\) .*/\\1/p'); do "
    "echo | busybox nc -w 2 $$a %d | grep -q hello && echo reached $$a; done >/config/answers; "
    "cat /etc/resolv.conf >/config/resolver; ls /data >/config/data; cat /config/config.xml; echo >/config/over; "
    "trap 'exit 0' TERM; while :; do sleep 0.1; done"
)


@contextlib.contextmanager
def listening():
    """A server of this machine that says hello, on every address; its port, and whom it greeted."""
    greeted = []

    class Hello(socketserver.BaseRequestHandler):
        def handle(self):
            greeted.append(self.client_address)
            self.request.sendall(b"hello\n")

    with socketserver.ThreadingTCPServer(("0.0.0.0", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], greeted
        server.shutdown()
        thread.join()


def test_an_app_in_a_drill_has_no_way_out_not_even_to_the_host(lab):
    """Neither a published port nor a real file nor a resolver; what it has is its own files as they were."""
    with listening() as (port, greeted):
        lab.keeps("sonarr", "copy", "config.xml", command=["sh", "-c", ASK % port], ports=["127.0.0.1::8989"])
        lab.services["sonarr"]["volumes"].append({"type": "bind", "source": str(lab.base), "target": "/data"})
        (lab.config("sonarr") / "config.xml").write_text("<Config/>")
        lab.run()
        until((lab.config("sonarr") / "over").exists, 30, "the real app's look")
        assert "reached" in (lab.config("sonarr") / "answers").read_text() and greeted, (
            "the test sees a way where one is"
        )
        assert lab.backup()[0] == 0
        real, seen, before = lab.one("sonarr"), {}, len(greeted)

        class Watching(backup_drill.Drill):
            def _note(self, name, state, why, seconds=0.0):
                config = pathlib.Path(self.scratch, "config", "sonarr")
                seen.update({entry.name: entry.read_text() for entry in config.iterdir()})
                super()._note(name, state, why, seconds)

        made = Watching(str(lab.path), Docker(environ=lab.environ), timeout=40)
        made.run()
    assert states(made.result()) == {"sonarr": "passed"}
    assert "over" in seen and seen["answers"] == "" and len(greeted) == before
    assert seen["config.xml"] == "<Config/>" and seen["data"].strip() == ""
    assert lab.one("sonarr")["State"]["StartedAt"] == real["State"]["StartedAt"]


def test_a_drill_that_was_killed_is_cleaned_up_by_the_next(lab):
    lab.keeps("sonarr", "copy", "config.xml", healthcheck=WELL)
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    lab.run()
    assert lab.backup()[0] == 0
    pid = os.fork()
    if pid == 0:
        os.close(1)
        os.close(2)
        os.setsid()
        lab.health["sonarr"] = None
        made = backup_drill.Drill(str(lab.path), Docker(environ=lab.environ), timeout=300)
        made.plan["services"]["sonarr"]["health"] = {"kind": "tcp", "port": 9}
        try:
            made.run()
        finally:
            os._exit(0)
    until(lambda: leftovers(lab) and (lab.backups / ".drill").exists(), 30, "the drill")
    until(lambda: len(leftovers(lab)) >= 2, 30, "its container and its network")
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert leftovers(lab)
    result, error = drill(lab)
    assert error is None and states(result) == {"sonarr": "passed"}


def test_gluetun_is_not_drilled_and_says_why(lab):
    lab.keeps("gluetun", "copy", "auth", wiring={"kind": "gluetun"}, healthcheck=dict(QUICK, test=["CMD", "true"]))
    (lab.config("gluetun") / "auth").write_text("x")
    lab.run()
    assert lab.backup()[0] == 0
    result, error = drill(lab)
    assert result["services"]["gluetun"]["state"] == "skipped"
    assert result["services"]["gluetun"]["why"] == "it does nothing without the internet and its VPN"
    assert "no app of the backup" in error, "a skipped one is no pass"


def test_without_a_backup_there_is_nothing_to_try(lab):
    lab.keeps("sonarr", "copy", "config.xml")
    lab.run()
    with pytest.raises(backup_drill.BackupError, match="run the playbook backup"):
        backup_drill.Drill(str(lab.path), Docker(environ=lab.environ))
    assert json.dumps(lab.state()) == "{}"
