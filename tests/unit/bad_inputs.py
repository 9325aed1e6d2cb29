# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong and nasty values for every setting, each with what must become of it: refused, or found again exactly.

What is expected follows from the class of a value and the type of a setting, and from the tables here, in
`bad_inputs_maps` and in `bad_inputs_single`, never from the product's own rules. A setting that is new gets all values
of its type, and every text is expected to be refused: one that it takes on purpose is added to `TAKES`.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import math

import bad_inputs_maps
from bad_inputs_single import SINGLE

# What must become of a value, instead of the value that must be found.
REFUSED = "refused"
# Whatever makes this file has run what it must not; the tests put a path of their own in its place.
CANARY = "@CANARY@"
INVENTORY, ENVIRONMENT = "inventory", "environment"
HALF = "a\ud800b"


@dataclasses.dataclass(frozen=True)
class Case:
    """One value of one setting.

    Attributes:
        setting: without prefix.
        kind: class of the value, for a failure to name.
        text: the value as the YAML of an inventory; of the environment: the variable's text.
        expected: REFUSED, or what must be found.
        way: INVENTORY or ENVIRONMENT.
        more: further settings that the case needs.
    """

    setting: str
    kind: str
    text: str
    expected: object = REFUSED
    way: str = INVENTORY
    more: tuple = ()


def written(value):
    """*value* as YAML on one line, its text as text that is no template."""
    if isinstance(value, dict):
        pairs = ((written(key), written(item)) for key, item in value.items())
        # YAML wants to be told of a long key before it ends.
        return "{" + ", ".join(f"{'? ' if len(key) > 99 else ''}{key} : {item}" for key, item in pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, bytes):
        return f"!!binary {base64.b64encode(value).decode()}"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf"
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower()
    letters = (c if " " <= c <= "~" and c not in '\\"' else f"\\U{ord(c):08x}" for c in value)
    # Of no other text: what `!unsafe` marks is a number or a truth value where it looks like one.
    return ("!unsafe " if "{" in value else "") + '"' + "".join(letters) + '"'


# -- texts -----------------------------------------------------------------------------------------------------------

TEXTS = {
    "template": "{{ lookup('pipe', 'touch " + CANARY + "') }}",
    "statement": "{% if 1 %}x{% endif %}",
    "comment": "{# x #}",
    "dollar": "$HOME",
    "braces": "${HOME}",
    "command": "$(touch " + CANARY + ")",
    "backticks": "`touch " + CANARY + "`",
    "semicolon": "x; touch " + CANARY,
    "pipe": "x | touch " + CANARY,
    "line end": "a\nb",
    "carriage return": "a\rb",
    "NUL": "a\0b",
    "escape": "a\x1b[31mb",
    "bell": "a\x07",
    "tab": "a\tb",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "byte order mark": "\ufeffa",
    "no-break space": "a\u00a0b",
    "line separator": "a\u2028b",
    "next line": "a\x85b",
    "beyond U+FFFF": "\U0001f642",
    "wide digits": "１２",
    "quote": "it's",
    "double quote": 'a"b',
    "hash": "a #b",
    "colon": "a: b",
    "blank": "   ",
    "blanks around": " a ",
    "option": "-oProxyCommand=x",
    "token": "@@mediastack:secret:sonarr_api_key@@",
    "star": "*",
    "percent": "%n",
    "backslash": "a\\nb",
    "parent": "../../etc/passwd",
    "home": "~/x",
    "huge": "a" * 70000,
}
_NO_FILE = {"NUL", "token"}
_ONE_LINE = _NO_FILE | {"line end", "carriage return"}
_INVISIBLE = _ONE_LINE | {
    "escape", "bell", "tab", "right to left", "zero width", "byte order mark", "no-break space", "line separator",
    "next line",
}  # fmt: skip
_PLAIN = _INVISIBLE | {"template", "statement"}
_SERVERS = set(TEXTS) - _PLAIN
# What a setting takes of TEXTS on purpose, and must then give back exactly.
TAKES = {
    "vpn_openvpn_user": set(TEXTS) - _ONE_LINE - {"blank", "blanks around", "byte order mark"},
    "vpn_openvpn_password": set(TEXTS) - _ONE_LINE,
    "vpn_openvpn_key_passphrase": set(TEXTS) - _ONE_LINE,
    "vpn_openvpn_cert": {"huge"},
    "vpn_openvpn_key": {"huge"},
    "vpn_openvpn_encrypted_key": {"huge"},
    "vpn_server_countries": _SERVERS - {"blank"},
    "vpn_server_regions": _SERVERS - {"blank"},
    "vpn_server_cities": _SERVERS - {"blank"},
    "vpn_server_hostnames": _SERVERS - {"blank"},
    "vpn_server_names": _SERVERS - {"blank"},
    "gitops_inventory": set(TEXTS) - _PLAIN - {"blank", "blanks around", "option", "parent", "huge"},
    "gitops_pip_arguments": set(TEXTS) - _PLAIN - {"blank"},
    "gitops_pip_packages": set(TEXTS) - _PLAIN - {"blank", "option"},
}
# Blanks around these are taken away first: what is left is nothing, and nothing is their default.
_NOTHING_LEFT = {
    "vpn_openvpn_user", "vpn_openvpn_cert", "vpn_openvpn_key", "vpn_openvpn_encrypted_key",
    "vpn_wireguard_preshared_key",
}  # fmt: skip


