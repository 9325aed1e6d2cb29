# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of a Compose ``.env`` file that give back every printable string exactly.

Compose reads ``.env`` with a grammar of its own: ``$x`` expands in bare and in double-quoted values, single quotes
cannot hold every backslash, a blank and ``#`` start a comment. The one quoting that brought back every string tried is
double quotes with the backslash, the double quote and the dollar sign escaped.
"""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

# Names that the rendered file sets itself, or that would make Compose look at another project or engine.
OWN_NAMES = {
    "TZ": "mediastack_timezone",
    "PUID": "mediastack_puid",
    "PGID": "mediastack_pgid",
    "UMASK": "mediastack_umask",
    "COMPOSE_PROJECT_NAME": "mediastack_project_name",
    "COMPOSE_FILE": "mediastack_compose_files",
}
# Linux hands a program no text that is longer than 128 KiB, name included (MAX_ARG_STRLEN).
MAX_BYTES = 120000
_FOREIGN_PREFIXES = ("COMPOSE_", "DOCKER_")


class EnvError(ValueError):
    """A name or a value that an environment file cannot carry; the message says which and why."""


def check_name(name):
    """Refuse a variable name that Compose cannot read or that is not the user's to set.

    Raises:
        EnvError: with the reason and the setting to use instead.
    """
    if not isinstance(name, str) or not NAME.match(name) or len(name) > 255:
        text_of = repr(name) if len(name) < 60 else f"{name[:40]!r}…"
        raise EnvError(f"{text_of} is not a name: letters, digits and _ only, no digit first, 255 at most")
    if name in OWN_NAMES:
        raise EnvError(f"{name} is written from {OWN_NAMES[name]}; set that instead")
    if name.startswith(_FOREIGN_PREFIXES):
        raise EnvError(f"{name} would change how Docker Compose itself works; choose another name")


def text(value):
    """The text of a scalar as an environment variable: ``true``/``false`` for booleans, digits for numbers.

    Raises:
        EnvError: for a list, a map or nothing.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        # Ansible's tagged and unsafe strings are subclasses; a plain copy behaves the same everywhere.
        return "".join(value)
    raise EnvError(f"{value!r} is not text, a number or a boolean")


def quote(value):
    """Quote *value* for the right side of ``NAME=`` in a ``.env`` file.

    Raises:
        EnvError: for a NUL (no environment holds one), a line end (it ends the entry), a lone surrogate (not text).
    """
    plain = text(value)
    for position, character in enumerate(plain):
        if character in "\0\n\r" or "\ud800" <= character <= "\udfff":
            raise EnvError(
                f"the character {character!r} at position {position} cannot be in an environment file: "
                "a value is one line of text"
            )
    if len(plain.encode("utf-8")) > MAX_BYTES:
        raise EnvError(f"is longer than {MAX_BYTES} bytes, which no program's environment takes")
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") + '"'


def line(name, value):
    """``NAME="quoted value"`` without the line end."""
    return f"{name}={quote(value)}"
