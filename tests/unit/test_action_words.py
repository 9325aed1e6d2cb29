# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run would do and has done, for people."""

from ansible_collections.homelab.mediastack.plugins.plugin_utils.action_words import past, predicted


def test_of_services_the_same_is_said_once():
    hold = "hold {} stopped, until start or release_holds"
    assert predicted(
        [
            hold.format("gluetun"),
            hold.format("sonarr"),
            "stop gluetun: asked for",
            "stop qbittorrent: it lives in the network of gluetun",
            "stop sonarr: asked for",
            "set the first login of sonarr",
            "set the first login of jellyfin",
        ]
    ) == [
        "would hold gluetun, sonarr stopped, until start or release_holds",
        "would stop gluetun, sonarr: asked for",
        "would stop qbittorrent: it lives in the network of gluetun",
        "would set the first login of sonarr, jellyfin",
    ]


def test_what_is_said_of_no_service_stays_as_it_is():
    said = [
        "disconnect the VPN",
        "let go of vpn, held stopped since 2026-11-23",
        "remove nas-old: old is no longer wanted",
    ]
    assert predicted(said) == [f"would {sentence}" for sentence in said]
    assert predicted([]) == []


def test_a_run_that_is_over_gives_no_orders():
    assert past(["disconnect the VPN", "stop deluge: asked for", "let go of vpn", "stopped it already", "stop"]) == [
        "disconnected the VPN",
        "stopped deluge: asked for",
        "let go of vpn",
        "stopped it already",
        "stopped",
    ]
