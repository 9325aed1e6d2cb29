# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the engine must be and what it must not hold already: versions, foreign containers, lab images, address
pools."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct

from ansible_collections.homelab.mediastack.plugins.module_utils import nas_family
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import (
    is_ours,
    name_of,
    origin,
    problem,
)

ENGINE_FLOOR = (20, 10)
API_FLOOR = (1, 41)
COMPOSE_FLOOR = (2, 20)
# docker/compose #13628: stacks with several networks fail on an API below 1.44; fixed in 5.1.2.
BROKEN_COMPOSE, BROKEN_BELOW_API = ((5, 1, 0), (5, 1, 1)), (1, 44)
# docker/compose #13878: what shares gluetun's network is recreated at every `up`; fixed in 5.3.0.
RESTLESS_COMPOSE = (5, 2, 0)
LAB_LABEL = "mediastack.lab"
# libnetwork's own pools, used unless daemon.json sets default-address-pools.
_DEFAULT_POOLS = [{"Base": "172.%d.0.0/16" % second, "Size": 16} for second in range(17, 32)] + [
    {"Base": "192.168.0.0/16", "Size": 20}
]


def version(text):
    """(major, minor, patch) of `v2.20.1-6047-g68177`, `20.10.24+dfsg1`; None when it is no version."""
    match = re.match(r"^v?(\d+)\.(\d+)(?:\.(\d+))?", str(text or ""))
    return tuple(int(part or 0) for part in match.groups()) if match else None


def versions(facts, warnings, root="/"):
    """Problems with the versions of engine, API and Compose; what is only unfortunate goes to `warnings`."""
    words = nas_family.words(nas_family.family(root))
    problems = []
    if facts.get("error"):
        problems.append(
            problem(
                "engine",
                "the Docker Engine does not answer: %s" % facts["error"],
                "docker",
                None,
                "start it, and let the user of this run reach it (become: true). On %s: %s"
                % (words["name"], words["engine"]),
            )
        )
    server = facts.get("server") or {}
    engine, api = version(server.get("version")), version(server.get("api"))
    if engine and engine < ENGINE_FLOOR:
        problems.append(_too_old("Docker Engine", server["version"], "20.10", words))
    elif api and api[:2] < API_FLOOR:
        problems.append(_too_old("the engine's API", server["api"], "1.41", words))
    if "compose" not in facts:
        return problems
    compose = version(facts["compose"])
    if not compose and facts.get("compose_v1"):
        problems.append(
            problem(
                "compose",
                "only docker-compose %s is here, which is version 1: Compose 2.20 or later is needed as "
                "'docker compose'" % facts["compose_v1"],
                "docker-compose",
                facts["compose_v1"],
                "on %s: %s" % (words["name"], words["engine"]),
            )
        )
    elif not compose:
        problems.append(
            problem(
                "compose",
                "'docker compose' is missing: Compose 2.20 or later is needed",
                "docker compose",
                facts["compose"],
                "on %s: %s" % (words["name"], words["engine"]),
            )
        )
    elif compose < COMPOSE_FLOOR:
        problems.append(_too_old("Docker Compose", facts["compose"], "2.20", words))
    elif compose in BROKEN_COMPOSE and api and api[:2] < BROKEN_BELOW_API:
        problems.append(
            problem(
                "compose",
                "Docker Compose %s cannot connect containers to several networks on an engine with API %s"
                % (facts["compose"], server["api"]),
                "docker compose",
                facts["compose"],
                "update Compose to 5.1.2 or later (or the engine to 25 or later)",
            )
        )
    elif compose == RESTLESS_COMPOSE:
        warnings.append(
            "Docker Compose 5.2.0 recreates what is behind the VPN at every plain 'docker compose up': "
            "update it to 5.3.0 or later"
        )
    return problems


def memory_limits(bundle, facts, warnings):
    """Say which services are meant to be limited and will not be: the engine leaves out what its kernel cannot do."""
    names = sorted(name for name, service in bundle["services"].items() if service.get("memory_limit"))
    if names and facts.get("memory_limit") is False:
        warnings.append(
            "the kernel counts no memory, so the memory limit of %s has no effect: on a Raspberry Pi add "
            "'cgroup_enable=memory' to /boot/firmware/cmdline.txt and restart it; else take it out of "
            "mediastack_memory_limits" % ", ".join(names)
        )


def _too_old(what, present, floor, words):
    return problem(
        "engine",
        "%s %s is too old: %s or later is needed" % (what, present, floor),
        what,
        present,
        "on %s: %s" % (words["name"], words["engine"]),
    )


