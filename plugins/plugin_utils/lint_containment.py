# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What would let traffic out of the VPN, or make a hole in it: mostly an override that seemed harmless."""

from __future__ import annotations

import ipaddress

from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_variables import SECRET

from . import ports
from .fragments import as_map
from .lint_model import ERROR, WARNING, Finding, literal, mounts, strings
from .ports import VPN_PARENT

TORRENT_CLIENTS = ("qbittorrent", "transmission", "deluge")
# With one of these a service can change the firewall of the namespace that it shares with gluetun.
_POWERS = frozenset(["ALL", "NET_ADMIN", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE"])
_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
_IPV6_OFF = "net.ipv6.conf.all.disable_ipv6"
_OUTBOUND = "FIREWALL_OUTBOUND_SUBNETS"
_CONTROL_ADDRESS = "HTTP_CONTROL_SERVER_ADDRESS"
_CONTROL_PORT = 8000
# gluetun's own rules warn of these names, and say what to write instead.
_REFUSED = frozenset(["USER", "PASSWORD"])
# Settings that become secret files.
_SETTINGS = frozenset(
    f"mediastack_vpn_{name}"
    for name in (
        *("wireguard_private_key", "wireguard_preshared_key", "openvpn_user", "openvpn_password", "openvpn_cert"),
        *("openvpn_key", "openvpn_encrypted_key", "openvpn_key_passphrase"),
    )
)


def check(model):
    """The findings of a `lint_model.Model` about what the VPN is to contain."""
    if VPN_PARENT not in model.services:
        return []
    return [
        *_gluetun(model),
        *_control(model),
        *_credentials(model),
        *_members(model),
        *_published(model),
        *_outside(model),
    ]


def _gluetun(model):
    definition = model.services[VPN_PARENT]
    mode = literal(definition.get("network_mode"))
    if mode is not None and mode != "bridge":
        message = f"with network_mode {mode} the VPN's namespace is not its own, and its firewall is another's"
        yield Finding(ERROR, VPN_PARENT, "network_mode", message, "remove it")
    if definition.get("privileged") is True:
        yield Finding(ERROR, VPN_PARENT, "privileged", "it needs NET_ADMIN and /dev/net/tun, no more", "remove it")
    sysctls = as_map(definition.get("sysctls"))
    if literal(sysctls.get(_IPV6_OFF)) not in ("1", None) or _IPV6_OFF not in sysctls:
        message = "IPv6 is on in the VPN's namespace and can leave beside an IPv4 tunnel"
        yield Finding(WARNING, VPN_PARENT, f"sysctls.{_IPV6_OFF}", message, 'set it to "1"')
    for text in (literal(as_map(definition.get("environment")).get(_OUTBOUND)) or "").split(","):
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            continue
        if network.prefixlen == 0:
            message = f"{text.strip()} is the whole internet, past the VPN"
            yield Finding(ERROR, VPN_PARENT, f"environment.{_OUTBOUND}", message, "name your network at home")


def _control(model):
    """The control server where others reach it: its keys travel in the clear, and a role more opens it to them."""
    definition = model.services[VPN_PARENT]
    address = literal(as_map(definition.get("environment")).get(_CONTROL_ADDRESS)) or ""
    number = address.rpartition(":")[2]
    target = int(number) if number.isdigit() else _CONTROL_PORT
    for port in ports.of_compose(VPN_PARENT, definition.get("ports")):
        where = port.addresses[0]
        if port.target == target and port.protocol == "tcp" and not _is_loopback(where):
            message = f"publishes gluetun's control server on {where}: its keys travel there in the clear"
            yield Finding(WARNING, VPN_PARENT, "ports", message, "publish it on 127.0.0.1 only, as it is without this")


def _credentials(model):
    """Credentials as variables of the container: everybody who may ask the engine reads them."""
    for name, value in as_map(model.services[VPN_PARENT].get("environment")).items():
        if name not in SECRET - _REFUSED or str(value or "") in ("", "{}"):
            continue
        setting = f"mediastack_vpn_{name.lower()}"
        remedy = f"set {setting} instead" if setting in _SETTINGS else f"give it as the Compose secret {name.lower()}"
        message = "as a variable it shows in docker inspect"
        yield Finding(WARNING, VPN_PARENT, f"environment.{name}", message, f"{remedy}, which becomes a file")


def _is_loopback(address):
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        # The saved address, or a variable of Compose's: neither is loopback, as far as can be told.
        return False


def _members(model):
    for name in model.members():
        definition = model.services[name]
        if definition.get("privileged") is True:
            message = f"could change the firewall of {VPN_PARENT}, whose namespace it shares"
            yield Finding(ERROR, name, "privileged", message, "remove it, or take it out of mediastack_vpn_services")
        powers = {power.upper().removeprefix("CAP_") for power in strings(definition.get("cap_add"))} & _POWERS
        for power in sorted(powers):
            message = f"with {power} it could change the firewall of {VPN_PARENT}, whose namespace it shares"
            yield Finding(ERROR, name, "cap_add", message, "remove it, or take it out of mediastack_vpn_services")
        for key in ("pid", "userns_mode"):
            if literal(definition.get(key)) == "host":
                message = "takes down the wall between it and the host"
                yield Finding(WARNING, name, key, message, "remove it")
        for mount in mounts(definition):
            if mount.source in _SOCKETS:
                message = "with the engine's socket it can start containers outside of the VPN"
                yield Finding(WARNING, name, "volumes", message, "remove it")


def _torrent_ports(model, name):
    """Container ports at which a torrent client takes connections of peers: `{(target, protocol)}`."""
    found = set()
    for port, spec in ((model.meta.get(name) or {}).get("ports") or {}).items():
        spec = ports.normalize(spec)
        if port == "torrent" or spec["expose"] == "vpn":
            protocols = ("tcp", "udp") if spec["protocol"] == "both" else (spec["protocol"],)
            found.update((spec["target"], each) for each in protocols)
    return found


def _published(model):
    """The torrent port on the host: peers would reach the client at your own address."""
    theirs = {place: name for name in model.members() for place in _torrent_ports(model, name)}
    published = ports.of_compose(VPN_PARENT, model.services[VPN_PARENT].get("ports"))
    for name in dict.fromkeys(theirs[port.target, port.protocol] for port in published if _place(port) in theirs):
        message = f"publishes the torrent port of {name} on the host: peers would see your own address"
        yield Finding(ERROR, VPN_PARENT, "ports", message, "remove it; peers come through the VPN's forwarded port")


def _place(port):
    return port.target, port.protocol


def _outside(model):
    """A torrent client that is not behind the VPN although there is one."""
    members = set(model.members())
    for name in model.services:
        if name not in members and model.wiring(name).get("kind") in TORRENT_CLIENTS:
            message = "is not behind the VPN: its torrents use your own address"
            yield Finding(WARNING, name, "mediastack_vpn_services", message, f"add {name} to it")
