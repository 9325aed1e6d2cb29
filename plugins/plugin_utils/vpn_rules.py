# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun demands of the VPN settings, checked before it is started.

gluetun checks them itself and exits, and the container restarts for ever; it stops at the first mistake, in random
order, and ignores unknown names. Here all mistakes are found at once and named as the user wrote them. Rules: gluetun
v3.41.3, see `vpn_providers`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

from ansible_collections.homelab.mediastack.plugins.module_utils.leak_judge import is_reserved

from . import vpn_providers as vp
from .closest import hint
from .setting_types import shown

_PREFIX = "mediastack_"
_IVPN_ACCOUNT = re.compile(r"(i|ivpn)-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{4}")
_ONE_LINE = (vp.USER, vp.PASSWORD, vp.PASSPHRASE)
_PEM = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")
_TRUE = ("enabled", "yes", "on", "true")
_FALSE = ("disabled", "no", "off", "false")
_FIREWALL = "FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT"


def normalized(values):
    """A copy of all settings in which the VPN's are written as gluetun wants them.

    Provider names in lower case and in full (`pia`), text without surrounding blanks, addresses with a prefix length
    (gluetun appends `/32` even to IPv6).
    """
    result = dict(values)
    for name, value in values.items():
        if name.startswith(_PREFIX + "vpn_") and isinstance(value, str):
            result[name] = value if name in (_PREFIX + vp.PASSWORD, _PREFIX + vp.PASSPHRASE) else value.strip()
    for name in (_PREFIX + "vpn_provider", _PREFIX + "vpn_port_forwarding_provider"):
        provider = result[name].lower()
        result[name] = vp.ALIASES.get(provider, provider)
    if not result[_PREFIX + "vpn_provider"] and result[_PREFIX + vp.CUSTOM_CONFIG]:
        result[_PREFIX + "vpn_provider"] = vp.CUSTOM
    result[_PREFIX + vp.ADDRESSES] = [_with_prefix(address) for address in values[_PREFIX + vp.ADDRESSES]]
    return result


def _with_prefix(address):
    try:
        return address if "/" in address else f"{address}/{ipaddress.ip_address(address).max_prefixlen}"
    except ValueError:
        return address


def pem_body(text):
    """The base64 body of a PEM text on one line, as gluetun takes certificates and keys.

    Raises:
        ValueError: when it is not base64.
    """
    body = "".join(_PEM.sub("", text).split())
    if not body or not base64.b64decode(body, validate=True):
        raise ValueError("empty")
    return body


def check(values):
    """Check the VPN settings; only to be called with the VPN on.

    Parameters:
        values: all settings, typed, as `normalized` returns them.
    Returns:
        `(errors, warnings)`: sentences that begin with the setting's name and show no secret.
    """
    rules = _Rules(values)
    rules.run()
    return rules.errors, rules.warnings


