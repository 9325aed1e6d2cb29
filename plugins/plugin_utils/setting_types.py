# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A value as the type that the argument specification asks for.

Stricter than Ansible's own conversion: a number is not a text (YAML reads 002 as 2 and 1.10 as 1.1), a truth value is
not one either, and nothing is read as Python source.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import yaml
from ansible.module_utils.parsing.convert_bool import BOOLEANS_FALSE, BOOLEANS_TRUE

from .closest import hint

_SHOWN = 80
# Of a whole number: enough for every setting, and Python itself refuses to write out more than 4300.
MAX_DIGITS = 18
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CastError(ValueError):
    """A value that is not of the type asked for; the message holds no secret."""


def shown(value, secret=False):
    """The value as an error message may show it: shortened, and not at all when it is secret."""
    if secret:
        return "the value (not shown)"
    try:
        text = repr(value) if not isinstance(value, str) else '"' + value.encode("unicode_escape").decode() + '"'
    except (ValueError, RecursionError):
        return "the value (too large to be shown)"
    # What a map or a list holds is not quoted by `repr` where it cannot be encoded.
    text = text.encode("ascii", "backslashreplace").decode() if not text.isprintable() else text
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def cast(value, option):
    """Cast one value.

    Parameters:
        value: plain Python value, as YAML or an environment variable gave it.
        option: its entry of the argument specification (``type``, ``elements``, ``choices``, ``no_log``).
    Returns:
        The value as ``str``, ``int``, ``bool``, ``list`` or ``dict``.
    Raises:
        CastError: says what the value is and what to write instead.
    """
    secret = bool(option.get("no_log"))
    if value is None:
        return _nothing(option)
    if isinstance(value, bool) and {"true", "false"} <= set(option.get("choices") or ()):
        # `auto | true | false`: nobody would put the last two in quotes.
        value = str(value).lower()
    result = _CASTS[option["type"]](value, secret)
    if option["type"] == "list":
        cast_item = _CASTS[option.get("elements", "str")]
        result = list(dict.fromkeys(cast_item(item, secret) for item in result))
    choices = option.get("choices")
    if choices and result not in choices:
        raise CastError(
            f"{shown(result, secret)} is not one of {', '.join(map(str, choices))}. {hint(str(result), choices)}"
        )
    return result


def _nothing(option):
    if option.get("default") not in ("", [], {}):
        raise CastError("nothing is given. Remove the line to have the default, or write a value")
    return type(option["default"])()


def to_text(value, secret=False):
    """Text; anything that YAML did not read as text is refused, with the advice to quote it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise CastError(f"{shown(value, secret)} is a truth value, not a text. Put it in quotes")
    if isinstance(value, (int, float)):
        raise CastError(
            f"{shown(value, secret)} is a number, not a text. Put it in quotes (YAML reads 002 as 2 and 1.10 as 1.1)"
        )
    raise CastError(f"{shown(value, secret)} is {kind(value)}, not a text")


def number_as_text(value):
    """A finite number as the text that it is written as; `None` for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    return None


def to_number(value, secret=False):
    """A whole number, also when it comes as digits (``-e`` and the environment know only text)."""
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < 10**MAX_DIGITS:
            return value
        raise CastError(f"{shown(value, secret)} has more than {MAX_DIGITS} digits")
    if isinstance(value, str) and re.fullmatch(rf"-?[0-9]{{1,{MAX_DIGITS}}}", value.strip()):
        return int(value)
    raise CastError(f"{shown(value, secret)} is not a whole number")


def to_bool(value, secret=False):
    """A truth value, also as one of Ansible's words for it."""
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(word, (bool, int, str)):
        if word in BOOLEANS_TRUE:
            return True
        if word in BOOLEANS_FALSE:
            return False
    raise CastError(f"{shown(value, secret)} is not a truth value. Write true or false")


def to_list(value, secret=False):
    """A list, also written as ``a,b`` or, beginning with ``[``, as JSON or YAML."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            return _parsed(value, list, "a list", secret)
        return [item.strip() for item in value.split(",") if item.strip()]
    raise CastError(f"{shown(value, secret)} is {kind(value)}, not a list. Write [one, two]")


def to_dict(value, secret=False):
    """A map with text keys, also written as JSON or YAML."""
    if isinstance(value, str):
        value = _parsed(value, dict, "a map", secret) if value.strip() else {}
    if not isinstance(value, Mapping):
        raise CastError(f"{shown(value, secret)} is {kind(value)}, not a map. Write {{name: value}}")
    for key in value:
        if not isinstance(key, str):
            raise CastError(f"the key {shown(key)} is {kind(key)}, not a name. Put it in quotes")
    return dict(value)


_CASTS = {"str": to_text, "path": to_text, "int": to_number, "bool": to_bool, "list": to_list, "dict": to_dict}


def _parsed(text, kind, title, secret):
    try:
        value = yaml.load(text, Loader=_Loader)  # nosec B506 # noqa: S506 (a safe loader, the C one where there is one)
    except yaml.YAMLError as error:
        raise CastError(
            f"{shown(text, secret)} is not {title}: {getattr(error, 'problem', None) or 'bad YAML'}"
        ) from None
    if not isinstance(value, kind):
        raise CastError(f"{shown(text, secret)} is not {title}")
    return value


def kind(value):
    """What a value is, in words: `a map`, `a date`."""
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (int, float)):
        return "a number"
    if value is None:
        return "nothing"
    return "a date" if hasattr(value, "isoformat") else f"a {type(value).__name__}"
