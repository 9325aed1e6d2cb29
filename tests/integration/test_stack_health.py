# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""stack_health on real containers: what is well, what is not, and what it says of each."""

import json
import os
import time

import health_lab as lab
import pytest
from stack_harness import free_ports

PROJECT = f"{lab.PREFIX}-main"
FIRST_PORT = free_ports(38)
TEXT = {"kind": "http", "port": "web", "path": "/health", "text": "Healthy"}
CONTAINER = {"kind": "container"}


@pytest.fixture(scope="module")
def image():
    lab.build_image()
    yield lab.IMAGE
    lab.remove_image()


@pytest.fixture(scope="module")
def project(image, tmp_path_factory):
    found = lab.Project(PROJECT, tmp_path_factory.mktemp("project"))
    yield found
    found.remove()


def state(name, template):
    return lab.docker("inspect", "--format", template, name)


def look(project, *services, **arguments):
    """`{service: row}` of one look, without the grace that young containers have."""
    result = lab.stack_health(project, list(services), **{"grace": 0, **arguments})
    assert result.get("changed") is False, result
    return {row["name"]: row for row in result["services"]}


@pytest.fixture(scope="module")
def good(project):
    """A service that answers as it should."""
    name = project.run("good", "ok", FIRST_PORT)
    entry = lab.service("good", project)
    lab.wait_for(lambda: look(project, entry)["good"]["status"] == "HEALTHY", "the first answer")
    assert state(name, "{{.RestartCount}}") == "0"
    return entry


def test_a_healthy_service(project, good):
    result = lab.stack_health(project, [good], paths={"base": "/"})
    assert result["healthy"] is True
    [row] = result["services"]
    assert row["latency_ms"] > 0
    row["latency_ms"] = None
    assert row == {
        "host": "box",
        "name": "good",
        "title": "Good",
        "status": "HEALTHY",
        "message": "",
        "latency_ms": None,
        "container": f"{PROJECT}-good",
        "image": f"{lab.IMAGE}:1",
        "url": f"http://127.0.0.1:{FIRST_PORT}",
    }
    assert 0 < result["disks"]["base"]["free_bytes"] <= result["disks"]["base"]["total_bytes"]
    assert result["duration_ms"] > 0


@pytest.mark.parametrize(
    ("behave", "port", "health", "status", "words"),
    [
        ("degraded", 1, TEXT, "DEGRADED", "/health: body is Degraded, expected Healthy"),
        ("wrong", 2, None, "UNHEALTHY", 'JSON status is "Error", expected "OK"'),
        ("login", 3, None, "UNHEALTHY", "HTTP 401, expected 200"),
        ("deaf", 4, None, "UNHEALTHY", "/ping: connection closed"),
    ],
)
def test_an_answer_is_not_health(project, good, behave, port, health, status, words):
    project.run(behave, behave, FIRST_PORT + port)
    entry = lab.service(behave, project, health)
    row = lab.wait_for(lambda: _settled(look(project, entry, good)[behave], status), f"{behave} to be {status}")
    assert words in row["message"]
    assert words[0] != "/" or f"127.0.0.1:{FIRST_PORT + port}{words}" in row["message"]
    result = lab.stack_health(project, [entry, good], grace=0)
    assert result["healthy"] is False
    # Within its first minute the same answer means that it starts.
    assert look(project, entry, grace=600)[behave]["status"] == "STARTING"


def _settled(row, status):
    return row if row["status"] == status else None


def test_tcp_is_not_fooled_by_docker_proxy(project, good):
    project.run("mute", "deaf", FIRST_PORT + 5)
    tcp = {"kind": "tcp", "port": "web"}
    rows = look(project, lab.service("mute", project, tcp), {**good, "health": tcp})
    assert rows["mute"]["status"] == "UNHEALTHY"
    assert "nothing listens" in rows["mute"]["message"]
    assert rows["good"]["status"] == "HEALTHY"


@pytest.mark.long
def test_503_then_healthy_is_waited_for(project):
    name = project.run("warming", "warming", FIRST_PORT + 6)
    entry = lab.service("warming", project)

    def cold():
        lab.docker("exec", name, "rm", "-f", "/tmp/first", "/tmp/second")

    lab.wait_for(lambda: look(project, entry)["warming"]["status"] == "HEALTHY", "its third answer")
    cold()
    row = look(project, entry, grace=600)["warming"]
    assert row["status"] == "STARTING"
    assert "HTTP 503 (starting), expected 200" in row["message"]
    assert look(project, entry, grace=0)["warming"]["status"] == "UNHEALTHY"
    cold()
    result = lab.stack_health(project, [entry], wait=60)
    assert result["healthy"] is True
    # Two looks in vain, with the pauses after them.
    assert result["duration_ms"] > 700


