# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun's control server: routes, roles, bodies and state of five eras, byte for byte.

Sources: internal/server and internal/loopstate of gluetun v3.38.1 … v3.41.3 and master; tests/fixtures/gluetun holds
recordings of them.
"""

import base64
import binascii
import hashlib
import json
import re
import threading
import time

from . import gluetun_rules as rules
from .core import TEXT, Response

ERAS = ("v3.38", "v3.39", "v3.41.0", "v3.41.2", "master")
NOSNIFF = ("X-Content-Type-Options", "nosniff")

#: path → methods, since v3.41.2; earlier eras lack some.
ROUTES = {
    "/openvpn/actions/restart": ["GET"],
    "/openvpn/portforwarded": ["GET"],
    "/openvpn/settings": ["GET"],
    "/unbound/actions/restart": ["GET"],
    "/updater/restart": ["GET"],
    "/v1/vpn/status": ["GET", "PUT"],
    "/v1/vpn/settings": ["GET", "PUT"],
    "/v1/openvpn/status": ["GET", "PUT"],
    "/v1/openvpn/settings": ["GET"],
    "/v1/openvpn/portforwarded": ["GET"],
    "/v1/dns/status": ["GET", "PUT"],
    "/v1/updater/status": ["GET", "PUT"],
    "/v1/version": ["GET"],
    "/v1/publicip/ip": ["GET"],
    "/v1/portforward": ["GET", "PUT"],
}
SECRET_ROUTES = {
    "GET /v1/vpn/settings",
    "PUT /v1/vpn/settings",
    "GET /v1/openvpn/settings",
    "GET /openvpn/settings",
    "PUT /v1/portforward",
}


def era_of(version):
    """Return the era of a version text such as v3.41.3 or latest."""
    match = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?", version or "")
    if not match:
        return "master"
    major, minor, patch = (int(part) if part is not None else 99 for part in match.groups())
    number = (major, minor, patch)
    for era, first in (("v3.41.2", (3, 41, 2)), ("v3.41.0", (3, 41, 0)), ("v3.39", (3, 39, 1))):
        if number >= first:
            return era
    return "v3.38"


def known_routes(era):
    """Return the routes that a role may name, as "METHOD /path"."""
    names = {f"{method} {path}" for path, methods in ROUTES.items() for method in methods}
    if ERAS.index(era) < ERAS.index("v3.41.2"):
        names.discard("PUT /v1/portforward")
    if era == "v3.39":
        names -= {"GET /v1/portforward", "GET /openvpn/portforwarded", "GET /openvpn/settings"}
    return names


def public_role(era):
    """Return the role that holds when nothing is configured, or None on master."""
    if era == "master":
        return None
    return {"name": "public", "auth": "none", "routes": known_routes(era) - SECRET_ROUTES}


def digest(text):
    """Return what gluetun compares instead of a credential."""
    return hashlib.sha256(text.encode()).digest()


def text_error(status, message):
    """Return what Go's http.Error sends."""
    return Response(status, f"{message}\n", TEXT, [NOSNIFF])


def go_json(value):
    """Return a value as Go's encoder writes it, with its final newline."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    response = Response(200, f"{text}\n")
    response.chunked = len(response.body) > 2048
    return response


def moved(status, target):
    """Return Go's http.Redirect."""
    reason = {301: "Moved Permanently", 308: "Permanent Redirect"}[status]
    return Response(status, f'<a href="{target}">{reason}</a>.\n\n', "text/html; charset=utf-8", [("Location", target)])


class GoJsonError(ValueError):
    """What Go's decoder says about a body."""


def decode(body):
    """Return the first JSON value of a body; what follows it is ignored. Raises GoJsonError."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise GoJsonError("EOF")
    if text[0] not in '{["-0123456789tfn':
        raise GoJsonError(f"invalid character '{text[0]}' looking for beginning of value")
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        raise GoJsonError("unexpected EOF") from None


def go_kind(value):
    """Return Go's word for the kind of a JSON value."""
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return kinds[type(value)]


def wanted_status(body):
    """Return "running" or "stopped" of a status body; raises GoJsonError with gluetun's message."""
    value, status = decode(body), ""
    if value is not None and not isinstance(value, dict):
        raise GoJsonError(f"json: cannot unmarshal {go_kind(value)} into Go value of type server.statusWrapper")
    for key, given in (value or {}).items():
        if key.lower() == "status" and given is not None:
            if not isinstance(given, str):
                raise GoJsonError(
                    f"json: cannot unmarshal {go_kind(given)} into Go struct field statusWrapper.status of type string"
                )
            status = given
    if status not in ("running", "stopped"):
        raise GoJsonError(f"invalid status: {status}: possible values are: stopped, running")
    return status


