# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proxy outpost in authentik's server, and the login that it leads to, as a reverse proxy and a browser meet them.

Followed: goauthentik/authentik, internal/outpost/proxyv2 (handlers.go, application/mode_forward.go, oauth_state.go,
oauth_callback.go). Left out: tokens and their signatures (a session is known by a random id), the pages' looks.
"""

import hashlib
import json
import secrets
import urllib.parse

from . import authentik_model as model_of
from .core import Response, json_response, page, redirect

PREFIX = "/outpost.goauthentik.io/"
CALLBACK, LOGOUT = "X-authentik-auth-callback", "X-authentik-logout"
LOGIN = "/if/flow/default-authentication-flow/"
EXECUTOR = "/api/v3/flows/executor/default-authentication-flow/"
_SESSION = "authentik_session"


class Outpost:
    """One process: providers come from the model, sessions are its own."""

    def __init__(self, model, version):
        """*model*: a function that returns what authentik knows."""
        self.model, self.version = model, version
        self.sessions, self.states, self.codes, self.logins = {}, {}, {}, {}

    # -- the outpost -------------------------------------------------------------------------------------------------

    def providers(self):
        """Host name with port → provider, of those that are the embedded outpost's and have an application."""
        model = self.model()
        own = model["authentik_outposts.outpost"][model_of.EMBEDDED]["providers"]
        used = {one.get("provider"): one["slug"] for one in model.get("authentik_core.application", {}).values()}
        found = {}
        for name in own:
            provider = model.get("authentik_providers_proxy.proxyprovider", {}).get(name)
            if provider and name in used:
                host = urllib.parse.urlsplit(provider["external_host"]).netloc
                found[host] = {**provider, "application": used[name]}
        return found

    def handle(self, request):
        """Answer below /outpost.goauthentik.io/."""
        if request.path.startswith(PREFIX + "ping"):
            return Response(204, b"", None)
        host = request.headers.get("X-Forwarded-Host") or request.headers.get("Host") or ""
        provider = self.providers().get(host)
        if provider is None:
            detail = f"Check the outpost settings and make sure '{host}' is included."
            return json_response({"Message": "no app for hostname", "Host": host, "Detail": detail}, 400)
        if request.path == PREFIX + "auth/traefik":
            return self.ask(request, provider)
        if request.path == PREFIX + "callback":
            return self.callback(request, provider, request.query)
        if request.path == PREFIX + "start":
            return self.start(request, provider, self._back(request.query.get("rd", ""), provider))
        if request.path == PREFIX + "sign_out":
            return self.sign_out(request, provider)
        return Response(404, "404 page not found\n")

    def ask(self, request, provider):
        """Traefik's question about one request."""
        told = [request.headers.get(f"X-Forwarded-{name}") or "" for name in ("Proto", "Host", "Uri")]
        if not told[0] or not told[1]:
            return Response(500, "configuration error\n")
        asked = f"{told[0]}://{told[1]}{told[2]}"
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(asked).query))
        if query.get(CALLBACK, "").lower() == "true":
            return self.callback(request, provider, query)
        if query.get(LOGOUT, "").lower() == "true":
            return self.sign_out(request, provider)
        session = self.sessions.get(request.cookie(_cookie(provider))) or {}
        if session.get("user"):
            return Response(200, b"", None, self._identity(session["user"], provider, request))
        return self.start(request, provider, asked)

    def start(self, request, provider, back):
        """Send a browser to the login, with a session that only its answer fits."""
        number = request.cookie(_cookie(provider))
        if number not in self.sessions:
            number = secrets.token_hex(26)
            self.sessions[number] = {}
        state = secrets.token_urlsafe(24)
        self.states[state] = (number, back, provider["name"])
        query = urllib.parse.urlencode(
            {
                "client_id": _client(provider),
                "redirect_uri": _callback(provider),
                "response_type": "code",
                "scope": "openid profile email ak_proxy entitlements",
                "state": state,
            }
        )
        host = self.model()["authentik_outposts.outpost"][model_of.EMBEDDED]["config"].get("authentik_host", "")
        return redirect(f"{host}/application/o/authorize/?{query}", headers=[_set(provider, number)])

    def callback(self, request, provider, query):
        """A browser comes back from the login."""
        number, back, name = self.states.pop(query.get("state", ""), ("", "", ""))
        user, of = self.codes.pop(query.get("code", ""), ("", ""))
        if not number or number != request.cookie(_cookie(provider)) or not user or {name, of} != {provider["name"]}:
            # A browser with an old state begins again.
            return redirect(provider["external_host"])
        self.sessions[number]["user"] = user
        return redirect(back or provider["external_host"], headers=[_set(provider, number)])

    def sign_out(self, request, provider):
        """Forget the session of this app."""
        self.sessions.pop(request.cookie(_cookie(provider)), None)
        host = self.model()["authentik_outposts.outpost"][model_of.EMBEDDED]["config"].get("authentik_host", "")
        return redirect(f"{host}/application/o/{provider['application']}/end-session/")

    @staticmethod
    def _back(wanted, provider):
        place, own = urllib.parse.urlsplit(wanted), urllib.parse.urlsplit(provider["external_host"])
        if not wanted or (place.netloc and place.netloc != own.netloc):
            return ""
        return wanted if place.netloc else urllib.parse.urljoin(provider["external_host"], wanted)

    def _identity(self, username, provider, request):
        user = self.model()["authentik_core.user"][username]
        return [
            ("X-Authentik-Username", username),
            ("X-Authentik-Groups", "|".join(user["groups"])),
            ("X-Authentik-Entitlements", ""),
            ("X-Authentik-Email", user.get("email", "")),
            ("X-Authentik-Name", user.get("name", username).encode().decode("latin-1")),
            ("X-Authentik-Uid", hashlib.sha256(username.encode()).hexdigest()),
            ("X-Authentik-Meta-App", provider["application"]),
            ("X-Authentik-Meta-Outpost", "authentik Embedded Outpost"),
            ("X-Authentik-Meta-Provider", provider["name"]),
            ("X-Authentik-Meta-Version", f"goauthentik.io/outpost/{self.version}"),
            ("User-Agent", request.headers.get("User-Agent") or ""),
        ]

    # -- authentik's own pages ---------------------------------------------------------------------------------------

    def authorize(self, request):
        """The OAuth page: to the login, a refusal, or back with a code."""
        user = self.logins.get(request.cookie(_SESSION))
        if not user:
            here = urllib.parse.quote(f"{request.path}?{request.raw_query}", safe="")
            return redirect(f"/flows/-/default/authentication/?next={here}")
        provider = next(
            (one for one in self.providers().values() if _client(one) == request.query.get("client_id")), None
        )
        if provider is None or request.query.get("redirect_uri") != _callback(provider):
            return Response(400, "The request fails due to a missing, invalid, or mismatching redirection URI.\n")
        if not model_of.may(self.model(), user, provider["application"]):
            answer = page("Permission denied - authentik", "Request has been denied.")
            answer.status = 403
            return answer
        code = secrets.token_hex(16)
        self.codes[code] = (user, provider["name"])
        query = urllib.parse.urlencode({"code": code, "state": request.query.get("state", "")})
        return redirect(f"{_callback(provider)}&{query}")

    def execute(self, request):
        """The login itself, as authentik's page speaks to it: first who, then the password."""
        number = request.cookie(_SESSION) or secrets.token_hex(16)
        cookie = [("Set-Cookie", f"{_SESSION}={number}; Path=/; HttpOnly; Secure; SameSite=None")]
        if request.method != "POST":
            return json_response(
                {"component": "ak-stage-identification", "user_fields": ["username", "email"]}, 200, headers=cookie
            )
        given = request.json() or {}
        if "uid_field" in given:
            self.states[number] = given["uid_field"]
            return json_response({"component": "ak-stage-password"}, 200, headers=cookie)
        username = self.states.get(number, "")
        user = self.model()["authentik_core.user"].get(username)
        if not user or model_of.hashed(str(given.get("password", "")), username) != user["password"]:
            wrong = [{"string": "Invalid password", "code": "invalid"}]
            return json_response(
                {"component": "ak-stage-password", "response_errors": {"password": wrong}}, 200, headers=cookie
            )
        self.logins[number] = username
        return json_response(
            {"component": "xak-flow-redirect", "to": request.query.get("next") or "/"}, 200, headers=cookie
        )


def _client(provider):
    return hashlib.sha256(provider["name"].encode()).hexdigest()[:40]


def _callback(provider):
    return f"{provider['external_host']}{PREFIX}callback?{CALLBACK}=true"


def _cookie(provider):
    """The name of an app's cookie."""
    return f"authentik_proxy_{hashlib.sha256(_client(provider).encode()).hexdigest()[:8]}"


def _set(provider, number):
    secure = "; Secure" if provider["external_host"].startswith("https:") else ""
    domain = f"; Domain={provider['cookie_domain']}" if provider.get("cookie_domain") else ""
    return ("Set-Cookie", f"{_cookie(provider)}={number}; Path=/{domain}; HttpOnly{secure}; SameSite=Lax")


def dumped(model):
    """The model as the database keeps it."""
    return json.dumps(model, sort_keys=True)
