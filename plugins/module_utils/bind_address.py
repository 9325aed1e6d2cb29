# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The address that web UIs are bound to: the one of the default route, saved so that it never moves silently."""

from __future__ import annotations

import errno
import os
import socket
import struct

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem

SCHEMA = 1
# TEST-NET-1, RFC 5737: nobody's address. Connecting a UDP socket sends nothing.
_NOWHERE = "192.0.2.1"


def resolve(project_path, wanted, routes="/proc/net/route", is_local=None):
    """(addresses to bind to, what `save` has to write or None, a preflight problem or None).

    `wanted`: `mediastack_bind_addresses`; empty = the saved address, at first that of the default route.
    """
    is_local = is_local or _is_local
    if wanted:
        gone = [address for address in wanted if not is_local(address)]
        if not gone:
            return list(wanted), None, None
        return (
            list(wanted),
            None,
            problem(
                "bind",
                "this host has no address %s" % ", ".join(gone),
                "mediastack_bind_addresses",
                list(wanted),
                _advice(default_address(routes)),
            ),
        )
    path = state_path(project_path)
    saved = atomic_files.read_json(path, {}).get("address")
    current = default_address(routes)
    if saved:
        if is_local(saved):
            return [saved], None, None
        return (
            [saved],
            None,
            problem(
                "bind",
                "the address %s that the web UIs are bound to is gone from this host" % saved,
                path,
                saved,
                (_advice(current) + (", or delete %s to take %s from now on" % (path, current) if current else "")),
            ),
        )
    if current:
        return [current], {"schema": SCHEMA, "address": current}, None
    return (
        [],
        None,
        problem(
            "bind",
            "this host has no default route, so the address for the web UIs is unknown",
            "mediastack_bind_addresses",
            list(wanted),
            "set mediastack_bind_addresses: [an address of this host], or [127.0.0.1] for this host only",
        ),
    )


def save(project_path, to_save):
    """Write what `resolve` gave; nothing for None."""
    if to_save:
        atomic_files.state_directory(project_path)
        atomic_files.write_json(state_path(project_path), to_save)


def state_path(project_path):
    """Where the address of a project is kept."""
    return os.path.join(project_path, ".mediastack", "bind.json")


def default_address(routes="/proc/net/route"):
    """This host's own address on its default route, or None. Nothing is sent.

    By way of the gateway, not of the internet: behind a VPN on the host the two differ, and the gateway is in the
    home network.
    """
    best = None
    try:
        with open(routes, encoding="ascii") as handle:
            rows = [line.split() for line in handle.readlines()[1:]]
    except OSError:
        return None
    for row in rows:
        # Destination and mask 0, flag UP; metric decides.
        if len(row) >= 8 and row[1] == row[7] == "00000000" and int(row[3], 16) & 1:
            gateway = socket.inet_ntoa(struct.pack("=L", int(row[2], 16)))
            if best is None or int(row[6]) < best[0]:
                best = (int(row[6]), gateway)
    if best is None:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((best[1] if best[1] != "0.0.0.0" else _NOWHERE, 9))  # nosec B104 # compared, not listened on
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address == "0.0.0.0" else address  # nosec B104 # compared, not listened on


def _is_local(address):
    """Whether a socket can be bound to the address."""
    if address in ("0.0.0.0", "::"):  # nosec B104 # compared, not listened on
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        # Not a name: what it stands for could move.
        socket.inet_pton(family, address)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (None, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _advice(current):
    if current:
        return "set mediastack_bind_addresses: [%s] (this host's address now)" % current
    return "set mediastack_bind_addresses to an address of this host: it has no default route now"
