# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody stopped or started by hand stays so (P9): `compose_stack` with `holds` on the real engine."""

from __future__ import annotations

import json

import pytest
from compose_stack_lab import docker

from ansible_collections.homelab.mediastack.plugins.module_utils import holds
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask

STATES = {"site": "present", "start": "present", "stop": "stopped", "restart": "restarted"}


class Held:
    """A project in a lab, and the verbs as the controller asks for them."""

    def __init__(self, lab):
        self.lab = lab

    def ask(self, verb, *names, check=False, **more):
        return self.lab.run(
            STATES[verb],
            check=check,
            services=list(names),
            remove_orphans=verb == "site",
            holds=Ask(verb, "anna@laptop", verb, **more),
            stable_for=0.1,
        )

    def both(self, verb, *names, **more):
        """A run that does exactly what its check mode said, which touched nothing."""
        before = self.lab.lives(), self.lab.states(), self.record
        said = self.ask(verb, *names, check=True, **more)
        assert (self.lab.lives(), self.lab.states(), self.record) == before
        result = self.ask(verb, *names, **more)
        for key in ("actions", "changed", "removed", "diff", "left", "render_also", "messages"):
            assert result[key] == said[key], key
        return result

    def nothing(self, verb, *names, **more):
        """A run that changes nothing."""
        before = self.lab.lives(), self.lab.states(), self.record
        result = self.both(verb, *names, **more)
        assert result["changed"] is False and result["actions"] == []
        assert (self.lab.lives(), self.lab.states(), self.record) == before
        return result

    @property
    def record(self):
        """name → verb, as on the host."""
        return {name: entry["verb"] for name, entry in holds.read(str(self.lab.path)).items()}

    @property
    def running(self):
        return {name for name, state in self.lab.states().items() if state == "running"}


@pytest.fixture
def held(lab):
    """sonarr and radarr, running."""
    made = Held(lab.add("sonarr").add("radarr"))
    made.ask("site")
    return made


@pytest.fixture
def behind(lab):
    """gluetun, qbittorrent in its network, and sonarr, all running."""
    made = Held(lab.vpn("qbittorrent").add("sonarr"))
    made.ask("site")
    return made


def test_what_was_stopped_stays_stopped_until_it_is_started(held):
    assert held.both("stop", "sonarr")["changed"] is True
    assert held.record == {"sonarr": "stop"}
    held.nothing("stop", "sonarr")
    result = held.nothing("site")
    assert list(result["left"]) == ["sonarr"] and "anna@laptop" in result["messages"][0]
    # Not even where it differs from what is wanted.
    held.lab.services["sonarr"]["environment"] = {"A": "b"}
    held.both("site")
    assert held.running == {"radarr"}
    held.both("start", "sonarr")
    assert held.record == {} and held.running == {"radarr", "sonarr"}
    assert "A=b" in held.lab.one("sonarr")["Config"]["Env"]
    held.nothing("start", "sonarr")


def test_what_was_stopped_before_its_container_was_removed_does_not_come_back(held):
    held.ask("stop", "sonarr")
    docker("rm", f"{held.lab.name}-sonarr")
    held.nothing("site")
    assert "sonarr" not in held.lab.states()


def test_what_somebody_started_by_hand_is_held_no_longer(held):
    held.ask("stop", "sonarr")
    docker("start", f"{held.lab.name}-sonarr")
    before = held.lab.lives()
    assert "somebody started it" in held.both("site")["actions"][0]
    assert held.record == {} and held.lab.lives() == before


@pytest.mark.long
def test_a_stopped_gluetun_keeps_what_lives_in_its_network_down_too(behind):
    result = behind.both("stop", "gluetun")
    assert "qbittorrent is stopped too: it lives in the network of gluetun" in result["messages"]
    assert behind.record == {"gluetun": "stop"} and behind.running == {"sonarr"}
    assert set(behind.nothing("site")["left"]) == {"gluetun", "qbittorrent"}
    behind.both("start", "gluetun", "qbittorrent")
    assert behind.record == {} and behind.lab.same_network("qbittorrent", "gluetun")
    behind.nothing("site")


@pytest.mark.long
def test_restart_leaves_what_is_held_unless_it_is_named(behind):
    behind.ask("stop", "gluetun")
    before = behind.lab.lives()
    behind.both("restart")
    assert {name for name, life in behind.lab.lives().items() if life != before[name]} == {"sonarr"}
    behind.both("restart", "qbittorrent")
    assert behind.record == {} and behind.lab.same_network("qbittorrent", "gluetun")


