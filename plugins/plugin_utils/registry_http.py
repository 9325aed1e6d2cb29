# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking a registry over HTTP: login by token or password, patience, proxies, and bodies that are what they claim.

https://distribution.github.io/distribution/spec/auth/token/ and /oauth/. `requests` is imported by the first use only:
no other playbook needs it, and it costs a tenth of a second.
"""

from __future__ import annotations

import base64
import dataclasses
import email.utils
import hashlib
import ipaddress
import json
import os
import random
import re
import threading
import time
import urllib.parse
import urllib.request
from http.cookiejar import DefaultCookiePolicy

from . import registry_errors as errors
from .collection_version import version
from .image_reference import is_loopback

# Docker's own limit for a manifest; a config is far smaller.
LARGEST = 4 * 1024 * 1024
_AGAIN = (429, 502, 503, 504)
_MOST_REDIRECTS = 5
_MOST_WORDS = 4096
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
_PARAMETER = re.compile(r'([A-Za-z_]+)="((?:[^"\\]|\\.)*)"')
_CHUNK = 65536


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer of a registry: `status`, `headers` (any case), `body` (bytes), and `who` gave it, for messages."""

    status: int
    headers: object
    body: bytes
    who: str


@dataclasses.dataclass(frozen=True)
class _Challenge:
    """What WWW-Authenticate asks for."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


class Transport:
    """One session for many images and threads."""

    def __init__(self, credentials, timeout=15.0, attempts=4, patience=60.0, connections=8, wait=None):
        """Params.

        credentials: a `registry_credentials.Credentials`.
        timeout: s without a sign of life, and three times that for a whole answer.
        attempts: how often one request is sent at most; half of that where each costs the whole timeout.
        patience: s, the longest Retry-After that is obeyed.
        wait: a function of seconds; None: sleep until then or until `stop`.

        Raises:
            RequestsMissing: the library is not there.
        """
        try:
            import requests
            import requests.adapters
        except ImportError as error:
            raise errors.RequestsMissing from error
        self._requests = requests
        self.credentials = credentials
        self._timeout, self._attempts, self._patience = timeout, attempts, patience
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._session = requests.Session()
        # Neither ~/.netrc nor, on macOS, the system's proxy settings, which cannot be asked in a forked worker.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = f"homelab.mediastack/{version()}"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections))
        self._verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._challenges, self._headers, self._dead = {}, {}, {}
        self._lock = threading.Lock()
        self.requests_sent = 0

    def close(self):
        """Let go of connections, and of whoever waits for a registry to recover."""
        self._stopped.set()
        self._session.close()

    def get(self, reference, path, accept=None, digest=None, head=False):
        """GET (or HEAD) `/v2/<repository>/<path>`; the `Answer`, whose status is 200, or with `head` any but 401.

        Params:
            reference: an `image_reference.Reference`; accept: media types; digest: what the body must have.
        Raises:
            RegistryError: no such answer, after all attempts.
        """
        scheme = "http" if reference.loopback else "https"
        url = f"{scheme}://{reference.api}/v2/{reference.repository}/{path}"
        headers = {"Accept": ", ".join(accept)} if accept else {}
        place = (reference.registry, reference.repository)
        authorization = self._authorization(reference)
        for last in (False, True):
            answer = self._patiently(
                reference.registry, "HEAD" if head else "GET", url, {**headers, **authorization}, digest=digest
            )
            if answer.status != 401 or last:
                break
            challenge = _challenge(answer.headers.get("WWW-Authenticate", ""))
            if challenge is None:
                break
            with self._lock:
                self._challenges[reference.registry] = challenge
                self._headers.pop(place, None)
            authorization = self._authorization(reference, challenge.scope)
        if answer.status in (401, 403, 429) or (answer.status != 200 and not head):
            raise self.refusal(reference, answer, path)
        return answer

    def refusal(self, reference, answer, path):
        """The `RegistryError` of an answer that `get` returned."""
        logged_in = self.credentials.of(reference.registry) is not None if answer.status in (401, 403, 429) else False
        tag = path.partition("/")[2] if path.startswith("manifests/") else None
        words = errors.body_words(answer.body[:_MOST_WORDS])
        error = errors.status_error(
            reference.registry, answer.status, words, reference.repository, logged_in, tag, answer.who
        )
        if error.kind == errors.LIMIT:
            self._dead[reference.registry] = error
        return error

    # -- who asks ----------------------------------------------------------------------------------------------------

    def _authorization(self, reference, scope=""):
        """The header that the registry wants, as far as it has said so: `{}` or `{"Authorization": …}`."""
        place = (reference.registry, reference.repository)
        with self._lock:
            challenge, header = self._challenges.get(reference.registry), self._headers.get(place)
        if challenge is None or header is not None:
            return header or {}
        login = self.credentials.of(reference.registry)
        if challenge.scheme == "basic":
            header = _basic(login) if login and login.username else {}
        else:
            token = self._token(reference, challenge, login, scope or f"repository:{reference.repository}:pull")
            header = {"Authorization": f"Bearer {token}"}
        with self._lock:
            self._headers[place] = header
        return header

    def _token(self, reference, challenge, login, scope):
        registry = reference.registry
        realm = urllib.parse.urlsplit(challenge.realm)
        loopback = reference.loopback and is_loopback(realm.hostname or "")
        if not realm.hostname or realm.scheme != "https" and not (realm.scheme == "http" and loopback):
            raise errors.RegistryError(
                errors.FORMAT, registry, f"{registry} sends logins to {challenge.realm!r}, which is no https address."
            )
        asked = {"service": challenge.service, "scope": scope}
        data, headers = None, {}
        if login and login.token:
            data = {
                **asked,
                "grant_type": "refresh_token",
                "client_id": "homelab.mediastack",
                "refresh_token": login.token,
            }
        elif login:
            headers = _basic(login)
            asked["account"] = login.username
        url = challenge.realm
        if data is None:
            query = urllib.parse.urlencode({name: value for name, value in asked.items() if value})
            url += ("&" if realm.query else "?") + query
        answer = self._patiently(registry, "POST" if data else "GET", url, headers, data=data)
        if answer.status != 200:
            status = 401 if answer.status == 400 and login else answer.status
            words = errors.body_words(answer.body[:_MOST_WORDS])
            error = errors.status_error(
                registry, status, words, reference.repository, login is not None, who=answer.who
            )
            if error.kind == errors.LIMIT:
                self._dead[registry] = error
            raise error
        try:
            value = json.loads(answer.body)
            token = value.get("token") or value.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not token.isprintable():
            raise errors.RegistryError(errors.FORMAT, registry, f"{answer.who} gave no token where one was promised.")
        return token

    # -- patience ----------------------------------------------------------------------------------------------------

    def _patiently(self, registry, method, url, headers, data=None, digest=None):
        """The `Answer`, after as many attempts as it is worth."""
        for attempt in range(1, self._attempts + 1):
            if registry in self._dead:
                raise self._dead[registry]
            pause = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT) * random.uniform(0.5, 1)  # nosec B311 # spreads retries, no secret
            try:
                answer = self._send(registry, method, url, headers, data)
                if digest and answer.status == 200:
                    _verify(registry, answer.body, digest)
            except errors.RegistryError as error:
                costly = error.kind == errors.TIMEOUT and attempt >= self._attempts / 2
                final = error.kind not in (errors.TIMEOUT, errors.CUT, errors.DNS, errors.UNREACHABLE)
                if final or costly or attempt == self._attempts:
                    if error.kind in (*errors.WHOLE_REGISTRY, errors.TIMEOUT):
                        # The images after this one need not find out by themselves.
                        self._dead[registry] = error
                    raise
            else:
                if answer.status not in _AGAIN or attempt == self._attempts:
                    return answer
                asked = _retry_after(answer.headers.get("Retry-After"))
                if asked is not None and asked > self._patience:
                    return answer
                pause = pause if asked is None else asked
            if self._wait(pause) and self._stopped.is_set():
                raise errors.RegistryError(errors.OTHER, registry, "the run was ended meanwhile")
        raise AssertionError("unreachable")

    def _send(self, registry, method, url, headers, data):
        """One request with its redirects; `registry` is whose image it is about."""
        requests, origin = self._requests, urllib.parse.urlsplit(url)
        for _turn in range(_MOST_REDIRECTS + 1):
            parts = urllib.parse.urlsplit(url)
            who = _who(registry, parts)
            if (parts.scheme, parts.netloc) != (origin.scheme, origin.netloc):
                # Nobody else is to see the token: a store in the cloud refuses it besides.
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            try:
                with self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    stream=True,
                    timeout=self._timeout,
                    proxies=_proxies(parts),
                    verify=self._verify,
                    allow_redirects=False,
                ) as response:
                    self.requests_sent += 1
                    target = response.headers.get("Location")
                    if not (response.is_redirect and target and method != "POST"):
                        body = b"" if method == "HEAD" else self._body(registry, who, response)
                        return Answer(response.status_code, response.headers, body, who)
            except requests.exceptions.RequestException as error:
                raise errors.transport_error(requests, registry, error, self._timeout, who) from error
            except OSError as error:
                # A CA bundle that is not there, for example.
                raise errors.RegistryError(
                    errors.TLS, registry, f"{who} cannot be asked: {error.strerror or error}"
                ) from error
            url = urllib.parse.urljoin(url, target)
            after = urllib.parse.urlsplit(url)
            plain = origin.scheme == "http" and after.scheme == "http" and is_loopback(after.hostname or "")
            if after.scheme != "https" and not plain:
                raise errors.RegistryError(
                    errors.FORMAT,
                    registry,
                    f"{registry} leads to {after.scheme}://{after.hostname}, which is not safe.",
                )
        raise errors.RegistryError(errors.FORMAT, registry, f"{registry} leads in circles.")

    def _body(self, registry, who, response):
        """The bytes of an answer, within time and size."""
        deadline, parts, length = time.monotonic() + 3 * self._timeout, [], 0
        for chunk in _pieces(self._requests.exceptions, response):
            parts.append(chunk)
            length += len(chunk)
            if length > LARGEST:
                raise errors.RegistryError(
                    errors.FORMAT, registry, f"{who} sends more than {LARGEST} bytes where an image is described."
                )
            if time.monotonic() > deadline:
                raise errors.RegistryError(
                    errors.TIMEOUT,
                    registry,
                    f"{who} took more than {3 * self._timeout:g} s for one answer. Try again later.",
                )
        return b"".join(parts)


def _who(registry, parts):
    """The host of an address, for messages; where that is not the registry, with what it is asked for."""
    place = parts.netloc.rpartition("@")[2]
    return registry if place.lower() == registry.lower() else f"{place} (for {registry})"


def _pieces(exceptions, response):
    """What has come of an answer, as it comes: who sends drop by drop is not to be waited for by the chunk."""
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    read = getattr(response.raw, "read1", None)
    if read is None:  # urllib3 before 2.1
        yield from response.iter_content(512)
        return
    try:
        while piece := read(_CHUNK, decode_content=True):
            yield piece
    except ReadTimeoutError as error:
        raise exceptions.ReadTimeout(error) from error
    except HTTPError as error:
        raise exceptions.ChunkedEncodingError(error) from error


def digest_of(body):
    """The digest of bytes, `sha256:…`."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _verify(registry, body, digest):
    if digest_of(body) != digest:
        raise errors.RegistryError(
            errors.CUT,
            registry,
            f"{registry} answered with something else than {digest[:19]}: its sha256 is another. Something on the way "
            "to it, a proxy or its cache, is broken, or does not mean well. Nothing of it was used.",
        )


