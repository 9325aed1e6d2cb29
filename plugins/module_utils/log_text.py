# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A line of a container's log: its time as the engine noted it, and its text as a terminal may see it (pure)."""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import timestamp

# The engine cuts a longer line into pieces of this size, and `docker logs` prints the time before each of them.
PIECE = 16 * 1024
# What is shown of a line; more than that nobody reads.
SHOWN = 10 * 1024
# What is looked at of it: a secret at the end of what is shown is still seen as a whole.
LOOKED_AT = 4 * SHOWN

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?")
# ECMA-48: control strings (OSC, DCS, SOS, PM, APC) up to their end, control sequences, two-character escapes.
_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)([0-?]*)([ -/]*[@-~])"
    r"|\x1b[ -/]*[0-~]"
)
# What is left over: control characters but the tab, and those that change the order of what is read.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOR = re.compile("\x1b\\[[0-9;]*m")
# SGR: plain, bold, faint, italic, underlined and back, colours. Not: blinking, inverse, hidden.
_FINE = {0, 1, 2, 3, 4, 22, 23, 24, 39, 49, *range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)}
RESET = "\x1b[0m"


def parse(line):
    """(nanoseconds since 1970, text, pieces) of a line of `docker logs --timestamps` in bytes; None without a time.

    The text is decoded, what is no UTF-8 replaced. `pieces`: as how many lines the engine counts it; they are joined.
    """
    match = _STAMP.match(line)
    if not match:
        return None
    try:
        time = timestamp(match.group(1).decode("ascii"))
    except ValueError:
        return None
    pieces = _pieces(line[match.end() :])
    return time, b"".join(pieces).decode("utf-8", "replace"), len(pieces)


def _pieces(text):
    """The pieces of a line, without the times that stand before the second and further ones."""
    pieces, rest = [text[:PIECE]], text[PIECE:]
    while rest:
        match = _STAMP.match(rest)
        rest = rest[match.end() :] if match else rest
        pieces.append(rest[:PIECE])
        rest = rest[PIECE:]
    return pieces


def clean(text):
    """`text` without anything that a terminal would obey, apart from colours; the last of these is ended.

    What is far beyond what is shown is left out.
    """
    text = text[:LOOKED_AT].rstrip("\r\n")
    if not _CONTROL.search(text):
        return text
    marks = []

    def replace(match):
        colour = _colour(match.group(1), match.group(2))
        if colour:
            marks.append(colour)
            # A sign that is not in the text any more when the marks are put back.
            return "\x00"
        return ""

    # Of what is no sequence, a control character becomes a space; NUL is the place of a mark.
    text = _SEQUENCE.sub(replace, text.replace("\x00", " "))
    text = _CONTROL.sub(lambda match: match.group(0) if match.group(0) == "\x00" else " ", text)
    if not marks:
        return text
    parts = text.split("\x00")
    text = "".join(part + mark for part, mark in zip(parts, [*marks, ""]))
    return text if marks[-1] == RESET else text + RESET


def _colour(parameters, ending):
    """The sequence again, made of what it says about colours; "" when that is nothing."""
    if ending != "m" or parameters is None or not re.match(r"^[0-9;]*$", parameters):
        return ""
    numbers = [int(number or 0) for number in parameters.split(";")] if len(parameters) < 60 else []
    kept, place = [], 0
    while place < len(numbers):
        number = numbers[place]
        if number in (38, 48):
            size = {5: 3, 2: 5}.get(numbers[place + 1] if place + 1 < len(numbers) else None, 1)
            if size > 1 and place + size <= len(numbers):
                kept += numbers[place : place + size]
            place += size
            continue
        if number in _FINE:
            kept.append(number)
        place += 1
    return "\x1b[%sm" % ";".join(str(number) for number in kept) if kept else ""


def plain(text):
    """A cleaned `text` without its colours."""
    return _COLOR.sub("", text) if "\x1b" in text else text


def shortened(text):
    """A cleaned `text` of at most `SHOWN` characters."""
    if len(text) <= SHOWN:
        return text
    text = plain(text)
    return text[:SHOWN] + " … (cut)" if len(text) > SHOWN else text
