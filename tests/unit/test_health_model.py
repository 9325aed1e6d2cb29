# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From `docker inspect` and a probe's outcome to status and message."""

import datetime
import os

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    docker_cli,
    engine_state,
    health_address,
    health_model,
    health_sweep,
    probes,
)

NOW = 1_700_000_000.0
HTTP = {"kind": "http", "port": "web", "path": "/ping"}


def at(seconds_ago):
    moment = datetime.datetime.fromtimestamp(NOW - seconds_ago, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def container(name="sonarr", up=3600.0, **changes):
    """A container as `docker inspect` shows it; `changes` reach into State, Config and the rest."""
    state = {"Status": "running", "Running": True, "ExitCode": 0, "Error": "", "OOMKilled": False, "StartedAt": at(up)}
    state.update(changes.pop("state", {}))
    labels = {"com.docker.compose.service": name, "com.docker.compose.project.working_dir": "/srv/project"}
    labels.update(changes.pop("labels", {}))
    raw = {
        "Id": (name + "0" * 64)[:64],
        "Name": "/" + name,
        "Image": "sha256:" + "1" * 64,
        "RestartCount": changes.pop("restarts", 0),
        "State": state,
        "Config": {"Image": changes.pop("image", "lscr.io/linuxserver/sonarr:4.0.16"), "Labels": labels},
        "HostConfig": {
            "NetworkMode": changes.pop("network_mode", "media"),
            "RestartPolicy": {"Name": changes.pop("policy", "unless-stopped")},
        },
        "NetworkSettings": {
            "Ports": changes.pop("ports", {"8989/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18989"}]}),
            "Networks": changes.pop("networks", {"media": {"IPAddress": "172.30.0.5"}}),
        },
    }
    if "healthcheck" in changes:
        raw["Config"]["Healthcheck"] = changes.pop("healthcheck")
    assert not changes
    return engine_state.Container(raw)


def service(name="sonarr", **changes):
    entry = {
        "name": name,
        "title": name.title(),
        "container": name,
        "image": "lscr.io/linuxserver/sonarr:4.0.16",
        "health": HTTP,
        "holder": name,
        "ports": [{"name": "web", "protocol": "tcp", "port": 18989, "target": 8989}],
        "url": "",
    }
    entry.update(changes)
    return entry


def judge(found, parent=None, **changes):
    return health_model.judge_container(service(**changes), found, parent, NOW)


def health(status, *log):
    return {"Health": {"Status": status, "Log": [{"ExitCode": code, "Output": text} for code, text in log]}}


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        (None, "MISSING", "no container; run site"),
        (container(), "HEALTHY", ""),
        (
            container(state={"Status": "restarting", "ExitCode": 3}, restarts=7),
            "UNHEALTHY",
            "7 restarts, last exit code 3",
        ),
        (container(state={"Status": "restarting", "OOMKilled": True}, restarts=1), "UNHEALTHY", "out of memory"),
        (container(state={"Status": "paused"}), "STOPPED", "docker unpause sonarr"),
        (container(state={"Status": "dead"}), "UNHEALTHY", "docker rm --force sonarr"),
        (container(state={"Status": "created"}), "STOPPED", "never started"),
        (
            container(state={"Status": "created", "Error": "port is taken"}),
            "UNHEALTHY",
            "could not be started: port is",
        ),
        (container(state={"Status": "exited", "Error": "no such file"}), "UNHEALTHY", "could not be started: no such"),
        (
            container(state={"Status": "exited", "ExitCode": 137, "FinishedAt": at(300)}),
            "STOPPED",
            "stopped 5 min ago (exit",
        ),
        (container(state={"Status": "exited", "ExitCode": 1, "FinishedAt": at(9)}), "STOPPED", "9 s ago (exit code 1)"),
        (
            container(state={"Status": "exited", "ExitCode": 1, "FinishedAt": at(7200)}, policy="no"),
            "UNHEALTHY",
            "ended 2 h ago with exit code 1",
        ),
        (container(state={"Status": "exited", "FinishedAt": at(200000)}, policy="no"), "STOPPED", "2 d ago"),
        (
            container(state={"Status": "exited", "ExitCode": 137, "OOMKilled": True}, policy="no"),
            "UNHEALTHY",
            "out of memory",
        ),
        (container(state={"Status": "brooding"}), "UNKNOWN", "brooding"),
        (container(restarts=3, up=59), "UNHEALTHY", "crash loop: 3 restarts, up for 59 s"),
        (container(restarts=3, up=61), "HEALTHY", ""),
        (container(restarts=2, up=11), "HEALTHY", ""),
        (container(restarts=1, up=9), "STARTING", "restarted by the engine 9 s ago"),
        (
            container(state=health("unhealthy", (7, "curl: (7) refused\n"))),
            "UNHEALTHY",
            "(exit code 7: curl: (7) refused)",
        ),
        (container(state=health("starting")), "STARTING", "has not passed yet"),
        (container(state=health("healthy")), "HEALTHY", ""),
    ],
)
def test_what_the_engine_says(found, status, words):
    verdict = judge(found)
    assert verdict.status == status
    assert words in verdict.message
    assert bool(verdict.message) is (status != "HEALTHY")


