# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module exposure on the real engine: little containers, published here and there, and a neighbour that visits."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import uuid

import health_lab as lab
import pytest
from stack_harness import free_ports

from ansible_collections.homelab.mediastack.plugins.module_utils import bind_address, neighbour

PROJECT = f"{lab.PREFIX}-exposure"
FIRST = free_ports(6)
ASKS, OPEN, HERE, EVERYWHERE, SIX, DEAF = range(FIRST, FIRST + 6)
MODULE = "ansible_collections.homelab.mediastack.plugins.modules.exposure"


def lan():
    address = bind_address.default_address()
    assert address, "this machine has no default route, so there is no network to be reached from"
    return address


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    lab.build_image()
    found = lab.Project(PROJECT, tmp_path_factory.mktemp("exposure"))
    try:
        found.run("asks", "login", options=["--publish", f"{lan()}:{ASKS}:8080"])
        found.run("open", "ok", options=["--publish", f"{lan()}:{OPEN}:8080"])
        found.run("here", "ok", options=["--publish", f"127.0.0.1:{HERE}:8080"])
        found.run("everywhere", "login", options=["--publish", f"{EVERYWHERE}:8080"])
        found.run("deaf", "deaf", options=["--publish", f"{lan()}:{DEAF}:8080"])
        yield found
    finally:
        found.remove()
        lab.remove_image()


def service(name, port, address=None, **more):
    ports = [
        {"name": "web", "protocol": "tcp", "port": port, "target": 8080, "addresses": [address] if address else []}
    ]
    return {"name": name, "ports": ports, "login": {"kind": "preset", "closed": ["/"]}, **more}


def expose(project, *services, **arguments):
    given = {"project_name": project.name, "project_path": project.path, "services": list(services), "fail": False}
    given.update(timeout=5, **arguments)
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(lab.COLLECTIONS)},
    )
    with contextlib.suppress(ValueError):
        return json.loads(done.stdout)
    raise AssertionError(f"no result: {done.stdout}{done.stderr}")


def rows(result):
    return {(row["service"], row["address"]): row for row in result["ports"]}


def is_there(interface):
    return pathlib.Path("/sys/class/net", interface).exists()


def test_what_is_reached_and_what_asks_for_a_login(project):
    found = expose(
        project, service("asks", ASKS), service("open", OPEN), service("here", HERE), service("everywhere", EVERYWHERE)
    )
    seen = rows(found)
    asks, opened, here = seen["asks", lan()], seen["open", lan()], seen["here", "127.0.0.1"]
    assert (asks["reached"], asks["login"], asks["state"], asks["kernel"]) == ("network", "asked", "passed", True)
    assert (opened["reached"], opened["login"], opened["state"]) == ("network", "not asked", "failed")
    assert opened["open"] and opened["port"] == OPEN and "mediastack_bind_addresses" in opened["remedy"]
    # It answers everybody who asks, and nobody but the host can.
    assert (here["reached"], here["login"], here["state"]) == ("this host", "-", "passed")
    assert "refused" in here["evidence"]
    assert lab.docker("exec", f"{PROJECT}-here", "echo", "it runs") == "it runs"
    # IPv4 and IPv6 are two ways in.
    for address in ("0.0.0.0", "::"):
        row = seen["everywhere", address]
        assert (row["reached"], row["login"], row["state"]) == ("network", "asked", "passed"), row
    assert found["open"] == ["open"] and found["passed"] is False and found["changed"] is False


def test_what_answers_nobody_or_is_no_http_is_no_pass(project):
    found = expose(project, service("deaf", DEAF))
    row = rows(found)["deaf", lan()]
    assert (row["state"], row["login"]) == ("inconclusive", "unknown")
    # The service that this inventory does not know is looked at all the same.
    assert rows(found)["open", lan()]["state"] == "failed"
    assert "own Compose file" in rows(found)["open", lan()]["remedy"]


def test_published_beside_the_inventory(project):
    away = service("open", OPEN, "127.0.0.1", login={"kind": "no_ui"})
    row = rows(expose(project, away))["open", lan()]
    assert (row["state"], row["open"]) == ("failed", True)
    assert "mediastack_overrides.open" in row["remedy"]


def test_meant_to_be_open(project):
    meant = service("open", OPEN, login={"kind": "none"}, opened=True)
    refused = rows(expose(project, meant))["open", lan()]
    assert refused["state"] == "failed" and "mediastack_open_uis" in refused["remedy"]
    allowed = rows(expose(project, meant, allow_open=True))["open", lan()]
    assert (allowed["state"], allowed["login"]) == ("passed", "not asked")


def test_a_service_that_does_not_run_is_no_pass(project):
    row = rows(expose(project, service("gone", 1)))["gone", ""]
    assert (row["state"], row["reached"]) == ("inconclusive", "nobody")


def test_nothing_of_the_neighbour_stays_not_even_after_a_kill():
    with neighbour.neighbour() as near:
        assert is_there(near.name)
    lab.wait_for(lambda: not is_there(near.name), "the interface to be gone", 10)
    program = (
        "import time\n"
        "from ansible_collections.homelab.mediastack.plugins.module_utils import neighbour\n"
        "with neighbour.neighbour() as near:\n    print(near.name, flush=True)\n    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(lab.COLLECTIONS)}
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        name = process.stdout.readline().strip()
        assert is_there(name)
    finally:
        process.kill()
        process.wait()
    lab.wait_for(lambda: not is_there(name), "the interface to be gone", 10)


def test_a_port_on_loopback_is_told_of_where_the_engine_lets_the_segment_in(project):
    found = expose(project, service("here", HERE))
    major = int(lab.docker("version", "--format", "{{.Server.Version}}").split(".")[0])
    told = [message for message in found["messages"] if "docs.docker.com/engine/network/port-publishing" in message]
    assert bool(told) == (major < 28)
    assert all(f"here {HERE}" in message for message in told)


def test_a_container_in_the_host_s_network_is_found_by_its_sockets(project):
    name = f"host-{uuid.uuid4().hex[:6]}"
    port = free_ports(1)
    command = ["nc", "-ll", "-p", str(port), "-e", "/bin/answer"]
    project.run(name, "ok", network="host", command=command)
    try:
        lab.wait_for(lambda: (name, "::") in rows(expose(project)), "the socket", 20)
        row = rows(expose(project))[name, "::"]
        assert (row["port"], row["state"], row["reached"]) == (port, "failed", "network")
    finally:
        lab.docker("rm", "-f", f"{PROJECT}-{name}")
