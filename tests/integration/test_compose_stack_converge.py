# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`state: present` on the real engine: what is created, recreated, started, removed, and what is left in peace."""

from __future__ import annotations

import time

import pytest
from compose_stack_lab import IMAGE, QUICK, build_image, docker, double_network, until

VERSIONS = [
    pytest.param("2.20.3", marks=pytest.mark.long),
    pytest.param("2.26.1", marks=pytest.mark.long),
    pytest.param("2.34.0", marks=pytest.mark.long),
    None,
]


def predicted_then_done(lab, **more):
    """Run in check mode, then for real: both must say the same, and check mode must touch nothing. The real result."""
    before = lab.lives()
    forecast = lab.run(check=True, **more)
    assert lab.lives() == before
    result = lab.run(**more)
    assert forecast["actions"] == result["actions"]
    assert forecast["changed"] == result["changed"]
    assert forecast["files"] == result["files"]
    assert forecast["removed"] == result["removed"]
    assert {name: (one["action"], one["reasons"]) for name, one in forecast["services"].items()} == {
        name: (one["action"], one["reasons"]) for name, one in result["services"].items()
    }
    return result


@pytest.mark.parametrize("version", VERSIONS)
def test_first_run_then_nothing(labs, version):
    lab = labs(version).vpn("qbittorrent", "sabnzbd").add("sonarr")
    assert not lab.path.exists()
    result = predicted_then_done(lab)
    assert not (lab.path / ".mediastack" / "call.yml").exists()
    assert {one["action"] for one in result["services"].values()} == {"create"}
    assert lab.names() == lab.expected_names()
    assert lab.same_network("qbittorrent", "gluetun")
    assert lab.one("qbittorrent")["State"]["StartedAt"] > lab.one("gluetun")["State"]["StartedAt"]
    assert result["services"]["gluetun"]["health"] == "healthy"
    lives = lab.lives()
    again = predicted_then_done(lab)
    assert again["changed"] is False
    assert again["actions"] == again["diff"] == []
    assert lab.lives() == lives


def test_what_others_wait_for_does_not_start_as_one_of_many(lab):
    lab.vpn("qbittorrent")
    apps = [f"app{number}" for number in range(8)]
    for name in apps:
        lab.add(name)
    lab.run()
    assert lab.one("gluetun")["State"]["StartedAt"] < min(lab.one(name)["State"]["StartedAt"] for name in apps)


def test_no_op_asks_the_engine_twice_and_never_compose(lab, monkeypatch):
    lab.vpn("qbittorrent")
    lab.run()
    calls = []
    real = type(lab.docker).run
    monkeypatch.setattr(type(lab.docker), "run", lambda self, *a, **k: calls.append(a[0]) or real(self, *a, **k))
    assert lab.run()["changed"] is False
    assert calls == ["ps", "inspect"]


@pytest.mark.long
def test_no_op_of_25_services_is_quick(lab):
    lab.vpn("qbittorrent", "sabnzbd")
    for number in range(22):
        lab.add(f"app{number}")
    lab.run(wait_timeout=120)
    took = []
    for _round in range(5):
        started = time.monotonic()
        ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={lab.name}").split()
        docker("inspect", *ids)
        asking = time.monotonic() - started
        started = time.monotonic()
        assert lab.run()["changed"] is False
        took.append(time.monotonic() - started - asking)
    # What it costs beyond the two questions to the engine, on a machine that others use as well.
    assert min(took) < 0.1, took


@pytest.mark.parametrize("version", VERSIONS)
def test_changed_definition_recreates_only_that_service(labs, version):
    lab = labs(version).add("sonarr").add("radarr")
    lab.run()
    radarr, sonarr = lab.lives()["radarr"], lab.lives()["sonarr"]
    lab.services["sonarr"]["environment"] = {"A": "b"}
    result = predicted_then_done(lab)
    assert result["services"]["sonarr"]["action"] == "recreate"
    assert result["services"]["radarr"]["action"] == "none"
    assert lab.lives()["radarr"] == radarr
    assert lab.lives()["sonarr"] != sonarr
    assert "A=b" in lab.one("sonarr")["Config"]["Env"]
    section = [part for part in result["diff"] if part["before_header"] == "services"][0]
    assert section["before"].startswith("sonarr: running") and "recreate" in section["after"]
    assert predicted_then_done(lab)["changed"] is False


