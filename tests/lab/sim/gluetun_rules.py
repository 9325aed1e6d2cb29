# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun accepts as settings (v3.41): the start's verdicts in its own words, and the settings object of its
control server.

Sources: internal/configuration/settings of gluetun v3.41.3; tests/fixtures/gluetun holds its verdicts.
"""

import base64
import binascii
import copy
import ipaddress
import json
import os
import re
import tomllib

WIREGUARD = ["airvpn", "custom", "fastestvpn", "ivpn", "mullvad", "nordvpn", "protonvpn", "surfshark", "windscribe"]
OPENVPN = [
    "airvpn",
    "cyberghost",
    "expressvpn",
    "fastestvpn",
    "giganews",
    "hidemyass",
    "ipvanish",
    "ivpn",
    "mullvad",
    "nordvpn",
    "perfect privacy",
    "privado",
    "private internet access",
    "privatevpn",
    "protonvpn",
    "purevpn",
    "slickvpn",
    "surfshark",
    "torguard",
    "vpnsecure",
    "vpn unlimited",
    "vyprvpn",
    "windscribe",
    "custom",
    "pia",
]
OPENVPN_MASTER = [
    "airvpn",
    "custom",
    "cyberghost",
    "expressvpn",
    "fastestvpn",
    "giganews",
    "hidemyass",
    "ipvanish",
    "ivpn",
    "nordvpn",
    "pia",
    "privado",
    "private internet access",
    "privatevpn",
    "protonvpn",
    "purevpn",
    "slickvpn",
    "surfshark",
    "torguard",
    "vpn unlimited",
    "vpnsecure",
    "vyprvpn",
    "windscribe",
]
FORWARDING = ["perfect privacy", "private internet access", "privatevpn", "protonvpn"]
#: Endpoint ports that a provider has; the others have any, or forbid the setting.
WIREGUARD_PORTS = {
    "airvpn": ["1637", "47107"],
    "ivpn": ["2049", "2050", "53", "30587", "41893", "48574", "58237"],
    "windscribe": ["53", "80", "123", "443", "1194", "65142"],
}
TRUE, FALSE = ("enabled", "yes", "on", "true"), ("disabled", "no", "off", "false")
IVPN_ACCOUNT = re.compile(r"^(i|ivpn)-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{4}$")
#: Secrets whose file is not named as the variable in lower case.
SECRET_NAMES = {"OPENVPN_KEY": "openvpn_clientkey", "OPENVPN_CERT": "openvpn_clientcrt"}


class SettingsError(ValueError):
    """gluetun's own words about a setting."""


def listed(choices, last="or"):
    """Return "a, b or c"."""
    return f"{', '.join(choices[:-1])} {last} {choices[-1]}" if len(choices) > 1 else "".join(choices)


def not_one_of(value, choices):
    """Return gluetun's words for a value outside a list."""
    return f"value is not one of the possible choices: {value} must be one of {listed(choices)}"


AS_IT_IS = re.compile(r"_(COMMAND|USER|PASSWORD|CERT|KEY|PASSPHRASE|FLAGS|CUSTOM_CONFIG)$")


class Source:
    """Secret files, then files, then the environment."""

    def __init__(self, env, secrets="/run/secrets", files="/gluetun"):
        """Take the environment and both directories."""
        self.env, self.secrets, self.files = env, secrets, files

    def get(self, name, default=""):
        """Return a setting's text, stripped; empty counts as unset."""
        lower = name.lower()
        paths = [
            self.env.get(f"{name}_SECRETFILE") or os.path.join(self.secrets, SECRET_NAMES.get(name, lower)),
            self.env.get(f"{name}_FILE") or os.path.join(self.files, lower),
        ]
        for path in paths:
            try:
                with open(path, encoding="utf-8") as stream:
                    return stream.read().strip() or default
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise SettingsError(f"reading {path}: {error.strerror.lower()}") from None
        value = self.env.get(name) or ""
        # gosettings' RetroKeys and ForceLowercase: surrounding quotes go, but not those of a command or a credential.
        return value if AS_IT_IS.search(name) and value else value.strip().strip("\"'") or default

    def flag(self, name, default, where):
        """Return a boolean; 1 and 0 are none."""
        value = self.get(name).lower()
        if not value:
            return default
        if value in TRUE or value in FALSE:
            return value in TRUE
        choices = listed([*TRUE, *FALSE])
        raise SettingsError(
            f"reading {where} settings: environment variable {name}: "
            f"value is not one of the possible choices: {value} must be one of {choices}"
        )

    def items(self, name):
        """Return a comma list; its items are not trimmed."""
        value = self.get(name)
        return value.split(",") if value else []


