# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Just enough of DNS (RFC 1035) to ask one resolver one question over UDP: what the system's own resolver would do
cannot be steered to another server, and its answers tell nothing about who gave them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from typing import NamedTuple

A, AAAA = 1, 28
PORT = 53
NOERROR, NXDOMAIN = 0, 3
_RECURSION_WANTED = 0x0100
_IS_ANSWER = 0x8000


class BadAnswer(ValueError):
    """What came is no answer to the question."""


class Answer(NamedTuple):
    """What a resolver said: the code (0 fine, 2 it could not find out, 3 no such name) and the addresses."""

    code: int
    addresses: tuple

    @property
    def knows(self):
        """Whether somebody who knows was asked: there is such a name, or there is none."""
        return self.code in (NOERROR, NXDOMAIN)


def query(name, kind=A, identifier=None):
    """The bytes of a question for `name`; `kind`: A or AAAA. ValueError for what is no name."""
    labels = [label.encode("idna" if not label.isascii() else "ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError("%r is no name" % name)
    identifier = struct.unpack("!H", os.urandom(2))[0] if identifier is None else identifier
    head = struct.pack("!HHHHHH", identifier, _RECURSION_WANTED, 1, 0, 0, 0)
    return head + b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack("!HH", kind, 1)


def parse(packet, asked):
    """The Answer in `packet` to the question `asked` (of `query`). BadAnswer."""
    if len(packet) < 12 or packet[:2] != asked[:2]:
        raise BadAnswer("another question's answer")
    _identifier, flags, questions, answers, _authority, _more = struct.unpack("!HHHHHH", packet[:12])
    if not flags & _IS_ANSWER:
        raise BadAnswer("a question")
    wanted = struct.unpack("!H", asked[-4:-2])[0]
    place, found = 12, []
    try:
        for _question in range(questions):
            place = _after_name(packet, place) + 4
        for _record in range(answers):
            place = _after_name(packet, place)
            kind, _class, _ttl, length = struct.unpack("!HHIH", packet[place : place + 10])
            data = packet[place + 10 : place + 10 + length]
            place += 10 + length
            if (kind, len(data)) == (wanted, 4 if wanted == A else 16):
                found.append(socket.inet_ntop(socket.AF_INET if kind == A else socket.AF_INET6, data))
    except (IndexError, struct.error) as error:
        raise BadAnswer("it is cut off") from error
    return Answer(flags & 15, tuple(found))


def _after_name(packet, place):
    while True:
        length = packet[place]
        if length >= 0xC0:
            return place + 2
        place += 1 + length
        if length == 0:
            return place


def ask(server, name, kind=A, timeout=3.0, on_port=None):
    """(Answer or None, why there is none) of the resolver at the address `server`.

    `on_port`: function that is told the local port before anything is sent, so that a capture can know the packet.
    The reason is the name of the errno where the kernel refuses to send, `timeout` where nothing comes.
    """
    asked = query(name, kind)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    until = time.monotonic() + timeout
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind(("", 0))
            if on_port:
                on_port(sock.getsockname()[1])
            sock.connect((server, PORT))
            sock.send(asked)
            while True:
                left = until - time.monotonic()
                if left <= 0:
                    return None, "timeout"
                sock.settimeout(left)
                try:
                    return parse(sock.recv(4096), asked), None
                except BadAnswer:
                    continue
    except socket.timeout:
        return None, "timeout"
    except OSError as error:
        return None, reason(error)


def reason(error):
    """The name of an OSError's errno, as texts and tests know it."""
    return errno.errorcode.get(error.errno or 0, error.__class__.__name__)
