# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to happen to containers that share a network after the engine has started them in no order. Pure.

The containers themselves say what should be; everything else is `convergence.plan_present`, as for `site`. Left alone:
what shares no network, what is held, what somebody stopped (`docker stop`, `docker pause`), and who needs that.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import convergence, holds
from ansible_collections.homelab.mediastack.plugins.module_utils import wanted as wanted_services
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import HEALTHY
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import VPN_SERVICE
from ansible_collections.homelab.mediastack.plugins.module_utils.wanted import Wanted


class Repair(NamedTuple):
    """What is to be done, and what is not."""

    plan: convergence.Plan
    #: name → Wanted: what the plan was made from.
    wanted: Mapping[str, Wanted]
    #: service behind another → why it is left as it is, for people.
    left: Mapping[str, str]
    #: Services whose network is gone, and of which no file says whose it was.
    lost: Sequence[str]


def needs_files(project, journal):
    """Whether the containers do not tell all: one is to be made anew. `journal`: of `repair_journal.read`."""
    gone = any(container.parent_id and not project.by_id(container.parent_id) for container in project.containers)
    return gone or any(not project.of(name) for name in journal)


def plan(project, files, held, journal):
    """The Repair of a Project.

    `files`: name → Wanted as the Compose files say, or {} where the containers tell all (`needs_files`); `held`: of
    `holds.read`; `journal`: of `repair_journal.read`.
    """
    parents = {name: parent for name, parent in wanted_services.parents(project, files).items() if parent}
    stopped = {name: holds.since(entry) for name, entry in held.items() if entry["verb"] == holds.STOP}
    vpn = held.get(holds.VPN)
    if vpn:
        stopped.setdefault(VPN_SERVICE, "the VPN is %s" % holds.since(vpn))
    left, due = {}, []
    for name, parent in parents.items():
        why = stopped.get(name) or (stopped.get(parent) and "it needs %s, %s" % (parent, stopped[parent]))
        why = why or _own_choice(name, project, journal)
        if why:
            left[name] = why
        else:
            due.append(name)
    acting = set(due) | {
        parents[name] for name in due if not any(container.active for container in project.of(parents[name]))
    }
    wanted = {
        name: _wanted(name, project, files, parents)
        for name in sorted({*project.services, *acting, *map(parents.get, due)})
    }
    aim = Aim(remove_orphans=False, left={name: left.get(name, "") for name in wanted if name not in acting})
    lost = [
        container.service
        for container in project.containers
        if container.parent_id
        and container.service not in {**parents, **files, **stopped}
        and not _own_choice(container.service, project, journal)
    ]
    shown = {name: why for name, why in left.items() if project.of(name)}
    return Repair(convergence.plan_present(wanted, project, aim), wanted, shown, lost)


def _own_choice(name, project, journal):
    """Why a service that shares a network is not running, if that is how it should be; else None."""
    containers = project.of(name)
    if not containers:
        return None if name in journal else "it has no container"
    one = containers[0]
    if one.status == "paused":
        return "somebody has paused it"
    if one.active or one.error:
        # The engine leaves its complaint at what it could not start, and clears it at the next good start.
        return None
    if one.completed:
        return "it has done its work"
    if journal.get(name, 0) > one.started_at:
        return None
    return "somebody has stopped it" if one.status == "exited" else "it was never started"


def _wanted(name, project, files, parents):
    """A Wanted that differs from the container in nothing but what a repair is about."""
    containers = project.of(name)
    known = files.get(name) or Wanted(name, containers[0].requested_image)
    parent = parents.get(name)
    return known._replace(
        container_name=None,
        content=None,
        config_hashes=(),
        network_parent=parent,
        depends_on={parent: HEALTHY} if parent else {},
        replicas=max(len(containers), 1),
    )
