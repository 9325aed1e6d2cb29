# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for `mediastack_overrides`: what YAML has made of the text, and Compose would read otherwise.

Ansible follows YAML 1.1, Compose does not: `yes` is a truth value for the one and a word for the other, `22:22` the
number 1342. Whatever the two see differently is refused, so that what arrives is what is written.
"""

from __future__ import annotations

import math

from . import compose_shapes, envfile, interpolation
from .setting_types import kind, shown

# Maps of text, or lists of NAME=value.
_TEXTS = ("environment", "labels", "annotations")
# Where a number must be rendered as it is written; elsewhere it may be a mode, which is octal on purpose.
EXACT = (*_TEXTS, "ports")
_QUOTES = "Put it in quotes"


def problems(service, keys):
    """What is wrong with the override of one service.

    Parameters:
        service: its name.
        keys: the map of Compose keys.
    Returns:
        Sentences that begin with the service and the key.
    """
    found = []
    for key, value in keys.items():
        if not isinstance(key, str):
            found.append(f"{service}: {shown(key)} is {kind(key)}, not a key of Compose. {_QUOTES}.")
            continue
        where = f"{service}.{key}"
        for place, leaf in _odd(where, value):
            found.append(f"{place}: {shown(leaf)} is {kind(leaf)}, which Compose does not know. {_QUOTES}.")
        found += _texts(where, value) if key in _TEXTS else compose_shapes.problems(where, key, value)
        found += [
            f"{where}: {shown(text)} has a dollar sign that Compose cannot read. Write $$ for a literal one."
            for text in interpolation.stray_dollars(value)
        ]
    return found


def _odd(place, value):
    """What YAML knows and Compose's own reading does not: `[(place, value)]`."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{place}, a key", key
            yield from _odd(f"{place}.{key}" if isinstance(key, str) else place, item)
    elif isinstance(value, list):
        for item in value:
            yield from _odd(place, item)
    elif not (value is None or isinstance(value, (str, int))) and not (
        isinstance(value, float) and math.isfinite(value)
    ):
        yield place, value


def _texts(where, value):
    if value is None:
        return
    if isinstance(value, list):
        entries = {str(number): entry for number, entry in enumerate(value, 1)}
        if not all(isinstance(entry, str) for entry in value):
            yield f"{where}: {shown(value)} holds more than texts such as NAME=value. {_QUOTES}."
    elif isinstance(value, dict):
        entries = value
    else:
        yield f"{where}: {shown(value)} is {kind(value)}, not a map. Write {{NAME: value}}."
        return
    for name, text in entries.items():
        if isinstance(text, bool):
            yield f"{where}.{name}: {shown(text)} is a truth value, not a text (YAML reads yes as true). {_QUOTES}."
        elif isinstance(text, (dict, list)):
            yield f"{where}.{name}: {shown(text)} is {kind(text)}, not a text."
        elif isinstance(text, str) and len(text.encode("utf-8", "replace")) > envfile.MAX_BYTES:
            yield f"{where}.{name}: is longer than {envfile.MAX_BYTES} bytes, which no program's environment takes."
        if isinstance(value, dict) and "=" in str(name):
            yield f"{where}: {shown(str(name))} is not a name: = ends it."


def as_texts(keys):
    """An override with the numbers of its maps of text as texts: Compose would write 1000000.5 as 1.0000005e+06."""
    return {
        key: {name: _as_text(text) for name, text in value.items()}
        if key in _TEXTS and isinstance(value, dict)
        else value
        for key, value in keys.items()
    }


def _as_text(value):
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
