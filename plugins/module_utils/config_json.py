# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One key of a JSON file, in place. Deluge's files hold two objects: a version, then the settings; the key is in the
second."""

from __future__ import annotations

import json
import re

from ansible_collections.homelab.mediastack.plugins.module_utils.config_error import ConfigFormatError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def get_value(text, key):
    """The value of `key`, as JSON types; None when it is absent (or null)."""
    value = _DECODER.raw_decode(text, _settings(text))[0]
    for part in key:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def set_value(text, key, value):
    """`text` with `key` set to `value` (anything JSON holds); objects on the way are made when absent."""
    start = _settings(text)
    for depth, part in enumerate(key):
        members, end = _members(text, start, key[:depth])
        if part not in members:
            for name in reversed(key[depth + 1 :]):
                value = {name: value}
            return _add(text, start, end, members, part, value)
        start = members[part]
    end = _DECODER.raw_decode(text, start)[1]
    return text[:start] + _dump(value, text) + text[end:]


def _settings(text):
    """Offset of the object that holds the settings."""
    starts, at = [], _skip(text, 0)
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except ValueError as error:
            raise ConfigFormatError("not JSON: %s" % error) from error
        except RecursionError:
            raise ConfigFormatError("not JSON of an app: it is nested too deep") from None
        if not isinstance(value, dict):
            raise ConfigFormatError("not a JSON object")
        starts.append(at)
        at = _skip(text, end)
    if not 1 <= len(starts) <= 2:
        raise ConfigFormatError("it is empty" if not starts else "it holds more than two JSON objects")
    return starts[-1]


def _skip(text, at):
    return _SPACE.match(text, at).end()


def _members(text, start, path):
    """name → offset of its value, in the object at `start`, and the offset of its closing brace. The last of equal
    names counts."""
    if text[start] != "{":
        raise ConfigFormatError("%s is not an object" % "/".join(path))
    members, at = {}, _skip(text, start + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        members[name] = at
        at = _skip(text, _DECODER.raw_decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
    return members, at


def _add(text, start, end, members, name, value):
    entry = "%s: %s" % (json.dumps(name), _dump(value, text))
    if not members:
        return text[: start + 1] + entry + text[end:]
    last = _DECODER.raw_decode(text, max(members.values()))[1]
    before = text[start + 1 : _skip(text, start + 1)]
    return text[:last] + "," + (before or " ") + entry + text[last:]


def _dump(value, text):
    try:
        return json.dumps(value, ensure_ascii=text.isascii(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigFormatError("the value cannot stand in JSON: %s" % error) from error
