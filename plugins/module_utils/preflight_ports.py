# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host ports, TCP and UDP: who has them already, and which one is free."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys

from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import (
    is_ours,
    name_of,
    origin,
    problem,
)

# include/net/tcp_states.h: a TCP socket that listens; a UDP socket that is bound, not connected.
_STATES = {"tcp": "0A", "udp": "07"}


def check(bundle, containers, bind_addresses, proc="/proc"):
    """A problem for each host port of the bundle that a process or a foreign container holds, with a free one to set
    instead."""
    wanted = wanted_ports(bundle, bind_addresses)
    ours, foreign = [], []
    for container in containers:
        (ours if is_ours(container, bundle) else foreign).append(container)
    own_ids = {container.get("Id", "") for container in ours}
    sockets = listening(proc)
    own = [entry for container in ours for entry in published(container)]
    others = [(entry, container) for container in foreign for entry in published(container)]
    taken = {(protocol, port) for protocol, _address, port, _inode in sockets}
    taken.update((entry[0], entry[2]) for entry, _container in others)
    taken.update((entry["protocol"], entry["port"]) for entry in wanted)
    problems, told = [], set()
    for entry in wanted:
        key = (entry["service"], entry["name"], entry["port"])
        if key in told:
            continue
        holder = _holder(entry, others, sockets, own, own_ids, containers, proc)
        if holder:
            told.add(key)
            free = free_port(entry, wanted, taken)
            taken.update({("tcp", free), ("udp", free)})
            problems.append(_taken(entry, holder, free))
    return problems


def wanted_ports(bundle, bind_addresses):
    """Every {service, name, protocol, port, address} that the bundle publishes; a port for both protocols gives two."""
    wanted = []
    for service in bundle.get("services", {}).values():
        for port in service.get("ports") or []:
            protocols = ("tcp", "udp") if port["protocol"] == "both" else (port["protocol"],)
            for address in port.get("addresses") or bind_addresses:
                for protocol in protocols:
                    wanted.append(
                        {
                            "service": port["service"],
                            "name": port["name"],
                            "protocol": protocol,
                            "port": port["port"],
                            "address": address,
                        }
                    )
    return wanted


def published(container):
    """(protocol, address, port) for each host port that a running container publishes."""
    if not (container.get("State") or {}).get("Running"):
        return []
    ports = ((container.get("NetworkSettings") or {}).get("Ports")) or {}
    found = []
    for inside, bindings in ports.items():
        for binding in bindings or []:
            if binding.get("HostPort"):
                found.append(
                    (inside.rpartition("/")[2] or "tcp", binding.get("HostIp") or "0.0.0.0", int(binding["HostPort"]))  # nosec B104 # Docker's own meaning
                )
    return found


def listening(proc="/proc"):
    """(protocol, address, port, inode) of every listening TCP and bound UDP socket of this network namespace."""
    found = []
    for protocol, state in _STATES.items():
        for suffix in ("", "6"):
            try:
                with open(os.path.join(proc, "net", protocol + suffix), encoding="ascii") as handle:
                    rows = handle.readlines()[1:]
            except OSError:
                continue
            for row in rows:
                fields = row.split()
                if len(fields) < 10 or fields[3] != state:
                    continue
                address, _colon, port = fields[1].partition(":")
                found.append((protocol, _address(address), int(port, 16), fields[9]))
    return found


def connected(proc="/proc"):
    """IPv4 addresses that this network namespace has a TCP connection with."""
    found = set()
    for suffix in ("", "6"):
        try:
            with open(os.path.join(proc, "net", "tcp" + suffix), encoding="ascii") as handle:
                rows = [row.split() for row in handle.readlines()[1:]]
        except OSError:
            continue
        for fields in rows:
            # include/net/tcp_states.h: established.
            if len(fields) > 3 and fields[3] == "01":
                address = _unmapped(ipaddress.ip_address(_address(fields[2].partition(":")[0])))
                if address.version == 4:
                    found.add(str(address))
    return found


def _address(text):
    """An address of /proc/net: words of four bytes in the machine's order."""
    raw = b"".join(int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def overlap(first, second):
    """Whether two bound addresses exclude each other on one port. `::` takes IPv4 too, as Linux does by default."""
    one, other = ipaddress.ip_address(first), ipaddress.ip_address(second)
    one, other = _unmapped(one), _unmapped(other)
    if one == other or str(one) == "::" or str(other) == "::":
        return True
    return one.version == other.version and (one.is_unspecified or other.is_unspecified)


def _unmapped(address):
    return getattr(address, "ipv4_mapped", None) or address


def _holder(entry, others, sockets, own, own_ids, containers, proc):
    """Words for who holds a wanted port, or None. Ports of our own containers are ours to move."""

    def clashes(protocol, address, port):
        return protocol == entry["protocol"] and port == entry["port"] and overlap(address, entry["address"])

    for (protocol, address, port), container in others:
        if clashes(protocol, address, port):
            return "container %s (%s)" % (name_of(container), origin(container))
    if any(clashes(*one) for one in own):
        return None
    for protocol, address, port, inode in sockets:
        if clashes(protocol, address, port):
            words = owner_of(inode, containers, own_ids, proc)
            if words is not None:
                return "%s on %s" % (words, address)
    return None


def owner_of(inode, containers, own_ids, proc="/proc"):
    """Words for the process that has the socket: program and pid, or the container it runs in. None for a container
    of ours."""
    target = "socket:[%s]" % inode
    for pid in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int):
        directory = os.path.join(proc, pid, "fd")
        try:
            descriptors = os.listdir(directory)
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                if os.readlink(os.path.join(directory, descriptor)) != target:
                    continue
            except OSError:
                continue
            container_id = _container_id(pid, proc)
            if container_id in own_ids:
                return None
            for container in containers:
                if container_id and container.get("Id") == container_id:
                    return "container %s (%s)" % (name_of(container), origin(container))
            return "%s (pid %s)" % (_program(pid, proc), pid)
    return "a process that cannot be named (run with become: true to see it)"


def _container_id(pid, proc):
    try:
        with open(os.path.join(proc, pid, "cgroup"), encoding="utf-8", errors="replace") as handle:
            match = re.search(r"(?:docker[/-])([0-9a-f]{64})", handle.read())
    except OSError:
        return None
    return match.group(1) if match else None


def _program(pid, proc):
    try:
        with open(os.path.join(proc, pid, "comm"), encoding="utf-8", errors="replace") as handle:
            return handle.read().strip() or "a program"
    except OSError:
        return "a program"


def free_port(entry, wanted, taken):
    """The next port above that nobody holds, for every protocol that this port needs."""
    protocols = {
        one["protocol"] for one in wanted if (one["service"], one["name"]) == (entry["service"], entry["name"])
    }
    start = max(entry["port"] + 1, 1024)
    for port in list(range(start, 65536)) + list(range(1024, start)):
        if not any((protocol, port) in taken for protocol in protocols):
            return port
    return entry["port"]


def _taken(entry, holder, free):
    setting = "{%s: %d}" % (entry["service"], free)
    if entry["name"] != "web":
        setting = "{%s: {%s: %d}}" % (entry["service"], entry["name"], free)
    return problem(
        "port",
        "%s port %d of %s (%s) is held by %s"
        % (entry["protocol"].upper(), entry["port"], entry["service"], entry["name"], holder),
        "mediastack_ports",
        entry["port"],
        "stop it, or set mediastack_ports: %s" % setting,
    )
