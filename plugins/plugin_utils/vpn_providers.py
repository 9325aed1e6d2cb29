# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun v3.41 knows of every VPN provider, as data.

Sources: gluetun's `internal/configuration/settings/` (`openvpn.go`, `openvpnselection.go`, `wireguard.go`,
`wireguardselection.go`, `serverselection.go`, `portforward.go`) and `internal/models/markdown.go` at tag v3.41.3, and
`setup/providers/*.md` of its wiki.
"""

from __future__ import annotations

import dataclasses

# Settings by what gluetun calls the field; the prefix is left out.
USER, PASSWORD = "vpn_openvpn_user", "vpn_openvpn_password"
CERT, KEY = "vpn_openvpn_cert", "vpn_openvpn_key"
ENCRYPTED_KEY, PASSPHRASE = "vpn_openvpn_encrypted_key", "vpn_openvpn_key_passphrase"
CUSTOM_CONFIG = "vpn_openvpn_custom_config"
PRIVATE_KEY, PRESHARED_KEY = "vpn_wireguard_private_key", "vpn_wireguard_preshared_key"
PUBLIC_KEY, ADDRESSES = "vpn_wireguard_public_key", "vpn_wireguard_addresses"
ENDPOINT_IP, ENDPOINT_PORT = "vpn_wireguard_endpoint_ip", "vpn_wireguard_endpoint_port"

_LOGIN = (USER, PASSWORD)
_WIREGUARD = (PRIVATE_KEY, ADDRESSES)
_C, _R, _CI, _H, _N = "countries", "regions", "cities", "hostnames", "names"


@dataclasses.dataclass(frozen=True)
class Provider:
    """What a provider needs and offers.

    Attributes:
        openvpn, wireguard: settings that the type needs; `None` where gluetun does not offer the type.
        filters: of `countries regions cities hostnames names`, by which its servers can be chosen.
        ports: WireGuard endpoint ports that may be set; `None` is any, empty is none.
        only: filters of the kind `FREE_ONLY` that it has.
        forwards: whether gluetun can have it forward a port.
    """

    openvpn: tuple | None
    filters: tuple
    wireguard: tuple | None = None
    ports: tuple | None = ()
    only: tuple = ()
    forwards: bool = False


CUSTOM = "custom"
PIA = "private internet access"
ALIASES = {"pia": PIA}
# What people write, which gluetun refuses.
REMOVED = {"wevpn": "gluetun removed it in v3.41"}

PROVIDERS = {
    "airvpn": Provider((CERT, KEY), (_R, _C, _CI, _N, _H), (*_WIREGUARD, PRESHARED_KEY), (1637, 47107)),
    CUSTOM: Provider((CUSTOM_CONFIG,), (_N,), (*_WIREGUARD, ENDPOINT_IP, ENDPOINT_PORT, PUBLIC_KEY), None),
    "cyberghost": Provider((*_LOGIN, CERT, KEY), (_C, _H)),
    "expressvpn": Provider(_LOGIN, (_C, _CI, _H)),
    "fastestvpn": Provider(_LOGIN, (_C, _CI, _H), _WIREGUARD),
    "giganews": Provider(_LOGIN, (_R, _H)),
    "hidemyass": Provider(_LOGIN, (_C, _R, _CI, _H)),
    "ipvanish": Provider(_LOGIN, (_C, _CI, _H)),
    "ivpn": Provider(_LOGIN, (_C, _CI, _H), _WIREGUARD, (2049, 2050, 53, 30587, 41893, 48574, 58237)),
    "mullvad": Provider((USER,), (_C, _CI, _H), _WIREGUARD, None, ("OWNED",)),
    "nordvpn": Provider(_LOGIN, (_C, _R, _CI, _H), (PRIVATE_KEY,)),
    "perfect privacy": Provider(_LOGIN, (_CI,), forwards=True),
    "privado": Provider(_LOGIN, (_C, _R, _CI, _H)),
    PIA: Provider(_LOGIN, (_R, _N, _H), only=("PORT_FORWARD",), forwards=True),
    "privatevpn": Provider(_LOGIN, (_C, _CI, _H), forwards=True),
    "protonvpn": Provider(
        _LOGIN,
        (_C, _R, _CI, _H),
        (PRIVATE_KEY,),
        only=("FREE", "STREAM", "SECURE_CORE", "TOR", "PORT_FORWARD"),
        forwards=True,
    ),
    "purevpn": Provider(_LOGIN, (_C, _R, _CI, _H)),
    "slickvpn": Provider(_LOGIN, (_R, _C, _CI, _H)),
    "surfshark": Provider(_LOGIN, (_R, _C, _CI, _H), _WIREGUARD, only=("MULTIHOP",)),
    "torguard": Provider(_LOGIN, (_C, _CI, _H)),
    "vpnsecure": Provider((CERT, ENCRYPTED_KEY, PASSPHRASE), (_R, _CI, _H), only=("PREMIUM",)),
    # The wiki lists regions for it, the list of columns does not: allowed.
    "vpn unlimited": Provider((*_LOGIN, CERT, KEY), (_C, _R, _CI, _H), only=("FREE", "STREAM")),
    "vyprvpn": Provider(_LOGIN, (_R, _H)),
    "windscribe": Provider(_LOGIN, (_R, _CI, _H), _WIREGUARD, (53, 80, 123, 443, 1194, 65142)),
}

FORWARDING = tuple(name for name, provider in PROVIDERS.items() if provider.forwards)

# gluetun's environment variables that a setting stands for.
ENVIRONMENT = {
    "VPN_SERVICE_PROVIDER": "vpn_provider",
    "VPN_TYPE": "vpn_type",
    "OPENVPN_USER": USER,
    "OPENVPN_PASSWORD": PASSWORD,
    "OPENVPN_CERT": CERT,
    "OPENVPN_KEY": KEY,
    "OPENVPN_ENCRYPTED_KEY": ENCRYPTED_KEY,
    "OPENVPN_KEY_PASSPHRASE": PASSPHRASE,
    "OPENVPN_CUSTOM_CONFIG": CUSTOM_CONFIG,
    "WIREGUARD_PRIVATE_KEY": PRIVATE_KEY,
    "WIREGUARD_PRESHARED_KEY": PRESHARED_KEY,
    "WIREGUARD_PUBLIC_KEY": PUBLIC_KEY,
    "WIREGUARD_ADDRESSES": ADDRESSES,
    "WIREGUARD_ENDPOINT_IP": ENDPOINT_IP,
    "WIREGUARD_ENDPOINT_PORT": ENDPOINT_PORT,
    "SERVER_COUNTRIES": "vpn_server_countries",
    "SERVER_REGIONS": "vpn_server_regions",
    "SERVER_CITIES": "vpn_server_cities",
    "SERVER_HOSTNAMES": "vpn_server_hostnames",
    "SERVER_NAMES": "vpn_server_names",
    "FIREWALL_OUTBOUND_SUBNETS": "vpn_local_subnets",
    "VPN_PORT_FORWARDING": "vpn_port_forwarding",
    "VPN_PORT_FORWARDING_PROVIDER": "vpn_port_forwarding_provider",
    "TZ": "timezone",
}
# Old names, which gluetun reads before the present ones, so that they win without a word.
DEPRECATED = {
    "USER": "OPENVPN_USER",
    "PASSWORD": "OPENVPN_PASSWORD",
    "VPNSP": "VPN_SERVICE_PROVIDER",
    "PORT": "OPENVPN_ENDPOINT_PORT",
    "OPENVPN_PORT": "OPENVPN_ENDPOINT_PORT",
    "VPN_ENDPOINT_PORT": "WIREGUARD_ENDPOINT_PORT",
    "VPN_ENDPOINT_IP": "WIREGUARD_ENDPOINT_IP",
    "OPENVPN_TARGET_IP": "OPENVPN_ENDPOINT_IP",
    "WIREGUARD_ADDRESS": "WIREGUARD_ADDRESSES",
    "PROTOCOL": "OPENVPN_PROTOCOL",
    "COUNTRY": "SERVER_COUNTRIES",
    "REGION": "SERVER_REGIONS",
    "CITY": "SERVER_CITIES",
    "SERVER_HOSTNAME": "SERVER_HOSTNAMES",
    "SERVER_NAME": "SERVER_NAMES",
    "PORT_FORWARDING": "VPN_PORT_FORWARDING",
    "EXTRA_SUBNETS": "FIREWALL_OUTBOUND_SUBNETS",
    "PROXY": "HTTPPROXY",
    "UID": "PUID",
    "GID": "PGID",
}
