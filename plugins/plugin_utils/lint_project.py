# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong between the parts of a project: names that nothing defines, addresses and ports that two want."""

from __future__ import annotations

import ipaddress
import re

from . import compose_check, interpolation, ports
from .closest import closest, hint
from .fragments import depends_on
from .lint_model import ERROR, WARNING, Finding, literal, parent_of

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_NETWORK_DRIVERS = ("bridge", "host", "ipvlan", "macvlan", "none", "null", "overlay")
_MODES = ("bridge", "default", "host", "none")
_SHARES = ("service:", "container:")
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


def check(model):
    """The findings of a `lint_model.Model` that concern more than one part of it."""
    found = []
    for rule in (_references, _namespaces, _dependencies, _containers, _variables, _subnets, _addresses, _volumes):
        found += rule(model)
    return [*found, *_ports(model), *_shared_ports(model)]


def _references(model):
    defined = {kind: getattr(model, kind) for kind in ("networks", "volumes", "secrets", "configs")}
    for name, definition in model.services.items():
        for kind, wanted in compose_check.references(definition).items():
            for entry in wanted:
                if literal(entry) is None or entry in defined[kind] or (kind, entry) == ("networks", "default"):
                    continue
                remedy = hint(entry, defined[kind], "define it at the top of the service file")
                yield Finding(ERROR, name, f"{kind}.{entry}", "is defined nowhere", remedy)


def _namespaces(model):
    """`network_mode`, `pid` and `ipc` of another service: one that there is."""
    for name, definition in model.services.items():
        for key in ("network_mode", "pid", "ipc"):
            mode = literal(definition.get(key)) or ""
            kind, colon, other = mode.partition(":")
            if kind == "service" and other not in model.services:
                yield Finding(ERROR, name, key, f"there is no service {other!r}", hint(other, model.services))
            elif key == "network_mode" and mode and not colon and mode not in (*_MODES, *_network_names(model)):
                remedy = hint(mode, _MODES, "name networks under networks:")
                yield Finding(ERROR, name, key, f"{mode!r} is not a network mode", remedy)
            elif key == "ipc" and kind == "service" and _ipc(model, other) != "shareable":
                yield Finding(ERROR, name, key, f"{other} does not share its IPC", f"set ipc: shareable for {other}")
            elif key == "ipc" and mode and not colon and mode not in ("host", "none", "private", "shareable"):
                remedy = "write host, none, private, shareable or service:<name>"
                yield Finding(ERROR, name, key, f"{mode!r} is not an IPC mode", remedy)
        if parent_of(definition) and model.owner(name) == name:
            remedy = "let one of them have a network of its own"
            yield Finding(ERROR, name, "network_mode", "the services share each other's network in a circle", remedy)


def _network_names(model):
    return [(entry or {}).get("name", key) for key, entry in model.networks.items()]


def _ipc(model, name):
    return literal((model.services.get(name) or {}).get("ipc"))


def _dependencies(model):
    for name, definition in model.services.items():
        for need, options in depends_on(definition).items():
            where = f"depends_on.{need}"
            if need not in model.services:
                if options.get("required", True):
                    yield Finding(ERROR, name, where, "there is no such service", hint(need, model.services))
                continue
            condition = options.get("condition", _CONDITIONS[0])
            if condition not in _CONDITIONS:
                remedy = hint(str(condition), _CONDITIONS)
                yield Finding(ERROR, name, where, f"{condition!r} is not a condition", remedy)
            elif condition == "service_healthy" and _no_health(model.services[need]):
                remedy = f"give {need} a health check, or wait for service_started"
                yield Finding(ERROR, name, where, f"waits for {need} to be healthy, which has no health check", remedy)
        parent = parent_of(definition)
        options = depends_on(definition).get(parent) if parent in model.services else None
        if options is not None and options.get("restart") is not True:
            message = f"without restart: true it stays in a dead network after a restart of {parent}"
            yield Finding(WARNING, name, f"depends_on.{parent}", message, "add restart: true")
    for problem in compose_check.cycles(model.services):
        yield Finding(ERROR, "", "depends_on", problem, "take one of them out")


def _no_health(definition):
    """Whether a service surely has no health check; one without may have its image's."""
    return bool((definition.get("healthcheck") or {}).get("disable"))


def _containers(model):
    taken = {}
    for name, definition in model.services.items():
        container = literal(definition.get("container_name"))
        if container is not None and taken.setdefault(container, name) != name:
            message = f"{container} is the name of {taken[container]}'s container as well"
            yield Finding(ERROR, name, "container_name", message, "give it another one")


def _variables(model):
    if model.variables is None:
        return
    for name, definition in model.services.items():
        required, _optional = interpolation.variables(definition)
        for variable in sorted(required - model.variables):
            near = closest(variable, model.variables)
            remedy = f"did you mean ${{{near}}}?" if near else "add it to mediastack_env"
            message = "is not set: Compose would put in nothing"
            yield Finding(ERROR, name, f"${{{variable}}}", message, remedy)
        if interpolation.stray_dollars(definition):
            # The text itself may be a password.
            message = "a value holds a dollar sign that Compose cannot read"
            yield Finding(ERROR, name, "$", message, "write $$ for a literal one")


