# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hides secrets in log lines: every value that this host knows to be one, in its usual spellings, and what looks
like one.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import stat
import urllib.parse

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files

MASK = "********"
# A value of fewer characters would tear words apart; where it is named as a secret it is hidden all the same.
SHORTEST = 6
# A secret file is a key or a password; what is longer is no secret that shows up in a log.
LONGEST_FILE = 64 * 1024

# Every repetition in these patterns has a limit: a line of 40,000 signs must not take minutes.
_WORDS = (
    r"api[_-]?key|apikey|[a-z0-9_-]{0,20}token|passkey|passw(?:or)?d|passphrase|pwd|secret|torrent[_-]?pass|rss[_-]?key"
    r"|auth[_-]?key|private[_-]?key|preshared[_-]?key|access[_-]?key|client[_-]?secret|enc[_-]?key|sid|claim"
)
# Variables of a container whose value is a secret by their name.
_SECRET_NAME = re.compile(
    r"(?:PASS|PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_KEY|PRESHARED_KEY|ACCESS_KEY|CLAIM"
    r"|CREDENTIALS?)(?:_[A-Z0-9]+)?$|(?:^|_)KEY$",
    re.IGNORECASE,
)
# What such a variable holds where it only says where the secret is.
_SAYS_WHERE = re.compile(r"_(?:FILE|PATH|DIR|URL|TYPE|LENGTH|ENABLED|REQUIRED|HEADER|EXPIRY|TTL)$", re.IGNORECASE)
# `apikey=…` in addresses and assignments.
_ASSIGNED = re.compile(r"(?i)((?<![a-z0-9])(?:x-)?(?:%s)=)(\"[^\"]+\"|'[^']+'|[^\s&;,\"'<>)\]}]+)" % _WORDS)
# `"apiKey": "…"` and `X-Api-Key: …`; a bare word after the colon is a sentence, not a secret.
_NAMED = re.compile(
    r"(?i)((?<![a-z0-9])(?:x-)?(?:%s)[\"']?\s{0,9}[:=]\s{1,9}|(?<![a-z0-9])(?:x-)?(?:%s)[\"']:\s{0,9})"
    r"(\"[^\"]+\"|'[^']+'|(?=[^\s,;\"']{0,200}[0-9])[^\s,;\"'<>)\]}]{8,})" % (_WORDS, _WORDS)
)
_AUTHORIZATION = re.compile(
    r"(?i)(\bauthorization[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?:[a-z]{1,20}\s{1,9})?|\bbearer\s{1,9})([^\s\"',;]{8,})"
)
_IN_ADDRESS = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s/:@\"'<>]{0,200}:)([^\s/@\"'<>]{1,200})(?=@)")
_ANNOUNCE = re.compile(r"(?i)(\b(?:https?|udp)://[^\s\"'<>]{0,300}/)([0-9a-z]{16,200})(?=/(?:announce|scrape))")
# As qBittorrent tells its first password.
_TOLD = re.compile(r"(?i)(\bpassword (?:is|was|for)\b[^:\n]{0,90}:\s{1,9})(\S{6,})")
_PATTERNS = (_ASSIGNED, _NAMED, _AUTHORIZATION, _IN_ADDRESS, _ANNOUNCE, _TOLD)
# A line without any of these has nothing for the patterns.
_HINTS = re.compile(r"[=:]")


class Mask:
    """Replaces secrets by ********."""

    def __init__(self, values):
        """`values`: texts that are secret; several lines are as many secrets."""
        spellings = set()
        for value in values:
            for line in _secret_lines(value):
                spellings |= _spellings(line)
        # The longest first: one secret may be a part of another.
        self._values = sorted(spellings, key=lambda value: (-len(value), value))

    def __call__(self, text):
        """`text` with every secret replaced."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        if _HINTS.search(text) or "earer" in text:
            for pattern in _PATTERNS:
                text = pattern.sub(_hide, text)
        return text


def _secret_lines(value):
    """The lines of a value that are secret: of a key its body, of a whole configuration not its words."""
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    if len(lines) > 3:
        return [line for line in lines if re.match(r"^[^\s<>-]\S{15,}$", line)]
    return [line for line in lines if len(line) >= SHORTEST]


def _hide(match):
    value = match.group(2)
    if value.strip("\"'*") == "":
        return match.group(0)
    quote = value[0] if value[0] in "\"'" and value[-1] == value[0] else ""
    return match.group(1) + quote + MASK + quote


def _spellings(value):
    """`value` as it is, and as addresses, JSON, HTML and Basic authentication write it."""
    quoted = {
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote(value),
        urllib.parse.quote_plus(value),
        # As a browser does it in a path.
        urllib.parse.quote(value, safe="!$&'()*+,;=:@"),
    }
    found = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}
    for text in quoted:
        found |= {text, re.sub("%[0-9A-F]{2}", lambda match: match.group(0).lower(), text)}
    if len(value) >= 12:
        # The last characters of it depend on what follows.
        found.add(base64.b64encode(value.encode("utf-8")).decode("ascii").rstrip("=")[:-1])
    return {text for text in found if len(text) >= SHORTEST}


def known(project_path, given=(), environments=()):
    """All secret texts that this host knows of a project.

    `given`: secrets of the inventory; `environments`: `NAME=value` texts of the containers. They come besides from
    `<project>/.mediastack/secrets.json` and `<project>/secrets/`. FileError when these cannot be read: then nothing
    may be shown.
    """
    store = atomic_files.read_json(os.path.join(project_path, ".mediastack", "secrets.json"), {})
    found = [value for part in ("secrets", "salts", "derived") for value in _texts(store.get(part))]
    found += [part for value in _texts(store.get("derived")) for part in value.split()]
    found += list(given)
    found += _secret_files(os.path.join(project_path, "secrets"))
    for entry in environments:
        name, _equals, value = entry.partition("=")
        if _SECRET_NAME.search(name) and not _SAYS_WHERE.search(name) and not value.startswith("/"):
            found.append(value)
    return found


def _texts(value):
    return [item for item in value.values() if isinstance(item, str)] if isinstance(value, dict) else []


def _secret_files(directory):
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise atomic_files.FileError("cannot read %s: %s" % (directory, atomic_files.reason(error))) from error
    found = []
    for name in names:
        path = os.path.join(directory, name)
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(info.st_mode) and info.st_size <= LONGEST_FILE:
            found.append((atomic_files.read_bytes(path) or b"").decode("utf-8", "replace"))
    return found
