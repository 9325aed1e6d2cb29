# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun knows of every VPN provider, as data; the one table of them.

Sources: gluetun's `internal/configuration/settings/` (`openvpn.go`, `openvpnselection.go`, `wireguard.go`,
`wireguardselection.go`, `serverselection.go`, `portforward.go`) and `internal/models/markdown.go` at tag v3.41.3, its
git log for what changed before and since, and `setup/providers/*.md` of its wiki.
"""

from __future__ import annotations

from typing import NamedTuple

USER, PASSWORD = "OPENVPN_USER", "OPENVPN_PASSWORD"
CERT, KEY = "OPENVPN_CERT", "OPENVPN_KEY"
ENCRYPTED_KEY, PASSPHRASE = "OPENVPN_ENCRYPTED_KEY", "OPENVPN_KEY_PASSPHRASE"
CUSTOM_CONFIG = "OPENVPN_CUSTOM_CONFIG"
PRIVATE_KEY, PRESHARED_KEY = "WIREGUARD_PRIVATE_KEY", "WIREGUARD_PRESHARED_KEY"
PUBLIC_KEY, ADDRESSES = "WIREGUARD_PUBLIC_KEY", "WIREGUARD_ADDRESSES"
ENDPOINT_IP, ENDPOINT_PORT = "WIREGUARD_ENDPOINT_IP", "WIREGUARD_ENDPOINT_PORT"

COUNTRIES, REGIONS, CITIES = "SERVER_COUNTRIES", "SERVER_REGIONS", "SERVER_CITIES"
HOSTNAMES, NAMES, ISPS, CATEGORIES = "SERVER_HOSTNAMES", "SERVER_NAMES", "ISP", "SERVER_CATEGORIES"
FILTERS = (COUNTRIES, REGIONS, CITIES, HOSTNAMES, NAMES, ISPS, CATEGORIES)
"""Filters whose values are names of servers or places: gluetun compares them with its list of servers, which only its
image has.
"""

ONLY = (
    "OWNED_ONLY",
    "FREE_ONLY",
    "PREMIUM_ONLY",
    "STREAM_ONLY",
    "MULTIHOP_ONLY",
    "PORT_FORWARD_ONLY",
    "SECURE_CORE_ONLY",
    "TOR_ONLY",
)
"""Filters that are on or off."""

CUSTOM = "custom"
PIA = "private internet access"
ALIASES = {"pia": PIA}

_LOGIN = (USER, PASSWORD)
_WIREGUARD = (PRIVATE_KEY, ADDRESSES)
_C, _R, _CI, _H, _N = COUNTRIES, REGIONS, CITIES, HOSTNAMES, NAMES


class Provider(NamedTuple):
    """What a provider needs and offers.

    `openvpn`, `wireguard`: variables that the type needs, None where gluetun does not offer the type. `filters`: of
    `FILTERS`, by which its servers can be chosen. `ports`: WireGuard endpoint ports that may be set, None is any, ()
    is none. `tcp_ports`, `udp_ports`: the same for OpenVPN. `udp_only`: no OpenVPN over TCP. `only`: of `ONLY`.
    `forwards`: whether gluetun can have it forward a port. `since`, `until`: the first release that has it, and the
    first that has not, None is always.
    """

    openvpn: tuple | None
    filters: tuple
    wireguard: tuple | None = None
    ports: tuple | None = ()
    tcp_ports: tuple | None = ()
    udp_ports: tuple | None = ()
    udp_only: bool = False
    only: tuple = ()
    forwards: bool = False
    since: tuple | None = None
    until: tuple | None = None


MASTER = (3, 42)
"""Stands for the development version: what comes after v3.41."""

_ANY = {"tcp_ports": None, "udp_ports": None}


def _both(*ports):
    return {"tcp_ports": ports, "udp_ports": ports}


PROVIDERS = {
    "airvpn": Provider(
        (CERT, KEY),
        (_R, _C, _CI, _N, _H),
        (*_WIREGUARD, PRESHARED_KEY),
        (1637, 47107),
        **_both(53, 80, 443, 1194, 2018, 41185),
    ),
    CUSTOM: Provider((CUSTOM_CONFIG,), (_N,), (*_WIREGUARD, ENDPOINT_IP, ENDPOINT_PORT, PUBLIC_KEY), None, **_ANY),
    "cyberghost": Provider((*_LOGIN, CERT, KEY), (_C, _H), **_ANY),
    "expressvpn": Provider(_LOGIN, (_C, _CI, _H)),
    "fastestvpn": Provider(_LOGIN, (_C, _CI, _H), _WIREGUARD),
    "giganews": Provider(_LOGIN, (_R, _H), udp_only=True, since=(3, 40)),
    "hidemyass": Provider(_LOGIN, (_C, _R, _CI, _H), **_ANY),
    "ipvanish": Provider(_LOGIN, (_C, _CI, _H), udp_only=True),
    "ivpn": Provider(
        _LOGIN,
        (_C, _CI, ISPS, _H),
        _WIREGUARD,
        (2049, 2050, 53, 30587, 41893, 48574, 58237),
        tcp_ports=(80, 443, 1143),
        udp_ports=(53, 1194, 2049, 2050),
    ),
    "mullvad": Provider(
        (USER,),
        (_C, _CI, ISPS, _H),
        _WIREGUARD,
        None,
        tcp_ports=(80, 443, 1401),
        udp_ports=(53, 1194, 1195, 1196, 1197, 1300, 1301, 1302, 1303, 1400),
        only=("OWNED_ONLY",),
    ),
    "nordvpn": Provider(_LOGIN, (_C, _R, _CI, _H, CATEGORIES), (PRIVATE_KEY,)),
    "perfect privacy": Provider(_LOGIN, (_CI,), **_both(44, 443, 4433), udp_only=True, forwards=True, until=MASTER),
    "privado": Provider(_LOGIN, (_C, _R, _CI, _H), **_both(443, 1194, 8080, 8443)),
    PIA: Provider(
        _LOGIN,
        (_R, _N, _H),
        tcp_ports=(80, 110, 443, 501, 502, 8443),
        udp_ports=(53, 1194, 1197, 1198, 8080, 9201),
        only=("PORT_FORWARD_ONLY",),
        forwards=True,
    ),
    "privatevpn": Provider(_LOGIN, (_C, _CI, _H), forwards=True, **_ANY),
    "protonvpn": Provider(
        _LOGIN,
        (_C, _R, _CI, _H),
        (PRIVATE_KEY,),
        tcp_ports=(443, 5995, 8443),
        udp_ports=(80, 443, 1194, 4569, 5060, 51820),
        only=("FREE_ONLY", "STREAM_ONLY", "SECURE_CORE_ONLY", "TOR_ONLY", "PORT_FORWARD_ONLY"),
        forwards=True,
    ),
    "purevpn": Provider(_LOGIN, (_C, _R, _CI, _H)),
    "slickvpn": Provider(_LOGIN, (_R, _C, _CI, _H), **_both(443, 8080, 8888)),
    "surfshark": Provider(_LOGIN, (_R, _C, _CI, _H), _WIREGUARD, only=("MULTIHOP_ONLY",)),
    "torguard": Provider(_LOGIN, (_C, _CI, _H), **_ANY),
    "vpnsecure": Provider((CERT, ENCRYPTED_KEY, PASSPHRASE), (_R, _CI, _H), only=("PREMIUM_ONLY",)),
    # The wiki lists regions for it, the list of columns does not: allowed.
    "vpn unlimited": Provider((*_LOGIN, CERT, KEY), (_C, _R, _CI, _H), only=("FREE_ONLY", "STREAM_ONLY")),
    "vyprvpn": Provider(_LOGIN, (_R, _H), udp_only=True),
    "wevpn": Provider((*_LOGIN, CERT, KEY), (_CI, _H), **_ANY, until=(3, 41)),
    "windscribe": Provider(
        _LOGIN,
        (_R, _CI, _H),
        _WIREGUARD,
        (53, 80, 123, 443, 1194, 65142),
        tcp_ports=(21, 22, 80, 123, 143, 443, 587, 1194, 3306, 8080, 54783),
        udp_ports=(53, 80, 123, 443, 1194, 54783),
    ),
}


def providers(version):
    """`{name: Provider}` of the release `version`, a tuple such as (3, 41, 3)."""
    found = {
        name: provider
        for name, provider in PROVIDERS.items()
        if (provider.since is None or version >= provider.since)
        and (provider.until is None or version < provider.until)
    }
    if version < (3, 41, 2):
        # v3.41.2 brought TCP and ports to privado, and the ports 8080 and 8443 to PIA.
        found["privado"] = found["privado"]._replace(tcp_ports=(), udp_ports=(), udp_only=True)
        found[PIA] = found[PIA]._replace(tcp_ports=(80, 110, 443, 501, 502), udp_ports=(53, 1194, 1197, 1198, 9201))
    if version >= MASTER:
        # Mullvad ended OpenVPN on 2026-01-15.
        found["mullvad"] = found["mullvad"]._replace(openvpn=None)
    return found


def forwarding(version):
    """Names of the providers that can forward a port, in gluetun's order."""
    return tuple(name for name, provider in sorted(providers(version).items()) if provider.forwards)
