# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`compose_stack` on the engines and Compose versions that the README calls tested.

Engine 20.10 is Debian 12's, 26.1 is Debian 13's, each in a nested host; the Compose plugins come from PyPI.
"""

from __future__ import annotations

import json
import os

import nested
import pytest

COMPOSES = ["2.20.3", "2.26.1", "2.34.0", "2.40.3"]
# Every pair in the long form; the short one leaves Engine 20.10, on which all other tests run, to them.
SUITES = {"bookworm": "20.10.", "trixie": "26.1."}
SHORT = (("trixie", "2.40.3"),)
PAIRS = [
    pytest.param(suite, version, marks=() if (suite, version) in SHORT else pytest.mark.long)
    for suite in SUITES
    for version in COMPOSES
]
PROJECT = "/srv/stack"

COMPOSE = """
name: matrix
services:
  gluetun:
    image: {image}
    command: [sleep, "100000"]
    init: true
    environment: {{MARK: "{mark}"}}
    healthcheck: {{test: [CMD, "true"], interval: 1s, retries: 3}}
  member:
    image: {image}
    command: [sleep, "100000"]
    init: true
    network_mode: service:gluetun
    depends_on: {{gluetun: {{condition: service_healthy, restart: true}}}}
  plain:
    image: {image}
    command: [sleep, "100000"]
    init: true
    restart: unless-stopped
"""


@pytest.fixture(scope="module")
def engine(request):
    """A nested host with its engine running and the tiny image loaded; its parameter is the Debian suite."""
    suite = request.param
    packages = [*nested.BASE_PACKAGES, *(p for p in nested.ENGINE_PACKAGES if suite == "trixie" or p == "docker.io")]
    with nested.host(f"msnest-{suite}", suite, [*packages, "iptables"]) as host:
        host.start_engine()
        assert host.sh("docker version --format '{{.Server.Version}}'").startswith(SUITES[suite])
        host.load(nested.tiny_image())
        yield host


def converge(host, tmp_path, check=True, arguments=(), **parameters):
    """Run the module; returns the process."""
    task = {"homelab.mediastack.compose_stack": {"project_path": PROJECT, "project_name": "matrix", **parameters}}
    return nested.play([task], host.name, tmp_path, check=check, arguments=arguments)


def place(host, version, mark="1"):
    """Put a Compose version and the project into the host."""
    cache = nested.ROOT / ".cache" / "compose"
    plugin = nested.compose_binary(version, cache)
    host.sh("mkdir -p " + PROJECT)
    host.add_compose(plugin)
    assert version in host.sh("docker compose version --short")
    host.sh(f"cat > {PROJECT}/compose.yml", stdin=COMPOSE.format(image=nested.tiny_image(), mark=mark))


def names(host):
    """Containers of the project by service."""
    ids = host.sh("docker ps -aq --filter label=com.docker.compose.project=matrix").split()
    return {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in host.inspect(*ids).values()} if ids else {}


def assert_sound(host):
    """All three run, and the member is in gluetun's namespace."""
    containers = names(host)
    assert {n for n, c in containers.items() if c["State"]["Running"]} == {"gluetun", "member", "plain"}
    gluetun, member = containers["gluetun"], containers["member"]
    assert member["HostConfig"]["NetworkMode"] == "container:" + gluetun["Id"]
    links = host.sh(f"readlink /proc/{gluetun['State']['Pid']}/ns/net /proc/{member['State']['Pid']}/ns/net").split()
    assert links[0] == links[1]


FAULTS = ("docker restart -t 0", "docker rm -f") if os.environ.get("MEDIASTACK_TEST_LONG") == "1" else ("docker rm -f",)


@pytest.mark.long
@pytest.mark.parametrize(("engine", "version"), PAIRS, indirect=["engine"])
def test_converge_repair_and_remove(engine, version, tmp_path):
    place(engine, version)
    assert "changed=1" in converge(engine, tmp_path).stdout
    assert_sound(engine)
    before = {n: c["Id"] for n, c in names(engine).items()}
    assert "changed=0" in converge(engine, tmp_path).stdout
    for fault in FAULTS:
        engine.sh(f"{fault} {names(engine)['gluetun']['Id']}")
        assert "changed=1" in converge(engine, tmp_path).stdout
        assert_sound(engine)
        assert "changed=0" in converge(engine, tmp_path).stdout
    assert names(engine)["plain"]["Id"] == before["plain"]
    converge(engine, tmp_path, state="absent")
    assert names(engine) == {}


@pytest.mark.long
@pytest.mark.parametrize("engine", ["trixie"], indirect=True)
def test_the_stack_comes_up_by_itself_after_the_host_was_restarted(engine, tmp_path):
    place(engine, "2.40.3")
    converge(engine, tmp_path)
    nested.run(["docker", "restart", "-t", "5", engine.name])
    engine.start_engine()
    nested.wait_for(lambda: names(engine)["plain"]["State"]["Running"], 30, "the restart policy's start")
    converge(engine, tmp_path)
    assert_sound(engine)
    converge(engine, tmp_path, state="absent")
    assert json.loads(engine.sh("docker network ls --filter name=matrix --format json") or "null") is None
