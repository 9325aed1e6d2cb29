# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Around the stack, as far as a leak test must know it: resolvers that must not answer, networks at home, the bridges,
and the VPN server.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import socket
import struct

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_log, leak_capture, leak_space
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_capture import TCP, UDP, CaptureError, Endpoint

RESOLV_CONFS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
UPSTREAMS = ("DNS_ADDRESS", "DNS_PLAINTEXT_ADDRESS", "DNS_UPSTREAM_PLAIN_ADDRESSES")
"""gluetun's variables: of v3.40 and v3.41, the one before, and of master."""
WIREGUARD_PORT = 51820
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_WIREGUARD = re.compile(r"Connecting to (\d+\.\d+\.\d+\.\d+):(\d+)")
_OPENVPN = re.compile(r"\[AF_INET\](\d+\.\d+\.\d+\.\d+):(\d+)")
_RULE = re.compile(r"^-A OUTPUT -d (\d+\.\d+\.\d+\.\d+)(?:/32)? .*-p (udp|tcp) .*--dport (\d+) -j ACCEPT$")


def home_networks(environment):
    """The networks at home that gluetun lets out to, as its container was made."""
    found = []
    for text in environment.get("FIREWALL_OUTBOUND_SUBNETS", "").split(","):
        with contextlib.suppress(ValueError):
            if text.strip():
                found.append(ipaddress.ip_network(text.strip(), strict=False))
    return found


def upstreams(environment):
    """Addresses of resolvers that gluetun itself is told to ask, as its container was made, without those of its own.

    One at home is asked past the tunnel, although the apps ask gluetun.
    """
    found = []
    for name in UPSTREAMS:
        for text in environment.get(name, "").split(","):
            # An address, or address:port.
            plain = text.strip()
            plain = plain[1 : plain.find("]")] if plain.startswith("[") else plain
            plain = plain.rpartition(":")[0] if plain.count(":") == 1 else plain
            with contextlib.suppress(ValueError):
                found.append(str(ipaddress.ip_address(plain)))
    return list(dict.fromkeys(found))


def foreign_resolvers(subnets, gateways, given=()):
    """Resolvers that must not answer an app, each once.

    Those of the host, the host itself on the app's networks (`gateways`), those that the user names, and in each of
    `subnets` the likely ones: the host, its router, the first and the last address.
    """
    found = list(given)
    for path in RESOLV_CONFS:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as handle:
            found += leak_space.nameservers(handle.read())
    found += [gateway for gateway in gateways if gateway]
    router = default_gateway()
    for subnet in subnets:
        if router and ipaddress.ip_address(router) in subnet:
            found.append(router)
        own = own_address(subnet)
        found += [own] if own else []
        if subnet.num_addresses > 2:
            found.append(str(subnet[1]))
            if subnet.version == 4:
                found.append(str(subnet[-2]))
    return [server for server in dict.fromkeys(found) if _could_answer(server)]


def _could_answer(server):
    try:
        # The host's loopback is not the app's.
        return not ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False


def default_gateway(path="/proc/net/route"):
    """The host's IPv4 router; None where there is none."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as handle:
        for line in handle.readlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000" and int(fields[3], 16) & 2:
                return socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))
    return None


def own_address(subnet):
    """The host's own address in a network; None. Nothing is sent."""
    family = socket.AF_INET if subnet.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError, IndexError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((str(subnet[1] if subnet.num_addresses > 1 else subnet[0]), 9))
        address = sock.getsockname()[0]
        if ipaddress.ip_address(address) in subnet:
            return address
    return None


def gateways(container):
    """The host's addresses on the networks of a container."""
    networks = (container.raw.get("NetworkSettings") or {}).get("Networks") or {}
    return [entry["Gateway"] for entry in networks.values() if (entry or {}).get("Gateway")]


def addresses(container):
    """The container's own addresses."""
    networks = (container.raw.get("NetworkSettings") or {}).get("Networks") or {}
    found = []
    for entry in networks.values():
        found += [entry[key] for key in ("IPAddress", "GlobalIPv6Address") if (entry or {}).get(key)]
    return found


def hardware(container):
    """The container's own hardware addresses."""
    networks = (container.raw.get("NetworkSettings") or {}).get("Networks") or {}
    return [entry["MacAddress"].lower() for entry in networks.values() if (entry or {}).get("MacAddress")]


def endpoints(docker, container, environment):
    """The VPN servers that gluetun talks to: given and from its log, else from its firewall. Endpoints, each once.

    What the firewall lets out to is no proof of a VPN server: a hole in it looks the same.
    """
    protocol = TCP if environment.get("OPENVPN_PROTOCOL", "udp").lower() == "tcp" else UDP
    found = []
    given = environment.get("WIREGUARD_ENDPOINT_IP") or environment.get("OPENVPN_ENDPOINT_IP")
    if given:
        port = environment.get("WIREGUARD_ENDPOINT_PORT") or environment.get("OPENVPN_ENDPOINT_PORT") or ""
        found.append(Endpoint(given, protocol, int(port) if port.isdigit() else WIREGUARD_PORT))
    for line in gluetun_log.read(docker, container):
        for pattern, kind in ((_WIREGUARD, UDP), (_OPENVPN, protocol)):
            match = pattern.search(_COLOR.sub("", line))
            if match:
                found.append(Endpoint(match.group(1), kind, int(match.group(2))))
    if found:
        return tuple(dict.fromkeys(found))
    rules = docker.run("exec", container.id, "iptables", "-S", "OUTPUT", check=False, deadline=20)
    for line in rules.out.splitlines() if rules.rc == 0 else ():
        match = _RULE.match(line.strip())
        if match:
            found.append(Endpoint(match.group(1), TCP if match.group(2) == "tcp" else UDP, int(match.group(3))))
    return tuple(dict.fromkeys(found))


def bridges(docker, containers):
    """({interface name}, [their subnets]) of the engine's networks that containers are attached to. CaptureError."""
    ids = sorted({identifier for container in containers for identifier in container.networks.values() if identifier})
    if not ids:
        raise CaptureError("no network of the engine is used")
    names, subnets = [], []
    for raw in json.loads(docker.run("network", "inspect", *ids).out):
        if raw.get("Driver") != "bridge":
            raise CaptureError("the network %s is a %s, which has no bridge" % (raw["Name"], raw.get("Driver")))
        options = raw.get("Options") or {}
        names.append(options.get("com.docker.network.bridge.name") or "br-" + raw["Id"][:12])
        for entry in (raw.get("IPAM") or {}).get("Config") or []:
            if entry.get("Subnet"):
                subnets.append(ipaddress.ip_network(entry["Subnet"], strict=False))
    return names, subnets


def published(container):
    """(protocol, port inside) of everything that a container publishes."""
    numbers = {"tcp": TCP, "udp": UDP}
    return tuple((numbers[port["protocol"]], port["target"]) for port in container.ports if port["protocol"] in numbers)


def wires(names, uplink, ends, holders):
    """(Wires of the bridges, Wire of the uplink or None): what containers send. CaptureError."""
    four = [address for holder in holders for address in addresses(holder) if ":" not in address]
    own = [address for holder in holders for address in hardware(holder)]
    listened = [leak_capture.Wire(name, leak_capture.program(ends, four, hardware=own)) for name in names]
    return listened, leak_capture.Wire(uplink, leak_capture.program(ends, None, True)) if uplink else None
