# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a leak test makes of what it saw."""

import ipaddress

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_judge as judge
from ansible_collections.homelab.mediastack.plugins.module_utils import leak_run, netns, vpn_verbs
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_judge import FAILED, INCONCLUSIVE, PASSED

GLUETUN, HOST = "198.51.100.7", "203.0.113.9"
HOME = [ipaddress.ip_network("192.168.1.0/24")]


def resolver(server="127.0.0.1", route="lo", answered=True, knows=True):
    reason = None if answered else "timeout"
    return {"server": server, "route": route, "answered": answered, "knows": knows, "reason": reason, "addresses": []}


def seen(**changes):
    return {
        "interfaces": ["eth0", "lo", "tun0"],
        "addresses6": [],
        "routes": {"1.1.1.1": "tun0", "208.67.222.222": "tun0"},
        "route6": None,
        "resolvers": [resolver()],
        "others": [resolver("192.168.1.1", "tun0", False, False)],
        "echo": {"at": "192.0.2.1", "at6": None, "port": 443, "address": GLUETUN, "reason": None},
        "six": None,
        "own_ports": [],
        "bypass": [],
        **changes,
    }


def echo(address, reason=None):
    return {"at": "192.0.2.1", "at6": None, "port": 443, "address": address, "reason": reason}


ON_ETH0 = {"1.1.1.1": "eth0", "208.67.222.222": "eth0"}


@pytest.mark.parametrize(
    ("record", "same", "interfaces", "state", "leak"),
    [
        (None, True, ["lo", "tun0"], PASSED, False),
        (None, None, None, PASSED, False),
        (None, False, ["lo", "eth0"], FAILED, True),
        (None, False, ["lo"], FAILED, False),
        ((None, "it has a network of its own"), False, ["lo", "eth0"], FAILED, True),
        ((None, "it has a network of its own"), None, None, FAILED, True),
        ((None, "it has a network of its own"), None, ["lo"], FAILED, False),
        ((netns.RESTART, "started after it"), False, ["lo"], FAILED, False),
        ((netns.RECREATE, "another container now"), False, ["lo", "eth0"], FAILED, True),
    ],
)
def test_namespace(record, same, interfaces, state, leak):
    found = judge.namespace(record, same, interfaces)
    assert (found.state, found.leak) == (state, leak)


@pytest.mark.parametrize(
    ("changes", "state", "leak", "words"),
    [
        ({}, PASSED, False, "by tun0 (2 addresses)"),
        ({"routes": ON_ETH0}, FAILED, True, "packets to 1.1.1.1 leave by eth0, not by tun0, and get out"),
        ({"routes": ON_ETH0, "echo": echo(None, "no answer")}, FAILED, False, "leave by eth0"),
        ({"routes": {"1.1.1.1": "tun0", "208.67.222.222": "eth0"}}, FAILED, True, "packets to 208.67.222.222"),
        ({"routes": {"1.1.1.1": None}}, INCONCLUSIVE, False, "no route to the internet"),
    ],
)
def test_route(changes, state, leak, words):
    found = judge.route(seen(**changes), "tun0")
    assert (found.state, found.leak) == (state, leak)
    assert words in found.evidence


@pytest.mark.parametrize("subnet", ["0.0.0.0/1", "9.9.9.0/24", "2600::/12"])
def test_a_part_of_the_internet_that_is_let_out_is_a_leak(subnet):
    found = judge.route(seen(), "tun0", [*HOME, ipaddress.ip_network(subnet)])
    assert (found.state, found.leak) == (FAILED, True)
    assert f"everything to {subnet} out past the tunnel" in found.evidence
    assert judge.route(seen(), "tun0", HOME).state == PASSED


