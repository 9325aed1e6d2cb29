# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP to one app, inside an attempt of `probes.sweep`: its deadline holds for every call, and its cut ends them.

No message holds a key or a body: bodies of apps hold names of downloads, and errors of apps their requests.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.parse
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import probes

MAX_BODY = 8 * 1024 * 1024
"""Bytes of an answer that are read at most: a list of a few thousand downloads fits."""

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class Refused(probes.ProbeFailed):
    """The app did not take the stack's key or password."""

    def __init__(self, message):
        super().__init__(message, probes.INCONCLUSIVE)


class Reply(NamedTuple):
    """An answer: its code, its headers (http.client's) and its body."""

    status: int
    headers: object
    body: bytes


class AppHttp:
    """Calls to one app."""

    def __init__(self, attempt, target, refusal):
        """`attempt`: the probes.Attempt of this read; `target`: a probes.Target; `refusal`: words for a 401 or 403."""
        self._attempt = attempt
        self._target = target
        self._refusal = refusal

    def call(self, method, path, headers=None, body=None, kind=JSON, based=False):
        """The Reply to one request. Raises ProbeFailed, OSError.

        `body`: bytes, or a map that is sent as form or as JSON, by `kind`. One redirect is followed: to the same path
        below a URL base, which a user sets in the app itself.
        """
        if isinstance(body, dict):
            body = (json.dumps(body) if kind == JSON else urllib.parse.urlencode(body)).encode("utf-8")
        sent = {"User-Agent": probes.USER_AGENT, "Accept": "*/*", "Connection": "close"}
        if body is not None:
            sent["Content-Type"] = kind
        sent.update(headers or {})
        # Without the query: what stands there is nobody's business in a message.
        name = "%s %s" % (method, path.partition("?")[0])
        self._attempt.stage = "connecting for %s" % name
        connection = http.client.HTTPConnection(self._target.address, self._target.port)
        connection.sock = self._attempt.connect(self._target.address, self._target.port)
        try:
            connection.request(method, path, body, sent)
        except (UnicodeError, ValueError, http.client.InvalidURL):
            # The words of the error would show the header, and with it the key.
            raise probes.ProbeFailed("the key or password cannot be sent by HTTP", probes.INCONCLUSIVE) from None
        self._attempt.stage = "waiting for the answer to %s" % name
        try:
            response = connection.getresponse()
            self._attempt.stage = "reading the answer to %s" % name
            place = None if based else probes.below_url_base(response, path)
            if place:
                return self.call(method, place, headers, body, kind, based=True)
            data = self._read(response, name)
        except http.client.HTTPException as error:
            raise probes.ProbeFailed("%s: the answer is not sound HTTP (%s)" % (name, type(error).__name__)) from None
        return Reply(response.status, response.headers, data)

    def pause(self, seconds):
        """Wait, but not beyond the deadline."""
        self._attempt.stage = "waiting for a second look"
        time.sleep(min(seconds, self._attempt.remaining()))

    def json(self, method, path, headers=None, body=None, kind=JSON):
        """The JSON value of a 200. Raises Refused for 401 and 403, ProbeFailed for anything else."""
        reply = self.call(method, path, headers, body, kind)
        self.expect(reply, method, path)
        return self.decoded(reply, method, path)

    def expect(self, reply, method, path, statuses=(200,)):
        """Raise unless the reply has one of `statuses`."""
        if reply.status in statuses:
            return
        if reply.status in (401, 403):
            raise Refused("%s (HTTP %d)" % (self._refusal, reply.status))
        # What is not there stays away; what fails now may come back.
        verdict = probes.INCONCLUSIVE if reply.status in (404, 405) else probes.FAILED
        raise probes.ProbeFailed("HTTP %d to %s %s" % (reply.status, method, path.partition("?")[0]), verdict)

    def refuse(self):
        """Raise Refused for an app that says no with another code."""
        raise Refused(self._refusal)

    @staticmethod
    def decoded(reply, method, path):
        """The reply's JSON value. Raises ProbeFailed when it is none."""
        try:
            return json.loads(reply.body.decode("utf-8-sig"))
        except ValueError:
            what = "%s %s was not answered with JSON" % (method, path.partition("?")[0])
            raise probes.ProbeFailed(what, probes.INCONCLUSIVE) from None

    def _read(self, response, name):
        chunks, size = [], 0
        while size <= MAX_BODY:
            if self._attempt.expired():
                raise probes.ProbeFailed("timed out while %s" % self._attempt.stage)
            chunk = response.read1(65536)
            if not chunk and response.length:
                raise probes.ProbeFailed("the answer to %s broke off" % name)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
        raise probes.ProbeFailed("%s: an answer of more than %d MiB" % (name, MAX_BODY >> 20), probes.INCONCLUSIVE)


def basic(username, password):
    """The headers of Basic authentication."""
    pair = ("%s:%s" % (username, password)).encode("utf-8")
    return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def shaped(value, kind, what):
    """`value` when it is a `kind` (a type or a tuple of them); else ProbeFailed, for an app that answers otherwise."""
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is int):
        return value
    raise probes.ProbeFailed("%s has another shape than known" % what, probes.INCONCLUSIVE)
