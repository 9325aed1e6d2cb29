# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tcpdump on an interface of this machine, and what its packets are."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import re
import struct

from world_plan import run

COUNTER = itertools.count(1)
PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmp6"}
IPV4, IPV6 = 0x0800, 0x86DD


@dataclasses.dataclass(frozen=True)
class Packet:
    """One packet: time (s since the epoch), addresses, protocol, ports (0 where there are none), length (bytes)."""

    at: float
    source: str
    destination: str
    protocol: str
    source_port: int
    destination_port: int
    length: int
    icmp_type: int = -1

    def __str__(self):
        ports = f"{self.source_port} > {self.destination_port}"
        return f"{self.at:.3f} {self.source} > {self.destination} {self.protocol} {ports} {self.length} B"

    @property
    def is_error(self):
        """Return whether it is an ICMP error (unreachable, too big, time exceeded …)."""
        return self.icmp_type in {"icmp": (3, 4, 5, 11, 12), "icmp6": (1, 2, 3, 4)}.get(self.protocol, ())

    @property
    def on_the_link(self):
        """Return whether it is only for neighbours: multicast, broadcast, link-local (ARP is left out anyway).

        So is IPv6's neighbour discovery from a link-local address, which no router passes on, also where a kernel asks
        one neighbour alone whether it is still there (RFC 4861, 7.3; RFC 4291, 2.5.6).
        """
        target = ipaddress.ip_address(self.destination)
        if (
            self.protocol == "icmp6"
            and 133 <= self.icmp_type <= 137
            and ipaddress.ip_address(self.source).is_link_local
        ):
            return True
        return target.is_multicast or target.is_link_local or self.destination == "255.255.255.255"


def parse(data):
    """Yield the IP packets of a capture file (pcap, Ethernet), and stop at a packet that is not yet whole."""
    if len(data) < 24:
        return
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    place = 24
    while place + 16 <= len(data):
        seconds, micros, kept, length = struct.unpack(f"{order}IIII", data[place : place + 16])
        frame = data[place + 16 : place + 16 + kept]
        if len(frame) < kept:
            return
        place += 16 + kept
        kind = struct.unpack(">H", frame[12:14])[0]
        if kind == IPV4:
            head = 14 + 4 * (frame[14] & 15)
            source, target, protocol = frame[26:30], frame[30:34], frame[23]
        elif kind == IPV6:
            head, source, target, protocol = 54, frame[22:38], frame[38:54], frame[20]
        else:
            continue
        name = PROTOCOLS.get(protocol, str(protocol))
        ports = struct.unpack(">HH", frame[head : head + 4]) if name in ("tcp", "udp") and kept >= head + 4 else (0, 0)
        ends = (str(ipaddress.ip_address(source)), str(ipaddress.ip_address(target)))
        icmp_type = frame[head] if name.startswith("icmp") and kept > head else -1
        yield Packet(seconds + micros / 1e6, *ends, name, *ports, length, icmp_type)


class Capture:
    """tcpdump on one interface, from entry to exit; may be read meanwhile.

    After the exit ``dropped`` is how many packets the kernel could not hand over: 0, or the capture proves nothing.
    """

    def __init__(self, world, interface, local=()):
        """Take the world, the interface's name and its own subnets."""
        self.world, self.interface, self.tunnel_ends = world, interface, world.tunnel_ends()
        self.local = [ipaddress.ip_network(text) for text in local]
        self.file = f"capture-{next(COUNTER)}.pcap"
        self.name = f"{world.prefix}-{self.file.removesuffix('.pcap')}"
        self.dropped = None
        self.last = []

    def __enter__(self):
        """Start, and wait until it listens."""
        tcpdump = [
            "tcpdump",
            "-i",
            self.interface,
            "-n",
            "-s",
            "128",
            "-U",
            "--immediate-mode",
            "-B",
            "16384",
            "-Z",
            "root",
        ]
        share = ["--volume", f"{self.world.folder}:/world"]
        short = self.name.removeprefix(f"{self.world.prefix}-")
        self.world.container(short, "host", command=[*tcpdump, "-w", f"/world/{self.file}"], options=share)
        self.world.wait(lambda: "listening on" in self.words(), 20, f"tcpdump on {self.interface}", self.name)
        return self

    def __exit__(self, *_error):
        """Stop and keep the packets."""
        # Killed before it has said what it counted, it would have proved nothing.
        run("docker", "stop", "--time", "60", self.name, check=False)
        counted = re.search(r"(\d+) packets? dropped by kernel", self.words())
        self.dropped = int(counted[1]) if counted else None
        self.last = self.packets()
        run("docker", "rm", "--force", self.name, check=False)

    def words(self):
        """Return what tcpdump says beside the packets."""
        done = run("docker", "logs", self.name, check=False)
        return done.stdout + done.stderr

    def packets(self):
        """Return all packets so far."""
        path = self.world.folder / self.file
        return list(parse(path.read_bytes())) if path.exists() else self.last

    def in_the_tunnel(self):
        """Return the packets between anybody and the VPN endpoint's ports."""
        return [packet for packet in self.packets() if self.is_tunnel(packet)]

    def outside_the_tunnel(self, *addresses):
        """Return what these addresses of contained apps (with none: anybody) sent to elsewhere than the tunnel.

        Left out: what stays on the link (the interface's own subnets, multicast, IPv6 neighbours), and ICMP errors to
        the VPN server, with which a kernel answers a packet of the tunnel that has no taker.
        """
        return [
            packet
            for packet in self.packets()
            if (not addresses or packet.source in addresses) and not self.is_tunnel(packet) and self.leaves(packet)
        ]

    def leaks(self):
        """On the direct route: return what came from this machine's side to the internet beside the tunnel."""
        return [packet for packet in self.outside_the_tunnel() if not self.world.plan.is_internet(packet.source)]

    def is_tunnel(self, packet):
        """Return whether a packet goes to, or comes from, the VPN endpoint, or is an ICMP error to it."""
        if packet.is_error and packet.destination in {address for address, _port in self.tunnel_ends}:
            return True
        ends = {(packet.source, packet.source_port), (packet.destination, packet.destination_port)}
        return packet.protocol == "udp" and bool(ends & self.tunnel_ends)

    def leaves(self, packet):
        """Return whether a packet is for somebody further away than the interface's own subnets."""
        target = ipaddress.ip_address(packet.destination)
        return not packet.on_the_link and not any(target in network for network in self.local)
