# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What gluetun's control server tells of the VPN, whichever of its versions answers.

Only routes that show no secrets are read: never /v1/vpn/settings, which holds the private key. "running" is not
"connected": gluetun says it 100 ms after the tunnel's device is up, before any handshake. A public IP is looked up
through the tunnel, so having one is the proof.
"""

from __future__ import annotations

import time
import urllib.parse

from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import (
    PASSING,
    UNAUTHORIZED,
    UNEXPECTED,
    GluetunError,
    Server,
    not_gluetun,
)

STATUS = "/v1/vpn/status"
PUBLIC_IP = "/v1/publicip/ip"
PORTS = "/v1/portforward"
PORTS_BEFORE = "/v1/openvpn/portforwarded"
"""Where the forwarded port stood before v3.41.0; since then a 301 to `PORTS`."""

UNKNOWN_ROUTE = (400, 404, 405)
"""What versions answer to a route that they do not have; v3.39.1 to v3.41.1 say 401 to that, too."""

PLACE = ("country", "region", "city", "organization")

# Seconds that every look gets, so that the last one does not fail for want of time alone.
LEAST_LOOK = 0.5
POLL = 0.5
"""Seconds between two looks while waiting."""


def read_status(url, api_key=None, username=None, password=None, timeout=10):
    """One look at a control server.

    Parameters: `url`, `http://host:port`; `api_key`, or `username` and `password`; `timeout`, seconds for the whole
    look, however slowly the server answers.

    Returns the keys that the module gluetun_status returns: `status`, `connected`, `public_ip`, `country`, `region`,
    `city`, `organization`, `forwarded_ports`, `dns_status`, `updater_status`, `version`, `commit`, `auth_required`,
    `vpn_type`. None means not known (the version has no such route, or these credentials may not read it); an empty
    text or list is gluetun's own "none".

    Without credentials a 401 is an answer: `auth_required` is true, `connected` false.

    Raises GluetunError when nothing listens, nothing comes in time, something else answers, or the credentials are
    refused.
    """
    server = Server(url, api_key, username, password, timeout)
    status = _essential(server, STATUS, "status")
    address = _essential(server, PUBLIC_IP, "public_ip")
    known = address or {}
    version = _optional(server, "/v1/version") or {}
    result = {
        "status": status and status["status"],
        "connected": bool(status and status["status"] == "running" and known.get("public_ip")),
        "public_ip": known.get("public_ip"),
        "forwarded_ports": read_ports(server),
        "dns_status": (_optional(server, "/v1/dns/status") or {}).get("status"),
        "updater_status": (_optional(server, "/v1/updater/status") or {}).get("status"),
        "version": version.get("version"),
        "commit": version.get("commit"),
        "auth_required": status is None or address is None,
        "vpn_type": _vpn_type(server, status),
    }
    result.update({name: known.get(name, "") if address else None for name in PLACE})
    return result


def wait_for_status(url, api_key=None, username=None, password=None, timeout=10, wait_timeout=0, ports=False):
    """As `read_status`, again and again until the VPN is connected, at most `wait_timeout` seconds.

    With `ports` also until a port is forwarded. Returns the last look. Raises GluetunError when the last look failed,
    at once for what waiting does not cure.
    """
    until = time.monotonic() + wait_timeout
    patience = timeout
    while True:
        failure = result = None
        try:
            result = read_status(url, api_key, username, password, patience)
        except GluetunError as error:
            if error.kind not in PASSING:
                raise
            failure = error
        if result and _settled(result, ports):
            return result
        if time.monotonic() + POLL >= until:
            if failure:
                raise failure
            return result
        time.sleep(POLL)
        patience = min(timeout, max(LEAST_LOOK, until - time.monotonic()))


def _settled(result, ports):
    """Whether waiting changes nothing more: all is there, or these credentials do not show it."""
    if result["auth_required"]:
        return True
    return result["connected"] and (not ports or result["forwarded_ports"] != [])


def set_status(url, wanted, api_key=None, username=None, password=None, timeout=60):
    """Start or stop the VPN inside gluetun: `wanted` is running or stopped.

    gluetun answers 200 in every case and says in words what came of it, when it is done. Returns that text: `running`,
    `stopped`, `crashed`, or `already <status>`, which is what is wanted only when the status is.

    Raises GluetunError, as `read_status`, and when these credentials may not do it.
    """
    server = Server(url, api_key, username, password, timeout)
    answer = server.put(STATUS, {"status": wanted})
    if answer.status == 401:
        raise _unauthorized(server, answer, "PUT " + STATUS)
    if answer.status != 200:
        raise GluetunError(UNEXPECTED, "%s: PUT gave %s." % (answer.url, answer.what()))
    outcome = answer.json().get("outcome")
    if not isinstance(outcome, str):
        raise not_gluetun(answer)
    return outcome


def reached(outcome, wanted):
    """Whether the `outcome` of `set_status` means that the VPN is as wanted."""
    return outcome in (wanted, "already " + wanted)


def read_ports(server):
    """The forwarded ports, [] for none, None where they cannot be read.

    Asks the route of v3.41 and later, then the one before it. Since v3.41 the latter redirects to the former, for
    which a role needs a route of its own; the redirect is followed once, and never to another server.
    """
    answer = server.get(PORTS)
    if answer.status in (401, *UNKNOWN_ROUTE):
        answer = server.get(PORTS_BEFORE)
        if answer.status in (301, 308):
            place = _same_server(server, answer)
            if place is None:
                return None
            answer = server.get(place)
    if answer.status != 200:
        return None
    return _ports(answer.json())


def _same_server(server, answer):
    """The path below the server's URL that a redirect leads to; None when it leads elsewhere."""
    target = urllib.parse.urljoin(answer.url, answer.location)
    if not target.startswith(server.url + "/"):
        # A reverse proxy that strips a prefix: gluetun does not know it and names its own path.
        return answer.location if answer.location.startswith("/v1/") else None
    return target[len(server.url) :]


