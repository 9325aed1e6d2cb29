# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what `docker inspect` shows and what a probe found to one status and one sentence (pure).

A container that runs is no proof of health: it may be in a crash loop between two crashes, sit in the network
namespace of a parent that is gone, or answer 200 with a body that says "Degraded". What cannot be known is UNKNOWN,
never HEALTHY.
"""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import netns, probes

HEALTHY = "HEALTHY"
DEGRADED = "DEGRADED"
STARTING = "STARTING"
UNHEALTHY = "UNHEALTHY"
STOPPED = "STOPPED"
MISSING = "MISSING"
UNKNOWN = "UNKNOWN"
_NAMESPACE = "the network namespace"

START_GRACE = 60
"""Seconds after its start in which a failing probe means STARTING; a longer start period of its check wins."""

CRASH_WINDOW = 60
CRASH_RESTARTS = 3
"""So many restarts, the last within CRASH_WINDOW seconds, are a crash loop.

The engine's pause between two restarts doubles up to a minute and counting starts anew with every start by hand, so a
container that has run for a minute is out of the loop.
"""

JUST_RESTARTED = 10
"""Seconds after a restart by the engine in which a container is not yet called healthy: as long as the engine itself
takes to believe it (it resets the pause between restarts after ten seconds)."""

SETTLED = 2
"""Seconds that a container without any check must have run."""

RUNS_LABEL = "mediastack.lab.runs"
"""Image label of the lab: what really runs inside, `real 5.1.0` or `stand-in`."""


class Verdict(NamedTuple):
    """What the engine alone says: a status, its reason, and whether a probe can add anything."""

    status: str
    message: str = ""
    probe: bool = False


def ago(seconds):
    """A duration as a person says it: `12 s`, `5 min`, `3 h`, `2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 86400 and seconds >= size):
            return "%d %s" % (seconds // size, unit)
    return "%d s" % max(0, seconds)


def uptime(container, now):
    """Seconds since the container's present start; 0 when the clock was set back meanwhile."""
    return max(0.0, now - container.started_at / 1e9)


def judge_container(service, container, parent, now):
    """The verdict on a container without asking the service itself.

    Args:
        service: entry of the module's `services`.
        container: its engine_state.Container, or None.
        parent: that of the container whose network namespace it uses, None when that is gone or it has its own.
        now: seconds since the epoch.
    """
    if container is None:
        return Verdict(MISSING, "no container; run site")
    if container.status == "running":
        return _judge_running(service, container, parent, now)
    if container.status == "restarting":
        return Verdict(UNHEALTHY, "crash loop: %s" % _restarts(container))
    if container.status == "paused":
        return Verdict(STOPPED, "paused by hand; docker unpause %s" % container.name)
    if container.status in ("dead", "removing"):
        what = "the engine did not remove it completely (%s); docker rm --force %s" % (container.status, container.name)
        return Verdict(UNHEALTHY, what)
    if container.status in ("created", "exited") and container.error:
        return Verdict(UNHEALTHY, "could not be started: %s" % probes.excerpt(container.error, 200))
    if container.status == "created":
        return Verdict(STOPPED, "created, never started; run start")
    if container.status == "exited":
        return _judge_exited(container, now)
    return Verdict(UNKNOWN, "the engine calls its state %r" % container.status)


def _judge_exited(container, now):
    """Stopped by hand, or ended by itself: with a restart policy only the former leaves a container in this state."""
    when = ago(now - container.finished_at / 1e9)
    restarts = container.restart_policy in ("always", "unless-stopped")
    if container.oom_killed and not restarts:
        return Verdict(UNHEALTHY, "killed %s ago, out of memory" % when)
    if restarts or container.exit_code in (0, 137, 143):
        return Verdict(STOPPED, "stopped %s ago (exit code %d)" % (when, container.exit_code))
    return Verdict(
        UNHEALTHY,
        "ended %s ago with exit code %d, and nothing restarts it (restart policy %s)"
        % (when, container.exit_code, container.restart_policy),
    )


def _judge_running(service, container, parent, now):
    problem = _network_problem(service, container, parent)
    if problem:
        return Verdict(UNHEALTHY, problem)
    up = uptime(container, now)
    restarts = container.restart_count
    if restarts >= CRASH_RESTARTS and up < CRASH_WINDOW:
        return Verdict(UNHEALTHY, "crash loop: %d restarts, up for %s" % (restarts, ago(up)))
    if container.health == "unhealthy":
        return Verdict(UNHEALTHY, "its own health check fails%s" % _last_check(container))
    if container.health == "starting":
        what = "up for %s, its health check has not passed yet%s" % (ago(up), _last_check(container))
        return Verdict(STARTING, what, True)
    if restarts and up < JUST_RESTARTED:
        return Verdict(STARTING, "restarted by the engine %s ago" % ago(up), True)
    if container.health is None and (service.get("health") or {}).get("kind", "container") == "container":
        if up < SETTLED:
            return Verdict(STARTING, "up for %s" % ago(up), True)
        return Verdict(HEALTHY, "runs; it has no health check", True)
    return Verdict(HEALTHY, "", True)


def stays_so(row):
    """Whether waiting changes nothing about a row of the result: stopped, missing, in a network that is not its own."""
    if row["status"] in (STOPPED, MISSING):
        return True
    return row["status"] == UNHEALTHY and row["message"].startswith(("is in " + _NAMESPACE, "is not in " + _NAMESPACE))


def _network_problem(service, container, parent):
    """A namespace that is dead, or not the one that the inventory wants.

    Measured: a container whose parent was restarted or replaced keeps running, with `lo` as its only interface, and
    Compose calls it fine (https://github.com/qdm12/gluetun/issues/641).
    """
    holder = service.get("holder")
    wants_other = holder and holder not in (service["name"], service.get("container"), container.name)
    if not container.parent_id:
        if wants_other:
            return "is not in %s of %s, where the inventory wants it; run site" % (_NAMESPACE, holder)
        return ""
    name = holder if wants_other else (parent.name if parent else container.parent_id[:12])
    if parent is None:
        return "in a dead network namespace (the %s it belonged to is gone); run site" % name
    if parent.status not in ("running", "paused"):
        return "in a dead network namespace (%s is not running); run site" % name
    if netns.dead(container, name, parent):
        older = container.started_at < parent.started_at
        why = "%s was started after it" if older else "the kernel says that %s is in another one"
        return "in a dead network namespace (%s); run site" % (why % name)
    if wants_other and holder not in (parent.name, parent.service):
        return "is in %s of %s, the inventory wants that of %s; run site" % (_NAMESPACE, parent.name, holder)
    return ""


def _restarts(container):
    memory = ", out of memory" if container.oom_killed else ""
    return "%d restarts, last exit code %d%s" % (container.restart_count, container.exit_code, memory)


def _last_check(container):
    """What the last failing run of the health check said."""
    for entry in reversed(container.health_log):
        if entry.get("ExitCode"):
            output = probes.excerpt(entry.get("Output") or "", 120)
            return " (exit code %d: %s)" % (entry["ExitCode"], output)
    return ""


def combine(verdict, outcome, container, now, grace=START_GRACE):
    """Status and message from the engine's verdict and the probe's outcome (None: there was no probe).

    `grace`: seconds after the container's start in which a failing probe is no fault.
    """
    if outcome is None or not verdict.probe:
        return verdict.status, verdict.message
    if outcome.verdict == probes.OK:
        return verdict.status, verdict.message
    if verdict.status == STARTING:
        return STARTING, "%s; %s" % (verdict.message, outcome.message)
    if outcome.verdict == probes.INCONCLUSIVE:
        return UNKNOWN, outcome.message
    up = uptime(container, now)
    if up < start_period(container, grace):
        return STARTING, "up for %s; %s" % (ago(up), outcome.message)
    return (DEGRADED if outcome.verdict == probes.DEGRADED else UNHEALTHY), outcome.message


def start_period(container, grace):
    """Seconds after the start in which a failing probe is no fault: `grace`, or its health check's own start period."""
    check = container.raw["Config"].get("Healthcheck") or {}
    return max(grace, (check.get("StartPeriod") or 0) / 1e9)


def image_note(service, container):
    """A remark when another image runs than the inventory names: only `update` moves a running service."""
    running = container.requested_image
    wanted = service.get("image")
    if not wanted or not running or running == wanted or running.startswith("sha256:"):
        return ""
    return "runs %s, the inventory says %s" % (running, wanted)


def row(service, host, status, message, container=None, latency_ms=None, url=""):
    """One entry of the result model."""
    entry = {
        "host": host,
        "name": service["name"],
        "title": service.get("title") or service["name"],
        "status": status,
        "message": message,
        "latency_ms": latency_ms,
        "container": container.name if container else None,
        "image": container.requested_image if container else service.get("image"),
        "url": service.get("url") or url or None,
    }
    runs = container.labels.get(RUNS_LABEL) if container else None
    if runs:
        entry["runs"] = runs
    return entry


def is_healthy(rows):
    """Whether there is something to judge and every service of it is HEALTHY."""
    return bool(rows) and all(entry["status"] == HEALTHY for entry in rows)
