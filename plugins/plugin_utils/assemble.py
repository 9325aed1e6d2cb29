# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From service fragments to Compose documents: what every service gets, and what the VPN changes."""

from __future__ import annotations

import dataclasses

from . import compose_check, ports, volumes
from .catalogue import SHARED_KINDS
from .errors import RenderError, did_you_mean
from .fragments import as_map, depends_on
from .ports import VPN_PARENT
from .service_files import GROUPS, OWN_GROUP

NETWORK = "media"
PROXY = "proxy"
LABEL = "org.homelab.mediastack"
NO_NEW_PRIVILEGES = "no-new-privileges:true"
# What an override takes back with null. Compose has no way to say so before 2.24: it only adds to a list.
TAKEN_BACK = ("security_opt", "cap_add", "cap_drop", "read_only", "tmpfs", "pids_limit", "mem_limit")
# A service that shares gluetun's network namespace has no network of its own to say these about; the engine refuses
# such a container, `docker compose config -q` does not.
FORBIDDEN_BEHIND_VPN = (
    "ports",
    "hostname",
    "domainname",
    "dns",
    "extra_hosts",
    "mac_address",
    "networks",
    "network_mode",
    "links",
)
# What the collection itself decides for every service, on which its modules rely.
_FORBIDDEN_OVERRIDES = {
    "x-mediastack": "write your own service file, services/{service}.yml.j2 beside the inventory",
    "container_name": "the container is named as the service",
    "profiles": "use mediastack_services",
    "build": "services run from an image; use mediastack_images",
    "extends": "write the keys themselves",
}


@dataclasses.dataclass
class Stack:
    """The whole project.

    Attributes:
        documents: group → Compose document, in the order of `COMPOSE_FILE`.
        overrides: the last document, or None.
        definitions: service → its definition without the override.
        effective: service → its override, or {}.
        ports: every `Port`.
        members: services in gluetun's namespace.
    """

    documents: dict
    overrides: dict | None
    definitions: dict
    effective: dict
    ports: list
    members: tuple


def assemble(catalogue, settings, members, all_services, paths):
    """Build the Compose documents.

    Args:
        catalogue: the rendered `Catalogue`.
        settings: resolved `mediastack_*` values.
        members: names that live in gluetun's namespace (`catalogue.vpn_members`).
        all_services: every service there is in the catalogue, selected or not.
        paths: the bundle's `paths` and `project`.

    Raises:
        RenderError: every problem found.
    """
    services = catalogue.services
    members = tuple(name for name in members if name in services)
    # Addresses written by hand count for everything; else what the proxy serves is on the network by the proxy only.
    proxied = not settings["mediastack_bind_addresses"] and _has_proxy(services)
    overrides = _overrides(settings["mediastack_overrides"], services, members, all_services)
    definitions, all_ports, problems = {}, [], []
    for service in services.values():
        override = overrides.get(service.name, {})
        try:
            own = ports.of_service(
                service.name,
                service.meta.get("ports") or {},
                settings["mediastack_ports"],
                settings["mediastack_bind_addresses"],
                proxied or _without_login(service, settings["mediastack_open_uis"]),
                service.name in members,
            )
            definitions[service.name] = _definition(service, override, settings, members, services, paths, own)
        except RenderError as error:
            problems.extend(f"{service.path}: {problem}" for problem in error.problems)
            continue
        all_ports += own
        all_ports += ports.of_compose(service.name, service.definition.get("ports"))
        all_ports += ports.of_compose(service.name, override.get("ports"))
    if problems:
        raise RenderError(problems)
    if members:
        _publish_on_parent(definitions[VPN_PARENT], all_ports, members)
    overrides = {name: kept for name, override in overrides.items() if (kept := _without_taken_back(override))}
    stack = Stack(
        documents=_documents(catalogue, definitions, settings),
        overrides={"services": overrides} if overrides else None,
        definitions=definitions,
        effective=overrides,
        ports=[port for port in all_ports if port.published],
        members=members,
    )
    problems = compose_check.check(services, definitions, overrides, catalogue.shared, (NETWORK,))
    problems += ports.clashes(all_ports, members)
    if problems:
        raise RenderError(problems)
    return stack


def _without_login(service, open_uis):
    """Whether the service's UI lets everybody in, and its user has not said that this is meant."""
    return service.meta.get("login", {}).get("kind") == "none" and not {service.name, service.app} & set(open_uis)


