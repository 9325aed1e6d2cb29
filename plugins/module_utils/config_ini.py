# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One key of an INI file, in the dialect of the program that wrote it.

flat       nzbget.conf: no sections, `Name=value`, the value as it stands
qt         qBittorrent.conf (QSettings of Qt): `Group\\Name=value`, backslash escapes, quotes where `;`, `,` or `=` is
configobj  sabnzbd.ini, Tautulli's config.ini (the Python library of that name): `name = value`, [[sections]], lists
"""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils import ini_values
from ansible_collections.homelab.mediastack.plugins.module_utils.config_error import ConfigFormatError

_SECTION = re.compile(r"^\s*(\[+)\s*(.*?)\s*(\]+)\s*(?:[#;].*)?$")
_PAIR = re.compile(r"^(\s*)([^=\s][^=]*?)([ \t]*=[ \t]*)(.*)$", re.S)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")


class _Entry:
    """One `name = value` with the span of its value."""

    def __init__(self, path, start, end, line_end):
        self.path, self.start, self.end, self.line_end = path, start, end, line_end


class _File:
    """Offsets of the entries and sections of a text."""

    def __init__(self, text, key):
        self.text, self.entries, self.sections = text, [], {(): 0}
        self.dialect = dialect_of(text, key)
        # Where an entry may be added: after the last entry of its section, else after the section's line.
        section, at = (), 0
        while at < len(text):
            line = _LINE.match(text, at).group(0)
            body = line.rstrip("\r\n")
            after = at + len(line)
            stripped = body.strip().lstrip("\ufeff")
            if not stripped or stripped[0] in "#;":
                at = after
                continue
            marker = _SECTION.match(body)
            if stripped[0] == "[" and self.dialect != "flat":
                section = self._section(section, marker, body)
                self.sections[section] = after
                at = after
                continue
            pair = _PAIR.match(body)
            if not pair:
                raise ConfigFormatError(
                    "line %d is neither a section nor name = value: %r" % (text.count("\n", 0, at) + 1, body[:60])
                )
            start = at + pair.start(4)
            end, after = self._value_end(start, at + len(body), after)
            self.entries.append(_Entry(section + (ini_values.bare(pair.group(2), self.dialect),), start, end, after))
            self.sections[section] = after
            at = after

    def _section(self, section, marker, body):
        depth = len(marker.group(1)) if marker else 0
        if (
            not marker
            or depth != len(marker.group(3))
            or depth > len(section) + 1
            or (depth > 1 and self.dialect == "qt")
        ):
            raise ConfigFormatError("%r is not a section" % body[:60])
        return section[: depth - 1] + (ini_values.bare(marker.group(2), self.dialect),)

    def _value_end(self, start, line_end, after):
        """(end of the value, offset after its last line): a comment behind the value is not part of it."""
        if self.dialect != "configobj":
            return start + len(self.text[start:line_end].rstrip()), after
        for quote in ('"""', "'''"):
            if self.text.startswith(quote, start):
                closing = self.text.find(quote, start + 3)
                if closing < 0:
                    raise ConfigFormatError("a value that begins with %s never ends" % quote)
                return closing + 3, closing + 3 + len(_LINE.match(self.text, closing + 3).group(0))
        return start + ini_values.configobj_length(self.text[start:line_end]), after

    def find(self, key):
        """The last entry of that name (the one a program ends up with); names of nzbget.conf know no case."""
        fold = str.lower if self.dialect == "flat" else str
        wanted = tuple(fold(part) for part in key)
        found = [entry for entry in self.entries if tuple(fold(part) for part in entry.path) == wanted]
        return found[-1] if found else None


def get_value(text, key):
    """The value as text, unquoted, or a list of texts; None where the key is absent."""
    file = _File(text, key)
    entry = file.find(key)
    return None if entry is None else ini_values.read(text[entry.start : entry.end], file.dialect)


def set_value(text, key, value):
    """`text` with the value replaced; an absent key is added to its section, an absent section at the end."""
    file = _File(text, key)
    entry = file.find(key)
    if entry is not None:
        return text[: entry.start] + ini_values.write(value, file.dialect) + text[entry.end :]
    return _add(file, list(key), ini_values.write(value, file.dialect))


def dialect_of(text, key):
    """Which of the three kinds of file a text with that key is: `qt`, `configobj` or `flat`."""
    if len(key) == 1 and not re.search(r"^\s*\[", text, re.M):
        return "flat"
    equals = [line for line in text.splitlines() if re.match(r"^[^#;\[=]+=", line)]
    if "\\" in key[-1] or (equals and not any(re.match(r"^[^=]*\S\s+=|^[^=]+= ", line) for line in equals)):
        return "qt"
    return "configobj"


def _add(file, key, value):
    text = file.text
    newline = "\r\n" if "\r\n" in text else "\n"
    equals = " = " if file.dialect == "configobj" else "="
    entry = "%s%s%s%s" % (ini_values.name(key[-1], file.dialect), equals, value, newline)
    section = tuple(key[:-1])
    if section in file.sections:
        at = file.sections[section]
    else:
        known = max(depth for depth in range(len(section)) if section[:depth] in file.sections)
        headers = [
            "[" * depth + ini_values.name(section[depth - 1], file.dialect) + "]" * depth + newline
            for depth in range(known + 1, len(section) + 1)
        ]
        entry = "".join(headers) + entry
        # A new subsection belongs to the section above it: behind all that this one holds.
        inside = [end for path, end in file.sections.items() if path[:known] == section[:known]]
        at = max(inside) if known else len(text)
    if at and text[at - 1] not in "\r\n":
        entry = newline + entry[: -len(newline)]
    return text[:at] + entry + text[at:]
