# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logins for registries, where `docker login` left them on the controller.

`config.json` in DOCKER_CONFIG or `~/.docker`: `auths`, or by a helper program where `credHelpers` or `credsStore`
names one (https://docs.docker.com/reference/cli/docker/login/#credential-stores). The file is only read.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

from .image_reference import HUB

HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HELPER_TIMEOUT = 15
# What every helper says when it has nothing; docker's own helpers share the text.
_NOT_FOUND = "credentials not found"


@dataclasses.dataclass(frozen=True)
class Login:
    """A user's login; `token` is an identity token, which takes the place of user and password."""

    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    token: str = dataclasses.field(default="", repr=False)


class Credentials:
    """The logins of one run.

    Attributes:
        messages: sentences for the user: a helper that is not there, a file that cannot be read.
    """

    def __init__(self, directory=None):
        """`directory`: of `config.json`; None: DOCKER_CONFIG, else `~/.docker`."""
        self._directory = directory
        self._config = None
        self._found = {}
        self._lock = threading.Lock()
        self.messages = []

    def of(self, registry):
        """The `Login` for a registry (`docker.io` for Docker Hub), or None."""
        with self._lock:
            if registry not in self._found:
                self._found[registry] = self._look_up(registry)
            return self._found[registry]

    def _look_up(self, registry):
        if self._config is None:
            self._config = self._read()
        keys = [HUB_KEY, HUB, "index.docker.io"] if registry == HUB else [registry]
        helpers = self._config.get("credHelpers")
        helpers = helpers if isinstance(helpers, dict) else {}
        helper = next((helpers[key] for key in keys if helpers.get(key)), None) or self._config.get("credsStore")
        login = self._ask(str(helper), keys[0]) if helper else None
        return login or self._of_file(keys)

    def _read(self):
        path = pathlib.Path(self._directory or os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
        path = path / "config.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
            self.messages.append(f"{path} cannot be read ({reason}): registries are asked without a login.")
            return {}
        return value if isinstance(value, dict) else {}

    def _of_file(self, keys):
        auths = self._config.get("auths")
        for key, entry in auths.items() if isinstance(auths, dict) else ():
            if key in keys or _host(key) in keys:
                login = _entry(entry)
                if login:
                    return login
        return None

    def _ask(self, name, key):
        """What a helper program has for `key`; None without a login, with a message where that may surprise."""
        program = shutil.which(f"docker-credential-{name}") if _HELPER.fullmatch(name) else None
        where = "Docker Hub" if key == HUB_KEY else key
        if program is None:
            self.messages.append(
                f"The login for {where} is kept by docker-credential-{name}, which is not on PATH: "
                "it is asked without a login."
            )
            return None
        try:
            done = subprocess.run(
                [program, "get"], input=key, capture_output=True, text=True, timeout=_HELPER_TIMEOUT, check=False
            )
            answer = json.loads(done.stdout) if done.returncode == 0 else None
        except (OSError, ValueError, subprocess.TimeoutExpired):
            answer = None
            done = None
        if isinstance(answer, dict) and answer.get("Secret"):
            if answer.get("Username") == "<token>":
                return Login(token=str(answer["Secret"]))
            return Login(str(answer.get("Username") or ""), str(answer["Secret"]))
        if done is None or _NOT_FOUND not in (done.stdout + done.stderr).lower():
            self.messages.append(
                f"docker-credential-{name} did not give the login for {where}: it is asked without a login."
            )
        return None


def _host(key):
    """The registry of a key of `auths`, which may be an address with scheme and path."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _entry(entry):
    if not isinstance(entry, dict):
        return None
    if entry.get("identitytoken"):
        return Login(token=str(entry["identitytoken"]))
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry.get("password") or ""))
    try:
        text = base64.b64decode(entry.get("auth") or "", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        return None
    username, colon, password = text.rstrip("\0").partition(":")
    return Login(username, password) if colon else None
