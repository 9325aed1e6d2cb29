# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun demands of its other variables: firewall, DNS, health, control server, updater, proxies.

Sources: `internal/configuration/settings/{firewall,dns,dnsblacklist,health,server,log,publicip,updater,httpproxy,
shadowsocks,system}.go` of gluetun v3.41.3, and its verdicts in tests/fixtures/gluetun.
"""

from __future__ import annotations

import ipaddress
import json
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_providers as gp
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import (
    TRUE,
    closest,
    network,
    port,
)

KILL_SWITCH = "FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT"
SWITCHES = (
    KILL_SWITCH,
    "FIREWALL_DEBUG",
    "DNS_SERVER",
    "DNS_KEEP_NAMESERVER",
    "DNS_CACHING",
    "DNS_UPSTREAM_IPV6",
    "BLOCK_MALICIOUS",
    "BLOCK_ADS",
    "BLOCK_SURVEILLANCE",
    "HEALTH_RESTART_VPN",
    "HTTP_CONTROL_SERVER_LOG",
    "HTTPPROXY",
    "HTTPPROXY_LOG",
    "HTTPPROXY_STEALTH",
    "SHADOWSOCKS",
    "SHADOWSOCKS_LOG",
    "VERSION_INFORMATION",
    "PPROF_ENABLED",
)
LISTENING = (
    "HTTP_CONTROL_SERVER_ADDRESS",
    "HEALTH_SERVER_ADDRESS",
    "HTTPPROXY_LISTENING_ADDRESS",
    "SHADOWSOCKS_LISTENING_ADDRESS",
)
RESOLVERS = (
    "cira family",
    "cira private",
    "cira protected",
    "cleanbrowsing adult",
    "cleanbrowsing family",
    "cleanbrowsing security",
    "cloudflare",
    "cloudflare family",
    "cloudflare security",
    "google",
    "libredns",
    "opendns",
    "quad9",
    "quad9 secured",
    "quad9 unsecured",
    "quadrant",
)
ADDRESS_SERVICES = ("cloudflare", "ifconfigco", "ip2location", "ipinfo")
_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9_][a-zA-Z0-9\-_]{0,61}[a-zA-Z0-9_])"
_HOST = re.compile(r"%s(?:\.%s)*" % (_HOST_PART, _HOST_PART))


def check(reader, provider):
    """Look at all of them; problems go to the Reader. `provider`: the VPN's name."""
    for name in SWITCHES:
        if not (name == "FIREWALL_DEBUG" and reader.version >= gp.MASTER):
            reader.flag(name)
    for name in LISTENING:
        reader.listening(name)
    reader.choice("LOG_LEVEL", ("debug", "info", "warn", "error"))
    for name in ("PUID", "PGID"):
        reader.number(name, most=2**32 - 1)
    _firewall(reader)
    _dns(reader)
    _health(reader)
    _public_ip(reader)
    _updater(reader, provider)
    problem = role_problem(reader)
    if problem:
        reader.problem("HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE", problem)
    if reader.get("SHADOWSOCKS") in TRUE:
        reader.choice("SHADOWSOCKS_CIPHER", ("chacha20-ietf-poly1305", "aes-128-gcm", "aes-256-gcm"))


def _firewall(reader):
    for name in ("FIREWALL_VPN_INPUT_PORTS", "FIREWALL_INPUT_PORTS"):
        if 0 in reader.parsed(name, port, "a port from 1 to 65535"):
            reader.problem(name, "0 is not a port from 1 to 65535.")
    for subnet in reader.parsed("FIREWALL_OUTBOUND_SUBNETS", network, "a network such as 192.168.1.0/24"):
        if subnet.ip.is_unspecified:
            reader.problem(
                "FIREWALL_OUTBOUND_SUBNETS",
                '"%s" is the whole internet, past the VPN. Name your network at home.' % subnet.with_prefixlen,
            )


