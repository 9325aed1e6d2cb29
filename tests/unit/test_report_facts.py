# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""VPN, disks, downloads and holds in a line each."""

import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_facts, report_model


def facts(host):
    report = report_model.build(report_sample.results())
    return [(f.what, f.text, f.level) for f in report_facts.of_host(host, report["hosts"][host], report["services"])]


def test_everything_that_is_known_of_a_host():
    assert facts("nas") == [
        ("VPN", "connected · mullvad · Switzerland · 193.32.126.66 · forwarded port 51820", "good"),
        ("disks", "base 120 of 500 GB free · media and downloads 280 GB of 4.0 TB free, LOW", "bad"),
        ("downloads", "qBittorrent 3 active of 12, 4.2 MB/s, 1 stalled · SABnzbd unknown (HTTP 403, wrong key)", "bad"),
        ("backup", "16 h ago, 34 MB, 7 kept · copied · drill 12 days ago", "plain"),
        ("holds", "bazarr held stopped since 2026-11-22 20:39 +0000 by anna@laptop: stop service=bazarr", "plain"),
    ]


def test_a_vpn_that_is_not_connected_and_a_disk_that_does_not_answer():
    assert facts("attic") == [
        ("VPN", "not connected · running, but not connected", "bad"),
        ("disks", "base unknown (no answer within 5 s)", "bad"),
    ]


def test_nothing_is_said_of_what_is_not_known():
    assert facts("far") == []
    assert facts("cellar") == []


@pytest.mark.parametrize(
    ("vpn", "text"),
    [
        ({"enabled": False}, "off"),
        ({"enabled": True}, "not known"),
        ({"enabled": True, "provider": "mullvad", "message": "no answer"}, "not known · no answer · mullvad"),
        ({"enabled": True, "connected": True, "forwarded_ports": [1, 2]}, "connected · forwarded ports 1, 2"),
    ],
)
def test_vpn(vpn, text):
    assert report_facts.vpn(vpn).text == text


def test_roots_on_one_file_system_are_one_although_others_are_as_large():
    disk = {"path": "/a", "total_bytes": 10**12, "free_bytes": 10**11}
    found = report_facts.file_systems(
        {"base": {**disk, "device": 1}, "media": {**disk, "device": 2}, "downloads": {**disk, "device": 1}}
    )
    assert [system.label for system in found] == ["base and downloads", "media"]
    assert found[0].used == pytest.approx(0.9)


def test_three_roots_on_one_file_system():
    disk = {"path": "/a", "total_bytes": 10**12, "free_bytes": 10**11, "device": 1}
    assert report_facts.disks({"base": disk, "media": disk, "downloads": disk}).text == (
        "base, media and downloads 100 GB of 1.0 TB free"
    )


def test_a_disk_without_size_or_reason():
    assert report_facts.disks({"base": {"path": "/a", "total_bytes": 1}}).text == "base unknown (not read)"
    assert report_facts.disks({"base": {"path": "/a", "total_bytes": 0, "free_bytes": 0}}).text == "base 0 of 0 B free"


@pytest.mark.parametrize(
    ("queue", "text"),
    [
        ({}, "idle"),
        ({"active": 0, "total": 0, "speed_bytes": 0}, "idle"),
        ({"active": 2, "speed_bytes": 0}, "2 active, 0 B/s"),
        ({"active": 0, "total": 4, "stalled": 4}, "none active of 4, 4 stalled"),
        ({"paused": True, "total": 4}, "paused, none active of 4"),
        ({"active": 1, "total": 2, "failed": 1}, "1 active of 2, 1 failed"),
    ],
)
def test_a_queue(queue, text):
    assert report_facts.queue(queue) == text


def test_a_hold_that_a_services_own_message_tells_is_told_once():
    words = "held stopped since 2026-11-22 20:39 +0000 by anna@laptop"
    entry = {"verb": "stop", "who": "anna@laptop", "when": "2026-11-22T20:39:03+00:00", "why": "stop"}
    held = {"sonarr": entry, "radarr": entry, "vpn": {**entry, "verb": "vpn_stop"}}

    def left(*rows):
        return [fact.text.split()[0] for fact in report_facts.of_host("nas", {"holds": held}, rows)]

    told = {**report_sample.row("sonarr", "STOPPED", f"{words}; run start"), "host": "nas"}
    assert left(told) == ["radarr", "vpn"]
    behind = {**report_sample.row("qbittorrent", "DEGRADED", f"no answer; the VPN is {words}"), "host": "nas"}
    assert left(told, behind) == ["radarr"]
    assert left({**told, "host": "attic"}) == left({**told, "message": "crashed"}) == ["sonarr", "radarr", "vpn"]


def test_a_hold_of_which_little_is_known():
    assert report_facts.held("sonarr", {}).text == "sonarr held since an unknown time by somebody"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9951, "10 kB"),
        (999_600, "1.0 MB"),
        (4.2e18, "4200 PB"),
    ],
)
def test_amounts(count, text):
    assert report_facts.amount(count) == text
