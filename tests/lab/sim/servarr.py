# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The *arr framework that Sonarr, Radarr, Prowlarr, Lidarr and Readarr share: config.xml, keys, login, host settings.

Rules from Sonarr's source (v4.0.19): src/NzbDrone.Core/Configuration/ConfigFileProvider.cs,
src/Sonarr.Http/Authentication, src/Sonarr.Http/Middleware, src/Sonarr.Api.V3/Config/HostConfigController.cs,
src/NzbDrone.Core/Authentication/UserService.cs; what there is to monitor is in servarr_monitoring.
"""

import base64
import contextlib
import hashlib
import ipaddress
import os
import secrets
import sqlite3
import time
import urllib.parse
import uuid
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from . import servarr_monitoring
from .core import TEXT, App, Response, json_response, page, redirect

#: Elements that config.xml may hold, with their defaults; any other is removed at the start.
ELEMENTS = {
    "BindAddress": "*",
    "Port": "",
    "SslPort": "",
    "EnableSsl": "False",
    "LaunchBrowser": "True",
    "ApiKey": "",
    "AuthenticationMethod": "None",
    "AuthenticationRequired": "Enabled",
    "Branch": "main",
    "LogLevel": "debug",
    "SslCertPath": "",
    "SslCertPassword": "",
    "UrlBase": "",
    "InstanceName": "",
    "UpdateMechanism": "Docker",
}
OPTIONAL = [
    "ConsoleLogLevel",
    "Theme",
    "AnalyticsEnabled",
    "PostgresHost",
    "PostgresPort",
    "PostgresUser",
    "PostgresPassword",
    "PostgresMainDb",
    "PostgresLogDb",
    "LogDbEnabled",
    "TrustCgnatIpAddresses",
    "LogSizeLimit",
    "LogRotate",
    "LogSql",
    "SyslogServer",
    "SyslogPort",
    "SyslogLevel",
    "UpdateAutomatically",
    "UpdateScriptPath",
    "ConsoleLogFormat",
]
#: Environment ``<APP>__<name>`` → the element it overrides, at every read.
VARIABLES = {
    "AUTH__APIKEY": "ApiKey",
    "AUTH__METHOD": "AuthenticationMethod",
    "AUTH__REQUIRED": "AuthenticationRequired",
    "SERVER__PORT": "Port",
    "SERVER__URLBASE": "UrlBase",
    "SERVER__BINDADDRESS": "BindAddress",
    "APP__INSTANCENAME": "InstanceName",
    "LOG__LEVEL": "LogLevel",
    "UPDATE__BRANCH": "Branch",
    "UPDATE__MECHANISM": "UpdateMechanism",
}
METHODS = ("None", "Basic", "Forms", "External")
REQUIRED = ("Enabled", "DisabledForLocalAddresses")
ITERATIONS = 10000
#: What the apps take for a local address.
LOCAL = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
    )
]


def hashed(password, salt):
    """Return the stored form of a password: PBKDF2-HMAC-SHA512, 10,000 rounds, 32 bytes, base64."""
    return base64.b64encode(hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, 32)).decode()


def failure(name, message, code, value=None):
    """Return one entry of a FluentValidation answer."""
    return {
        "propertyName": name,
        "errorMessage": message,
        "attemptedValue": value,
        "severity": "error",
        "errorCode": code,
    }


class Servarr(App):
    """One of the *arr apps; subclasses give title, port and API version."""

    title = ""
    api = "v3"
    port = 0
    ssl_port = 0
    basic_allowed = False  # Radarr ≥ 6 and Prowlarr ≥ 2.3 turn Basic into Forms

    def __init__(self, *args, **kwargs):
        """Nothing is read before prepare()."""
        super().__init__(*args, **kwargs)
        self.xml = {}
        self.sessions = set()

    # -- configuration ---------------------------------------------------------------

    def prepare(self):
        """Read or write config.xml and open the database."""
        path = self.path("config.xml")
        self.xml = dict(ELEMENTS, Port=str(self.port), SslPort=str(self.ssl_port), InstanceName=self.title)
        if os.path.exists(path):
            try:
                root = ElementTree.parse(path).getroot()
            except ElementTree.ParseError:
                raise SystemExit(
                    f"[Fatal] ConsoleApp: {path} is corrupt. "
                    f"Please delete the config file and {self.title} will recreate it."
                ) from None
            known = {*ELEMENTS, *OPTIONAL}
            self.xml.update({child.tag: (child.text or "").strip() for child in root if child.tag in known})
        if not self.xml["ApiKey"]:
            self.xml["ApiKey"] = uuid.uuid4().hex
        if self.xml["AuthenticationMethod"].lower() == "basic" and not self.basic_allowed:
            self.xml["AuthenticationMethod"] = "Forms"
        self.save()
        with self.database() as database:
            database.execute("CREATE TABLE IF NOT EXISTS Config (Id INTEGER PRIMARY KEY, Key TEXT UNIQUE, Value TEXT)")
            database.execute(
                "CREATE TABLE IF NOT EXISTS Users (Id INTEGER PRIMARY KEY, Identifier TEXT, Username TEXT UNIQUE, "
                "Password TEXT, Salt TEXT, Iterations INTEGER)"
            )
        self.ports = (int(self.setting("Port") or self.port),)

    def save(self):
        """Write config.xml as the app does: one element a line, no declaration."""
        lines = [f"  <{name}>{escape(value)}</{name}>" for name, value in self.xml.items()]
        with open(self.path("config.xml"), "w", encoding="utf-8") as stream:
            stream.write("<Config>\n" + "\n".join(lines) + "\n</Config>")

    def setting(self, element):
        """Return a setting: the environment's when it has a valid one, else config.xml's."""
        for name, target in VARIABLES.items():
            value = self.env.get(f"{self.name.upper()}__{name}")
            if target == element and value:
                allowed = {"AuthenticationMethod": METHODS, "AuthenticationRequired": REQUIRED}.get(element)
                if allowed is None or value in allowed:  # case-sensitive; a wrong one is silently ignored
                    return value
        value = self.xml[element]
        allowed = {"AuthenticationMethod": METHODS, "AuthenticationRequired": REQUIRED}.get(element, ())
        return next((choice for choice in allowed if choice.lower() == value.lower()), value)

    @contextlib.contextmanager
    def database(self):
        """Open the app's database for one use."""
        connection = sqlite3.connect(self.path(f"{self.name}.db"), timeout=5)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    # -- who may ---------------------------------------------------------------

    def has_key(self, request):
        """Return whether a request carries the API key, where the app looks for it."""
        if "other_key" in self.faults.now():
            return False
        given = (
            request.query.get("apikey")
            or request.headers.get("X-Api-Key")
            or (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        )
        return secrets.compare_digest(given.encode(), self.setting("ApiKey").encode())

    def may_see_ui(self, request):
        """Return whether the web UI opens without a login."""
        if self.setting("AuthenticationMethod") in ("None", "External"):
            return True
        if self.setting("AuthenticationRequired") == "DisabledForLocalAddresses":
            with contextlib.suppress(ValueError):
                address = ipaddress.ip_address(request.client)
                if any(address in network for network in LOCAL):
                    return True
        return request.cookie(f"{self.title}Auth") in self.sessions

    def login(self, request):
        """Answer POST /login: 302 to the page asked for, or back with loginFailed=true."""
        form = request.form()
        target = request.query.get("returnUrl") or f"{self.base()}/"
        with self.database() as database:
            row = database.execute(
                "SELECT Password, Salt FROM Users WHERE Username = ?", (form.get("username", "").lower(),)
            ).fetchone()
        if row and secrets.compare_digest(row[0], hashed(form.get("password", ""), base64.b64decode(row[1]))):
            session = secrets.token_hex(16)
            self.sessions.add(session)
            return redirect(
                target, headers=[("Set-Cookie", f"{self.title}Auth={session}; path=/; samesite=lax; httponly")]
            )
        return redirect(f"{self.base()}/login?returnUrl={urllib.parse.quote(target, safe='')}&loginFailed=true")

    # -- requests ---------------------------------------------------------------

    def base(self):
        """Return the URL base, "" or "/sonarr"."""
        base = self.setting("UrlBase").strip("/")
        return f"/{base}" if base else ""

    def starting(self, request):
        """503 after authentication: an API call without the key is 401 even then."""
        sentence = f"{self.title} is starting up, please try again later"
        path = request.path.removeprefix(self.base())
        if path.startswith("/api/"):
            return json_response({"errorMessage": sentence}, 503) if self.has_key(request) else Response(401, b"", None)
        return Response(503, sentence, TEXT)

    def unhealthy(self, request):
        """The database cannot be read."""
        if request.path.endswith("/ping"):
            return json_response({"status": "Error"}, 500, indent=2)
        return json_response(
            {"message": "database disk image is malformed", "description": "SQLite.SQLiteException"}, 500, indent=2
        )

    def handle(self, request):
        """Answer as the framework's pipeline would."""
        base = self.base()
        if base and request.path != base and not request.path.startswith(f"{base}/"):
            return redirect(f"{base}{request.target}", 307)
        path = request.path[len(base) :] or "/"
        if path == "/ping" and request.method in ("GET", "HEAD"):
            return self.ping(request)
        if path == "/api" or path.startswith("/api/"):
            if not self.has_key(request):
                return Response(401, b"", None)
            response = self.api_call(request, path)
            response.headers.append(("X-Application-Version", self.version))
            return response
        if path == "/login":
            return (
                self.login(request)
                if request.method == "POST"
                else page(f"{self.title} - Login", "Sign in to continue")
            )
        if self.setting("AuthenticationMethod") == "Basic" and not self.may_see_ui(request):
            return Response(401, b"", None, [("WWW-Authenticate", f'Basic realm="{self.title}"')])
        if not self.may_see_ui(request):
            return redirect(f"{base}/login?returnUrl={urllib.parse.quote(request.target, safe='')}")
        if path == "/initialize.json":
            return json_response(
                {
                    "apiRoot": f"{base}/api/{self.api}",
                    "apiKey": self.setting("ApiKey"),
                    "release": self.version,
                    "version": self.version,
                    "instanceName": self.setting("InstanceName"),
                    "theme": "auto",
                    "branch": self.setting("Branch"),
                    "analytics": False,
                    "userHash": "",
                    "urlBase": base,
                    "isProduction": True,
                },
                indent=2,
            )
        return page(self.title, "A stand-in of the lab.")

    def ping(self, request):
        """200 when the Config table can be read."""
        try:
            with self.database() as database:
                database.execute("SELECT Key FROM Config LIMIT 1").fetchall()
        except sqlite3.Error:
            return self.unhealthy(request)
        return json_response({"status": "OK"}, indent=2)

    def api_call(self, request, path):
        """Answer a call that carries the key."""
        if path == "/api":
            return json_response({"current": self.api, "deprecated": []}, indent=2)
        leaf = path.removeprefix(f"/api/{self.api}")
        if leaf in ("/config/host", "/config/host/1"):
            return self.put_host(request) if request.method == "PUT" else json_response(self.host(), indent=2)
        if leaf == "/system/status":
            return json_response(self.status(), indent=2)
        monitored = servarr_monitoring.answer(self, leaf, request) if request.method == "GET" else None
        if monitored is not None:
            return json_response(monitored, indent=2)
        if leaf in ("/system/restart", "/system/shutdown") and request.method == "POST":
            return json_response({"restarting" if leaf.endswith("restart") else "shuttingDown": True}, indent=2)
        return json_response({"message": "NotFound"}, 404, indent=2)

    def health(self):
        """A fresh app complains about what is missing until wiring exists."""
        no_rss = f"No indexers available with RSS sync enabled, {self.title} will not grab new releases automatically"
        no_search = (
            f"No indexers available with Automatic Search enabled, {self.title} will not provide any automatic search "
            "results"
        )
        return [
            servarr_monitoring.message(self, "DownloadClientCheck", "warning", "No download client is available"),
            servarr_monitoring.message(self, "IndexerRssCheck", "error", no_rss),
            servarr_monitoring.message(self, "IndexerSearchCheck", "warning", no_search),
        ]

    def status(self):
        """Return /system/status."""
        return {
            "appName": self.title,
            "instanceName": self.setting("InstanceName"),
            "version": self.version,
            "isDebug": False,
            "isProduction": True,
            "startupPath": f"/app/{self.name}/bin",
            "appData": self.config_dir,
            "osName": "alpine",
            "isNetCore": True,
            "isLinux": True,
            "isDocker": True,
            "mode": "console",
            "branch": self.setting("Branch"),
            "authentication": self.setting("AuthenticationMethod").lower(),
            "databaseType": "sqLite",
            "urlBase": self.base(),
            "startTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began)),
            "packageUpdateMechanism": "docker",
        }

    # -- host settings ---------------------------------------------------------------

    def user(self):
        """Return (username, stored password) of the only user, or empty texts."""
        with self.database() as database:
            return database.execute("SELECT Username, Password FROM Users LIMIT 1").fetchone() or ("", "")

    def host(self):
        """Return /config/host; its password is the stored hash."""
        username, password = self.user()
        method, required = self.setting("AuthenticationMethod"), self.setting("AuthenticationRequired")
        return {
            "bindAddress": self.setting("BindAddress"),
            "port": int(self.setting("Port")),
            "sslPort": int(self.setting("SslPort")),
            "enableSsl": self.xml["EnableSsl"] == "True",
            "launchBrowser": self.xml["LaunchBrowser"] == "True",
            "authenticationMethod": method[0].lower() + method[1:],
            "authenticationRequired": required[0].lower() + required[1:],
            "analyticsEnabled": False,
            "username": username,
            "password": password,
            "passwordConfirmation": "",
            "logLevel": self.setting("LogLevel"),
            "logSizeLimit": 1,
            "consoleLogLevel": "",
            "branch": self.setting("Branch"),
            "apiKey": self.setting("ApiKey"),
            "sslCertPath": self.xml["SslCertPath"],
            "sslCertPassword": self.xml["SslCertPassword"],
            "urlBase": self.base(),
            "instanceName": self.setting("InstanceName"),
            "applicationUrl": "",
            "updateAutomatically": False,
            "updateMechanism": self.setting("UpdateMechanism").lower(),
            "updateScriptPath": "",
            "proxyEnabled": False,
            "proxyType": "http",
            "proxyHostname": "",
            "proxyPort": 8080,
            "proxyUsername": "",
            "proxyPassword": "",
            "proxyBypassFilter": "",
            "proxyBypassLocalAddresses": True,
            "certificateValidation": "enabled",
            "backupFolder": "Backups",
            "backupInterval": 7,
            "backupRetention": 28,
            "trustCgnatIpAddresses": False,
            "id": 1,
        }

    def put_host(self, request):
        """Store the host settings by the rules of HostConfigController.

        202 with the object, or 400 with the list of what is wrong.
        """
        wanted = request.json()
        if not isinstance(wanted, dict):
            return json_response({"message": "Invalid JSON"}, 400, indent=2)
        new = {**self.host(), **wanted}
        wrong = self.faults_of_host(new)
        if wrong:
            return json_response(wrong, 400, indent=2)
        choose = {choice.lower(): choice for choice in (*METHODS, *REQUIRED)}
        self.xml["AuthenticationMethod"] = choose[new["authenticationMethod"].lower()]
        self.xml["AuthenticationRequired"] = choose[new["authenticationRequired"].lower()]
        for key, element in (
            ("urlBase", "UrlBase"),
            ("instanceName", "InstanceName"),
            ("logLevel", "LogLevel"),
            ("branch", "Branch"),
        ):
            self.xml[element] = str(new[key])
        self.save()
        self.set_user(new["username"], new["password"])
        return json_response(self.host(), 202, indent=2)

    def faults_of_host(self, new):
        """Return the validation failures of host settings."""
        wrong = []
        if str(new["authenticationMethod"]).lower() not in [choice.lower() for choice in METHODS]:
            wrong.append(
                failure(
                    "AuthenticationMethod",
                    f"'{new['authenticationMethod']}' is not a valid AuthenticationType",
                    "EnumValidator",
                )
            )
        if str(new["authenticationRequired"]).lower() not in [choice.lower() for choice in REQUIRED]:
            wrong.append(
                failure(
                    "AuthenticationRequired",
                    f"'{new['authenticationRequired']}' is not a valid AuthenticationRequiredType",
                    "EnumValidator",
                )
            )
        if str(new["authenticationMethod"]).lower() in ("forms", "basic"):
            for key, name in (("username", "Username"), ("password", "Password")):
                if not new[key]:
                    wrong.append(failure(name, f"'{name}' must not be empty.", "NotEmptyValidator", ""))
        if new["password"] and new["password"] != self.user()[1] and new["passwordConfirmation"] != new["password"]:
            wrong.append(failure("PasswordConfirmation", "Must match Password", "PredicateValidator"))
        if not new["branch"]:
            wrong.append(failure("Branch", "Branch name is required, 'main' is the default", "NotEmptyValidator", ""))
        instance = str(new["instanceName"])
        if not (instance.startswith(self.title) or instance.endswith(self.title)):
            wrong.append(
                failure(
                    "InstanceName", f"Must start or end with {self.title}", "StartsOrEndsWithAppNameValidator", instance
                )
            )
        return wrong

    def set_user(self, username, password):
        """Store the user; the stored hash as password leaves the password as it is."""
        old_name, old_password = self.user()
        if not username or not password or (username.lower(), password) == (old_name, old_password):
            return
        with self.database() as database:
            if password == old_password:
                database.execute("UPDATE Users SET Username = ?", (username.lower(),))
                return
            salt = secrets.token_bytes(16)
            database.execute("DELETE FROM Users")
            database.execute(
                "INSERT INTO Users (Identifier, Username, Password, Salt, Iterations) VALUES (?, ?, ?, ?, ?)",
                (
                    str(uuid.uuid4()),
                    username.lower(),
                    hashed(password, salt),
                    base64.b64encode(salt).decode(),
                    ITERATIONS,
                ),
            )
