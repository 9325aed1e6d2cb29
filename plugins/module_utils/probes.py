# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP and TCP probes, all at once, under one deadline.

A probe is a function of one argument, its `Attempt`, which knows the deadline and holds the open socket. `sweep` runs
many of them in threads and returns at the deadline at the latest: what has not answered by then is cut off and
reported as timed out, so that a service that hangs, or trickles one byte a second forever, costs the others nothing.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import json
import queue
import socket
import threading
import time
import urllib.parse
from typing import NamedTuple

OK = "ok"
FAILED = "failed"
DEGRADED = "degraded"
INCONCLUSIVE = "inconclusive"

MAX_BODY = 1024 * 1024
"""Bytes of a body that are read at most: a health page is small, and what is not one must not fill the memory."""

SETTLE = 0.3
"""Seconds within which docker-proxy, which accepts before it asks the container, drops a connection nobody takes."""

DIRECT_TIMEOUT = 0.5
"""Seconds for a look at the container's own address, which the host may be unable to reach (Docker Desktop)."""

USER_AGENT = "homelab.mediastack-health"


class Outcome(NamedTuple):
    """What a probe found: the verdict, a message unless all is well, the time it took in milliseconds."""

    verdict: str
    message: str = ""
    latency_ms: float | None = None


class Target(NamedTuple):
    """Where to probe: `address:port`, and `direct`, the `(address, port)` inside the container behind docker-proxy."""

    address: str
    port: int
    direct: tuple | None = None

    def netloc(self):
        """`address:port` as it stands in a URL."""
        address = "[%s]" % self.address if ":" in self.address else self.address
        return "%s:%d" % (address, self.port)


class ProbeFailed(Exception):
    """A probe that is not satisfied; the text says what it got and what it expected."""

    def __init__(self, message, verdict=FAILED):
        super().__init__(message)
        self.verdict = verdict


class Attempt:
    """One run of one probe: its deadline, its socket, and how far it came."""

    def __init__(self, what, deadline, timeout):
        """`what` names the probe in messages; `deadline` is a time.monotonic(); `timeout` the seconds of the sweep."""
        self.what = what
        self.deadline = deadline
        self.timeout = timeout
        self.stage = "connecting"
        self.started = time.monotonic()
        self._sockets = []

    def remaining(self):
        """Seconds left, never zero or less: a socket timeout of 0 would mean non-blocking."""
        return max(0.001, self.deadline - time.monotonic())

    def expired(self):
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline

    def connect(self, address, port, limit=None):
        """An open TCP connection to `address`:`port`, within `limit` seconds and the deadline. Raises OSError."""
        patience = self.remaining() if limit is None else min(limit, self.remaining())
        connection = socket.create_connection((address, port), timeout=patience)
        connection.settimeout(self.remaining())
        self._sockets.append(connection)
        return connection

    def cut(self):
        """Wake the thread that waits for this attempt's sockets; `close` alone would not."""
        for connection in list(self._sockets):
            with contextlib.suppress(OSError):  # already closed
                connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Close what was opened."""
        for connection in self._sockets:
            connection.close()

    def timed_out(self):
        """The outcome of an attempt that met the deadline."""
        return Outcome(FAILED, "%s: timed out after %g s while %s" % (self.what, self.timeout, self.stage))


def http_probe(target, health):
    """A probe of `http://target/path` as the `health` map of a service file describes it.

    Keys: `path` (default `/`), `status` (codes, default [200]), `json` (these keys equal, nested maps too), `text` (the
    body without surrounding space equals), `contains` (the body holds it), `headers` (sent with the request).
    Redirects are answers like any other and not followed, but for one: to the same path below a URL base, which a user
    sets in the app itself (`/ping` → `/sonarr/ping`; the *arr apps answer 307).
    """
    path = health.get("path") or "/"
    return "http://%s%s" % (target.netloc(), path), functools.partial(_http, target, path, health)


def tcp_probe(target):
    """A probe that something accepts, and keeps, a TCP connection at `target`."""
    return "tcp://%s" % target.netloc(), functools.partial(_tcp, target)


def sweep(jobs, timeout):
    """Run all `jobs` at once and return within `timeout` seconds.

    `jobs`: `{key: (what, probe)}`, `what` being the words for messages and `probe` a function of an `Attempt` that
    returns None or raises `ProbeFailed`, OSError or HTTPException. Returns `{key: Outcome}`, complete in every case.
    """
    deadline = time.monotonic() + timeout
    attempts = {key: Attempt(what, deadline, timeout) for key, (what, probe) in jobs.items()}
    done = queue.Queue()
    outcomes = {}
    for key, (_what, probe) in jobs.items():
        thread = threading.Thread(target=_attempt, args=(key, probe, attempts[key], done), daemon=True)
        thread.name = "probe"
        try:
            thread.start()
        except RuntimeError as error:
            outcomes[key] = Outcome(INCONCLUSIVE, "%s: not probed: %s" % (attempts[key].what, error))
    while len(outcomes) < len(jobs):
        try:
            key, outcome = done.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            break
        outcomes[key] = outcome
    for key, attempt in attempts.items():
        if key not in outcomes:
            outcomes[key] = attempt.timed_out()
            attempt.cut()
    return outcomes


def _attempt(key, probe, attempt, done):
    """Body of a probe's thread: every way to fail becomes an outcome."""
    try:
        probe(attempt)
        outcome = Outcome(OK, "", round((time.monotonic() - attempt.started) * 1000, 1))
    except ProbeFailed as error:
        elapsed = round((time.monotonic() - attempt.started) * 1000, 1)
        outcome = Outcome(error.verdict, "%s: %s" % (attempt.what, error), elapsed)
    except socket.timeout:
        outcome = attempt.timed_out()
    except OSError as error:
        outcome = Outcome(FAILED, "%s: %s" % (attempt.what, _os_error(error)))
    except Exception as error:  # a probe that breaks must be seen, and must not take the others with it
        outcome = Outcome(INCONCLUSIVE, "%s: the probe itself failed: %r" % (attempt.what, error))
    finally:
        attempt.close()
    done.put((key, outcome))


