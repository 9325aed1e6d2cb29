# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Somebody with a browser in front of the proxy: keeps cookies for each host name, follows redirects, logs in."""

from __future__ import annotations

import http.cookies
import json
import urllib.parse
from typing import NamedTuple

from ingress_lab import fetch

LOGIN = "/if/flow/default-authentication-flow/"
_EXECUTOR = "/api/v3/flows/executor/default-authentication-flow/"


class Page(NamedTuple):
    """Where a browser has come to, and what stands there."""

    url: str
    status: int
    body: str
    headers: object

    @property
    def host(self):
        """The host name without its port."""
        return urllib.parse.urlsplit(self.url).hostname


class Browser:
    """One browser: its cookies, and the authority that it trusts."""

    def __init__(self, port, authority):
        self.port, self.authority, self.cookies = port, authority, {}

    def ask(self, host, target, method="GET", body=None, **headers):
        """One request by TLS, no redirect followed."""
        jar = self.cookies.setdefault(host, {})
        if jar:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        answer = fetch(host, self.port, target, self.authority, method=method, body=body, headers=headers)
        for line in answer.headers.get_all("Set-Cookie") or ():
            cookie = http.cookies.SimpleCookie(line)
            for name, one in cookie.items():
                if name.startswith("authentik"):
                    assert one["secure"] and one["httponly"] and not one["domain"], line
            jar.update({name: one.value for name, one in cookie.items()})
        return answer

    def open(self, host, target="/", **headers):
        """Follow redirects to a `Page`."""
        url = f"https://{host}:{self.port}{target}"
        for _hop in range(10):
            place = urllib.parse.urlsplit(url)
            assert place.scheme == "https" and place.port == self.port, url
            query = f"?{place.query}" if place.query else ""
            answer = self.ask(place.hostname, f"{place.path or '/'}{query}", **headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return Page(url, answer.status, answer.body, answer.headers)
            url = urllib.parse.urljoin(url, answer.headers["Location"])
        raise AssertionError(f"redirected in a circle: {url}")

    def log_in(self, page, user, password):
        """Answer authentik's login page, and go on from there."""
        place = urllib.parse.urlsplit(page.url)
        assert place.path == LOGIN, page
        kind = {"Content-Type": "application/json"}
        self.ask(page.host, _EXECUTOR, "POST", json.dumps({"uid_field": user}), **kind)
        body = json.dumps({"password": password})
        told = json.loads(self.ask(page.host, f"{_EXECUTOR}?{place.query}", "POST", body, **kind).body)
        assert told["component"] == "xak-flow-redirect", told
        return self.open(page.host, told["to"])
