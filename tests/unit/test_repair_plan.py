# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a repair does about containers that share a network, and what it leaves alone; from recorded containers."""

from __future__ import annotations

import pytest
from test_engine_state import recorded

from ansible_collections.homelab.mediastack.plugins.module_utils import repair_journal, repair_plan
from ansible_collections.homelab.mediastack.plugins.module_utils.wanted import Wanted

FILES = {
    "gluetun": Wanted("gluetun", "x:1", container_name="media-gluetun"),
    "qbittorrent": Wanted("qbittorrent", "x:1", network_parent="gluetun", depends_on={"gluetun": "service_healthy"}),
    "sabnzbd": Wanted("sabnzbd", "x:1", network_parent="gluetun", depends_on={"gluetun": "service_healthy"}),
    "sonarr": Wanted("sonarr", "x:1"),
    "radarr": Wanted("radarr", "x:1"),
}
CANNOT_JOIN = "cannot join network of a non running container: 1234"


def hold(verb, who="anna@laptop"):
    return {"verb": verb, "who": who, "when": "2026-11-22T20:39:00+00:00", "why": verb}


def plan_of(project, held=None, journal=None):
    files = FILES if repair_plan.needs_files(project, journal or {}) else {}
    return repair_plan.plan(project, files, held or {}, journal or {})


def actions(found):
    return {name: decision.action for name, decision in found.plan.decisions.items() if decision.action != "none"}


def ended(project, name, error="", **more):
    one = project.of(name)[0]
    one.status, one.error = "exited", error
    for key, value in more.items():
        setattr(one, key, value)
    return one


BOTH = ("qbittorrent", "sabnzbd")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("well", {}),
        ("gluetun_restarted", dict.fromkeys(BOTH, "restart")),
        ("gluetun_recreated", dict.fromkeys(BOTH, "recreate")),
        ("gluetun_gone", {"gluetun": "create", **dict.fromkeys(BOTH, "recreate")}),
        # sonarr is paused: nobody's network is its parent's, so it is none of a repair's business.
        ("gluetun_stopped_sonarr_paused", {"gluetun": "start", **dict.fromkeys(BOTH, "restart")}),
        # Half made, misnamed and failed containers outside of a shared network: left to site.
        ("interrupted_recreate", {}),
        ("interrupted_before_rename", {}),
        ("every_kind", {}),
    ],
)
def test_states(state, expected):
    found = plan_of(recorded(state))
    assert actions(found) == expected
    assert found.plan.empty == (not expected) and not found.lost
    assert not (found.plan.remove or found.plan.clear or found.plan.rename)


def test_files_are_read_only_where_a_container_is_to_be_made():
    assert not repair_plan.needs_files(recorded("gluetun_restarted"), {})
    assert repair_plan.needs_files(recorded("gluetun_recreated"), {})
    assert repair_plan.needs_files(recorded("well"), {"nzbget": 1})


def test_what_the_engine_could_not_start_is_started_and_what_somebody_stopped_is_not():
    project = recorded("well")
    ended(project, "qbittorrent", CANNOT_JOIN)
    ended(project, "sabnzbd")
    found = plan_of(project)
    assert actions(found) == {"qbittorrent": "start"}
    assert found.left == {"sabnzbd": "somebody has stopped it"}


def test_after_a_boot_gluetun_comes_first_when_it_could_not_be_started_either():
    project = recorded("well")
    for name in (*BOTH, "gluetun"):
        ended(project, name, CANNOT_JOIN)
    assert actions(plan_of(project)) == {"gluetun": "start", **dict.fromkeys(BOTH, "start")}


def test_a_gluetun_that_nobody_needs_is_left_down():
    project = recorded("well")
    for name in (*BOTH, "gluetun"):
        ended(project, name)
    assert plan_of(project).plan.empty


def test_paused_apps_and_a_paused_gluetun_are_left():
    project = recorded("gluetun_restarted")
    project.of("qbittorrent")[0].status = "paused"
    project.of("gluetun")[0].status = "paused"
    found = plan_of(project)
    assert actions(found) == {"sabnzbd": "restart"}
    assert found.left == {"qbittorrent": "somebody has paused it"}


def test_holds():
    project = recorded("gluetun_restarted")
    found = plan_of(project, {"sabnzbd": hold("stop"), "sonarr": hold("start")})
    assert actions(found) == {"qbittorrent": "restart"}
    assert found.left == {"sabnzbd": "held stopped since 2026-11-22 20:39 +0000 by anna@laptop"}
    for held in ({"gluetun": hold("stop")}, {"vpn": hold("vpn_stop")}):
        found = plan_of(project, held)
        assert found.plan.empty and set(found.left) == set(BOTH)
        assert all(why.startswith("it needs gluetun, ") for why in found.left.values())


def test_what_a_repair_itself_has_stopped_is_started():
    project = recorded("well")
    one = ended(project, "qbittorrent")
    assert actions(plan_of(project, journal={"qbittorrent": one.started_at + 1})) == {"qbittorrent": "start"}
    # It has run since then: somebody else stopped it.
    assert actions(plan_of(project, journal={"qbittorrent": one.started_at - 1})) == {}
    assert actions(plan_of(project, {"qbittorrent": hold("stop")}, {"qbittorrent": one.started_at + 1})) == {}


def test_what_a_repair_has_removed_is_made_and_nothing_else_of_the_files():
    project = recorded("gluetun_gone")
    project.containers.remove(project.of("sabnzbd")[0])
    found = plan_of(project, journal={"sabnzbd": 1})
    assert actions(found) == {"gluetun": "create", "qbittorrent": "recreate", "sabnzbd": "create"}
    assert "radarr" not in found.wanted


def test_a_network_that_no_file_knows_is_told():
    found = repair_plan.plan(recorded("gluetun_gone"), {}, {}, {})
    assert sorted(found.lost) == ["qbittorrent", "sabnzbd"] and found.plan.empty


def test_the_journal(tmp_path):
    path = str(tmp_path)
    (tmp_path / ".mediastack").mkdir()
    assert repair_journal.read(path) == {}
    repair_journal.write(path, ["a", "b"], now=5)
    repair_journal.write(path, ["b", "c"], now=9)
    assert repair_journal.read(path) == {"a": 5, "b": 5, "c": 9}
    (tmp_path / ".mediastack" / "repair.json").write_text("{")
    assert repair_journal.read(path) == {}
    repair_journal.clear(path)
    repair_journal.clear(path)
    assert list((tmp_path / ".mediastack").iterdir()) == []