def _ports(body):
    """Ports of any of the four shapes: {"port": 0}, {"port": N}, {"ports": [N, M]}, {"port": N, "ports": [N, M]}."""
    given = body.get("ports") or [body.get("port")]
    return [port for port in given if isinstance(port, int) and not isinstance(port, bool) and port > 0]


def _essential(server, path, key):
    """The map at `path`, which every version has and which holds a text `key`.

    None for a 401 without credentials. Raises GluetunError for anything else.
    """
    answer = server.get(path)
    if answer.status == 401 and not answer.is_page:
        if server.has_credentials:
            raise _unauthorized(server, answer, "GET " + path)
        return None
    if answer.status >= 500:
        raise GluetunError(
            UNEXPECTED, "%s: %s. Look into the log of gluetun (docker logs gluetun)." % (answer.url, answer.what())
        )
    if answer.status != 200 or answer.is_page:
        raise not_gluetun(answer)
    body = answer.json()
    if not isinstance(body.get(key), str):
        raise not_gluetun(answer)
    return body


def _optional(server, path):
    """The map at `path`; None where this version has no such route or these credentials may not read it."""
    answer = server.get(path)
    return answer.json() if answer.status == 200 else None


def _vpn_type(server, status):
    """openvpn or wireguard, as far as it can be told without the settings, which hold the keys.

    /v1/openvpn/status repeats the status of the VPN with OpenVPN, and is "stopped" with any other type: of a stopped
    VPN it tells nothing.
    """
    seen = (_optional(server, "/v1/openvpn/status") or {}).get("status")
    if seen is None or status is None or status["status"] == "stopped":
        return None
    return "wireguard" if seen == "stopped" else "openvpn"


def _unauthorized(server, answer, route):
    """The GluetunError for a 401 although there were credentials, or to a request that changes something."""
    if server.has_credentials:
        what = "gluetun refuses this %s, or its role has not the route" % server.credentials
    else:
        what = "gluetun wants credentials for"
    return GluetunError(
        UNAUTHORIZED,
        '%s: HTTP 401: %s "%s". Compare with the roles in its HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH (default '
        "/gluetun/auth/config.toml) or HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE; it reads them at its start only."
        % (answer.url, what, route),
    )
