# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun's log tells about a VPN that is not connected."""

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_log

AT = "2026-11-22T10:00:00Z "
CONNECTED = AT + "INFO [ip getter] Public IP address is 198.51.100.7 (Netherlands - source: ipinfo)"
REFUSED = AT + "INFO [openvpn] AUTH: Received control message: AUTH_FAILED"
EMPTY = AT + "WARN [vpn] restarting VPN because it failed to pass the healthcheck: startup check: dialing: i/o timeout"


@pytest.mark.parametrize(
    ("line", "words", "final"),
    [
        (REFUSED, "refuses the login (AUTH_FAILED)", True),
        (AT + "INFO [openvpn] Your credentials might be wrong 🤨", "refuses the login", True),
        (
            AT + "ERROR VPN settings: Wireguard settings: private key is not set",
            "settings: private key is not set.",
            True,
        ),
        (AT + "ERROR checking TUN device: TUN device is not available: open /dev/net/tun", "modprobe tun", True),
        (AT + "ERROR unix opening TUN device file: operation not permitted", "/dev/net/tun", True),
        (AT + "ERROR iptables: NET_ADMIN capability is missing: iptables v1.8.11", "NET_ADMIN: run site", True),
        (AT + "ERROR no iptables supported found: errors are: iptables-nft", "lacks iptables modules", True),
        (
            AT + 'ERROR running user defined post firewall rules: command failed: "iptables -t mangle -A PREROUTING '
            '-i tun0 -j CONNMARK --set-mark 0x6d73": Warning: Extension CONNMARK revision 0 not supported',
            "mediastack_vpn_connection_guard: false",
            True,
        ),
        (
            AT + "WARN [openvpn] TLS Error: TLS key negotiation failed to occur within 60 seconds",
            "does not answer",
            False,
        ),
        (EMPTY, "the tunnel carries nothing", False),
        (AT + "ERROR something new", "gluetun says: something new", False),
        ("\x1b[31mERROR\x1b[0m something red", "gluetun says: something red", False),
    ],
)
def test_a_line_and_its_remedy(line, words, final):
    found = gluetun_log.find([AT + "INFO starting", line, AT + "INFO [http server] 200 GET /v1/vpn/status"])
    assert words in found.text
    assert found.final is final


def test_what_was_before_the_last_connection_is_history():
    assert gluetun_log.find([REFUSED, EMPTY, CONNECTED]) is None
    assert gluetun_log.find([REFUSED, CONNECTED, EMPTY]).text.startswith("the tunnel carries nothing")


def test_the_cause_comes_before_its_consequence():
    assert "AUTH_FAILED" in gluetun_log.find([REFUSED, EMPTY, EMPTY]).text


def test_nothing_to_tell():
    assert gluetun_log.find([]) is None
    assert gluetun_log.find([AT + "INFO [vpn] starting"]) is None
