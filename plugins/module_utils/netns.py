# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers that share another's network namespace (`network_mode: service:gluetun`): are they in the live one?

A restarted parent gets a new namespace, its dependents stay `running` in the dead one with only `lo`, and Compose
calls all of them fine (measured with Compose 2.40.3; https://github.com/qdm12/gluetun/issues/641). Two comparisons
find every case: of the parent's id, and of the kernel's names of both namespaces. Where the kernel cannot be asked
(not root, an engine elsewhere) the times of start stand in for the names; a clock that was set back in between makes
these lie.
"""

from __future__ import annotations

import os

RESTART = "restart"
RECREATE = "recreate"


LIVE = ("running", "paused", "restarting")


def verdict(container, parent_name, parent):
    """What `container` needs to be in the namespace of `parent`: None, or (RESTART or RECREATE, why).

    `parent_name`: the service it is to share with; `parent`: that service's container, or None.
    """
    if container.parent_id is None:
        return RECREATE, "it does not run in the network of %s" % parent_name
    if parent is None or container.parent_id != parent.id:
        return RECREATE, "its network parent %s is another container now" % parent_name
    why = dead(container, parent_name, parent) if container.status in LIVE else None
    return (RESTART, why) if why else None


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
            continue
        why = dead(container, parent.service, parent)
        if why:
            found.append((container, RESTART, why))
    return found


def dead(container, parent_name, parent):
    """Why the namespace of `container`, made for the one of `parent`, is not the parent's any more; None if it is."""
    older = container.started_at < parent.started_at
    same = same_network(container, parent)
    if same or (same is None and not older):
        return None
    if older:
        return "its network parent %s was started after it, so it is in a dead network" % parent_name
    return "it is in a dead network: the kernel's name for it is not that of the network of %s" % parent_name


def same_network(container, other):
    """Whether the kernel has one name for the networks of two containers; None where that cannot be seen."""
    names = kernel_name(container), kernel_name(other)
    return None if None in names else names[0] == names[1]


def kernel_name(container):
    """The kernel's name of a running container's network namespace; None where that cannot be seen."""
    pid = container.raw["State"].get("Pid") or 0
    if not pid:
        return None
    try:
        # With an engine elsewhere, or a container that ended meanwhile, this pid is another process.
        with open("/proc/%d/cgroup" % pid, encoding="utf-8", errors="replace") as handle:
            if container.id not in handle.read():
                return None
        return os.readlink("/proc/%d/ns/net" % pid)
    except OSError:
        return None
