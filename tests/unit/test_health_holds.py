# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What holds add to the rows of the result model."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import health_holds, holds


def entry(verb):
    return {"verb": verb, "who": "anna@laptop", "when": "2026-11-22T20:39:03+00:00", "why": "w"}


def service(name, holder=None):
    return {"name": name, "holder": holder or name, "health": {"kind": "container"}}


def row(name, status, message=""):
    return {"name": name, "status": status, "message": message}


SINCE = "since 2026-11-22 20:39 +0000 by anna@laptop"


def explained(services, rows, held, more=()):
    return {r["name"]: r["message"] for r in health_holds.explain(services, list(more), rows, held)}


def test_a_stopped_one_says_who_stopped_it_and_when():
    services = [service("sonarr"), service("radarr")]
    rows = [row("sonarr", "STOPPED", "stopped 5 min ago (exit code 0)"), row("radarr", "STOPPED", "stopped 1 s ago")]
    assert explained(services, rows, {"sonarr": entry("stop")}) == {
        "sonarr": f"held stopped {SINCE}; run start",
        "radarr": "stopped 1 s ago",
    }
    assert rows[0]["status"] == "STOPPED"


def test_one_that_runs_although_it_is_held_says_what_is_wrong_with_it():
    rows = [row("sonarr", "UNHEALTHY", "HTTP 503")]
    assert explained([service("sonarr")], rows, {"sonarr": entry("stop")}) == {"sonarr": "HTTP 503"}


def test_what_lives_in_the_network_of_a_held_one_says_so():
    rows = [row("gluetun", "STOPPED", "x"), row("qbittorrent", "STOPPED", "y")]
    services = [service("gluetun"), service("qbittorrent", "gluetun")]
    said = explained(services, rows, {"gluetun": entry("stop")})
    assert said["qbittorrent"] == f"gluetun, whose network it uses, is held stopped {SINCE}"


def test_a_held_vpn_explains_what_is_not_well_behind_it():
    rows = [row("gluetun", "UNHEALTHY", "its own health check fails"), row("qbittorrent", "HEALTHY", "")]
    services = [service("gluetun"), service("qbittorrent", "gluetun")]
    said = explained(services, rows, {holds.VPN: entry("vpn_stop")})
    assert said == {"gluetun": f"its own health check fails; the VPN is held stopped {SINCE}", "qbittorrent": ""}


def test_what_is_held_started_has_a_row_of_its_own_as_long_as_there_is_a_container():
    held = {"lidarr": entry("start"), "sonarr": entry("stop"), holds.VPN: entry("vpn_stop")}
    more = health_holds.also([service("sonarr")], held)
    assert [one["name"] for one in more] == ["lidarr"]
    rows = [row("sonarr", "HEALTHY"), row("lidarr", "HEALTHY", "runs")]
    assert explained([service("sonarr")], rows, held, more)["lidarr"] == f"runs; held started {SINCE}"
    rows[1]["status"] = "MISSING"
    assert "lidarr" not in explained([service("sonarr")], rows, held, more)
    assert health_holds.also([service("lidarr")], held) == []


def test_a_damaged_record_hides_nothing(tmp_path):
    path = tmp_path / ".mediastack" / "holds.json"
    path.parent.mkdir()
    path.write_text("{")
    held, trouble = health_holds.read(str(tmp_path))
    assert held == {} and str(path) in trouble
    assert health_holds.read(str(tmp_path / "none")) == ({}, None)
