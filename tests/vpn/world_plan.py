# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses, cables and commands of a World.

A world takes one of eight slots. A slot is a 32-address part of 198.51.100.0/24 (between host, provider and
internet) and of 203.0.113.0/24 (the internet's services), and 2001:db8:SLOT+1::/48. 192.0.2.0/24 is left alone: other
tests and some machines use it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import ipaddress
import itertools
import os
import pathlib
import subprocess

COUNTER = itertools.count(1)
SLOTS = 8
#: The addresses are the machine's, so are the locks: another checkout may run its tests at the same time.
LOCKS = pathlib.Path("/run/lock/mediastack-vpn")
#: The client's own addresses in the WireGuard tunnel, and the provider's; those of OpenVPN are 10.8.0.x.
TUNNEL_ADDRESSES = ("10.2.0.2/32", "fd00:2::2/128")


class WorldError(Exception):
    """What keeps a world from being made, with the remedy."""


def run(*argv, check=True, stdin=None, timeout=120):
    """Run a command; returns the CompletedProcess (text). Raises WorldError when it fails and check is true."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise WorldError(f"{' '.join(argv)[:300]}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    return done


def docker(*arguments):
    """Run docker; returns its output, stripped. Raises WorldError."""
    return run("docker", *arguments).stdout.strip()


def as_options(environment):
    """Return --env options."""
    return [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]


def sysctls(*settings):
    """Return --sysctl options."""
    return [word for setting in settings for word in ("--sysctl", setting)]


def check(image):
    """Raise WorldError unless root, an engine and the lab's tree are there."""
    if os.geteuid() != 0:
        raise WorldError("a World makes network interfaces and routes: run it as root (make test-vpn does)")
    if run("docker", "image", "inspect", image, check=False).returncode:
        raise WorldError(f"no image {image}: run .venv/bin/python tests/lab/bin/images build first")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The addresses of one slot (0 … 7)."""

    slot: int

    def near(self, number):
        """Return an address between host, provider and internet."""
        return f"198.51.100.{32 * self.slot + number}"

    def far(self, number):
        """Return an address of the internet's services."""
        return f"203.0.113.{32 * self.slot + number}"

    def near6(self, number):
        """Return an IPv6 address between host, provider and internet."""
        return f"{self.prefix6}::{number}"

    def far6(self, number):
        """Return an IPv6 address of the internet's services."""
        return f"{self.prefix6}:53::{number}"

    def exit(self, number):
        """Return the provider's exit address of that number (0 … 9)."""
        return self.near(20 + number)

    def exit6(self, number):
        """Return the provider's IPv6 exit address of that number (0 … 9)."""
        return self.near6(20 + number)

    def network6(self, number):
        """Return an IPv6 subnet for a Docker network on the host."""
        return f"{self.prefix6}:c{number:x}::/64"

    @property
    def prefix6(self):
        """Return what all IPv6 addresses of the slot begin with (never a zero, which is written in two ways)."""
        return f"2001:db8:{self.slot + 1}"

    @property
    def uplink(self):
        """Return the host's interface towards the internet."""
        return f"msvpn{self.slot}up"

    @property
    def tracker6(self):
        """Return the trackers' IPv6 address."""
        return self.far6(3)

    def is_internet(self, address):
        """Return whether an address is the internet's or the provider's."""
        if ":" in address:
            number = ipaddress.ip_address(address)
            return number in ipaddress.ip_network(f"{self.prefix6}:53::/64") or (
                number in ipaddress.ip_network(f"{self.prefix6}::/64") and address != self.near6(2)
            )
        return any(address == at(number) for at in (self.near, self.far) for number in range(32)) and (
            address != self.near(2)
        )

    def names(self):
        """Return World's attributes."""
        return {
            "host_address": self.near(2),
            "host_address6": self.near6(2),
            "provider_address": self.near(7),
            "exit_address": self.exit(0),
            "exit_address6": self.exit6(0),
            "echo_address": self.far(1),
            "echo_address6": self.far6(1),
            "echo_url": f"http://{self.far(1)}",
            "echo_url6": f"http://[{self.far6(1)}]",
            "resolver": self.far(2),
            "resolver6": self.far6(2),
            "tracker_address": self.far(3),
            "tracker_url": f"udp://{self.far(3)}:6969/announce",
            "tracker_url6": f"udp://[{self.far6(3)}]:6969/announce",
            "tracker_http_url": f"http://{self.far(3)}/announce",
            "news_address": self.far(4),
        }

    def for_the_inside(self):
        """Return what the programs in the containers need to know."""
        return {
            "echo": [self.far(1), self.far6(1)],
            "resolver": [self.far(2), self.far6(2)],
            "tracker": [self.far(3), self.far6(3)],
            "news": [self.far(4), self.far6(4)],
            "provider": self.near(7),
            "exits": [self.exit(number) for number in range(10)],
            "exits6": [self.exit6(number) for number in range(10)],
        }


@contextlib.contextmanager
def slot():
    """Take a free slot; it is free again when the process ends, however it ends. Raises WorldError."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    for number in range(SLOTS):
        with (LOCKS / f"slot-{number}.lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            plan = Plan(number)
            unplug(plan)
            taken = run("ip", "route", "show", "root", f"{plan.far(0)}/27").stdout
            taken += run("ip", "route", "show", "root", f"{plan.near(0)}/27").stdout
            if taken:
                continue  # this machine has something else there
            yield plan
            return
    raise WorldError(f"all {SLOTS} slots are taken: other worlds run, or this machine has routes to 198.51.100.0/24")


def remove_leftovers(label):
    """Remove every container and network with that label."""
    for kind, remove in (("ps --all", "rm --force --volumes"), ("network ls", "network rm")):
        found = docker(*kind.split(), "--quiet", "--filter", f"label={label}").split()
        if found:
            run("docker", *remove.split(), *found, check=False)


def unplug(plan):
    """Take the host's cable away, and with it its routes."""
    run("ip", "link", "delete", plan.uplink, check=False)


def batch(lines, pid=None):
    """Run lines of ip(8), in the namespace of a process or in the host's."""
    inside = ["nsenter", "--target", str(pid), "--net"] if pid else []
    run(*inside, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def plug(plan, internet, provider):
    """Lay the cables: host ─ internet's bridge ─ provider, addresses and routes. internet, provider: process ids."""
    batch(
        [
            f"link add {plan.uplink} type veth peer name host netns {internet}",
        ]
    )
    batch(
        [
            "link add br0 type bridge",
            f"link add provider type veth peer name eth0 netns {provider}",
            "link set host master br0",
            "link set provider master br0",
            f"address add {plan.near(1)}/27 dev br0",
            f"address add {plan.near6(1)}/64 dev br0 nodad",
            *(f"address add {plan.far(number)}/32 dev lo" for number in (1, 2, 3, 4)),
            *(f"address add {plan.far6(number)}/128 dev lo nodad" for number in (1, 2, 3, 4)),
            "link set lo up",
            "link set host up",
            "link set provider up",
            "link set br0 up",
            f"route add {plan.prefix6}::/48 via {plan.near6(2)}",
        ],
        internet,
    )
    batch(
        [
            "link set lo up",
            f"address add {plan.near(7)}/27 dev eth0",
            f"address add {plan.near6(7)}/64 dev eth0 nodad",
            *(f"address add {plan.exit(number)}/27 dev eth0" for number in range(10)),
            *(f"address add {plan.exit6(number)}/64 dev eth0 nodad" for number in range(10)),
            "link set eth0 up",
            f"route add default via {plan.near(1)}",
            f"route add ::/0 via {plan.near6(1)}",
        ],
        provider,
    )
    batch(
        [
            f"address add {plan.near(2)}/27 dev {plan.uplink}",
            f"address add {plan.near6(2)}/64 dev {plan.uplink} nodad",
            f"link set {plan.uplink} up",
            f"route add {plan.far(0)}/27 via {plan.near(1)}",
            f"route add {plan.prefix6}:53::/64 via {plan.near6(1)}",
        ]
    )
