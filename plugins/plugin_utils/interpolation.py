# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compose's ``$VARIABLE`` and our ``@@mediastack:…@@`` tokens in a definition."""

from __future__ import annotations

import re

# $$ | ${NAME}, with an optional operator and what follows it (variables, too) | $NAME | a dollar sign that Compose
# cannot read, as where the brace is not closed
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?:\}|(?P<operator>:?[-+?])(?=[^}]*\}))"
    r"|(?P<bare>[A-Za-z_][A-Za-z0-9_]*)|)"
)
TOKEN = re.compile(r"@@mediastack:(?P<kind>[a-z0-9_]+)(?::(?P<name>[A-Za-z0-9_.-]+))?@@")
TOKEN_START = "@@mediastack:"
# Kinds whose name is a secret's, with what they put there.
SECRET_KINDS = ("secret", "pbkdf2_qbittorrent", "md5", "sha1_deluge", "salt", "htpasswd")
# Kinds whose name is a secret's, but what they put there may be seen: the certificate without its key.
PUBLIC_KINDS = ("certificate",)


def texts(value):
    """Every text in nested maps and lists: values, and keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)


def variables(definition):
    """The variables that a Compose definition reads.

    Returns:
        `(required, optional)`: sets of names; optional ones have a default or an alternative (``:-``, ``:+``, …).
    """
    required, optional = set(), set()
    for text in texts(definition):
        if "$" not in text:
            continue
        for match in _VARIABLE.finditer(text):
            name = match["braced"] or match["bare"]
            if name:
                has_default = match["operator"] and match["operator"][-1] in "-+"
                (optional if has_default else required).add(name)
    return required, optional - required


def stray_dollars(definition):
    """Texts with a dollar sign that Compose refuses: neither ``$$`` nor a variable."""
    return [
        text
        for text in texts(definition)
        if "$" in text
        and any(not (match["escaped"] or match["braced"] or match["bare"]) for match in _VARIABLE.finditer(text))
    ]


def tokens(value):
    """The tokens in nested maps, lists and text, sorted: `[(whole, kind, name)]`."""
    return sorted(
        {
            (match.group(0), match["kind"], match["name"] or "")
            for text in texts(value)
            if TOKEN_START in text
            for match in TOKEN.finditer(text)
        }
    )
