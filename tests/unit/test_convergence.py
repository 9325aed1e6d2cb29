# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The planner, on recorded containers."""

from __future__ import annotations

import copy

import pytest
from test_engine_state import recorded

from ansible_collections.homelab.mediastack.plugins.module_utils import convergence, wanted
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import Container, Project


def as_it_is(project, *services):
    """What would be wanted if all were right: the labels that the containers have."""
    found = {}
    for container in project.containers:
        behind = "gluetun" if container.service in ("qbittorrent", "sabnzbd") else None
        found[container.service] = {
            "image": container.image,
            "container_name": f"media-{container.service}",
            "network_parent": behind,
            "depends_on": [behind] if behind else [],
            "healthcheck": container.health is not None,
        }
    for name in services:
        found.setdefault(name, {"image": "x:1", "container_name": f"media-{name}", "healthcheck": name == "gluetun"})
    labels = {container.service: container.content for container in project.containers}
    return wanted.from_bundle(found, dict(dict.fromkeys(found, "new"), **labels))


def actions(plan):
    return {name: decision.action for name, decision in plan.decisions.items() if decision.action != "none"}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("well", {}),
        ("gluetun_restarted", {"qbittorrent": "restart", "sabnzbd": "restart"}),
        ("gluetun_recreated", {"qbittorrent": "recreate", "sabnzbd": "recreate"}),
        ("gluetun_gone", {"gluetun": "create", "qbittorrent": "recreate", "sabnzbd": "recreate"}),
        (
            "gluetun_stopped_sonarr_paused",
            {"gluetun": "start", "qbittorrent": "restart", "sabnzbd": "restart", "sonarr": "start"},
        ),
        ("interrupted_recreate", {"sonarr": "start"}),
        ("interrupted_before_rename", {"sonarr": "create"}),
        ("every_kind", {"failed": "start", "looping": "restart", "nostart": "create"}),
    ],
)
def test_states(state, expected):
    project = recorded(state)
    plan = convergence.plan_present(as_it_is(project, *(["gluetun"] if state.startswith("gluetun") else [])), project)
    assert actions(plan) == expected
    assert plan.empty == (not expected)
    for name in expected:
        assert plan.decisions[name].reasons


def test_half_made_container_is_cleared():
    project = recorded("interrupted_recreate")
    plan = convergence.plan_present(as_it_is(project), project)
    assert [container.status for container in plan.clear] == ["created"]
    assert plan.clear[0].name.endswith("_media-sonarr")
    assert "left behind by an interrupted run" in plan.sentences()[0]


def test_running_container_with_a_temporary_name_is_renamed_and_recreated():
    project = recorded("well")
    container = project.of("sonarr")[0]
    container.name = f"{container.id[:12]}_media-sonarr"
    plan = convergence.plan_present(as_it_is(project), project)
    assert plan.rename == [(container, "media-sonarr")]
    assert actions(plan) == {"sonarr": "recreate"}


def test_a_name_that_looks_temporary_but_is_asked_for_stays():
    project = recorded("well")
    services = as_it_is(project)
    container = project.of("sonarr")[0]
    container.name = "0123456789ab_mine"
    services["sonarr"] = services["sonarr"]._replace(container_name="0123456789ab_mine")
    assert convergence.plan_present(services, project).empty


def test_another_name_recreates():
    project = recorded("well")
    services = as_it_is(project)
    services["sonarr"] = services["sonarr"]._replace(container_name="tv")
    plan = convergence.plan_present(services, project)
    assert plan.decisions["sonarr"].reasons == ["its name is media-sonarr, it should be tv"]


def test_changed_parent_takes_its_dependents_along():
    project = recorded("well")
    services = as_it_is(project)
    services["gluetun"] = services["gluetun"]._replace(content="other")
    assert actions(convergence.plan_present(services, project)) == {
        "gluetun": "recreate",
        "qbittorrent": "recreate",
        "sabnzbd": "recreate",
    }
    # Also when only the parent was asked for; what is not related stays.
    plan = convergence.plan_present(services, project, Aim(services=["gluetun"]))
    assert set(actions(plan)) == {"gluetun", "qbittorrent", "sabnzbd"}


