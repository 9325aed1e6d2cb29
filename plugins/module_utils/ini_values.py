# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a name and a value are written in each dialect of INI (see `config_ini`)."""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils.config_error import ConfigFormatError

# Qt, qsettings.cpp, iniEscapedString and iniUnescapedStringList
_QT_ESCAPES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", '"': '"', "\\": "\\"}
_QT_PLAIN = {letter: char for char, letter in _QT_ESCAPES.items()}
# A typed value, whose "@" is meant: @ByteArray(…), @Variant(…). Any other text that begins with "@" gets a second one.
_QT_TYPED = re.compile(r"^@(?:ByteArray|String|Variant|DateTime|Rect|Size|Point)\(.*\)$|^@Invalid\(\)$", re.S)


def read(raw, dialect):
    """The value that the program sees."""
    if dialect == "qt":
        return _qt_read(raw)
    if dialect == "configobj":
        return _configobj_read(raw)
    return raw


def write(value, dialect):
    """`value` (str, number, bool, or a list of str) as it must stand in the file. ConfigFormatError when it cannot."""
    if isinstance(value, (list, tuple)):
        if dialect == "flat":
            raise ConfigFormatError("a list cannot stand in a file without sections")
        texts = [write(str(item), dialect) for item in value]
        if len(texts) < 2:
            return "".join(texts) + "," if dialect == "configobj" else "".join(texts) or "@Invalid()"
        return ", ".join(texts)
    if isinstance(value, bool):
        # SABnzbd and Tautulli write 1 and 0, Qt and NZBGet words.
        value = {"configobj": "01", "qt": ("false", "true"), "flat": ("no", "yes")}[dialect][value]
    text = str(value)
    if dialect == "qt":
        return _qt_write(text)
    if re.search(r"[\r\n\x00\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text):
        raise ConfigFormatError("the value holds a line break, which the file cannot")
    if dialect == "configobj":
        return _configobj_write(text)
    if text != text.strip():
        raise ConfigFormatError("the value begins or ends with a blank, which the file cannot")
    return text


def bare(text, dialect):
    """A name without the quotes that configobj allows around it."""
    text = text.strip()
    if dialect == "configobj" and len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        return text[1:-1]
    return text


def name(text, dialect):
    """A name as it must stand in the file."""
    if re.search(r"[\r\n\x00=]", text) or text != text.strip() or text[:1] in ("[", "#", ";"):
        raise ConfigFormatError("%r cannot be a name in an INI file" % text)
    if dialect == "configobj" and re.search(r"[\"'#\[\],]", text):
        raise ConfigFormatError("%r cannot be a name in an INI file" % text)
    return text


def configobj_length(text):
    """Length of the value at the start of `text` (the rest of a line): without the comment and blanks behind it."""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "#":
            break
        item_begins = not text[:at].strip() or text[:at].rstrip().endswith(",")
        if char in "\"'" and item_begins:
            closing = text.find(char, at + 1)
            if closing < 0:
                raise ConfigFormatError("a quote is never closed: %r" % text[:40])
            at = closing
        at += 1
    return len(text[:at].rstrip())


def _configobj_read(raw):
    for quote in ('"""', "'''"):
        if raw.startswith(quote) and raw.endswith(quote) and len(raw) >= 6:
            return raw[3:-3]
    items = _split(raw, "\"'")
    if len(items) == 1:
        return _unquoted(items[0])
    return [_unquoted(item) for item in (items if items[-1] else items[:-1])] if raw != "," else []


def _unquoted(text):
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        return text[1:-1]
    return text


def _split(raw, quotes, escape=None):
    """The parts of a list: commas inside quotes do not part it."""
    parts, start, at, quote = [], 0, 0, None
    while at < len(raw):
        char = raw[at]
        if char == escape:
            at += 1
        elif quote:
            quote = None if char == quote else quote
        elif char in quotes and (escape or not raw[start:at].strip()):
            quote = char
        elif char == ",":
            parts.append(raw[start:at].strip())
            start = at + 1
        at += 1
    parts.append(raw[start:].strip())
    return parts


def _configobj_write(text):
    """As configobj's own `_quote` does."""
    if not text:
        return '""'
    edges = " \r\n\v\t'\""
    if text[0] not in edges and text[-1] not in edges and "," not in text and "#" not in text and text == text.strip():
        return text
    if '"' not in text:
        return '"%s"' % text
    if "'" not in text:
        return "'%s'" % text
    for quote in ('"""', "'''"):
        if quote not in text and not text.startswith(quote[0]) and not text.endswith(quote[0]):
            return quote + text + quote
    raise ConfigFormatError("the value holds both kinds of quotes in a way the file cannot")


def _qt_write(text):
    is_doubled = text.startswith("@") and not _QT_TYPED.match(text)
    escaped = _qt_escape("@" + text if is_doubled else text)
    if re.search(r"[;,=]", text) or escaped != escaped.strip(" "):
        return '"%s"' % escaped
    return escaped


def _qt_escape(text):
    parts, digit_next = [], False
    for char in text:
        if digit_next and char in "0123456789abcdefABCDEF":
            parts.append("\\x%x" % ord(char))
            continue
        digit_next = False
        if char == "\0":
            raise ConfigFormatError("the value holds a NUL character")
        if char in _QT_ESCAPES:
            parts.append("\\" + _QT_ESCAPES[char])
        elif char < " " or char > "~":
            # Above 0xffff a pair of UTF-16 units: what Qt's own characters are.
            units = char.encode("utf-16-be", "surrogatepass")
            parts.extend("\\x%x" % int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
            digit_next = True
        else:
            parts.append(char)
    return "".join(parts)


def _qt_read(raw):
    parts = _split(raw, '"', "\\")
    if len(parts) > 1:
        return [_qt_text(part) for part in parts]
    return [] if parts[0] == "@Invalid()" else _qt_text(parts[0])


def _qt_text(text):
    units, at, quoted = [], 0, False
    while at < len(text):
        char = text[at]
        at += 1
        if char == '"':
            quoted = not quoted
        elif char != "\\" or at == len(text):
            units.append(char)
        elif text[at] == "x" and re.match("[0-9a-fA-F]", text[at + 1 : at + 2]):
            digits = re.match("[0-9a-fA-F]+", text[at + 1 :]).group(0)
            units.append(chr(int(digits, 16) & 0xFFFF))
            at += 1 + len(digits)
        else:
            units.append(_QT_PLAIN.get(text[at], text[at]))
            at += 1
    if quoted:
        raise ConfigFormatError("a quote is never closed: %r" % text[:40])
    value = "".join(units)
    if any("\ud800" <= char <= "\udfff" for char in value):
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value[1:] if value.startswith("@@") else value
