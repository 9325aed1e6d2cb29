# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a leak test has seen, and what it means: passed, failed or inconclusive, with the evidence (pure).

Inconclusive is what could not be seen: it never passes. `leak` tells a way out of the tunnel from what is merely not
as it should be (an app in a dead network, which reaches nobody).
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"
NAMESPACE, ROUTE, PUBLIC_IP, DNS, IPV6, BYPASS = "namespace", "route", "public_ip", "dns", "ipv6", "bypass"
KILL_SWITCH, CAPTURE = "kill_switch", "capture"
ALWAYS = (NAMESPACE, ROUTE, PUBLIC_IP, DNS, IPV6, BYPASS)

GLUETUN_RESOLVERS = ("127.0.0.1", "::1")
DOCKER_RESOLVER = "127.0.0.11"
NOT_SENT = {
    "EPERM": "the firewall drops it",
    "EACCES": "the firewall drops it",
    "ENETUNREACH": "no route",
    "EHOSTUNREACH": "no route",
    "EADDRNOTAVAIL": "no address to send from",
    "ENETDOWN": "the interface is down",
    "EAFNOSUPPORT": "no such protocol",
}
"""Errors with which the kernel says that a packet was not sent."""
_PUBLIC6 = ipaddress.ip_network("2000::/3")
_RESERVED = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("fc00::/7", "fe80::/10", "2001:db8::/32"),
    )
)


def is_reserved(place):
    """Whether an address or network is none of the internet's: kept for private use, tests or documentation.

    `is_private` of Python's ipaddress calls a network private when its ends are, so 0.0.0.0/1 as well.
    """
    first = place.network_address if hasattr(place, "network_address") else place
    last = place.broadcast_address if hasattr(place, "broadcast_address") else place
    return any(first in network and last in network for network in _RESERVED)


class Verdict(NamedTuple):
    """One check of one app."""

    check: str
    state: str
    evidence: str
    leak: bool = False


def namespace(record, same, interfaces):
    """Is the app in gluetun's living network?

    `record`: what the engine's record says against it: None, or (netns action or None, why); `same`: whether the
    kernel calls both namespaces one, None where that cannot be seen; `interfaces`: names in the app's, None: not seen.
    """
    dead = interfaces is not None and not [name for name in interfaces if name != "lo"]
    if record and record[0] is None:
        return Verdict(NAMESPACE, FAILED, "%s, not gluetun's: run site" % record[1], not dead)
    if record is None and same is not False:
        seen = "the kernel's name for both is the same" if same else "by the engine's record (not seen from inside)"
        return Verdict(NAMESPACE, PASSED, "it is in gluetun's network: %s" % seen)
    why = record[1] if record else "the kernel's names for its network and gluetun's differ"
    ending = "it reaches nobody" if dead else "it is in another network"
    return Verdict(NAMESPACE, FAILED, "%s (%s): run vpn_start" % (why, ending), same is False and not dead)


def outside(seen, tunnel):
    """Addresses of the internet that packets would go to past the tunnel: {address: interface}."""
    return {target: name for target, name in seen["routes"].items() if name not in (None, tunnel)}


def route(seen, tunnel, subnets=()):
    """Do packets to the internet leave by the tunnel? `subnets`: networks that gluetun lets out to."""
    for subnet in subnets:
        if not is_reserved(subnet):
            words = "gluetun lets everything to %s out past the tunnel, which is no network at home: take it out of %s"
            return Verdict(ROUTE, FAILED, words % (subnet, "mediastack_vpn_local_subnets"), True)
    past = outside(seen, tunnel)
    if past:
        target, name = sorted(past.items())[0]
        reached = seen["echo"]["address"] is not None
        words = "packets to %s leave by %s, not by %s" % (target, name, tunnel)
        return Verdict(ROUTE, FAILED, words + (", and get out" if reached else ""), reached)
    if not any(seen["routes"].values()):
        return Verdict(ROUTE, INCONCLUSIVE, "there is no route to the internet, so nothing can be shown")
    count = sum(1 for name in seen["routes"].values() if name)
    return Verdict(ROUTE, PASSED, "the kernel sends packets to the internet by %s (%d addresses)" % (tunnel, count))