def test_a_container_without_any_check():
    assert judge(container(), health={"kind": "container"}).message == "runs; it has no health check"
    assert judge(container(up=1), health={"kind": "container"}).status == "STARTING"
    assert judge(container(up=1), health=None).status == "STARTING"


MEMBER = {"network_mode": "container:" + ("gluetun" + "0" * 64)[:64]}


@pytest.mark.parametrize(
    ("found", "parent", "words"),
    [
        (container(**MEMBER), None, "the gluetun it belonged to is gone"),
        (container(**MEMBER), container("gluetun", up=3599), "gluetun was started after it"),
        (container(**MEMBER), container("gluetun", state={"Status": "exited"}), "gluetun is not running"),
        (
            container(**MEMBER),
            container("other", up=9999),
            "in the network namespace of other, the inventory wants that of",
        ),
        (container(), container("gluetun"), "is not in the network namespace of gluetun"),
    ],
)
def test_a_wrong_or_dead_network_namespace(found, parent, words):
    verdict = judge(found, parent, holder="gluetun")
    assert (verdict.status, verdict.probe) == ("UNHEALTHY", False)
    assert words in verdict.message
    assert "run site" in verdict.message


def test_started_within_the_same_second_counts_by_its_fraction():
    # Docker trims trailing zeros, so as text ".9Z" sorts after ".95Z".
    member = container(**MEMBER, state={"StartedAt": "2023-11-14T22:13:20.95Z"})
    before = container("gluetun", state={"StartedAt": "2023-11-14T22:13:20.9Z"})
    after = container("gluetun", state={"StartedAt": "2023-11-14T22:13:20.951Z"})
    assert judge(member, before, holder="gluetun").status == "HEALTHY"
    assert judge(member, after, holder="gluetun").status == "UNHEALTHY"


def combined(verdict, found=None, engine=("HEALTHY", "", True), grace=60):
    outcome = probes.Outcome(verdict, "url: words")
    return health_model.combine(health_model.Verdict(*engine), outcome, found or container(), NOW, grace)


def test_probe_and_engine_together():
    assert combined("ok") == ("HEALTHY", "")
    assert combined("failed") == ("UNHEALTHY", "url: words")
    assert combined("degraded") == ("DEGRADED", "url: words")
    assert combined("inconclusive") == ("UNKNOWN", "url: words")
    young = container(up=30)
    assert combined("failed", young) == ("STARTING", "up for 30 s; url: words")
    assert combined("degraded", young) == ("STARTING", "up for 30 s; url: words")
    assert combined("inconclusive", young) == ("UNKNOWN", "url: words")
    assert combined("failed", young, grace=0)[0] == "UNHEALTHY"
    assert combined("failed", engine=("STARTING", "up for 9 min", True)) == ("STARTING", "up for 9 min; url: words")
    assert combined("ok", engine=("STARTING", "up for 9 min", True))[0] == "STARTING"


