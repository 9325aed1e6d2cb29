# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run tells: the state of each service, the diff, and failures in words. Pure but for the cache of digests."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import (
    CREATE,
    NONE,
    RECREATE,
    REMOVE,
    STOP,
    Decision,
)

DIGESTS_FILE = "images.json"
FAILURES_SHOWN = 5


def services(names, project, decisions, digests):
    """name → what `docker inspect` says of the service's first container, and what was done to it and why."""
    found = {}
    for name in names:
        decision = decisions.get(name, Decision(NONE))
        containers = project.of(name)
        one = containers[0] if containers else None
        found[name] = {
            "state": one.status if one else "absent",
            "health": one.health if one else None,
            "image": one.requested_image if one else None,
            "image_id": one.image_id if one else None,
            "digest": digests.get(one.image_id) if one else None,
            "container_id": one.id if one else None,
            "container": one.name if one else None,
            "ports": one.ports if one else [],
            "action": decision.action,
            "reasons": list(decision.reasons),
        }
    return found


def services_diff(plan, project, wanted):
    """The section of the diff about containers; None when nothing happens to them."""
    before, after = [], []
    for name in sorted(plan.acting()):
        decision = plan.decisions[name]
        containers = project.of(name)
        before.append("%s: %s\n" % (name, _line(containers[0]) if containers else "absent"))
        fresh = decision.action in (CREATE, RECREATE) and name in wanted
        image = wanted[name].image if fresh or not containers else containers[0].requested_image
        state = {STOP: "exited", REMOVE: "absent"}.get(decision.action, "running")
        text = state if state == "absent" else "%s %s" % (state, image)
        after.append("%s: %s (%s: %s)\n" % (name, text, decision.action, "; ".join(decision.reasons)))
    known = {(container.service, container.id) for name in plan.acting() for container in project.of(name)}
    for container in list(plan.clear) + list(plan.remove):
        if container in plan.clear or (container.service, container.id) not in known:
            before.append("%s: %s\n" % (container.name, _line(container)))
    if not before and not after:
        return None
    return {"before_header": "services", "after_header": "services", "before": "".join(before), "after": "".join(after)}


def _line(container):
    return "%s %s" % (container.status, container.requested_image)


def failure_message(failures, waiting, total):
    """The readable text for services that are not as they should be.

    `failures`: of the result; `waiting`: names cut short.
    """
    lines = ["%d of %d services failed:" % (len(failures), total)]
    for failure in failures[:FAILURES_SHOWN]:
        last = failure["log"][-1][:200] if failure["log"] else ""
        lines.append(
            "  %s %s%s" % (failure["service"], failure["what"], " | last line of its log: %s" % last if last else "")
        )
    if len(failures) > FAILURES_SHOWN:
        lines.append(
            "  and %d more: %s"
            % (len(failures) - FAILURES_SHOWN, ", ".join(failure["service"] for failure in failures[FAILURES_SHOWN:]))
        )
    if waiting:
        lines.append("  not ready yet when this ended: %s" % ", ".join(sorted(waiting)))
    return "\n".join(lines)


def health_log(container, entries=3):
    """The last outputs of a container's health check: [{exit_code, output}]."""
    return [
        {"exit_code": entry.get("ExitCode"), "output": (entry.get("Output") or "").strip()[:1000]}
        for entry in (container.health_log if container else [])[-entries:]
    ]


def digests(project_path, fresh, keep=True):
    """image id → digest: those remembered (`docker inspect` of a container does not tell them), and `fresh` ones,
    which are kept unless `keep` is false.
    """
    path = os.path.join(project_path, ".mediastack", DIGESTS_FILE)
    try:
        known = atomic_files.read_json(path, {})
    except atomic_files.FileError:
        known = {}
    together = dict(known, **fresh)
    if keep and together != known and os.path.isdir(os.path.dirname(path)):
        atomic_files.write_json(path, together)
    return together