def _has_proxy(services):
    """Whether a reverse proxy is selected: a service of the profile `proxy`, the user's own included."""
    return any(PROXY in (service.meta.get("profiles") or []) for service in services.values())


def _overrides(overrides, services, members, all_services):
    """`mediastack_overrides` of the selected services, checked. Known services that are not selected need nothing."""
    result, problems = {}, []
    for name, override in overrides.items():
        if name not in all_services:
            problems.append(f"mediastack_overrides: {name!r} is no service{did_you_mean(name, all_services)}")
            continue
        if not isinstance(override, dict):
            problems.append(f"mediastack_overrides.{name} is {override!r}: it must be a map of Compose keys")
            continue
        for key, remedy in _FORBIDDEN_OVERRIDES.items():
            if key in override:
                problems.append(f"mediastack_overrides.{name}.{key} cannot be set: {remedy.format(service=name)}")
        if name in members:
            problems += [
                f"mediastack_overrides.{name}.{key}: {name} lives in gluetun's network namespace and has no network "
                "of its own; "
                f"take it out of mediastack_vpn_services, or set {key} for {VPN_PARENT}"
                for key in FORBIDDEN_BEHIND_VPN
                if key in override
            ]
        if name in services and override:
            result[name] = override
    if problems:
        raise RenderError(problems)
    return result


def _definition(service, override, settings, members, services, paths, own_ports):
    definition = dict(service.definition)
    # A second stack on the same engine needs other names.
    prefix = settings["mediastack_container_prefix"]
    definition["container_name"] = prefix + definition.get("container_name", service.name)
    definition["image"] = settings["mediastack_images"].get(service.name, definition["image"])
    definition.setdefault("restart", "unless-stopped")
    definition.setdefault(
        "logging",
        {
            "driver": "json-file",
            "options": {
                "max-size": settings["mediastack_log_max_size"],
                "max-file": str(settings["mediastack_log_max_file"]),
            },
        },
    )
    definition.setdefault("stop_grace_period", "30s")
    interval = settings["mediastack_healthcheck_interval"]
    if interval and "interval" in (definition.get("healthcheck") or {}):
        definition["healthcheck"] = {**definition["healthcheck"], "interval": f"{interval}s"}
    _no_new_privileges(definition, service.meta)
    _limits(definition, override, service.name, settings)
    for key in TAKEN_BACK:
        if key in override and override[key] is None:
            definition.pop(key, None)
    definition["depends_on"] = _dependencies(service, services, members)
    if not definition["depends_on"]:
        del definition["depends_on"]
    if service.name in members:
        _move_behind_vpn(service.name, definition)
    elif "network_mode" not in definition and "network_mode" not in override:
        definition.setdefault("networks", {NETWORK: {"aliases": [service.name]}})
        _publish(definition, own_ports)
    elif service.meta.get("ports") and "network_mode" in override:
        own_ports[:] = [dataclasses.replace(port, published=False) for port in own_ports]
    _mount_secret_files(definition, service.meta)
    mounted = {"volumes": [*(definition.get("volumes") or []), *(override.get("volumes") or [])]}
    masks = volumes.masks(mounted, (paths["config"], paths["project"], paths["backup"]))
    if masks:
        present = definition.get("tmpfs") or []
        present = [present] if isinstance(present, str) else list(present)
        definition["tmpfs"] = present + [f"{volumes.escape(place)}:{volumes.MASK_OPTIONS}" for place in masks]
    labels = as_map(definition.get("labels"))
    labels[f"{LABEL}.app"] = service.app
    # Watchtower would replace one container at a time, and cut off what lives in the network of gluetun.
    labels.setdefault("com.centurylinklabs.watchtower.enable", "false")
    labels[f"{LABEL}.content"] = f"@@mediastack:hash:{service.name}@@"
    # As it was asked for: a Compose file of the user's own, or an image kept by its id, may say otherwise.
    labels[f"{LABEL}.image"] = f"@@mediastack:image:{service.name}@@"
    definition["labels"] = labels
    return definition


def _no_new_privileges(definition, meta):
    options = list(definition.get("security_opt") or [])
    if not meta.get("new_privileges") and not any(str(option).startswith("no-new-privileges") for option in options):
        definition["security_opt"] = [*options, NO_NEW_PRIVILEGES]


