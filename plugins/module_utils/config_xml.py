# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One element or attribute of an XML file, by byte offsets: nothing is written again but its own text."""

from __future__ import annotations

import re
from xml.parsers import expat

from ansible_collections.homelab.mediastack.plugins.module_utils.config_error import ConfigFormatError

_REFERENCES = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("\r", "&#13;"),
    ("\n", "&#10;"),
    ("\t", "&#9;"),
)
# Not compiled here: it takes longer than to load all the rest, and only a write needs it.
_ILLEGAL = "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


class _Element:
    def __init__(self, start, attributes):
        self.start = start  # offset of "<"
        self.attributes = attributes
        self.end = None  # offset of "</", or of what follows "/>"
        self.text = ""
        self.children = []  # offsets of the children's "<"


class _Finder:
    """The first element at a path, and the innermost of its ancestors that exists."""

    def __init__(self, data, path):
        self.path, self.found = list(path), {}
        self._stack, self._open = [], []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as error:
            raise ConfigFormatError("not well-formed XML: %s" % error) from error

    def _doctype(self, *_args):
        raise ConfigFormatError("it has a DOCTYPE, which no app of this stack writes")

    def _start(self, name, attributes):
        offset = self._parser.CurrentByteIndex
        if self._open and self._open[-1]:
            self._open[-1].children.append(offset)
        self._stack.append(name)
        depth = len(self._stack)
        element = None
        on_the_way = depth == 1 or (self._open[-1] is not None)
        if on_the_way and self._stack == self.path[:depth] and depth not in self.found:
            element = self.found[depth] = _Element(offset, attributes)
        self._open.append(element)

    def _end(self, _name):
        element = self._open.pop()
        if element:
            element.end = self._parser.CurrentByteIndex
        self._stack.pop()

    def _text(self, text):
        if self._open and self._open[-1]:
            self._open[-1].text += text


def get_value(data, key):
    """The text of the element, or of the attribute when the last part of `key` begins with `@`; None when absent."""
    path, attribute = _split(key)
    found = _Finder(data, path).found
    _check_root(found, path)
    element = found.get(len(path))
    if element is None:
        return None
    if attribute:
        return element.attributes.get(attribute)
    if element.children:
        raise ConfigFormatError("%s holds further elements, not a value" % "/".join(key))
    return element.text


def set_value(data, key, value):
    """`data` with the element's text (or the attribute) replaced; an absent one is added as the last of its parent."""
    path, attribute = _split(key)
    found = _Finder(data, path).found
    _check_root(found, path)
    charset, text = _charset(data), escape(value)
    depth = max(found)
    element = found[depth]
    if attribute:
        if depth < len(path):
            raise ConfigFormatError("there is no element %s to take the attribute %s" % ("/".join(path), attribute))
        return _set_attribute(data, element, attribute, _bytes(text, charset))
    if depth < len(path):
        added = text
        for name in reversed(path[depth:]):
            added = "<%s>%s</%s>" % (_name(name), added, name)
        return _add(data, element, path[depth - 1], _bytes(added, charset))
    if element.children:
        raise ConfigFormatError("%s holds further elements, not a value" % "/".join(key))
    return _replace_inside(data, element, path[-1], _bytes(text, charset))


def _split(key):
    if key[-1].startswith("@"):
        return list(key[:-1]), key[-1][1:]
    return list(key), None


def _check_root(found, path):
    if 1 not in found:
        raise ConfigFormatError("its root element is not <%s>" % path[0])


def escape(value):
    """`value` as text or quoted attribute. ConfigFormatError for what XML cannot hold.

    Own, since xml.sax.saxutils brings in the whole of urllib, which costs every run.
    """
    text = value if isinstance(value, str) else str(value)
    if re.search(_ILLEGAL, text):
        raise ConfigFormatError("it holds a control character, which XML cannot")
    # A parser reads a bare CR, and in an attribute a line break or tab, as something else.
    for char, reference in _REFERENCES:
        text = text.replace(char, reference)
    return text


def _name(name):
    if not re.match(r"^[A-Za-z_][A-Za-z0-9_.-]*$", name):
        raise ConfigFormatError("%r is not a name of an XML element" % name)
    return name


def _charset(data):
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigFormatError("it is UTF-16: save it as UTF-8")
    declared = re.match(rb"^(?:\xef\xbb\xbf)?<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)[\"']", data)
    return declared.group(1).decode("ascii").lower() if declared else "utf-8"


def _bytes(text, charset):
    # Character references mean the same in every charset that has the letters of ASCII.
    return text.encode("utf-8") if charset == "utf-8" else text.encode("ascii", "xmlcharrefreplace")


def _tag_end(data, start):
    """Offset after the ">" of the tag at `start`, and whether it closes itself."""
    quote, at = None, start
    while True:
        char = data[at : at + 1]
        if quote:
            quote = None if char == quote else quote
        elif char in (b'"', b"'"):
            quote = char
        elif char == b">":
            return at + 1, data[at - 1 : at] == b"/"
        at += 1


def _open_tag(data, element):
    """(the tag's bytes without a "/" at its end, offset after the tag, whether it closed itself)"""
    end, closed = _tag_end(data, element.start)
    if not closed:
        return data[element.start : end], end, False
    return data[element.start : end - 2].rstrip() + b">", end, True


def _replace_inside(data, element, name, text):
    tag, inside, closed = _open_tag(data, element)
    if closed:
        return data[: element.start] + tag + text + b"</" + name.encode("utf-8") + b">" + data[inside:]
    return data[:inside] + text + data[element.end :]


def _add(data, element, name, added):
    tag, inside, closed = _open_tag(data, element)
    if closed:
        return data[: element.start] + tag + added + b"</" + name.encode("utf-8") + b">" + data[inside:]
    if not element.children:
        return data[: element.end] + added + data[element.end :]
    # As the last child stands: its line break and indentation before the new one; what closes the parent stays where
    # it was.
    first = element.children[-1]
    before = re.search(rb"(\r\n|\n|\r)?[ \t]*$", data[inside:first]).group(0)
    rest = re.search(rb"(?:\r\n|\n|\r)?[ \t]*$", data[inside : element.end]).group(0)
    at = element.end - len(rest)
    return data[:at] + before + added + data[at:]


def _set_attribute(data, element, attribute, text):
    end, closed = _tag_end(data, element.start)
    tag = data[element.start : end]
    pattern = rb"(\s" + re.escape(_name(attribute).encode("ascii")) + rb"\s*=\s*)(\"[^\"]*\"|'[^']*')"
    for match in re.finditer(rb"\s[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*')", tag):
        own = re.fullmatch(pattern, match.group(0))
        if own:
            start = element.start + match.start() + len(own.group(1))
            return data[:start] + b'"' + text + b'"' + data[element.start + match.end() :]
    at = end - (2 if closed else 1)
    while data[at - 1 : at].isspace():
        at -= 1
    return data[:at] + b" " + attribute.encode("utf-8") + b'="' + text + b'"' + data[at:]
