# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A loopback server that sends given bytes, and the recorded exchanges as the bytes that they were."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import struct
import threading

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "gluetun"
RECORDINGS = sorted(FIXTURES.glob("http-*.jsonl"))
AUTH_HEADERS = ("x-api-key", "authorization")


class Exchange:
    """One recorded exchange."""

    def __init__(self, line):
        recorded = json.loads(line)
        self.seq, self.method, self.target = recorded["seq"], recorded["method"], recorded["target"]
        self.sent, self.status, self.body = recorded["body"], recorded["status"], recorded["resp_body"]
        self.auth = {k.lower(): v for k, v in recorded["headers"].items() if k.lower() in AUTH_HEADERS}
        head = [f"HTTP/1.1 {self.status} {recorded['reason']}"]
        head += [f"{name}: {value}" for name, value in recorded["resp_headers"].items()]
        payload = self.body.encode()
        if "Transfer-Encoding" in recorded["resp_headers"]:
            payload = b"%x\r\n%s\r\n0\r\n\r\n" % (len(payload), payload)
        #: What went over the wire.
        self.wire = "\r\n".join([*head, "", ""]).encode() + payload


def read(path):
    """The exchanges of a recording, in order."""
    return [Exchange(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Request:
    """A request as it arrived."""

    def __init__(self, data):
        head, _blank, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _version = first.split(" ")
        self.headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}

    @property
    def auth(self):
        return {name: value for name, value in self.headers.items() if name in AUTH_HEADERS}


class WireServer:
    """Sends what `answer(Request)` returns: bytes, or a function of the open connection. Keeps the requests."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing.set()
        # A thread in accept() is woken by a connection, not by a close.
        with contextlib.suppress(OSError):
            socket.create_connection(self.listener.getsockname(), 1).close()
        self.listener.close()

    def _accept(self):
        while not self.closing.is_set():
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                data += chunk
            request = Request(data)
            missing = int(request.headers.get("content-length", 0)) - len(request.body)
            while missing > 0:
                chunk = connection.recv(missing)
                request.body += chunk
                missing -= len(chunk)
            self.requests.append(request)
            answer = self.answer(request)
            if callable(answer):
                answer(connection, self.closing)
            else:
                connection.sendall(answer)


def http(status=200, body="", content_type="text/plain; charset=utf-8", **headers):
    """The bytes of an answer."""
    payload = body.encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(payload)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload


def well(request, **changes):
    """A healthy gluetun v3.41.3; `changes` are other answers by target (slashes as double underscores)."""
    answers = {
        "/v1/vpn/status": http(body='{"status":"running"}\n'),
        "/v1/publicip/ip": http(body='{"public_ip":"185.159.157.1","country":"Netherlands"}\n'),
        "/v1/portforward": http(body='{"port":5914,"ports":[5914]}\n'),
        "/v1/dns/status": http(body='{"status":"running"}\n'),
        "/v1/updater/status": http(body='{"status":"completed"}\n'),
        "/v1/openvpn/status": http(body='{"status":"stopped"}\n'),
        "/v1/version": http(body='{"version":"v3.41.3","commit":"3d1e20c"}\n'),
        **changes,
    }
    return answers.get(request.target, http(404, "Not Found\n", X_Content_Type_Options="nosniff"))


def reset(connection, _closing):
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(connection, closing):
    """Say nothing."""
    closing.wait(30)


def trickle(data, pause=0.05):
    """One byte at a time."""

    def send(connection, closing):
        for number in range(len(data)):
            connection.sendall(data[number : number + 1])
            if closing.wait(pause):
                return

    return send
