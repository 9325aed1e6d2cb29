# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counting what contained apps send past the tunnel, on the host: on the bridges that they are attached to, and on the
interface of the default route.

A packet socket (packet(7)) with a filter in the kernel, as tcpdump has: no tool is needed, nothing is added to the
host's firewall, and nothing stays behind however the run ends. The filter leaves out the tunnel itself, which may carry
more than Python can read; what the kernel had to drop all the same is counted, and makes the count inconclusive.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import threading
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils.leak_judge import (
    CAPTURE,
    FAILED,
    INCONCLUSIVE,
    PASSED,
    Verdict,
    is_reserved,
)

ETH_P_ALL, IPV4, IPV6 = 0x0003, 0x0800, 0x86DD
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_ATTACH_FILTER = 26
OUTGOING = 4
TCP, UDP = 6, 17
ICMP = (1, 58)
NAMES = {TCP: "TCP", UDP: "UDP", 1: "ICMP", 58: "ICMPv6"}
DNS_PORTS = (53, 853)
SNAP = 96
"""Bytes of a packet that are looked at: the headers."""
MAX_FLOWS = 20000
BUFFER = 4 * 1024 * 1024


class CaptureError(Exception):
    """It cannot be counted; the text says why, as the end of a sentence."""


class Endpoint(NamedTuple):
    """Where the tunnel leads: the VPN server."""

    address: str
    protocol: int
    port: int


class Flow(NamedTuple):
    """What packets have in common. `opening`: the first one of a TCP connection; `sender`: its hardware address."""

    source: str
    target: str
    protocol: int
    source_port: int
    target_port: int
    opening: bool
    sender: str = ""


class Allowed(NamedTuple):
    """What may leave a contained app's network past the tunnel, as gluetun's firewall has it."""

    endpoints: tuple
    #: Networks of the engine that it is attached to.
    networks: tuple
    #: Networks at home (`mediastack_vpn_local_subnets`).
    subnets: tuple
    #: Ports that it publishes: what comes from them is an answer.
    published: tuple
    #: Ports that the leak test itself asks resolvers from; its own check judges these.
    own_ports: tuple = ()


def is_outside(flow, allowed):
    """Whether a packet of this flow is one that the tunnel should have carried."""
    target = ipaddress.ip_address(flow.target)
    if target.is_multicast or target.is_link_local or target.is_unspecified or flow.target == "255.255.255.255":
        return False
    if Endpoint(flow.target, flow.protocol, flow.target_port) in allowed.endpoints:
        return False
    if flow.protocol in ICMP and any(flow.target == end.address for end in allowed.endpoints):
        # "Nobody listens here any more", to a server whose tunnel was taken down.
        return False
    if flow.target_port in DNS_PORTS and flow.source_port in allowed.own_ports:
        return False
    if flow.target_port in DNS_PORTS:
        return True
    if (flow.protocol, flow.source_port) in allowed.published and not flow.opening:
        # A datagram may as well begin something: torrents send from the port that they listen at. At home it is an
        # answer.
        return flow.protocol == UDP and not is_reserved(target)
    return not any(target in network for network in (*allowed.networks, *allowed.subnets))


def parse(packet):
    """The Flow of a packet that begins with its IP header; None for anything else."""
    if len(packet) < 20:
        return None
    version = packet[0] >> 4
    if version == 4:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        # Later fragments have no ports.
        if struct.unpack("!H", packet[6:8])[0] & 0x1FFF:
            return Flow(source, target, protocol, 0, 0, False)
    elif version == 6 and len(packet) >= 40:
        start, protocol = 40, packet[6]
        source = socket.inet_ntop(socket.AF_INET6, packet[8:24])
        target = socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return None
    if protocol not in (TCP, UDP) or len(packet) < start + 4:
        return Flow(source, target, protocol, 0, 0, False)
    ports = struct.unpack("!HH", packet[start : start + 4])
    opening = protocol == TCP and len(packet) > start + 13 and packet[start + 13] & 0x12 == 0x02
    return Flow(source, target, protocol, ports[0], ports[1], opening)


# The filter: struct sock_filter, see the kernel's Documentation/networking/filter.rst.
_LD_WORD, _LD_HALF, _LD_BYTE, _LD_HALF_X, _LDX_HEADER = 0x20, 0x28, 0x30, 0x48, 0xB1
_JEQ, _RET = 0x15, 0x06
_EXTRA = 0xFFFFF000
# Where the link's own header begins: target and source hardware address.
_LINK = 0xFFE00000
_PROTOCOL, _KIND = 0, 4