def test_content_of_mounted_file_recreates_its_service(lab):
    """Compose sees no difference in a file that was replaced, and the container would keep the old bytes."""
    settings = lab.path / "settings.conf"
    lab.files[settings] = "first\n"
    lab.add("sonarr", inputs=[settings], volumes=[f"{settings}:/settings.conf:ro"]).add("radarr")
    lab.run()
    lab.files[settings] = "second\n"
    lives = lab.lives()
    result = predicted_then_done(lab)
    assert result["services"]["sonarr"]["action"] == "recreate"
    assert docker("exec", lab.one("sonarr")["Id"], "cat", "/settings.conf") == "second"
    assert lab.lives()["radarr"] == lives["radarr"]


def test_deselected_service_is_removed_and_its_data_kept(lab):
    data = lab.base / "config" / "lidarr"
    lab.add("sonarr").add(
        "lidarr", volumes=[{"type": "bind", "source": str(data), "target": "/c", "bind": {"create_host_path": True}}]
    )
    lab.run()
    (data / "library.db").write_text("years of work")
    del lab.services["lidarr"], lab.meta["lidarr"]
    result = predicted_then_done(lab)
    assert result["changed"] is True
    assert result["removed"] == [f"{lab.name}-lidarr"]
    assert lab.names() == [f"{lab.name}-sonarr"]
    assert (data / "library.db").read_text() == "years of work"


@pytest.mark.long
def test_orphans_stay_when_asked(lab):
    lab.add("sonarr").add("lidarr")
    lab.run()
    del lab.services["lidarr"], lab.meta["lidarr"]
    assert lab.run(remove_orphans=False)["removed"] == []
    assert set(lab.states()) == {"sonarr", "lidarr"}


def test_stopped_paused_and_removed_containers_come_back(lab):
    lab.add("sonarr").add("radarr").add("bazarr")
    lab.run()
    docker("stop", "-t", 1, f"{lab.name}-sonarr")
    docker("pause", f"{lab.name}-radarr")
    docker("rm", "-f", f"{lab.name}-bazarr")
    result = predicted_then_done(lab)
    assert {name: one["action"] for name, one in result["services"].items()} == {
        "sonarr": "start",
        "radarr": "start",
        "bazarr": "create",
    }
    assert set(lab.states().values()) == {"running"}


def test_one_shot_that_did_its_work_is_well_and_not_repeated(lab):
    lab.add("migrate", command=["true"], restart="no").add("sonarr")
    lab.run()
    lives = lab.lives()
    assert lab.run()["changed"] is False
    assert lab.lives() == lives
    assert lab.states()["migrate"] == "exited"


def test_one_shot_that_failed_is_a_failure(lab):
    lab.add("migrate", command=["sh", "-c", "echo no such table; exit 4"], restart="no")
    result, error = lab.attempt()
    assert "migrate ended with code 4" in error
    assert result["failures"][0]["log"] == ["no such table"]


@pytest.mark.long
def test_only_named_services_and_what_they_need(lab):
    lab.vpn("qbittorrent", "sabnzbd").add("sonarr")
    predicted_then_done(lab, services=["qbittorrent"])
    assert set(lab.states()) == {"gluetun", "qbittorrent"}
    result, error = lab.attempt(services=["sonar"])
    assert "no service sonar (did you mean sonarr?)" in error
    assert result["changed"] is False


@pytest.mark.long
def test_recreate_always_and_never(lab):
    lab.add("sonarr").add("radarr")
    lab.run()
    lives = lab.lives()
    lab.services["sonarr"]["environment"] = {"A": "b"}
    result = predicted_then_done(lab, recreate="never")
    assert lab.lives() == lives
    assert any("sonarr" in text and "never" in text for text in result["messages"])
    predicted_then_done(lab, recreate="always")
    assert not set(lab.lives().values()) & set(lives.values())


def test_image_stays_while_its_name_is_the_same(lab):
    build_image("mscs-moving:1", "old")
    try:
        lab.add("sonarr", image="mscs-moving:1")
        lab.run()
        old = lab.one("sonarr")["Image"]
        build_image("mscs-moving:1", "new")
        assert lab.run()["changed"] is False
        lab.services["sonarr"]["environment"] = {"A": "b"}
        result = predicted_then_done(lab)
        assert result["services"]["sonarr"]["action"] == "recreate"
        assert lab.one("sonarr")["Image"] == old
        assert result["services"]["sonarr"]["image"] == "mscs-moving:1"
        assert lab.run()["changed"] is False
        docker("tag", "mscs-moving:1", "mscs-moving:2")
        lab.services["sonarr"]["image"] = "mscs-moving:2"
        result = predicted_then_done(lab)
        assert lab.one("sonarr")["Image"] != old
        assert result["services"]["sonarr"]["reasons"] == ["its image changed from mscs-moving:1 to mscs-moving:2"]
    finally:
        lab.clean()
        docker("image", "rm", "-f", "mscs-moving:1", "mscs-moving:2", check=False)


