# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Seerr: requests. Public pages, settings.json, and 403 for every key until somebody has signed in (3.x)."""

import json
import os
import secrets

from ..core import App, json_response, page, redirect


class APP(App):
    """Port 5055, /app/config/settings.json, runs as the image's user."""

    config_dir = "/app/config"
    owned = ()

    def prepare(self):
        """Fill settings.json with what is missing; API_KEY wins over the file."""
        self.ports = (int(self.env.get("PORT") or 5055),)
        path, self.settings = self.path("settings.json"), {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                self.settings = json.load(stream)
        main = self.settings.setdefault("main", {})
        main.setdefault("applicationTitle", "Seerr")
        main.setdefault("mediaServerType", 4)
        main["apiKey"] = self.env.get("API_KEY") or main.get("apiKey") or secrets.token_urlsafe(48)
        self.settings.setdefault("public", {"initialized": False})
        os.makedirs(self.path("db"), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(self.settings, stream, indent=1)

    def handle(self, request):
        """Answer the public pages; the rest needs a user that does not exist yet."""
        if request.path == "/api/v1/settings/public":
            main = self.settings["main"]
            return json_response(
                {
                    "initialized": self.settings["public"]["initialized"],
                    "applicationTitle": main["applicationTitle"],
                    "applicationUrl": "",
                    "hideAvailable": False,
                    "localLogin": True,
                    "mediaServerType": main["mediaServerType"],
                    "newPlexLogin": True,
                }
            )
        if request.path == "/api/v1/status":
            return json_response(
                {
                    "version": self.version,
                    "commitTag": "local",
                    "updateAvailable": False,
                    "commitsBehind": 0,
                    "restartRequired": False,
                }
            )
        if request.path == "/api/v1/status/appdata":
            return json_response(
                {
                    "appData": True,
                    "appDataPath": self.config_dir,
                    "appDataPermissions": os.access(self.config_dir, os.W_OK),
                }
            )
        if request.path.startswith("/api/"):
            return json_response({"status": 403, "error": "You do not have permission to access this endpoint"}, 403)
        if request.path == "/" and not self.settings["public"]["initialized"]:
            return redirect("/setup", 307)
        return page("Seerr")
