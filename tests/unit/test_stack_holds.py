# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What holds mean for a run, on recorded containers."""

from __future__ import annotations

import pytest
from test_engine_state import recorded

from ansible_collections.homelab.mediastack.plugins.module_utils import convergence, holds, stack_holds, wanted
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask, HoldError

MEMBERS = ("qbittorrent", "sabnzbd")


def project_of(**states):
    """gluetun, its two dependents and sonarr, as recorded; with other states where given, None: no container."""
    project = recorded("well")
    for name, state in states.items():
        for container in project.of(name):
            container.status = state or container.status
            if state is None:
                project.containers.remove(container)
    return project


def services(*names):
    found = {}
    for name in ("gluetun", *MEMBERS, "sonarr", *names):
        behind = "gluetun" if name in MEMBERS else None
        found[name] = {"image": "x:1", "network_parent": behind, "depends_on": [behind] if behind else []}
    return wanted.from_bundle(found, {})


def held(**verbs):
    return {
        name: {"verb": verb, "who": "anna@laptop", "when": "2026-11-22T20:39:03+00:00", "why": "w"}
        for name, verb in verbs.items()
    }


def ask(verb, **more):
    return Ask(verb, "ben@pc", verb, **more)


def present(verb, record, project=None, asked=(), wants=None, interrupted=False, **more):
    project = project or project_of()
    return stack_holds.for_present(ask(verb, **more), record, wants or services(), project, asked, interrupted)


def changes(holding, tmp_path):
    """name → verb of the record after the run."""
    path = str(tmp_path)
    for name, entry in holding.held.items():
        holds.record(path, [name], entry["verb"], entry["who"], entry["why"])
    assert holding.changed == bool(holding.actions)
    holding.write(path)
    return {name: entry["verb"] for name, entry in holds.read(path).items()}


# -- site


def test_without_holds_nothing_is_said_or_left():
    for verb in ("site", "start"):
        found = present(verb, {})
        assert (found.changed, found.left, found.messages, found.actions) == (False, {}, [], [])
        assert found.diff() is None


def test_site_leaves_what_is_held_stopped_and_says_since_when_and_by_whom():
    found = present("site", held(sonarr="stop"), project_of(sonarr="exited"))
    assert list(found.left) == ["sonarr"]
    assert found.messages == ["sonarr is left as it is: held stopped since 2026-11-22 20:39 +0000 by anna@laptop"]
    assert not found.changed


def test_what_lives_in_the_network_of_a_held_one_is_left_too():
    states = dict.fromkeys(("gluetun", *MEMBERS), "exited")
    found = present("site", held(gluetun="stop"), project_of(**states))
    assert set(found.left) == {"gluetun", *MEMBERS}
    assert found.left["sabnzbd"].startswith("it needs gluetun, held stopped since")


def test_the_plan_does_nothing_to_what_is_left_whatever_it_is_like():
    project = project_of(sonarr="exited")
    wants = services()
    plan = convergence.plan_present(wants, project, Aim(left={"sonarr": "held"}))
    assert plan.decisions["sonarr"].action == "none"
    assert plan.decisions["gluetun"].action == "recreate", "it differs, and it is not left"
    assert convergence.plan_present(wants, project).decisions["sonarr"].action == "recreate"


def test_a_held_one_that_runs_was_started_by_somebody(tmp_path):
    found = present("site", held(sonarr="stop"))
    assert found.left == {}
    assert changes(found, tmp_path) == {}
    assert "let go of sonarr" in found.actions[0] and "it runs" in found.actions[0]


def test_a_held_one_without_container_stays_away():
    assert list(present("site", held(sonarr="stop"), project_of(sonarr=None)).left) == ["sonarr"]


def test_a_name_that_the_inventory_has_no_more_is_let_go_of(tmp_path):
    found = present("site", held(lidarr="stop"))
    assert changes(found, tmp_path) == {}
    assert "the inventory does not select it any more" in found.actions[0]


def test_release_ends_every_hold(tmp_path):
    record = held(sonarr="stop", lidarr="start", vpn="vpn_stop")
    found = present("site", record, project_of(sonarr="exited"), release=True)
    assert (found.left, found.lacking) == ({}, [])
    assert found.restart == {"gluetun": "the VPN was held stopped"}
    assert changes(found, tmp_path) == {}
    assert "sonarr" in found.diff()["before"] and found.diff()["after"] == ""


# -- held started


def test_the_bundle_must_hold_what_is_held_started():
    project = project_of()
    wants = services()
    del wants["sonarr"]
    found = present("site", held(sonarr="start"), project, wants=wants)
    assert found.lacking == ["sonarr"] and not found.changed
    again = present("site", held(sonarr="start"), project, extra=["sonarr"])
    assert (again.lacking, again.changed) == ([], False)
    (said,) = again.messages
    assert said.startswith("sonarr is kept although the inventory does not select it: held started since 2026-11-22 ")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "the inventory selects it now"),
        ({"unknown": ["sonarr"]}, "no service file has it any more"),
    ],
)
def test_a_started_hold_that_means_nothing_any_more_is_let_go_of(tmp_path, more, why):
    found = present("site", held(sonarr="start"), **more)
    assert changes(found, tmp_path) == {}
    assert found.actions[0].endswith(why)