def _dns(reader):
    if reader.version >= (3, 41):
        reader.choice("DNS_UPSTREAM_RESOLVER_TYPE", ("dot", "doh", "plain"))
        reader.parsed("DNS_BLOCK_IPS", ipaddress.ip_address, "an IP address")
        reader.parsed("DNS_BLOCK_IP_PREFIXES", _block, "a network such as 192.168.0.0/16")
    if reader.version < gp.MASTER:
        reader.address("DNS_ADDRESS")
    for name in reader.items("DNS_UPSTREAM_RESOLVERS"):
        if name not in RESOLVERS and reader.version < gp.MASTER:
            reader.problem(
                "DNS_UPSTREAM_RESOLVERS",
                "%s is unknown. %s" % (reader.shown("DNS_UPSTREAM_RESOLVERS", name), closest(name, RESOLVERS)),
            )
    period = reader.seconds("DNS_UPDATE_PERIOD")
    if period is not None and period != 0 and period < 30:
        reader.problem("DNS_UPDATE_PERIOD", "%s is too short: 30s at least, or 0." % reader.shown("DNS_UPDATE_PERIOD"))
    wildcards = reader.version >= gp.MASTER
    for name in ("DNS_UNBLOCK_HOSTNAMES", "DNS_REBINDING_PROTECTION_EXEMPT_HOSTNAMES"):
        for host in reader.items(name):
            plain = host[2:] if wildcards and host.startswith("*.") else host
            if not _HOST.fullmatch(plain):
                reader.problem(name, "%s is not a host name." % reader.shown(name, host))


def _block(text):
    """A network or, as the old variable of it allows, an address."""
    return network(text) if "/" in text else ipaddress.ip_address(text)


def _health(reader):
    if reader.version < (3, 41):
        return
    reader.choice("HEALTH_SMALL_CHECK_TYPE", ("icmp", "dns"))
    reader.parsed("HEALTH_ICMP_TARGET_IPS", ipaddress.ip_address, "an IP address")


def _public_ip(reader):
    counting, _value = reader.find("PUBLICIP_ENABLED")
    if counting == "PUBLICIP_PERIOD":
        reader.seconds("PUBLICIP_ENABLED")
    else:
        reader.flag("PUBLICIP_ENABLED")
    for name in reader.items("PUBLICIP_API"):
        if name.lower() not in ADDRESS_SERVICES and not name.startswith("echoip#"):
            reader.problem(
                "PUBLICIP_API",
                "%s is unknown. %s Or echoip#https://… for a server of your own."
                % (reader.shown("PUBLICIP_API", name), closest(name, ADDRESS_SERVICES)),
            )


def _updater(reader, provider):
    period = reader.seconds("UPDATER_PERIOD")
    if period is not None and period != 0 and period < 60:
        reader.problem("UPDATER_PERIOD", "%s is too short: 1m at least, or 0." % reader.shown("UPDATER_PERIOD"))
    ratio = reader.get("UPDATER_MIN_RATIO")
    if ratio:
        try:
            fits = 0 < float(ratio) <= 1
        except ValueError:
            fits = False
        if not fits:
            reader.problem("UPDATER_MIN_RATIO", "%s is not above 0 and at most 1." % reader.shown("UPDATER_MIN_RATIO"))
    known = [name for name in gp.providers(reader.version) if name != gp.CUSTOM]
    given = reader.items("UPDATER_VPN_SERVICE_PROVIDERS")
    for name in given:
        if name not in known:
            reader.problem(
                "UPDATER_VPN_SERVICE_PROVIDERS",
                "%s is not a provider. %s"
                % (reader.shown("UPDATER_VPN_SERVICE_PROVIDERS", name), closest(name, known)),
            )
    if "protonvpn" in (given or [provider]):
        pair = ("UPDATER_PROTONVPN_EMAIL", "UPDATER_PROTONVPN_PASSWORD")
        missing = [name for name in pair if not reader.get(name)]
        if len(missing) == 1:
            reader.problem(missing[0], "not given. Give both of %s and %s, or neither." % pair)


def default_role(reader):
    """The default role of the control server, None when there is none or gluetun drops it without a word."""
    text = reader.get("HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE")
    try:
        role = json.loads(text) if text else None
    except ValueError:
        return None
    if not isinstance(role, dict):
        return None
    role = {str(key).lower(): value for key, value in role.items()}
    if any(not isinstance(role.get(key, ""), str) for key in ("auth", "apikey", "username", "password")):
        return None
    return role if role.get("auth") else None


def role_problem(reader):
    """What gluetun refuses about the default role, None when it accepts or drops it."""
    if reader.version < (3, 41):
        return None
    role = default_role(reader)
    if role is None:
        return None
    needed = {"none": (), "apikey": ("apikey",), "basic": ("username", "password")}.get(role["auth"])
    if needed is None:
        return 'its auth is none of "none", "apikey" and "basic" (written so).'
    missing = [key for key in needed if not role.get(key)]
    return 'with auth "%s" it needs %s.' % (role["auth"], " and ".join(missing)) if missing else None
