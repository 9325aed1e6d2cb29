# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ways past the tunnel that the kernel does not choose by itself, but a program may ask for while the tunnel is up:
bound to another interface (qBittorrent's "Network interface"), sent from its address (gluetun routes these by it, for
answers of published ports), or marked as gluetun marks its own packets. Routes do not stop these; the firewall does.

Everything here runs in a child process that has joined the namespace; see `leak_probe.py`.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_dns, leak_routes

MARK = 51820
"""gluetun's WireGuard marks its own packets so; its routing rule sends what bears the mark past the tunnel."""
BOUND, FROM, MARKED = "bound to", "sent from the address of", "marked as gluetun's own"
TCP, DNS = "TCP", "DNS"
# Not in Python's socket module.
SO_BINDTODEVICE, SO_MARK = 25, 36
SIOCGIFFLAGS, SIOCGIFADDR = 0x8913, 0x8915
IFF_UP = 1


class Way(NamedTuple):
    """How a packet is sent; `how` in words."""

    how: str
    device: str = ""
    source: str = ""
    mark: int = 0

    def prepare(self, sock):
        """Set a socket up for it, before anything is sent. OSError."""
        if self.device:
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode() + b"\0")
        if self.mark:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, self.mark)
        if self.source:
            sock.bind((self.source, 0))


def ways(names, address_of):
    """The Ways to try: `names` of the interfaces that are up, without the tunnel; `address_of(name)`: IPv4 or None."""
    found = []
    for name in names:
        found.append(Way("%s %s" % (BOUND, name), device=name))
        address = address_of(name)
        if address:
            found.append(Way("%s %s" % (FROM, name), source=address))
    return [*found, Way(MARKED, mark=MARK)] if found else []


def jobs(asked):
    """Functions without arguments, each of which tries one way: {how, what, to, done, reason}.

    `asked`: `tunnel` (its interface); `tcp4`, `tcp6` ((address, port) or None), `direct` (resolvers), `name` (to ask
    them for), `timeout`. `done` means that an answer came; `reason` is the name of an errno where the kernel refused to
    send, `sent` where it did and nobody answered.
    """
    names = [name for name in leak_routes.interfaces() if name not in ("lo", asked["tunnel"]) and is_up(name)]
    six = {name for _address, name in leak_routes.addresses6()}
    found = []
    for way in ways(names, address_of):
        places = [(TCP, asked["tcp4"]), (TCP, asked["tcp6"])]
        places += [(DNS, (server, leak_dns.PORT)) for server in asked["direct"]]
        # An address of one family cannot send to the other.
        by_six = bool(six) if way.mark else way.device in six
        for what, place in places:
            if place and (":" not in place[0] or by_six) and leads_past(way, place[0], asked["tunnel"]):
                found.append(lambda way=way, what=what, place=place: attempt(way, what, place, asked))
    return found


def leads_past(way, address, tunnel):
    """Whether the kernel would send it past the tunnel at all: rules may not look at a source or a mark."""
    return bool(way.device) or leak_routes.interface_to(address, way.source, way.mark) not in (None, tunnel)


def attempt(way, what, place, asked):
    """Try one way; see `jobs`."""
    try:
        send = _connect if what == TCP else _query
        done, reason = send(way, place, asked)
    except OSError as error:
        done, reason = False, leak_dns.reason(error)
    return {"how": way.how, "what": what, "to": "%s port %d" % place, "done": done, "reason": reason}


def _socket(way, place, kind):
    sock = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, kind)
    try:
        way.prepare(sock)
    except OSError:
        sock.close()
        raise
    return sock


def _connect(way, place, asked):
    with _socket(way, place, socket.SOCK_STREAM) as sock:
        sock.settimeout(asked["timeout"])
        try:
            sock.connect(place)
            return True, None
        except ConnectionRefusedError:
            # By the firewall's REJECT, or by somebody out there: the datagram below tells which.
            pass
        except socket.timeout:
            pass
    # The kernel is silent about a TCP packet that the firewall drops, but tells the sender of a datagram.
    with _socket(way, place, socket.SOCK_DGRAM) as sock:
        sock.connect(place)
        sock.send(b"")
    return False, "sent"


def _query(way, place, asked):
    question = leak_dns.query(asked["name"])
    until = time.monotonic() + asked["timeout"]
    with _socket(way, place, socket.SOCK_DGRAM) as sock:
        sock.connect(place)
        sock.send(question)
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return False, "sent"
            sock.settimeout(left)
            try:
                leak_dns.parse(sock.recv(4096), question)
                return True, None
            except leak_dns.BadAnswer:
                continue
            except (socket.timeout, ConnectionRefusedError):
                return False, "sent"


def is_up(name):
    """Whether an interface is up; those that modules of the kernel leave behind are not."""
    answer = _asked(SIOCGIFFLAGS, name)
    return bool(answer and struct.unpack("=16xH", answer[:18])[0] & IFF_UP)


def address_of(name):
    """The IPv4 address of an interface; None."""
    answer = _asked(SIOCGIFADDR, name)
    return socket.inet_ntoa(answer[20:24]) if answer else None


def _asked(number, name):
    """What netdevice(7) says of an interface; None where it says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            return fcntl.ioctl(sock.fileno(), number, struct.pack("=16s240x", name.encode()))
        except OSError:
            return None
