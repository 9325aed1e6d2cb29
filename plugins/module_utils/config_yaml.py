# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One scalar of a YAML file of nested maps, such as Bazarr's config.yaml, in place.

The standard library has no YAML, so this reads just what such files hold: block maps, any scalar, lists and flow
collections as values. What it does not understand on the way to the key is an error, never a guess.
"""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils.config_error import ConfigFormatError

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_KEY = re.compile(
    r"""^([ ]*)("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
    r"""|[^\s#"'\[\]{}&*!|>%@`,?:-][^#\r\n]*?|[?:-][^\s#][^#\r\n]*?)[ \t]*:(?=[ \t\r\n]|$)[ \t]*"""
)
_DOUBLE = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_SINGLE = re.compile(r"'(?:[^']|'')*'", re.S)
_TRUE, _FALSE, _NULL = ("true", "yes", "on"), ("false", "no", "off"), ("", "~", "null", "Null", "NULL")
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?$")


class _Node:
    """A key with its value: `start`…`end` is the value's text on and below the key's line; `after` is where the next
    key begins."""

    def __init__(self, path, indent, key_end, start, end, after, kind):
        self.path, self.indent, self.key_end = path, indent, key_end
        self.start, self.end, self.after, self.kind = start, end, after, kind


class _File:
    def __init__(self, text):
        self.text, self.nodes = text, []
        self._parse()

    def _parse(self):
        at, stack, text = 0, [], self.text
        while at < len(text):
            line = _LINE.match(text, at).group(0)
            body = line.rstrip("\r\n")
            stripped = body.strip()
            if not stripped or stripped[0] in "#%" or (stripped == "---" and not self.nodes):
                at += len(line)
                continue
            if stripped in ("---", "..."):
                if text[at + len(line) :].strip():
                    raise self._error(at, "a second document begins")
                break
            match = _KEY.match(text[at : at + len(body)])
            if not match:
                raise self._error(at, "not a key of a map: %r" % body[:60])
            indent = len(match.group(1))
            while stack and stack[-1].indent >= indent:
                stack.pop()
            if stack and stack[-1].kind != "map":
                raise self._error(at, "a key where a value goes on: %r" % body[:60])
            siblings = [node for node in self.nodes if node.path[:-1] == (stack[-1].path if stack else ())]
            if siblings and siblings[-1].indent != indent:
                raise self._error(at, "indented unlike the keys before it: %r" % body[:60])
            path = (stack[-1].path if stack else ()) + (_name(match.group(2)),)
            node = self._node(path, indent, at, match.end())
            self.nodes.append(node)
            stack.append(node)
            at = node.after

    def _error(self, at, words):
        return ConfigFormatError("line %d: %s" % (self.text.count("\n", 0, at) + 1, words))

    def _node(self, path, indent, at, length):
        text, start = self.text, at + length
        key_end = at + len(text[at:start].rstrip())
        line_end = at + len(_LINE.match(text, at).group(0).rstrip("\r\n"))
        rest = text[start:line_end]
        first = rest[:1]
        if not rest or first == "#":
            return self._below(path, indent, key_end, line_end)
        if first in "|>":
            end = self._deeper(indent, line_end)
            return _Node(path, indent, key_end, start, end, self._next(end), "block")
        if first in "\"'":
            match = (_DOUBLE if first == '"' else _SINGLE).match(text, start)
            if not match:
                raise self._error(at, "a quote is never closed")
            end = match.end()
            self._only_comment(end)
            return _Node(path, indent, key_end, start, end, self._next(end), "quoted")
        if first in "[{":
            end = self._flow_end(start)
            self._only_comment(end)
            return _Node(path, indent, key_end, start, end, self._next(end), "flow")
        if first in "&*!%@`":
            return _Node(path, indent, key_end, start, line_end, self._next(self._deeper(indent, line_end)), "special")
        comment = re.search(r"[ \t]+#", rest)
        end = start + len(rest[: comment.start()] if comment else rest.rstrip())
        if re.search(r":[ \t]|:$", text[start:end]):
            raise self._error(at, "a second key on one line: %r" % rest[:60])
        if not comment:
            # A long plain scalar goes on, indented, on the next lines.
            deeper = self._deeper(indent, line_end)
            end = end if deeper == line_end else deeper
        return _Node(path, indent, key_end, start, end, self._next(end), "plain")

    def _below(self, path, indent, key_end, line_end):
        """A key with nothing behind it: a map, a list, or null."""
        at, text = self._next(line_end), self.text
        while at < len(text):
            line = _LINE.match(text, at).group(0)
            body = line.rstrip("\r\n")
            if not body.strip() or body.lstrip().startswith("#"):
                at += len(line)
                continue
            deeper = len(body) - len(body.lstrip(" "))
            if re.match(r" *-([ \t]|$)", body) and deeper >= indent:
                end = self._list_end(at, deeper)
                return _Node(path, indent, key_end, key_end, end, self._next(end), "list")
            if deeper > indent:
                if not _KEY.match(body):
                    raise self._error(at, "not a key of a map: %r" % body[:60])
                return _Node(path, indent, key_end, key_end, key_end, self._next(line_end), "map")
            break
        return _Node(path, indent, key_end, key_end, key_end, self._next(line_end), "null")

    def _deeper(self, indent, line_end):
        """End of the last line below that is indented more than `indent`; `line_end` where there is none."""
        at, end, text = self._next(line_end), line_end, self.text
        while at < len(text):
            line = _LINE.match(text, at).group(0)
            body = line.rstrip("\r\n")
            if body.strip() and len(body) - len(body.lstrip(" ")) <= indent:
                break
            if body.strip():
                end = at + len(body)
            at += len(line)
        return end

    def _list_end(self, at, indent):
        text, end = self.text, at
        while at < len(text):
            line = _LINE.match(text, at).group(0)
            body = line.rstrip("\r\n")
            depth = len(body) - len(body.lstrip(" "))
            if body.strip() and not (depth > indent or (depth == indent and re.match(r" *-([ \t]|$)", body))):
                break
            if body.strip():
                end = at + len(body)
            at += len(line)
        return end

    def _flow_end(self, start):
        at, depth, text = start, 0, self.text
        while at < len(text):
            char = text[at]
            if char in "\"'" and text[at - 1] in " \t\r\n[{,:":
                match = (_DOUBLE if char == '"' else _SINGLE).match(text, at)
                if not match:
                    raise self._error(at, "a quote is never closed")
                at = match.end()
                continue
            depth += (char in "[{") - (char in "]}")
            at += 1
            if depth == 0:
                return at
        raise self._error(start, "a bracket is never closed")

    def _only_comment(self, end):
        line = _LINE.match(self.text, end).group(0).rstrip("\r\n")
        if not re.match(r"^[ \t]*(?:[ \t]#.*)?$", line):
            raise self._error(end, "something follows the value: %r" % line[:40])

    def _next(self, at):
        return at + len(_LINE.match(self.text, at).group(0))

    def find(self, path):
        found = [node for node in self.nodes if node.path == tuple(path)]
        return found[-1] if found else None


