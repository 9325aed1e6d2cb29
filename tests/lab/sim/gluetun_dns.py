# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun's DNS server on 127.0.0.1:53: names of the internet through the tunnel, names without a dot from Docker.

The real one asks its upstream over TLS or HTTPS; this one asks in plain, through the same tunnel. Sources: facts of
internal/dns of gluetun v3.41 (resolv.conf is rewritten when the server starts, after the first tunnel).
"""

import contextlib
import re
import socket
import socketserver
import struct
import threading

RESOLV = "/etc/resolv.conf"
PATIENCE = 3.0  # seconds for an upstream's answer
SERVFAIL = 2


def question_name(query):
    """Return the name of a DNS query, "" when it has none."""
    labels, place = [], 12
    while place < len(query) and query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii", "replace"))
        place += 1 + query[place]
    return ".".join(labels)


def nameserver(path=RESOLV):
    """Return the first name server of a resolv.conf, or None."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as stream:
        found = re.search(r"^nameserver\s+(\S+)", stream.read(), re.MULTILINE)
        return found[1] if found else None
    return None


def use_own(path=RESOLV):
    """Make the own server the only one, in place: the file is shared with those in the same namespace."""
    with open(path, "r+", encoding="utf-8") as stream:
        kept = [line for line in stream.read().splitlines() if not line.startswith("nameserver")]
        stream.seek(0)
        stream.truncate()
        stream.write("\n".join(["nameserver 127.0.0.1", *kept]) + "\n")


class Dns:
    """The server; is_on() says whether it answers (PUT /v1/dns/status)."""

    def __init__(self, upstream, is_on):
        """Take the upstream's address, or "" for none."""
        self.upstream, self.is_on = upstream, is_on
        self.docker = nameserver()

    def answer(self, query):
        """Return the upstream's answer, SERVFAIL when there is none, None when the server is stopped."""
        if not self.is_on() or len(query) < 12:
            return None
        server = self.upstream if "." in question_name(query) else self.docker
        with contextlib.suppress(OSError):
            kind = socket.AF_INET6 if ":" in (server or "") else socket.AF_INET
            with socket.socket(kind, socket.SOCK_DGRAM) as link:
                link.settimeout(PATIENCE)
                link.connect((server or "", 53))
                link.send(query)
                while True:
                    answer = link.recv(4096)
                    if answer[:2] == query[:2]:
                        return answer
        flags = 0x8000 | (struct.unpack(">H", query[2:4])[0] & 0x0100) | 0x0080 | SERVFAIL
        return query[:2] + struct.pack(">H", flags) + query[4:6] + b"\0" * 6 + query[12:]

    def start(self, address=("127.0.0.1", 53)):
        """Listen on UDP and TCP, in threads, and make this machine's resolver use it. Raises OSError."""
        dns = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self):
                """Answer one datagram."""
                answer = dns.answer(self.request[0])
                if answer:
                    self.request[1].sendto(answer, self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            def handle(self):
                """Answer one query with its length in front."""
                head = self.rfile.read(2)
                answer = dns.answer(self.rfile.read(struct.unpack(">H", head)[0])) if len(head) == 2 else None
                if answer:
                    self.wfile.write(struct.pack(">H", len(answer)) + answer)

        class Tcp(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        class Udp(socketserver.ThreadingUDPServer):
            daemon_threads = True

        for server in (Udp(address, Datagram), Tcp(address, Stream)):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        use_own()