def test_waiting_ends_when_nobody_will_start_it(project, good):
    began = time.monotonic()
    result = lab.stack_health(project, [good, lab.service("nowhere", project)], wait=60)
    assert time.monotonic() - began < 20
    assert [row["status"] for row in result["services"]] == ["HEALTHY", "MISSING"]


@pytest.mark.long
@pytest.mark.parametrize(("behave", "port"), [("hang", 7), ("trickle", 8)])
def test_one_that_never_ends_its_answer_costs_the_timeout_at_most(project, good, behave, port):
    project.run(behave, behave, FIRST_PORT + port)
    entry = lab.service(behave, project)
    lab.wait_for(lambda: "while" in look(project, entry, timeout=0.7)[behave]["message"], f"{behave} to accept")
    result = lab.stack_health(project, [entry, good], timeout=1.5, grace=0)
    rows = {row["name"]: row for row in result["services"]}
    assert rows["good"]["status"] == "HEALTHY"
    assert rows[behave]["status"] == "UNHEALTHY"
    assert "timed out after 1.5 s while" in rows[behave]["message"]
    assert 1400 < result["duration_ms"] < 3500


def test_a_crash_loop(project):
    name = project.run("crash", "crash", FIRST_PORT + 9)
    lab.wait_for(lambda: int(state(name, "{{.RestartCount}}")) >= 3, "three restarts")
    row = look(project, lab.service("crash", project, CONTAINER))["crash"]
    assert row["status"] == "UNHEALTHY"
    assert "crash loop" in row["message"]


def test_stopped_by_hand_paused_and_missing(project):
    stopped, paused = project.run("stopped"), project.run("paused")
    lab.docker("stop", "--time", "0", stopped)
    lab.docker("pause", paused)
    rows = look(project, *(lab.service(name, project, CONTAINER) for name in ("stopped", "paused", "absent")))
    assert {name: row["status"] for name, row in rows.items()} == {
        "stopped": "STOPPED",
        "paused": "STOPPED",
        "absent": "MISSING",
    }
    assert "exit code 137" in rows["stopped"]["message"]
    assert "docker unpause" in rows["paused"]["message"]
    assert rows["absent"]["container"] is None


def test_its_own_health_check(project):
    check = ["--health-interval", "200ms", "--health-retries", "1"]
    sick = project.run("sick", options=[*check, "--health-cmd", "echo the disk is full; false"])
    well = project.run("well", options=[*check, "--health-cmd", "test 1 = 1"])
    for name in (sick, well):
        lab.wait_for(lambda name=name: state(name, "{{.State.Health.Status}}") != "starting", "its first check")
    rows = look(project, lab.service("sick", project, CONTAINER), lab.service("well", project, CONTAINER))
    assert rows["sick"]["status"] == "UNHEALTHY"
    assert "the disk is full" in rows["sick"]["message"]
    assert (rows["well"]["status"], rows["well"]["message"]) == ("HEALTHY", "")


def test_another_image_than_the_inventorys_is_said(project, good):
    row = look(project, {**good, "image": f"{lab.IMAGE}:2"})["good"]
    assert row["status"] == "HEALTHY"
    assert row["message"] == f"runs {lab.IMAGE}:1, the inventory says {lab.IMAGE}:2"


def test_a_service_behind_the_vpn(project):
    parent = project.run("gluetun", "deaf", FIRST_PORT + 10)
    member = project.run("torrent", "ok", network=f"container:{parent}")
    vpn = lab.service("gluetun", project, CONTAINER)
    entry = lab.service("torrent", project, holder=parent)
    lab.wait_for(lambda: look(project, entry)["torrent"]["status"] == "HEALTHY", "the answer through its parent's port")
    row = look(project, entry)["torrent"]
    assert row["url"] == f"http://127.0.0.1:{FIRST_PORT + 10}"

    lab.docker("restart", "--time", "0", parent)
    assert state(member, "{{.State.Status}}") == "running"
    row = look(project, vpn, entry)["torrent"]
    assert row["status"] == "UNHEALTHY"
    assert row["message"] == f"in a dead network namespace ({PROJECT}-gluetun was started after it); run site"

    lab.docker("rm", "--force", parent)
    project.run("gluetun", "deaf", FIRST_PORT + 10)
    row = look(project, vpn, entry)["torrent"]
    assert row["status"] == "UNHEALTHY"
    assert f"{PROJECT}-gluetun it belonged to is gone" in row["message"]


