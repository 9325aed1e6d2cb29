# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A browser's view of the ingress: names that lead to this machine, TLS that is verified, no redirect followed."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import NamedTuple

# A program that says which headers it was sent, as a service file of one's own.
MIRROR = """services:
  {{ mediastack_service }}:
    image: ghcr.io/gethomepage/homepage:v1.12.3
    entrypoint: [python3, -c]
    command:
      - |
        import http.server, json
        class Mirror(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"path": self.path, "headers": dict(self.headers.items())}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        http.server.ThreadingHTTPServer(("", 7000), Mirror).serve_forever()
    healthcheck: {test: [CMD, "true"], interval: 2s}
    x-mediastack:
      title: Mirror
      profiles: [mirror]
      run_as: root
      ports: {web: {port: %d, target: 7000}}
      health: {kind: tcp, port: web}
      route: {open: [/api]}
      login: {kind: env}
"""


class Answer(NamedTuple):
    """What came back; `peer` is the server's certificate, verified, None without TLS."""

    status: int
    headers: http.client.HTTPMessage
    body: str
    peer: dict | None


class _Connection(http.client.HTTPConnection):
    """To 127.0.0.1, whatever the name; with TLS for that name."""

    def __init__(self, host, port, context):
        super().__init__(host, port, timeout=15)
        self.context = context

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        if self.context:
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)


def fetch(host, port, path="/", authority=None, method="GET", body=None, headers=None, told=None):
    """One request; with `authority` (a PEM file) by TLS, verified against that and no other.

    `told`: the Host header, where it is not what a browser sends.
    """
    context = ssl.create_default_context(cafile=str(authority)) if authority else None
    connection = _Connection(host, port, context)
    default = 443 if authority else 80
    told = told or (host if port == default else f"{host}:{port}")
    try:
        connection.request(method, path, body, {"Host": told, **(headers or {})})
        peer = connection.sock.getpeercert() if context else None
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"), peer)
    finally:
        connection.close()
