# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A DNS provider of the tests: a zone that answers by DNS, and takes TXT records as lego's provider `httpreq`
sends them (https://go-acme.github.io/lego/dns/httpreq/).
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import struct
import threading

_A, _NS, _SOA, _TXT = 1, 2, 6, 16
# Binds an address that a network brings later.
_IP_FREEBIND = 15


def _name(text):
    """A name as it stands in a message, uncompressed."""
    labels = [label.encode() for label in text.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class Provider:
    """The zone of a domain; every name below it is at `address`, whose port 53 this is.

    Attributes:
        records: name → set of texts.
        given: name and password that each change came with.
        port: of the provider's own interface.
    """

    def __init__(self, domain, address):
        self.domain, self.address = domain, address
        self.records, self.given = {}, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)
        self.socket.bind((address, 53))
        handler = type("Handler", (_Handler,), {"provider": self})
        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler)
        self.port = self.server.server_address[1]
        for loop in (self.server.serve_forever, self._answer_all):
            threading.Thread(target=loop, daemon=True).start()

    def close(self):
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self.socket.close()

    def texts(self, name):
        """The texts of a name's TXT records, now and earlier: what was checked may be taken away before it is asked."""
        return self.records.get(name.strip(".").lower(), set())

    def _answer_all(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                data, sender = self.socket.recvfrom(4096)
                self.socket.sendto(self._reply(data), sender)

    def _reply(self, data):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        (kind,) = struct.unpack("!H", data[at + 1 : at + 3])
        found = self._found(".".join(labels).lower(), kind)
        answers = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(content)) + content for content in found)
        # An answer of the zone's own server, with the question as it was asked.
        return data[:2] + struct.pack("!HHHHH", 0x8580, 1, len(found), 0, 0) + data[12 : at + 5] + answers

    def _found(self, name, kind):
        inside = name == self.domain or name.endswith("." + self.domain)
        if kind == _TXT:
            return [bytes([len(text)]) + text.encode() for text in sorted(self.texts(name))]
        if kind == _A and inside:
            return [socket.inet_aton(self.address)]
        if name != self.domain:
            return []
        if kind == _NS:
            return [_name("ns." + self.domain)]
        if kind == _SOA:
            numbers = struct.pack("!IIIII", 1, 3600, 600, 86400, 1)
            return [_name("ns." + self.domain) + _name("me." + self.domain) + numbers]
        return []


class _Handler(http.server.BaseHTTPRequestHandler):
    provider = None

    def log_message(self, *_arguments):
        """Nobody reads it."""

    def do_POST(self):  # noqa: N802 - as http.server calls it
        """`/present` and `/cleanup`."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        secret = self.headers.get("Authorization", "").removeprefix("Basic ")
        self.provider.given.append(base64.b64decode(secret).decode())
        if self.path == "/present":
            self.provider.records.setdefault(asked["fqdn"].strip(".").lower(), set()).add(asked["value"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
