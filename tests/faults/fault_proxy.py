# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands between everybody and the registry: lets all pass, or fails in the way a registry does.

    with FaultProxy(port, backend_port) as proxy:
        proxy.fail("429", path=r"/manifests/")
        …
        proxy.mend()

Kinds: "429" (with Retry-After), "503", "hang" (takes the request and never answers), "truncated" (the announced length,
half of the bytes, end of connection), "dead" (nobody listens).
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import socket
import threading

KINDS = ("429", "503", "hang", "truncated", "dead")
RETRY_AFTER = 2
# What belongs to one connection and is not handed on.
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        """Whoever breaks off is no error here."""


class FaultProxy:
    """An HTTP proxy for one registry, with faults."""

    def __init__(self, port, backend, addresses=("127.0.0.1",)):
        """port: where it listens, on each of `addresses`; backend: port of the registry on 127.0.0.1."""
        self.port, self.backend, self.addresses = port, backend, addresses
        #: (method, path) of every request since the last fault was set.
        self.seen = []
        #: Set when a request has met the fault.
        self.met = threading.Event()
        self._kind, self._path = None, re.compile("")
        self._release = threading.Event()
        self._servers = []

    def __enter__(self):
        self._listen()
        return self

    def __exit__(self, *_error):
        self._release.set()
        self._close()

    def fail(self, kind, path=""):
        """From now on requests whose path matches the regular expression fail so."""
        assert kind in KINDS, f"{kind} is none of {', '.join(KINDS)}"
        self.mend()
        self.seen, self._path = [], re.compile(path)
        self._release = threading.Event()
        self._kind = kind
        if kind == "dead":
            self._close()
            self.met.set()

    def mend(self):
        """All is well again; who was kept waiting is hung up on."""
        self._kind = None
        self.met.clear()
        self._release.set()
        if not self._servers:
            self._listen()

    # inside

    def _listen(self):
        handler = type("Handler", (_Handler,), {"proxy": self})
        for address in self.addresses:
            server = _Server((address, self.port), handler)
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def _close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    def fault_for(self, method, path):
        """The fault that a request meets, or None."""
        self.seen.append((method, path))
        kind = self._kind if self._kind and self._path.search(path) else None
        if kind:
            self.met.set()
        return kind

    def wait(self):
        """Keep a request waiting until the fault is over."""
        self._release.wait()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy = None

    def do_GET(self):
        """Hand on, or fail."""
        kind = self.proxy.fault_for(self.command, self.path)
        if kind == "hang":
            self.proxy.wait()
            self.close_connection = True
        elif kind in ("429", "503"):
            self._refuse(int(kind))
        else:
            self._pass_on(truncated=kind == "truncated")

    do_HEAD = do_GET

    def _refuse(self, status):
        code = "TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE"
        words = "You have reached your pull rate limit." if status == 429 else "The registry is being serviced."
        body = json.dumps({"errors": [{"code": code, "message": words}]}).encode()
        self.send_response(status)
        self.send_header("Retry-After", str(RETRY_AFTER))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _pass_on(self, truncated):
        backend = http.client.HTTPConnection("127.0.0.1", self.proxy.backend, timeout=30)
        with contextlib.closing(backend):
            # One by one: the engine sends several `Accept`.
            backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP:
                    backend.putheader(name, value)
            backend.endheaders()
            answer = backend.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") or str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body[: len(body) // 2] if truncated else body)
            if truncated:
                self.wfile.flush()
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_words):
        """Nothing."""
