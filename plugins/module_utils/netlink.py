# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Interfaces, addresses and routes by the kernel's own interface, rtnetlink(7): the `ip` of a NAS may know no veth.

Every function works in the network namespace that the process is in.
"""

from __future__ import annotations

import os
import socket
import struct

RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE = 16, 20, 24
NLMSG_ERROR = 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 1, 4, 0x200, 0x400
IFF_UP = 1
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_PID = 3, 18, 19
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
# Without it an IPv6 address is not used for the second in which the kernel looks for others that have it.
IFA_F_NODAD = 2
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1


def attribute(kind, value):
    """One attribute of a message, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def make_pair(name, peer, pid):
    """A pair of virtual Ethernet interfaces: `name` here, `peer` in the namespace of the process `pid`. OSError."""
    inside = (
        _interface(0)
        + attribute(IFLA_IFNAME, peer.encode() + b"\0")
        + attribute(IFLA_NET_NS_PID, struct.pack("=I", pid))
    )
    information = attribute(IFLA_INFO_KIND, b"veth\0") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, inside))
    body = _interface(0) + attribute(IFLA_IFNAME, name.encode() + b"\0") + attribute(IFLA_LINKINFO, information)
    ask(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)


def set_up(name):
    """Switch an interface on. OSError."""
    ask(RTM_NEWLINK, _interface(socket.if_nametoindex(name), IFF_UP))


def add_address(name, address, bits):
    """Give an interface an address in a network of `bits`. OSError."""
    family, raw = packed(address)
    head = struct.pack("=BBBBI", family, bits, IFA_F_NODAD if family == socket.AF_INET6 else 0, 0, _index(name))
    ask(RTM_NEWADDR, head + attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw), NLM_F_CREATE | NLM_F_EXCL)


def add_route(name, gateway, network="", bits=0):
    """Send what is for `network` (without it: everything) to `gateway` by the interface. OSError."""
    family, raw = packed(gateway)
    head = struct.pack("=BBBBBBBBI", family, bits, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST, 0)
    place = attribute(RTA_DST, packed(network)[1]) if network else b""
    way = attribute(RTA_OIF, struct.pack("=I", _index(name))) + attribute(RTA_GATEWAY, raw)
    ask(RTM_NEWROUTE, head + place + way, NLM_F_CREATE | NLM_F_EXCL)


def packed(address):
    """(family, bytes) of an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def ask(kind, body, flags=0):
    """Send one request and wait for the kernel's word on it. OSError with its number."""
    message = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.settimeout(5)
        sock.send(message)
        answer = sock.recv(65536)
    if struct.unpack("=H", answer[4:6])[0] == NLMSG_ERROR:
        number = -struct.unpack("=i", answer[16:20])[0]
        if number:
            raise OSError(number, os.strerror(number))


def _interface(index, flags=0):
    """struct ifinfomsg: family, type, index, flags, and which flags are meant."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _index(name):
    return socket.if_nametoindex(name)
