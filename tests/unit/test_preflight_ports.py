# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports: who holds them, which one is free, and the line to set."""

import contextlib
import os
import pathlib
import random
import socket

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_ports


def bundle_of(*ports):
    return {"project": {"name": "p", "path": "/srv/p"}, "services": {"holder": {"ports": list(ports)}}}


def port(number, service="sonarr", name="web", protocol="tcp", addresses=("127.0.0.1",)):
    return {
        "name": name,
        "service": service,
        "protocol": protocol,
        "port": number,
        "target": 1,
        "addresses": list(addresses),
    }


def container(name, host_port, project=None, address="0.0.0.0", protocol="tcp", running=True):
    labels = (
        {}
        if project is None
        else {"com.docker.compose.project": project, "com.docker.compose.project.working_dir": "/srv/p"}
    )
    return {
        "Id": name * 64,
        "Name": "/" + name,
        "Config": {"Labels": labels, "Image": "img"},
        "State": {"Running": running},
        "NetworkSettings": {"Ports": {"80/" + protocol: [{"HostIp": address, "HostPort": str(host_port)}]}},
    }


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "proc" / "net").mkdir(parents=True)
    return str(tmp_path / "proc")


@pytest.fixture(params=["tcp", "udp"])
def held(request):
    """(protocol, port) that this process holds on loopback; outside of the range of which others are given ports."""
    kind = socket.SOCK_STREAM if request.param == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as holder:
        for number in random.sample(range(20000, 30000), 100):
            with contextlib.suppress(OSError):
                holder.bind(("127.0.0.1", number))
                break
        if request.param == "tcp":
            holder.listen()
        yield request.param, holder.getsockname()[1]


def test_a_process_is_named_with_its_pid_and_a_free_port(held):
    protocol, number = held
    (problem,) = preflight_ports.check(bundle_of(port(number, protocol=protocol)), [], [])
    program = pathlib.Path("/proc/self/comm").read_text().strip()
    assert (
        "%s port %d of sonarr (web) is held by %s (pid %d)" % (protocol.upper(), number, program, os.getpid())
        in problem["what"]
    )
    free = int(problem["remedy"].rpartition("{sonarr: ")[2].rstrip("}"))
    assert free != number
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", free))


def test_the_other_protocol_is_free(held):
    protocol, number = held
    other = "udp" if protocol == "tcp" else "tcp"
    problems = preflight_ports.check(bundle_of(port(number, protocol=other)), [], [])
    assert all(str(os.getpid()) not in problem["what"] for problem in problems)
    (problem,) = preflight_ports.check(bundle_of(port(number, name="torrent", protocol="both")), [], [])
    assert "{sonarr: {torrent: " in problem["remedy"]


def test_ipv6_and_every_interface():
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as holder:
        holder.bind(("::", 0))
        holder.listen()
        number = holder.getsockname()[1]
        assert len(preflight_ports.check(bundle_of(port(number)), [], [])) == 1
    assert preflight_ports.check(bundle_of(port(number)), [], []) == []


def test_the_saved_address_stands_for_an_empty_list(held):
    protocol, number = held
    bundle = bundle_of(port(number, protocol=protocol, addresses=()))
    assert len(preflight_ports.check(bundle, [], ["127.0.0.1"])) == 1
    assert preflight_ports.check(bundle, [], ["192.0.2.1"]) == []


def test_a_foreign_container_is_named(empty):
    bundle = bundle_of(port(8989))
    (problem,) = preflight_ports.check(bundle, [container("a", 8989)], [], empty)
    assert "held by container a (started without Compose, image img)" in problem["what"]
    assert problem["remedy"] == "stop it, or set mediastack_ports: {sonarr: 8990}"
    (problem,) = preflight_ports.check(bundle, [container("a", 8989, "other")], [], empty)
    assert "Compose project other" in problem["what"]
    assert preflight_ports.check(bundle, [container("a", 8989, running=False)], [], empty) == []
    assert preflight_ports.check(bundle, [container("a", 8989, address="192.168.1.5")], [], empty) == []
    assert preflight_ports.check(bundle, [container("a", 8989, protocol="udp")], [], empty) == []


def test_our_own_containers_may_keep_their_port(held):
    protocol, number = held
    ours = container("a", number, "p", "127.0.0.1", protocol)
    assert preflight_ports.check(bundle_of(port(number, protocol=protocol)), [ours], []) == []


def test_free_ports_are_not_given_twice(empty):
    taken = [container("a", 8989), container("b", 8990), container("c", 8992)]
    bundle = bundle_of(port(8989), port(8990, "radarr"), port(8991, "lidarr"))
    remedies = [problem["remedy"] for problem in preflight_ports.check(bundle, taken, [], empty)]
    assert remedies == [
        "stop it, or set mediastack_ports: {sonarr: 8993}",
        "stop it, or set mediastack_ports: {radarr: 8994}",
    ]


def test_the_end_of_the_range(empty):
    (problem,) = preflight_ports.check(bundle_of(port(65535)), [container("a", 65535)], [], empty)
    assert "{sonarr: 1024}" in problem["remedy"]


def test_addresses_of_proc_net(tmp_path):
    net = tmp_path / "net"
    net.mkdir()
    header = "  sl  local_address rem_address st tx rx tr tm->when retrnsmt uid timeout inode\n"
    (net / "tcp").write_text(
        header + "   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 4711 1\n"
        "   1: 0100007F:1F91 0100007F:1F90 01 0:0 0:0 0 0 0 4712 1\n"
    )
    (net / "tcp6").write_text(
        header + "   0: 0000000000000000FFFF00000500A8C0:0050 %s:0000 0A 0:0 0:0 0 0 0 4713 1\n" % ("0" * 32)
    )
    (net / "udp").write_text(header + "  10: 00000000:14E9 00000000:0000 07 0:0 0:0 0 0 0 4714 1\n")
    assert preflight_ports.listening(str(tmp_path)) == [
        ("tcp", "127.0.0.1", 8080, "4711"),
        ("tcp", "::ffff:192.168.0.5", 80, "4713"),
        ("udp", "0.0.0.0", 5353, "4714"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::", "127.0.0.1", True),
        ("::1", "127.0.0.1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
        ("::", "::1", True),
        ("0.0.0.0", "::", True),
    ],
)
def test_overlap(first, second, clash):
    for pair in ((first, second), (second, first)):
        assert preflight_ports.overlap(*pair) is clash


def process(proc, pid, inode, comm, cgroup=""):
    directory = os.path.join(proc, str(pid))
    os.makedirs(os.path.join(directory, "fd"))
    os.symlink("socket:[%d]" % inode, os.path.join(directory, "fd", "3"))
    for name, text in (("comm", comm + "\n"), ("cgroup", cgroup)):
        with open(os.path.join(directory, name), "w") as handle:
            handle.write(text)


def test_a_process_in_a_container_is_named_by_the_container(empty):
    process(empty, 100, 1, "nginx")
    process(empty, 101, 2, "plex", "0::/system.slice/docker-%s.scope\n" % ("a" * 64))
    process(empty, 102, 3, "plex", "12:pids:/docker/%s\n" % ("b" * 64))
    containers = [container("a", 1), container("b", 2, "p")]
    assert preflight_ports.owner_of("1", containers, set(), empty) == "nginx (pid 100)"
    assert preflight_ports.owner_of("2", containers, set(), empty) == "container a (started without Compose, image img)"
    assert preflight_ports.owner_of("3", containers, {"b" * 64}, empty) is None
    assert "become: true" in preflight_ports.owner_of("9", containers, set(), empty)
