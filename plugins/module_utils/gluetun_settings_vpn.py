# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun demands of its VPN variables: provider, credentials, servers, port forwarding.

Sources: `internal/configuration/settings/{vpn,provider,openvpn,openvpnselection,wireguard,wireguardselection,
serverselection,portforward}.go` of gluetun v3.41.3, and its verdicts in tests/fixtures/gluetun.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_providers as gp
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import (
    TRUE,
    closest,
    network,
    port,
)

KEY_BYTES = 32
_IVPN_ACCOUNT = re.compile(r"(i|ivpn)-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{4}")
_INTERFACE = re.compile(r"[a-zA-Z0-9_]+")


class Vpn:
    """The checks of one Reader's VPN variables; problems go to the Reader."""

    def __init__(self, reader, files=None):
        """`files`: path in the container → text of a file that can be looked into."""
        self.reader = reader
        self.files = files or {}
        self.providers = gp.providers(reader.version)
        types = ("openvpn", "wireguard", "amneziawg") if reader.version >= gp.MASTER else ("openvpn", "wireguard")
        self.kind = reader.choice("VPN_TYPE", types, "openvpn")
        given = reader.get("VPN_SERVICE_PROVIDER") or (gp.CUSTOM if reader.get(gp.CUSTOM_CONFIG) else "pia")
        self.name = gp.ALIASES.get(given, given)
        #: The Provider, None when it is unknown or has not this type.
        self.provider = None if reader.problems else self._provider()

    def check(self):
        """All of it. What depends on the provider only with one that is known."""
        self._values()
        self._forwarding()
        if self.provider is None:
            return
        self._servers()
        if self.kind == "openvpn":
            self._openvpn_login()
            self._openvpn_endpoint()
        else:
            self._wireguard_keys()
            self._wireguard_endpoint()

    def _provider(self):
        provider = self.providers.get(self.name)
        field = "wireguard" if self.kind == "amneziawg" else self.kind
        offered = [name for name, each in self.providers.items() if getattr(each, field) is not None]
        if self.kind == "amneziawg":
            offered = [gp.CUSTOM]
        shown = self.reader.shown("VPN_SERVICE_PROVIDER", self.name)
        if provider is None:
            self.reader.problem(
                "VPN_SERVICE_PROVIDER",
                "%s is not a provider of this release of gluetun. %s" % (shown, closest(self.name, self.providers)),
            )
        elif self.name not in offered:
            self.reader.problem(
                "VPN_TYPE",
                "gluetun does not offer %s with the provider %s. It does with %s."
                % (self.kind, shown, ", ".join(offered)),
            )
        else:
            return provider
        return None

    def _missing(self, name, why=""):
        self.reader.problem(name, "not given, and %s with %s needs it%s." % (self.kind, self.name, why))

    # What is read, whatever the type

    def _values(self):
        reader = self.reader
        for name in ("WIREGUARD_MTU", "OPENVPN_ENDPOINT_PORT", gp.ENDPOINT_PORT):
            reader.number(name)
        for name in gp.ONLY:
            reader.flag(name)
        reader.flag("OPENVPN_ROOT")
        reader.parsed("SERVER_NUMBER", port, "a number of a server")
        reader.parsed("WIREGUARD_ALLOWED_IPS", network, "a network such as 0.0.0.0/0")
        reader.address("OPENVPN_ENDPOINT_IP")
        reader.address(gp.ENDPOINT_IP)
        keepalive = reader.seconds("WIREGUARD_PERSISTENT_KEEPALIVE_INTERVAL")
        if keepalive is not None and keepalive < 0 and self.kind != "openvpn":
            reader.problem("WIREGUARD_PERSISTENT_KEEPALIVE_INTERVAL", "it must not be negative.")
        for item in reader.items(gp.ADDRESSES):
            # The only list whose items are trimmed; without a length it is /32, even for IPv6.
            self._interface_address(item.strip())
        reader.number("OPENVPN_MSSFIX", most=10000 if self.kind == "openvpn" else 65535)
        reader.number("OPENVPN_VERBOSITY", most=6)
        if self.kind == "openvpn":
            reader.choice("OPENVPN_VERSION", ("2.5", "2.6"))
            reader.choice("OPENVPN_PROTOCOL", ("udp", "tcp"))
        else:
            reader.choice("WIREGUARD_IMPLEMENTATION", ("auto", "userspace", "kernelspace"))
        interface = reader.get("VPN_INTERFACE")
        if interface and not _INTERFACE.fullmatch(interface):
            reader.problem("VPN_INTERFACE", "%s may hold letters, digits and _ only." % reader.shown("VPN_INTERFACE"))

    def _interface_address(self, text):
        if not text and self.reader.version >= (3, 41, 2):
            return
        try:
            network(text if "/" in text else text + "/32")
        except ValueError:
            self.reader.problem(
                gp.ADDRESSES,
                "%s is not an address with its prefix length, such as 10.64.0.2/32."
                % self.reader.shown(gp.ADDRESSES, text),
            )

    # Servers

    def _servers(self):
        reader = self.reader
        for name in gp.FILTERS:
            if reader.get(name) and name not in self.provider.filters:
                others = ", ".join(self.provider.filters)
                reader.problem(name, "servers of %s cannot be chosen by it. They can by %s." % (self.name, others))
        if self.name == gp.CUSTOM and len(reader.items(gp.NAMES)) > 1:
            reader.problem(gp.NAMES, "with the provider custom it takes one name.")
        for name in gp.ONLY:
            wanted = name != "PORT_FORWARD_ONLY" and reader.get(name) in TRUE
            if wanted and name not in self.provider.only:
                reader.problem(name, "%s has no such servers. Remove it." % self.name)
        forward_only = self._forward_only()
        if forward_only and "PORT_FORWARD_ONLY" not in self.provider.only:
            reader.problem("PORT_FORWARD_ONLY", "%s has no such servers. Remove it." % self.name)
        free = reader.get("FREE_ONLY") in TRUE
        if free and reader.get("PREMIUM_ONLY") in TRUE:
            reader.problem("FREE_ONLY", "together with PREMIUM_ONLY no server is left.")
        if free and forward_only and self.name == "protonvpn":
            reader.problem("FREE_ONLY", "free servers forward no port. Remove it, or VPN_PORT_FORWARDING.")

    def _forward_only(self):
        """Whether only servers that forward ports are wanted; port forwarding wants it unless told otherwise."""
        given = self.reader.get("PORT_FORWARD_ONLY")
        if given:
            return given in TRUE
        forwards = self.reader.get("VPN_PORT_FORWARDING") in TRUE
        return forwards and self.name in (gp.PIA, "protonvpn")

    # OpenVPN

    def _openvpn_login(self):
        reader = self.reader
        needed = list(self.provider.openvpn)
        if self.name == "ivpn" and _IVPN_ACCOUNT.fullmatch(reader.get(gp.USER)):
            needed.remove(gp.PASSWORD)
        for name in needed:
            if not reader.get(name):
                self._missing(name)
        for name in (gp.CERT, gp.KEY, gp.ENCRYPTED_KEY):
            if reader.get(name) and not _is_base64(reader.get(name)):
                reader.problem(
                    name, "it is not base64 (the value is not shown). Leave out the lines -----BEGIN and -----END."
                )
        if reader.get(gp.ENCRYPTED_KEY) and not reader.get(gp.PASSPHRASE) and gp.PASSPHRASE not in needed:
            self._missing(gp.PASSPHRASE, ", because of " + gp.ENCRYPTED_KEY)
        if self.name == gp.CUSTOM and reader.get(gp.CUSTOM_CONFIG):
            self._custom_config(reader.get(gp.CUSTOM_CONFIG))

    def _custom_config(self, path):
        if "\n" in path:
            # A secret of the variable's own name is taken for its value.
            what = "it is the text of a configuration, not the path of a file: give the secret another name."
            self.reader.problem(gp.CUSTOM_CONFIG, what)
            return
        text = read_file(path, self.files)
        if text is None:
            return
        remotes = 0
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0] != "remote":
                continue
            remotes += 1
            problem = _remote_problem(words)
            if problem:
                self.reader.problem(gp.CUSTOM_CONFIG, "%s, line %d: %s" % (path, number, problem))
        if not remotes:
            self.reader.problem(gp.CUSTOM_CONFIG, "%s has no line `remote <IP address> <port>`." % path)

    def _openvpn_endpoint(self):
        reader = self.reader
        protocol = reader.get("OPENVPN_PROTOCOL") or "udp"
        if protocol == "tcp" and self.provider.udp_only:
            reader.problem("OPENVPN_PROTOCOL", "%s has no OpenVPN over tcp. Remove it." % self.name)
        number = reader.get("OPENVPN_ENDPOINT_PORT")
        allowed = self.provider.tcp_ports if protocol == "tcp" else self.provider.udp_ports
        self._endpoint_port("OPENVPN_ENDPOINT_PORT", number, allowed, " over " + protocol)
        presets = ("normal", "strong") if reader.version >= (3, 41, 2) else ("none", "normal", "strong")
        if self.name == gp.PIA:
            reader.choice("PRIVATE_INTERNET_ACCESS_OPENVPN_ENCRYPTION_PRESET", presets)

    def _endpoint_port(self, name, number, allowed, how=""):
        if not number.isdigit() or int(number) in (0, *(allowed or ())) or allowed is None:
            return
        if allowed:
            listed = ", ".join(map(str, sorted(allowed)))
            self.reader.problem(name, "%s is not a port of %s%s: %s." % (number, self.name, how, listed))
        else:
            self.reader.problem(name, "%s is set, but %s has its own port. Remove it." % (number, self.name))

    # WireGuard

    def _wireguard_keys(self):
        reader = self.reader
        # In this order of the table: what custom needs besides is asked for with the endpoint.
        for name in self.provider.wireguard:
            if not reader.get(name):
                self._missing(name)
        for name in (gp.PRIVATE_KEY, gp.PRESHARED_KEY, gp.PUBLIC_KEY):
            problem = key_problem(reader.get(name))
            if problem:
                hidden = "" if name == gp.PUBLIC_KEY else " (the value is not shown)"
                reader.problem(name, "it is not a WireGuard key: %s%s." % (problem, hidden))

    def _wireguard_endpoint(self):
        reader = self.reader
        number = reader.get(gp.ENDPOINT_PORT)
        self._endpoint_port(gp.ENDPOINT_PORT, number, self.provider.ports)
        if self.name != gp.CUSTOM:
            return
        if number.isdigit() and int(number) == 0:
            reader.problem(gp.ENDPOINT_PORT, "0 is not a port from 1 to 65535.")
        try:
            if ipaddress.ip_address(reader.get(gp.ENDPOINT_IP)).is_unspecified:
                reader.problem(gp.ENDPOINT_IP, "it is no address of a server.")
        except ValueError:
            pass  # said already

    # Port forwarding

    def _forwarding(self):
        reader = self.reader
        reader.number("VPN_PORT_FORWARDING_LISTENING_PORT")
        if reader.version >= gp.MASTER:
            self._several_ports()
        if not reader.flag("VPN_PORT_FORWARDING"):
            return
        able = gp.forwarding(reader.version)
        given = reader.get("VPN_PORT_FORWARDING_PROVIDER")
        name = given or self.name
        if name not in able:
            reader.problem(
                "VPN_PORT_FORWARDING_PROVIDER" if given else "VPN_PORT_FORWARDING",
                "gluetun cannot have %s forward a port. It can with %s."
                % (reader.shown("VPN_PORT_FORWARDING_PROVIDER", name), ", ".join(able)),
            )
        elif name == gp.PIA:
            for own, general in (
                ("VPN_PORT_FORWARDING_USERNAME", gp.USER),
                ("VPN_PORT_FORWARDING_PASSWORD", gp.PASSWORD),
            ):
                if not reader.get(own) and not reader.get(general):
                    reader.problem(own, "not given, nor %s, and port forwarding of %s needs it." % (general, name))

    def _several_ports(self):
        """The development version forwards several ports of Proton's, and redirects each to a port of its own."""
        reader = self.reader
        most = 5 if (reader.get("VPN_PORT_FORWARDING_PROVIDER") or self.name) == "protonvpn" else 1
        count = reader.number("VPN_PORT_FORWARDING_PORTS_COUNT", least=1, most=most) or 1
        ports = reader.parsed("VPN_PORT_FORWARDING_LISTENING_PORTS", port, "a port")
        if ports and ports != [0] and (len(ports) != count or 0 in ports):
            reader.problem("VPN_PORT_FORWARDING_LISTENING_PORTS", "give %d ports, none of them 0." % count)


def key_problem(text):
    """What is wrong with a WireGuard key, None when it is well or empty. The key itself is not part of the words."""
    if not text:
        return None
    try:
        size = len(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return "it is not base64; a key has 44 characters and ends in ="
    if size == KEY_BYTES:
        return None
    token = "; it may be an access token of NordVPN, with which the key is fetched" if size == 48 else ""
    return "it holds %d bytes, not %d%s" % (size, KEY_BYTES, token)


def read_file(path, files):
    """The text of a file of the container, None when it cannot be looked into from here."""
    if path in files:
        return files[path]
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return None


def _is_base64(text):
    try:
        # Go's decoder skips line ends.
        return bool(base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True))
    except (ValueError, binascii.Error):
        return False


def _remote_problem(words):
    try:
        ipaddress.ip_address(words[1] if len(words) > 1 else "")
    except ValueError:
        return "remote must be followed by an IP address, not by a name."
    if len(words) > 2 and not (words[2].isdigit() and 1 <= int(words[2]) <= 65535):
        return "the port of remote is not a number from 1 to 65535."
    if len(words) > 3 and not words[3].lower().startswith(("udp", "tcp")):
        return "the protocol of remote is neither udp nor tcp."
    return None