@pytest.mark.parametrize(
    ("changes", "gluetun", "host", "state", "leak"),
    [
        ({}, GLUETUN, HOST, PASSED, False),
        ({"echo": echo(HOST)}, GLUETUN, HOST, FAILED, True),
        ({"echo": echo(HOST)}, HOST, HOST, FAILED, True),
        ({"echo": echo("192.0.2.77")}, GLUETUN, HOST, FAILED, False),
        ({"echo": echo("192.0.2.77"), "routes": ON_ETH0}, GLUETUN, HOST, FAILED, True),
        ({"echo": echo(None, "no answer in time")}, GLUETUN, HOST, INCONCLUSIVE, False),
        ({}, "", HOST, INCONCLUSIVE, False),
        ({}, GLUETUN, None, INCONCLUSIVE, False),
        ({"echo": echo("2001:DB8::1")}, "2001:db8:0::1", HOST, PASSED, False),
    ],
)
def test_public_ip(changes, gluetun, host, state, leak):
    found = judge.public_ip(seen(**changes), "tun0", gluetun, host, "no answer")
    assert (found.state, found.leak) == (state, leak)
    # Whatever is not gluetun's might be the host's.
    assert HOST not in found.evidence and "192.0.2.77" not in found.evidence


@pytest.mark.parametrize(
    ("changes", "state", "leak", "words"),
    [
        ({}, PASSED, False, "gluetun answers at 127.0.0.1; past it no answer from 192.168.1.1"),
        ({"resolvers": []}, INCONCLUSIVE, False, "names no resolver"),
        ({"resolvers": [resolver(answered=False)]}, INCONCLUSIVE, False, "does not answer (timeout)"),
        ({"resolvers": [resolver(knows=False)]}, INCONCLUSIVE, False, "cannot resolve a name"),
        ({"resolvers": [resolver("127.0.0.11")]}, FAILED, True, "Docker's own (127.0.0.11)"),
        ({"resolvers": [resolver("127.0.0.11", answered=False)]}, FAILED, False, "not gluetun's"),
        ({"resolvers": [resolver("10.64.0.1", "tun0")]}, FAILED, False, "10.64.0.1, not gluetun's"),
        ({"resolvers": [resolver(), resolver("192.168.1.1", "eth0")]}, FAILED, True, "past the tunnel"),
        ({"others": [resolver("192.168.1.1", "eth0")]}, FAILED, True, "192.168.1.1 in 192.168.1.0/24, which"),
        ({"others": [resolver("172.18.0.1", "eth0", knows=False)]}, FAILED, True, "the resolver 172.18.0.1 answers"),
        ({"others": [resolver("9.9.9.9", "tun0")]}, PASSED, False, "gluetun answers at 127.0.0.1"),
    ],
)
def test_dns(changes, state, leak, words):
    found = judge.dns(seen(**changes), "tun0", HOME)
    assert (found.state, found.leak) == (state, leak), found.evidence
    assert words in found.evidence


ULA = [("fd00::2", "eth0")]


@pytest.mark.parametrize(
    ("changes", "state", "leak"),
    [
        ({}, PASSED, False),
        ({"addresses6": [("2001:db8::2", "tun0")], "route6": "tun0"}, PASSED, False),
        ({"addresses6": ULA}, PASSED, False),
        ({"addresses6": [("2a00::2", "eth0")]}, FAILED, False),
        ({"addresses6": ULA, "route6": "eth0", "six": {"done": True, "to": "x", "reason": None}}, FAILED, True),
        ({"addresses6": ULA, "route6": "eth0", "six": {"done": False, "to": "x", "reason": "EPERM"}}, PASSED, False),
        (
            {"addresses6": ULA, "route6": "eth0", "six": {"done": False, "to": "x", "reason": "timeout"}},
            INCONCLUSIVE,
            False,
        ),
    ],
)
def test_ipv6(changes, state, leak):
    found = judge.ipv6(seen(**changes), "tun0")
    assert (found.state, found.leak) == (state, leak)
    assert "2a00" not in found.evidence, "a public address is the host's own network"


def bypassing(reason="EPERM", how="bound to eth0", what="DNS", done=False):
    return {"how": how, "what": what, "to": "192.0.2.1 port 53", "done": done, "reason": None if done else reason}


