# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether an app came up in a drill: its container, its own health check, and its probe from inside its network."""

from __future__ import annotations

import time

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state, leak_space, probes

PASSED, FAILED, INCONCLUSIVE, SKIPPED = "passed", "failed", "inconclusive", "skipped"
# Between two looks.
PAUSE = 0.5
# For one probe; an app that has just started may be slow.
PROBE_SECONDS = 10.0
# Without a health check and without a probe all that can be seen is that it runs and goes on doing so.
STEADY_SECONDS = 10.0


def wait(docker, identifier, service, seconds, say, clock=time.monotonic, sleep=time.sleep):
    """(state, why) of one started container: passed as soon as it is well, else when it ends, or after `seconds`.

    `service`: of the plan: `health`, `healthcheck`, `ports`; `say`: of a Progress.
    """
    deadline, why = clock() + seconds, "it did not come up"
    while True:
        found = engine_state.inspect(docker, [identifier])
        if not found:
            return INCONCLUSIVE, "its container was removed meanwhile"
        container = found[0]
        if container.status in ("exited", "dead"):
            return FAILED, "it ended with exit code %d%s" % (container.exit_code, _last_words(docker, container))
        state, why = look(container, service, clock() > deadline - seconds + STEADY_SECONDS)
        if state in (PASSED, INCONCLUSIVE):
            return state, why
        if clock() > deadline:
            return FAILED, "%s, after %g s%s" % (why, seconds, _last_words(docker, container))
        say("waiting for %s" % container.service, why)
        sleep(PAUSE)


def look(container, service, steady):
    """(state, why) of a running container at this moment. `steady`: whether it has run for a while."""
    if container.status != "running":
        return FAILED, "its container is %s" % container.status
    if container.health == "unhealthy":
        return FAILED, "its health check fails"
    if container.health == "starting":
        return FAILED, "its health check has not passed yet"
    health = service.get("health") or {}
    if health.get("kind") in ("http", "tcp"):
        return _probe(container, service, health)
    if container.health == "healthy" or steady:
        return PASSED, ""
    return FAILED, "it has not run for %g s yet" % STEADY_SECONDS


def _probe(container, service, health):
    port = port_of(service, health.get("port"))
    if port is None:
        return INCONCLUSIVE, "its probe names the port %r, which it does not have" % health.get("port")
    try:
        space = leak_space.of(container)
        verdict, why = space.run(probe_here, "127.0.0.1", port, health, deadline=PROBE_SECONDS + 5)
    except leak_space.SpaceError as error:
        return INCONCLUSIVE, "it cannot be probed: %s" % error
    if verdict == probes.OK:
        return PASSED, ""
    return INCONCLUSIVE if verdict == probes.INCONCLUSIVE else FAILED, why


def probe_here(address, port, health):
    """[verdict, message] of one probe from where this process is."""
    target = probes.Target(address, port)
    job = probes.http_probe(target, health) if health["kind"] == "http" else probes.tcp_probe(target)
    outcome = probes.sweep({"probe": job}, PROBE_SECONDS)["probe"]
    return [outcome.verdict, outcome.message]


def port_of(service, wanted):
    """Number of the port inside the container that a probe names; None when there is none."""
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return wanted
    for port in service.get("ports") or []:
        if port["name"] == wanted and port["protocol"] == "tcp":
            return port["target"]
    return None


def _last_words(docker, container):
    lines = engine_state.log_tail(docker, container, 3)
    return ": %s" % lines[-1][:200] if lines else ""
