# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to happen so that the containers are as they should be, and why. Pure: a Project in, a Plan out."""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import gate, netns
from ansible_collections.homelab.mediastack.plugins.module_utils import wanted as wanted_services
from ansible_collections.homelab.mediastack.plugins.module_utils.wanted import layers, needs_of_containers, selection

NONE = "none"
START = "start"
RESTART = "restart"
CREATE = "create"
RECREATE = "recreate"
STOP = "stop"
REMOVE = "remove"
_STRENGTH = (NONE, START, RESTART, RECREATE, CREATE)

# Compose names the new container so until the old one is gone; killed in between, it keeps the name for ever.
TEMPORARY_NAME = re.compile(r"^[0-9a-f]{12}_(.+)$")

# Outside of our own stacks Compose itself is asked again whether it is so.
COMPOSE_SAYS = "its Compose definition changed"


class Decision(NamedTuple):
    """What happens to one service, and why. `gentle`: Compose has the last word, so it may turn out to be nothing."""

    action: str
    reasons: Sequence[str] = ()
    gentle: bool = False


class Plan(NamedTuple):
    """All that is to happen, in no order: the order follows from what needs what."""

    #: service → Decision; services that need nothing are in it too.
    decisions: Mapping[str, Decision] = {}
    #: Containers that go: of services that are no longer wanted.
    remove: Sequence = ()
    #: Containers that go: left by an interrupted run.
    clear: Sequence = ()
    #: [(container, name)]: containers that an interrupted run left with a wrong name.
    rename: Sequence = ()
    #: [(id, name)]: networks that go, duplicates of others.
    drop_networks: Sequence = ()
    messages: Sequence[str] = ()

    @property
    def empty(self):
        """Whether nothing would be done."""
        return not (self.remove or self.clear or self.rename or self.drop_networks or self.acting())

    def acting(self, *actions):
        """Services for which something is to be done; with `actions`, only those."""
        return [
            name
            for name, decision in self.decisions.items()
            if (decision.action in actions if actions else decision.action != NONE)
        ]

    def sentences(self):
        """The plan in words, one sentence an action, for people."""
        said = ["remove %s, left behind by an interrupted run" % container.name for container in self.clear]
        said += ["remove a duplicate of the network %s" % name for _id, name in self.drop_networks]
        said += ["rename %s to %s" % (container.name, name) for container, name in self.rename]
        said += ["remove %s: %s is no longer wanted" % (container.name, container.service) for container in self.remove]
        return said + [sentence(name, self.decisions[name]) for name in self.acting()]


def sentence(name, decision):
    """A Decision on service `name` in words."""
    return "%s %s: %s" % (decision.action, name, "; ".join(decision.reasons))


class Aim(NamedTuple):
    """What a run is asked for, beyond what the services should be."""

    #: Names given by the user; empty: all.
    services: Sequence[str] = ()
    recreate: str = "auto"
    remove_orphans: bool = True
    #: service → why it must not run for a moment (its settings file is edited).
    edits: Mapping[str, str] = {}
    #: service → why its image is another one although the name is the same (pull: always).
    new_images: Mapping[str, str] = {}
    #: container id → why it cannot start with the networks it has.
    broken_networks: Mapping[str, str] = {}
    #: [(id, name)]: networks to remove, with the containers that are attached to them.
    duplicate_networks: Sequence = ()
    #: service → why it is left as it is, whatever it is like.
    left: Mapping[str, str] = {}
    #: container id → what somebody changed about it since it was made.
    by_hand: Mapping[str, Sequence[str]] = {}


#: All services, nothing special.
EVERYTHING = Aim()


def plan_present(wanted, project, aim=EVERYTHING):
    """The Plan that makes `project` what `wanted` (name → Wanted) says."""
    needs = {name: want.depends_on for name, want in wanted.items()}
    selected = selection(wanted, aim.services)
    decisions, clear, rename, kept_of = {}, [], [], {}
    for name in (name for group in layers(wanted, needs) for name in group):
        kept, gone, renamed = _sort_out(wanted[name], project.of(name), aim)
        kept_of[name] = kept
        parent = wanted[name].network_parent
        view = _View(wanted[name], kept, aim, parent, decisions.get(parent), _only(kept_of.get(parent)))
        if name in aim.left or name not in selected:
            decisions[name] = Decision(NONE) if name in aim.left else _follow(view)
            continue
        clear += gone
        rename += [(container, view.name_of(container)) for container in renamed]
        decisions[name] = _decide(view, gone, renamed)
    remove = []
    if aim.remove_orphans and not aim.services:
        remove = [container for container in project.containers if container.service not in wanted]
    scaled = [name for name in selected if wanted[name].replicas == 0 and name not in aim.left]
    idle = [container for name in scaled for container in project.of(name)]
    ordered = {name: decisions[name] for name in wanted}
    messages = [
        "%s: %s (left as it is: recreate is never)" % (name, "; ".join(decision.reasons))
        for name, decision in ordered.items()
        if decision.action == NONE and decision.reasons
    ]
    return Plan(ordered, remove + [c for c in idle if c not in clear], clear, rename, aim.duplicate_networks, messages)


