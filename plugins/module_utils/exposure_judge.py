# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the answers to a visitor without a login mean: does it ask for one, and is that as it should be (pure)."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils.probes import excerpt

PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"
ASKED, OPEN, UNKNOWN, NONE = "asked", "not asked", "unknown", "-"
"""Whether a login is asked for. NONE: there is nothing that could ask, or nobody who could."""
NO_LOGIN, NO_UI = "none", "no_ui"
"""`login.kind` of a service file: a UI without a login of its own; no UI at all."""
WEB = "web"
"""Name of the port that is the UI, see docs/service-file.md."""
FRONT_PAGE = {"path": "/"}
REFUSED = (401, 403, 407)
_LOGIN_WORDS = ("login", "log-in", "signin", "sign-in", "auth", "sso", "oauth", "saml", "flows", "password")
_PASSWORD_FIELD = re.compile(r"""<input[^>]*type\s*=\s*["']?password""", re.IGNORECASE)


class Verdict(NamedTuple):
    """Of one listener: its row's `state`, `login` and `evidence`; `open` when anybody gets in; `remedy` in words."""

    state: str
    login: str
    evidence: str
    open: bool = False
    remedy: str = ""


def requests_of(service):
    """What is asked of a service's UI: `login.closed` of its service file, else its front page; a list of maps.

    Behind a proxy `below` of the service stands before each path of `login.closed`, `front` before that of the page.
    """
    service = service or {}
    closed = (service.get("login") or {}).get("closed")
    if not closed:
        return [dict(FRONT_PAGE, path=service.get("front", "") + FRONT_PAGE["path"])]
    requests = [{"path": one} if isinstance(one, str) else one for one in closed]
    return [dict(one, path=service.get("below", "") + one["path"]) for one in requests]


def login(requests, answers):
    """(ASKED, OPEN, UNKNOWN or NONE, evidence): NONE for what speaks no HTTP, or says nothing.

    `answers`: those of exposure_probe to `requests`, in their order. Every one of them must be refused, in the
    request's own terms where it has some.
    """
    if all(answer["status"] is None for answer in answers):
        return (NONE, "no HTTP: %s" % excerpt(answers[0]["reason"] or "no answer")) if answers else (NONE, "")
    judged = [_of_answer(request, answer) for request, answer in zip(requests, answers)]
    judged += [(UNKNOWN, "%s: no answer in time" % request["path"]) for request in requests[len(answers) :]]
    for wanted in (OPEN, UNKNOWN):
        found = [words for verdict, words in judged if verdict == wanted]
        if found:
            return wanted, "; ".join(found)
    return ASKED, "; ".join(words for _verdict, words in judged)


def _of_answer(request, answer):
    """One of ASKED, OPEN and UNKNOWN, with what was seen."""
    status, path = answer["status"], request["path"]
    if status is None:
        return UNKNOWN, "%s: %s" % (path, excerpt(answer["reason"] or "no HTTP"))
    words = "%s: %d" % (path, status)
    # A proxy in front of the app refuses before the app is asked.
    if status in REFUSED and "status" not in request:
        return ASKED, words
    terms = [key for key in ("status", "contains", "lacks", "json") if key in request]
    if terms:
        difference = _difference(request, answer)
        if not difference:
            return ASKED, "%s as to a stranger" % words
        # A proxy in front of the app asks: nothing of the app was seen.
        if 300 <= status < 400 and answer["hops"] and _is_login(answer["hops"][-1]):
            return ASKED, "%s leads to %s" % (path, excerpt(answer["hops"][-1], 40))
        return (OPEN if 200 <= status < 400 else UNKNOWN), "%s, %s" % (words, difference)
    place = next((hop for hop in answer["hops"] if _is_login(hop)), None)
    if place:
        return ASKED, "%s leads to %s" % (path, excerpt(place, 40))
    if 200 <= status < 300:
        if _PASSWORD_FIELD.search(answer["body"]):
            return ASKED, "%s, a page that asks for a password" % words
        if answer["hops"]:
            return OPEN, "%s, by way of %s" % (words, excerpt(answer["hops"][-1], 40))
        return OPEN, words
    if answer["hops"]:
        return UNKNOWN, "%s, to %s" % (words, excerpt(answer["hops"][-1], 40))
    return UNKNOWN, words


def _spoke(answers):
    """Whether somebody said something, HTTP or not."""
    return any(answer["status"] is not None or answer.get("spoke") for answer in answers)


def _is_login(target):
    """Whether a redirect's target is a login, by its words; what comes behind the question mark is another's."""
    parts = urllib.parse.urlsplit(target)
    words = (parts.netloc + parts.path).lower()
    return any(word in words for word in _LOGIN_WORDS)