def _os_error(error):
    """An OSError in the words of somebody who looks for a service."""
    if error.errno == errno.ECONNREFUSED:
        return "connection refused, nothing listens there"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "connection closed before an answer came"
    return error.strerror or str(error) or type(error).__name__


def _tcp(target, attempt):
    """Connect; then make sure that it was the service that accepted, not docker-proxy on its behalf."""
    connection = attempt.connect(target.address, target.port)
    if target.direct:
        attempt.stage = "connecting to the container itself"
        try:
            attempt.connect(*target.direct, limit=DIRECT_TIMEOUT)
            return
        except ConnectionRefusedError:
            raise ProbeFailed(
                "the port is published, but nothing listens on port %d in the container" % target.direct[1]
            ) from None
        except OSError:
            pass  # not reachable from here; the published connection decides
    attempt.stage = "watching the connection"
    connection.settimeout(min(SETTLE, attempt.remaining()))
    try:
        if connection.recv(1) == b"":
            raise ProbeFailed("connection accepted and closed at once: nothing listens in the container")
    except socket.timeout:
        pass  # open and silent: the service waits for us to speak
    except ConnectionResetError:
        raise ProbeFailed("connection accepted and reset at once: nothing listens in the container") from None


def below_url_base(response, path):
    """The path that a redirect (an HTTPResponse) points to when it is `path` below a URL base, else None."""
    if response.status not in (301, 302, 307, 308) or path == "/":
        return None
    place = urllib.parse.urlsplit(response.getheader("Location") or "").path
    return place if place != path and place.endswith(path) else None


def _http(target, path, health, attempt, redirected=False):
    """One GET, judged by status and body."""
    connection = http.client.HTTPConnection(target.address, target.port)
    connection.sock = attempt.connect(target.address, target.port)
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    headers.update({str(name): str(value) for name, value in (health.get("headers") or {}).items()})
    try:
        connection.request("GET", path, headers=headers)
    except (http.client.InvalidURL, UnicodeError, ValueError) as error:
        raise ProbeFailed("the probe in the service file is wrong: %s" % error, INCONCLUSIVE) from None
    attempt.stage = "waiting for an answer"
    try:
        response = connection.getresponse()
        attempt.stage = "reading the answer (HTTP %d)" % response.status
        based = None if redirected else below_url_base(response, path)
        if based:
            _http(target, based, health, attempt, redirected=True)
            return
        _judge_status(response, health)
        if any(health.get(key) is not None for key in ("json", "text", "contains")):
            judge_body(_read(response, attempt), health)
    except http.client.RemoteDisconnected:
        raise ProbeFailed(
            "connection closed without an answer: nothing listens in the container, or it is not HTTP"
        ) from None
    except http.client.BadStatusLine as error:
        raise ProbeFailed(_not_http(error.line)) from None
    except http.client.HTTPException as error:
        raise ProbeFailed("the answer is not sound HTTP: %s" % (error or type(error).__name__)) from None


