# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The internet of a World, in a container: IP echo, DNS server, trackers, news server; all log who came.

The log is /world/seen.jsonl.
"""

import http.server
import json
import os
import pathlib
import socket
import socketserver
import struct
import threading
import time
import urllib.parse
import zlib

WORLD = pathlib.Path("/world")
PLAN = json.loads((WORLD / "plan.json").read_text())
UDP_TRACKER = 6969
INTERVAL = 10  # seconds until a client announces again
LOG = os.open(WORLD / "seen.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
NAMES = {"tracker.example": "tracker", "news.example": "news"}  # every other name is the echo's


def log(kind, source, **more):
    """Write down what came; one line, one write."""
    entry = {"at": time.time(), "kind": kind, "source": source.removeprefix("::ffff:"), **more}
    os.write(LOG, (json.dumps(entry) + "\n").encode())


class Web(http.server.BaseHTTPRequestHandler):
    """The echo, and the HTTP tracker (BEP 3) at the tracker's address."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer."""
        source = self.client_address[0]
        path, _mark, query = self.path.partition("?")
        if path == "/announce":
            asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, encoding="latin-1"))
            port, event = int(asked.get("port") or 0), asked.get("event", "")
            info = asked.get("info_hash", "").encode("latin-1").hex()
            log("announce", source, transport="http", port=port, info_hash=info, event=event)
            body = b"d8:completei0e10:incompletei1e8:intervali%de5:peers0:e" % INTERVAL
        elif path == "/json":
            log("echo", source, path=path)
            body = json.dumps({"ip": source, "country": "Netherlands", "city": "Amsterdam"}).encode()
        else:
            log("echo", source, path=path)
            body = f"{source}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if path == "/json" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        """The log has it."""


class WebServer(http.server.ThreadingHTTPServer):
    """One thread a connection."""

    daemon_threads = True

    def handle_error(self, _request, _address):
        """Clients go away; that is nobody's concern."""


class WebServer6(WebServer):
    """The same for IPv6."""

    address_family = socket.AF_INET6


def dns_answer(query, source, transport):
    """Return the answer to a DNS query, or None when it is none."""
    try:
        number, flags, questions = struct.unpack(">HHH", query[:6])
        labels, place = [], 12
        while query[place]:
            labels.append(query[place + 1 : place + 1 + query[place]].decode("ascii", "replace"))
            place += 1 + query[place]
        kind = struct.unpack(">H", query[place + 1 : place + 3])[0]
    except (struct.error, IndexError):
        return None
    if flags & 0x8000 or questions != 1:
        return None
    name = ".".join(labels).lower()
    log("dns", source, name=name, type=kind, transport=transport)
    address, address6 = PLAN[NAMES.get(name, "echo")]
    data = {1: socket.inet_aton(address), 28: socket.inet_pton(socket.AF_INET6, address6)}.get(kind)
    answer = b"" if data is None else struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(data)) + data
    return struct.pack(">6H", number, 0x8580, 1, bool(answer), 0, 0) + query[12 : place + 5] + answer


class DnsOverTcp(socketserver.BaseRequestHandler):
    """DNS with a length before each message."""

    def handle(self):
        """Answer one query."""
        stream = self.request.makefile("rb")
        head = stream.read(2)
        if len(head) == 2:
            answer = dns_answer(stream.read(struct.unpack(">H", head)[0]), self.client_address[0], "tcp")
            if answer:
                self.request.sendall(struct.pack(">H", len(answer)) + answer)


