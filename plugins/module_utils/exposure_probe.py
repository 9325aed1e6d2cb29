# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a visitor without a login gets, over HTTP. `exposure_judge.py` says what it means.

Everything here runs in a child process that has joined a network namespace, and returns what was seen as JSON.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import http.client
import socket
import ssl
import urllib.parse

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_dns, netlink, probes

# Looked up in a child process, which should not import any more.
codecs.lookup("idna")

MAX_BODY = 65536
MAX_HOPS = 5
LOCALNET = "/proc/sys/net/ipv4/conf/%s/route_localnet"


def look(places, timeout):
    """Visit every place at once: a list of what was seen, in their order, after `timeout` seconds at the latest.

    Args:
        places: a list of `{address, port, requests}`; a request is `{path, post}`, the JSON to send with POST, if any.
            With `host`, that is the name that is asked for there; with `tls`, TLS is spoken from the beginning.

    Returns:
        For each `{reached, reason, answers}`; an answer is `{path, status, hops, body, tls, reason, spoke}`, with the
        status after redirects within the same place and `hops` the targets of all redirects; `status` None for what
        is no HTTP, `spoke` where it said something else.
    """
    found = [{"reached": False, "reason": "timeout", "answers": []} for _place in places]
    jobs = {}
    for number, place in enumerate(places):
        what = "%s:%d" % (place["address"], place["port"])
        jobs[number] = (what, functools.partial(_visit, place, found[number], timeout))
    probes.sweep(jobs, timeout)
    return found


def _visit(place, seen, timeout, attempt):
    try:
        attempt.connect(place["address"], place["port"]).close()
    except OSError as error:
        seen["reason"] = "timeout" if isinstance(error, socket.timeout) else leak_dns.reason(error)
        return
    seen.update(reached=True, reason=None)
    tls = bool(place.get("tls"))
    for request in place["requests"]:
        answer = _ask(place, request, tls, timeout, attempt)
        if not tls and _is_tls(answer):
            tls = True
            answer = _ask(place, request, tls, timeout, attempt)
        seen["answers"].append(answer)


def _ask(place, request, tls, timeout, attempt):
    """One request, and after it where it is sent to, as long as that is here."""
    answer = {"path": request["path"], "status": None, "hops": [], "body": "", "tls": tls}
    answer.update(reason=None, spoke=False)
    path, post = request["path"], request.get("post")
    try:
        while True:
            status, target, body = _once(place, path, post, tls, attempt)
            answer.update(status=status, body=body)
            if not target or status not in (301, 302, 303, 307, 308):
                break
            answer["hops"].append(target)
            path, post = _here(place, path, target, tls), None if status not in (307, 308) else post
            if path is None or len(answer["hops"]) >= MAX_HOPS:
                break
    except socket.timeout:
        answer["reason"] = "no answer within %g s" % timeout
    except http.client.HTTPException as error:
        line = getattr(error, "line", "")
        answer["spoke"] = isinstance(line, str) and bool(line)
        answer["reason"] = line[:80] if answer["spoke"] else type(error).__name__
    except OSError as error:
        answer["reason"] = leak_dns.reason(error)
    return answer


def _once(place, path, post, tls, attempt):
    sock = attempt.connect(place["address"], place["port"])
    if tls:
        # Who it is does not matter here, and at home nobody could tell.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock, server_hostname=place.get("host"))
    connection = http.client.HTTPConnection(place["address"], place["port"])
    connection.sock = sock
    # A visitor's browser, not an API's client: some answer these differently.
    headers = {
        "User-Agent": "Mozilla/5.0",
        "Accept": "text/html,application/json;q=0.9,*/*;q=0.8",
        "Connection": "close",
    }
    if post is not None:
        headers["Content-Type"] = "application/json"
    if place.get("host"):
        # As a browser says it: authentik knows an app by its port too, where that is not the usual one.
        usual = place["port"] == (443 if tls else 80)
        headers["Host"] = place["host"] if usual else "%s:%d" % (place["host"], place["port"])
    with contextlib.closing(connection):
        connection.request("GET" if post is None else "POST", path, body=post, headers=headers)
        response = connection.getresponse()
        body = b""
        while len(body) < MAX_BODY and not attempt.expired():
            part = response.read1(MAX_BODY)
            if not part:
                break
            body += part
        return response.status, response.getheader("Location"), body[:MAX_BODY].decode("utf-8", "replace")


def _here(place, path, target, tls):
    """The path that a redirect leads to, None when it leaves this address and port."""
    parts = urllib.parse.urlsplit(target)
    if parts.netloc:
        usual = 443 if parts.scheme == "https" else 80
        own = (place["host"], tls) if place.get("host") else (place["address"], place["port"])
        meant = (
            (parts.hostname, parts.scheme == "https") if place.get("host") else (parts.hostname, parts.port or usual)
        )
        if meant != own:
            return None
    whole = urllib.parse.urlsplit(urllib.parse.urljoin("http://here%s" % path, target))
    return (whole.path or "/") + ("?" + whole.query if whole.query else "")


def _is_tls(answer):
    """What says that TLS is spoken here: an alert (0x15 0x03) in the place of HTTP, or a server's word for it."""
    if answer["status"] is None:
        return (answer["reason"] or "").startswith(("\x15\x03", "\x16\x03"))
    return answer["status"] == 400 and "HTTPS" in answer["body"]


def past_loopback(gateway, device, ports, timeout):
    """Those of `ports` that the host's 127.0.0.1 answers on to a neighbour that sends it there by its own route.

    The packets come in by an interface and are for 127.0.0.1, which the kernel drops, unless rules of the engine send
    them on before it looks (https://github.com/moby/moby/issues/45610).
    """
    try:
        with open(LOCALNET % device, "w", encoding="ascii") as handle:
            handle.write("1")
        netlink.add_route(device, gateway, "127.0.0.1", 32)
    except OSError:
        return None
    places = [{"address": "127.0.0.1", "port": port, "requests": []} for port in ports]
    return [port for port, seen in zip(ports, look(places, timeout)) if seen["reached"]]