def _not_http(line):
    """What answers in the place of HTTP: TLS begins an alert with 0x15, a handshake with 0x16, then 0x03."""
    if line[:2] in ("\x15\x03", "\x16\x03"):
        return "answers TLS, expected plain HTTP"
    return "answers something else than HTTP: %s" % excerpt(line)


def _judge_status(response, health):
    expected = health.get("status") or [200]
    if response.status in expected:
        return
    wanted = " or ".join(str(code) for code in expected)
    place = response.getheader("Location")
    # One read, of what is there: the status has already decided, the words are for the reader.
    words = excerpt(response.read1(2048).decode("utf-8", "replace")) if not place else ""
    detail = ", redirects to %s" % excerpt(place) if place else ("" if words == "empty" else " (%s)" % words)
    raise ProbeFailed("HTTP %d%s, expected %s" % (response.status, detail, wanted))


def _read(response, attempt):
    """The body, at most MAX_BODY bytes of it, as text."""
    chunks = []
    size = 0
    while size <= MAX_BODY:
        if attempt.expired():
            raise socket.timeout()
        chunk = response.read1(65536)
        if not chunk:
            return b"".join(chunks).decode("utf-8", "replace").lstrip("\ufeff")
        chunks.append(chunk)
        size += len(chunk)
        attempt.stage = "reading the answer (HTTP %d, %d bytes so far)" % (response.status, size)
    raise ProbeFailed("HTTP %d with a body of more than %d KiB, no health page" % (response.status, MAX_BODY // 1024))


def judge_body(body, health):
    """Raise ProbeFailed unless `body` (text) is what the `health` map expects.

    A body that calls itself degraded or starting (Jellyfin answers 200 "Degraded" until it is up) is DEGRADED.
    """
    text = health.get("text")
    if text is not None and body.strip() != str(text):
        raise ProbeFailed("body is %s, expected %s" % (excerpt(body), excerpt(text)), _verdict(body.strip()))
    contains = health.get("contains")
    if contains is not None and str(contains) not in body:
        raise ProbeFailed("body %s does not hold %s" % (excerpt(body), excerpt(contains)), _verdict(body.strip()))
    if health.get("json") is not None:
        _judge_json(body, health["json"])


def _judge_json(body, expected):
    try:
        answer = json.loads(body)
    except ValueError:
        raise ProbeFailed(
            "body %s is not JSON, expected %s" % (excerpt(body), excerpt(_dump(expected))), _verdict(body.strip())
        ) from None
    difference = _difference(expected, answer, "")
    if difference:
        status = answer.get("status") if isinstance(answer, dict) else None
        raise ProbeFailed("JSON %s" % difference, _verdict(status))


def _difference(expected, answer, path):
    """Where `answer` does not hold what `expected` asks for, in words, or None."""
    where = path or "body"
    if isinstance(expected, dict):
        if not isinstance(answer, dict):
            return "%s is %s, expected a map" % (where, excerpt(_dump(answer)))
        for key, value in expected.items():
            inner = "%s.%s" % (path, key) if path else str(key)
            if key not in answer:
                return "has no %s, expected %s" % (inner, excerpt(_dump(value)))
            difference = _difference(value, answer[key], inner)
            if difference:
                return difference
        return None
    # In Python True == 1, in JSON it is not.
    if expected != answer or isinstance(expected, bool) != isinstance(answer, bool):
        return "%s is %s, expected %s" % (where, excerpt(_dump(answer)), excerpt(_dump(expected)))
    return None


def _verdict(word):
    return DEGRADED if str(word).lower() in ("degraded", "starting", "warning") else FAILED


def _dump(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def excerpt(value, limit=80):
    """The beginning of `value` on one line, quoted as needed, with what could move a terminal's cursor left out."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    if not words:
        return "empty"
    return words if len(words) <= limit else words[: limit - 1] + "…"
