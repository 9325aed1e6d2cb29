# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sending through the library Apprise, on the controller only. An address holds secrets: it is never shown, logged or
put into an error; what is said of it is its scheme, and its host where that is none of the secrets.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import re
import sys
import threading
import urllib.parse

LIBRARY = "apprise"
VERSION = "2.2.0"
"""What requirements/python.txt pins; a unit test compares."""

#: Seconds for one message to all channels. Apprise itself gives up on a server after 4 + 4.
PATIENCE = 30.0
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# Schemes whose host is always a server. Of others it may be a token (tgram://TOKEN/…, matrixs://TOKEN) or a topic.
_SERVERS = {
    *("json", "xml", "form", "gotify", "mailto", "mmost", "ntfy", "apprise", "apprises", "nctalk"),
    *("ncloud", "hassio", "mqtt", "bark", "signal", "syslog", "xmpp", "zulip", "synology", "lametric", "enigma2"),
}
_NOT_SENT = "the server could not be reached or refused it"
_ANSWERED = re.compile(r"error=(\d{3})\b")


class Quiet:
    """While it lasts no library writes to a log: what Apprise and requests log names addresses."""

    def __init__(self):
        self.codes = []

    def __enter__(self):
        self._handler = _Codes(self.codes)
        self._logger = logging.getLogger(LIBRARY)
        self._kept = list(self._logger.handlers), self._logger.propagate, self._logger.level
        self._logger.handlers, self._logger.propagate = [self._handler], False
        self._logger.setLevel(logging.WARNING)
        self._others = [logging.getLogger(name) for name in ("urllib3", "requests", "smtplib", "asyncio")]
        self._levels = [one.level for one in self._others]
        for one in self._others:
            one.setLevel(logging.CRITICAL + 1)
        return self

    def __exit__(self, *_error):
        self._logger.handlers, self._logger.propagate = self._kept[0], self._kept[1]
        self._logger.setLevel(self._kept[2])
        for one, level in zip(self._others, self._levels, strict=True):
            one.setLevel(level)


class _Codes(logging.Handler):
    """Keeps the codes that servers answered with, and nothing else."""

    def __init__(self, codes):
        super().__init__(logging.WARNING)
        self._codes = codes

    def emit(self, record):
        found = _ANSWERED.search(record.getMessage())
        if found:
            self._codes.append(found[1])


def label(url):
    """What may be said of an address: `ntfy to ntfy.example`, `tgram`."""
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else "an address without a scheme"
    if not match or (scheme not in _SERVERS and scheme.removesuffix("s") not in _SERVERS):
        return scheme
    try:
        parts = urllib.parse.urlsplit(url)
        host, path = parts.hostname, parts.path.strip("/")
    except ValueError:
        return scheme
    # ntfy://topic goes to ntfy.sh, and who knows the topic can read it.
    if not host or (scheme.startswith("ntfy") and not path):
        return scheme
    return f"{scheme} to {host}"


def passwords(urls):
    """The passwords in addresses, as a set."""
    found = set()
    for url in urls:
        try:
            password = urllib.parse.urlsplit(url).password or ""
        except ValueError:
            continue
        found |= {password, urllib.parse.unquote(password)}
    return found - {""}


def missing():
    """What to do where Apprise is not there; None where it is."""
    if importlib.util.find_spec(LIBRARY):
        return None
    install = f"{sys.executable} -m pip install {LIBRARY}=={VERSION}"
    return f"the Python library Apprise is missing on this controller: {install}"


def problems(urls):
    """What is wrong with addresses, as sentences without their secrets. Apprise takes half a second to look."""
    if not urls or missing():
        return []
    found = []
    with Quiet():
        for number, url in enumerate(urls, 1):
            if _channel(url) is None:
                found.append(
                    f"entry {number} ({_scheme_only(url)}) is not an address that Apprise understands. Write it as its "
                    "page says (https://appriseit.com/services/), special signs of passwords as %XX."
                )
    return found


def _scheme_only(url):
    match = _SCHEME.match(url)
    return f"{match[1].lower()}://…" if match else "without a scheme such as ntfy://"


@functools.lru_cache(maxsize=64)
def channel_id(url, place):
    """The id of a channel in the record of a host.

    Slow on purpose: whoever reads the record on the host must not find an address by trying.
    *place*: what makes it another id on another host.
    """
    return hashlib.pbkdf2_hmac("sha256", url.encode(), f"homelab.mediastack {place}".encode(), 50_000).hex()[:24]


def send(texts):
    """Send to all channels at once.

    Parameters:
        texts: `{url: (severity, title, body)}`.
    Returns:
        `{url: None, or why it was not sent}`; the reasons hold no address.
    """
    outcome = {}
    lack = missing()
    if lack:
        return dict.fromkeys(texts, lack)

    def one(url, severity, title, body):
        try:
            channel = _channel(url)
            if channel is None:
                outcome[url] = "Apprise does not understand the address"
                return
            outcome[url] = None if _through(channel, severity, title, body) else _NOT_SENT
        except Exception as error:  # a plugin of Apprise may raise anything, with the address in its text
            outcome[url] = f"it failed ({type(error).__name__})"

    with Quiet() as quiet:
        workers = [threading.Thread(target=one, args=(url, *text), daemon=True) for url, text in texts.items()]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(PATIENCE)
    found = {url: outcome.get(url, f"no answer within {PATIENCE:g} s") for url in texts}
    wrong = [url for url, why in found.items() if why == _NOT_SENT]
    # Apprise sends in threads of its own and says in its log only what a server answered, not which.
    if len(wrong) == 1 and quiet.codes:
        found[wrong[0]] = f"the server answered {quiet.codes[-1]}"
    return found


def _channel(url):
    """Apprise's object for an address; None when it is malformed."""
    import apprise

    try:
        return apprise.Apprise.instantiate(url, asset=_asset(apprise), suppress_exceptions=True)
    except (
        Exception
    ):  # a plugin of Apprise may raise anything; what is asked is only whether it understands the address
        return None


def _through(channel, severity, title, body):
    """Whether Apprise's object took the message."""
    import apprise

    server = apprise.Apprise(asset=channel.asset)
    server.add(channel)
    return bool(server.notify(body=body, title=title, notify_type=severity, body_format=apprise.NotifyFormat.TEXT))


def _asset(apprise):
    # No file is written for this, and nothing of the user's home directory is loaded as code.
    return apprise.AppriseAsset(
        app_id="mediastack",
        app_desc="homelab.mediastack",
        app_url="",
        image_url_mask=None,
        image_url_logo=None,
        plugin_paths=[],
        storage_path=None,
        secure_logging=True,
    )
