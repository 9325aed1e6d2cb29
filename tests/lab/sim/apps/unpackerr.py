# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Unpackerr: no shell, no web UI; a metrics page when UN_WEBSERVER_METRICS is true.

It runs on whatever happens to its apps.
"""

import os
import re

from ..core import TEXT, App, Response
from ..identity import StartError


class APP(App):
    """Port 5656 for metrics only."""

    owned = ()
    starting_for = 0.0

    def prepare(self):
        """Read the apps from UN_<APP>_<n>_URL; a value filepath:PATH is read from that file."""
        apps = []
        for name in sorted(self.env):
            match = re.fullmatch(r"UN_(SONARR|RADARR|LIDARR|READARR|WHISPARR)_(\d+)_URL", name)
            if match:
                key = self.value(f"UN_{match[1]}_{match[2]}_API_KEY")
                if len(key) != 32:
                    print(
                        f"[WARN] {match[1].title()} (id: {match[2]}, {self.env[name]}): Skipped Server: "
                        "API key must be 32 characters",
                        flush=True,
                    )
                    continue
                apps.append((match[1].title(), self.env[name]))
        for title, url in apps:
            print(f"[INFO]  => {title} Config: 1 server: {url}", flush=True)
        if not apps:
            print("[INFO] No Starr apps or folders configured.", flush=True)
        if self.env.get("UN_WEBSERVER_METRICS", "").lower() == "true":
            self.ports = (int((self.env.get("UN_WEBSERVER_LISTEN_ADDR") or "0.0.0.0:5656").rpartition(":")[2]),)

    def value(self, name):
        """Return a setting, following filepath:."""
        value = self.env.get(name, "")
        if not value.startswith("filepath:"):
            return value
        path = value.removeprefix("filepath:")
        try:
            with open(path, encoding="utf-8") as stream:
                return stream.read().strip()
        except OSError as error:
            raise StartError(
                f"[ERROR] using environment variables: element failure: {name}: opening file: open {path}: "
                f"{os.strerror(error.errno).lower()}"
            ) from None

    def handle(self, request):
        """Answer /metrics and the index."""
        if request.path == "/metrics":
            return Response(
                200,
                "# HELP unpackerr_uptime_seconds_total Seconds Unpackerr has been running.\n"
                "# TYPE unpackerr_uptime_seconds_total counter\n",
                TEXT,
            )
        if request.path == "/":
            return Response(200, "unpackerr: index\n", TEXT)
        return Response(404, "404 page not found\n", TEXT)
