# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Servers on loopback that take notifications and keep what arrived: a webhook, ntfy, mail."""

from __future__ import annotations

import contextlib
import email
import email.policy
import http.server
import json
import socket
import threading

from aiosmtpd.controller import Controller


class Hooks:
    """An HTTP server for `json://` and `ntfy://`; `got` has one entry a message: `{path, authorization, body}`."""

    def __init__(self):
        self.got = []
        self.answer = 200
        self._server = None
        self.port = 0
        self.up()

    def up(self):
        """Listen, on the same port as before."""
        hooks = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if hooks.answer == 200:
                    one = {"path": self.path, "authorization": self.headers.get("Authorization")}
                    hooks.got.append({**one, "body": json.loads(body)})
                self.send_response(hooks.answer)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def down(self):
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def take(self):
        """What has arrived since the last call: `[(title, text)]`."""
        taken, self.got = self.got, []
        return [(one["body"]["title"], one["body"]["message"]) for one in taken]


class Mails:
    """An SMTP server; `got` has the messages."""

    def __init__(self):
        self.got = []
        mails = self

        class Handler:
            async def handle_DATA(self, _server, _session, envelope):
                mails.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
                return "250 OK"

        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._controller = Controller(Handler(), hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def down(self):
        """Listen no more."""
        with contextlib.suppress(Exception):
            self._controller.stop()