def _subnets(model):
    known = []
    for name, entry in model.networks.items():
        where = f"networks.{name}"
        driver = literal((entry or {}).get("driver"))
        if driver is not None and driver not in _NETWORK_DRIVERS and ":" not in driver and "/" not in driver:
            remedy = hint(driver, _NETWORK_DRIVERS)
            yield Finding(ERROR, "", f"{where}.driver", f"{driver!r} is not a network driver", remedy)
        for config in ((entry or {}).get("ipam") or {}).get("config") or []:
            subnet, gateway = literal(config.get("subnet")), literal(config.get("gateway"))
            if subnet is None:
                continue
            network = _network(subnet)
            if network is None:
                remedy = "write one such as 172.28.0.0/24"
                yield Finding(ERROR, "", f"{where}.ipam", f"{subnet!r} is not a network", remedy)
                continue
            if gateway is not None and _address(gateway) not in network:
                message = f"the gateway {gateway} is not in {subnet}"
                yield Finding(ERROR, "", f"{where}.ipam", message, "choose one in it, or leave it out")
            for other, taken in known:
                if network.version == taken.version and network.overlaps(taken):
                    message = f"{subnet} overlaps networks.{other} ({taken})"
                    yield Finding(ERROR, "", f"{where}.ipam", message, "choose another network")
            known.append((name, network))


def _network(text):
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


class _Nowhere:
    """An address that is none, so in no network."""

    version = 0


def _address(text):
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return _Nowhere()


def _addresses(model):
    """Fixed addresses: in a network that has subnets, and taken once."""
    taken = {}
    for name, definition in model.services.items():
        networks = definition.get("networks")
        for network, options in networks.items() if isinstance(networks, dict) else ():
            for key in ("ipv4_address", "ipv6_address"):
                text = literal((options or {}).get(key))
                if text is None:
                    continue
                where = f"networks.{network}.{key}"
                address = _address(text)
                if isinstance(address, _Nowhere):
                    yield Finding(ERROR, name, where, f"{text!r} is not an address", "write one of the network's")
                    continue
                configs = ((model.networks.get(network) or {}).get("ipam") or {}).get("config") or []
                subnets = [
                    found for found in (_network(literal(each.get("subnet")) or "") for each in configs) if found
                ]
                external = (model.networks.get(network) or {}).get("external")
                inside = [subnet for subnet in subnets if subnet.version == address.version and address in subnet]
                if not inside and not external:
                    what = f"is not in {', '.join(map(str, subnets))}" if subnets else "needs a network with a subnet"
                    remedy = "choose one in it" if subnets else f"set networks.{network}.ipam, or leave it out"
                    yield Finding(ERROR, name, where, f"{text} {what}", remedy)
                elif taken.setdefault((network, address), name) != name:
                    message = f"{text} is the address of {taken[network, address]} as well"
                    yield Finding(ERROR, name, where, message, "choose another")
                elif inside and _is_reserved(address, inside[0], configs):
                    message = f"{text} is an address of the network {network} itself"
                    yield Finding(ERROR, name, where, message, "choose another")


def _is_reserved(address, network, configs):
    gateways = [literal(config.get("gateway")) for config in configs]
    own = {_address(gateway) for gateway in gateways if gateway} or {network.network_address + 1}
    return address in own or address in (network.network_address, network.broadcast_address)


def _volumes(model):
    for name, entry in model.volumes.items():
        real = literal((entry or {}).get("name"))
        if real is not None and not _VOLUME_NAME.fullmatch(real):
            remedy = "two or more letters, digits, _ . -"
            yield Finding(ERROR, "", f"volumes.{name}.name", f"{real!r} is not a volume's name", remedy)


def _ports(model):
    """Host ports: numbers, protocols, and none taken twice."""
    published = []
    for name, definition in model.services.items():
        if literal(definition.get("network_mode")) in ("host", "none"):
            continue  # nothing is published there
        for entry in definition.get("ports") or []:
            yield from _port(name, entry)
        published += ports.of_compose(name, definition.get("ports"))
    for problem in ports.clashes(published, ()):
        message, _semicolon, remedy = problem.partition("; ")
        yield Finding(ERROR, "", "ports", message, remedy)


def _port(name, entry):
    if not isinstance(entry, dict):
        return
    for key in ("target", "published"):
        value = literal(entry.get(key))
        numbers = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", value) if value is not None else None
        if value is not None and not (numbers and all(0 <= int(n) <= 65535 for n in numbers.groups() if n)):
            yield Finding(ERROR, name, f"ports.{key}", f"{value} is not a port", "write a number from 1 to 65535")
    address = literal(entry.get("host_ip"))
    if address and isinstance(_address(address.strip("[]")), _Nowhere):
        yield Finding(ERROR, name, "ports.host_ip", f"{address!r} is not an address", "write an address of the host")
    protocol = literal(entry.get("protocol"))
    if protocol is not None and protocol not in ("tcp", "udp", "sctp"):
        yield Finding(ERROR, name, "ports.protocol", f"{protocol!r} is not a protocol", "write tcp or udp")


def _shared_ports(model):
    """What the services in gluetun's network namespace listen on, as far as their service files say so."""
    members = model.members()
    listening = []
    for name in members:
        for port, spec in ((model.meta.get(name) or {}).get("ports") or {}).items():
            spec = ports.normalize(spec)
            protocols = ("tcp", "udp") if spec["protocol"] == "both" else (spec["protocol"],)
            listening += [ports.Port(name, port, each, spec["port"], spec["target"], (), False) for each in protocols]
    for problem in dict.fromkeys(ports.clashes(listening, members)):
        message, _semicolon, remedy = problem.partition("; ")
        yield Finding(ERROR, "", "ports", message, remedy)
