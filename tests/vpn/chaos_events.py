# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What happens to a VPN stack: each event, and who puts the apps back on the network after it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from world_plan import docker, run
from world_stack import APPS

ITSELF, REPAIR, SITE, VERBS = "itself", "mediastack-repair", "site", "its verb"


@dataclasses.dataclass(frozen=True)
class Event:
    """What happens (`name`, `act`), and what brings the network back (`back`)."""

    name: str
    act: Callable[[Any], None]
    back: str = ITSELF


class Chaos:
    """A WorldStack to which things happen."""

    def __init__(self, world, stack, watch):
        """Take the world, its stack and the watch over it."""
        self.world, self.stack, self.watch = world, stack, watch
        self.gluetun = stack.container("gluetun")
        self.number = 0

    def tried(self, times=10):
        """Wait until somebody in each network that an app is in has tried to get out so often more."""
        before = {inode: space.tries for inode, space in self.watch.spaces.items()}
        where = set(self.watch.seen[-1][1].values())
        spaces = [(space, before[inode] + times) for inode, space in self.watch.spaces.items() if inode in where]
        self.world.wait(lambda: all(space.tries >= wanted for space, wanted in spaces), 60, "the apps try to get out")

    def control(self, path, status):
        """Ask the control server of gluetun for a state, as vpn_stop and vpn_start do."""
        key = {"X-API-Key": self.stack.secret("gluetun_control_key")}
        answer = self.world.control(self.gluetun, "PUT", path, {"status": status}, key)
        assert answer[0] == 200, answer

    def in_gluetun(self, *command):
        """Run a command in gluetun's container."""
        docker("exec", self.gluetun, *command)

    def override(self, **gluetun):
        """Change gluetun's definition in the inventory; a map is added to, anything else replaced."""
        overrides = copy.deepcopy(self.stack.variables["mediastack_overrides"])
        for name, value in gluetun.items():
            present = overrides["gluetun"].get(name)
            overrides["gluetun"][name] = {**present, **value} if isinstance(present, dict) else value
        self.stack.set(mediastack_overrides=overrides)

    def id_of(self, service):
        """Return the id of a service's container, "" while there is none."""
        return run(
            "docker", "inspect", "--format", "{{.Id}}", self.stack.container(service), check=False
        ).stdout.strip()

    def next(self):
        """Return a number that was not used before."""
        self.number += 1
        return self.number


# -- the tunnel and the provider --------------------------------------------------------------------------------------


def vpn_status(chaos):
    """Stopped and started by the control server."""
    chaos.control("/v1/vpn/status", "stopped")
    chaos.tried()
    chaos.control("/v1/vpn/status", "running")


def device_down(chaos):
    """The interface goes down under gluetun."""
    chaos.in_gluetun("ip", "link", "set", "tun0", "down")
    chaos.tried()


def device_gone(chaos):
    """What makes the device ends."""
    with contextlib.suppress(Exception):
        chaos.in_gluetun("pkill", "-KILL", "-x", "openvpn|wireguard-go")
    chaos.tried()


def route_gone(chaos):
    """The rule that leads into the tunnel goes, the device and its connections stay: gluetun's own moment, held."""
    chaos.in_gluetun("ip", "rule", "delete", "priority", "101")
    chaos.tried(40)
    chaos.control("/v1/vpn/status", "stopped")
    chaos.control("/v1/vpn/status", "running")


def provider_blinks(chaos):
    """Away for less than a check, and back as it was."""
    chaos.world.provider_down()
    chaos.tried()
    chaos.world.provider_up()


def provider_moves(chaos):
    """Back with another exit address; connections are lost."""
    chaos.world.provider_down()
    chaos.tried()
    chaos.world.provider_up(1 + chaos.next() % 9)


def provider_away(chaos):
    """Away until gluetun has noticed and started anew, then back with another address."""
    key = {"X-API-Key": chaos.stack.secret("gluetun_api_key")}
    nothing = {"public_ip": ""}
    chaos.world.provider_down()
    told = ("GET", "/v1/publicip/ip", None, key)
    chaos.world.wait(lambda: chaos.world.control(chaos.gluetun, *told)[1] == nothing, 60, "it is noticed")
    chaos.tried(20)
    chaos.world.provider_up(1 + chaos.next() % 9)


