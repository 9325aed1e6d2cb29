# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is it really up? Predicates on one container, and the one waiter.

`docker compose up --wait` is never used: it calls a crash loop healthy and its timeout is unreliable (measured with
2.40.3).
"""

from __future__ import annotations

import time
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT, names

SETTLED, WAITING, FAILED = "settled", "waiting", "failed"

# What a service is waited for. The last is ours: everything that can be said at the end of a run.
STARTED, HEALTHY, COMPLETED, STABLE = "service_started", "service_healthy", "service_completed_successfully", "stable"

POLL_SECONDS = 0.25
# So many restarts make a loop, when the last life was shorter than what the engine itself takes for a good start (10
# s).
LOOP_RESTARTS = 3
SHORT_LIFE_SECONDS = 10
# A container that has crashed before must hold out longer until it is believed.
CRASHED_BEFORE_FACTOR = 5


class Verdict(NamedTuple):
    """`status`: SETTLED, WAITING or FAILED; `what`: the reason in words; `stopped`: it ended although the engine
    would restart it.
    """

    status: str
    what: str
    stopped: bool = False


class Watch:
    """What was seen of one container since the waiting began."""

    def __init__(self, container, now):
        self.restarts_at_first = container.restart_count
        self.life, self.since = self._life(container), now

    def seen(self, container, now):
        """Note the container's present life; `now` in seconds of a monotonic clock."""
        if self._life(container) != self.life:
            self.life, self.since = self._life(container), now

    @staticmethod
    def _life(container):
        return container.started_at, container.restart_count


def judge(container, goal, stable_for, uptime, new_restarts=0):
    """The Verdict on one container.

    `goal`: one of the four above; `stable_for` in seconds; `uptime`: seconds for which the present life is known to
    last; `new_restarts`: restarts while it was watched.
    """
    if container.status == "exited":
        return _judge_exited(container, goal)
    if container.status in ("dead", "paused", "removing"):
        return Verdict(FAILED, "is %s" % container.status)
    if container.status == "created":
        if container.error:
            return Verdict(FAILED, "could not be started: %s" % container.error)
        return Verdict(WAITING, "was not started yet")
    if _loops(container, new_restarts):
        return Verdict(
            FAILED,
            "crash loop: ended with code %d%s, restarted %d times"
            % (container.exit_code, " (out of memory)" if container.oom_killed else "", container.restart_count),
        )
    if container.status == "restarting":
        return Verdict(WAITING, "ended with code %d and is being restarted" % container.exit_code)
    if goal == COMPLETED:
        return Verdict(WAITING, "still runs")
    if goal == STARTED:
        return Verdict(SETTLED, "runs")
    if container.health == "unhealthy" and not any(entry.get("ExitCode") for entry in container.health_log[-1:]):
        # The engine says so of every container that is paused, until the first check afterwards.
        return Verdict(WAITING, "is to be checked again: nothing was wrong before it was paused")
    if container.health == "unhealthy":
        return Verdict(FAILED, "is unhealthy: its health check failed %s" % _last_check(container))
    if container.health == "starting":
        return Verdict(WAITING, "is starting: its health check has not passed yet%s" % _so_far(container))
    if goal == STABLE:
        needed = stable_for * (CRASHED_BEFORE_FACTOR if container.restart_count else 1)
        if uptime < needed:
            return Verdict(WAITING, "runs for %.1f s, %g s are asked for" % (uptime, needed))
    return Verdict(SETTLED, container.health or "runs")


class Gate:
    """Waits until services are as they should be."""

    def __init__(self, read, stable_for, clock=time.monotonic, wall=time.time, sleep=time.sleep, progress=SILENT):
        """`read()` returns the present Project; `stable_for` in seconds; `progress`: told what is waited for."""
        self.read = read
        self.stable_for = stable_for
        self._clock, self._wall, self._sleep = clock, wall, sleep
        self._progress = progress
        self._watched = {}
        self.project = None

    def look(self, goals, project):
        """service → Verdict on one Project; `goals`: service → what it is waited for."""
        self.project = project
        return {
            service: self._worst([self._verdict(container, goal) for container in project.of(service)])
            for service, goal in goals.items()
        }

    def wait(self, goals, deadline, project=None, patient=False):
        """Look until every service is settled, the first has failed, or `deadline` (monotonic seconds) has come.

        `project`: what was read already; `patient`: go on for the others when one has failed. Returns service →
        Verdict; WAITING ones are those that the deadline or another's failure cut short. The last Project looked at
        is kept as `project`.
        """
        while True:
            verdicts = self.look(goals, project or self.read())
            states = {verdict.status for verdict in verdicts.values()}
            if WAITING not in states or (FAILED in states and not patient) or self._clock() >= deadline:
                return verdicts
            project = None
            self._tell({name: verdict.what for name, verdict in verdicts.items() if verdict.status == WAITING})
            self._sleep(POLL_SECONDS)

    def _tell(self, waiting):
        first = next(iter(waiting))
        why = waiting[first] if len(waiting) == 1 else "%s %s" % (first, waiting[first])
        self._progress.say("waiting for %s" % names(waiting), why)

    def _verdict(self, container, goal):
        now = self._clock()
        watch = self._watched.setdefault(container.id, Watch(container, now))
        watch.seen(container, now)
        # The engine's clock serves for what began before we looked, ours for the rest: neither may jump us over the
        # waiting.
        uptime = max(now - watch.since, self._wall() - container.started_at / 1e9)
        return judge(container, goal, self.stable_for, uptime, container.restart_count - watch.restarts_at_first)

    @staticmethod
    def _worst(verdicts):
        order = (FAILED, WAITING, SETTLED)
        return (
            min(verdicts, key=lambda verdict: order.index(verdict.status))
            if verdicts
            else Verdict(FAILED, "has no container")
        )


def _judge_exited(container, goal):
    if container.exit_code == 0 and (goal == COMPLETED or container.completed):
        return Verdict(SETTLED, "has done its work")
    what = "ended with code %d%s" % (container.exit_code, " (out of memory)" if container.oom_killed else "")
    if container.error:
        what += ": " + container.error
    return Verdict(
        FAILED, what, stopped=container.restart_policy in ("always", "unless-stopped") and not container.error
    )


def _loops(container, new_restarts):
    if new_restarts >= LOOP_RESTARTS:
        return True
    life = (container.finished_at - container.started_at) / 1e9
    return (
        container.status == "restarting" and container.restart_count >= LOOP_RESTARTS and 0 <= life < SHORT_LIFE_SECONDS
    )


def _last_check(container):
    if not container.health_log:
        return "(the engine kept no output)"
    last = container.health_log[-1]
    output = " ".join((last.get("Output") or "").split())
    return "with code %s%s" % (last.get("ExitCode"), ": " + output[:200] if output else " and no output")


def _so_far(container):
    failed = [entry for entry in container.health_log if entry.get("ExitCode")]
    return ", last failed %s" % _last_check(container) if failed and failed[-1] is container.health_log[-1] else ""
