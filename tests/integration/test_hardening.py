# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hardened stack as kernel and engine have it: real qBittorrent, SABnzbd, PostgreSQL and Traefik, behind a VPN."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest
import stack_harness as h

PROJECT = f"mshard-{os.getpid()}"
FIRST = h.free_ports(20)
# Numbers of linux/capability.h.
BITS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12, "NET_RAW": 13,
}  # fmt: skip
S6 = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}
POWERS = {
    "gluetun": {"CHOWN", "DAC_OVERRIDE", "NET_ADMIN", "NET_RAW"},
    "qbittorrent": S6,
    "sabnzbd": S6,
    "prowlarr": S6,
    "heimdall": S6 | {"NET_BIND_SERVICE"},
    "traefik": {"DAC_OVERRIDE", "NET_BIND_SERVICE"},
    "traefik-pages": set(),
    "homepage": {"CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"},
    "docker-socket-proxy": set(),
    "authentik-server": set(),
    "authentik-worker": set(),
    "authentik-postgresql": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
}
OVERRIDES = {
    # Its image asks every 30 s.
    **{name: {"healthcheck": {"interval": "1s"}} for name in ("authentik-server", "authentik-worker")},
    "traefik-pages": {"pids_limit": 20},
}
READ_ONLY = {"traefik", "traefik-pages", "docker-socket-proxy"}
PORTS = {
    "qbittorrent": {"web": FIRST + 1, "torrent": FIRST + 2},
    "sabnzbd": FIRST + 3,
    "prowlarr": FIRST + 4,
    "traefik": {"web": FIRST + 5, "https": FIRST + 6, "ping": FIRST + 7},
    "homepage": FIRST + 8,
    "heimdall": FIRST + 9,
    "authentik-server": {"web": FIRST + 10, "https": FIRST + 11},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A converged stack; whatever is not healthy has failed `site`."""
    made = h.Stack(
        tmp_path_factory.mktemp("hard"),
        PROJECT,
        FIRST,
        mediastack_container_prefix=f"{PROJECT}-",
        mediastack_profiles=["auth", "proxy", "dashboard", "dashboard-alt"],
        mediastack_services={**h.SMALL, "sonarr": False},
        mediastack_domain="home.example.org",
        mediastack_ports=PORTS,
        mediastack_vpn_torrent_port=FIRST + 2,
        mediastack_memory_limits={"prowlarr": "200m", "traefik-pages": "32m"},
        mediastack_overrides=OVERRIDES,
    )
    made.play("site")
    yield made
    made.remove()
    shutil.rmtree(made.directory, ignore_errors=True)


def status(pid):
    """What the kernel says of a process: name → value."""
    lines = pathlib.Path("/proc", str(pid), "status").read_text().splitlines()
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)}


def statuses(container):
    """What the kernel says of each process of a container; a health check may have ended meanwhile."""
    found = []
    for line in h.docker("top", container["Id"], "-eo", "pid").splitlines()[1:]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(status(line.strip()))
    assert found
    return found


def users(container):
    """The numbers of its processes' users."""
    return {int(one["Uid"].split()[1]) for one in statuses(container)}


def limit(container, newer, older):
    """A limit as the kernel has it, by the name of its file on cgroup v2 and v1."""
    root = pathlib.Path("/proc", str(container["State"]["Pid"]), "root", "sys", "fs", "cgroup")
    return next(int((root / name).read_text()) for name in (newer, older) if (root / name).exists())


def mask(powers):
    return sum(1 << BITS[power] for power in powers)


def inside(stack, service, *command):
    """Run a command in a service's container; the completed process."""
    return subprocess.run(
        ["docker", "exec", f"{stack.prefix}{service}", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_no_process_can_have_more_than_its_service_file_says(stack):
    containers = stack.containers()
    assert set(containers) == set(POWERS)
    for name, container in containers.items():
        assert container["HostConfig"]["Privileged"] is False, name
        for seen in statuses(container):
            assert seen["NoNewPrivs"] == "1", name
            assert int(seen["CapBnd"], 16) == mask(POWERS[name]), name
            if seen["Uid"].split()[1] != "0":
                assert int(seen["CapEff"], 16) == 0, name


def test_the_apps_run_as_the_user_of_the_files_and_the_database_as_its_own(stack):
    containers = stack.containers()
    for name, uid in (("qbittorrent", 1000), ("sabnzbd", 1000), ("traefik-pages", 1000), ("authentik-postgresql", 70)):
        # A health check comes in as root where the image starts as root.
        assert users(containers[name]) - {0} == {uid}, name
    assert status(containers["authentik-postgresql"]["State"]["Pid"])["Uid"].split()[1] == "70"
    assert users(containers["traefik-pages"]) == {1000}


def test_a_second_run_changes_nothing(stack):
    before = {name: one["Id"] for name, one in stack.containers().items()}
    assert h.changed(stack.play("site")) == 0
    assert {name: one["Id"] for name, one in stack.containers().items()} == before


def test_a_read_only_root_refuses_what_is_written(stack):
    containers = stack.containers()
    assert {name for name, one in containers.items() if one["HostConfig"]["ReadonlyRootfs"]} == READ_ONLY
    for name in READ_ONLY:
        root = pathlib.Path("/proc", str(containers[name]["State"]["Pid"]), "root", "usr", "bin", "evil")
        with pytest.raises(OSError, match="Read-only file system"):
            root.write_text("#!/bin/sh")


def test_processes_and_memory_have_an_end(stack):
    containers = stack.containers()
    limits = {name: one["HostConfig"]["PidsLimit"] for name, one in containers.items()}
    assert limits == {**dict.fromkeys(POWERS, 4096), "traefik-pages": 20}
    memory = ("memory.max", "memory/memory.limit_in_bytes")
    assert limit(containers["prowlarr"], *memory) == 200 << 20
    assert limit(containers["traefik-pages"], *memory) == 32 << 20
    assert containers["sabnzbd"]["HostConfig"]["Memory"] == 0
    assert limit(containers["prowlarr"], "pids.max", "pids/pids.max") == 4096
    many = inside(stack, "traefik-pages", "sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i+1)); done")
    assert many.returncode != 0 and "fork" in many.stderr
    assert stack.containers()["traefik-pages"]["State"]["Running"]


def test_the_socket_is_the_proxys_alone_and_it_only_reads(stack):
    for name, container in stack.containers().items():
        sockets = [mount for mount in container["Mounts"] if "docker.sock" in mount["Source"]]
        assert bool(sockets) == (name == "docker-socket-proxy"), name
        assert not any(mount["RW"] for mount in sockets)
    ask = "wget -q -O - http://docker-socket-proxy:2375"
    seen = inside(stack, "homepage", "sh", "-c", f"{ask}/containers/json")
    assert f"/{stack.prefix}prowlarr" in {name for one in json.loads(seen.stdout) for name in one["Names"]}
    for path in (f"containers/{stack.prefix}prowlarr/stop", "containers/create"):
        refused = inside(stack, "homepage", "sh", "-c", f"{ask}/{path} --post-data '{{}}'")
        assert "403" in refused.stderr, path
    assert "403" in inside(stack, "homepage", "sh", "-c", f"{ask}/images/json").stderr
    assert stack.containers()["prowlarr"]["State"]["Running"]
    assert inside(stack, "traefik", "sh", "-c", f"{ask}/_ping").returncode != 0


def test_the_database_and_the_socket_are_on_networks_without_a_way_out(stack):
    networks = json.loads(h.docker("network", "inspect", f"{PROJECT}_database", f"{PROJECT}_socket"))
    assert [network["Internal"] for network in networks] == [True, True]
    members = [{one["Name"].removeprefix(stack.prefix) for one in net["Containers"].values()} for net in networks]
    assert members[0] == {"authentik-postgresql", "authentik-server", "authentik-worker"}
    assert members[1] == {"docker-socket-proxy", "homepage"}
    database = stack.containers()["authentik-postgresql"]["NetworkSettings"]["Networks"]
    assert list(database) == [f"{PROJECT}_database"]
    assert stack.containers()["authentik-postgresql"]["HostConfig"]["PortBindings"] in ({}, None)


@pytest.mark.parametrize("service", ["qbittorrent", "sabnzbd", "authentik-postgresql", "traefik"])
def test_a_real_program_ends_by_itself_when_it_is_stopped(stack, service):
    """Its supervisor is root and it is not: without KILL it would be killed in the middle of what it writes."""
    began = time.monotonic()
    h.docker("stop", "-t", "30", f"{stack.prefix}{service}")
    ended = stack.containers()[service]["State"]
    assert ended["ExitCode"] != 137 and not ended["OOMKilled"]
    assert time.monotonic() - began < 20
    h.docker("start", f"{stack.prefix}{service}")


@pytest.mark.long
def test_what_an_override_takes_back_is_as_the_engine_gives_it(stack):
    """Compose alone could only add to what the service file says."""
    stack.set(mediastack_overrides={**OVERRIDES, "sabnzbd": {"cap_drop": None, "pids_limit": None}})
    stack.play("site")
    container = stack.containers()["sabnzbd"]
    assert not container["HostConfig"]["CapDrop"] and container["HostConfig"]["PidsLimit"] in (None, 0, -1)
    net_raw = int(status(container["State"]["Pid"])["CapBnd"], 16) >> BITS["NET_RAW"] & 1
    assert net_raw == 1
    assert status(container["State"]["Pid"])["NoNewPrivs"] == "1"
    assert stack.containers()["qbittorrent"]["HostConfig"]["CapDrop"] == ["ALL"]
