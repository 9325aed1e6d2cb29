# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun's providers in the names of our settings. The table itself is `module_utils/gluetun_providers.py`."""

from __future__ import annotations

import dataclasses

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_providers, gluetun_variables

# The release that the catalogue pins.
RELEASE = (3, 41, 3)

# Settings by what gluetun calls the field; the prefix is left out.
USER, PASSWORD = "vpn_openvpn_user", "vpn_openvpn_password"
CERT, KEY = "vpn_openvpn_cert", "vpn_openvpn_key"
ENCRYPTED_KEY, PASSPHRASE = "vpn_openvpn_encrypted_key", "vpn_openvpn_key_passphrase"
CUSTOM_CONFIG = "vpn_openvpn_custom_config"
PRIVATE_KEY, PRESHARED_KEY = "vpn_wireguard_private_key", "vpn_wireguard_preshared_key"
PUBLIC_KEY, ADDRESSES = "vpn_wireguard_public_key", "vpn_wireguard_addresses"
ENDPOINT_IP, ENDPOINT_PORT = "vpn_wireguard_endpoint_ip", "vpn_wireguard_endpoint_port"

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
DEPRECATED = gluetun_variables.OLD


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


def _settings(variables):
    return None if variables is None else tuple(ENVIRONMENT[variable] for variable in variables)


def _provider(known):
    filters = [ENVIRONMENT[variable] for variable in known.filters if variable in ENVIRONMENT]
    return Provider(
        openvpn=_settings(known.openvpn),
        filters=tuple(setting.removeprefix("vpn_server_") for setting in filters),
        wireguard=_settings(known.wireguard),
        ports=known.ports,
        only=tuple(name.removesuffix("_ONLY") for name in known.only),
        forwards=known.forwards,
    )


CUSTOM, PIA, ALIASES = gluetun_providers.CUSTOM, gluetun_providers.PIA, gluetun_providers.ALIASES
# What people write, which gluetun refuses.
REMOVED = {"wevpn": "gluetun removed it in v3.41"}
PROVIDERS = {name: _provider(known) for name, known in gluetun_providers.providers(RELEASE).items()}
FORWARDING = tuple(name for name, provider in PROVIDERS.items() if provider.forwards)
