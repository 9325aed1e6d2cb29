# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP to gluetun's control server: one deadline for everything, errors in the words of somebody who looks for it.

Facts about the server (internal/server of gluetun v3.38 … master): plain HTTP/1.1, JSON is sent as text/plain, a query
string breaks the routing and so does a trailing slash, a key goes into the header X-API-Key, and a Basic login must be
sent without being asked for, because a 401 only asks when none was sent.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import http.client
import json
import re
import socket
import ssl
import threading
import time
import urllib.parse
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils.probes import excerpt

MAX_BODY = 1024 * 1024
"""Bytes of an answer that are read at most; gluetun's longest is about 2 KiB."""

USER_AGENT = "homelab.mediastack-gluetun"

REFUSED = "refused"
TIMEOUT = "timeout"
CLOSED = "closed"
NETWORK = "network"
NOT_GLUETUN = "not_gluetun"
UNAUTHORIZED = "unauthorized"
UNEXPECTED = "unexpected"
SETTINGS = "settings"

PASSING = (REFUSED, TIMEOUT, CLOSED, NETWORK)
"""Kinds of failures that end by themselves while gluetun starts."""


class GluetunError(Exception):
    """The control server did not answer as gluetun does: `str()` names URL, what came and a remedy.

    `kind` is one of this file's constants.
    """

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Answer(NamedTuple):
    """An HTTP answer: status, body as text, and the two headers that decide something."""

    url: str
    status: int
    body: str
    content_type: str
    location: str

    @property
    def is_page(self):
        """Whether it is an HTML page, which gluetun sends with its redirects only."""
        head = self.body.lstrip()[:15].lower()
        return "html" in self.content_type.lower() or head.startswith(("<!doctype", "<html"))

    def what(self):
        """What came, in words."""
        if self.is_page:
            title = re.search(r"<title[^>]*>(.*?)</title>", self.body, re.IGNORECASE | re.DOTALL)
            named = ' "%s"' % excerpt(title.group(1), 60) if title else ""
            return "HTTP %d with a web page%s" % (self.status, named)
        if 300 <= self.status < 400 and self.location:
            return "HTTP %d, a redirect to %s" % (self.status, excerpt(self.location))
        return "HTTP %d with the body %s" % (self.status, excerpt(self.body))

    def json(self):
        """The body as a map, whatever its content type says. Raises GluetunError for everything else."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise not_gluetun(self)
        return value


def not_gluetun(answer):
    """The GluetunError for an answer that gluetun would not give."""
    return GluetunError(
        NOT_GLUETUN,
        "%s: %s. That is not gluetun's control server; something else has this port. Give the address at which "
        "gluetun publishes its port 8000 (docker port gluetun 8000/tcp)." % (answer.url, answer.what()),
    )


class Server:
    """A control server at one address, with the credentials for it, asked within one deadline."""

    def __init__(self, url, api_key=None, username=None, password=None, timeout=10):
        """`url`: http(s)://host:port, with a path only behind a reverse proxy; `timeout`: seconds for all requests.

        Raises GluetunError for an address or credentials that cannot be used.
        """
        self.url, self._place = _checked_url(url)
        self._headers = _credentials(api_key, username, password)
        self.has_credentials = bool(self._headers)
        #: How the credentials are called in messages.
        self.credentials = "user name and password" if "Authorization" in self._headers else "API key"
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self._stage = "connecting"

    def get(self, path):
        """The Answer to GET `path` (below the URL). Redirects are answers. Raises GluetunError."""
        return self._request("GET", path, None)

    def put(self, path, value):
        """The Answer to PUT `path` with `value` as JSON. Raises GluetunError."""
        return self._request("PUT", path, json.dumps(value))

    def _request(self, method, path, body):
        """One request in a thread of its own.

        A name that does not resolve, or a server that trickles one byte a second, would outlast any socket timeout;
        at the deadline the thread is left alone and its socket cut.
        """
        url = self.url + path
        connection = self._connection()
        done = []

        def run():
            try:
                done.append(self._exchange(connection, url, method, path, body))
            except Exception as error:  # goes to the caller, who waits
                done.append(error)
            finally:
                connection.close()

        self._stage = "connecting"
        thread = threading.Thread(target=run, name="gluetun", daemon=True)
        thread.start()
        thread.join(max(0.0, self.deadline - time.monotonic()))
        if not done:
            sock = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError):  # closed meanwhile
                    sock.shutdown(socket.SHUT_RDWR)
            raise self._timed_out(url)
        if isinstance(done[0], Exception):
            raise self._readable(done[0], url) from done[0]
        return done[0]

    def _connection(self):
        remaining = max(0.001, self.deadline - time.monotonic())
        if self._place.scheme == "https":
            return http.client.HTTPSConnection(self._place.hostname, self._place.port, timeout=remaining)
        return http.client.HTTPConnection(self._place.hostname, self._place.port, timeout=remaining)

    def _exchange(self, connection, url, method, path, body):
        connection.connect()
        self._stage = "waiting for an answer"
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
        headers.update(self._headers)
        connection.request(method, self._place.path + path, body=body, headers=headers)
        response = connection.getresponse()
        self._stage = "reading the answer (HTTP %d)" % response.status
        content = response.read(MAX_BODY)
        if response.length and len(content) < MAX_BODY:
            raise http.client.IncompleteRead(content, response.length)
        if len(content) == MAX_BODY:
            raise GluetunError(
                NOT_GLUETUN,
                "%s: HTTP %d with more than %d KiB. That is not gluetun's control server; something else has this "
                "port." % (url, response.status, MAX_BODY // 1024),
            )
        return Answer(
            url,
            response.status,
            content.decode("utf-8", "replace"),
            response.getheader("Content-Type") or "",
            response.getheader("Location") or "",
        )

    def _timed_out(self, url):
        return GluetunError(
            TIMEOUT,
            "%s: timed out after %.3g s while %s. gluetun answers within milliseconds: see whether it hangs "
            "(docker logs gluetun), and whether a firewall drops what is sent to this address."
            % (url, self.timeout, self._stage),
        )

    def _readable(self, error, url):
        """What went wrong below HTTP, as a GluetunError."""
        if isinstance(error, GluetunError):
            return error
        if isinstance(error, socket.timeout):
            return self._timed_out(url)
        if isinstance(error, socket.gaierror):
            name = self._place.hostname
            return GluetunError(NETWORK, "%s: the name %s does not resolve (%s)." % (url, name, error.strerror))
        if isinstance(error, ssl.SSLError):
            return GluetunError(
                NOT_GLUETUN, "%s: no TLS there (%s). gluetun itself speaks plain http://." % (url, error.reason)
            )
        if isinstance(error, ConnectionRefusedError):
            return GluetunError(
                REFUSED,
                "%s: connection refused, nothing listens there. Start gluetun, or publish its control port 8000 at "
                "this address (docker port gluetun shows what is published)." % url,
            )
        closed = isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead))
        if closed or (isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)):
            return GluetunError(
                CLOSED,
                "%s: the connection was closed while %s. Docker does that when nothing listens in the container: "
                "gluetun starts or ends just now (docker logs gluetun)." % (url, self._stage),
            )
        if isinstance(error, http.client.HTTPException):
            words = excerpt(getattr(error, "line", "") or error)
            tls = " It speaks TLS." if words.startswith(("\x15", "\x16")) else ""
            return GluetunError(
                NOT_GLUETUN,
                "%s: the answer is not HTTP: %s.%s That is not gluetun's control server; something else has this "
                "port." % (url, words, tls),
            )
        if isinstance(error, OSError):
            return GluetunError(NETWORK, "%s: %s." % (url, error.strerror or error))
        return GluetunError(UNEXPECTED, "%s: asking it failed: %r." % (url, error))


def _checked_url(url):
    """`(url without a trailing slash, its parts)`. Raises GluetunError."""
    text = (url or "").strip().rstrip("/")
    place = urllib.parse.urlsplit(text)
    try:
        port = place.port
    except ValueError:
        port = -1
    if "@" in place.netloc:  # first: the other messages show the address
        problem = "it holds a user name or a password; use username and password instead"
        text = "%s://…@%s" % (place.scheme, place.netloc.rpartition("@")[2])
    elif place.scheme not in ("http", "https") or not place.hostname:
        problem = "it is not an address such as http://127.0.0.1:8000"
    elif port == -1:
        problem = "its port is not a number from 0 to 65535"
    elif place.query or place.fragment:
        problem = "gluetun takes no query string; give its address only, such as http://127.0.0.1:8000"
    elif place.path.endswith("/v1") or "/v1/" in place.path:
        problem = "give its address only, without /v1, such as http://127.0.0.1:8000"
    elif any(ord(character) <= 32 or ord(character) > 126 for character in text):
        problem = "it holds a character that an address cannot hold"
    else:
        return text, place._replace(path=place.path.rstrip("/"))
    raise GluetunError(SETTINGS, "url %s: %s." % (excerpt(text), problem))


def _credentials(api_key, username, password):
    """The headers that carry the credentials. Raises GluetunError."""
    for name, value in (("api_key", api_key), ("username", username), ("password", password)):
        if value and any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise GluetunError(
                SETTINGS, "%s: it holds a line end or another control character (the value is not shown)." % name
            )
    if api_key:
        return {"X-API-Key": api_key.encode("utf-8")}
    if username or password:
        login = "%s:%s" % (username or "", password or "")
        return {"Authorization": "Basic " + base64.b64encode(login.encode("utf-8")).decode("ascii")}
    return {}
