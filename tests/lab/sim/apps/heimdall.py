# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Heimdall: a dashboard with no API and no health endpoint.

Its front page on 80 and, with a certificate of its own, 443.
"""

import os
import sqlite3
import ssl
import subprocess

from ..core import App, page, serve


class APP(App):
    """Ports 80 and 443, /config/www/app.sqlite."""

    ports = (80,)
    starting_for = 0.0

    def prepare(self):
        """Create what the image creates at its first start: the database and a self-signed certificate."""
        for name in ("www", "keys", "log"):
            os.makedirs(self.path(name), exist_ok=True)
        with sqlite3.connect(self.path("www", "app.sqlite")) as database:
            database.execute("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, title TEXT, url TEXT)")
        database.close()
        self.key, self.certificate = self.path("keys", "cert.key"), self.path("keys", "cert.crt")
        if not os.path.exists(self.certificate):
            command = [
                "openssl",
                "req",
                "-new",
                "-x509",
                "-days",
                "3650",
                "-nodes",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ]
            subprocess.run(
                [*command, "-subj", "/CN=*", "-keyout", self.key, "-out", self.certificate],
                check=True,
                capture_output=True,
            )

    def background(self):
        """Serve 443 beside 80."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        serve(("", 443), self.respond, self.faults.now, context)

    def handle(self, _request):
        """Return the front page."""
        return page("Heimdall")
