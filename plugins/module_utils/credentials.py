# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How people and programs get into each app of this host: address, user, password, API key. Nothing is changed.

A password counts only where it is the app's: one that somebody brought along, or changed since in a file that can be
read, is the app's own and not known here.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import bind_address, first_login, presets
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import load_manifest
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore

OWN = "its own, from your configuration"
NOT_MADE = "not made yet: run site"
NOT_SET = "not set in the app yet: run site"
#: Kinds of login of which nothing is known, and what there is to say.
WITHOUT = {
    "none": "asks for no login",
    "no_ui": "has no web interface",
    "wizard": "asks on its first page; what was set there is known to the app only",
}


def read(project_path, services, secrets, all_presets):
    """One entry for each of `services`: {name, title, urls, user, password, api_key, others, note, missing}.

    `services`: name → {title, login, wiring, config_dir, ports, url}; `secrets`: the bundle's, `all_presets` too.
    What is not known is None; `others`: further users and their first passwords; `note` says why there is no password;
    `missing`: there should be one, and there is none yet. FileError when something of ours cannot be read.
    """
    host = _Host(project_path, secrets, all_presets)
    return [host.entry(name, service) for name, service in services.items()]


class _Host:
    def __init__(self, project_path, secrets, all_presets):
        self._path, self._specs, self._presets = project_path, secrets, all_presets
        self._store = SecretStore(project_path)
        self._made = set(load_manifest(project_path)["directories"])
        self._logins = first_login.done(project_path)

    def entry(self, name, service):
        login, wiring = service.get("login") or {"kind": "none"}, service.get("wiring") or {}
        found = {
            "name": name,
            "title": service["title"],
            "urls": self._urls(service),
            "user": None,
            "password": None,
            "api_key": self._secret(
                login.get("api_key") or wiring.get("api_key") or wiring.get("token") or "%s_api_key" % name
            ),
            "others": {
                user: password
                for user, password in ((user, self._secret(of)) for user, of in (login.get("others") or {}).items())
                if password
            },
            "note": WITHOUT.get(login["kind"], ""),
            "missing": False,
        }
        if login["kind"] in WITHOUT:
            return found
        password = self._secret(login.get("password"))
        note = self._why_not(name, service, login, password) if password else NOT_MADE
        if note:
            return dict(found, note=note, missing=note != OWN)
        username = login.get("username") or ""
        return dict(found, password=password, user=self._secret(username) or username)

    def _secret(self, name):
        return self._store.known(name, self._specs[name]) if name in self._specs else None

    def _why_not(self, name, service, login, password):
        """Why the password that we know does not open the app; "" when it does."""
        ours = service.get("config_dir") in self._made
        if login["kind"] in first_login.KINDS:
            if name in self._logins:
                return "" if self._logins[name] == "set" else OWN
            return NOT_SET if ours else OWN
        if login["kind"] == "preset":
            verdicts = [self._is_in(preset, login["password"], password) for preset in self._of(name)]
            if any(verdict is None for verdict in verdicts):
                return NOT_SET
            if False in verdicts or (not ours and True not in verdicts):
                return OWN
        return ""

    def _of(self, name):
        return [preset for preset in self._presets if preset["service"] == name]

    def _is_in(self, preset, secret, password):
        """Whether the password stands in an app's own file. None: there is no file; "": it is not to stand there."""
        keys = [key for key in preset.get("keys") or [] if ":%s@@" % secret in str(key["value"])]
        if not keys:
            return ""
        if not os.path.exists(preset["path"]):
            return None
        wanted = dict(preset, keys=[dict(key, replace=None) for key in keys])
        return not presets.plan([wanted], self._store.tokens({secret: password}))

    def _urls(self, service):
        """Where people open it: behind the reverse proxy first, and then where the network reaches it past that."""
        route = service.get("url")
        found = [route] if route else []
        for port in service.get("ports") or []:
            if port["name"] == "web":
                addresses = port["addresses"] or bind_address.resolve(self._path, [])[0]
                addresses = [_host(address) for address in addresses]
                found += ["http://%s:%d" % (at, port["port"]) for at in addresses if not (route and _is_loopback(at))]
        return found


def _is_loopback(host):
    return host.startswith("127.") or host == "[::1]"


def _host(address):
    """An address as it stands in a URL; for "every interface" this host's own."""
    address = (bind_address.default_address() or "127.0.0.1") if address in ("0.0.0.0", "::") else address  # nosec B104 # compared, not listened on
    return "[%s]" % address if ":" in address else address