class News(socketserver.StreamRequestHandler):
    """An NNTP server (RFC 3977) that has every article: part N of a file of zeros, in yEnc, in no hurry."""

    PART, PAUSE = 8192, 0.2  # bytes of a part; seconds for each, so that a download lasts

    def handle(self):
        """Answer commands until the client goes."""
        source = self.client_address[0]
        self.wfile.write(b"200 news of the lab\r\n")
        for line in self.rfile:
            verb, *words = line.decode("ascii", "replace").split() or [""]
            verb, name = verb.upper(), words[-1].strip("<>") if words else ""
            if verb in ("BODY", "ARTICLE"):
                time.sleep(self.PAUSE)
                log("news", source, article=name)
                head = b"Message-ID: <%s>\r\n\r\n" % name.encode() if verb == "ARTICLE" else b""
                code = b"220" if verb == "ARTICLE" else b"222"
                self.wfile.write(b"%s 0 <%s>\r\n%s%s.\r\n" % (code, name.encode(), head, self.part(name)))
            elif verb == "QUIT":
                self.wfile.write(b"205 bye\r\n")
                return
            else:
                said = {"CAPABILITIES": b"101 capabilities\r\nVERSION 2\r\nREADER\r\n.", "DATE": b"111 20260101000000"}
                said |= {"GROUP": b"211 1 1 1 lab", "MODE": b"200 reader", "STAT": b"223 0 <%s>" % name.encode()}
                self.wfile.write(said.get(verb, b"500 what?") + b"\r\n")

    @classmethod
    def part(cls, name):
        """Return the yEnc body of PART-OF@…, whose numbers say which bytes of which file it is."""
        number, _dash, total = name.partition("@")[0].partition("-")
        first, size = (int(number) - 1) * cls.PART, int(total) * cls.PART
        crc = zlib.crc32(bytes(cls.PART))
        lines = [b"=ybegin part=%d total=%d line=128 size=%d name=lab.bin" % (int(number), int(total), size)]
        lines += [b"=ypart begin=%d end=%d" % (first + 1, first + cls.PART)]
        lines += [b"*" * 128] * (cls.PART // 128) + [
            b"=yend size=%d part=%d pcrc32=%08x" % (cls.PART, int(number), crc)
        ]
        return b"\r\n".join(lines) + b"\r\n"


class TcpServer(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    allow_reuse_address = daemon_threads = True


class TcpServer6(TcpServer):
    """The same for IPv6."""

    address_family = socket.AF_INET6


def tracker_answer(packet, source):
    """Return the answer of the UDP tracker (BEP 15), or None."""
    if len(packet) == 16 and packet[:12] == struct.pack(">QI", 0x41727101980, 0):
        return struct.pack(">I", 0) + packet[12:16] + b"mediasta"
    if len(packet) >= 98 and packet[:12] == b"mediasta" + struct.pack(">I", 1):
        event = ("", "completed", "started", "stopped")[min(struct.unpack(">I", packet[80:84])[0], 3)]
        port = struct.unpack(">H", packet[96:98])[0]
        log("announce", source, transport="udp", port=port, info_hash=packet[16:36].hex(), event=event)
        return struct.pack(">I", 1) + packet[12:16] + struct.pack(">III", INTERVAL, 1, 0)
    return None


def serve_udp(address, port, answer):
    """Answer UDP for ever, in a thread; answer(packet, source) may be None."""
    link = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((address, port))

    def loop():
        while True:
            packet, peer = link.recvfrom(2048)
            reply = answer(packet, peer[0])
            if reply:
                link.sendto(reply, peer)

    threading.Thread(target=loop, daemon=True).start()


def start(server):
    """Serve for ever, in a thread."""
    threading.Thread(target=server.serve_forever, daemon=True).start()


def listen():
    """Open every port. Raises OSError while the addresses are not there."""
    for number, (web, tcp) in enumerate(((WebServer, TcpServer), (WebServer6, TcpServer6))):
        start(web((PLAN["echo"][number], 80), Web))
        start(web((PLAN["tracker"][number], 80), Web))
        start(tcp((PLAN["resolver"][number], 53), DnsOverTcp))
        serve_udp(PLAN["resolver"][number], 53, lambda packet, source: dns_answer(packet, source, "udp"))
        serve_udp(PLAN["tracker"][number], UDP_TRACKER, tracker_answer)
        start(tcp((PLAN["news"][number], 119), News))


def has(address):
    """Return whether this namespace has the address."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    while not all(has(address) for name in ("echo", "resolver", "tracker", "news") for address in PLAN[name]):
        time.sleep(0.05)
    listen()
    (WORLD / "internet.ready").write_text("yes\n")
    threading.Event().wait()