def key_error(value):
    """Return what is wrong with a WireGuard key, or an empty text."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        bad = next(
            (index for index, sign in enumerate(value) if not re.match(r"[A-Za-z0-9+/=]", sign)),
            len(value) - len(value) % 4,
        )
        place = bad if len(value) > 3 else 0
        return f"wgtypes: failed to parse base64-encoded key: illegal base64 data at input byte {place}"
    return "" if len(raw) == 32 else f"wgtypes: incorrect key size: {len(raw)}"


def check_provider(name, kind):
    """Refuse a provider that the VPN type does not have."""
    choices = WIREGUARD if kind == "wireguard" else OPENVPN
    if name not in choices:
        raise SettingsError(
            "VPN settings: provider settings: VPN provider name is not valid for Wireguard: "
            + not_one_of(name, choices)
        )


def check_openvpn(source, provider):
    """Refuse missing OpenVPN credentials."""
    where = "VPN settings: OpenVPN settings: "
    user, password = source.get("OPENVPN_USER"), source.get("OPENVPN_PASSWORD")
    if provider not in ("custom", "airvpn", "vpnsecure"):
        if not user:
            raise SettingsError(f"{where}user is empty")
        if not password and provider != "mullvad" and not (provider == "ivpn" and IVPN_ACCOUNT.match(user)):
            raise SettingsError(f"{where}password is empty")
    if provider == "custom" and not source.get("OPENVPN_CUSTOM_CONFIG"):
        raise SettingsError(f"{where}custom configuration file: filepath is missing")
    if provider in ("airvpn", "cyberghost", "vpn unlimited", "vpnsecure") and not source.get("OPENVPN_CERT"):
        raise SettingsError(f"{where}client certificate: missing value")
    if provider in ("airvpn", "cyberghost", "vpn unlimited") and not source.get("OPENVPN_KEY"):
        raise SettingsError(f"{where}client key: missing value")
    if provider == "vpnsecure" and not source.get("OPENVPN_ENCRYPTED_KEY"):
        raise SettingsError(f"{where}encrypted key: missing value")
    if source.get("OPENVPN_ENCRYPTED_KEY") and not source.get("OPENVPN_KEY_PASSPHRASE"):
        raise SettingsError(f"{where}key passphrase is empty")


def check_wireguard(source, provider):
    """Refuse missing or malformed WireGuard keys, addresses and endpoints."""
    selection = "VPN settings: provider settings: server selection: Wireguard server selection settings: "
    if provider == "custom":
        for name, words in (
            ("ENDPOINT_IP", "endpoint IP"),
            ("ENDPOINT_PORT", "endpoint port"),
            ("PUBLIC_KEY", "public key"),
        ):
            if not source.get(f"WIREGUARD_{name}"):
                raise SettingsError(f"{selection}{words} is not set")
    elif provider in ("nordvpn", "protonvpn", "surfshark", "fastestvpn") and source.get("WIREGUARD_ENDPOINT_PORT"):
        raise SettingsError(f"{selection}endpoint port is set")
    port, choices = source.get("WIREGUARD_ENDPOINT_PORT"), WIREGUARD_PORTS.get(provider)
    if port and choices and port not in choices:
        where = f"{selection}endpoint port is not allowed: for VPN service provider {provider}: "
        raise SettingsError(where + not_one_of(port, choices))
    where = "VPN settings: Wireguard settings: "
    for name, words, needed in (
        ("PRIVATE", "private key", True),
        ("PRESHARED", "pre-shared key", provider == "airvpn"),
    ):
        value = source.get(f"WIREGUARD_{name}_KEY")
        if needed and not value:
            raise SettingsError(f"{where}{words} is not set")
        if value and key_error(value):
            raise SettingsError(f"{where}{words} is not valid: {key_error(value)}")
    if not source.get("WIREGUARD_ADDRESSES") and provider not in ("nordvpn", "protonvpn"):
        raise SettingsError(f"{where}interface address is not set")
    for address in source.items("WIREGUARD_ADDRESSES"):
        try:
            ipaddress.ip_interface(address.strip())
        except ValueError:
            raise SettingsError(
                f'reading VPN settings: wireguard: parsing address: netip.ParsePrefix("{address}"): invalid prefix'
            ) from None
    implementation = source.get("WIREGUARD_IMPLEMENTATION", "auto").lower()
    if implementation not in ("auto", "userspace", "kernelspace"):
        raise SettingsError(
            f"{where}implementation is not valid: {not_one_of(implementation, ['auto', 'userspace', 'kernelspace'])}"
        )


def check_firewall(source):
    """Refuse ports and subnets that gluetun cannot read."""
    for name in ("FIREWALL_VPN_INPUT_PORTS", "FIREWALL_INPUT_PORTS"):
        for item in source.items(name):
            where = f"reading firewall settings: environment variable {name}: "
            if not item.isdigit():
                raise SettingsError(f'{where}strconv.ParseUint: parsing "{item}": invalid syntax')
            if int(item) > 65535:
                raise SettingsError(f"{where}value is not in range: {item} is not between 0 and 65535")
            if int(item) == 0:
                raise SettingsError("firewall settings: input ports: cannot have a zero port")
    for item in source.items("FIREWALL_OUTBOUND_SUBNETS"):
        where = "reading firewall settings: environment variable FIREWALL_OUTBOUND_SUBNETS: "
        if "/" not in item:
            raise SettingsError(f"{where}netip.ParsePrefix(\"{item}\"): no '/'")
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise SettingsError(
                f'{where}netip.ParsePrefix("{item}"): ParseAddr("{item.partition("/")[0]}"): unable to parse IP'
            ) from None
        if network.prefixlen == 0 and network.network_address.is_unspecified:
            raise SettingsError(f"firewall settings: outbound subnet has an unspecified address: {item}")


def check_role(role, where):
    """Refuse a role with a wrong method or without its credential."""
    auth = role.get("auth", "")
    if auth not in ("none", "apikey", "basic"):
        raise SettingsError(f"{where}authentication method not supported: {auth}")
    for key, words in {
        "apikey": [("apikey", "api key")],
        "basic": [("username", "username"), ("password", "password")],
    }.get(auth, []):
        if not role.get(key):
            raise SettingsError(f"{where}for role {role.get('name', '')}: {words} is empty")


def default_role(source):
    """Return the default role, or None: invalid JSON and an empty method are dropped without a word."""
    try:
        role = json.loads(source.get("HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE", "{}"))
    except ValueError:
        return None
    if not isinstance(role, dict) or not role.get("auth"):
        return None
    check_role({**role, "name": "default"}, "control server settings: default authentication role is not valid: ")
    return role


def read_roles(path, routes):
    """Return the roles of config.toml; a missing file has none. Raises SettingsError in gluetun's words."""
    try:
        with open(path, "rb") as stream:
            document = tomllib.load(stream)
    except FileNotFoundError:
        return []
    except IsADirectoryError:
        raise SettingsError(f"reading auth settings: toml decoding file: toml: read {path}: is a directory") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"reading auth settings: toml decoding file: toml: {error}") from None
    roles = []
    for number, given in enumerate(document.get("roles", []), 1):
        role = {key.lower(): value for key, value in given.items()}
        unknown = [key for key in role if key not in ("name", "routes", "auth", "apikey", "username", "password")]
        if unknown or set(document) - {"roles"}:
            text = "toml decoding file: strict mode: fields in the document are missing in the target struct:"
            raise SettingsError(f"reading auth settings: {text} {', '.join(unknown) or 'roles'}")
        where = f"validating auth settings: role {role.get('name', '')} ({number} of {len(document['roles'])}): "
        check_role(role, where)
        for index, route in enumerate(role.get("routes", []), 1):
            method, space, path_part = route.partition(" ")
            if not space:
                raise RuntimeError("index out of range [1] with length 1")  # gluetun panics
            if route not in routes:
                place = f"{where}route {index} of {len(role['routes'])}: "
                if not any(known.endswith(f" {path_part}") for known in routes):
                    raise SettingsError(f"{place}route path not supported by the control server: {path_part}")
                raise SettingsError(f"{place}route method not supported for the path: {method} for path {path_part}")
        roles.append(role)
    return roles