def _difference(request, answer):
    """How an answer differs from what a stranger should get, in words; empty when it does not."""
    if "status" in request and answer["status"] not in request["status"]:
        return "not %s" % " or ".join(str(code) for code in request["status"])
    if "contains" in request and request["contains"] not in answer["body"]:
        return "without %s in it" % excerpt(request["contains"])
    if "lacks" in request and request["lacks"] in answer["body"]:
        return "with %s in it" % excerpt(request["lacks"])
    if "json" in request:
        try:
            body = json.loads(answer["body"])
        except ValueError:
            return "which is no JSON"
        for key, value in request["json"].items():
            if not isinstance(body, dict) or body.get(key) != value:
                return "where %s is not %s" % (key, json.dumps(value))
    return ""


def judge(listener, service, seen, allow_open=False):
    """The Verdict on a listener that is reached from the network.

    Args:
        listener: an exposure_listen.Listener.
        service: its entry of the module's `services`; None for a service that no service file has.
        seen: what exposure_probe saw, of the requests of `requests_of`.
        allow_open: whether what `mediastack_open_uis` names is meant to be open.
    """
    login_of = (service or {}).get("login") or {}
    kind = login_of.get("kind")
    if listener.protocol != "tcp":
        return _unasked(listener, kind, "UDP: no web interface")
    verdict, words = login(requests_of(service), seen["answers"])
    if verdict == NONE and service is None and not _spoke(seen["answers"]):
        # docker-proxy accepts for an app that only starts, or hangs.
        verdict, words = UNKNOWN, words or "no answer"
    elif kind == NO_UI or (verdict == NONE and listener.name != WEB):
        return _unasked(listener, kind, words)
    if verdict == ASKED:
        return Verdict(PASSED, ASKED, words)
    if listener.name not in ("", WEB) and not listener.planned:
        return _unasked(listener, kind, words)
    if verdict in (UNKNOWN, NONE):
        evidence = "whether it asks for a login was not seen: %s" % words
        return Verdict(INCONCLUSIVE, UNKNOWN, evidence, remedy="run this again when status says that it is well")
    if (service or {}).get("opened") and allow_open:
        return Verdict(PASSED, OPEN, "open, as mediastack_open_uis says: %s" % words, True)
    if kind not in (None, NO_LOGIN) and not login_of.get("closed"):
        evidence = "a page that may ask for a login by itself: %s" % words
        remedy = "name in login.closed of its service file what it refuses to a stranger"
        return Verdict(INCONCLUSIVE, UNKNOWN, evidence, remedy=remedy)
    return Verdict(FAILED, OPEN, "anybody gets in: %s" % words, True, remedy_of(listener, service))


def _unasked(listener, kind, words):
    """What has no login to ask for: right where the inventory wants it on the network, or nobody knows better."""
    if listener.name and not listener.planned:
        evidence = "the inventory keeps it off the network, for it has no login: %s" % words
        return Verdict(FAILED, NONE, evidence, True, BACK % {"service": listener.service})
    if listener.planned is None and kind is not None and not listener.hosts:
        evidence = "its service file has no such port on the network: %s" % words
        return Verdict(FAILED, NONE, evidence, True, BACK % {"service": listener.service})
    return Verdict(PASSED, NONE, words)


BACK = (
    "take its ports out of mediastack_overrides.%(service)s or out of your own Compose file, then run site, which puts "
    "back what was done by hand"
)


def remedy_of(listener, service):
    """What to do about a UI that lets everybody in."""
    kind = ((service or {}).get("login") or {}).get("kind")
    name = listener.service
    if service is None:
        return "publish it on 127.0.0.1 in your own Compose file, or set a login in the app"
    if service.get("opened") and kind == NO_LOGIN:
        return (
            "take %s out of mediastack_open_uis, or put a login in front of it; if it is meant so, -e allow_open=true"
            % name
        )
    if not listener.planned:
        return BACK % {"service": name}
    if kind == "wizard":
        return "set it up now, for the first visitor becomes its owner, or take %s out of mediastack_open_uis" % name
    return "set a login in the app's own settings; until then mediastack_bind_addresses: [127.0.0.1], then site"


def loopback_only(reached):
    """The Verdict on a listener of 127.0.0.1; `reached`: a neighbour connected to its port all the same, or None."""
    if reached is None:
        return Verdict(INCONCLUSIVE, NONE, "published for this host only; not tried from the network")
    if reached:
        evidence = "published for this host only, and yet it is reached from the network"
        return Verdict(FAILED, NONE, evidence, True, "look for who forwards it: a rule of the firewall, or a tunnel")
    return Verdict(PASSED, NONE, "this host only: a neighbour is refused")
