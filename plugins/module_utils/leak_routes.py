# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel says about routes and addresses of the network namespace that the process is in.

`ip route` is not asked: an image or a NAS may lack it, and it shows the main table only, while gluetun's WireGuard
sends everything by a rule to a table of its own. The kernel's own lookup follows the rules. See rtnetlink(7).
"""

from __future__ import annotations

import socket
import struct

RTM_NEWROUTE, RTM_GETROUTE = 24, 26
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
RTA_DST, RTA_SRC, RTA_OIF, RTA_MARK = 1, 2, 4, 16
RTN_UNREACHABLE = (6, 7, 8)
"""Kinds of routes that lead nowhere: blackhole, unreachable, prohibit."""
GLOBAL_SCOPE = 0


def interface_to(address, source="", mark=0):
    """Name of the interface by which a packet to `address` would leave; None where there is no route.

    `source`: the IPv4 address that it is sent from, `mark`: its firewall mark, where rules may look at these.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    except OSError:
        return None
    with sock:
        sock.settimeout(2)
        sock.send(_question(family, address, source, mark))
        index = output_interface(sock.recv(65536))
    try:
        return socket.if_indextoname(index) if index else None
    except OSError:
        return None


def _question(family, address, source="", mark=0):
    found = _attribute(RTA_DST, socket.inet_pton(family, address))
    bits = [128 if family == socket.AF_INET6 else 32, 32 if source else 0]
    if source:
        found += _attribute(RTA_SRC, socket.inet_pton(family, source))
    if mark:
        found += _attribute(RTA_MARK, struct.pack("=I", mark))
    body = struct.pack("=BBBBBBBBI", family, *bits, 0, 0, 0, 0, 0, 0) + found
    return struct.pack("=IHHII", 16 + len(body), RTM_GETROUTE, NLM_F_REQUEST, 1, 0) + body


def _attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value


def output_interface(message):
    """Index of the interface in the kernel's answer to a route lookup; None for an error or a route to nowhere."""
    length, kind = struct.unpack("=IH", message[:6])
    if kind != RTM_NEWROUTE or message[16 + 7] in RTN_UNREACHABLE:
        return None
    place = 16 + 12
    while place + 4 <= length:
        size, name = struct.unpack("=HH", message[place : place + 4])
        if name == RTA_OIF:
            return struct.unpack("=I", message[place + 4 : place + 8])[0]
        if size < 4:
            return None
        place += (size + 3) & ~3
    return None


def interfaces(path="/proc/net/dev"):
    """Names of the interfaces, sorted."""
    with open(path, encoding="ascii") as handle:
        return sorted(line.split(":")[0].strip() for line in handle.readlines()[2:])


def addresses6(path="/proc/net/if_inet6"):
    """[(address, interface)] of global scope (that includes private ones), without loopback; none without IPv6."""
    found = []
    try:
        with open(path, encoding="ascii") as handle:
            for line in handle:
                digits, _index, _prefix, scope, _flags, name = line.split()
                if int(scope, 16) == GLOBAL_SCOPE and name != "lo":
                    found.append((socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), name))
    except FileNotFoundError:
        pass
    return found
