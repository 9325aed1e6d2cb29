# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Homepage: its health and API behind the host check; example files where there are none (src/middleware.js, 1.x)."""

import os

from ..core import TEXT, App, Response, json_response, page

FILES = (
    "bookmarks.yaml",
    "docker.yaml",
    "kubernetes.yaml",
    "services.yaml",
    "settings.yaml",
    "widgets.yaml",
    "custom.css",
    "custom.js",
)


class APP(App):
    """Port 3000, /app/config."""

    config_dir = "/app/config"
    owned = ("/app/config",)
    starting_for = 0.0

    def prepare(self):
        """Put an example where a file is missing."""
        self.ports = (int(self.env.get("PORT") or 3000),)
        for name in FILES:
            if os.path.isdir(self.config_dir) and not os.path.exists(self.path(name)):
                with open(self.path(name), "w", encoding="utf-8") as stream:
                    stream.write("---\n" if name.endswith(".yaml") else "")

    def handle(self, request):
        """Check the Host header of API calls, then answer."""
        if request.path.startswith("/api/"):
            allowed = [f"{name}:{self.ports[0]}" for name in ("localhost", "127.0.0.1", "[::1]")]
            wanted = self.env.get("HOMEPAGE_ALLOWED_HOSTS", "")
            host = request.headers.get("Host") or ""
            if wanted != "*" and host not in [*allowed, *wanted.split(",")]:
                print(
                    f"Host validation failed for: {host}. Hint: Set the HOMEPAGE_ALLOWED_HOSTS environment variable "
                    "to allow requests from this host / port.",
                    flush=True,
                )
                return json_response({"error": "Host validation failed. See logs for more details."}, 400)
            if request.path == "/api/healthcheck":
                return Response(200, "up", TEXT)
            return json_response({"error": "Not Found"}, 404)
        return page("Homepage")
