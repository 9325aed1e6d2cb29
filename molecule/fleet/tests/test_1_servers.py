# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each server of the fleet has after `site`, looked at by ssh: containers, ports, users, files, the VPN."""

from __future__ import annotations

import dataclasses
import json
import urllib.error
import urllib.request

import pytest
import testinfra
from user import SERVERS, User, containers, world

CONFIG = """\
Host *
  IdentityFile {place}/key
  IdentitiesOnly yes
  UserKnownHostsFile {place}/known_hosts
  StrictHostKeyChecking yes
  LogLevel ERROR
"""


@dataclasses.dataclass(frozen=True)
class Stack:
    """What a server is to have.

    Attributes:
        base: its base path; uid, gid: of the apps; services: all of them; behind: those in gluetun's
        network; published: service → {(address, port of the host)}; answers: port → path of the apps that answer
        anybody with 200.
    """

    project: str
    base: str
    uid: int
    gid: int
    services: frozenset
    behind: frozenset
    published: dict
    answers: dict
    prefix: str = ""


CELLAR, SHED = SERVERS["cellar"].address, SERVERS["shed"].address
STACKS = {
    "cellar": Stack(
        "cellar", "/srv/mediastack", 1000, 1000,
        frozenset({"gluetun", "prowlarr", "qbittorrent"}), frozenset({"qbittorrent"}),
        {"gluetun": {(CELLAR, 8080), ("127.0.0.1", 8000)}, "prowlarr": {(CELLAR, 9696)}}, {9696: "/ping", 8080: "/"},
    ),
    "attic": Stack(
        "attic", "/volume1/mediastack", 1201, 1301,
        frozenset({"gluetun", "lidarr", "prowlarr", "sabnzbd"}), frozenset({"sabnzbd"}),
        {
            "gluetun": {("0.0.0.0", 18081), ("127.0.0.1", 18000)},
            "prowlarr": {("0.0.0.0", 19696)},
            "lidarr": {("0.0.0.0", 18686)},
        },
        {19696: "/ping", 18686: "/ping"}, "attic-",
    ),
    "shed": Stack(
        "homelab-mediastack", "/home/media/mediastack", 2001, 2002,
        frozenset({"jellyfin", "prowlarr", "qbittorrent"}), frozenset(),
        {
            "jellyfin": {("127.0.0.1", 28096), (SHED, 28096)},
            "prowlarr": {("127.0.0.1", 29696), (SHED, 29696)},
            "qbittorrent": {(address, port) for address in ("127.0.0.1", SHED) for port in (28080, 6881)},
        },
        {29696: "/ping", 28096: "/health", 28080: "/"},
    ),
}  # fmt: skip
PAIRS = [(name, service) for name, stack in STACKS.items() for service in sorted(stack.services)]


@pytest.fixture(scope="module")
def hosts():
    """name → the server, reached by ssh as root."""
    config = world.PLACE / "ssh_config"
    config.write_text(CONFIG.format(place=world.PLACE), encoding="utf-8")
    return {
        name: testinfra.get_host(f"ssh://root@{server.address}:{server.ssh_port}", ssh_config=str(config))
        for name, server in SERVERS.items()
    }


@pytest.fixture(params=sorted(STACKS))
def name(request):
    """The name of each server in turn."""
    return request.param


def inspected(host, container):
    """``docker inspect`` of one container."""
    return json.loads(host.check_output("docker inspect %s", container))[0]


def test_it_is_the_system_it_is_said_to_be(hosts, name):
    server = SERVERS[name]
    release = hosts[name].check_output("cat /etc/os-release")
    assert f"VERSION_CODENAME={server.suite}" in release
    assert hosts[name].check_output("docker version --format {{.Server.Version}}").startswith(server.engine)
    assert hosts[name].check_output("python3 --version").startswith(f"Python {server.python}.")
    compose = server.compose or "2.26.1"
    assert hosts[name].check_output("docker compose version --short").startswith(compose)


def test_modules_ran_with_the_python_of_the_server():
    done = User().play("site", "-vvv", "--check")
    for name, server in SERVERS.items():
        found = hosts_pythons(done.stdout, server.address)
        assert found == {f"/usr/bin/python{server.python}"} or found == {"/usr/bin/python3"}, (name, found)


def hosts_pythons(said, address):
    """The programs that a run with -vvv handed its modules to, on one server."""
    lines = [line for line in said.splitlines() if line.startswith(f"<{address}>") and "EXEC ssh" in line]
    return {word.strip("'\"\\") for line in lines for word in line.split() if "/python" in word and "/bin/" in word}


