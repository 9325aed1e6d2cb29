# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the leak lab runs inside its namespaces: `leak_lab_servers.py internet|gluetun JSON`. Standard library only.

`internet`: an IP echo (HTTP), a DNS server that knows one name and a UDP tracker. `gluetun`: a control
server that takes the interface tun0 down and up, and a DNS server on 127.0.0.1 that asks the internet's.
"""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
import time


class Quiet(http.server.BaseHTTPRequestHandler):
    """Answers as text, and logs nothing."""

    def log_message(self, *_arguments):
        """Say nothing."""

    def answer(self, status, text):
        """Send `text`."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def serve(port, handler):
    """Serve HTTP on every address in a thread."""

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

    threading.Thread(target=Server(("::", port), handler).serve_forever, daemon=True).start()


def datagrams(address, port, reply):
    """Answer datagrams with `reply(bytes)` in a thread; from the address that was asked."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))

    def loop():
        while True:
            try:
                data, sender = sock.recvfrom(4096)
                said = reply(data)
                if said:
                    sock.sendto(said, sender)
            except OSError:
                continue

    threading.Thread(target=loop, daemon=True).start()


def internet(config):
    """The internet, at `addresses`."""

    class Echo(Quiet):
        def do_GET(self):
            self.answer(200, self.client_address[0].replace("::ffff:", "") + "\n")

    serve(80, Echo)
    known = socket.inet_aton(config["echo"])
    for address in config["addresses"]:
        # One answer to everything: name and question copied, one A record that points back at the name.
        datagrams(
            address,
            53,
            lambda asked: (
                asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + known
            ),
        )
        datagrams(address, 6969, lambda asked: b"\0\0\0\0" + asked[12:16] + b"12345678")


def gluetun(config):
    """gluetun's control server and resolver."""
    state = {"status": "running"}

    def tunnel(up):
        for command in config["up" if up else "down"]:
            subprocess.run(command, check=False, capture_output=True)

    class Control(Quiet):
        def allowed(self, key):
            if self.headers.get("X-API-Key") != key:
                self.answer(401, "Unauthorized\n")
                return False
            return True

        def do_GET(self):
            up = state["status"] == "running"
            found = {
                "/v1/vpn/status": {"status": state["status"]},
                "/v1/publicip/ip": {"public_ip": config["exit"] if up else ""},
                "/v1/version": {"version": "v3.41.3"},
                "/v1/portforward": {"port": 0},
            }.get(self.path)
            if self.allowed("reads"):
                self.answer(200 if found else 404, json.dumps(found) + "\n")

        def do_PUT(self):
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["status"]
            if not self.allowed("controls"):
                return
            before, state["status"] = state["status"], wanted
            if before != wanted:
                tunnel(wanted == "running")
            self.answer(200, json.dumps({"outcome": wanted if before != wanted else "already " + wanted}) + "\n")

    def forward(asked):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            try:
                sock.connect((config["upstream"], 53))
                sock.send(asked)
                return sock.recv(4096)
            except OSError:
                return asked[:2] + b"\x81\x82\0\1\0\0\0\0\0\0" + asked[12:]

    tunnel(True)
    serve(8000, Control)
    datagrams("127.0.0.1", 53, forward)


if __name__ == "__main__":
    {"internet": internet, "gluetun": gluetun}[sys.argv[1]](json.loads(sys.argv[2]))
    print("ready", flush=True)
    while True:
        time.sleep(3600)