def test_a_longer_start_period_of_the_image_counts():
    slow = {"healthcheck": {"StartPeriod": 120 * 10**9}}
    assert combined("failed", container(up=100, **slow))[0] == "STARTING"
    assert combined("failed", container(up=121, **slow))[0] == "UNHEALTHY"


def test_the_image_that_runs():
    other = container(image="lscr.io/linuxserver/sonarr:4.0.15")
    assert health_model.image_note(service(), container()) == ""
    assert "runs lscr.io/linuxserver/sonarr:4.0.15, the inventory says" in health_model.image_note(service(), other)
    pinned = container(image="sha256:abc", labels={"org.homelab.mediastack.image": "lscr.io/linuxserver/sonarr:4.0.16"})
    assert health_model.image_note(service(), pinned) == ""
    assert health_model.row(service(), "nas", "HEALTHY", "", pinned)["image"] == "lscr.io/linuxserver/sonarr:4.0.16"


def test_what_runs_in_a_lab_image_is_told():
    found = container(labels={"mediastack.lab.runs": "stand-in"})
    assert health_model.row(service(), "nas", "HEALTHY", "", found)["runs"] == "stand-in"
    assert "runs" not in health_model.row(service(), "nas", "HEALTHY", "", container())


def test_nothing_to_judge_is_not_healthy():
    assert health_model.is_healthy([]) is False
    assert health_model.is_healthy([{"status": "HEALTHY"}]) is True
    assert health_model.is_healthy([{"status": "HEALTHY"}, {"status": "DEGRADED"}]) is False


@pytest.mark.parametrize(
    ("found", "address", "port"),
    [
        (container(), "127.0.0.1", 18989),
        (container(ports={"8989/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1"}]}), "127.0.0.1", 1),
        (container(ports={"8989/tcp": [{"HostIp": "", "HostPort": "1"}]}), "127.0.0.1", 1),
        (container(ports={"8989/tcp": [{"HostIp": "::", "HostPort": "1"}]}), "::1", 1),
        (
            container(
                ports={"8989/tcp": [{"HostIp": "::", "HostPort": "1"}, {"HostIp": "192.168.1.2", "HostPort": "2"}]}
            ),
            "192.168.1.2",
            2,
        ),
        (container(ports={"8989/tcp": None}), "172.30.0.5", 8989),
        (container(ports={}, networks={"a": {"IPAddress": ""}, "b": {"IPAddress": "10.0.0.9"}}), "10.0.0.9", 8989),
        (container(ports={}, networks={"a": {"IPAddress": "", "GlobalIPv6Address": "fd00::9"}}), "fd00::9", 8989),
        (container(ports={}, networks={}, network_mode="host"), "127.0.0.1", 8989),
    ],
)
def test_where_a_service_is_probed(found, address, port):
    target = health_address.target_of(service(), found)
    assert (target.address, target.port) == (address, port)


def test_a_port_may_be_a_number_of_the_container():
    target = health_address.target_of(service(health={**HTTP, "port": 8989}), container())
    assert (target.address, target.port, target.direct) == ("127.0.0.1", 18989, ("172.30.0.5", 8989))


@pytest.mark.parametrize(
    ("changes", "found", "words"),
    [
        ({"health": {**HTTP, "port": "ui"}}, container(), "health.port is 'ui' in the service file; its ports are web"),
        ({}, container(ports={}, networks={}), "port 8989 is not published, and the container has no address"),
        ({"health": {"kind": "htp"}}, container(), "health.kind is 'htp'"),
    ],
)
def test_what_cannot_be_probed_says_why(changes, found, words):
    with pytest.raises(health_address.NoAddress, match="^[^$]*$") as raised:
        health_address.probe_of(service(**changes), found)
    assert words in str(raised.value)