def test_a_started_one_whose_container_is_gone_is_let_go_of_unless_a_run_was_interrupted(tmp_path):
    wants = services()
    del wants["sonarr"]
    project = project_of(sonarr=None)
    found = present("site", held(sonarr="start"), project, wants=wants)
    assert found.lacking == [] and changes(found, tmp_path) == {}
    assert present("site", held(sonarr="start"), project, wants=wants, interrupted=True).lacking == ["sonarr"]
    # And then, in the second turn of the same run:
    assert not present("site", held(sonarr="start"), project, extra=["sonarr"]).changed


def test_start_holds_what_the_inventory_does_not_select(tmp_path):
    found = present("start", {}, asked=["sonarr"], extra=["sonarr"])
    assert found.actions == ["hold sonarr started, until stop or release_holds"]
    assert "sonarr: held started by ben@pc" in found.diff()["after"]
    assert changes(found, tmp_path) == {"sonarr": "start"}
    assert not present("start", held(sonarr="start"), asked=["sonarr"], extra=["sonarr"]).changed
    assert not present("start", {}, asked=["gluetun"], extra=["sonarr"]).changed, "it was not asked for"


def test_stop_lets_go_of_what_is_held_started_and_holds_nothing_else(tmp_path):
    found = stack_holds.for_stopped(ask("stop"), held(sonarr="start"), project_of(), ["sonarr"])
    assert changes(found, tmp_path) == {}


# -- start, stop, restart


def test_start_lets_go_of_what_it_starts_with_all_that_it_needs(tmp_path):
    record = held(gluetun="stop", qbittorrent="stop", sabnzbd="stop", sonarr="stop")
    project = project_of(**dict.fromkeys(record, "exited"))
    found = present("start", record, project, asked=["qbittorrent"])
    assert changes(found, tmp_path) == {"sabnzbd": "stop", "sonarr": "stop"}
    assert set(found.left) == {"sabnzbd", "sonarr"} and found.messages == []


def test_start_of_everything_lets_go_of_everything(tmp_path):
    assert changes(present("start", held(sonarr="stop"), project_of(sonarr="exited")), tmp_path) == {}


def test_stop_holds_what_was_named_or_all_that_there_is(tmp_path):
    found = stack_holds.for_stopped(ask("stop"), {}, project_of(), ["gluetun"])
    assert changes(found, tmp_path) == {"gluetun": "stop"}, "what lives in it is not held by itself"
    everything = stack_holds.for_stopped(ask("stop"), held(gluetun="stop", vpn="vpn_stop"), project_of(), [])
    assert changes(everything, tmp_path) == {
        "gluetun": "stop",
        "qbittorrent": "stop",
        "sabnzbd": "stop",
        "sonarr": "stop",
        "vpn": "vpn_stop",
    }
    assert not stack_holds.for_stopped(ask("stop"), held(sonarr="stop"), project_of(), ["sonarr"]).changed


def restarted(record, project, asked):
    needs = wanted.needs_of_containers(project)
    return stack_holds.for_restarted(ask("restart"), record, project, asked, needs, wanted.parents(project, {}))


def test_restart_of_everything_leaves_what_is_held(tmp_path):
    project = project_of(gluetun="exited", sabnzbd="exited", qbittorrent="exited")
    found = restarted(held(gluetun="stop"), project, [])
    assert set(found.left) == {"gluetun", *MEMBERS} and not found.changed
    assert len(found.messages) == 3


def test_restart_of_a_held_one_lets_go_of_it_and_of_its_network_parent(tmp_path):
    project = project_of(gluetun="exited", sabnzbd="exited", qbittorrent="exited")
    found = restarted(held(gluetun="stop", qbittorrent="stop", sonarr="stop"), project, ["qbittorrent"])
    assert changes(found, tmp_path) == {"sonarr": "stop"}


# -- the VPN


def test_site_leaves_a_disconnected_vpn_and_what_lives_behind_it():
    found = present("site", held(vpn="vpn_stop"))
    assert set(found.left) == {"gluetun", *MEMBERS} and not found.changed
    assert "the VPN is held stopped since" in found.messages[0]


def test_start_of_what_is_behind_a_disconnected_vpn_is_refused_with_the_remedy():
    with pytest.raises(HoldError, match="qbittorrent cannot be started: the VPN is held stopped .* vpn_start"):
        present("start", held(vpn="vpn_stop"), asked=["qbittorrent"])
    assert not present("start", held(vpn="vpn_stop"), asked=["sonarr"]).changed
    with pytest.raises(HoldError, match="qbittorrent cannot be restarted"):
        restarted(held(vpn="vpn_stop"), project_of(), ["qbittorrent"])


def test_what_starts_the_container_connects_the_vpn(tmp_path):
    down = project_of(gluetun="exited")
    assert changes(present("start", held(vpn="vpn_stop"), down, ["gluetun"]), tmp_path) == {}
    assert changes(restarted(held(vpn="vpn_stop"), project_of(), ["gluetun"]), tmp_path) == {}
