# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Predicates on recorded containers, and the waiter with a clock of its own."""

from __future__ import annotations

import copy
import json
import pathlib

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import Container, Project
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import (
    COMPLETED,
    FAILED,
    HEALTHY,
    SETTLED,
    STABLE,
    STARTED,
    WAITING,
    Gate,
    judge,
)

RECORDED = pathlib.Path(__file__).parents[1] / "fixtures" / "inspect"


def raw(service, name="every_kind"):
    return next(
        one
        for one in json.loads((RECORDED / f"{name}.json").read_text())
        if one["Config"]["Labels"]["com.docker.compose.service"] == service
    )


@pytest.mark.parametrize("log", [[], [{"ExitCode": 7}, {"ExitCode": 0}]])
def test_what_was_paused_is_unhealthy_to_the_engine_until_it_is_checked_again(log):
    known = raw("unhealthy")
    known["State"]["Health"]["Log"] = log
    verdict = judge(Container(known), STABLE, 2, 9)
    assert (verdict.status, "is to be checked again" in verdict.what) == (WAITING, True), verdict


@pytest.mark.parametrize(
    ("service", "goal", "uptime", "status", "words"),
    [
        ("running", STABLE, 5, SETTLED, "runs"),
        ("running", STABLE, 1, WAITING, "runs for 1.0 s, 2 s are asked for"),
        ("running", STARTED, 0, SETTLED, "runs"),
        ("running", HEALTHY, 0, SETTLED, "runs"),
        ("running", COMPLETED, 9, WAITING, "still runs"),
        ("migrated", STABLE, 0, SETTLED, "has done its work"),
        ("migrated", COMPLETED, 0, SETTLED, "has done its work"),
        ("failed", STABLE, 0, FAILED, "ended with code 4"),
        ("failed", COMPLETED, 0, FAILED, "ended with code 4"),
        ("looping", STABLE, 0, FAILED, "crash loop: ended with code 3"),
        ("looping", STARTED, 0, FAILED, "crash loop"),
        ("unhealthy", STABLE, 9, FAILED, "is unhealthy: its health check failed with code 7: connection refused"),
        ("unhealthy", HEALTHY, 9, FAILED, "is unhealthy"),
        ("unhealthy", STARTED, 9, SETTLED, "runs"),
        ("starting", STABLE, 99, WAITING, "its health check has not passed yet"),
        ("nostart", STABLE, 0, FAILED, "could not be started"),
    ],
)
def test_judgement(service, goal, uptime, status, words):
    verdict = judge(Container(raw(service)), goal, 2, uptime)
    assert (verdict.status, words in verdict.what) == (status, True), verdict


@pytest.mark.parametrize(
    ("state", "status"), [("dead", FAILED), ("paused", FAILED), ("removing", FAILED), ("created", WAITING)]
)
def test_other_states(state, status):
    one = raw("running")
    one["State"]["Status"] = state
    assert judge(Container(one), STABLE, 2, 9).status == status


def test_stopped_by_somebody_is_told_apart_from_a_crash():
    one = raw("running")
    one["State"].update(Status="exited", ExitCode=137)
    assert judge(Container(one), STABLE, 2, 9).stopped is True
    assert judge(Container(raw("failed")), STABLE, 2, 9).stopped is False


def test_a_container_that_crashed_before_must_hold_out_longer():
    one = raw("running")
    one["RestartCount"] = 1
    assert judge(Container(one), STABLE, 2, 5).status == WAITING
    assert judge(Container(one), STABLE, 2, 10).status == SETTLED


def test_one_crash_after_a_long_life_is_no_loop():
    one = raw("looping")
    one["State"].update(StartedAt="2026-11-20T00:00:00Z", FinishedAt="2026-11-22T00:00:00Z")
    assert judge(Container(one), STABLE, 2, 0).status == WAITING


def test_out_of_memory_is_said():
    one = raw("failed")
    one["State"]["OOMKilled"] = True
    assert "out of memory" in judge(Container(one), STABLE, 2, 0).what


class World:
    """Time and containers: `script` is a list of (seconds, change of the raw container)."""

    def __init__(self, one, script=()):
        self.one, self.script, self.now, self.reads = copy.deepcopy(one), list(script), 0.0, 0

    def read(self):
        self.reads += 1
        while self.script and self.script[0][0] <= self.now:
            self.script.pop(0)[1](self.one)
        return Project("media", "/srv/mediastack/compose", [Container(copy.deepcopy(self.one))])

    def sleep(self, seconds):
        self.now += seconds

    def gate(self, stable_for=2):
        started = Container(self.one).started_at / 1e9
        return Gate(self.read, stable_for, clock=lambda: self.now, wall=lambda: started + self.now, sleep=self.sleep)


def test_waits_until_it_is_stable():
    world = World(raw("running"))
    assert world.gate().wait({"running": STABLE}, 60)["running"].status == SETTLED
    assert 2 <= world.now < 2.5


def test_settled_already_needs_no_look_and_no_time():
    world = World(raw("running"))
    project, world.now = world.read(), 100
    assert world.gate().wait({"running": STABLE}, 160, project)["running"].status == SETTLED
    assert (world.reads, world.now) == (1, 100)


def test_a_restart_starts_the_clock_again():
    def restart(one):
        one["RestartCount"] += 1
        one["State"]["StartedAt"] = "2099-01-01T00:00:00Z"

    world = World(raw("running"), [(1, restart)])
    world.gate().wait({"running": STABLE}, 60)
    assert world.now >= 11


def test_three_restarts_while_it_is_watched_are_a_loop():
    def restart(one):
        one["RestartCount"] += 1

    world = World(raw("running"), [(0.5, restart), (1, restart), (1.5, restart)])
    verdict = world.gate(stable_for=30).wait({"running": STABLE}, 60)["running"]
    assert verdict.status == FAILED and "crash loop" in verdict.what
    assert world.now < 2


def test_the_deadline_ends_it():
    world = World(raw("starting"))
    verdict = world.gate().wait({"starting": STABLE}, 5)["starting"]
    assert verdict.status == WAITING and 5 <= world.now < 5.5


def test_healthy_comes():
    def healthy(one):
        one["State"]["Health"]["Status"] = "healthy"

    world = World(raw("starting"), [(3, healthy)])
    assert world.gate().wait({"starting": STABLE}, 60)["starting"].status == SETTLED
    assert 3 <= world.now < 3.5


def test_no_container_is_a_failure():
    world = World(raw("running"))
    assert world.gate().wait({"other": STABLE}, 60)["other"].what == "has no container"


def test_first_failure_ends_the_wait_unless_patient():
    gone = {"other": STABLE, "running": STABLE}
    world = World(raw("running"))
    assert world.gate().wait(gone, 60)["running"].status == WAITING and world.now == 0
    assert world.gate().wait(gone, 60, patient=True)["running"].status == SETTLED and world.now >= 2
