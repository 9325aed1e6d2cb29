# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One app's first login through its own API: the calls, their order, and where the app is reached."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, config_formats

_POLL = 0.25
_ONE_CALL = 10


class LoginError(Exception):
    """A login could not be set; the text says why, without any secret."""


def log_in(name, services, values, containers, deadline):
    """Set the first login of a service. Returns `set`, or `present` where there is one already. LoginError when it
    fails."""
    service = services[name]
    login = service["login"]
    username = values.get(login.get("username"), login.get("username"))
    password = values.get(login.get("password"))
    if not username or not password:
        raise LoginError("x-mediastack.login names no username or no secret as password")
    app = _App(name, address(name, services, containers), deadline)
    if login["kind"] == "servarr":
        key = values.get(login.get("api_key") or "%s_api_key" % name) or _from_file(service, "ApiKey")
        if not key:
            raise LoginError("its API key is unknown: declare a secret %s_api_key" % name)
        return _servarr(app, key, (_from_file(service, "UrlBase") or "").rstrip("/"), username, password)
    return _jellyfin(app, username, password)


def _from_file(service, element):
    """A value of config.xml; None where there is none."""
    try:
        data = atomic_files.read_bytes(os.path.join(service["config_dir"], "config.xml"))
        return config_formats.get_value(data, "xml", ["Config", element]) if data else None
    except (atomic_files.FileError, config_formats.ConfigFormatError):
        return None


def address(name, services, containers, wanted="web"):
    """(host, port) of an app's port `wanted`: as published on this host, else the container's own address."""
    for holder, service in services.items():
        for port in service.get("ports") or []:
            if port["service"] != name or port["name"] != wanted:
                continue
            for container in containers:
                labels = (container.get("Config") or {}).get("Labels") or {}
                if labels.get("com.docker.compose.service") != holder:
                    continue
                network = container.get("NetworkSettings") or {}
                for binding in (network.get("Ports") or {}).get("%d/tcp" % port["target"]) or []:
                    return _reachable(binding.get("HostIp")), int(binding["HostPort"])
                for attached in (network.get("Networks") or {}).values():
                    if attached.get("IPAddress"):
                        return attached["IPAddress"], port["target"]
    raise LoginError("its %s port cannot be reached: no container of it publishes one or has an address" % wanted)


def _reachable(host):
    parsed = ipaddress.ip_address(host or "0.0.0.0")  # nosec B104 # parsed only
    if parsed.is_unspecified:
        return "127.0.0.1" if parsed.version == 4 else "::1"
    return host


class _App:
    """HTTP calls to one app, until a deadline."""

    def __init__(self, name, place, deadline):
        self.name, self.place, self.deadline = name, place, deadline

    def call(self, method, path, body=None, headers=None):
        """(status, body as JSON where it is, else as text); OSError when there is no answer."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise LoginError("no time left")
        data = None if body is None else json.dumps(body).encode("utf-8")
        connection = http.client.HTTPConnection(self.place[0], self.place[1], timeout=min(_ONE_CALL, left))
        try:
            connection.request(method, path, data, dict(headers or {}, **{"Content-Type": "application/json"}))
            response = connection.getresponse()
            text = response.read(1 << 20).decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise ConnectionError(type(error).__name__) from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def expect(self, statuses, method, path, body=None, headers=None):
        """The body of an answer with one of `statuses`; asked again while the app starts (no answer, 5xx) until the
        deadline."""
        while True:
            try:
                status, answer = self.call(method, path, body, headers)
            except OSError as error:
                status, answer = None, str(error) or type(error).__name__
            if status in statuses:
                return answer
            if status is not None and status < 500:
                raise LoginError("%s %s was answered with %d%s" % (method, path, status, _complaint(answer)))
            time.sleep(min(_POLL, max(0, self.deadline - time.monotonic())))
            # Looked at after the sleep, which may have been long: tell this, not that there is no time.
            if time.monotonic() >= self.deadline:
                raise LoginError(
                    "%s %s: %s until the time was up"
                    % (method, path, "no answer (%s)" % answer if status is None else "status %d" % status)
                )


def _complaint(answer):
    """The app's own words about a refusal: messages only, since an echo of the values would show the password."""
    entries = answer if isinstance(answer, list) else [answer]
    words = [
        str(entry.get("errorMessage") or entry.get("message") or "") for entry in entries if isinstance(entry, dict)
    ]
    text = "; ".join(word for word in words if word)
    return ": %s" % text[:200] if text else ""


def _servarr(app, key, base, username, password):
    """GET and PUT /config/host (Sonarr: src/Sonarr.Api.V3/Config/HostConfigController.cs)."""
    headers = {"X-Api-Key": key}
    current = app.expect((200,), "GET", base + "/api", headers=headers)
    version = current.get("current") if isinstance(current, dict) else None
    if version not in ("v1", "v2", "v3", "v4", "v5"):
        raise LoginError("GET %s/api does not name its API version: it is not Sonarr or one of its kin" % base)
    path = "%s/api/%s/config/host" % (base, version)
    host = app.expect((200,), "GET", path, headers=headers)
    if not isinstance(host, dict):
        raise LoginError("GET %s did not give its settings" % path)
    if host.get("username"):
        return "present"
    host.update(
        authenticationMethod="forms",
        authenticationRequired="enabled",
        username=username,
        password=password,
        passwordConfirmation=password,
    )
    app.expect((200, 202), "PUT", "%s/%s" % (path, host.get("id", 1)), host, headers)
    return "set"


def _jellyfin(app, username, password):
    """The startup wizard in its own order: the first user exists only after it was asked for
    (Jellyfin.Api/Controllers/StartupController.cs)."""
    # Until /health says so, /System/Info/Public tells of a wizard that is not really open.
    while app.expect((200,), "GET", "/health") != "Healthy":
        if time.monotonic() + _POLL >= app.deadline:
            raise LoginError("/health did not become Healthy until the time was up")
        time.sleep(_POLL)
    info = app.expect((200,), "GET", "/System/Info/Public")
    if not isinstance(info, dict) or "StartupWizardCompleted" not in info:
        raise LoginError("GET /System/Info/Public does not tell about its wizard: it is not Jellyfin")
    if info["StartupWizardCompleted"]:
        return "present"
    app.expect((200,), "GET", "/Startup/User")
    app.expect(
        (204,),
        "POST",
        "/Startup/Configuration",
        {
            "ServerName": "Jellyfin",
            "UICulture": "en-US",
            "MetadataCountryCode": "US",
            "PreferredMetadataLanguage": "en",
        },
    )
    app.expect((204,), "POST", "/Startup/User", {"Name": username, "Password": password})
    app.expect(
        (204,), "POST", "/Startup/RemoteAccess", {"EnableRemoteAccess": True, "EnableAutomaticPortMapping": False}
    )
    app.expect((204,), "POST", "/Startup/Complete")
    return "set"
