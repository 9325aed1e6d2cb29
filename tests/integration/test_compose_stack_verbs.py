# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`stopped`, `restarted`, `absent` and `pulled` on the real engine."""

from __future__ import annotations

import json

import pytest
from compose_stack_lab import build_image, docker, until


def forecast(lab, state, **more):
    """What check mode says; it touches nothing."""
    before = lab.lives(), lab.states()
    result = lab.run(state, check=True, **more)
    assert (lab.lives(), lab.states()) == before
    return result


def both(lab, state, **more):
    """A run that does what its check mode said."""
    said = forecast(lab, state, **more)
    result = lab.run(state, **more)
    assert result["actions"] == said["actions"]
    assert result["changed"] == said["changed"]
    assert result["removed"] == said["removed"]
    return result


@pytest.mark.parametrize("plain", [False, True], ids=["bundle", "plain"])
def test_stopped(lab, plain):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    if plain:
        (lab.path / "compose.core.yml").rename(lab.path / "compose.yaml")
        (lab.path / ".env").unlink()
    result = both(lab, "stopped", plain=plain)
    assert result["changed"] is True
    assert {one["action"] for one in result["services"].values()} == {"stop"}
    assert set(lab.states().values()) == {"exited"}
    assert both(lab, "stopped", plain=plain)["changed"] is False


def test_stopped_creates_nothing(lab):
    lab.vpn("qbittorrent")
    result = both(lab, "stopped")
    assert result["changed"] is False
    assert lab.all() == []
    assert not lab.path.exists()


def test_stopping_gluetun_stops_what_lives_in_it_first_and_says_so(lab):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    result = both(lab, "stopped", services=["gluetun"])
    assert "qbittorrent is stopped too: it lives in the network of gluetun" in result["messages"]
    assert lab.states() == {"gluetun": "exited", "qbittorrent": "exited", "sonarr": "running"}
    ends = {name: lab.one(name)["State"]["FinishedAt"] for name in ("gluetun", "qbittorrent")}
    assert ends["qbittorrent"] < ends["gluetun"]


def test_stopping_a_paused_and_a_restarting_one(lab):
    lab.add("sonarr").add("radarr", command=["sh", "-c", "sleep 0.2; exit 1"])
    lab.attempt(wait=False)
    docker("pause", f"{lab.name}-sonarr")
    lab.run("stopped")
    assert set(lab.states().values()) == {"exited"}


def test_unknown_service_names_the_closest(lab):
    lab.vpn("qbittorrent")
    lab.run()
    for state in ("stopped", "restarted", "absent", "pulled"):
        result, error = lab.attempt(state, services=["qbitorrent"])
        assert "there is no service qbitorrent (did you mean qbittorrent?)" in error
        assert result["changed"] is False
    assert set(lab.states().values()) == {"running"}


def test_restarted(lab):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    before = lab.lives()
    result = both(lab, "restarted", services=["sonarr"])
    assert result["services"]["sonarr"]["action"] == "restart"
    after = lab.lives()
    assert after["sonarr"][0] == before["sonarr"][0] and after["sonarr"][1] != before["sonarr"][1]
    assert after["gluetun"] == before["gluetun"]


def test_restarting_gluetun_restarts_what_lives_in_it_after_it(lab):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    before = lab.lives()
    result = both(lab, "restarted", services=["gluetun"])
    assert result["services"]["qbittorrent"]["action"] == "restart"
    after = lab.lives()
    assert {name: life[0] for name, life in after.items()} == {name: life[0] for name, life in before.items()}
    assert after["sonarr"] == before["sonarr"]
    assert lab.same_network("qbittorrent", "gluetun")


@pytest.mark.long
def test_restarting_a_dependent_whose_parent_is_down(lab):
    lab.vpn("qbittorrent")
    lab.run()
    docker("stop", "-t", 1, f"{lab.name}-gluetun")
    both(lab, "restarted", services=["qbittorrent"])
    assert lab.same_network("qbittorrent", "gluetun")


@pytest.mark.long
def test_restarting_a_dependent_whose_parent_is_gone(lab):
    lab.vpn("qbittorrent")
    lab.run()
    docker("rm", "-f", f"{lab.name}-gluetun")
    result = both(lab, "restarted", services=["qbittorrent"])
    assert result["services"]["gluetun"]["action"] == "create"
    assert lab.same_network("qbittorrent", "gluetun")
    assert lab.names() == lab.expected_names()


@pytest.mark.long
def test_restart_keeps_the_image_even_where_it_must_recreate(lab):
    build_image("mscs-drift:1", "old")
    try:
        lab.vpn("qbittorrent")
        lab.services["qbittorrent"]["image"] = "mscs-drift:1"
        lab.run()
        old = lab.one("qbittorrent")["Image"]
        build_image("mscs-drift:1", "new")
        docker("rm", "-f", f"{lab.name}-gluetun")
        lab.run("restarted", services=["qbittorrent"])
        assert lab.one("qbittorrent")["Image"] == old
        assert lab.run()["changed"] is False
    finally:
        lab.clean()
        docker("image", "rm", "-f", "mscs-drift:1", check=False)