def test_a_dependent_that_is_stopped_and_not_asked_for_stays_stopped():
    project = recorded("well")
    project.of("sabnzbd")[0].status = "exited"
    services = as_it_is(project)
    services["gluetun"] = services["gluetun"]._replace(content="other")
    assert set(actions(convergence.plan_present(services, project, Aim(services=["gluetun"])))) == {
        "gluetun",
        "qbittorrent",
    }


def test_reason_names_both_images():
    project = recorded("well")
    services = as_it_is(project)
    services["sonarr"] = services["sonarr"]._replace(content="other", image="sonarr:2")
    assert convergence.plan_present(services, project).decisions["sonarr"].reasons == [
        "its image changed from mscs-box:1 to sonarr:2"
    ]


def test_recreate_never_leaves_definitions_but_repairs_networks():
    project = recorded("gluetun_recreated")
    services = as_it_is(project)
    services["sonarr"] = services["sonarr"]._replace(content="other")
    plan = convergence.plan_present(services, project, Aim(recreate="never"))
    assert actions(plan) == {"qbittorrent": "recreate", "sabnzbd": "recreate"}
    assert plan.messages == [
        "sonarr: its definition or a file that it mounts changed (left as it is: recreate is never)"
    ]


def test_deselected_services_go_unless_the_run_is_about_others():
    project = recorded("well")
    services = {name: want for name, want in as_it_is(project).items() if name != "sonarr"}
    assert [container.service for container in convergence.plan_present(services, project).remove] == ["sonarr"]
    assert convergence.plan_present(services, project, Aim(remove_orphans=False)).empty
    assert convergence.plan_present(services, project, Aim(services=["gluetun"])).empty


def test_edit_restarts_only_what_runs():
    project = recorded("well")
    aim = Aim(edits={"sonarr": "its config.xml is edited"})
    assert actions(convergence.plan_present(as_it_is(project), project, aim)) == {"sonarr": "restart"}
    project.of("sonarr")[0].status = "exited"
    assert actions(convergence.plan_present(as_it_is(project), project, aim)) == {"sonarr": "start"}


def test_dead_container_is_replaced():
    project = recorded("well")
    project.of("sonarr")[0].status = "dead"
    plan = convergence.plan_present(as_it_is(project), project)
    assert actions(plan) == {"sonarr": "create"} and len(plan.clear) == 1


def test_compose_hash_is_gentle_and_anything_else_is_not():
    project = recorded("well")
    services = {name: want._replace(content=None, config_hashes=["x"]) for name, want in as_it_is(project).items()}
    decision = convergence.plan_present(services, project).decisions["sonarr"]
    assert (decision.action, decision.gentle) == ("recreate", True)
    decision = convergence.plan_present(services, project, Aim(recreate="always")).decisions["sonarr"]
    assert decision.gentle is False


def test_stopping_gluetun_names_what_lives_in_it():
    plan = convergence.plan_stopped(recorded("well"), ["gluetun"])
    assert actions(plan) == {"gluetun": "stop", "qbittorrent": "stop", "sabnzbd": "stop"}
    assert len(plan.messages) == 2


def test_stopping_what_does_not_run_is_nothing():
    project = recorded("well")
    for container in project.containers:
        container.status = "exited"
    assert convergence.plan_stopped(project).empty


def test_absent_names_every_container():
    plan = convergence.plan_absent(recorded("well"))
    assert len(plan.remove) == 4
    assert set(actions(plan).values()) == {"remove"}


@pytest.mark.parametrize(("restarts", "expected"), [(2, {}), (3, {"sonarr": "restart"})])
def test_what_falls_over_again_and_again_gets_a_fresh_start(restarts, expected):
    """The engine's next attempt may be a minute away, and what it fell over gone."""
    [raw] = [copy.deepcopy(one.raw) for one in recorded("well").containers if one.service == "sonarr"]
    raw["State"]["Status"], raw["RestartCount"] = "restarting", restarts
    project = Project("media", "/srv/mediastack/compose", [Container(raw)])
    assert actions(convergence.plan_present(as_it_is(project), project)) == expected