def plan_stopped(project, services=()):
    """The Plan that stops `services` (empty: all), and first what lives in their network. Creates nothing."""
    decisions, messages = _leaving(project, services, STOP, lambda container: container.active)
    return Plan(decisions, messages=messages)


def plan_absent(project, services=()):
    """The Plan that removes the containers of `services` (empty: all); what lives in their network is stopped first."""
    decisions, messages = _leaving(project, services, REMOVE, lambda container: True)
    gone = [
        container
        for container in project.containers
        if decisions.get(container.service, Decision(NONE)).action == REMOVE
    ]
    return Plan(decisions, remove=gone, messages=messages)


def plan_restarted(project, services=(), wanted=None):
    """The Plan that restarts what there is of `services` (empty: all), and what lives in their network.

    A parent that is down comes up first; a dependent whose parent is gone is recreated, from the files as they are.
    `wanted`: name → Wanted where the files were read, for services whose parent has no container.
    """
    needs = needs_of_containers(project)
    for name, want in (wanted or {}).items():
        needs.setdefault(name, {}).update(want.depends_on)
    parents = wanted_services.parents(project, wanted or {})
    asked = set(services) or {c.service for c in project.containers if not c.completed}
    decisions = {}
    for name in (name for group in layers(set(needs) | asked, needs) for name in group):
        containers = project.of(name)
        parent_name = parents.get(name)
        parent_decision = decisions.get(parent_name, Decision(NONE))
        shares = any(container.parent_id for container in containers)
        if name in asked and not containers:
            decisions[name] = Decision(CREATE, ["there is no container"])
        elif (
            shares
            and any(project.by_id(c.parent_id) is None for c in containers)
            and (name in asked or _any_active(containers))
        ):
            decisions[name] = Decision(RECREATE, ["its network parent is gone"])
        elif name in asked:
            decisions[name] = (
                Decision(RESTART, ["asked for"])
                if _any_active(containers)
                else Decision(START, ["asked for, and it was not running"])
            )
        elif shares and parent_decision.action in (RESTART, START) and _any_active(containers):
            decisions[name] = Decision(RESTART, ["its network parent %s is restarted" % parent_name])
        elif shares and parent_decision.action in (CREATE, RECREATE) and _any_active(containers):
            decisions[name] = Decision(RECREATE, ["its network parent %s is recreated" % parent_name])
    for name in list(decisions):
        _bring_up_parent(name, parents.get(name), decisions, project)
    return Plan({name: decisions.get(name, Decision(NONE)) for name in sorted(set(needs) | asked | set(decisions))})


class _View(NamedTuple):
    """What a decision about one service looks at."""

    want: object
    containers: Sequence
    aim: Aim
    parent_name: str | None
    parent_decision: Decision | None
    parent: object | None

    def name_of(self, container):
        """The name that `container` should have."""
        match = TEMPORARY_NAME.match(container.name)
        return self.want.container_name or (match.group(1) if match else container.name)

    @property
    def parent_action(self):
        """What happens to the network parent before."""
        return self.parent_decision.action if self.parent_decision else NONE


def _sort_out(want, containers, aim):
    """(kept, gone, renamed): the service's containers, what an interrupted run left half made, and misnamed."""
    doubled = {identifier for identifier, _name in aim.duplicate_networks}

    def misnamed(container):
        return container.name != want.container_name and TEMPORARY_NAME.match(container.name)

    gone = [
        c
        for c in containers
        if c.status in ("created", "dead", "removing")
        or (misnamed(c) and not c.started_at)
        or doubled.intersection(c.networks.values())
    ]
    kept = [c for c in containers if c not in gone and not misnamed(c)]
    renamed = []
    for container in containers:
        if container in gone or container in kept:
            continue
        # It has run, so there may be something in it: it becomes the service's container if there is no other.
        if len(kept) + len(renamed) < max(want.replicas, 1):
            renamed.append(container)
        else:
            gone.append(container)
    return kept + renamed, gone, renamed


def _decide(view, gone, renamed):
    want, aim = view.want, view.aim
    if want.replicas == 0:
        return Decision(REMOVE, ["it is scaled to 0"]) if view.containers else Decision(NONE)
    if not view.containers:
        return Decision(CREATE, [_why_created(gone)])
    found = []
    for container in view.containers:
        found += _differences(view, container)
    found += [(RECREATE, "its name was %s after an interrupted run" % container.name) for container in renamed]
    if view.parent_name:
        found += _from_parent(view)
    if aim.edits.get(want.name):
        found.append((RESTART, aim.edits[want.name]))
    if len(view.containers) != want.replicas:
        found.append((CREATE, "it has %d of %d containers" % (len(view.containers), want.replicas)))
    if not found:
        return Decision(NONE)
    action = max((action for action, _why in found), key=_STRENGTH.index)
    if action == RESTART and not _any_active(view.containers):
        action = START
    forced = [why for level, why in found if level == RECREATE and why != COMPOSE_SAYS]
    return Decision(action, _unique(why for _action, why in found), action in (CREATE, RECREATE) and not forced)


