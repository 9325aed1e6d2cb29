# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a secret opens an app: one question for each kind of app and of secret, asked as its users would.

No text of an error holds a secret, nor what an app answered. A wrong password is tried once: qBittorrent bans an
address after five.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import app_login
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import FORM, JSON, basic

API_KEY, NZB_KEY, CONTROL_KEY, PASSWORD, DATABASE = "api_key", "nzb_key", "control_key", "password", "database"
# Seconds between two questions to an app that starts, and for one.
_POLL, _ONE_CALL = 0.25, 10
# What Jellyfin wants to know of whoever logs in.
JELLYFIN = 'MediaBrowser Client="mediastack", Device="mediastack", DeviceId="mediastack", Version="1"'


class DoorError(Exception):
    """An app could not be asked; the text names it and says why."""


class Door(NamedTuple):
    """One way into one app that a secret opens."""

    secret: str
    service: str
    #: `wiring.kind` of the service.
    kind: str
    role: str
    username: str = ""


class Reply(NamedTuple):
    """An answer: code, headers (names in lower case), text."""

    status: int
    headers: dict
    text: str

    def json(self):
        """The text as JSON; None when it is none."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None


def find(name, services):
    """The Doors of a secret; empty for one of which nobody can be asked."""
    found = []
    for service_name, service in services.items():
        login, wiring = service.get("login") or {}, service.get("wiring") or {}
        kind = wiring.get("kind") or ""
        key = login.get("api_key") or wiring.get("api_key") or wiring.get("token") or "%s_api_key" % service_name
        roles = [
            (API_KEY, name == key),
            (NZB_KEY, kind == "sabnzbd" and name == "%s_nzb_key" % service_name),
            (CONTROL_KEY, kind == "gluetun" and name == "gluetun_control_key"),
            (DATABASE, kind == "postgresql" and name == wiring.get("password")),
            (PASSWORD, kind != "postgresql" and name == login.get("password")),
        ]
        username = wiring.get("username") if kind == "postgresql" else login.get("username")
        found += [Door(name, service_name, kind, role, username or "") for role, fits in roles if fits]
    return found


class Doors:
    """Asks the apps of one project."""

    def __init__(self, services, containers, deadline):
        """`services`: of the bundle; `containers`: docker inspect of the project's; `deadline`: of the monotonic
        clock."""
        self._services, self._containers, self._deadline = services, containers, deadline

    def opens(self, door, value):
        """Whether `value` opens `door`; None where nobody can tell. DoorError."""
        question = _QUESTIONS.get((door.kind, door.role))
        return question(self, door, value) if question else None

    def base(self, door):
        """What stands before the app's own paths: its URL base, as far as the stack has set it."""
        api = (self._services[door.service].get("wiring") or {}).get("api") or "/api"
        return api.partition("/api")[0]

    def ask(self, door, method, path, headers=None, body=None, kind=JSON):
        """The Reply of an app; asked again while it starts, until the deadline. DoorError."""
        service = self._services[door.service]
        port = "control" if door.kind == "gluetun" else "web"
        try:
            place = app_login.address(door.service, self._services, self._containers, port)
        except app_login.LoginError as error:
            raise DoorError("%s: %s" % (service["title"], error)) from error
        if isinstance(body, dict):
            body = json.dumps(body) if kind == JSON else urllib.parse.urlencode(body)
        sent = dict(headers or {}, **({"Content-Type": kind} if body is not None else {}))
        while True:
            try:
                reply, why = _call(place, method, path, sent, body), None
            except (OSError, http.client.HTTPException) as error:
                reply, why = None, "no answer (%s)" % type(error).__name__
            if reply and reply.status < 500:
                break
            if time.monotonic() >= self._deadline:
                why = why or "status %d" % reply.status
                raise DoorError("%s: %s %s: %s" % (service["title"], method, path.partition("?")[0], why))
            time.sleep(_POLL)
        place = urllib.parse.urlsplit(reply.headers.get("location") or "").path
        if reply.status in (301, 302, 303, 307, 308) and place != path.partition("?")[0] and _same_below(place, path):
            # To the same below a URL base that somebody set in the app itself.
            query = path.partition("?")
            return self.ask(door, method, place + query[1] + query[2], headers, body, kind)
        return reply


def _same_below(place, path):
    path = path.partition("?")[0]
    return path.strip("/") != "" and place.endswith(path)


def _call(place, method, path, headers, body):
    connection = http.client.HTTPConnection(place[0], place[1], timeout=_ONE_CALL)
    try:
        connection.request(method, path, body.encode("utf-8") if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read(1 << 20).decode("utf-8", "replace")
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, text)
    except (UnicodeError, ValueError) as error:
        # The words of the error would show the header.
        raise http.client.HTTPException("it cannot be sent") from error
    finally:
        connection.close()


# -- questions ---------------------------------------------------------------------------------------------------------


def _taken(door, reply, good=(200,), bad=(401, 403)):
    """True or False by the code; DoorError for any other."""
    if reply.status in good:
        return True
    if reply.status in bad:
        return False
    raise DoorError("%s answers with %d where it should take or refuse a %s" % (door.service, reply.status, door.role))


def _servarr_key(doors, door, value):
    return _taken(door, doors.ask(door, "GET", doors.base(door) + "/api", {"X-Api-Key": value}))


def _servarr_password(doors, door, value):
    """Sonarr.Http/Authentication/AuthenticationController.cs: 302, to the login page again where it is wrong."""
    form = {"username": door.username, "password": value, "rememberMe": "off"}
    reply = doors.ask(door, "POST", doors.base(door) + "/login?returnUrl=%2F", None, form, FORM)
    _taken(door, reply, (302, 303), ())
    return "loginfailed" not in (reply.headers.get("location") or "").lower()


