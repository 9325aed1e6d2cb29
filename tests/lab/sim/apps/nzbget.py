# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NZBGet: user and password from the environment win over nzbget.conf; everything asks for them (Basic).

JSON-RPC as 21.0 answered (tests/fixtures/downloaders), with a queue that is always empty.
"""

import base64
import os
import time

from ..core import App, Response, json_response, page

SIZES = ("Remaining", "Forced", "Downloaded", "Month", "Day")
COUNTERS = ("DownloadRate", "AverageDownloadRate", "DownloadLimit", "PostJobCount", "UrlCount", "QueueScriptCount")
FLAGS = ("QuotaReached", "PostPaused", "ScanPaused", "FeedActive")


class APP(App):
    """Port 6789, /config/nzbget.conf."""

    starting_for = 0.0

    def prepare(self):
        """Read nzbget.conf; write one where there is none."""
        path = self.path("nzbget.conf")
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(
                    "MainDir=/downloads\nControlPort=6789\nControlUsername=nzbget\nControlPassword=tegbzn6789\n"
                )
        with open(path, encoding="utf-8") as stream:
            pairs = [line.rstrip("\n").partition("=") for line in stream if "=" in line and not line.startswith("#")]
        settings = {name.strip(): value for name, _equals, value in pairs}
        user = self.env.get("NZBGET_USER") or settings.get("ControlUsername") or "nzbget"
        password = self.env.get("NZBGET_PASS") or settings.get("ControlPassword") or "tegbzn6789"
        self.credentials = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.ports = (int(settings.get("ControlPort") or 6789),)
        self.paused, self.since = False, time.time()
        self.servers = [
            {"ID": number, "Active": settings.get(f"Server{number}.Active", "yes") == "yes"}
            for number in range(1, 99)
            if settings.get(f"Server{number}.Host")
        ]

    def handle(self, request):
        """Ask for the password, always."""
        if request.headers.get("Authorization") != self.credentials:
            return Response(
                401,
                "<html><body><h1>401 Unauthorized</h1></body></html>",
                "text/html",
                [("WWW-Authenticate", 'Basic realm="NZBGet"')],
            )
        if request.path == "/jsonrpc/version":
            return json_response({"version": "1.1", "result": self.version})
        if request.path == "/jsonrpc" and request.method == "POST":
            return json_response({"version": "1.1", "id": 1, **self.rpc((request.json() or {}).get("method"))})
        return page("NZBGet")

    def rpc(self, method):
        """Return the result of a method, or the error of one that is not known."""
        if method in ("pausedownload", "resumedownload"):
            self.paused = method == "pausedownload"
            return {"result": True}
        if method == "listgroups":
            return {"result": []}
        if method == "version":
            return {"result": self.version}
        if method != "status":
            return {"error": {"name": "JSONRPCError", "code": 1, "message": "Invalid procedure"}}
        sizes = {f"{name}Size{unit}": 0 for name in SIZES for unit in ("Lo", "Hi", "MB")}
        return {
            "result": {
                **sizes,
                **dict.fromkeys(COUNTERS, 0),
                **dict.fromkeys(FLAGS, False),
                "DownloadPaused": self.paused,
                "ServerStandBy": True,
                "UpTimeSec": int(time.time() - self.since),
                "NewsServers": self.servers,
            }
        }