def get_value(text, key):
    """The scalar at `key` as str, int, float or bool; None where it is absent or null."""
    file = _File(text)
    node = file.find(key)
    if node is None:
        return None
    if node.kind in ("map", "list", "block", "special", "flow"):
        if node.kind == "flow" and re.match(r"^(\{\s*\}|\[\s*\])$", text[node.start : node.end]):
            return None
        raise ConfigFormatError("%s is not a plain value" % "/".join(key))
    return _scalar(text[node.start : node.end], node.kind)


def set_value(text, key, value):
    """`text` with the scalar at `key` replaced; absent keys are added as the last of their map. Strings are always
    quoted."""
    file = _File(text)
    node = file.find(key)
    if node is not None:
        if node.kind in ("map", "list", "block", "special") or (
            node.kind == "flow" and get_value(text, key) is not None
        ):
            raise ConfigFormatError("%s is not a plain value" % "/".join(key))
        gap = "" if text[node.start - 1 : node.start] in (" ", "\t") else " "
        return text[: node.start] + gap + _dump(value) + text[node.end :]
    return _add(file, key, value)


def _add(file, key, value):
    text = file.text
    newline = "\r\n" if "\r\n" in text else "\n"
    parent, depth = None, 0
    for length in range(1, len(key)):
        node = file.find(key[:length])
        if node is None:
            break
        parent, depth = node, length
    if parent is not None and parent.kind == "flow" and get_value(text, parent.path) is None:
        return set_value(text[: parent.key_end] + text[parent.end :], key, value)
    if parent is not None and parent.kind not in ("map", "null"):
        raise ConfigFormatError("%s is not a map" % "/".join(parent.path))
    inside = [node for node in file.nodes if parent is None or node.path[:depth] == parent.path]
    siblings = [node for node in inside if len(node.path) == depth + 1]
    step = _step(file)
    indent = siblings[-1].indent if siblings else (parent.indent + step if parent else 0)
    at = inside[-1].after if inside else len(text)
    lines = []
    for number, name in enumerate(key[depth:]):
        last = depth + number == len(key) - 1
        lines.append(
            "%s%s:%s%s"
            % (" " * (indent + number * step), _dump_name(name), " " + _dump(value) if last else "", newline)
        )
    added = "".join(lines)
    if at and text[at - 1] not in "\r\n":
        added = newline + added[: -len(newline)]
    return text[:at] + added + text[at:]