def test_nothing_but_what_it_is_to_have_runs(hosts, name):
    listed = hosts[name].check_output("docker ps --all --format '{{.Names}} {{.State}}'")
    assert set(listed.splitlines()) == {f"{STACKS[name].prefix}{service} running" for service in STACKS[name].services}
    projects = hosts[name].check_output("docker ps --all --format '{{.Label \"com.docker.compose.project\"}}'")
    assert set(projects.split()) == {STACKS[name].project}


@pytest.mark.parametrize(("name", "service"), PAIRS)
def test_a_service_is_healthy(hosts, name, service):
    state = inspected(hosts[name], STACKS[name].prefix + service)["State"]
    assert (state["Status"], state["Health"]["Status"]) == ("running", "healthy")


def test_ports_are_published_at_the_addresses_of_the_inventory_only(hosts, name):
    found = {}
    for service in STACKS[name].services:
        ports = inspected(hosts[name], STACKS[name].prefix + service)["NetworkSettings"]["Ports"] or {}
        bound = {(one["HostIp"], int(one["HostPort"])) for bindings in ports.values() for one in bindings or []}
        if bound:
            found[service] = bound
    assert found == STACKS[name].published


def test_apps_answer_at_their_ports(name):
    for port, path in STACKS[name].answers.items():
        with urllib.request.urlopen(f"http://{SERVERS[name].address}:{port}{path}", timeout=10) as answer:
            assert answer.status == 200
    # What is bound to loopback there is nobody's here.
    if name == "cellar":
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"http://{SERVERS[name].address}:8000/", timeout=5)


@pytest.mark.parametrize(("name", "service"), [pair for pair in PAIRS if pair[1] != "gluetun"])
def test_an_app_runs_as_the_user_of_its_server(hosts, name, service):
    stack = STACKS[name]
    listed = hosts[name].check_output("docker top %s -o pid,uid,gid", stack.prefix + service).splitlines()[1:]
    users, groups = ({int(line.split()[column]) for line in listed} - {0} for column in (1, 2))
    assert (users, groups) == ({stack.uid}, {stack.gid})
    config = hosts[name].file(f"{stack.base}/config/{service}")
    assert (config.uid, config.gid) == (stack.uid, stack.gid)


def test_secrets_are_for_root_and_the_apps_own_user_only(hosts, name):
    base = f"{STACKS[name].base}/compose"
    kept = hosts[name].file(f"{base}/.mediastack")
    assert (kept.is_directory, kept.mode, kept.uid) == (True, 0o700, 0)
    assert hosts[name].file(f"{base}/.env").mode & 0o077 == 0
    open_to_others = hosts[name].check_output("find %s/.mediastack -type f -perm /077", base)
    assert open_to_others == ""
    secrets = hosts[name].check_output("find %s -path '*secret*' -type f -perm /007", base)
    assert secrets == ""


def test_downloaders_share_gluetuns_network_where_there_is_a_vpn(hosts, name):
    stack = STACKS[name]
    found = {service: inspected(hosts[name], stack.prefix + service) for service in stack.services}

    paths = " ".join(f"/proc/{one['State']['Pid']}/ns/net" for one in found.values())
    spaces = dict(zip(found, hosts[name].check_output(f"readlink {paths}").split(), strict=True))
    shared = set()
    if "gluetun" in found:
        shared = {one for one in stack.services - {"gluetun"} if spaces[one] == spaces["gluetun"]}
        assert {found[one]["HostConfig"]["NetworkMode"] for one in stack.behind} == {
            f"container:{found['gluetun']['Id']}"
        }
    assert shared == stack.behind
    # No stand-in's tunnel goes anywhere: whoever is behind it reaches nobody, and everybody else does.
    for service in stack.services - {"gluetun"}:
        pid = str(found[service]["State"]["Pid"])
        reached = hosts[name].run("nsenter -n -t %s timeout 5 bash -c %s", pid, f": >/dev/tcp/{SHED}/28096").rc == 0
        assert reached == (service not in stack.behind), service


def test_there_is_no_gluetun_where_the_vpn_is_off(hosts):
    assert "gluetun" not in hosts["shed"].check_output("docker ps --all --format {{.Image}}")
    assert "gluetun" not in hosts["shed"].check_output("cat /home/media/mediastack/compose/compose.*.yml")
    assert containers("shed")["qbittorrent"]["HostConfig"]["NetworkMode"].startswith("homelab-mediastack")


def test_plain_docker_compose_works_on_the_result(hosts, name):
    listed = hosts[name].check_output("cd %s/compose && docker compose ps --services", STACKS[name].base)
    assert set(listed.split()) == STACKS[name].services
