# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running the docker program: where it is, deadlines, and errors with a remedy."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import docker_cli
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import (
    Completed,
    DeadlineExceeded,
    Docker,
    DockerError,
    EngineMissing,
    EngineRefused,
)


@pytest.fixture
def program(tmp_path):
    def make(script):
        path = tmp_path / "docker"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        return Docker(str(path), {"PATH": os.environ["PATH"]})

    return make


def test_found_where_a_nas_keeps_it(tmp_path):
    place = tmp_path / "volume1" / "@appstore" / "ContainerManager" / "usr" / "bin"
    place.mkdir(parents=True)
    (place / "docker").write_text("")
    pattern = str(tmp_path / "volume*" / "@appstore/ContainerManager/usr/bin/docker")
    with pytest.raises(EngineMissing) as caught:
        docker_cli.find_docker(str(tmp_path), [pattern])
    assert caught.value.what == "cli" and pattern in str(caught.value)
    (place / "docker").chmod(0o755)
    assert docker_cli.find_docker(str(tmp_path), [pattern]) == str(place / "docker")


@pytest.mark.parametrize(
    "place",
    [
        "/volume1/@appstore/ContainerManager/usr/bin/docker",
        "/share/CACHEDEV1_DATA/.qpkg/container-station/bin/docker",
        "/usr/local/bin/docker",
    ],
)
def test_places_cover_synology_and_qnap(place):
    import fnmatch

    assert any(fnmatch.fnmatch(place, pattern) for pattern in docker_cli.EXTRA_PLACES)


def test_environment_cannot_overrule_the_inventory():
    kept = docker_cli.clean_environment(
        {
            "TZ": "Mars/Base",
            "PUID": "7",
            "COMPOSE_FILE": "/evil",
            "COMPOSE_REMOVE_ORPHANS": "true",
            "DOCKER_HOST": "tcp://x",
            "PATH": "/bin",
            "https_proxy": "http://p",
        }
    )
    assert "TZ" not in kept and "PUID" not in kept and "COMPOSE_FILE" not in kept
    assert kept["DOCKER_HOST"] == "tcp://x" and kept["https_proxy"] == "http://p"
    assert kept["COMPOSE_REMOVE_ORPHANS"] == "false"


def test_output_and_arguments(program):
    done = program('echo "$@"; echo trouble >&2; cat').run("inspect", 7, stdin="in")
    assert done == Completed(0, "inspect 7\nin", "trouble\n")


def test_failure_says_what_and_why(program):
    with pytest.raises(DockerError) as caught:
        program(
            'echo "Container x  Creating" >&2; echo "Error response from daemon: port is already allocated" >&2; exit 1'
        ).run("compose", "up")
    assert str(caught.value) == "'docker compose up' failed: Error response from daemon: port is already allocated"
    assert (caught.value.rc, caught.value.command[1:]) == (1, ["compose", "up"])


def test_deadline_kills_children_too(program, tmp_path):
    docker = program(f"sh -c 'echo $$ > {tmp_path}/pid; exec sleep 300' & wait")
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="did not end within 0.5 s"):
        docker.run("compose", "up", deadline=0.5)
    assert time.monotonic() - started < 5
    pid = int((tmp_path / "pid").read_text())
    stat = pathlib.Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().split(")")[1].split()[0] == "Z"


@pytest.mark.parametrize(
    ("text", "kind", "what"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get",
            EngineRefused,
            None,
        ),
        (
            "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            EngineRefused,
            None,
        ),
        (
            "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
            EngineRefused,
            None,
        ),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            EngineMissing,
            "daemon",
        ),
        ("failed to connect to the docker API at unix:///var/run/docker.sock", EngineMissing, "daemon"),
        ("docker: 'compose' is not a docker command.\nSee 'docker --help'", EngineMissing, "compose"),
        (
            "docker: unknown command: docker compose\n\nRun 'docker --help' for more information",
            EngineMissing,
            "compose",
        ),
        ("unknown flag: --ansi\nSee 'docker --help'.", EngineMissing, "compose"),
        ("Error response from daemon: pull access denied for x", DockerError, None),
    ],
)
def test_kinds_of_errors(text, kind, what):
    error = docker_cli.explain(["compose", "up"], Completed(1, "", text))
    assert error.__class__ is kind
    assert getattr(error, "what", None) == what


def test_remedy_for_a_user_without_access():
    error = docker_cli.explain(
        ["ps"], Completed(1, "", "permission denied while trying to connect to the Docker daemon socket")
    )
    assert "become: true" in str(error) and "group docker" in str(error)


def test_program_that_went_away():
    with pytest.raises(EngineMissing, match="cannot run /no/docker"):
        Docker("/no/docker", {}).run("ps")