@pytest.mark.parametrize(
    ("tries", "state", "leak", "words"),
    [
        ([], PASSED, False, "no interface but the tunnel's is up"),
        (
            [bypassing(), bypassing(what="TCP"), bypassing(how="marked as gluetun's own")],
            PASSED,
            False,
            "bound to eth0, marked as gluetun's own: the firewall drops it",
        ),
        (
            [bypassing(), bypassing("ENETUNREACH", "bound to eth1")],
            PASSED,
            False,
            "eth1: the firewall drops it, no route",
        ),
        ([bypassing(), bypassing(done=True)], FAILED, True, "DNS to 192.0.2.1 port 53 gets out bound to eth0"),
        ([bypassing(), bypassing("sent")], INCONCLUSIVE, False, "nobody answered, but the firewall did not stop it"),
        ([bypassing("untried")], INCONCLUSIVE, False, "bound to eth0: it could not be tried"),
        ([bypassing("sent"), bypassing(what="TCP", done=True)], FAILED, True, "TCP to 192.0.2.1 port 53 gets out"),
    ],
)
def test_bypass(tries, state, leak, words):
    found = judge.bypass(seen(bypass=tries))
    assert (found.state, found.leak) == (state, leak), found.evidence
    assert words in found.evidence


def way(done=False, reason="timeout", route="eth0", to="192.0.2.1 port 80"):
    return {"to": to, "done": done, "reason": None if done else reason, "route": route}


UP = {"tcp4": way(True), "tcp6": way(), "udp": way(True), "dns0": way(True, route="lo"), "dns1": way(True)}
DOWN = {
    "tcp4": way(),
    "tcp6": way(reason="ENETUNREACH"),
    "udp": way(reason="EPERM"),
    "dns0": way(reason="code 2", route="lo", to="127.0.0.1"),
    "dns1": way(reason="EPERM", to="1.1.1.1"),
}


@pytest.mark.parametrize(
    ("up", "down", "state", "words"),
    [
        ({}, {}, PASSED, "UDP tracker announce: the firewall drops it"),
        ({}, {"tcp4": way(True)}, FAILED, "TCP: an answer came from 192.0.2.1 port 80 by eth0"),
        ({}, {"udp": way(True)}, FAILED, "UDP tracker announce: an answer"),
        ({}, {"dns0": way(True, route="lo", to="127.0.0.1")}, FAILED, "DNS to 127.0.0.1: an answer"),
        ({}, {"tcp6": way(True)}, FAILED, "TCP by IPv6: an answer"),
        ({"tcp4": way()}, {}, INCONCLUSIVE, "TCP: no answer, but through the tunnel there was none either"),
        ({"udp": way()}, {"udp": way()}, INCONCLUSIVE, "UDP tracker announce: no answer"),
        ({}, {"tcp4": way(reason="ECONNREFUSED")}, INCONCLUSIVE, "who that was cannot be told"),
        ({}, {"udp": way(reason="untried")}, INCONCLUSIVE, "no address to try"),
        ({"tcp4": way()}, {"udp": way(True)}, FAILED, "UDP"),
    ],
)
def test_kill_switch(up, down, state, words):
    found = judge.kill_switch({**UP, **up}, {**DOWN, **down}, True)
    assert (found.state, found.leak) == (state, state == FAILED)
    assert words in found.evidence


def test_a_tunnel_that_came_back_shows_nothing():
    assert judge.kill_switch(UP, {**DOWN, "tcp4": way(True)}, False).state == INCONCLUSIVE


def test_the_hosts_own_address_is_masked_and_only_it():
    ask = vpn_verbs.Ask("status", "media", "/nowhere")
    run = leak_run.LeakTest(ask, leak_run.Test("http://192.0.2.1/"), None)
    run.host = "203.0.113.9"
    words = "to 203.0.113.9 port 80, 203.0.113.90, 1203.0.113.9 and 203.0.113.9."
    own = "(the host's own address)"
    assert run.masked(words) == f"to {own} port 80, 203.0.113.90, 1203.0.113.9 and {own}."
    assert leak_run.LeakTest(ask, leak_run.Test("http://192.0.2.1/", show_host_ip=True), None).masked(words) == words
