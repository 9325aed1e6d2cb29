# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bazarr: subtitles. Config file, keys and login as in bazarr/app/config.py, bazarr/api and bazarr/app/ui.py (1.5)."""

import hashlib
import json
import os
import secrets

import yaml

from ..core import HTML, App, Response, json_response, redirect

DEFAULTS = {
    "general": {"ip": "*", "port": 6767, "base_url": "", "use_sonarr": False, "use_radarr": False},
    "auth": {"apikey": "", "type": None, "username": "", "password": ""},
    "sonarr": {"ip": "127.0.0.1", "port": 8989, "base_url": "/", "ssl": False, "apikey": "", "http_timeout": 60},
    "radarr": {"ip": "127.0.0.1", "port": 7878, "base_url": "/", "ssl": False, "apikey": "", "http_timeout": 60},
}


class APP(App):
    """Port 6767, /config/config/config.yaml."""

    def prepare(self):
        """Fill config.yaml with what is missing, the key included."""
        path = self.path("config", "config.yaml")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.settings = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                try:
                    self.settings = yaml.safe_load(stream) or {}
                except yaml.YAMLError as error:
                    raise SystemExit(f"BAZARR cannot read {path}: {error}") from None
        for section, values in DEFAULTS.items():
            self.settings[section] = {**values, **(self.settings.get(section) or {})}
        auth = self.settings["auth"]
        if not isinstance(auth["apikey"], str):
            raise SystemExit("BAZARR: auth.apikey must is_type_of <class 'str'> but it is {!r}".format(auth["apikey"]))
        auth["apikey"] = auth["apikey"] or secrets.token_hex(16)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write("---\n" + yaml.safe_dump(self.settings, default_flow_style=False))
        self.sessions = set()
        self.ports = (int(self.settings["general"]["port"]),)

    def starting(self, _request):
        """Bazarr serves a page while it starts, and nothing else."""
        return Response(503, "Bazarr is starting\n")

    def knows(self, username, password):
        """Return whether user and password are the configured ones; the stored password is its MD5."""
        auth = self.settings["auth"]
        return username == auth["username"] and hashlib.md5(password.encode()).hexdigest() == auth["password"]

    def handle(self, request):
        """Answer ping, login and the API.

        Any other path is the single-page UI, without the key until somebody has logged in.
        """
        base = "/" + str(self.settings["general"]["base_url"]).strip("/")
        path = request.path if base == "/" else request.path.removeprefix(base)
        if path == "/api/system/ping":
            return json_response({"status": "OK"})
        auth = self.settings["auth"]
        if path == "/api/system/account" and request.method == "POST":
            return self.account(request)
        if path.startswith("/api/"):
            given = (
                request.headers.get("X-API-KEY") or request.query.get("apikey") or request.form().get("apikey") or ""
            )
            active = self.faults.now()
            if "other_key" in active or not secrets.compare_digest(given.encode(), auth["apikey"].encode()):
                return json_response("Unauthorized", 401)
            if path == "/api/system/status":
                return json_response(
                    {"data": {"bazarr_version": self.version, "package_version": "", "operating_system": "Linux"}}
                )
            if path == "/api/system/health":
                _source, _type, text = (active.get("health", "") + "::").split(":")[:3]
                return json_response({"data": [{"object": "/data/media", "issue": text}] if text else []})
            if path == "/api/badges":
                return json_response(
                    {
                        "episodes": 0,
                        "movies": 0,
                        "providers": active.get("throttled_providers", 0),
                        "status": 1 if "health" in active else 0,
                        "sonarr_signalr": "",
                        "radarr_signalr": "",
                        "announcements": 0,
                    }
                )
            if path == "/api/system/settings" and request.method == "GET":
                return json_response(self.settings)
            return json_response({"message": "Not Found"}, 404)
        if auth["type"] not in ("basic", "form") and path.startswith("/login"):
            return redirect("/")
        allowed = auth["type"] not in ("basic", "form") or request.cookie("session") in self.sessions
        inject = {"baseUrl": base, "apiKey": auth["apikey"]} if allowed else {"baseUrl": base}
        return Response(
            200,
            "<!doctype html>\n<html><head><title>Bazarr</title></head>"
            f"<body><script>window.Bazarr = {json.dumps(inject)};</script></body></html>\n",
            HTML,
        )

    def account(self, request):
        """Log in: 204 and a session, or 403."""
        form = request.form()
        if request.query.get("action") == "login" and self.knows(form.get("username", ""), form.get("password", "")):
            session = secrets.token_hex(16)
            self.sessions.add(session)
            return Response(204, b"", None, [("Set-Cookie", f"session={session}; HttpOnly; Path=/")])
        return json_response("Authentication failed", 403)