def test_urls_for_people():
    assert health_address.web_url(service(), container()) == "http://127.0.0.1:18989"
    everywhere = container(ports={"8989/tcp": [{"HostIp": "0.0.0.0", "HostPort": "18989"}]})
    assert health_address.web_url(service(), everywhere, lambda: "192.168.1.10") == "http://192.168.1.10:18989"
    assert health_address.web_url(service(), everywhere, lambda: None) == ""
    lan = container(ports={"8989/tcp": [{"HostIp": "192.168.1.10", "HostPort": "80"}]})
    assert health_address.web_url(service(), lan, lambda: "192.168.1.11") == "http://192.168.1.10:80"
    six = container(ports={"8989/tcp": [{"HostIp": "fd00::5", "HostPort": "80"}]})
    assert health_address.web_url(service(), six) == "http://[fd00::5]:80"
    assert health_address.web_url(service(ports=[]), container()) == ""


def snapshot(*containers, parents=()):
    return health_sweep.Snapshot(engine_state.Project("p", "/srv/project", list(containers)), parents, NOW)


def looked(read, *services, **paths):
    rows, disks = health_sweep.look(list(services), "nas", read, paths, 2, 60)
    return {row["name"]: row for row in rows}, disks


QUIET = {"kind": "container"}


def test_an_engine_that_cannot_be_read_is_unknown_for_every_service():
    def read():
        raise docker_cli.EngineRefused("this user may not use the Docker Engine")

    rows, disks = looked(read, service("a"), service("b"), base="/")
    assert [row["status"] for row in rows.values()] == ["UNKNOWN", "UNKNOWN"]
    assert rows["a"]["message"] == "this user may not use the Docker Engine"
    assert disks["base"]["free_bytes"] > 0


def test_a_service_whose_network_is_not_well_is_degraded():
    gluetun = container("gluetun", up=4000, state=health("unhealthy", (1, "no route")))
    member = container("qbittorrent", **MEMBER)
    rows, _disks = looked(
        lambda: snapshot(gluetun, member),
        service("gluetun", health=QUIET),
        service("qbittorrent", health=QUIET, holder="gluetun"),
    )
    assert rows["gluetun"]["status"] == "UNHEALTHY"
    assert rows["qbittorrent"]["status"] == "DEGRADED"
    assert "gluetun, whose network it uses, is UNHEALTHY" in rows["qbittorrent"]["message"]


def test_a_parent_outside_of_the_project_is_found():
    parent = container("gluetun", up=4000)
    member = container("qbittorrent", **MEMBER)
    rows, _disks = looked(
        lambda: snapshot(member, parents=[parent]), service("qbittorrent", health=QUIET, holder="gluetun")
    )
    assert rows["qbittorrent"]["status"] == "HEALTHY"


def test_of_two_containers_of_a_service_the_running_one_counts():
    old = container("sonarr", state={"Status": "exited", "FinishedAt": at(5)})
    new = container("sonarr")
    new.name, new.id = "0123456789ab_sonarr", "f" * 64
    rows, _disks = looked(lambda: snapshot(old, new), service(health=QUIET))
    assert rows["sonarr"]["status"] == "HEALTHY"


def test_disks_are_measured_as_df_does():
    _rows, disks = looked(lambda: snapshot(container()), service(health=QUIET), base="/")
    usage = os.statvfs("/")
    share = 100 * (usage.f_blocks - usage.f_bfree) / (usage.f_blocks - usage.f_bfree + usage.f_bavail)
    assert abs(disks["base"]["used_percent"] - share) < 1
    assert disks["base"]["device"] == os.stat("/").st_dev


def test_a_directory_that_is_not_there_says_so():
    _rows, disks = looked(lambda: snapshot(container()), service(health=QUIET), media="/nonexistent/media")
    assert disks["media"] == {"path": "/nonexistent/media", "error": "/nonexistent/media: No such file or directory"}
