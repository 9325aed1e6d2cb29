# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-backup` (docs/backup.md)."""

from __future__ import annotations

from . import host_program

PROGRAM = "bin/mediastack-backup"
ENTRY = "backup_cli"


def program():
    """The bytes of the program."""
    return host_program.program(PROGRAM, ENTRY)


def entry(project):
    """The program as a file of the bundle; `project`: path of the project directory."""
    return host_program.entry(project, PROGRAM, ENTRY)


def warm():
    """Make the program once, in the process that forks a worker for each host: they inherit the result."""
    host_program.packed(PROGRAM, ENTRY)
