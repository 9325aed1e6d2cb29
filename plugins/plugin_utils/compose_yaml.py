# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML as Docker Compose reads it: in from a service file, out to a Compose file.

PyYAML follows YAML 1.1, Compose does not: with PyYAML's own rules ``on`` would become ``true``, the port ``22:22`` the
number 1342, and a plain ``1e3`` written by us would be read as a number by Compose. So plain words are resolved as
Compose does, and every string that is not obviously one is written in quotes.
"""

from __future__ import annotations

import re

import yaml

from .interpolation import TOKEN_START

_BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class YamlError(ValueError):
    """Text that is not YAML, or holds a key twice. The message starts with the line."""


class _LenientLoader(_BaseLoader):
    """Resolve plain scalars as Compose does."""

    yaml_implicit_resolvers = {}


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]*)|0[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    ("merge", r"^<<$", "<"),
):
    _LenientLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


class _StrictLoader(_LenientLoader):
    """The same, and a key that stands twice in one mapping is an error, as it is for Compose."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _value in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} stands twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def load(text, strict=True):
    """Parse one YAML document.

    Args:
        text: the document.
        strict: refuse a key that stands twice.

    Raises:
        YamlError: ``line 12: what is wrong``.
    """
    try:
        # The loaders are subclasses of the safe loader: no tag constructs an object.
        return yaml.load(text, Loader=_StrictLoader if strict else _LenientLoader)  # nosec B506 # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise YamlError(f"{where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0]) from error


# Words that need no quotes in any dialect: they start with a letter, a slash or a dot-slash, and mean nothing else.
_PLAIN = re.compile(r"(?:[A-Za-z]|\./|/)[A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*\Z")
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])


class _Dumper(_BaseDumper):
    """Block style, no anchors, quotes around every string that is not a plain word."""

    def ignore_aliases(self, data):
        return True


def _string(dumper, value):
    # The host replaces a token by a value written for double quotes.
    if TOKEN_START in value:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value)
    style = "|" if _fits_block(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _fits_block(value):
    """Whether a text of several lines can be written as a block, which a person can read, without changing it."""
    lines = value.split("\n")
    return (
        len(lines) > 1
        and not value.startswith((" ", "\n"))
        and all(line.isprintable() and line == line.rstrip() for line in lines)
    )


_Dumper.add_representer(str, _string)


def dump(data):
    """Write *data* (maps, lists, text, numbers, booleans, null) as a Compose file, always in the same way."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**16, default_flow_style=False)
