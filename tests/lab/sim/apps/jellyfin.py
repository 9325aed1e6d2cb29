# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Jellyfin: "Degraded" while it starts, the wizard in its order, users, API keys; legacy token headers refused from 12.

Rules from Jellyfin's source: Jellyfin.Server/ServerSetupApp/SetupServer.cs,
Jellyfin.Api/Controllers/StartupController.cs.
"""

import base64
import contextlib
import hashlib
import os
import re
import secrets
import sqlite3
import time
import uuid
from xml.etree import ElementTree

from ..core import HTML, TEXT, App, Response, json_response, page, redirect


class APP(App):
    """Port 8096; directories as JELLYFIN_DATA_DIR, JELLYFIN_CONFIG_DIR and JELLYFIN_CACHE_DIR say."""

    ports = (8096,)
    starting_for = 1.0

    def prepare(self):
        """Open the database and system.xml."""
        self.data = os.path.join(self.env.get("JELLYFIN_DATA_DIR") or "/config", "data")
        self.xml = os.path.join(self.env.get("JELLYFIN_CONFIG_DIR") or "/config/config", "system.xml")
        for directory in (self.data, os.path.dirname(self.xml), self.env.get("JELLYFIN_CACHE_DIR") or "/cache"):
            os.makedirs(directory, exist_ok=True)
        if not os.path.exists(self.xml):
            self.set_completed(False)
        with self.database() as database:
            database.execute("CREATE TABLE IF NOT EXISTS Users (Username TEXT, Password TEXT, Salt TEXT)")
            database.execute("CREATE TABLE IF NOT EXISTS ApiKeys (AccessToken TEXT, Name TEXT, DateCreated TEXT)")
            database.execute("CREATE TABLE IF NOT EXISTS Server (Id TEXT)")
            if not database.execute("SELECT Id FROM Server").fetchone():
                database.execute("INSERT INTO Server VALUES (?)", (uuid.uuid4().hex,))
            self.id = database.execute("SELECT Id FROM Server").fetchone()[0]
        self.tokens = set()
        self.server_name = self.env.get("HOSTNAME", "jellyfin")

    @contextlib.contextmanager
    def database(self):
        """Open the app's database for one use."""
        connection = sqlite3.connect(os.path.join(self.data, "jellyfin.db"), timeout=5)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def completed(self):
        """Return whether the wizard has been completed, as system.xml says."""
        return ElementTree.parse(self.xml).getroot().findtext("IsStartupWizardCompleted") == "true"

    def set_completed(self, value):
        """Write system.xml."""
        flag = str(value).lower()
        done = f"<IsStartupWizardCompleted>{flag}</IsStartupWizardCompleted>"
        text = f"<ServerConfiguration>\n  {done}\n</ServerConfiguration>\n"
        with open(self.xml, "w", encoding="utf-8") as stream:
            stream.write('<?xml version="1.0" encoding="utf-8"?>\n' + text)

    def info(self, completed):
        """Return /System/Info/Public."""
        return json_response(
            {
                "LocalAddress": f"http://{self.server_name}:8096",
                "ServerName": self.server_name,
                "Version": self.version,
                "ProductName": "Jellyfin Server",
                "OperatingSystem": "",
                "Id": self.id,
                "StartupWizardCompleted": completed,
            }
        )

    def starting(self, request):
        """The setup server: 200 "Degraded", a wizard flag that is always false, 503 for everything else."""
        if request.path == "/health":
            return Response(200, "Degraded", TEXT)
        if request.path == "/System/Info/Public" and time.time() > self.ready_at - self.starting_for / 2:
            return self.info(False)
        body = "<html><body><h1>Jellyfin Server is still starting up.</h1></body></html>"
        return Response(503, body, HTML, [("Retry-After", "5")])

    def unhealthy(self, request):
        """The database cannot be read."""
        return (
            Response(503, "Unhealthy", TEXT)
            if request.path == "/health"
            else Response(500, "Error processing request.", TEXT)
        )

    def token(self, request):
        """Return the token of a request, from where this version looks for one."""
        header = request.headers.get("Authorization") or ""
        match = re.match(r'MediaBrowser .*?Token="?([^",]+)', header)
        given = match[1] if match else request.query.get("ApiKey", "")
        major = re.match(r"\d+", self.version)
        if not given and not (major and int(major[0]) >= 12):
            given = (
                request.headers.get("X-Emby-Token")
                or request.headers.get("X-MediaBrowser-Token")
                or request.query.get("api_key", "")
            )
        return given

    def authorised(self, request):
        """Return whether a request carries a session's token or an API key."""
        given = self.token(request)
        with self.database() as database:
            keys = [row[0] for row in database.execute("SELECT AccessToken FROM ApiKeys")]
        return bool(given) and (given in self.tokens or given in keys)

    def handle(self, request):
        """Answer public pages, the wizard, login and keys."""
        path = request.path
        if path == "/health":
            return Response(200, "Healthy", TEXT)
        if path == "/System/Ping":
            return json_response("Jellyfin Server")
        if path == "/System/Info/Public":
            return self.info(self.completed())
        if path == "/":
            return redirect("web/", 302)
        if path.startswith("/web"):
            return page("Jellyfin")
        if path.startswith("/Startup/"):
            return (
                self.wizard(request, path)
                if not self.completed() or self.authorised(request)
                else Response(401, b"", None)
            )
        if path == "/Users/AuthenticateByName" and request.method == "POST":
            return self.authenticate(request)
        if not self.authorised(request):
            return Response(401, b"", None)
        if path.startswith("/Auth/Keys"):
            return self.keys(request)
        if path == "/Users/Password" and request.method == "POST":
            return self.change_password(request)
        if path == "/Sessions/Logout" and request.method == "POST":
            self.tokens.discard(self.token(request))
            return Response(204, b"", None)
        if path == "/Library/VirtualFolders":
            return json_response([])
        return Response(404, b"", None)

    def wizard(self, request, path):
        """Answer the first-run wizard: POST /Startup/User is 404 before GET has made the initial user."""
        with self.database() as database:
            user = database.execute("SELECT Username FROM Users").fetchone()
            if path == "/Startup/User" and request.method == "GET":
                if not user:
                    database.execute("INSERT INTO Users VALUES ('root', '', '')")
                return json_response({"Name": user[0] if user else "root"})
            if path == "/Startup/User" and request.method == "POST":
                wanted = request.json() or {}
                if not user:
                    return Response(404, b"", None)
                if not wanted.get("Password"):
                    return Response(400, "Password must not be empty", TEXT)
                salt = secrets.token_bytes(16)
                row = (
                    wanted.get("Name") or user[0],
                    self.hashed(wanted["Password"], salt),
                    base64.b64encode(salt).decode(),
                )
                database.execute("UPDATE Users SET Username = ?, Password = ?, Salt = ?", row)
                return Response(204, b"", None)
        if path in ("/Startup/Configuration", "/Startup/RemoteAccess") and request.method == "POST":
            if path.endswith("Configuration"):
                self.server_name = (request.json() or {}).get("ServerName") or self.server_name
            return Response(204, b"", None)
        if path == "/Startup/Configuration":
            return json_response(
                {
                    "ServerName": self.server_name,
                    "UICulture": "en-US",
                    "MetadataCountryCode": "US",
                    "PreferredMetadataLanguage": "en",
                }
            )
        if path == "/Startup/Complete" and request.method == "POST":
            self.set_completed(True)
            return Response(204, b"", None)
        return Response(404, b"", None)

    @staticmethod
    def hashed(password, salt):
        """Return the stored form of a password."""
        return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 1000).hex()

    def change_password(self, request):
        """Jellyfin.Api/Controllers/UserController.cs, UpdateUserPassword: who knows the old one may set another."""
        wanted = request.json() or {}
        with self.database() as database:
            name, stored, salt = database.execute("SELECT Username, Password, Salt FROM Users").fetchone()
            if request.query.get("userId") != self.user_id(name):
                return Response(404, b"", None)
            if stored != self.hashed(wanted.get("CurrentPw") or "", base64.b64decode(salt)):
                return Response(403, "Invalid user or password entered.", TEXT)
            salt = secrets.token_bytes(16)
            row = (self.hashed(wanted.get("NewPw") or "", salt), base64.b64encode(salt).decode())
            database.execute("UPDATE Users SET Password = ?, Salt = ?", row)
        return Response(204, b"", None)

    @staticmethod
    def user_id(name):
        """Return the id of a user: as good as any that never changes."""
        return uuid.uuid5(uuid.NAMESPACE_OID, name).hex

    def authenticate(self, request):
        """Log in: a token, or 401. The client must introduce itself in the Authorization header."""
        wanted = request.json() or {}
        if not (request.headers.get("Authorization") or "").startswith("MediaBrowser "):
            return Response(400, "Error processing request.", TEXT)
        with self.database() as database:
            row = database.execute(
                "SELECT Password, Salt, Username FROM Users WHERE Username = ? COLLATE NOCASE",
                (wanted.get("Username", ""),),
            ).fetchone()
        if not row or not row[1] or row[0] != self.hashed(wanted.get("Pw") or "", base64.b64decode(row[1])):
            return Response(401, "Error processing request.", TEXT)
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return json_response(
            {
                "User": {"Name": row[2], "Id": self.user_id(row[2])},
                "SessionInfo": {},
                "AccessToken": token,
                "ServerId": self.id,
            }
        )

    def keys(self, request):
        """List, make and delete API keys."""
        with self.database() as database:
            if request.method == "POST":
                row = (
                    secrets.token_hex(16),
                    request.query.get("app", ""),
                    time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                )
                database.execute("INSERT INTO ApiKeys VALUES (?, ?, ?)", row)
                return Response(204, b"", None)
            if request.method == "DELETE":
                database.execute("DELETE FROM ApiKeys WHERE AccessToken = ?", (request.path.rpartition("/")[2],))
                return Response(204, b"", None)
            rows = database.execute("SELECT AccessToken, Name, DateCreated FROM ApiKeys").fetchall()
        items = [
            {"AccessToken": key, "AppName": name, "DateCreated": date, "IsActive": True} for key, name, date in rows
        ]
        return json_response({"Items": items, "TotalRecordCount": len(items), "StartIndex": 0})
