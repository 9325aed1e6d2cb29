# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docker-socket-proxy: what its haproxy.cfg lets through to the mounted socket, and nothing else.

https://github.com/Tecnativa/docker-socket-proxy/blob/master/haproxy.cfg
"""

import os
import re
import socket
import socketserver
import threading
import time

from .. import core

SECTIONS = [
    "auth",
    "build",
    "commit",
    "configs",
    "containers",
    "distribution",
    "events",
    "exec",
    "grpc",
    "images",
    "info",
    "networks",
    "nodes",
    "_ping",
    "plugins",
    "secrets",
    "services",
    "session",
    "swarm",
    "system",
    "tasks",
    "version",
    "volumes",
]
ON_BY_DEFAULT = ("EVENTS", "PING", "VERSION")
FORBIDDEN = b"<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n"
ACTIONS = {"start": "ALLOW_START", "stop": "ALLOW_STOP", "restart": "ALLOW_RESTARTS", "kill": "ALLOW_RESTARTS"}


class APP(core.App):
    """Port 2375."""

    owned = ()

    def allowed(self, method, path):
        """Return whether a request may pass."""
        bare = re.sub(r"^/v[\d.]+", "", path.partition("?")[0])
        action = re.fullmatch(r"/containers/[a-zA-Z0-9_.-]+/(start|stop|restart|kill)", bare)
        if action and self.on(ACTIONS[action[1]]):
            return True
        if method not in ("GET", "HEAD") and not self.on("POST"):
            return False
        return any(
            bare == f"/{name}" or bare.startswith(f"/{name}/") for name in SECTIONS if self.on(name.lstrip("_").upper())
        )

    def on(self, name):
        """Return whether a section is switched on."""
        return (self.env.get(name) or ("1" if name in ON_BY_DEFAULT else "0")) == "1"

    def run(self):
        """Serve until the container is stopped. Returns the exit code."""
        core.stop_on_signals()
        core.begin(self)
        app, path = self, self.env.get("SOCKET_PATH") or "/var/run/docker.sock"

        class Proxy(socketserver.StreamRequestHandler):
            def handle(self):
                """Pass one request on and copy the answer as it comes; the connection ends with it."""
                head = self.head()
                if not head:
                    return
                method, target = head.split(b" ", 2)[:2]
                while "hang" in app.faults.now():
                    time.sleep(0.2)
                if "unhealthy" in app.faults.now() or not app.allowed(method.decode(), target.decode()):
                    status = b"503 Service Unavailable" if "unhealthy" in app.faults.now() else b"403 Forbidden"
                    length = str(len(FORBIDDEN)).encode()
                    self.wfile.write(
                        b"HTTP/1.0 " + status + b"\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n"
                    )
                    self.wfile.write(
                        b"content-length: " + length + b"\r\n\r\n" + (b"" if method == b"HEAD" else FORBIDDEN)
                    )
                    return
                with socket.socket(socket.AF_UNIX) as engine:
                    try:
                        engine.connect(path)
                    except OSError:
                        self.wfile.write(b"HTTP/1.0 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
                        return
                    engine.sendall(
                        re.sub(rb"\r\n[Cc]onnection:[^\r\n]*", b"", head[:-2]) + b"Connection: close\r\n\r\n"
                    )
                    threading.Thread(target=self.upload, args=(engine,), daemon=True).start()
                    while chunk := engine.recv(65536):
                        self.wfile.write(chunk)

            def head(self):
                """Return the request line and headers."""
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = self.rfile.readline(65536)
                    if not line:
                        return b""
                    head += line
                return head

            def upload(self, engine):
                """Copy the request's body."""
                try:
                    while chunk := self.rfile.read1(65536):
                        engine.sendall(chunk)
                except (OSError, ValueError):
                    pass

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, _request, _address):
                """A client that went away is nobody's concern."""

        print(f"docker-socket-proxy (stand-in of the lab) on 2375 for {path} as {os.getuid()}", flush=True)
        with Listener(("0.0.0.0", 2375), Proxy) as listener:
            listener.serve_forever()
        return 0