def test_outside_the_vpn_is_not_health(project, good):
    row = look(project, {**good, "holder": "gluetun"})["good"]
    assert row["status"] == "UNHEALTHY"
    assert "is not in the network namespace of gluetun" in row["message"]
    began = time.monotonic()
    lab.stack_health(project, [{**good, "holder": "gluetun"}], wait=60)
    assert time.monotonic() - began < 20  # nobody moves it while it is looked at


def test_a_container_without_published_port_is_asked_at_its_own_address(project):
    name = project.run("inner", "ok")
    address = state(name, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    entry = lab.service("inner", project)
    lab.wait_for(lambda: look(project, entry)["inner"]["status"] == "HEALTHY", "its answer")
    row = look(project, {**entry, "health": {"kind": "http", "port": "web", "status": [204]}})["inner"]
    assert f"http://{address}:8080/: HTTP 200" in row["message"]


def test_a_namesake_of_another_directory_is_not_ours(project, tmp_path):
    project.run("namesake", "ok", FIRST_PORT + 11, working_dir=str(tmp_path))
    row = look(project, lab.service("namesake", project))["namesake"]
    assert row["status"] == "MISSING"
    assert f"{PROJECT}-namesake belongs to the project in {tmp_path}" in row["message"]


@pytest.mark.parametrize("engine", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:PORT"])
def test_an_engine_that_cannot_be_read_is_unknown_never_green(project, good, engine):
    address = engine.replace("PORT", str(FIRST_PORT + 12))
    result = lab.stack_health(project, [good], environ={"DOCKER_HOST": address})
    assert result["healthy"] is False
    [row] = result["services"]
    assert row["status"] == "UNKNOWN"
    assert address in row["message"]


def test_nothing_is_changed(project, good):
    everything = [line for line in lab.docker("ps", "-aq", "--filter", f"name={PROJECT}").split() if line]
    before = lab.docker("inspect", *everything)
    result = lab.stack_health(project, [good], _ansible_check_mode=True)
    assert result["changed"] is False
    after = json.loads(lab.docker("inspect", *everything))
    kept = [(c["Id"], c["State"]["StartedAt"]) for c in json.loads(before) if c["Name"] == f"/{PROJECT}-good"]
    assert kept == [(c["Id"], c["State"]["StartedAt"]) for c in after if c["Name"] == f"/{PROJECT}-good"]


def test_no_service_is_not_healthy_and_the_disks_are_told_all_the_same(project, tmp_path):
    limits = {"disk_warn_percent": 0.001, "disk_critical_percent": 100}
    result = lab.stack_health(project, [], paths={"base": str(tmp_path)}, **limits)
    assert result["healthy"] is False and result["disks"]["base"]["free_bytes"] > 0
    nothing, disk = result["services"]
    assert (nothing["name"], nothing["status"]) == ("(host)", "UNKNOWN")
    assert nothing["message"].startswith("no service is selected, so nothing was looked at, which is not the same as")
    assert (disk["name"], disk["status"]) == ("(disk base)", "DEGRADED")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"services": None}, "services is not given"),
        ({"timeout": 0}, "timeout is 0"),
        ({"wait": -1}, "wait is -1"),
        ({"project_path": ""}, "project_path is not given"),
    ],
)
def test_wrong_arguments(project, good, arguments, words):
    result = lab.stack_health(project, **{"services": [good], **arguments})
    assert result["failed"] is True
    assert words in result["msg"]


@pytest.mark.long
def test_25_services_are_asked_at_once(project):
    names = [project.run(f"many{n}", "slow", FIRST_PORT + 13 + n) for n in range(25)]
    services = [lab.service(f"many{n}", project) for n in range(25)]
    result = lab.stack_health(project, services, wait=60, timeout=20)
    assert result["healthy"] is True, result["services"]
    result = lab.stack_health(project, services, timeout=20)
    assert result["healthy"] is True
    # One after the other would take 25 seconds, however fast the machine.
    assert 1000 < result["duration_ms"] < 12000

    for name in names:
        lab.docker("exec", name, "touch", "/tmp/fast")
    took = min(lab.stack_health(project, services)["duration_ms"] for _run in range(5))
    print(f"25 services: {took} ms")
    # On a machine that is busy with other things the time says nothing about the module.
    assert took < 250 or os.getloadavg()[0] > os.cpu_count(), took
