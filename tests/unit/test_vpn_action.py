# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one line of the VPN verbs, and what they say where the inventory has no VPN."""

import pytest

from ansible_collections.homelab.mediastack.plugins.action import vpn

RESULT = {
    "provider": "mullvad",
    "vpn_type": "wireguard",
    "country": "Netherlands",
    "city": "Amsterdam",
    "public_ip": "198.51.100.7",
    "forwarded_ports": [5914],
    "running": ["qbittorrent", "sabnzbd"],
}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            (
                "VPN connected: mullvad (wireguard), exit in Netherlands, Amsterdam, public IP 198.51.100.7, "
                "forwarded port 5914; behind it: qbittorrent, sabnzbd"
            ),
        ),
        (
            {"forwarded_ports": [1, 2], "city": "", "running": []},
            (
                "VPN connected: mullvad (wireguard), exit in Netherlands, public IP 198.51.100.7, "
                "forwarded ports 1, 2; behind it: nothing"
            ),
        ),
        (
            {"forwarded_ports": [], "country": "", "city": "", "public_ip": "", "vpn_type": None, "provider": None},
            (
                "VPN connected: provider unknown, exit in an unknown country, public IP not looked up, "
                "no forwarded port; behind it: qbittorrent, sabnzbd"
            ),
        ),
        (
            {"forwarded_ports": None, "country": "Nether\x1b[31mlands"},
            (
                "VPN connected: mullvad (wireguard), exit in Nether [31mlands, Amsterdam, public IP 198.51.100.7, "
                "forwarded port unknown; behind it: qbittorrent, sabnzbd"
            ),
        ),
    ],
)
def test_the_line_of_a_connected_vpn(changes, line):
    assert vpn.line({**RESULT, **changes}) == line


@pytest.mark.parametrize(
    ("state", "ending"),
    [
        ("status", "is false in the inventory"),
        ("started", "is false in the inventory; set it to true and run site"),
        ("stopped", "is false in the inventory, so there is no VPN to stop, and no kill switch"),
    ],
)
def test_without_a_vpn(state, ending):
    assert vpn.without_vpn(state) == f"VPN OFF: torrents use your own address. mediastack_vpn_enabled {ending}"
