# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports: from `x-mediastack.ports` and `mediastack_ports` to published ports, and the check that none is used twice."""

from __future__ import annotations

import dataclasses
import ipaddress
import re

from .errors import RenderError, did_you_mean
from .service_meta import is_port

BIND_TOKEN = "@@mediastack:bind@@"
LOOPBACK = "127.0.0.1"
VPN_PARENT = "gluetun"
# What gluetun listens on, or may once its proxies are on, in the namespace that its members share.
GLUETUN_PORTS = {
    53: "DNS",
    1080: "SOCKS5 proxy",
    8000: "control server",
    8388: "Shadowsocks",
    8888: "HTTP proxy",
    9999: "health server",
}


@dataclasses.dataclass(frozen=True)
class Port:
    """One port of a service and protocol. `addresses`: where it is published; empty = the host's saved bind address."""

    service: str
    name: str
    protocol: str
    port: int
    target: int
    addresses: tuple
    published: bool = True

    def entry(self):
        """As the bundle has it."""
        return {
            "name": self.name,
            "protocol": self.protocol,
            "port": self.port,
            "target": self.target,
            "addresses": list(self.addresses),
            "service": self.service,
        }

    def compose(self):
        """As Compose's long syntax, one entry an address."""
        return [
            {"target": self.target, "published": str(self.port), "host_ip": address, "protocol": self.protocol}
            for address in self.addresses or (BIND_TOKEN,)
        ]


def host_port(ports, service, name, default, names=("web",)):
    """The host port after `mediastack_ports`: a number there means the `web` port or the only one, a map names them."""
    chosen = (ports or {}).get(service)
    if isinstance(chosen, dict):
        return chosen.get(name, default)
    main = "web" if "web" in names else next(iter(names), "web")
    return default if chosen is None or name != main else chosen


def normalize(spec):
    """A port of `x-mediastack.ports` with all its keys."""
    if not isinstance(spec, dict):
        return {"port": spec, "target": spec, "protocol": "tcp", "expose": "ui"}
    return {
        "port": spec["port"],
        "target": spec.get("target", spec["port"]),
        "protocol": spec.get("protocol", "tcp"),
        "expose": spec.get("expose", "ui"),
    }


def of_service(service, specs, chosen, bind_addresses, loopback_ui, member):
    """The ports of one service.

    Args:
        service: its name.
        specs: its `x-mediastack.ports`.
        chosen: `mediastack_ports`.
        bind_addresses: `mediastack_bind_addresses`; empty = the host's saved address.
        loopback_ui: publish its UI on 127.0.0.1 only: it asks for no login, or a reverse proxy serves it.
        member: it lives in gluetun's namespace.

    Returns:
        A list of `Port`.

    Raises:
        RenderError: `mediastack_ports` names a port that the service does not have, or a value that is no port.
    """
    mine = (chosen or {}).get(service)
    if isinstance(mine, dict):
        for name in mine:
            if name not in specs:
                raise RenderError(
                    f"mediastack_ports.{service}.{name}: {service} has no such port{did_you_mean(name, specs)}"
                )
    elif mine is not None and all(normalize(spec)["expose"] == "none" for spec in specs.values()):
        raise RenderError(f"mediastack_ports.{service} is {mine!r}: {service} publishes no port. Remove it")
    ports = []
    for name, spec in specs.items():
        spec = normalize(spec)
        number = host_port(chosen, service, name, spec["port"], tuple(specs))
        if not is_port(number):
            raise RenderError(f"mediastack_ports.{service}: {number!r} is not a port from 1 to 65535")
        expose = spec["expose"]
        published = expose != "none" and not (expose == "vpn" and member)
        addresses = tuple(bind_addresses)
        if expose == "loopback" or (expose == "ui" and loopback_ui):
            addresses = (LOOPBACK,)
        for protocol in ("tcp", "udp") if spec["protocol"] == "both" else (spec["protocol"],):
            ports.append(Port(service, name, protocol, number, spec["target"], addresses, published))
    return ports


