# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tdarr's server: status and nodes on the UI's and the server's port. Closed source.

The bodies are what its users report.
"""

import json
import os
import time

from ..core import App, json_response, page


class APP(App):
    """Ports 8265 (UI) and 8266 (server), /app/configs."""

    config_dir = "/app/configs"
    owned = ("/app/server", "/app/configs", "/app/logs")
    starting_for = 0.0
    refuse = 1.0

    def prepare(self):
        """Write the server's config file where there is none."""
        self.ports = (int(self.env.get("webUIPort") or 8265), int(self.env.get("serverPort") or 8266))
        self.nodes = {}
        path = self.path("Tdarr_Server_Config.json")
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as stream:
                json.dump(
                    {"serverPort": str(self.ports[1]), "webUIPort": str(self.ports[0]), "serverIP": "0.0.0.0"},
                    stream,
                    indent=2,
                )
        if self.env.get("internalNode", "").lower() == "true":
            name = self.env.get("nodeName") or "MyInternalNode"
            self.nodes[name] = {"nodeName": name, "nodePaused": False, "workers": {}, "seen": float("inf")}

    def allowed(self, request):
        """Return whether a call may pass: with auth=true it carries the key."""
        if self.env.get("auth", "").lower() != "true":
            return True
        key = self.env.get("seededApiKey") or self.env.get("apiKey") or self.env.get("authSecretKey")
        return bool(key) and request.headers.get("x-api-key") == key

    def handle(self, request):
        """Answer status, nodes and the UI."""
        if request.path == "/api/v2/status":
            uptime = round(time.time() - self.began, 1)
            return json_response(
                {"status": "good", "isProduction": True, "os": "linux", "version": self.version, "uptime": uptime}
            )
        if request.path.startswith("/api/v2/"):
            if not self.allowed(request):
                return json_response({"message": "Unauthorized"}, 401)
            if request.path == "/api/v2/get-nodes":
                alive = {name: node for name, node in self.nodes.items() if node["seen"] > time.time() - 15}
                return json_response(
                    {name: {key: value for key, value in node.items() if key != "seen"} for name, node in alive.items()}
                )
            if request.path == "/api/v2/lab-node" and request.method == "POST":
                name = (request.json() or {}).get("nodeName") or "node"
                self.nodes[name] = {"nodeName": name, "nodePaused": False, "workers": {}, "seen": time.time()}
                return json_response({})
            return json_response({"message": "Not Found"}, 404)
        return page("Tdarr")