def _differences(view, container):
    """[(action, why)] for one container that exists."""
    want, aim, found = view.want, view.aim, []
    changed = _definition_changes(want, container) + list(aim.by_hand.get(container.id, ()))
    if aim.recreate == "never":
        found += [(NONE, why) for why in changed]
    else:
        found += [(RECREATE, why) for why in changed]
    if aim.recreate == "always":
        found.append((RECREATE, "asked for (recreate: always)"))
    elif want.name in aim.new_images:
        found.append((RECREATE, aim.new_images[want.name]))
    if want.container_name and container.name != want.container_name and not TEMPORARY_NAME.match(container.name):
        found.append((RECREATE, "its name is %s, it should be %s" % (container.name, want.container_name)))
    if container.id in aim.broken_networks:
        found.append((RECREATE, aim.broken_networks[container.id]))
    if container.status == "paused":
        found.append((START, "it is paused"))
    elif container.status == "exited" and not container.completed:
        found.append((START, "it is not running (ended with code %d)" % container.exit_code))
    elif container.status == "restarting" and container.restart_count >= gate.LOOP_RESTARTS:
        # The engine waits ever longer between two attempts, up to a minute. What it fell over may be gone since then:
        # a full disk that has room again.
        found.append((RESTART, "it fell over %d times in a row" % container.restart_count))
    return found


def _definition_changes(want, container):
    found = []
    if want.content is not None and container.content != want.content:
        # The label alone decides: a Compose file of the user's own may name another image than we do.
        if container.content is None:
            found.append("it was made without this collection")
        elif container.requested_image != want.image:
            found.append("its image changed from %s to %s" % (container.requested_image, want.image))
        else:
            found.append("its definition or a file that it mounts changed")
    if want.config_hashes and container.config_hash not in want.config_hashes:
        found.append(COMPOSE_SAYS)
    return found


def _from_parent(view):
    """[(action, why)] that follow from the network parent: what happens to it, and where the container is."""
    name, action = view.parent_name, view.parent_action
    if action in (CREATE, RECREATE):
        return [(RECREATE, "its network parent %s is %s" % (name, "created" if action == CREATE else "recreated"))]
    found = []
    for container in view.containers:
        verdict = netns.verdict(container, name, view.parent)
        if verdict:
            found.append(verdict)
    if not found and action in (RESTART, START) and _any_active(view.containers):
        found.append((RESTART, "its network parent %s is %sed" % (name, action)))
    return found


def _follow(view):
    """The Decision on a service that was not asked for: it only follows its network parent, and only if it runs."""
    if not view.parent_name or not _any_active(view.containers):
        return Decision(NONE)
    found = _from_parent(view)
    if not found:
        return Decision(NONE)
    action = max((action for action, _why in found), key=_STRENGTH.index)
    return Decision(action, _unique(why for _action, why in found))


def _leaving(project, services, action, concerns):
    """(decisions, messages) for stopping or removing; what shares a network is stopped with its parent."""
    asked = set(services) or set(project.services)
    decisions = {}
    for name in project.services:
        affected = [container for container in project.of(name) if concerns(container)]
        decisions[name] = Decision(action, ["asked for"]) if name in asked and affected else Decision(NONE)
    messages = []
    for container in project.containers:
        parent = project.by_id(container.parent_id) if container.parent_id else None
        if parent and parent.service in asked and container.service not in asked and container.active:
            decisions[container.service] = Decision(STOP, ["it lives in the network of %s" % parent.service])
            messages.append("%s is stopped too: it lives in the network of %s" % (container.service, parent.service))
    return decisions, messages


def _bring_up_parent(name, parent_name, decisions, project):
    """See to it that the network parent of a service that is to run runs itself."""
    if not parent_name or decisions.get(parent_name, Decision(NONE)).action != NONE:
        return
    parents = project.of(parent_name)
    if not parents:
        decisions[parent_name] = Decision(CREATE, ["%s needs its network, and it has no container" % name])
        if project.of(name):
            decisions[name] = Decision(RECREATE, ["its network parent %s is created" % parent_name])
    elif parents[0].status != "running":
        decisions[parent_name] = Decision(START, ["%s needs its network" % name])


def _why_created(gone):
    if any(container.networks and container.status not in ("created", "dead", "removing") for container in gone):
        return "its network is a duplicate"
    return "an earlier run was interrupted before it was started" if gone else "there is no container"


def _any_active(containers):
    return any(container.active for container in containers)


def _only(containers):
    return containers[0] if containers else None


def _unique(reasons):
    return list(dict.fromkeys(reasons))