def check(source):
    """Return (provider, type) of valid settings; raises SettingsError with gluetun's first complaint."""
    kind = source.get("VPN_TYPE", "openvpn").lower()
    provider = source.get("VPN_SERVICE_PROVIDER").lower() or (
        "custom" if source.get("OPENVPN_CUSTOM_CONFIG") else "pia"
    )
    forwarding = source.flag("VPN_PORT_FORWARDING", False, "VPN")
    source.flag("FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT", True, "firewall")
    check_firewall(source)
    if kind not in ("openvpn", "wireguard"):
        raise SettingsError(f"VPN settings: VPN type is not valid: {not_one_of(kind, ['openvpn', 'wireguard'])}")
    check_provider(provider, kind)
    provider = "private internet access" if provider == "pia" else provider
    forwarder = source.get("VPN_PORT_FORWARDING_PROVIDER").lower() or provider
    if forwarding and forwarder not in FORWARDING:
        where = "VPN settings: provider settings: port forwarding: port forwarding cannot be enabled: "
        raise SettingsError(where + not_one_of(forwarder, FORWARDING))
    (check_wireguard if kind == "wireguard" else check_openvpn)(source, provider)
    interface = source.get("VPN_INTERFACE", "tun0")
    if not re.fullmatch(r"[a-zA-Z0-9_]+", interface):
        where = "Wireguard" if kind == "wireguard" else "OpenVPN"
        raise SettingsError(
            f"VPN settings: {where} settings: interface name is not valid: "
            f"'{interface}' does not match regex '^[a-zA-Z0-9_]+$'"
        )
    default_role(source)
    return provider, kind