def _texts(setting, wrap):
    takes = TAKES.get(setting, set())
    for kind, text in TEXTS.items():
        expected = wrap(text) if kind in takes else REFUSED
        if kind == "blank" and setting in _NOTHING_LEFT:
            expected = ""
        elif kind in ("blanks around", "byte order mark") and setting == "vpn_openvpn_user":
            expected = text.strip()
        yield Case(setting, kind, written(wrap(text)), expected)
    yield Case(setting, "half a character", HALF, way=ENVIRONMENT)


# -- types -----------------------------------------------------------------------------------------------------------

DATE = datetime.date(2026, 1, 1)
HEXADECIMAL = "0x" + "f" * 5000
# YAML that is of no type but these; what a setting of another type gets by a slip of the pen.
_SLIPS = {
    "number": "5",
    "negative": "-1",
    "fraction": "1.10",
    "octal": "0755",
    "sexagesimal": "22:22",
    "grouped": "1_000",
    "hexadecimal": HEXADECIMAL,
    "infinite": ".inf",
    "no number": ".nan",
    "yes": "yes",
    "off": "off",
    "date": "2026-01-01",
    "time": "2026-01-01 10:00:00",
    "bytes": "!!binary aGVsbG8=",
    "list": "[x]",
    "map": "{a: b}",
    "nothing": "null",
    "nested": "[" * 60 + "]" * 60,
}
_OF_TYPE = {
    "str": set(),
    "path": set(),
    "int": {"number", "negative"},
    "bool": {"yes", "off"},
    "list": {"list", "nested"},
    "dict": {"map"},
}


def _slips(setting, option):
    kind = option["type"]
    for name, text in _SLIPS.items():
        if name in _OF_TYPE[kind] or (name == "nothing" and option["default"] in ("", [], {})):
            continue
        if name in ("yes", "off") and "true" in option.get("choices", ()):
            # `auto | true | false`: the word need not be in quotes.
            yield Case(setting, name, text, {"yes": "true", "off": "false"}[name])
            continue
        yield Case(setting, name, text)


_NUMBERS = {
    "negative": "-1", "text": "many", "exponent": "1e3", "word": "'0x10'", "empty": "''", "blank": "' '",
    "a list in text": "'[1]'", "sign": "'+5'", "huge": str(10**17), "too huge": "9" * 40,
}  # fmt: skip


def _of_int(setting):
    for name, text in _NUMBERS.items():
        yield Case(setting, name, text)
    for name in ("template", "command", "backticks", "wide digits", "NUL", "escape", "huge"):
        yield Case(setting, f"text: {name}", written(TEXTS[name]))
    yield Case(setting, "half a character", HALF, way=ENVIRONMENT)


def _of_bool(setting):
    for text in ("maybe", "2", "-1", "'ja'", "''", "' '", "'[true]'", "tru e"):
        yield Case(setting, text, text)
    for name in ("template", "command", "backticks", "wide digits", "NUL", "escape", "huge"):
        yield Case(setting, f"text: {name}", written(TEXTS[name]))
    if setting != "vpn_enabled":
        for word, value in (("yes", True), ("on", True), ("'yes'", True), ("off", False), ("'0'", False), ("n", False)):
            yield Case(setting, word, word, value)


def _of_list(setting, option):
    for name, text in (
        ("a list in a list", "[[a]]"), ("a map in a list", "[{a: b}]"), ("nothing in a list", "[null]"),
        ("a number in a list", "[5]"), ("an octal number in a list", "[0755]"), ("a word in a list", "[yes]"),
        ("a date in a list", "[2026-01-01]"), ("no end", "'[a'"), ("a map in text", "'[{a: b}]'"),
        ("nested", "[" * 60 + "]" * 60), ("bytes in a list", "[!!binary aGVsbG8=]"),
    ):  # fmt: skip
        yield Case(setting, name, text)
    if option.get("elements") == "path":
        for kind, path, expected in bad_inputs_maps.PATHS:
            yield Case(setting, kind, written([path]), REFUSED if expected is None else [expected])
    else:
        yield from _texts(setting, lambda text: [text])


def _of_path(setting):
    table = [*bad_inputs_maps.PATHS, *bad_inputs_maps.PLACES]
    for kind, path, expected in table:
        yield Case(setting, kind, written(path), REFUSED if expected is None else expected)
    yield Case(setting, "half a character", "/srv/" + HALF, way=ENVIRONMENT)


def _of_dict(setting):
    for text in ("text", "'{a'", "'[a]'", "{5: x}", "{null: x}", "{yes: x}", "{2026-01-01: x}", "{1.1: x}"):
        yield Case(setting, text, text)
    for kind, value, expected in bad_inputs_maps.MAPS[setting]:
        yield Case(setting, kind, written(value), REFUSED if expected is None else expected)
    for kind, text in bad_inputs_maps.RAW_MAPS.get(setting, ()):
        yield Case(setting, kind, text)


def cases(setting, option):
    """Every case of one setting.

    Parameters:
        setting: without prefix.
        option: its entry of the argument specification.
    """
    found = list(_slips(setting, option))
    kind = option["type"]
    if kind == "int":
        found += _of_int(setting)
    elif kind == "bool":
        found += _of_bool(setting)
    elif kind == "list":
        found += _of_list(setting, option)
    elif kind == "path":
        found += _of_path(setting)
    elif kind == "dict":
        found += _of_dict(setting)
    else:
        found += _texts(setting, str)
    for name, value, expected in SINGLE.get(setting, ()):
        found.append(Case(setting, name, written(value), REFUSED if expected is None else expected))
    return found
