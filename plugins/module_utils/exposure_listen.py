# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a project listens where: as `docker inspect` says it is published, and as the kernel has it."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_ports

RUNNING = ("running", "paused")
_ID = re.compile(r"[0-9a-f]{64}")


class Listener(NamedTuple):
    """One address and port of the host that leads into a container of the project."""

    service: str
    #: Its port in the service file; empty when no service file has it.
    name: str
    protocol: str
    address: str
    port: int
    #: The number in the container.
    target: int
    #: Whether the kernel has a socket there; None where that cannot be seen or says nothing (UDP).
    kernel: bool | None
    #: Whether the inventory publishes it to the network; None when no service file has the port.
    planned: bool | None
    #: Whether the container has the host's own network, so that no port is published and no rule of Docker is met.
    hosts: bool = False

    def place(self):
        """`address:port/protocol`, as it is said."""
        return "%s/%s" % (netloc(self.address, self.port), self.protocol)


def netloc(address, port):
    """`address:port` as it stands in a URL."""
    return ("[%s]:%d" if ":" in address else "%s:%d") % (address, port)


def is_loopback(address):
    """Whether only the host itself has the address."""
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def listeners(project, services, proc="/proc"):
    """Every Listener of the project's running containers, in the order of `services`, the others after them.

    Args:
        project: an engine_state.Project.
        services: entries of the module's `services`.
        proc: where the kernel's tables are; None where they are another host's.
    """
    sockets = preflight_ports.listening(proc) if proc else []
    owners = _owners(project, proc) if proc else {}
    found = []
    for container in project.containers:
        if container.status not in RUNNING:
            continue
        for protocol, address, port, target in _published(container):
            seen = _in_kernel(sockets, protocol, address, port) if proc and protocol == "tcp" else None
            found.append(_listener(container, services, protocol, address, port, target, seen))
        for protocol, address, port, inode in sockets:
            if container.network_mode == "host" and owners.get(inode) == container.id:
                found.append(_listener(container, services, protocol, address, port, port, True, hosts=True))
    order = {service["name"]: number for number, service in enumerate(services)}
    return sorted(
        set(found),
        key=lambda one: (
            order.get(one.service, len(order)),
            one.service,
            one.port,
            one.protocol,
            ":" in one.address,
            one.address,
        ),
    )


def _published(container):
    """(protocol, address, host port, port in the container) of what the engine has published now."""
    ports = (container.raw.get("NetworkSettings") or {}).get("Ports") or {}
    for inside, bindings in ports.items():
        target, _slash, protocol = inside.partition("/")
        for binding in bindings or []:
            if binding.get("HostPort"):
                yield protocol or "tcp", binding.get("HostIp") or "0.0.0.0", int(binding["HostPort"]), int(target)  # nosec B104 # Docker's own meaning


def _listener(container, services, protocol, address, port, target, kernel, hosts=False):
    for service in services:
        if container.service not in (service.get("holder") or service["name"], service["name"]):
            continue
        for entry in service.get("ports") or []:
            if int(entry["target"]) == target and entry.get("protocol", "tcp") in (protocol, "both"):
                addresses = entry.get("addresses") or []
                planned = not addresses or not all(is_loopback(one) for one in addresses)
                return Listener(service["name"], entry["name"], protocol, address, port, target, kernel, planned, hosts)
    return Listener(container.service, "", protocol, address, port, target, kernel, None, hosts)


def _in_kernel(sockets, protocol, address, port):
    wanted = ipaddress.ip_address(address)
    for kind, bound, number, _inode in sockets:
        if (kind, number) == (protocol, port):
            other = ipaddress.ip_address(bound)
            other = getattr(other, "ipv4_mapped", None) or other
            # A socket on :: takes IPv4 too, unless it says otherwise.
            if other == wanted or (str(other) == "::" and wanted.is_unspecified):
                return True
    return False


def others_on(sockets, port):
    """Whether something listens on the TCP port beyond loopback: the network reaches that, not what loopback has."""
    return any(kind == "tcp" and number == port and not is_loopback(bound) for kind, bound, number, _inode in sockets)


def _owners(project, proc):
    """inode of a socket → id of the container whose process has it, for containers in the host's network."""
    wanted = {one.id for one in project.containers if one.network_mode == "host" and one.status in RUNNING}
    found = {}
    for pid in filter(str.isdigit, os.listdir(proc)) if wanted else ():
        try:
            with open(os.path.join(proc, pid, "cgroup"), encoding="utf-8", errors="replace") as handle:
                owner = next((one for one in _ID.findall(handle.read()) if one in wanted), None)
            folder = os.path.join(proc, pid, "fd")
            for descriptor in os.listdir(folder) if owner else ():
                link = os.readlink(os.path.join(folder, descriptor))
                if link.startswith("socket:["):
                    found[link[8:-1]] = owner
        except OSError:  # ended meanwhile
            continue
    return found