def lowered(source, name):
    """Return a filter's list in lower case, or None."""
    return [item.lower() for item in source.items(name)] or None


def settings_object(source, provider, kind, era):
    """Return the body of /v1/vpn/settings, secrets included, in Go's field order."""
    master = era == "master"
    get = source.get
    forwarding = source.flag("VPN_PORT_FORWARDING", False, "VPN")
    preset = "strong" if provider == "private internet access" else ""
    selection = {
        "vpn": kind,
        "countries": lowered(source, "SERVER_COUNTRIES"),
        "categories": lowered(source, "SERVER_CATEGORIES"),
        "regions": lowered(source, "SERVER_REGIONS"),
        "cities": lowered(source, "SERVER_CITIES"),
        "isps": lowered(source, "ISP"),
        "names": lowered(source, "SERVER_NAMES"),
        "numbers": None,
        "hostnames": lowered(source, "SERVER_HOSTNAMES"),
        "owned_only": False,
        "free_only": False,
        "premium_only": False,
        "stream_only": False,
        "multi_hop_only": False,
        "port_forward_only": forwarding and provider in ("private internet access", "protonvpn"),
        "secure_core_only": False,
        "tor_only": False,
        "openvpn": {
            "config_file_path": get("OPENVPN_CUSTOM_CONFIG"),
            "protocol": get("OPENVPN_PROTOCOL", "udp"),
            "endpoint_ip": "0.0.0.0",
            "custom_port": 0,
            "pia_encryption_preset": preset,
        },
        "wireguard": {
            "endpoint_ip": get("WIREGUARD_ENDPOINT_IP", "0.0.0.0"),
            "endpoint_port": int(get("WIREGUARD_ENDPOINT_PORT", "0")),
            "public_key": get("WIREGUARD_PUBLIC_KEY"),
        },
    }
    port_forwarding = {
        "enabled": forwarding,
        "provider": get("VPN_PORT_FORWARDING_PROVIDER"),
        "status_file_path": "/tmp/gluetun/forwarded_port",
        "up_command": get("VPN_PORT_FORWARDING_UP_COMMAND"),
        "down_command": get("VPN_PORT_FORWARDING_DOWN_COMMAND"),
        "listening_port": [0] if master else 0,
        **({"ports_count": 1} if master else {}),
        "username": get("OPENVPN_USER"),
        "password": get("OPENVPN_PASSWORD"),
    }
    addresses = source.items("WIREGUARD_ADDRESSES") or {"protonvpn": ["10.2.0.2/32"], "nordvpn": ["10.5.0.2/32"]}.get(
        provider
    )
    wireguard = {
        "private_key": get("WIREGUARD_PRIVATE_KEY"),
        "pre_shared_key": get("WIREGUARD_PRESHARED_KEY"),
        "addresses": addresses if kind == "wireguard" else None,
        "allowed_ips": ["0.0.0.0/0", "::/0"],
        "interface": get("VPN_INTERFACE", "wg0"),
        "persistent_keep_alive_interval": 0,
        "mtu": 0 if master else 1320,
        "implementation": get("WIREGUARD_IMPLEMENTATION", "auto"),
        **({"gso": True} if master else {}),
    }
    openvpn = {
        "version": "2.6",
        "user": get("OPENVPN_USER"),
        "password": get("OPENVPN_PASSWORD"),
        "config_file_path": get("OPENVPN_CUSTOM_CONFIG"),
        "ciphers": None,
        "auth": "",
        "cert": get("OPENVPN_CERT"),
        "key": get("OPENVPN_KEY"),
        "encrypted_key": get("OPENVPN_ENCRYPTED_KEY"),
        "key_passphrase": get("OPENVPN_KEY_PASSPHRASE"),
        "pia_encryption_preset": preset,
        "mssfix": 0,
        "interface": get("VPN_INTERFACE", "tun0"),
        "process_user": "root",
        "verbosity": 1,
        "flags": None,
    }
    whole = {
        "type": kind,
        "provider": {"name": provider, "server_selection": selection, "port_forwarding": port_forwarding},
    }
    if master:
        numbers = dict.fromkeys(
            ["junk_packet_count", "junk_packet_min", "junk_packet_max", *(f"padding_s{n}" for n in range(1, 5))], 0
        )
        texts = dict.fromkeys([*(f"header_h{n}" for n in range(1, 5)), *(f"init_packet_i{n}" for n in range(1, 6))], "")
        whole["amneziawg"] = {
            "wireguard": {**wireguard, "addresses": None, "implementation": "userspace"},
            **numbers,
            **texts,
        }
    whole.update(openvpn=openvpn, wireguard=wireguard)
    if master:
        resolvers = ["1.1.1.1", "8.8.8.8"]
        ports = [
            f"{host}:{port}"
            for hosts in (resolvers, ["[2606:4700:4700::1111]", "[2001:4860:4860::8888]"])
            for port in (53, 443)
            for host in hosts
        ]
        whole.update(pmtud={"icmp_addresses": resolvers, "tcp_addresses": ports}, up_command="", down_command="")
    return whole


