# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-repair` (docs/boot-repair.md)."""

from __future__ import annotations

import functools

from . import host_program
from .host_program import PACKAGE, SOURCES

__all__ = ["ENTRY", "PACKAGE", "PROGRAM", "entry", "modules", "program", "warm"]

PROGRAM = "bin/mediastack-repair"
ENTRY = "repair_cli"


def modules(start=ENTRY, sources=SOURCES):
    """See `host_program.modules`."""
    return host_program.modules(start, sources)


@functools.lru_cache(maxsize=1)
def program():
    """The bytes of the program."""
    return host_program.program(PROGRAM, ENTRY)


def entry(project):
    """The program as a file of the bundle; `project`: path of the project directory."""
    return host_program.entry(project, PROGRAM, ENTRY)


def warm():
    """Make the program once, in the process that forks a worker for each host: they inherit the result."""
    host_program.packed(PROGRAM, ENTRY)
