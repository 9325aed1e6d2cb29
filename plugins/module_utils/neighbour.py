# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A neighbour of this host for a moment: a network namespace of its own, joined to the host by a pair of interfaces.

What comes from there enters the host as what comes from its network does, by an interface: the loopback's addresses
are not there, the firewall and Docker's rules are. A process keeps the namespace; when it ends, which it does with the
process that made it, SIGKILL included, the kernel takes namespace, interfaces, addresses and routes away.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import socket
import struct

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_space, netlink, preflight_ports
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_space import Space, SpaceError

INSIDE = "eth0"
"""The interface's name in the namespace."""
PREFIX = "msnear"
"""What the host's end of the pair is called, and a number."""
POOLS = ("192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8")
"""Where its addresses are from: apps that trust "local addresses" mean these. The first one is what homes have."""
PAIR_BITS = 30
TRIES = 200


class Neighbour:
    """The namespace. `name`: the host's interface; `host4`, `host6`: its addresses, `own4`: that of the neighbour;
    `host6` is None without IPv6.
    """

    def __init__(self, space, name, host4, own4, host6):
        self.space, self.name, self.host4, self.own4, self.host6 = space, name, host4, own4, host6

    def run(self, function, *arguments, deadline):
        """`function(*arguments)` there; its result must be JSON. SpaceError."""
        return self.space.run(function, *arguments, deadline=deadline)


@contextlib.contextmanager
def neighbour(proc="/proc"):
    """A Neighbour for the time of the block. SpaceError where none can be made."""
    if os.geteuid() != 0:
        raise SpaceError("only root may make a network namespace (become: true)")
    if leak_space.ctypes is None:
        raise SpaceError("this host's Python has no ctypes")
    keeper, leash = _keep()
    try:
        yield _join(Space(keeper, os.readlink("/proc/%d/ns/net" % keeper)), proc)
    finally:
        os.close(leash)
        leak_space.end(keeper)


def _keep():
    """A child in a network namespace of its own, and the descriptor that keeps it alive. SpaceError."""
    ready, tell = os.pipe()
    wait, leash = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(leash)
            os.close(ready)
            library = leak_space.ctypes.CDLL(None, use_errno=True)
            failed = library.unshare(leak_space.CLONE_NEWNET) != 0
            os.write(tell, os.strerror(leak_space.ctypes.get_errno()).encode() if failed else b"+")
            # Until the other end is closed, by us or with us.
            os.read(wait, 1)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    os.close(wait)
    word = os.read(ready, 200).decode("utf-8", "replace")
    os.close(ready)
    if word != "+":
        os.close(leash)
        leak_space.end(child)
        raise SpaceError("the kernel refuses a network namespace: %s" % (word or "no reason given"))
    return child, leash


def _join(space, proc):
    """Lay the link, give both ends addresses. SpaceError."""
    taken = taken_networks(proc)
    name = "%s%d" % (PREFIX, random.randrange(10**6))  # nosec B311 # a name that is free, no secret
    try:
        netlink.make_pair(name, INSIDE, space.pid)
        host4, own4 = free_pair(taken)
        netlink.add_address(name, host4, PAIR_BITS)
        host6, own6 = _pair6()
        try:
            netlink.add_address(name, host6, 64)
        except OSError:  # the kernel has no IPv6, or not here
            host6 = None
        netlink.set_up(name)
    except OSError as error:
        raise SpaceError("the kernel refuses a pair of interfaces: %s" % error.strerror) from error
    space.run(_furnish, own4, host4, own6 if host6 else None, host6, deadline=10)
    return Neighbour(space, name, host4, own4, host6)


def _furnish(own4, host4, own6, host6):
    """The other end, from inside."""
    netlink.add_address(INSIDE, own4, PAIR_BITS)
    if own6:
        with contextlib.suppress(OSError):
            netlink.add_address(INSIDE, own6, 64)
    netlink.set_up(INSIDE)
    netlink.add_route(INSIDE, host4)
    if own6:
        with contextlib.suppress(OSError):
            netlink.add_route(INSIDE, host6)


def taken_networks(proc="/proc"):
    """IPv4 networks that this host has a way to, and addresses that it talks to: none of them may become the link's."""
    found = []
    with contextlib.suppress(OSError), open(os.path.join(proc, "net", "route"), encoding="ascii") as handle:
        for row in [line.split() for line in handle.readlines()[1:]]:
            if len(row) < 8 or row[1] == row[7] == "00000000":
                continue
            address, mask = (socket.inet_ntoa(struct.pack("=L", int(row[place], 16))) for place in (1, 7))
            found.append(ipaddress.ip_network("%s/%s" % (address, mask), strict=False))
    for address in preflight_ports.connected(proc):
        found.append(ipaddress.ip_network(address))
    return found


def free_pair(taken, choose=random.randrange):
    """(the host's address, its own) in a network of four addresses that overlaps none of `taken`. SpaceError."""
    for pool in map(ipaddress.ip_network, POOLS):
        for _try in range(TRIES):
            first = int(pool.network_address) + 4 * choose(pool.num_addresses // 4)
            network = ipaddress.ip_network((first, PAIR_BITS))
            if not any(network.overlaps(other) for other in taken):
                host, own = network.hosts()
                return str(host), str(own)
    raise SpaceError("no private network is free for the link")


def _pair6():
    """Addresses of a network that nobody has (RFC 4193)."""
    network = int.from_bytes(b"\xfd" + os.urandom(5), "big") << 80
    return str(ipaddress.IPv6Address(network | 1)), str(ipaddress.IPv6Address(network | 2))