def program(endpoints, sources=None, outgoing=False, hardware=()):
    """The filter as a list of (code, jump if true, jump if false, k).

    Lets pass IPv4 from one of `sources` (None: from anyone) or of the hardware addresses `hardware`, with `outgoing`
    only what the host sends, except to `endpoints`; and all IPv6. For sockets that see packets from the IP header on.
    """
    accept, drop = ("accept",), ("drop",)
    code = []
    if outgoing:
        code += [(_LD_BYTE, _EXTRA + _KIND), (_JEQ, OUTGOING, None, drop)]
    code += [(_LD_HALF, _EXTRA + _PROTOCOL), (_JEQ, IPV6, accept, None), (_JEQ, IPV4, None, drop)]
    if sources is not None:
        code.append((_LD_WORD, 12))
        for source in sources:
            code.append((_JEQ, _number(source), ("sources",), None))
        for position, address in enumerate(hardware):
            # A connection of the tunnel that leaves past it has the tunnel's address as its source.
            raw, mark = bytes.fromhex(address.replace(":", "")), ("hardware%d" % position,)
            code += [
                (_LD_WORD, _LINK + 6),
                (_JEQ, struct.unpack("!I", raw[:4])[0], None, mark),
                (_LD_HALF, _LINK + 10),
                (_JEQ, struct.unpack("!H", raw[4:])[0], ("sources",), mark),
                ("label", mark[0]),
            ]
        code += [(_RET, 0), ("label", "sources")]
    for position, end in enumerate(entry for entry in endpoints if ":" not in entry.address):
        mark = ("next%d" % position,)
        code += [
            (_LD_WORD, 16),
            (_JEQ, _number(end.address), None, mark),
            (_LD_BYTE, 9),
            (_JEQ, end.protocol, None, mark),
            (_LDX_HEADER, 0),
            (_LD_HALF_X, 2),
            (_JEQ, end.port, drop, mark),
            ("label", mark[0]),
        ]
    code += [("label", "accept"), (_RET, SNAP), ("label", "drop"), (_RET, 0)]
    return _resolve(code)


def _number(address):
    return struct.unpack("!I", socket.inet_aton(address))[0]


def _resolve(code):
    """Jumps by label as jumps by distance, which is at most 255."""
    places, lines = {}, []
    for entry in code:
        if entry[0] == "label":
            places[entry[1]] = len(lines)
        else:
            lines.append(entry)
    done = []
    for position, entry in enumerate(lines):
        jumps = [places[to[0]] - position - 1 if to else 0 for to in entry[2:]] or [0, 0]
        done.append((entry[0], jumps[0], jumps[1], entry[1]))
    return done


def _attach(sock, code):
    import ctypes

    raw = b"".join(struct.pack("=HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(code), ctypes.addressof(buffer)))


class Wire:
    """One interface that is listened to."""

    def __init__(self, interface, code):
        """CaptureError where that is not allowed, or there is no such interface."""
        self.interface = interface
        #: Flow → number of packets.
        self.flows = {}
        self.unseen = 0
        try:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except (OSError, AttributeError) as error:
            raise CaptureError("packets cannot be listened to: %s (become: true)" % error) from error
        try:
            _attach(self.socket, code)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self.socket.bind((interface, ETH_P_ALL))
        except (OSError, ImportError) as error:
            self.socket.close()
            raise CaptureError("packets on %s cannot be listened to: %s" % (interface, error)) from error

    def read(self):
        """Take what has come."""
        for _packet in range(1000):
            try:
                packet, place = self.socket.recvfrom(SNAP, socket.MSG_DONTWAIT)
            except (BlockingIOError, OSError):
                return
            flow = parse(packet)
            if flow is None:
                continue
            flow = flow._replace(sender=":".join("%02x" % byte for byte in place[4]))
            if flow not in self.flows and len(self.flows) >= MAX_FLOWS:
                self.unseen += 1
            else:
                self.flows[flow] = self.flows.get(flow, 0) + 1

    def close(self):
        """Take the rest, and count what the kernel had to drop."""
        self.read()
        _packets, dropped = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.unseen += dropped
        self.socket.close()


class Counter:
    """Listens in a thread until it is closed."""

    def __init__(self, wires):
        self.wires = wires
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        sockets = {wire.socket.fileno(): wire for wire in self.wires}
        while not self._over.is_set():
            for descriptor in select.select(list(sockets), [], [], 0.2)[0]:
                sockets[descriptor].read()

    def close(self):
        """End it."""
        if not self._over.is_set():
            self._over.set()
            self._thread.join(5)
            for wire in self.wires:
                wire.close()


def verdict(addresses, bridges, uplink, allowed, seconds):
    """What the count means for the apps at `addresses`, IP and hardware ones.

    `bridges`: Wires of the bridges; `uplink`: the Wire of the default route, or None. Addresses are translated before
    the uplink, so a packet there counts when the bridge has seen one to the same place.
    """
    outside = {}
    for wire in bridges:
        for flow, count in wire.flows.items():
            if (flow.source in addresses or flow.sender in addresses) and is_outside(flow, allowed):
                key = (flow.target, flow.protocol, flow.target_port)
                outside[key] = outside.get(key, 0) + count
    names = ", ".join(wire.interface for wire in bridges)
    if outside:
        left = {}
        for flow, count in uplink.flows.items() if uplink else ():
            key = (flow.target, flow.protocol, flow.target_port)
            if key in outside:
                # Others on this host may have business there too.
                left[key] = min(outside[key], left.get(key, 0) + count)
        most = sorted(outside.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
        shown = ", ".join("%s to %s port %d (%d)" % (NAMES.get(p, p), t, n, c) for (t, p, n), c in most)
        words = "%d packets past the tunnel on %s in %d s, most of them %s" % (
            sum(outside.values()),
            names,
            seconds,
            shown,
        )
        if uplink:
            words += "; up to %d of them went on by %s" % (sum(left.values()), uplink.interface)
        return Verdict(CAPTURE, FAILED, words, True)
    unseen = sum(wire.unseen for wire in bridges)
    if unseen:
        return Verdict(CAPTURE, INCONCLUSIVE, "%d packets on %s came too fast to be looked at" % (unseen, names))
    where = "%s and %s" % (names, uplink.interface) if uplink else names
    return Verdict(CAPTURE, PASSED, "0 packets past the tunnel on %s in %d s" % (where, seconds))