def _limits(definition, override, name, settings):
    """The limits that the settings ask for, where neither the file nor the override says it by `deploy`."""
    deployed = set()
    for source in (definition, override):
        resources = (source.get("deploy") or {}).get("resources") or {}
        deployed |= set(resources.get("limits") or {})
    if settings["mediastack_pids_limit"] and "pids" not in deployed:
        definition.setdefault("pids_limit", settings["mediastack_pids_limit"])
    memory = settings["mediastack_memory_limits"].get(name)
    if memory and "memory" in deployed:
        raise RenderError(
            f"mediastack_memory_limits.{name} is {memory}, but deploy.resources.limits.memory is set too, and Compose "
            "takes only one of them; take one out"
        )
    if memory:
        definition["mem_limit"] = memory


def _without_taken_back(override):
    """An override as Compose gets it."""
    return {key: value for key, value in override.items() if not (key in TAKEN_BACK and value is None)}


def _dependencies(service, services, members):
    """`depends_on` without optional services that are not selected, and with the VPN's for its members."""
    result = {}
    for name, options in depends_on(service.definition).items():
        if name in services:
            result[name] = options
        elif options.get("required", True):
            raise RenderError(
                f"{service.name} depends on {name}, which is not selected; let x-mediastack.requires select its app, "
                "or say required: false"
            )
    if service.name in members:
        # Written out in full: with a bare condition Compose forgets the restart that it would otherwise infer.
        result[VPN_PARENT] = {"condition": "service_healthy", "restart": True}
    return result


def _move_behind_vpn(name, definition):
    wrong = [key for key in FORBIDDEN_BEHIND_VPN if key in definition]
    if wrong:
        raise RenderError(
            f"{name} lives in gluetun's network namespace, where it cannot have {', '.join(wrong)}; use "
            "x-mediastack.ports for "
            "ports, and take it out of mediastack_vpn_services if it needs a network of its own"
        )
    definition["network_mode"] = f"service:{VPN_PARENT}"


def _publish(definition, own_ports):
    entries = [entry for port in own_ports if port.published for entry in port.compose()]
    if entries:
        definition["ports"] = [*(definition.get("ports") or []), *entries]


def _publish_on_parent(parent, all_ports, members):
    _publish(parent, [port for port in all_ports if port.service in members])
    networks = parent.get("networks")
    if isinstance(networks, list):
        networks = {name: {} for name in networks}
    networks = {name: dict(options or {}) for name, options in networks.items()}
    own = networks.setdefault(NETWORK, {})
    own["aliases"] = list(dict.fromkeys([*own.get("aliases", []), *members]))
    parent["networks"] = networks


def _mount_secret_files(definition, meta):
    """Give the service the Compose secrets that its `secret_files` declare."""
    names = list(meta.get("secret_files") or {})
    if names:
        present = list(definition.get("secrets") or [])
        taken = {entry if isinstance(entry, str) else entry.get("source") for entry in present}
        definition["secrets"] = present + [name for name in names if name not in taken]


def _documents(catalogue, definitions, settings):
    """One document a group, complete in itself: the volumes, secrets, configs and networks that it uses stand in it."""
    network = {"name": settings["mediastack_project_name"]}
    if settings["mediastack_network_subnet"]:
        network["ipam"] = {"config": [{"subnet": settings["mediastack_network_subnet"]}]}
    documents = {}
    for group in (*GROUPS, OWN_GROUP):
        services = {name: definitions[name] for name, entry in catalogue.services.items() if entry.group == group}
        if not services:
            continue
        document = {"services": services}
        used = {kind: {} for kind in SHARED_KINDS}
        for name, definition in services.items():
            for kind, wanted in compose_check.references(definition).items():
                for entry in wanted:
                    if entry in catalogue.shared[kind]:
                        used[kind][entry] = catalogue.shared[kind][entry]
            for entry in catalogue.services[name].meta.get("secret_files") or {}:
                used["secrets"][entry] = {"file": f"./secrets/{entry}"}
            if NETWORK in compose_check.references(definition)["networks"]:
                used["networks"].setdefault(NETWORK, network)
        document.update({kind: entries for kind, entries in used.items() if entries})
        documents[group] = document
    return documents
