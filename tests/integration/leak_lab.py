# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stack for leak tests: a container that plays gluetun with its rules, apps, and an internet of its own.

::

    app ─ gluetun ── tun0 ─────────── internet    it sees the exit address
              └── eth0 ─ bridge ─ host ──┘        a leak: it sees the host's address

The tunnel is a pair of virtual interfaces, so what is shown here is shown on a stand-in with gluetun's rules. The
addresses are of 198.18.0.0/15, which no network uses; nothing leaves this machine.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

from compose_stack_lab import Lab, docker

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_run, vpn_verbs
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import CONTROL_KEY, READ_KEY

SERVERS = pathlib.Path(__file__).with_name("leak_lab_servers.py")
NAME = "echo.example"


def run(*command, check=True):
    """Output of a command."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.stderr}")
    return done.stdout


class LeakLab:
    """One stack and its internet.

    `apps`: names of the contained apps; `leaky`: those put on the bridge instead; `like`: name → more of its Compose
    definition, for gluetun too.
    """

    def __init__(self, apps=("qbittorrent",), leaky=(), kill_switch=True, home_resolver=False, publish=0, like=None):
        slot = os.getpid() % 250
        net = f"198.18.{slot}"
        self.lab = Lab()
        self.host, self.echo, self.home = f"{net}.1", f"{net}.2", f"{net}.66"
        self.exit, self.far = f"{net}.130", f"{net}.129"
        self.apps, self.kill_switch, self.home_resolver = apps, kill_switch, home_resolver
        self.processes, self.interfaces = [], []
        environment = {"WIREGUARD_ENDPOINT_IP": self.far, "WIREGUARD_ENDPOINT_PORT": "51820"}
        if home_resolver:
            environment["FIREWALL_OUTBOUND_SUBNETS"] = f"{net}.64/26"
        self.subnet = f"{net}.64/26"
        like = dict(like or {})
        environment.update(like.pop("gluetun", {}).get("environment", {}))
        ports = [f"127.0.0.1:{publish or ''}:8000"]
        self.lab.add("gluetun", environment=environment, ports=ports, sysctls={"net.ipv6.conf.all.disable_ipv6": 1})
        for name in apps:
            # With a resolver of the lab, so that Docker's own asks no stranger.
            more = {"dns": [self.echo]} if name in leaky else {"behind": "gluetun"}
            self.lab.add(name, **{**more, **like.get(name, {})})

    @property
    def path(self):
        """The project directory."""
        return self.lab.path

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error):
        for process in self.processes:
            process.kill()
            process.wait()
        docker("rm", "-f", f"{self.lab.name}-internet", check=False)
        for name in self.interfaces:
            run("ip", "link", "del", name, check=False)
        self.lab.clean()

    def _make(self):
        self.lab.write_plain()
        (self.path / ".mediastack").mkdir(mode=0o700)
        image = self.lab.services["gluetun"]["image"]
        docker("run", "-d", "--network", "none", "--name", f"{self.lab.name}-internet", image, "sleep", "100000")
        docker("compose", "--project-directory", self.path, "up", "-d", timeout=120)
        self.internet = self.pid_of(f"{self.lab.name}-internet")
        self.gluetun = self.pid_of(self.lab.one("gluetun")["Name"].lstrip("/"))
        self._wire()
        self._serve(self.internet, "internet", echo=self.echo, addresses=[self.echo, self.home])
        self._firewall()
        self._serve(
            self.gluetun,
            "gluetun",
            exit=self.exit,
            upstream=self.echo,
            up=[
                ["ip", "link", "set", "tun0", "up"],
                ["ip", "route", "add", "default", "dev", "tun0", "via", self.far, "table", "51820"],
                *([["ip", "route", "add", self.subnet, "via", self.gateway, "table", "51820"]] * self.home_resolver),
            ],
            down=[["ip", "link", "set", "tun0", "down"]],
        )
        pathlib.Path("/proc", str(self.gluetun), "root", "etc", "resolv.conf").write_text("nameserver 127.0.0.1\n")

    def pid_of(self, name):
        """The process of a container."""
        return int(docker("inspect", "-f", "{{.State.Pid}}", name))

    def inside(self, pid, *command, check=True):
        """Run a program of this machine in the network namespace of a process."""
        return run("nsenter", f"--net=/proc/{pid}/ns/net", *command, check=check)

    def _wire(self):
        slot = f"{os.getpid() % 100000}"
        direct, far, near, other = (f"lk{letter}{slot}" for letter in "dftn")
        self.interfaces += [direct, near]
        # The host's own way to the internet.
        run("ip", "link", "add", direct, "type", "veth", "peer", "name", far)
        run("ip", "link", "set", far, "netns", self.internet)
        run("ip", "addr", "add", f"{self.host}/25", "dev", direct)
        run("ip", "link", "set", direct, "up")
        for address in (f"{self.echo}/25", f"{self.home}/25"):
            self.inside(self.internet, "ip", "addr", "add", address, "dev", far)
        self.inside(self.internet, "ip", "link", "set", far, "up")
        # The tunnel.
        run("ip", "link", "add", near, "type", "veth", "peer", "name", other)
        run("ip", "link", "set", other, "netns", self.internet)
        self.inside(self.internet, "ip", "addr", "add", f"{self.far}/25", "dev", other)
        self.inside(self.internet, "ip", "link", "set", other, "up")
        run("ip", "link", "set", near, "netns", self.gluetun)
        self.inside(self.gluetun, "ip", "link", "set", near, "name", "tun0")
        self.inside(self.gluetun, "ip", "addr", "add", f"{self.exit}/25", "dev", "tun0")
        network = next(iter(self.lab.one("gluetun")["NetworkSettings"]["Networks"].values()))
        self.gateway = network["Gateway"]
        # As gluetun's WireGuard does: everything by a table of its own, the main table keeps eth0.
        self.inside(
            self.gluetun, "ip", "rule", "add", "prio", "98", "to", f"{network['IPAddress']}/16", "lookup", "main"
        )
        self.inside(self.gluetun, "ip", "route", "add", "default", "via", self.gateway, "table", "200")
        self.inside(self.gluetun, "ip", "rule", "add", "prio", "100", "from", network["IPAddress"], "lookup", "200")
        self.inside(self.gluetun, "ip", "rule", "add", "prio", "101", "not", "fwmark", "0xca6c", "lookup", "51820")

    def _firewall(self):
        """gluetun's rules (internal/firewall), without the one for the VPN server: there is none to talk to."""
        if not self.kill_switch:
            return
        address = next(iter(self.lab.one("gluetun")["NetworkSettings"]["Networks"].values()))["IPAddress"]
        for rule in (
            "-A OUTPUT -o lo -j ACCEPT",
            "-A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            "-A OUTPUT -o tun0 -j ACCEPT",
            f"-A OUTPUT -o eth0 -s {address} -d {address}/16 -j ACCEPT",
            *([f"-A OUTPUT -o eth0 -d {self.subnet} -j ACCEPT"] * self.home_resolver),
            "-P OUTPUT DROP",
        ):
            self.inside(self.gluetun, "iptables", *rule.split())

    def _serve(self, pid, what, **config):
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, SERVERS, what, json.dumps(config)]
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout.readline() == "ready\n"

    def drip(self, pid, device, source, target):
        """Send datagrams by an interface from an address, to port 6881, until the lab ends."""
        code = (
            "import socket, sys, time\n"
            "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "sock.setsockopt(socket.SOL_SOCKET, 25, sys.argv[1].encode())\n"
            "sock.bind((sys.argv[2], 0))\n"
            "while True:\n    sock.sendto(b'x', (sys.argv[3], 6881))\n    time.sleep(0.05)\n"
        )
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", code, device, source, target]
        self.processes.append(subprocess.Popen(command))

    # Testing

    def request(self, **more):
        """(Ask, Test) of a leak test of this stack."""
        names = ("kill_switch", "capture", "stop_leaking", "show_host_ip", "resolvers", "echo")
        test = leak_run.Test(
            **{
                "echo": f"http://{NAME}/ip",
                "tracker": f"udp://{self.echo}:6969",
                "public_dns": [self.echo],
                "timeout": 1.0,
                **{name: more.pop(name) for name in names if name in more},
            }
        )
        ask = vpn_verbs.Ask(
            **{
                "state": "status",
                "project_name": self.lab.name,
                "project_path": str(self.path),
                "members": self.apps,
                "keys": {READ_KEY: "reads", CONTROL_KEY: "controls"},
                "who": "anna@laptop",
                "why": "leak_test on_leak=stop",
                "wait_timeout": 20,
                "lock_timeout": 5,
                **more,
            }
        )
        return ask, test

    def test(self, **more):
        """The result of a leak test, with `rows`: {(app, check): row}."""
        verb = leak_run.LeakTest(*self.request(**more), Docker())
        verb.run()
        result = verb.result()
        result["rows"] = {(row["app"], row["check"]): row for row in result["checks"]}
        return result

    def status(self):
        """What the control server says."""
        return self.inside(
            self.gluetun,
            sys.executable,
            "-c",
            "import urllib.request as r;"
            "print(r.urlopen(r.Request('http://127.0.0.1:8000/v1/vpn/status',headers={'X-API-Key':'reads'})).read().decode())",
        )


def has(program):
    """Whether this machine has a program."""
    return shutil.which(program) is not None