@pytest.mark.long
def test_stop_and_start_of_everything(behind):
    behind.both("stop")
    assert behind.running == set() and set(behind.record) == {"gluetun", "qbittorrent", "sonarr"}
    assert behind.nothing("restart")["left"]
    behind.nothing("site")
    behind.both("start")
    assert behind.record == {} and len(behind.running) == 3
    assert behind.lab.same_network("qbittorrent", "gluetun")


def test_release(held):
    held.ask("stop", "sonarr")
    result = held.both("site", release=True)
    assert held.record == {} and "sonarr" in held.running
    (section,) = [one for one in result["diff"] if one["before_header"] == "holds"]
    assert section["before"].startswith("sonarr: held stopped since") and section["after"] == ""


def test_an_interrupted_stop_holds_nothing_that_still_runs(held):
    holds.record(str(held.lab.path), ["sonarr"], holds.STOP, "anna@laptop", "stop")
    held.both("site")
    assert held.record == {} and "sonarr" in held.running


def test_without_a_word_of_who_asks_holds_do_not_count(held):
    held.ask("stop", "sonarr")
    held.lab.run()
    assert "sonarr" in held.running


@pytest.fixture
def lidarr(held):
    """The definition of a service that the inventory does not select; started all the same."""
    held.lab.add("lidarr")
    held.both("start", "lidarr", extra=["lidarr"])
    assert held.record == {"lidarr": "start"} and "lidarr" in held.running
    return held.lab.services.pop("lidarr"), held.lab.meta.pop("lidarr")


def test_what_was_started_is_asked_for_until_the_bundle_holds_it_and_then_kept(held, lidarr):
    result = held.nothing("site")
    assert result["render_also"] == ["lidarr"] and "lidarr" in held.running
    held.lab.services["lidarr"], held.lab.meta["lidarr"] = lidarr
    kept = held.nothing("site", extra=["lidarr"])
    assert kept["render_also"] == [] and "lidarr is kept" in kept["messages"][0]
    # A restart of the stack does not lose it, and the inventory may select it.
    held.both("site")
    assert held.record == {} and "lidarr" in held.running


@pytest.mark.parametrize(
    "how", ["stop", "gone", *(pytest.param(how, marks=pytest.mark.long) for how in ("release", "unknown"))]
)
def test_what_was_started_goes_when_nothing_holds_it(held, lidarr, how):
    if how == "stop":
        held.both("stop", "lidarr")
        assert held.record == {}
    elif how == "gone":
        docker("rm", "-f", f"{held.lab.name}-lidarr")
    result = held.both("site", release=how == "release", unknown=["lidarr"] if how == "unknown" else [])
    assert held.record == {} and "lidarr" not in held.lab.states()
    assert result["render_also"] == []


@pytest.mark.long
def test_a_disconnected_vpn_is_left_alone_and_connects_when_it_is_let_go_of(behind):
    holds.record(str(behind.lab.path), [holds.VPN], holds.VPN_STOP, "anna@laptop", "vpn_stop")
    assert set(behind.nothing("site")["left"]) == {"gluetun", "qbittorrent"}
    _result, error = behind.lab.attempt(services=["gluetun", "qbittorrent"], holds=Ask("start", "a", "b"))
    assert "gluetun, qbittorrent cannot be started: the VPN is held stopped since" in error and "vpn_start" in error
    before = behind.lab.lives()
    behind.both("site", release=True)
    assert behind.record == {}
    assert {name for name, life in behind.lab.lives().items() if life != before[name]} == {"gluetun", "qbittorrent"}
    assert behind.lab.same_network("qbittorrent", "gluetun")


@pytest.mark.parametrize(
    "verb", ["site", *(pytest.param(verb, marks=pytest.mark.long) for verb in ("start", "stop", "restart"))]
)
def test_a_damaged_record_is_an_error_before_anything_is_touched(held, verb):
    path = held.lab.path / ".mediastack" / "holds.json"
    path.write_text(json.dumps({"holds": 1}))
    before = held.lab.lives(), held.lab.states()
    result, error = held.lab.attempt(STATES[verb], holds=Ask(verb, "a", "b"))
    assert str(path) in error and "move it away" in error and result["changed"] is False
    assert (held.lab.lives(), held.lab.states()) == before