def test_missing_image_stops_the_run_before_anything_changes(lab):
    lab.add("sonarr").add("radarr")
    lab.run()
    lives = lab.lives()
    lab.services["sonarr"]["image"] = "127.0.0.1:21999/mscs/none:1"
    lab.services["radarr"]["environment"] = {"A": "b"}
    files = (lab.path / "compose.core.yml").read_text()
    forecast = lab.run(check=True)
    assert "pull 127.0.0.1:21999/mscs/none:1 for sonarr" in forecast["actions"]
    _result, error = lab.attempt()
    assert "127.0.0.1:21999/mscs/none:1 (for sonarr)" in error and "refused" in error
    result, error = lab.attempt(pull="never")
    assert "pull is never" in error and "for sonarr" in error
    assert (result["changed"], result["actions"], result["files"], result["diff"]) == (False, [], {}, [])
    assert lab.lives() == lives
    assert (lab.path / "compose.core.yml").read_text() == files


@pytest.mark.long
def test_one_service_that_cannot_start_does_not_keep_the_others_from_it(lab):
    lab.add("sonarr").add("radarr", command=["/no/such/program"]).add("bazarr", after=["radarr"]).add("lidarr")
    result, error = lab.attempt()
    assert "radarr could not be started" in error and "no such file" in error
    assert [failure["service"] for failure in result["failures"]] == ["bazarr", "radarr"]
    assert "because it needs radarr" in result["failures"][0]["what"]
    assert lab.states()["sonarr"] == lab.states()["lidarr"] == "running"
    assert result["services"]["bazarr"]["action"] == "none"
    assert not [action for action in result["actions"] if "bazarr" in action]
    lab.services["radarr"]["command"] = lab.services["sonarr"]["command"]
    lab.run()
    assert set(lab.states().values()) == {"running"}
    assert lab.names() == lab.expected_names()


def test_starting_container_is_waited_for_on_a_run_without_changes(lab):
    slow = dict(QUICK, test=["CMD", "test", "-e", "/tmp/ready"], retries=60)
    lab.add(
        "jellyfin", healthcheck=slow, command=["sh", "-c", "sleep 2; echo > /tmp/ready; exec sleep 1000"], init=True
    )
    lab.run(wait=False)
    assert lab.one("jellyfin")["State"]["Health"]["Status"] == "starting"
    result = lab.run()
    assert result["changed"] is False
    assert result["services"]["jellyfin"]["health"] == "healthy"


def test_plain_compose_in_the_directory_agrees_with_us(lab):
    """What we made is an ordinary Compose project: `docker compose up` by hand finds nothing to do."""
    lab.vpn("qbittorrent").add("sonarr")
    lab.run()
    lives = lab.lives()
    docker("compose", "up", "-d", cwd=lab.path)
    assert lab.lives() == lives


@pytest.mark.long
def test_network_that_was_removed_under_a_stopped_container(lab):
    lab.add("sonarr")
    lab.run()
    docker("stop", "-t", 1, f"{lab.name}-sonarr")
    docker("network", "rm", f"{lab.name}_default")
    result = predicted_then_done(lab)
    assert result["services"]["sonarr"]["action"] == "recreate"
    assert lab.states() == {"sonarr": "running"}


@pytest.mark.long
def test_duplicate_networks_are_repaired(lab):
    lab.add("sonarr").add("radarr")
    lab.run()
    double_network(f"{lab.name}_default", lab.name)
    lab.services["sonarr"]["environment"] = {"A": "b"}
    result = predicted_then_done(lab)
    assert f"remove a duplicate of the network {lab.name}_default" in result["actions"]
    names = docker("network", "ls", "--format", "{{.Name}}").split()
    assert names.count(f"{lab.name}_default") == 1
    assert set(lab.states().values()) == {"running"}


def test_pull_always_without_registry_changes_nothing(lab):
    lab.add("sonarr", image="127.0.0.1:21998/mscs/none:1")
    _result, error = lab.attempt(pull="always")
    assert "could not be pulled" in error
    assert lab.all() == []


def test_health_goes_with_the_container(lab):
    lab.add("sonarr", healthcheck=dict(QUICK, test=["CMD", "test", "!", "-e", "/tmp/sick"]))
    lab.run()
    docker("exec", lab.one("sonarr")["Id"], "sh", "-c", "echo > /tmp/sick")
    until(lambda: lab.one("sonarr")["State"]["Health"]["Status"] == "unhealthy")
    result, error = lab.attempt()
    assert "sonarr is unhealthy" in error
    assert result["changed"] is False
    assert result["failures"][0]["health_log"][-1]["exit_code"] == 1
    assert result["services"]["sonarr"]["image"] == IMAGE