def test_restarted_never_renders_nor_changes_a_definition(lab):
    lab.add("sonarr")
    lab.run()
    identifier = lab.one("sonarr")["Id"]
    text = (lab.path / "compose.core.yml").read_text()
    lab.services["sonarr"]["environment"] = {"A": "b"}
    lab.run("restarted")
    assert lab.one("sonarr")["Id"] == identifier
    assert (lab.path / "compose.core.yml").read_text() == text


@pytest.mark.long
def test_restarting_everything(lab):
    lab.vpn("qbittorrent", "sabnzbd").add("sonarr")
    lab.run()
    before = lab.lives()
    result = both(lab, "restarted")
    assert {one["action"] for one in result["services"].values()} == {"restart"}
    assert not set(lab.lives().values()) & set(before.values())
    for name in ("qbittorrent", "sabnzbd"):
        assert lab.same_network(name, "gluetun")


def test_absent_takes_containers_and_networks_and_nothing_else(lab):
    data = lab.base / "config" / "sonarr"
    lab.project["volumes"] = {"db": {}}
    lab.vpn("qbittorrent").add(
        "sonarr",
        volumes=["db:/db", {"type": "bind", "source": str(data), "target": "/c", "bind": {"create_host_path": True}}],
    )
    lab.run()
    (data / "sonarr.db").write_text("x")
    volume = f"{lab.name}_db"
    result = both(lab, "absent")
    try:
        assert sorted(result["removed"]) == lab.expected_names()
        assert lab.all() == []
        assert f"{lab.name}_default" not in docker("network", "ls", "--format", "{{.Name}}").split()
        assert volume in docker("volume", "ls", "--format", "{{.Name}}").split()
        assert (data / "sonarr.db").exists() and (lab.path / "compose.core.yml").exists()
        assert both(lab, "absent")["changed"] is False
    finally:
        docker("volume", "rm", volume)


def test_absent_of_one_service(lab):
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    result = both(lab, "absent", services=["gluetun"])
    assert result["removed"] == [f"{lab.name}-gluetun"]
    assert lab.states() == {"qbittorrent": "exited", "sonarr": "running"}


def test_pulled_touches_no_container(lab):
    lab.add("sonarr").add("radarr", image="127.0.0.1:21997/mscs/none:1")
    said = lab.run("pulled", check=True)
    assert said["changed"] is True and said["actions"] == ["pull 127.0.0.1:21997/mscs/none:1 for radarr"]
    _result, error = lab.attempt("pulled")
    assert "1 of 1 images could not be pulled" in error and "127.0.0.1:21997/mscs/none:1 (for radarr)" in error
    assert lab.all() == []


def foreign_stack(lab, path):
    """A hand-made stack elsewhere, with our project name and one of our container names."""
    path.mkdir()
    (path / "compose.yaml").write_text(
        json.dumps(
            {
                "name": lab.name,
                "services": {
                    "sonarr": dict(lab.services["sonarr"], ports=["127.0.0.1:21810:80"]),
                    "mine": dict(lab.services["sonarr"], container_name=f"{lab.name}-mine"),
                },
            }
        )
    )
    docker("compose", "up", "-d", cwd=path)
    ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={lab.name}").split()
    return lambda: docker("inspect", *ids)


@pytest.mark.parametrize("plain", [False, True], ids=["bundle", "plain"])
def test_foreign_stack_of_the_same_name_is_left_alone(lab, plain):
    lab.add("sonarr").add("radarr")
    look = foreign_stack(lab, lab.base / "theirs")
    before = look()
    if plain:
        lab.write_plain()
    _result, error = lab.attempt(plain=plain)
    assert str(lab.base / "theirs") in error and lab.name in error
    for state in ("stopped", "restarted", "absent"):
        result, error = lab.attempt(state, plain=plain)
        assert result["changed"] is False, (state, result)
    assert look() == before
    assert until(lab.states) == {"mine": "running", "sonarr": "running"}


def test_foreign_stack_that_comes_later_is_left_alone(lab):
    lab.add("sonarr").add("radarr")
    lab.run()
    theirs = lab.base / "theirs"
    theirs.mkdir()
    (theirs / "compose.yaml").write_text(
        json.dumps(
            {
                "name": lab.name,
                "services": {"lidarr": dict(lab.services["sonarr"], container_name=f"{lab.name}-lidarr")},
            }
        )
    )
    docker("compose", "up", "-d", "--no-recreate", "lidarr", cwd=theirs)
    before = docker("inspect", f"{lab.name}-lidarr")
    _result, error = lab.attempt()
    assert f"{lab.name}-lidarr" in error
    result = lab.run("absent")
    assert sorted(result["removed"]) == [f"{lab.name}-radarr", f"{lab.name}-sonarr"]
    assert docker("inspect", f"{lab.name}-lidarr") == before
