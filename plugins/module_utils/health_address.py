# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a service is to be probed, from `docker inspect` of the container that holds its network (pure).

What is published counts, not what the inventory would like: a port is probed where its user would find it. A service
behind the VPN has no network of its own; its ports are published by the container whose namespace it shares.
"""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import probes

LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # nosec B104 # compared, not listened on
"""Where to knock when a port is published on every address."""


class NoAddress(Exception):
    """There is no way to probe the service; the text says why."""


def probe_of(service, holder):
    """The probe of a service for `probes.sweep`: `(words, function)`, or None when its own health check is all.

    `service`: entry of the module's `services`; `holder`: the engine_state.Container that holds its network.
    Raises NoAddress.
    """
    health = service.get("health") or {}
    kind = health.get("kind", "container")
    if kind == "container":
        return None
    if kind == "http":
        return probes.http_probe(target_of(service, holder), health)
    if kind == "tcp":
        return probes.tcp_probe(target_of(service, holder))
    raise NoAddress("health.kind is %r in the service file, it must be http, tcp or container" % kind)


def target_of(service, holder, wanted=None):
    """The `probes.Target` of a service's health probe, or of the port `wanted` (a name, or a number in the container).

    Raises NoAddress.
    """
    if wanted is None:
        wanted = (service.get("health") or {}).get("port")
    port = _container_port(service, wanted)
    inside = _inside(holder)
    published = _published(holder, port)
    if published:
        return probes.Target(published[0], published[1], (inside, port) if inside else None)
    if holder.network_mode == "host":
        return probes.Target("127.0.0.1", port)
    if inside:
        return probes.Target(inside, port)
    raise NoAddress("port %d is not published, and the container has no address" % port)


def web_url(service, holder, own_address=lambda: None):
    """URL of the service's web interface as published, for people; empty when it is not published.

    `own_address`: function that gives the host's address on its default route, or None: what is published on every
    address is reached there. An address that only the host itself can reach stays: nothing else is published.
    """
    for entry in service.get("ports") or []:
        if entry.get("name") == "web":
            published = _bindings(holder, entry.get("target"))
            if published:
                address = published[0].get("HostIp", "")
                address = own_address() if address in LOOPBACK else address
                return "http://%s" % probes.Target(address, int(published[0]["HostPort"])).netloc() if address else ""
    return ""


def _container_port(service, wanted):
    """Number inside the container of the port that `health.port` names; a number is taken as it is."""
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return wanted
    names = []
    for entry in service.get("ports") or []:
        if entry.get("name") == wanted and entry.get("protocol", "tcp") == "tcp":
            return int(entry["target"])
        names.append(str(entry.get("name")))
    raise NoAddress("health.port is %r in the service file; its ports are %s" % (wanted, ", ".join(names) or "none"))


def _bindings(holder, port):
    # What is published now; HostConfig only says what was asked for.
    ports = (holder.raw.get("NetworkSettings") or {}).get("Ports") or {}
    found = [binding for binding in ports.get("%s/tcp" % port) or [] if binding.get("HostPort")]
    # IPv4 first: an app that listens on it alone is published on both.
    return sorted(found, key=lambda binding: ":" in binding.get("HostIp", ""))


def _published(holder, port):
    for binding in _bindings(holder, port):
        address = binding.get("HostIp", "")
        return LOOPBACK.get(address, address), int(binding["HostPort"])
    return None


def _inside(holder):
    """The container's own address, of its first network by name that has one."""
    networks = (holder.raw.get("NetworkSettings") or {}).get("Networks") or {}
    for _name, network in sorted(networks.items()):
        address = (network or {}).get("IPAddress") or (network or {}).get("GlobalIPv6Address")
        if address:
            return address
    return None