def merged(settings, update):
    """Return settings with a partial update; null, empty and zero values keep what is there."""
    result = copy.deepcopy(settings)
    for key, value in (update if isinstance(update, dict) else {}).items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif key in result and value not in (None, "", 0, [], False):
            result[key] = value
    return result


def check_update(settings, era, choices):
    """Refuse an update of the settings (PUT /v1/vpn/settings).

    Choices are the provider's filter values, None for any.
    """
    master = era == "master"
    types = ["amneziawg", "openvpn", "wireguard"] if master else ["openvpn", "wireguard"]
    if settings["type"] not in types:
        raise SettingsError(f"VPN type is not valid: {not_one_of(settings['type'], types)}")
    name, wireguard = settings["provider"]["name"], settings["type"] == "wireguard"
    providers = WIREGUARD if wireguard else (OPENVPN_MASTER if master else OPENVPN)
    if name not in providers:
        kind = settings["type"] if master and not wireguard else "Wireguard"
        raise SettingsError(
            f"provider settings: VPN provider name is not valid for {kind}: {not_one_of(name, providers)}"
        )
    for field, word in (("countries", "country"), ("regions", "region"), ("cities", "city")):
        known = (choices or {}).get(field)
        given = settings["provider"]["server_selection"][field] or []
        if known is not None and given and not {item.lower() for item in given} & {item.lower() for item in known}:
            words = f"none of {', '.join(given)} is one of the choices available {', '.join(known)}"
            where = f"provider settings: server selection: for VPN service provider {name}: "
            raise SettingsError(
                f"{where}the {word} specified is not valid: value is not one of the possible choices: {words}"
            )