def foreign_containers(bundle, containers):
    """Containers that bear our project's or a container's name but are not ours (P1): each is named, none is
    touched."""
    project, path = bundle["project"]["name"], bundle["project"]["path"]
    names = {service.get("container_name") or name: name for name, service in bundle.get("services", {}).items()}
    problems, of_demo = [], []
    for container in containers:
        if is_ours(container, bundle):
            continue
        name = name_of(container)
        labels = (container.get("Config") or {}).get("Labels") or {}
        # A recreate that was interrupted leaves `<id>_name`; of another project it is as foreign as `name`.
        plain = re.sub(r"^[0-9a-f]{12}_", "", name)
        if labels.get("com.docker.compose.project") == project:
            problems.append(
                problem(
                    "container",
                    "container %s belongs to a project that is called %s too, but lives elsewhere: %s"
                    % (name, project, origin(container)),
                    "mediastack_project_name",
                    project,
                    "set mediastack_project_name to another name; or, if it is this stack from before a move to %s, "
                    "take it down there first: docker compose --project-name %s --project-directory %s down"
                    % (path, project, labels.get("com.docker.compose.project.working_dir", "DIRECTORY")),
                )
            )
        elif plain in names and _is_lab(labels) and not bundle.get("lab_images"):
            of_demo.append(name)
        elif plain in names:
            problems.append(
                problem(
                    "container",
                    "the name %s is taken by a container that is not ours: %s" % (name, origin(container)),
                    "container %s" % names[plain],
                    name,
                    "stop and rename or remove it yourself (docker stop %s; docker rename %s %s-old); its data stays. "
                    "Or leave the service out: mediastack_services: {%s: false}" % (name, name, name, names[plain]),
                )
            )
    if of_demo:
        problems.append(
            problem(
                "container",
                "the demo runs on this host and has %d of our containers' names: %s"
                % (len(of_demo), ", ".join(sorted(of_demo))),
                None,
                None,
                "'make demo-down' where the demo was made",
            )
        )
    return problems


def _is_lab(labels):
    """Whether labels of an image, or of a container made of it, say that it is the lab's."""
    return str(labels.get(LAB_LABEL, "")).lower() == "true"


def lab_images(bundle, facts):
    """Stand-in images of the lab, in an inventory that is not the lab's (P3)."""
    if bundle.get("lab_images"):
        return []
    known = facts.get("images") or {}
    wanted = {service.get("image") for service in bundle.get("services", {}).values()}
    images = sorted(image for image in wanted if _is_lab(known.get(image) or {}))
    if not images:
        return []
    words = (
        "image on this host is the demo's, not the vendor's"
        if len(images) == 1
        else ("images on this host are the demo's, not the vendors'")
    )
    return [
        problem(
            "lab",
            "%d %s: %s" % (len(images), words, ", ".join(images)),
            None,
            None,
            "'make demo-down' where the demo was made takes these names away, so that the real ones are pulled; "
            "or: docker image rm %s" % " ".join(images),
        )
    ]


def address_pools(bundle, facts, warnings, routes="/proc/net/route"):
    """Whether the engine has a subnet left for our network; an existing one that hides a route of the host is a
    warning."""
    networks = facts.get("networks")
    if networks is None:
        return []
    project = bundle["project"]["name"]
    used, ours, bridges = [], [], set()
    for network in networks:
        subnets = _subnets(network)
        used.extend(subnets)
        bridges.add(
            (network.get("Options") or {}).get("com.docker.network.bridge.name") or "br-" + network.get("Id", "")[:12]
        )
        if (network.get("Labels") or {}).get("com.docker.compose.project") == project:
            ours.extend((network.get("Name"), subnet) for subnet in subnets)
    hosts = [(subnet, interface) for subnet, interface in host_routes(routes) if interface not in bridges]
    for name, subnet in ours:
        for route, interface in hosts:
            if subnet.overlaps(route):
                warnings.append(
                    "the network %s (%s) hides the route to %s on %s: addresses there cannot be reached from "
                    "the apps" % (name, subnet, route, interface)
                )
    if ours:
        return []
    used.extend(route for route, _interface in hosts)
    for pool in facts.get("address_pools") or _DEFAULT_POOLS:
        for subnet in ipaddress.ip_network(pool["Base"], strict=False).subnets(new_prefix=pool["Size"]):
            if not any(subnet.version == other.version and subnet.overlaps(other) for other in used):
                return []
    return [
        problem(
            "network",
            "the engine has no subnet left for another network: %d networks and the host's routes take all of its "
            "address pools" % len(networks),
            "default-address-pools",
            None,
            "remove networks that nothing uses (docker network ls; docker network rm), or add to "
            '/etc/docker/daemon.json "default-address-pools": [{"base": "10.200.0.0/16", "size": 24}] and restart '
            "the engine",
        )
    ]


def _subnets(network):
    found = []
    for entry in ((network.get("IPAM") or {}).get("Config")) or []:
        try:
            found.append(ipaddress.ip_network(entry.get("Subnet") or "", strict=False))
        except ValueError:
            continue
    return found


def host_routes(path="/proc/net/route"):
    """[(IPv4 network, interface)] of this host's routes but the default one."""
    try:
        with open(path, encoding="ascii") as handle:
            rows = [line.split() for line in handle.readlines()[1:]]
    except OSError:
        return []
    found = []
    for row in rows:
        if len(row) >= 8 and row[7] != "00000000":
            address, mask = (socket.inet_ntoa(struct.pack("=L", int(row[at], 16))) for at in (1, 7))
            found.append((ipaddress.ip_network("%s/%s" % (address, mask), strict=False), row[0]))
    return found