def same_address(one, other):
    """Whether two texts are one IP address."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return False


def public_ip(seen, tunnel, gluetun, host, why_no_host=""):
    """Is the app seen at the VPN's address?

    `gluetun`: the address that gluetun tells, or empty; `host`: the host's own, or None, then `why_no_host`. The
    address that is found is shown only where it is gluetun's: any other might be the host's.
    """
    found = seen["echo"]["address"]
    if not found:
        return Verdict(PUBLIC_IP, INCONCLUSIVE, "the IP echo was not asked: %s" % seen["echo"]["reason"])
    if host and same_address(found, host):
        return Verdict(PUBLIC_IP, FAILED, "it is seen at the host's own public address", True)
    if not gluetun:
        return Verdict(PUBLIC_IP, INCONCLUSIVE, "gluetun tells no public address to compare with")
    if not same_address(found, gluetun):
        leak = bool(outside(seen, tunnel))
        return Verdict(PUBLIC_IP, FAILED, "it is seen at another address than gluetun's, %s" % gluetun, leak)
    if not host:
        words = "%s, as gluetun says, but the host's own could not be looked up to compare: %s"
        return Verdict(PUBLIC_IP, INCONCLUSIVE, words % (gluetun, why_no_host))
    return Verdict(PUBLIC_IP, PASSED, "%s, as gluetun says, and not the host's" % gluetun)


def dns(seen, tunnel, subnets):
    """Does only gluetun answer? `subnets`: networks at home that gluetun lets out to."""
    if not seen["resolvers"]:
        return Verdict(DNS, INCONCLUSIVE, "its /etc/resolv.conf names no resolver")
    for resolver in seen["resolvers"]:
        if resolver["server"] not in GLUETUN_RESOLVERS:
            return _foreign_resolver(resolver, tunnel)
    answered = [other for other in seen["others"] if other["answered"] and other["route"] not in (tunnel, "lo")]
    if answered:
        words = ", ".join(_resolver_name(other["server"], subnets) for other in answered)
        return Verdict(DNS, FAILED, "%s answers past the tunnel" % words, True)
    for resolver in seen["resolvers"]:
        if not (resolver["answered"] and resolver["knows"]):
            why = "does not answer (%s)" % resolver["reason"] if not resolver["answered"] else "cannot resolve a name"
            return Verdict(DNS, INCONCLUSIVE, "gluetun's resolver %s %s" % (resolver["server"], why))
    silent = ", ".join(other["server"] for other in seen["others"] if not other["answered"])
    words = "gluetun answers at %s" % ", ".join(resolver["server"] for resolver in seen["resolvers"])
    return Verdict(DNS, PASSED, words + ("; past it no answer from %s" % silent if silent else ""))


def _foreign_resolver(resolver, tunnel):
    server = resolver["server"]
    name = "Docker's own (%s)" % server if server == DOCKER_RESOLVER else server
    leak = resolver["answered"] and resolver["route"] != tunnel
    words = "its resolver is %s, not gluetun's" % name
    return Verdict(DNS, FAILED, words + (", and answers past the tunnel" if leak else ""), leak)


def _resolver_name(server, subnets):
    for subnet in subnets:
        if ipaddress.ip_address(server) in subnet:
            return "the resolver %s in %s, which mediastack_vpn_local_subnets allows," % (server, subnet)
    return "the resolver %s" % server


def ipv6(seen, tunnel):
    """Is there no IPv6 past the tunnel? Addresses are not shown: a public one is the host's own network."""
    past = [(address, name) for address, name in seen["addresses6"] if name != tunnel]
    goes = seen["route6"] not in (None, tunnel, "lo")
    tried = seen["six"] or {}
    if tried.get("done"):
        words = "a connection to %s gets out by %s" % (tried["to"], seen["route6"])
        return Verdict(IPV6, FAILED, words, True)
    public = sorted({name for address, name in past if ipaddress.ip_address(address) in _PUBLIC6})
    if public:
        words = "a public IPv6 address on %s: nothing but the firewall keeps it in" % ", ".join(public)
        return Verdict(IPV6, FAILED, words)
    if not goes:
        words = "no IPv6 address but the tunnel's" if not past else "private IPv6 addresses only, without a way out"
        return Verdict(IPV6, PASSED, words)
    if tried.get("reason") in NOT_SENT:
        return Verdict(IPV6, PASSED, "no public IPv6 address, and %s" % NOT_SENT[tried["reason"]])
    words = "packets would leave by %s; nothing answered, which shows nothing" % seen["route6"]
    return Verdict(IPV6, INCONCLUSIVE, words)


