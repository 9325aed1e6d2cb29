# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tautulli: Plex statistics; config.ini, its login and the two unauthenticated status pages."""

import configparser
import hashlib
import secrets

from ..core import App, Response, json_response, page, redirect


def hashed(password, salt=""):
    """Return the stored form of a password, salt$key, which Tautulli writes at its first start."""
    salt = salt or secrets.token_hex(8)
    return f"{salt}${hashlib.pbkdf2_hmac('sha256', password.encode(), salt.encode(), 10000).hex()}"


class APP(App):
    """Port 8181, /config/config.ini; TAUTULLI_<KEY> wins over the file."""

    starting_for = 0.0
    refuse = 1.0

    def prepare(self):
        """Fill config.ini with what is missing."""
        self.settings = configparser.ConfigParser(interpolation=None, strict=False)
        self.settings.read(self.path("config.ini"), encoding="utf-8")
        if not self.settings.has_section("General"):
            self.settings.add_section("General")
        general = self.settings["General"]
        for name, value in {
            "http_port": "8181",
            "http_username": '""',
            "http_password": '""',
            "first_run_complete": "0",
            "api_enabled": "1",
        }.items():
            general.setdefault(name, value)
        if not self.value("api_key"):
            general["api_key"] = secrets.token_hex(16)
        if (
            general.get("http_hash_password") == "1"
            and general.get("http_hashed_password") != "1"
            and self.value("http_password")
        ):
            general["http_password"], general["http_hashed_password"] = hashed(self.value("http_password")), "1"
        with open(self.path("config.ini"), "w", encoding="utf-8") as stream:
            self.settings.write(stream)
        self.ports = (int(self.value("http_port")),)
        self.sessions = set()

    def value(self, name):
        """Return a setting of [General], unquoted; the environment's wins."""
        return self.env.get(f"TAUTULLI_{name.upper()}") or self.settings["General"].get(name, "").strip('"')

    def knows(self, username, password):
        """Return whether user and password are the configured ones."""
        stored = self.value("http_password")
        given = hashed(password, stored.split("$")[0]) if self.value("http_hashed_password") == "1" else password
        return username == self.value("http_username") and secrets.compare_digest(given.encode(), stored.encode())

    def unhealthy(self, _request):
        """The database cannot be read."""
        return json_response({"result": "error", "message": "Database not ok"}, 500)

    def handle(self, request):
        """Answer status, API, login and UI."""
        if request.path == "/status":
            return json_response({"result": "success", "message": "Ok"})
        if request.path == "/server_status":
            return json_response({"result": "success", "connected": False})
        if request.path == "/api/v2":
            if request.query.get("apikey") != self.value("api_key"):
                return json_response({"response": {"result": "error", "message": "Invalid apikey", "data": {}}}, 401)
            return json_response({"response": {"result": "success", "message": None, "data": {}}})
        locked = bool(self.value("http_password"))
        if request.path == "/auth/signin" and request.method == "POST":
            form = request.form()
            if locked and self.knows(form.get("username", ""), form.get("password", "")):
                session = secrets.token_hex(16)
                self.sessions.add(session)
                return json_response(
                    {"status": "success"}, headers=[("Set-Cookie", f"tautulli_token={session}; HttpOnly; Path=/")]
                )
            return json_response({"status": "error", "message": "Invalid credentials."}, 401)
        if request.path == "/auth/login":
            return page("Tautulli - Login")
        if locked and request.cookie("tautulli_token") not in self.sessions:
            return Response(303, b"", None, [("Location", "/auth/login?redirect_uri=/")])
        if request.path == "/" and self.value("first_run_complete") != "1":
            return redirect("/welcome", 303)
        return page("Tautulli")