def _step(file):
    for node in file.nodes:
        if len(node.path) == 2:
            return node.indent - file.find(node.path[:1]).indent
    return 2


def _name(raw):
    if raw[0] in "\"'":
        return _scalar(raw, "quoted")
    return raw


def _dump_name(name):
    return (
        name
        if re.match(r"[A-Za-z_][A-Za-z0-9_-]*\Z", name) and name.lower() not in _TRUE + _FALSE + _NULL
        else _dump(name)
    )


def _scalar(raw, kind):
    if kind == "null":
        return None
    if raw[:1] == "'":
        return _folded(raw[1:-1]).replace("''", "'")
    if raw[:1] == '"':
        return _unescaped(raw[1:-1])
    text = _folded(raw)
    if text in _NULL:
        return None
    if text.lower() in _TRUE + _FALSE and text in (text.lower(), text.capitalize(), text.upper()):
        return text.lower() in _TRUE
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _folded(text):
    """Line breaks as YAML reads them: one is a blank, each empty line more is a line break."""

    def fold(match):
        breaks = len(re.findall(r"\r\n|\n|\r", match.group(0)))
        return " " if breaks == 1 else "\n" * (breaks - 1)

    return re.sub(r"[ \t]*(?:(?:\r\n|\n|\r)[ \t]*)+", fold, text)


_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
    "\t": "\t",
}


def _unescaped(text):
    # An escaped line break joins without a blank; what is escaped is put aside while the others are folded.
    text = re.sub(r"(?<!\\)((?:\\\\)*)\\(?:\r\n|\n|\r)[ \t]*", r"\1", text)
    text = _folded(text)

    def one(match):
        code = match.group(1)
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            raise ConfigFormatError("unknown escape \\%s" % code)
        return _ESCAPES[code]

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", one, text, flags=re.S)


def _dump(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise ConfigFormatError("a list or a map cannot be set in YAML")
    if re.match(r"[\x20-\x7e]*\Z", value) and "\\" not in value and '"' not in value:
        return "'%s'" % value.replace("'", "''")
    # A JSON string is a YAML one; beyond the basic plane JSON writes pairs, YAML one code.
    parts = []
    for char in value:
        if char in '"\\':
            parts.append("\\" + char)
        elif "\x20" <= char <= "\x7e":
            parts.append(char)
        else:
            parts.append(
                "\\x%02x" % ord(char)
                if ord(char) < 0x100
                else "\\u%04x" % ord(char)
                if ord(char) < 0x10000
                else "\\U%08x" % ord(char)
            )
    return '"%s"' % "".join(parts)