@pytest.mark.parametrize(
    ("state", "services", "expected"),
    [
        ("well", ["sonarr"], {"sonarr": "restart"}),
        ("well", ["gluetun"], {"gluetun": "restart", "qbittorrent": "restart", "sabnzbd": "restart"}),
        ("well", [], {"gluetun": "restart", "qbittorrent": "restart", "sabnzbd": "restart", "sonarr": "restart"}),
        ("gluetun_stopped_sonarr_paused", ["qbittorrent"], {"gluetun": "start", "qbittorrent": "restart"}),
        ("every_kind", ["running"], {"running": "restart"}),
    ],
)
def test_restarted(state, services, expected):
    assert actions(convergence.plan_restarted(recorded(state), services)) == expected


def test_restarting_behind_a_parent_that_is_gone_brings_it_back():
    project = recorded("gluetun_gone")
    plan = convergence.plan_restarted(project, ["qbittorrent"], as_it_is(project, "gluetun"))
    assert actions(plan) == {"gluetun": "create", "qbittorrent": "recreate", "sabnzbd": "recreate"}


def test_completed_one_shots_are_not_run_again_by_a_restart_of_all():
    assert "migrated" not in actions(convergence.plan_restarted(recorded("every_kind")))


def test_layers_put_needs_first_and_survive_a_circle():
    needs = {"qbittorrent": ["gluetun"], "bridge": ["qbittorrent"], "a": ["b"], "b": ["a"]}
    assert wanted.layers(["bridge", "qbittorrent", "gluetun", "sonarr"], needs) == [
        ["gluetun", "sonarr"],
        ["qbittorrent"],
        ["bridge"],
    ]
    # What is between need not be among them.
    assert wanted.layers(["bridge", "gluetun"], needs) == [["gluetun"], ["bridge"]]
    assert wanted.layers(["a", "b"], needs) == [["a", "b"]]


def test_planning_changes_nothing_that_it_was_given():
    project = recorded("gluetun_recreated")
    before = copy.deepcopy([container.raw for container in project.containers])
    convergence.plan_present(as_it_is(project), project)
    assert [container.raw for container in project.containers] == before


def test_replicas():
    project = recorded("well")
    services = as_it_is(project)
    services["sonarr"] = services["sonarr"]._replace(replicas=2)
    decision = convergence.plan_present(services, project).decisions["sonarr"]
    assert (decision.action, decision.gentle, decision.reasons) == ("create", True, ["it has 1 of 2 containers"])
    services["sonarr"] = services["sonarr"]._replace(replicas=0)
    plan = convergence.plan_present(services, project)
    assert plan.decisions["sonarr"].action == "remove" and len(plan.remove) == 1


def test_containers_on_a_duplicate_network_are_made_anew():
    project = recorded("well")
    identifier = project.of("sonarr")[0].networks["media_default"]
    plan = convergence.plan_present(as_it_is(project), project, Aim(duplicate_networks=[(identifier, "media_default")]))
    assert actions(plan) == {"gluetun": "create", "qbittorrent": "recreate", "sabnzbd": "recreate", "sonarr": "create"}
    assert {container.service for container in plan.clear} == {"gluetun", "sonarr"}


def test_container_of_compose_alone_is_not_ours():
    project = recorded("well")
    raws = [copy.deepcopy(container.raw) for container in project.containers]
    services = as_it_is(project)
    for one in raws:
        del one["Config"]["Labels"]["org.homelab.mediastack.content"]
    project = Project("media", "/srv/mediastack/compose", [Container(one) for one in raws])
    plan = convergence.plan_present(services, project)
    assert plan.decisions["sonarr"].reasons == ["it was made without this collection"]