def bypass(seen):
    """Does the firewall stop what asks for a way past the tunnel? `seen["bypass"]`: of `leak_bypass.jobs`."""
    tries = seen["bypass"]
    out = [one for one in tries if one["done"]]
    if out:
        words = ["%s to %s gets out %s" % (one["what"], one["to"], one["how"]) for one in out]
        return Verdict(BYPASS, FAILED, _few(words), True)
    loose = [one for one in tries if one["reason"] not in NOT_SENT]
    if loose:
        words = ["%s to %s %s" % (one["what"], one["to"], one["how"]) for one in loose]
        sent = any(one["reason"] == "sent" for one in loose)
        ending = "nobody answered, but the firewall did not stop it" if sent else "it could not be tried"
        return Verdict(BYPASS, INCONCLUSIVE, "%s: %s" % (_few(words), ending))
    if not tries:
        return Verdict(BYPASS, PASSED, "no interface but the tunnel's is up")
    hows = ", ".join(dict.fromkeys(one["how"] for one in tries))
    reasons = ", ".join(dict.fromkeys(NOT_SENT[one["reason"]] for one in tries))
    return Verdict(BYPASS, PASSED, "%s: %s" % (hows, reasons))


def _few(words, most=3):
    words = list(dict.fromkeys(words))
    return ", ".join(words[:most]) + (" and %d more" % (len(words) - most) if len(words) > most else "")


# The kill switch

_WAYS = {"tcp4": "TCP", "tcp6": "TCP by IPv6", "udp": "UDP tracker announce"}


def kill_switch(up, down, stayed_down):
    """Does nothing get out while the tunnel is down? `up`, `down`: of `leak_probe.attempts`."""
    if not stayed_down:
        return Verdict(KILL_SWITCH, INCONCLUSIVE, "the tunnel came up again during the test, so it shows nothing")
    parts = [(_way_name(way, down[way]), *_way(way, up.get(way) or {}, down[way])) for way in sorted(down)]
    states = [state for _name, state, _words in parts]
    state = FAILED if FAILED in states else INCONCLUSIVE if INCONCLUSIVE in states else PASSED
    shown = [part for part in parts if part[1] == state] if state != PASSED else parts
    return Verdict(
        KILL_SWITCH, state, "; ".join("%s: %s" % (name, words) for name, _state, words in shown), state == FAILED
    )


def _way_name(way, tried):
    return _WAYS.get(way) or "DNS to %s" % tried["to"]


def _way(way, up, down):
    """(state, words) of one way out while the tunnel is down."""
    if down["done"]:
        past = " by %s" % down["route"] if down["route"] not in (None, "lo") else ""
        return FAILED, "an answer came from %s%s although the tunnel is down" % (down["to"], past)
    reason = down["reason"]
    if reason in NOT_SENT:
        return PASSED, NOT_SENT[reason]
    if reason == "untried":
        return INCONCLUSIVE, "there was no address to try"
    if way.startswith("dns") and down["route"] == "lo":
        return PASSED, "gluetun's resolver finds nothing out"
    if reason == "ECONNREFUSED":
        return INCONCLUSIVE, "somebody refused it, and who that was cannot be told"
    if up.get("done"):
        return PASSED, "no answer; through the tunnel there is one"
    return INCONCLUSIVE, "no answer, but through the tunnel there was none either, which shows nothing"


def worst(verdicts):
    """The state of all of them: failed over inconclusive over passed. Nothing at all is inconclusive."""
    states = {verdict.state for verdict in verdicts}
    for state in (FAILED, INCONCLUSIVE, PASSED):
        if state in states:
            return state
    return INCONCLUSIVE
