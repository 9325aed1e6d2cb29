# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""leak_test in the world: through a real tunnel, and on apps that leak, by IPv6 too.

What is shown is shown of the lab's gluetun, a stand-in with gluetun's rules.
"""

import itertools
import pathlib
import shutil
import tempfile
import time

import pytest
from world_plan import docker, run

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_around, leak_run, leak_space, vpn_verbs
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import CONTROL_KEY, READ_KEY

NUMBER = itertools.count(1)
ALWAYS = ("namespace", "route", "public_ip", "dns", "ipv6", "bypass")


class Stack:
    """A project of the world's containers, as Compose labels them."""

    def __init__(self, world, kind="wireguard", ipv6=False, both=False):
        """`ipv6`: the Docker network has it; `both`: so have gluetun and its tunnel."""
        self.world, self.name = world, f"{world.prefix}-leak{next(NUMBER)}"
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/var/tmp"))
        (self.path / ".mediastack").mkdir(mode=0o700)
        self.network = world.network(f"leak{self.name[-1]}", ipv6=ipv6)
        options = self.labels("gluetun")
        self.gluetun = world.gluetun(
            kind, name=f"{self.name}-gluetun", network=self.network, options=options, ipv6=both
        )
        self.names = ["gluetun"]

    def labels(self, service):
        compose = {"project": self.name, "service": service, "project.working_dir": self.path, "oneoff": "False"}
        return [word for key, value in compose.items() for word in ("--label", f"com.docker.compose.{key}={value}")]

    def app(self, service, network=None, options=()):
        self.names.append(service)
        words = [*self.labels(service), *options]
        return self.world.container(f"{self.name}-{service}", network or f"container:{self.gluetun}", options=words)

    def test(self, **more):
        test = leak_run.Test(
            echo=f"http://{self.world.echo_address}/",
            tracker=self.world.tracker_url,
            **{"timeout": 2.0, "public_dns": [self.world.resolver], **more},
        )
        ask = vpn_verbs.Ask(
            state="status",
            project_name=self.name,
            project_path=str(self.path),
            members=[name for name in self.names if name != "gluetun"],
            keys={READ_KEY: "reads", CONTROL_KEY: "controls"},
            wait_timeout=60,
            lock_timeout=5,
        )
        verb = leak_run.LeakTest(ask, test, Docker())
        verb.run()
        return verb.result()

    def clean(self):
        for name in self.names:
            run("docker", "rm", "--force", "--volumes", f"{self.world.prefix}-{self.name}-{name}")
        shutil.rmtree(self.path, ignore_errors=True)


@pytest.fixture
def stacks(world, monkeypatch, tmp_path):
    """Makes Stacks. The host's resolver is the world's."""
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver {world.resolver}\n")
    monkeypatch.setattr(leak_around, "RESOLV_CONFS", (str(conf),))
    made = []

    def make(**kind):
        made.append(Stack(world, **kind))
        return made[-1]

    yield make
    for stack in made:
        stack.clean()


def states(result, app):
    return {row["check"]: row["state"] for row in result["checks"] if row["app"] == app}


def evidence(result, app, check):
    return next(row["evidence"] for row in result["checks"] if (row["app"], row["check"]) == (app, check))


@pytest.mark.parametrize("kind", ["wireguard", pytest.param("openvpn", marks=pytest.mark.full)])
def test_a_sound_stack_passes_through_a_real_tunnel(world, stacks, kind):
    stack = stacks(kind=kind)
    stack.app("qbittorrent")
    before = len(world.direct.leaks())
    result = stack.test(kill_switch=True, capture=5)
    assert result["passed"], [row for row in result["checks"] if row["state"] != "passed"]
    assert set(states(result, "qbittorrent")) == {*ALWAYS, "kill_switch", "capture"}
    assert evidence(result, "qbittorrent", "public_ip") == f"{world.exit_address}, as gluetun says, and not the host's"
    assert result["messages"] == [leak_run.STAND_IN]
    world.wait_connected(stack.gluetun)
    # The host asked the echo for its own address, in one connection; nothing else went that way.
    direct = {(packet.destination, packet.source_port) for packet in world.direct.leaks()[before:]}
    assert [address for address, _port in direct] == [world.echo_address]


def test_without_root_the_tools_of_gluetuns_image_look(world, stacks, monkeypatch):
    def refuse(_container):
        raise leak_space.SpaceError("only root may enter a network namespace (become: true)")

    stack = stacks()
    stack.app("qbittorrent")
    stack.app("sabnzbd", stack.network, ("--dns", world.resolver))
    # The real image has busybox's.
    for tool in ("nslookup", "ping"):
        docker("exec", stack.gluetun, "ln", "-sf", "/bin/busybox", f"/usr/local/bin/{tool}")
    monkeypatch.setattr(leak_space, "of", refuse)
    result = stack.test(kill_switch=True)
    assert states(result, "qbittorrent") == {**dict.fromkeys(ALWAYS, "passed"), "kill_switch": "inconclusive"}, result
    assert "(become: true)" in evidence(result, "qbittorrent", "kill_switch")
    others = dict.fromkeys([*ALWAYS[1:], "kill_switch"], "inconclusive")
    assert states(result, "sabnzbd") == {"namespace": "failed", **others}
    assert result["leaking"] == ["sabnzbd"]


def test_a_leaky_app_is_caught_by_ipv6_too(world, stacks):
    stack = stacks(ipv6=True)
    stack.app("qbittorrent")
    stack.app("sabnzbd", stack.network, ("--dns", world.resolver))
    result = stack.test(capture=3, public_dns=[world.resolver, world.resolver6])
    assert set(states(result, "qbittorrent").values()) == {"passed"}, result["checks"]
    assert states(result, "sabnzbd") == {
        **dict.fromkeys([*ALWAYS, "capture"], "failed"),
    }, result["checks"]
    assert result["leaking"] == ["sabnzbd"]
    assert "gets out by eth0" in evidence(result, "sabnzbd", "ipv6")
    assert evidence(result, "sabnzbd", "public_ip") == "it is seen at the host's own public address"


def test_what_asks_for_the_bridge_is_stopped_by_the_firewall_and_by_nothing_else(world, stacks):
    """By IPv6 as well, and with gluetun's own mark; the route leads through the tunnel all the time."""
    stack = stacks(ipv6=True, both=True)
    stack.app("qbittorrent")
    asked = {"public_dns": [world.resolver, world.resolver6]}
    before = len(world.direct.leaks())
    sound = stack.test(**asked)
    assert states(sound, "qbittorrent") == {**dict.fromkeys(ALWAYS, "passed"), "ipv6": "failed"}, sound["checks"]
    assert sound["leaking"] == []
    assert "marked as gluetun's own: the firewall drops it" in evidence(sound, "qbittorrent", "bypass")
    direct = {packet.destination for packet in world.direct.leaks()[before:]}
    assert direct == {world.echo_address}, "the host asked for its own address, and nobody else went that way"
    began = time.time()
    docker("exec", stack.gluetun, "nft", "flush", "ruleset")
    open_ = stack.test(**asked)
    assert states(open_, "qbittorrent") == {
        **dict.fromkeys(ALWAYS, "passed"),
        **dict.fromkeys(["ipv6", "bypass"], "failed"),
    }
    assert open_["leaking"] == ["qbittorrent"]
    assert "gets out bound to eth0" in evidence(open_, "qbittorrent", "bypass")
    # By both families.
    sources = {entry["source"] for entry in world.dns_queries(began)}
    assert world.host_address in sources and any(source.startswith(world.plan.prefix6) for source in sources)