def _bazarr_key(doors, door, value):
    return _taken(door, doors.ask(door, "GET", "/api/system/status", {"X-API-KEY": value}))


def _bazarr_password(doors, door, value):
    form = {"username": door.username, "password": value}
    reply = doors.ask(door, "POST", "/api/system/account?action=login", None, form, FORM)
    return _taken(door, reply, (200, 204), (400, 401, 403))


def _qbittorrent(doors, door, value):
    """None where it asks nothing of this host's address."""
    if doors.ask(door, "GET", "/api/v2/app/version").status == 200:
        return None
    form = {"username": door.username, "password": value}
    reply = doors.ask(door, "POST", "/api/v2/auth/login", None, form, FORM)
    if reply.status == 403:
        raise DoorError("%s refuses this host's address after too many wrong passwords" % door.service)
    return _taken(door, reply, (200, 204), (401,)) and reply.text.strip() != "Fails."


def _transmission(doors, door, value):
    # 409: the password is right, and a session id is missing.
    return _taken(door, doors.ask(door, "GET", "/transmission/rpc", basic(door.username, value)), (200, 409))


def _nzbget(doors, door, value):
    return _taken(door, doors.ask(door, "GET", "/jsonrpc/version", basic(door.username, value)))


def _deluge(doors, door, value):
    reply = doors.ask(door, "POST", "/json", None, {"method": "auth.login", "params": [value], "id": 1})
    _taken(door, reply, bad=())
    return (reply.json() or {}).get("result") is True


def _sabnzbd_key(doors, door, value):
    path = "/api?" + urllib.parse.urlencode({"mode": "queue", "output": "json", "limit": "1", "apikey": value})
    reply = doors.ask(door, "GET", path)
    return _taken(door, reply) and "queue" in (reply.json() or {})


def _sabnzbd_nzb_key(doors, door, value):
    """Adding nothing: with the key it complains of what is missing, without it of the key."""
    path = "/api?" + urllib.parse.urlencode({"mode": "addurl", "output": "json", "apikey": value})
    reply = doors.ask(door, "GET", path)
    return _taken(door, reply, (200, 400)) and "key" not in str((reply.json() or {}).get("error") or "").lower()


def _sabnzbd_password(doors, door, value):
    """sabnzbd/interface.py, LoginPage: on to the front page with a cookie, or the same page once more."""
    form = {"username": door.username, "password": value, "submit": "Login"}
    reply = doors.ask(door, "POST", "/login/", None, form, FORM)
    return _taken(door, reply, (302, 303), (200, 401, 403))


def _tautulli_key(doors, door, value):
    path = "/api/v2?" + urllib.parse.urlencode({"cmd": "arnold", "apikey": value})
    reply = doors.ask(door, "GET", path)
    answer = ((reply.json() or {}).get("response") or {}).get("result")
    return _taken(door, reply, bad=(400, 401, 403)) and answer == "success"


def _tautulli_password(doors, door, value):
    form = {"username": door.username, "password": value, "remember_me": "0"}
    return _taken(door, doors.ask(door, "POST", "/auth/signin", None, form, FORM))


def jellyfin_login(doors, door, value):
    """(token, id of the user) of a new session of Jellyfin, or None where it refuses the password."""
    body = {"Username": door.username, "Pw": value}
    reply = doors.ask(door, "POST", "/Users/AuthenticateByName", {"Authorization": JELLYFIN}, body)
    if not _taken(door, reply):
        return None
    answer = reply.json() or {}
    return answer.get("AccessToken"), (answer.get("User") or {}).get("Id")


def _jellyfin(doors, door, value):
    session = jellyfin_login(doors, door, value)
    if session is None:
        return False
    doors.ask(door, "POST", "/Sessions/Logout", jellyfin_token(session[0]))
    return True


def jellyfin_token(token):
    """The headers of a session of Jellyfin."""
    return {"Authorization": '%s, Token="%s"' % (JELLYFIN, token)}


def _gluetun_key(doors, door, value):
    return _taken(door, doors.ask(door, "GET", "/v1/publicip/ip", {"X-API-Key": value}))


def _gluetun_control(doors, door, value):
    """A status that there is none of: with the key it is refused for that, and nothing changes."""
    reply = doors.ask(door, "PUT", "/v1/vpn/status", {"X-API-Key": value}, {"status": "none"})
    return _taken(door, reply, (200, 400))


_QUESTIONS = {
    ("servarr", API_KEY): _servarr_key,
    ("servarr", PASSWORD): _servarr_password,
    ("prowlarr", API_KEY): _servarr_key,
    ("prowlarr", PASSWORD): _servarr_password,
    ("bazarr", API_KEY): _bazarr_key,
    ("bazarr", PASSWORD): _bazarr_password,
    ("qbittorrent", PASSWORD): _qbittorrent,
    ("transmission", PASSWORD): _transmission,
    ("nzbget", PASSWORD): _nzbget,
    ("deluge", PASSWORD): _deluge,
    ("sabnzbd", API_KEY): _sabnzbd_key,
    ("sabnzbd", NZB_KEY): _sabnzbd_nzb_key,
    ("sabnzbd", PASSWORD): _sabnzbd_password,
    ("tautulli", API_KEY): _tautulli_key,
    ("tautulli", PASSWORD): _tautulli_password,
    ("jellyfin", PASSWORD): _jellyfin,
    ("gluetun", API_KEY): _gluetun_key,
    ("gluetun", CONTROL_KEY): _gluetun_control,
}
