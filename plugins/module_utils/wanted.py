# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each service should be: from our bundle, or from any Compose project on the host."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import IMAGE_LABEL
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import HEALTHY, STARTED


class Wanted(NamedTuple):
    """One service as it should be."""

    name: str
    image: str
    #: None: as Compose names it.
    container_name: str | None = None
    #: Value of our content label; None in a project that is not ours.
    content: str | None = None
    #: Compose's own hashes, as `up` would write them; empty where the content label decides.
    config_hashes: Sequence[str] = ()
    #: The service whose network namespace it shares.
    network_parent: str | None = None
    #: service → condition of Compose.
    depends_on: Mapping[str, str] = {}
    replicas: int = 1
    platform: str | None = None
    #: What its image is pulled by; None: whatever its tag is.
    digest: str | None = None
    #: The image that it gets as long as the host has it, whatever its tag is.
    image_id: str | None = None
    #: Whether its image is built from a Dockerfile of the project, so that no registry has it.
    built: bool = False


def from_bundle(services, labels):
    """name → Wanted. `services`: of the bundle; `labels`: service → value of the content label, where it is known."""
    found = {}
    for name, service in services.items():
        parent = service.get("network_parent")
        needs = service.get("depends_on") or {}
        if not isinstance(needs, Mapping):
            # Compose's files have the conditions; here they follow from what the other service offers.
            needs = {other: HEALTHY if services.get(other, {}).get("healthcheck") else STARTED for other in needs}
        found[name] = Wanted(
            name=name,
            image=service["image"],
            container_name=service.get("container_name") or name,
            content=labels.get(name),
            network_parent=parent,
            depends_on=_with_parent(needs, parent),
        )
    return found


def from_config(config, hashes):
    """name → Wanted.

    `config`: what `docker compose config --format json` printed; `hashes`: service → hashes that Compose may have
    given it.
    """
    found = {}
    for name, service in (config.get("services") or {}).items():
        parent = shares_network_of(service)
        needs = {
            other: (need or {}).get("condition", STARTED) for other, need in (service.get("depends_on") or {}).items()
        }
        replicas = service.get("scale", (service.get("deploy") or {}).get("replicas", 1))
        found[name] = Wanted(
            name=name,
            image=_image(config, name),
            container_name=service.get("container_name"),
            config_hashes=hashes.get(name, ()),
            network_parent=parent,
            depends_on=_with_parent(needs, parent),
            replicas=1 if replicas is None else int(replicas),
            platform=service.get("platform"),
            built="build" in service,
        )
    return found


def shares_network_of(service):
    """The service whose namespace a Compose service shares, or None."""
    mode = service.get("network_mode") or ""
    return mode[len("service:") :] if mode.startswith("service:") else None


def resolve_parents(config, project):
    """`config` with every shared namespace spelled as the id of the parent's container.

    Compose hashes a service after this step, so only so does `config --hash` agree with the label of a running
    container (checked with 2.20.3, 2.26.1, 2.34.0 and 2.40.3). Where the parent has no container nothing can be
    compared, nor need be.
    """
    services = {}
    for name, service in (config.get("services") or {}).items():
        parents = project.of(shares_network_of(service)) if shares_network_of(service) else []
        services[name] = dict(service, network_mode="container:" + parents[0].id) if parents else service
    return dict(config, services=services)


def without_needs(config):
    """`config` without any `depends_on`."""
    services = {
        name: {key: value for key, value in service.items() if key != "depends_on"}
        for name, service in (config.get("services") or {}).items()
    }
    return dict(config, services=services)


def with_kept_images(config, project):
    """`config` as `compose_cli.overrides` made it for containers that kept their image although its tag had moved."""
    services = dict(config.get("services") or {})
    for name, service in services.items():
        for container in project.of(name)[:1]:
            asked = container.labels.get(IMAGE_LABEL)
            if asked and asked == _image(config, name):
                labels = dict(service.get("labels") or {}, **{IMAGE_LABEL: asked.replace("$", "$$")})
                services[name] = dict(service, image=container.image_id, labels=labels)
    return dict(config, services=services)


def needs_of_containers(project):
    """service → {service: condition}, as the containers themselves tell it; for runs that do not read the files."""
    needs = {}
    for container in project.containers:
        mine = needs.setdefault(container.service, {})
        mine.update(container.depends_on)
        parent = project.by_id(container.parent_id) if container.parent_id else None
        if parent:
            mine[parent.service] = HEALTHY
    return needs


def parents(project, services):
    """service → the service whose network it shares: as `services` (name → Wanted) say, else as the containers show."""
    found = {}
    for container in project.containers:
        holder = project.by_id(container.parent_id) if container.parent_id else None
        if holder:
            found[container.service] = holder.service
    found.update((name, want.network_parent) for name, want in services.items())
    return found


def layers(names, needs):
    """`names` in groups, each needing only what stands in earlier ones. `needs`: service → services it needs.

    A circle, which Compose would refuse, ends up in one last group.
    """
    left, groups = set(names), []
    while left:
        ready = {
            name for name in left if not any(other in left and other != name for other in reach(name, needs))
        } or left
        groups.append(sorted(ready))
        left = left - ready
    return groups


def reach(name, needs):
    """All services that `name` needs, directly or through others."""
    found, waiting = set(), list(needs.get(name) or ())
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting.extend(needs.get(other) or ())
    return found


def selection(services, asked):
    """Names of the services that a run is about, in the order of `services` (name → Wanted): `asked` and what they
    need; or all.
    """
    if not asked:
        return list(services)
    needs = {name: want.depends_on for name, want in services.items()}
    chosen = set(asked).union(*(reach(name, needs) for name in asked))
    return [name for name in services if name in chosen]


def _image(config, name):
    """The image of a service; Compose's own name for one that it builds."""
    return config["services"][name].get("image") or "%s-%s" % (config["name"], name)


def _with_parent(needs, parent):
    """What lives in another's network starts when that one is healthy (its firewall and tunnel are up), whatever the
    files ask for.
    """
    return dict(needs, **{parent: HEALTHY}) if parent else dict(needs)
