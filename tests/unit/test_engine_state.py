# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from `docker inspect`."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Completed, DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import (
    Container,
    Networks,
    Project,
    timestamp,
)

RECORDED = pathlib.Path(__file__).parents[1] / "fixtures" / "inspect"


def recorded(name):
    raw = json.loads((RECORDED / f"{name}.json").read_text())
    return Project("media", "/srv/mediastack/compose", [Container(one) for one in raw])


class FakeDocker:
    """Answers of the docker program, in order."""

    def __init__(self, *answers):
        self.answers, self.calls = list(answers), []

    def run(self, *arguments, check=True, **_options):
        self.calls.append(arguments)
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-11-22T15:26:40.2Z", "2026-11-22T15:26:40.19999999999Z"),
        ("2026-11-22T15:26:40Z", "2026-11-22T15:26:40.000000001Z"),
        ("2026-11-22T15:26:39.999999999Z", "2026-11-22T15:26:40Z"),
        ("2026-11-22T15:26:40.1Z", "2026-11-22T17:26:40.2+02:00"),
        ("2026-11-22T10:26:40-05:00", "2026-11-22T15:26:40.5Z"),
        ("0001-01-01T00:00:00Z", "1970-01-02T00:00:00Z"),
    ],
)
def test_timestamps_sort_as_times(earlier, later):
    if earlier.endswith("40.2Z"):
        earlier, later = later, earlier
    assert timestamp(earlier) < timestamp(later)


def test_timestamp_of_never_and_of_nonsense():
    assert timestamp("0001-01-01T00:00:00Z") == timestamp("") == timestamp(None) == 0
    with pytest.raises(ValueError, match="yesterday"):
        timestamp("yesterday")


def test_a_recorded_stack():
    project = recorded("well")
    assert project.services == ["gluetun", "qbittorrent", "sabnzbd", "sonarr"]
    gluetun, qbittorrent = project.of("gluetun")[0], project.of("qbittorrent")[0]
    assert (gluetun.status, gluetun.health, gluetun.restart_policy) == ("running", "healthy", "unless-stopped")
    assert qbittorrent.parent_id == gluetun.id and gluetun.parent_id is None
    assert qbittorrent.health is None
    assert [container.service for container in project.sharing(gluetun)] == ["qbittorrent", "sabnzbd"]
    assert gluetun.started_at < qbittorrent.started_at
    assert gluetun.networks["media_default"]
    assert gluetun.requested_image == "mscs-box:1"
    assert len(gluetun.content) == 64


def test_depends_on_as_compose_writes_it_down():
    raw = json.loads((RECORDED / "well.json").read_text())[0]
    raw["Config"]["Labels"]["com.docker.compose.depends_on"] = (
        "gluetun:service_healthy:true,db:service_started:false,old"
    )
    assert Container(raw).depends_on == {
        "gluetun": "service_healthy",
        "db": "service_started",
        "old": "service_started",
    }


def test_containers_of_another_directory_are_foreign():
    project = Project("media", "/srv/elsewhere", recorded("well").containers)
    assert project.containers == []
    assert len(project.foreign) == 4


def test_directory_is_compared_as_a_place_not_as_a_text(tmp_path):
    (tmp_path / "compose").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    raw = json.loads((RECORDED / "well.json").read_text())
    for one in raw:
        one["Config"]["Labels"]["com.docker.compose.project.working_dir"] = str(tmp_path / "compose")
    assert len(Project("media", str(tmp_path / "link" / "compose"), [Container(one) for one in raw]).containers) == 4


def test_one_offs_of_compose_run_do_not_count():
    raw = json.loads((RECORDED / "well.json").read_text())
    raw[0]["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"
    project = Project("media", "/srv/mediastack/compose", [Container(one) for one in raw])
    assert len(project.containers) == 3 and project.foreign == []


def test_a_container_that_vanished_is_left_out():
    one = json.loads((RECORDED / "well.json").read_text())[:1]
    docker = FakeDocker(Completed(0, "aaa bbb\n", ""), Completed(1, json.dumps(one), "Error: No such container: bbb\n"))
    assert len(engine_state.read_project(docker, "media", "/srv/mediastack/compose").containers) == 1
    assert [call[0] for call in docker.calls] == ["ps", "inspect"]


def test_other_errors_of_inspect_are_errors():
    docker = FakeDocker(Completed(1, "[]", "Error response from daemon: i/o timeout\n"))
    with pytest.raises(DockerError, match="i/o timeout"):
        engine_state.inspect(docker, ["aaa"])


def test_no_containers_need_no_inspect():
    docker = FakeDocker(Completed(0, "", ""))
    assert engine_state.read_project(docker, "media", "/srv/x").containers == []
    assert len(docker.calls) == 1


def test_networks_that_are_gone_or_double():
    container = recorded("well").of("sonarr")[0]
    present = container.networks["media_default"]
    assert Networks([], "media").gone(container) == ["media_default"]
    networks = Networks(
        [f"{present}\tmedia\tmedia_default", "bbb\tmedia\tmedia_default", "ccc\tother\tmedia_default"], "media"
    )
    assert networks.gone(container) == []
    assert networks.duplicates([container]) == [("bbb", "media_default")]


def test_ports_are_those_asked_for():
    raw = json.loads((RECORDED / "well.json").read_text())[0]
    raw["HostConfig"]["PortBindings"] = {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
        "99/tcp": [{"HostIp": "", "HostPort": ""}],
        "98/tcp": None,
    }
    assert Container(raw).ports == [
        {"address": "", "port": 53, "target": 53, "protocol": "udp"},
        {"address": "127.0.0.1", "port": 8080, "target": 80, "protocol": "tcp"},
    ]
