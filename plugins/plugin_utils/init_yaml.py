# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Set and remove top-level keys of a vars file, and leave every other byte as it is.

The file is not loaded and dumped again: entries are found by the positions of YAML's own tokens. No comment is ever
lost; those inside a value that is replaced move above its key.
"""

from __future__ import annotations

import dataclasses
import re

import yaml

# What Ansible would template; `!unsafe` keeps it from that.
BRACES = ("{{", "{%", "{#")
_COMMENT = re.compile(r"#[^\n\r]*")
_STRUCTURE = (
    yaml.tokens.BlockEndToken,
    yaml.tokens.DocumentEndToken,
    yaml.tokens.StreamEndToken,
)


class VarsFileError(ValueError):
    """The text is not a vars file that can be edited by lines; says why."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One top-level key.

    Attributes:
        key: the key.
        start, end: offsets of the entry, from its key to behind its value.
        comments: comments inside it.
        fixed: why it is not to be changed by a program (`an expression`, `!vault` …), or None.
        line: its line, from 1.
    """

    key: str
    start: int
    end: int
    comments: tuple
    fixed: str | None
    line: int


def entries(text):
    """The top-level keys of a vars file, `{key: Entry}`; of a key that stands twice the last one, which counts.

    Raises:
        VarsFileError: not YAML, not one map, or not written line by line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        tokens = list(yaml.scan(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise VarsFileError(f"{where}not YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value and root.style is None):
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise VarsFileError("it must be a map of name: value")
    if root.flow_style:
        raise VarsFileError("it is written in one pair of braces; write one setting a line")
    return _entries(text, [key for key, _value in root.value], tokens)


def _entries(text, keys, tokens):
    found = {}
    starts = [key.start_mark.index for key in keys]
    for key, start, following in zip(keys, starts, [*starts[1:], len(text)], strict=True):
        if not isinstance(key, yaml.ScalarNode) or text[:start].rstrip(" ").endswith("?"):
            raise VarsFileError(f"line {key.start_mark.line + 1}: a key must be a plain name")
        own = [
            token
            for token in tokens
            if start <= token.start_mark.index < following
            and token.end_mark.index > token.start_mark.index
            and not isinstance(token, _STRUCTURE)
        ]
        comments, position = [], start
        for token in own:
            comments += _COMMENT.findall(text[position : token.start_mark.index])
            position = token.end_mark.index
        found[key.value] = Entry(
            key.value, start, _end(text, own[-1]), tuple(comments), _fixed(own), key.start_mark.line + 1
        )
    return found


def _end(text, last):
    """The offset behind the last token's text; the blank lines below a block of text are not part of the entry."""
    end = last.end_mark.index
    if getattr(last, "style", None) in ("|", ">"):
        end = last.start_mark.index + len(text[last.start_mark.index : end].rstrip(" \r\n"))
    return end


def _fixed(tokens):
    for token in tokens:
        if isinstance(token, yaml.tokens.TagToken) and token.value[1] != "unsafe":
            return "!" + token.value[1]
        if isinstance(token, (yaml.tokens.AnchorToken, yaml.tokens.AliasToken)):
            return "an anchor"
    unsafe = any(isinstance(token, yaml.tokens.TagToken) for token in tokens)
    for token in tokens:
        if isinstance(token, yaml.tokens.ScalarToken) and not unsafe and any(mark in token.value for mark in BRACES):
            return "an expression"
    return None


def edit(text, changes, removals=()):
    """The text with some keys set and others removed.

    Parameters:
        text: of a vars file; may be empty.
        changes: `{key: plain value}`, in the order in which new ones are appended.
        removals: keys to take out; those that are not there are passed over.
    Raises:
        VarsFileError: see `entries`; also for a key whose value is not to be changed by a program.
    """
    known = entries(text)
    pieces = {}
    for key in [*changes, *removals]:
        if key in known and known[key].fixed:
            entry = known[key]
            raise VarsFileError(f"line {entry.line}: {key} holds {entry.fixed}, which is left alone. Change it by hand")
    newline = "\r\n" if "\r\n" in text else "\n"
    for key, value in changes.items():
        if key in known:
            pieces[known[key]] = _replacement(known[key], dump(key, value), text, newline)
    for key in removals:
        if key in known:
            pieces[known[key]] = None
    result = text
    for entry in sorted(pieces, key=lambda each: -each.start):
        result = _put(result, entry, pieces[entry], newline)
    added = "".join(dump(key, value) for key, value in changes.items() if key not in known)
    return _append(result, added.replace("\n", newline), newline)


def _replacement(entry, lines, text, newline):
    above = "".join(f"{comment}\n" for comment in entry.comments)
    lines = lines.rstrip("\n")
    behind = text[entry.end :].split("\n", 1)[0].strip()
    if behind and "\n" in lines:
        # A comment behind a value of one line would become part of a text block.
        above, behind = above + behind + "\n", ""
    return (above + lines).replace("\n", newline), behind


def _put(text, entry, piece, newline):
    rest_of_line = len(text[entry.end :].split("\n", 1)[0].rstrip("\r"))
    if piece is not None:
        lines, behind = piece
        rest = text[entry.end + (0 if behind else rest_of_line) :]
        # At the end of a file a block of text needs its line end.
        return text[: entry.start] + lines + (rest or (newline if "\n" in lines else ""))
    kept = [*entry.comments, *_COMMENT.findall(text[entry.end : entry.end + rest_of_line])]
    tail = text[entry.end + rest_of_line :]
    if kept:
        return text[: entry.start] + newline.join(kept) + tail
    return text[: entry.start] + tail.removeprefix("\r").removeprefix("\n")


def _append(text, added, newline):
    if not added:
        return text
    position = len(text)
    ends = [
        token for token in yaml.scan(text, Loader=yaml.SafeLoader) if isinstance(token, yaml.tokens.DocumentEndToken)
    ]
    if ends:
        position = ends[0].start_mark.index
    before = text[:position]
    if before and not before.endswith("\n"):
        before += newline
    return before + added + text[position:]


class _Unsafe(str):
    """Text that Ansible must not template."""


class _Dumper(yaml.SafeDumper):
    """Block style, texts of several lines as blocks, items indented below their key."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


def _text(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if _is_block(value) else None)


def _unsafe(dumper, value):
    return dumper.represent_scalar("!unsafe", str(value), style="|" if _is_block(value) else '"')


def _is_block(value):
    """Whether a text is written as a block; the blank lines at the end of a file are not part of it then."""
    return "\n" in value and not value.endswith("\n\n") and value.strip() != ""


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Unsafe, _unsafe)


def dump(key, value):
    """`key: value` as lines of a vars file; texts that Ansible would template are marked `!unsafe`."""
    return yaml.dump(
        {key: _marked(value)},
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        width=10**6,
    )


def _marked(value):
    if isinstance(value, dict):
        return {name: _marked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(item) for item in value]
    if isinstance(value, str) and any(mark in value for mark in BRACES):
        return _Unsafe(value)
    return value


class _Loader(yaml.SafeLoader):
    """Reads what `dump` writes, and what other programs' tags stand before as text."""


def _tagged(loader, _suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _tagged)


def load(text):
    """The values of a vars file as Python's own types; tagged ones (`!unsafe`, `!vault`) as their text.

    Raises:
        VarsFileError: see `entries`.
    """
    entries(text)
    return yaml.load(text, Loader=_Loader) or {}  # nosec B506 # noqa: S506 (a safe loader)
