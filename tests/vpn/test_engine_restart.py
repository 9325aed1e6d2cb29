# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine ends, or the whole server: nothing leaves beside the tunnel, and the unit puts the apps back.

The server is a nested host that systemd boots, with an engine of its own. Its only way out is a network of the world,
which is captured: what its engine translates to the server's own address is counted there.
"""

from __future__ import annotations

import pathlib
import time

import pytest
import systemd_host
from chaos_events import ITSELF, Event
from chaos_proof import Proof
from world_plan import docker, run
from world_stack import APPS, WorldStack
from world_watch import Watch

pytestmark = pytest.mark.full
UNIT = "its unit at the start of the engine"


class NestedStack(WorldStack):
    """A stack on a nested host."""

    def __init__(self, world, directory, host):
        """Write the inventory. host: the Nested."""
        self.host = host
        server = {"ansible_connection": "community.docker.docker", "ansible_host": host.name}
        server |= {"ansible_python_interpreter": "/usr/bin/python3", "mediastack_boot_repair": True}
        super().__init__(world, directory, mediastack_base_path="/srv/mediastack", **server)
        self.base = pathlib.Path("/srv/mediastack")
        self.project_path = self.base / "compose"

    def docker(self, *words):
        """Run docker on the nested host."""
        return docker("exec", self.host.name, "docker", *words)

    @property
    def root(self):
        """The nested host's files, by way of its first process."""
        pid = docker("inspect", "--format", "{{.State.Pid}}", self.host.name)
        return pathlib.Path("/proc") / pid / "root"

    def remove(self):
        """It goes with its host."""


@pytest.fixture(scope="module")
def proof(world, tmp_path_factory):
    """A stack on a server that has just been set up."""
    options = ["--network", world.network("server"), "--device", "/dev/net/tun"]
    with systemd_host.host(f"{world.prefix}-server", *options) as host:
        stack = NestedStack(world, tmp_path_factory.mktemp("server"), host)
        images = [
            image for image in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split() if wanted(image)
        ]
        host.load(*images)
        stack.play("site", timeout=580)
        with world.capture(world.network("server")) as capture, Watch(world, stack) as watch:
            stack.download()
            made = Proof("engine", world, stack, watch, capture)
            made.settled(time.time())
            yield made


def wanted(image):
    """Whether an image is one of the stack's, by the name that the catalogue gives it."""
    name = image.partition(":")[0]
    return name == "qmcgaw/gluetun" or name in {f"lscr.io/linuxserver/{app}" for app in APPS}


def restarted(chaos):
    """`systemctl restart docker`."""
    chaos.stack.host.sh("systemctl restart docker.service")


def power_cut(chaos):
    """Everything on the server ends at once, nothing in order; then it is switched on again."""
    run("docker", "kill", chaos.stack.host.name)
    run("docker", "start", chaos.stack.host.name)


def other_dns(chaos):
    """The server gets another resolver, one that the internet has, and its engine restarts."""
    chaos.stack.host.sh(
        f"echo nameserver {chaos.world.resolver} > /etc/resolv.conf && systemctl restart docker.service"
    )


@pytest.mark.parametrize(
    "event",
    [
        Event("`systemctl restart docker`", restarted, UNIT),
        Event("the server's DNS changes, its engine restarts", other_dns, UNIT),
        Event("power cut of the server", power_cut, UNIT),
        Event("a second power cut", power_cut, UNIT),
    ],
    ids=lambda event: event.act.__name__,
)
def test_nothing_leaves_while_the_engine_starts_everything_at_once(proof, event):
    assert event.back != ITSELF
    proof.happen(event)