class Control:
    """The control server's state and answers."""

    def __init__(self, era, settings, version=None, roles=(), default_role=None, choices=None):
        """Take era, settings (gluetun_rules.settings_object), roles as read, and the provider's choices if any."""
        self.era, self.settings = era, settings
        self.version = version or {"version": "latest", "commit": "unknown", "created": "an unknown date"}
        self.roles = [{**role, "routes": set(role.get("routes") or ())} for role in roles]
        if default_role:
            named = set().union(*(role["routes"] for role in self.roles)) if self.roles else set()
            self.roles.append({**default_role, "name": "default", "routes": known_routes(era) - named})
        elif not self.roles and public_role(era):
            self.roles = [public_role(era)]
        self.choices = choices
        self.vpn, self.dns, self.updater = "stopped", "stopped", "stopped"
        self.public_ip, self.ports = {}, None
        self.start_vpn = lambda: True  # called while "starting": True = running, False = crashed
        self.stop_vpn = lambda: None  # called while "stopping"
        self.start_seconds = self.stop_seconds = 0.0
        self.updater_seconds = 1.0
        self.lock = threading.Lock()

    # -- state ---------------------------------------------------------------

    def clear(self):
        """Forget what only a living tunnel has."""
        self.public_ip = {}
        if self.ports is not None:
            self.ports = []

    def set_vpn(self, wanted):
        """Start or stop the VPN; returns the outcome text. Calls come one after the other."""
        with self.lock:
            if wanted == "running":
                if self.vpn not in ("stopped", "completed"):
                    return f"already {self.vpn}"
                self.vpn = "starting"
                time.sleep(self.start_seconds)
                self.vpn = "running" if self.start_vpn() else "crashed"
            else:
                if self.vpn != "running":
                    return f"already {self.vpn}"
                self.vpn = "stopping"
                time.sleep(self.stop_seconds)
                self.stop_vpn()
                self.clear()
                self.vpn = "stopped"
            return self.vpn

    def set_dns(self, wanted):
        """Start or stop the DNS server; returns the outcome text."""
        if self.dns == wanted or self.dns not in ("running", "stopped"):
            return f"already {self.dns}"
        self.dns = wanted
        return wanted

    def set_updater(self, wanted):
        """Start or stop the updater; it completes by itself."""
        allowed = ("stopped", "completed") if wanted == "running" else ("running", "completed")
        if self.updater not in allowed:
            return f"already {self.updater}"
        self.updater = wanted
        if wanted == "running":
            timer = threading.Timer(self.updater_seconds, self.complete_updater)
            timer.daemon = True
            timer.start()
        return wanted

    def complete_updater(self):
        """The update is done."""
        if self.updater == "running":
            self.updater = "completed"

    # -- pipeline ---------------------------------------------------------------

    def answer(self, request):
        """Return the answer: routes (from v3.41.2), roles (from v3.39), then the router on the raw target."""
        number = ERAS.index(self.era)
        if number >= ERAS.index("v3.41.2"):
            if request.path not in ROUTES:
                return text_error(404, "Not Found")
            if request.method not in ROUTES[request.path]:
                return text_error(405, "Method Not Allowed")
        if number >= ERAS.index("v3.39"):
            refused = self.refuse(request)
            if refused:
                return refused
        return self.route(request)

    def refuse(self, request):
        """Return 401 unless a role lets the request pass."""
        route, ask = f"{request.method} {request.path}", False
        for role in self.roles:
            if route not in role["routes"]:
                continue
            if role["auth"] == "none":
                return None
            if role["auth"] == "apikey":
                given = request.headers.get("X-API-Key") or request.query.get("api_key") or ""
                if digest(given) == digest(role["apikey"]):
                    return None
            else:
                credentials = self.basic(request)
                if credentials is None:
                    ask = True
                elif digest("".join(credentials)) == digest(role["username"] + role["password"]):
                    return None
        response = text_error(401, "Unauthorized")
        if ask:
            response.headers.append(("Www-Authenticate", 'Basic realm="restricted", charset="UTF-8"'))
        return response

    @staticmethod
    def basic(request):
        """Return (user, password) of a Basic header, or None."""
        scheme, _space, value = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None

    def route(self, request):
        """Find the handler by the raw target, query included, without one trailing slash."""
        target = request.target.removesuffix("/")
        if not target.startswith("/v1"):
            return self.legacy(request.method, target)
        rest = target.removeprefix("/v1")
        if rest == "/version":
            return self.only_get(request, lambda: go_json(self.version))
        if rest.startswith("/portforward") and self.era not in ("v3.38", "v3.39"):
            return self.portforward(request)
        for group, leaves in self.groups().items():
            if rest.startswith(group):
                leaf = rest.removeprefix(group)
                if leaf not in leaves:
                    return text_error(400, f"route {leaf} not supported")
                return leaves[leaf](request)
        return text_error(400, f"{request.method} {rest} not found")

    def groups(self):
        """Return {group: {leaf: handler}}."""
        return {
            "/vpn": {"/status": self.vpn_status, "/settings": self.vpn_settings},
            "/openvpn": {
                "/status": self.openvpn_status,
                "/settings": lambda request: self.only_get(request, lambda: go_json(self.settings["openvpn"])),
                "/portforwarded": lambda request: self.only_get(request, self.portforwarded),
            },
            "/dns": {"/status": lambda request: self.status(request, lambda: self.dns, self.set_dns)},
            "/updater": {"/status": lambda request: self.status(request, lambda: self.updater, self.set_updater)},
            "/publicip": {
                "/ip": lambda request: self.only_get(request, lambda: go_json({"public_ip": "", **self.public_ip}))
            },
        }

    def legacy(self, method, target):
        """Answer the paths from before /v1."""
        if method != "GET":
            return text_error(400, "unversioned API: only supports GET method")
        later = "/v1/openvpn/portforwarded" if self.era in ("v3.38", "v3.39") else "/v1/portforward"
        redirects = {
            "/openvpn/portforwarded": later,
            "/openvpn/settings": "/v1/openvpn/settings",
            "/version": "/v1/version",
        }
        if target in redirects:
            return moved(308, redirects[target])
        restarts = {
            "/openvpn/actions/restart": "openvpn",
            "/unbound/actions/restart": "dns",
            "/updater/restart": "updater",
        }
        if target not in restarts:
            return text_error(400, "unversioned API: requested URI not found")
        name = restarts[target]
        change = {"openvpn": self.set_vpn, "dns": self.set_dns, "updater": self.set_updater}[name]
        change("stopped")
        change("running")
        return Response(200, f"{name} restarted, please consider using the /v1/ API in the future.")

    # -- handlers ---------------------------------------------------------------

    @staticmethod
    def only_get(request, value):
        """Answer GET; any other method is refused."""
        return value() if request.method == "GET" else text_error(400, f"method {request.method} not supported")

    @staticmethod
    def status(request, read, change):
        """Answer GET and PUT of a status."""
        if request.method == "GET":
            return go_json({"status": read()})
        if request.method != "PUT":
            return text_error(400, f"method {request.method} not supported")
        try:
            return go_json({"outcome": change(wanted_status(request.body))})
        except GoJsonError as error:
            return text_error(400, str(error))

    def vpn_status(self, request):
        """Answer /v1/vpn/status."""
        return self.status(request, lambda: self.vpn, self.set_vpn)

    def openvpn_status(self, request):
        """Answer /v1/openvpn/status; PUT running turns a WireGuard container into an OpenVPN one."""

        def change(wanted):
            if wanted == "running" and self.settings["type"] != "openvpn":
                self.settings["type"] = "openvpn"
                self.set_vpn("stopped")
            return self.set_vpn(wanted)

        return self.status(request, lambda: self.vpn if self.settings["type"] == "openvpn" else "stopped", change)

    def vpn_settings(self, request):
        """Answer /v1/vpn/settings: all of them, secrets too; PUT overrides in part and restarts the VPN."""
        if request.method == "GET":
            return go_json(self.settings)
        if request.method != "PUT":
            return text_error(400, f"method {request.method} not supported")
        try:
            merged = rules.merged(self.settings, decode(request.body) or {})
            rules.check_update(merged, self.era, self.choices)
        except (GoJsonError, rules.SettingsError) as error:
            return text_error(400, str(error))
        self.settings = merged
        self.set_vpn("stopped")
        return Response(200, self.set_vpn("running"))

    def ports_body(self):
        """Return the forwarded ports in the shape of the era."""
        ports, first = self.ports, (self.ports or [0])[0]
        if ERAS.index(self.era) >= ERAS.index("v3.41.2"):
            return {"port": first, "ports": ports}
        if len(ports or ()) > 1 and self.era != "v3.38":
            return {"ports": ports}
        return {"port": first}

    def portforwarded(self):
        """Answer /v1/openvpn/portforwarded."""
        return go_json(self.ports_body()) if self.era in ("v3.38", "v3.39") else moved(301, "/v1/portforward")

    def portforward(self, request):
        """Answer /v1/portforward; only master can set the ports."""
        if request.method == "GET":
            return go_json(self.ports_body())
        if request.method != "PUT" or self.era != "master":
            return text_error(400, f"method {request.method} not supported")
        try:
            value = decode(request.body)
            ports = value.get("ports") if isinstance(value, dict) else "wrong"
        except GoJsonError:
            ports = "wrong"
        good = ports is None or (
            isinstance(ports, list)
            and all(isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= 65535 for port in ports)
        )
        if not good:
            return text_error(400, "failed setting forwarded ports")
        self.ports = ports
        return Response(200, b"", None)