def port_moves(chaos):
    """The provider forwards another port."""
    chaos.world.forward_port(41000 + chaos.next())
    chaos.tried()


# -- gluetun's container ----------------------------------------------------------------------------------------------


def restart(chaos):
    """`docker restart` of gluetun."""
    docker("restart", "--time", "2", chaos.gluetun)
    chaos.tried()


def kill(chaos):
    """`docker kill` of gluetun: the engine leaves it down."""
    docker("kill", chaos.gluetun)
    chaos.tried()


def crash(chaos):
    """gluetun's process is killed: the engine starts the container again at once."""
    before = chaos.stack.places()["gluetun"]
    os.kill(before[0], signal.SIGKILL)
    chaos.world.wait(lambda: chaos.stack.places().get("gluetun", before) != before, 30, "the engine starts it")
    chaos.tried()


def removed(chaos):
    """`docker rm -f` of gluetun."""
    docker("rm", "--force", chaos.gluetun)
    chaos.tried()


def stop_and_start(chaos):
    """`docker stop`, `docker start` of gluetun."""
    docker("stop", "--time", "2", chaos.gluetun)
    docker("start", chaos.gluetun)
    chaos.tried()


def paused(chaos):
    """`docker pause` of gluetun, then `docker unpause`."""
    docker("pause", chaos.gluetun)
    chaos.tried()
    docker("unpause", chaos.gluetun)


def unplugged(chaos):
    """`docker network disconnect`, then connect: the interface has another name, and gluetun has to start anew."""
    name = chaos.stack.network
    docker("network", "disconnect", "--force", name, chaos.gluetun)
    chaos.tried()
    docker("network", "connect", "--alias", "gluetun", name, chaos.gluetun)
    chaos.tried()
    chaos.stack.play("restart", "-e", "service=gluetun")


# -- the apps ---------------------------------------------------------------------------------------------------------


def app_killed(chaos):
    """`docker kill` of an app."""
    docker("kill", chaos.stack.container("qbittorrent"))
    chaos.tried()


def app_first(chaos):
    """`docker restart` of the apps, then of gluetun."""
    docker("restart", "--time", "2", *(chaos.stack.container(app) for app in APPS))
    docker("restart", "--time", "2", chaos.gluetun)
    chaos.tried()


def all_at_once(chaos):
    """`docker restart` of gluetun and of every app at the same moment, in no order."""
    names, quiet = [chaos.stack.container(service) for service in (*APPS, "gluetun")], subprocess.DEVNULL
    command = ["docker", "restart", "--time", "2"]
    running = [subprocess.Popen([*command, name], stdout=quiet, stderr=quiet) for name in names]
    for process in running:
        process.wait(timeout=60)  # an app that cannot join a network that is gone says so; it is what happens


# -- runs of the collection -------------------------------------------------------------------------------------------


def verbs(chaos):
    """vpn_stop and vpn_start."""
    chaos.stack.play("vpn_stop")
    chaos.tried()
    chaos.stack.play("vpn_start")


def verb_restart(chaos):
    """restart -e service=gluetun."""
    chaos.stack.play("restart", "-e", "service=gluetun")


def new_image(chaos):
    """The inventory names another image of gluetun."""
    image = f"mediastack-lab/gluetun-{os.getpid()}-{chaos.next()}:v3.41.3"
    container = docker("create", chaos.stack.containers()["gluetun"]["Config"]["Image"])
    try:
        docker("commit", "--change", f"LABEL mediastack.lab.chaos={chaos.number}", container, image)
    finally:
        docker("rm", container)
    chaos.world.closing.callback(run, "docker", "image", "rm", "--force", image, check=False)
    chaos.override(image=image)


def new_settings(chaos):
    """A setting of gluetun is another one."""
    chaos.override(environment={"LAB_NOTE": str(chaos.next())})