class _Rules:
    """One check of one set of values."""

    def __init__(self, values):
        self.values = values
        self.errors = []
        self.warnings = []

    def get(self, name):
        return self.values[_PREFIX + name]

    def error(self, name, text):
        self.errors.append(f"{_PREFIX}{name}: {text}")

    def run(self):
        """All rules; those that depend on the provider only with one that is known."""
        self.fields()
        self.subnets()
        name, kind = self.get("vpn_provider"), self.get("vpn_type")
        provider = vp.PROVIDERS.get(name)
        if provider is None:
            self.no_provider(name, kind)
        elif getattr(provider, kind) is None:
            offered = ", ".join(each for each, entry in vp.PROVIDERS.items() if getattr(entry, kind) is not None)
            self.error(
                "vpn_type",
                f'gluetun does not offer {kind} for "{name}". Set {_PREFIX}vpn_type: openvpn, or give the provider\'s '
                f"WireGuard configuration with {_PREFIX}vpn_provider: custom{self.forwarded_by(name, provider)}. "
                f"{kind} is offered for {offered}.",
            )
        else:
            self.credentials(name, kind, provider)
            self.filters(name, provider)
            self.port_forwarding(name, kind, provider)
        self.environment(name, provider)

    def forwarded_by(self, name, provider):
        """What else goes with the provider custom, to have this one forward a port."""
        if not (self.get("vpn_port_forwarding") and provider.forwards):
            return ""
        return f" and {_PREFIX}vpn_port_forwarding_provider: {name}"

    # -- provider and credentials ------------------------------------------------------------------------------------

    def no_provider(self, name, kind):
        if not name:
            least = vp.PRIVATE_KEY if kind == "wireguard" else f"{vp.USER} and {_PREFIX}{vp.PASSWORD}"
            self.error(
                "vpn_provider",
                f"no VPN provider is given. Set it, and its credentials ({kind}: at least {_PREFIX}{least}), "
                f"or {_PREFIX}vpn_enabled: false in the inventory. Providers: {', '.join(vp.PROVIDERS)}.",
            )
        else:
            why = vp.REMOVED.get(name)
            names = [*vp.PROVIDERS, *vp.ALIASES]
            self.error(
                "vpn_provider",
                f"{shown(name)} is not a provider of gluetun{f' ({why})' if why else ''}. {hint(name, names)}",
            )

    def credentials(self, name, kind, provider):
        needed = getattr(provider, kind)
        missing = [field for field in needed if not self.get(field)]
        if name == "ivpn" and kind == "openvpn" and _IVPN_ACCOUNT.fullmatch(self.get(vp.USER)):
            missing = [field for field in missing if field != vp.PASSWORD]
        for field in missing:
            self.error(field, f'not given, and {kind} with "{name}" needs it.')
        if kind == "openvpn" and name != vp.CUSTOM and self.get(vp.CUSTOM_CONFIG):
            self.error(vp.CUSTOM_CONFIG, f'is for {_PREFIX}vpn_provider: custom only, and the provider is "{name}".')
        if (
            kind == "openvpn"
            and self.get(vp.ENCRYPTED_KEY)
            and not self.get(vp.PASSPHRASE)
            and vp.PASSPHRASE not in missing
        ):
            self.error(vp.PASSPHRASE, f"not given, and {_PREFIX}{vp.ENCRYPTED_KEY} needs it.")
        if kind == "openvpn" and name == "mullvad":
            self.warnings.append(
                f"{_PREFIX}vpn_type: Mullvad ended OpenVPN on 2026-01-15, so this cannot connect. Take wireguard."
            )
        if name == "windscribe" and kind == "wireguard" and not self.get(vp.PRESHARED_KEY):
            self.warnings.append(f"{_PREFIX}{vp.PRESHARED_KEY}: not given, and Windscribe's configurations have one.")

    def fields(self):
        """The form of every field that is given, whatever the provider."""
        # Also with WireGuard: port forwarding may need the login.
        for field in _ONE_LINE:
            if any(character in self.get(field) for character in "\0\r\n"):
                self.error(field, "holds a line end or a NUL (the value is not shown).")
        if self.get("vpn_type") == "wireguard":
            for field in (vp.PRIVATE_KEY, vp.PUBLIC_KEY, vp.PRESHARED_KEY):
                self.key(field)
            for address in self.get(vp.ADDRESSES):
                if not _is_interface(address):
                    self.error(
                        vp.ADDRESSES, f"{shown(address)} is not an address with prefix length such as 10.64.0.2/32."
                    )
            self.endpoint()
            return
        for field in (vp.CERT, vp.KEY, vp.ENCRYPTED_KEY):
            if self.get(field):
                try:
                    pem_body(self.get(field))
                except (ValueError, binascii.Error):
                    self.error(field, "is neither PEM text nor its base64 body (the value is not shown).")
        if self.get(vp.CUSTOM_CONFIG):
            self.custom_config(self.get(vp.CUSTOM_CONFIG))

    def key(self, field):
        text = self.get(field)
        if not text:
            return
        try:
            size = len(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error):
            self.error(
                field,
                "is not a WireGuard key: not base64. A key has 44 characters and ends in = (the value is not shown).",
            )
            return
        if size != 32:
            token = " It may be an access token of NordVPN, with which the key is fetched." if size == 48 else ""
            self.error(field, f"is not a WireGuard key: it holds {size} bytes, not 32 (the value is not shown).{token}")

    def endpoint(self):
        ip, port = self.get(vp.ENDPOINT_IP), self.get(vp.ENDPOINT_PORT)
        if ip:
            try:
                if "%" in ip or not ipaddress.ip_address(ip):
                    raise ValueError(ip)
            except ValueError:
                self.error(
                    vp.ENDPOINT_IP,
                    f"{shown(ip)} is not an IP address. Write the address that the name stands for.",
                )
        if not 0 <= port <= 65535:
            self.error(vp.ENDPOINT_PORT, f"{port} is not a port from 1 to 65535.")
            return
        name = self.get("vpn_provider")
        provider = vp.PROVIDERS.get(name)
        if not port or provider is None or provider.wireguard is None or provider.ports is None:
            return
        if not provider.ports:
            self.error(vp.ENDPOINT_PORT, f'{port} is set, but "{name}" has its own port. Remove it.')
        elif port not in provider.ports:
            self.error(vp.ENDPOINT_PORT, f'{port} is not a port of "{name}": {", ".join(map(str, provider.ports))}.')

    def custom_config(self, text):
        remotes = 0
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0] != "remote":
                continue
            remotes += 1
            try:
                ipaddress.ip_address(words[1] if len(words) > 1 else "")
            except ValueError:
                self.error(vp.CUSTOM_CONFIG, f"line {number}: remote must be followed by an IP address, not by a name.")
            if len(words) > 2 and not (words[2].isdigit() and 1 <= int(words[2]) <= 65535):
                self.error(vp.CUSTOM_CONFIG, f"line {number}: the port of remote is not a number from 1 to 65535.")
        if not remotes:
            self.error(
                vp.CUSTOM_CONFIG, "has no line `remote <IP address> <port>`. It is the text of the file, not its path."
            )

    # -- servers, subnets, port forwarding -----------------------------------------------------------------------------

    def filters(self, name, provider):
        for kind in ("countries", "regions", "cities", "hostnames", "names"):
            field = f"vpn_server_{kind}"
            chosen = self.get(field)
            if not chosen:
                continue
            if kind not in provider.filters:
                others = ", ".join(f"{_PREFIX}vpn_server_{each}" for each in provider.filters)
                self.error(field, f'"{name}" cannot be filtered by {kind}. It knows {others}.')
            elif name == vp.CUSTOM and len(chosen) > 1:
                self.error(field, "takes one name with the provider custom.")
            for item in chosen:
                if "," in item or not item.strip() or not item.isprintable():
                    self.error(
                        field,
                        f"{shown(item)} is blank, or holds a comma or what cannot be printed. Write one name an entry.",
                    )

    def subnets(self):
        tunnel = [
            ipaddress.ip_interface(address).network for address in self.get(vp.ADDRESSES) if _is_interface(address)
        ]
        for subnet in self.get("vpn_local_subnets"):
            try:
                network = ipaddress.ip_network(subnet, strict=False)
            except ValueError:
                network = None
            if network is None or "/" not in subnet or "%" in subnet:
                self.error("vpn_local_subnets", f"{shown(subnet)} is not a network such as 192.168.1.0/24.")
            elif network.network_address.is_unspecified:
                self.error(
                    "vpn_local_subnets", f'"{subnet}" is the whole internet, past the VPN. Name your network at home.'
                )
            elif not is_reserved(network):
                self.warnings.append(
                    f"{_PREFIX}vpn_local_subnets: {subnet} is a part of the internet, which everything behind the VPN "
                    "reaches past it. Name your network at home."
                )
            elif any(each.version == network.version and each.overlaps(network) for each in tunnel):
                self.warnings.append(
                    f"{_PREFIX}vpn_local_subnets: {subnet} overlaps {_PREFIX}{vp.ADDRESSES}: "
                    "what is meant for the tunnel may leave it."
                )

    def port_forwarding(self, name, kind, provider):
        other = self.get("vpn_port_forwarding_provider")
        if other and other not in vp.FORWARDING:
            self.error(
                "vpn_port_forwarding_provider", f"{shown(other)} forwards no ports. {hint(other, vp.FORWARDING)}"
            )
            return
        if other and name not in (vp.CUSTOM, other):
            self.error(
                "vpn_port_forwarding_provider",
                f'is for {_PREFIX}vpn_provider: custom only, and the provider is "{name}".',
            )
            return
        if not self.get("vpn_port_forwarding"):
            return
        if name == vp.CUSTOM and not other:
            self.error(
                "vpn_port_forwarding_provider",
                f"name whose port forwarding custom is to use: {', '.join(vp.FORWARDING)}.",
            )
        elif name != vp.CUSTOM and not provider.forwards:
            self.error(
                "vpn_port_forwarding",
                f'gluetun cannot have "{name}" forward a port. It can with {", ".join(vp.FORWARDING)}. '
                f"A port that you were given on the provider's web page, and keep, is {_PREFIX}vpn_torrent_port.",
            )
        elif name == vp.CUSTOM and other == vp.PIA:
            for field in (vp.USER, vp.PASSWORD):
                if not self.get(field):
                    self.error(field, f'not given, and port forwarding of "{other}" needs it.')
            if not self.get("vpn_server_names"):
                self.error(
                    "vpn_server_names",
                    f'name one server (e.g. panama408): port forwarding of "{other}" needs it.',
                )
        else:
            self.forwarding_doubts(other or name, kind)

    def forwarding_doubts(self, name, kind):
        """What gluetun takes, and gets no port by."""
        user = self.get(vp.USER)
        # With the provider custom a user is not needed.
        asked_for = user or self.get("vpn_provider") != vp.CUSTOM
        if name == "protonvpn" and kind == "openvpn" and asked_for and "+pmp" not in user:
            self.warnings.append(f"{_PREFIX}{vp.USER}: Proton forwards a port only to a user name that ends in +pmp.")
        if name == "privatevpn" and kind == "wireguard":
            self.warnings.append(
                f"{_PREFIX}vpn_type: PrivateVPN forwards a port with openvpn only, as far as gluetun knows."
            )

    # -- gluetun's own environment, set through overrides --------------------------------------------------------------

    def environment(self, name, provider):
        overrides = self.get("overrides").get("gluetun")
        if not isinstance(overrides, dict):
            return
        for variable, value in _environment(overrides.get("environment")).items():
            self.environment_variable(variable, value, name, provider)

    def environment_variable(self, variable, value, name, provider):
        where = f"overrides: gluetun: environment {variable}"
        current = vp.DEPRECATED.get(variable)
        if current in vp.ENVIRONMENT or variable in vp.ENVIRONMENT:
            self.error(where, f"set {_PREFIX}{vp.ENVIRONMENT[current or variable]} instead.")
        elif current:
            self.error(where, f"is an old name that wins over {current} unnoticed. Write {current}.")
        elif variable == _FIREWALL and value not in _TRUE:
            self.error(where, "turns the kill switch off.")
        elif variable.endswith("_ONLY"):
            if value not in _TRUE + _FALSE:
                self.error(where, f'"{value}" is not on or off.')
            elif value in _TRUE and provider and variable[: -len("_ONLY")] not in provider.only:
                self.error(where, f'"{name}" has no such filter.')
            elif variable == "PORT_FORWARD_ONLY" and value in _FALSE and self.get("vpn_port_forwarding"):
                self.warnings.append(
                    f"{_PREFIX}{where}: off: gluetun may choose a server that forwards no port. Remove it."
                )
            elif variable == "FREE_ONLY" and value in _TRUE and self.get("vpn_port_forwarding"):
                self.error(where, f"free servers forward no port. Remove it, or {_PREFIX}vpn_port_forwarding.")


def _is_interface(address):
    # Python takes any text as the zone of an IPv6 address.
    try:
        return "%" not in address and bool(ipaddress.ip_interface(address))
    except ValueError:
        return False


def _environment(entries):
    """Compose's `environment`, map or list, as a map of lower-case text."""
    if isinstance(entries, list):
        entries = dict(str(entry).partition("=")[::2] for entry in entries)
    if not isinstance(entries, dict):
        return {}
    return {str(name): str("" if value is None else value).strip().lower() for name, value in entries.items()}