_SHORT = re.compile(
    r"(?:(?P<ip>\[[^\]]+\]|[0-9.]+):)?(?:(?P<host>[0-9]+)(?:-(?P<host_end>[0-9]+))?)?:"
    r"(?P<target>[0-9]+)(?:-(?P<target_end>[0-9]+))?(?:/(?P<protocol>tcp|udp))?\Z"
)


def of_compose(service, entries):
    """The published ports among Compose's own `ports:` entries; what cannot be read statically is left to Compose."""
    found = []
    for entry in entries or []:
        if isinstance(entry, dict):
            numbers = re.match(r"([0-9]+)(?:-([0-9]+))?\Z", str(entry.get("published", "")))
            if not numbers or not is_port(entry.get("target")):
                continue
            first, last, target = int(numbers[1]), int(numbers[2] or numbers[1]), entry["target"]
            # A range of host ports for one target: Docker takes the first free one, so only the target is sure.
            if first != last:
                continue
            address, protocol = entry.get("host_ip"), entry.get("protocol", "tcp")
        else:
            match = _SHORT.match(str(entry))
            if not match or not match["host"]:
                continue
            first, last, target = int(match["host"]), int(match["host_end"] or match["host"]), int(match["target"])
            address, protocol = match["ip"], match["protocol"] or "tcp"
            if last - first != int(match["target_end"] or target) - target:
                continue
        address = str(address or "0.0.0.0").strip("[]")  # nosec B104 # noqa: S104 - Docker's own meaning of no address
        for offset in range(last - first + 1):
            found.append(Port(service, str(target + offset), protocol, first + offset, target + offset, (address,)))
    return found


def _overlap(first, second):
    """Whether two lists of addresses share one. The saved bind address is unknown here: it may be any but loopback."""
    for one in first or (BIND_TOKEN,):
        for other in second or (BIND_TOKEN,):
            if one == other or _everywhere(one) or _everywhere(other):
                return True
    return False


def _everywhere(address):
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def _setting(port, number):
    """The line of the inventory that moves *port* to *number*."""
    if port.name == "web":
        return f"mediastack_ports: {{{port.service}: {number}}}"
    return f"mediastack_ports: {{{port.service}: {{{port.name}: {number}}}}}"


def clashes(ports, members):
    """The problems among all ports of the stack: host ports published twice, and ports twice in gluetun's namespace.

    Args:
        ports: all `Port`s, gluetun's own included.
        members: names of the services in gluetun's namespace.
    """
    problems = []
    taken = {port.port for port in ports if port.published}
    seen = []
    for port in ports:
        if not port.published:
            continue
        for other in seen:
            if (port.port, port.protocol) == (other.port, other.protocol) and _overlap(port.addresses, other.addresses):
                candidates = (*range(port.port + 1, 65536), *range(1024, port.port))
                free = next(number for number in candidates if number not in taken)
                problems.append(
                    f"port {port.port}/{port.protocol} is used by {other.service} ({other.name}) and by "
                    f"{port.service} ({port.name}); move one, for example {_setting(port, free)}"
                )
                break
        seen.append(port)
    inside = {}
    for port in ports:
        if port.service not in members:
            continue
        where = (port.target, port.protocol)
        if port.target in GLUETUN_PORTS:
            problems.append(
                f"{port.service} listens on {port.target}/{port.protocol} ({port.name}) in gluetun's network "
                "namespace, where "
                f"gluetun's {GLUETUN_PORTS[port.target]} has that port; let it listen on another one in its service "
                "file, "
                "or take it out of mediastack_vpn_services"
            )
        elif inside.setdefault(where, port.service) != port.service:
            problems.append(
                f"{inside[where]} and {port.service} both listen on {port.target}/{port.protocol} in gluetun's network "
                "namespace; let one listen on another port in its service file, or take one out of "
                "mediastack_vpn_services"
            )
    return problems