def new_app_settings(chaos):
    """A setting of every app is another one."""
    overrides = copy.deepcopy(chaos.stack.variables["mediastack_overrides"])
    for app in APPS:
        overrides[app] = {"environment": {"LAB_NOTE": str(chaos.next())}}
    chaos.stack.set(mediastack_overrides=overrides)


def killed_run(chaos):
    """`site` is killed (SIGKILL, with all its processes) while it makes gluetun anew."""
    new_settings(chaos)
    before = chaos.id_of("gluetun")
    process = chaos.stack.start("site")
    try:
        chaos.world.wait(lambda: chaos.id_of("gluetun") != before, 120, "site touches gluetun")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    chaos.tried()


# -- beside the tunnel ------------------------------------------------------------------------------------------------


def ipv6_network(chaos):
    """gluetun gets a network with global IPv6 addresses, which the host routes to the internet."""
    network = chaos.world.network("with", ipv6=True)
    docker("network", "connect", network, chaos.gluetun)
    try:
        chaos.tried(20)
    finally:
        docker("network", "disconnect", "--force", network, chaos.gluetun)


def other_dns(chaos):
    """The apps' resolv.conf names a public resolver past gluetun."""
    for service in ("gluetun", *APPS):
        text = f"nameserver {chaos.world.resolver}\n"
        command = ["docker", "exec", "--interactive", "--user", "root", chaos.stack.container(service)]
        run(*command, "sh", "-c", "cat > /etc/resolv.conf", stdin=text)
    chaos.tried(20)
    for service in ("gluetun", *APPS):
        command = ["docker", "exec", "--interactive", "--user", "root", chaos.stack.container(service)]
        run(*command, "sh", "-c", "cat > /etc/resolv.conf", stdin="nameserver 127.0.0.1\n")


WIREGUARD = (
    Event("VPN stopped and started by the control server", vpn_status),
    Event("tunnel interface down", device_down),
    Event("the route into the tunnel gone, its connections alive", route_gone),
    Event("WireGuard's process killed", device_gone),
    Event("provider gone for a moment", provider_blinks),
    Event("provider back with another address", provider_moves),
    Event("provider gone until gluetun gives up, back with another address", provider_away),
    Event("forwarded port changes", port_moves),
    Event("`docker restart` of gluetun", restart, REPAIR),
    Event("`docker kill` of gluetun", kill, SITE),
    Event("gluetun crashes, the engine restarts it", crash, REPAIR),
    Event("`docker rm -f` of gluetun", removed, REPAIR),
    Event("`docker stop`, `docker start` of gluetun", stop_and_start, SITE),
    Event("`docker pause`, `docker unpause` of gluetun", paused),
    Event("gluetun unplugged from its Docker network and back", unplugged, VERBS),
    Event("`docker kill` of an app", app_killed, SITE),
    Event("`docker restart` of the apps, then of gluetun", app_first, REPAIR),
    Event("`docker restart` of all at once", all_at_once, REPAIR),
    Event("`vpn_stop`, `vpn_start`", verbs, VERBS),
    Event("`restart` of gluetun", verb_restart, VERBS),
    Event("another image of gluetun", new_image, SITE),
    Event("another setting of gluetun", new_settings, SITE),
    Event("another setting of every app", new_app_settings, SITE),
    Event("`site` killed while it makes gluetun anew", killed_run, SITE),
    Event("a network with IPv6 for gluetun", ipv6_network),
    Event("the apps' resolv.conf names another resolver", other_dns),
)
OPENVPN = (
    Event("VPN stopped and started by the control server", vpn_status),
    Event("openvpn killed", device_gone),
    Event("provider gone until gluetun gives up, back with another address", provider_away),
    Event("`docker restart` of gluetun", restart, REPAIR),
    Event("`docker rm -f` of gluetun", removed, SITE),
)
#: What `make test` runs of it.
SHORT = (vpn_status, device_down, device_gone, route_gone, restart, removed)

__all__ = ["ITSELF", "OPENVPN", "REPAIR", "SHORT", "SITE", "VERBS", "WIREGUARD", "Chaos", "Event"]
