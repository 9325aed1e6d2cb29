# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers that share another's network namespace (`network_mode: service:gluetun`): are they in the live one?

A restarted parent gets a new namespace, its dependents stay `running` in the dead one with only `lo`, and Compose
calls all of them fine (measured with Compose 2.40.3; https://github.com/qdm12/gluetun/issues/641). Two comparisons
find every case.
"""

from __future__ import annotations

RESTART = "restart"
RECREATE = "recreate"


def verdict(container, parent_name, parent):
    """What `container` needs to be in the namespace of `parent`: None, or (RESTART or RECREATE, why).

    `parent_name`: the service it is to share with; `parent`: that service's container, or None.
    """
    if container.parent_id is None:
        return RECREATE, "it does not run in the network of %s" % parent_name
    if parent is None or container.parent_id != parent.id:
        return RECREATE, "its network parent %s is another container now" % parent_name
    if container.status in ("running", "paused", "restarting") and container.started_at < parent.started_at:
        return RESTART, "its network parent %s was started after it, so it is in a dead network" % parent_name
    return None


def orphans(project):
    """Running containers in a dead namespace, judged by the containers alone: [(container, RESTART or RECREATE,
    why)].
    """
    found = []
    for container in project.containers:
        if not container.parent_id or container.status != "running":
            continue
        parent = project.by_id(container.parent_id)
        if parent is None:
            found.append((container, RECREATE, "its network parent is gone"))
        elif container.started_at < parent.started_at:
            found.append((container, RESTART, "its network parent %s was started after it" % parent.service))
    return found