def _challenge(text):
    """The `_Challenge` of a WWW-Authenticate header: a token rather than a password; None where it asks for neither."""
    lower = text.lower()
    for scheme in ("bearer", "basic"):
        at = re.search(rf"(?:^|,)\s*{scheme}(?:\s+|$)", lower)
        if at:
            found = {name.lower(): value for name, value in _PARAMETER.findall(text[at.end() :])}
            return _Challenge(scheme, found.get("realm", ""), found.get("service", ""), found.get("scope", ""))
    return None


def _basic(login):
    pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def _retry_after(text):
    """Seconds of a Retry-After header, which are a number or a date; None where it says nothing."""
    if not text:
        return None
    try:
        return max(0.0, float(int(text)))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None


def _proxies(parts):
    """The proxies of the environment for an address; none for loopback, and for what NO_PROXY names."""
    host = parts.hostname or ""
    if is_loopback(host):
        return {}
    found = urllib.request.getproxies_environment()
    if urllib.request.proxy_bypass_environment(parts.netloc, found) or _in_networks(host, found.get("no", "")):
        return {}
    return {name: address for name, address in found.items() if name != "no"}


def _in_networks(host, no_proxy):
    """Whether an address is in one of the networks (`10.0.0.0/8`) of NO_PROXY."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
