# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of the transaction under way, `<project>/.mediastack/journal.json`, and the audit of those that ended.

While there is a journal, the next run that converges resumes or undoes the transaction. Write under the run lock only.
"""

from __future__ import annotations

import contextlib
import json
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files

FILE = "journal.json"
AUDIT_FILE = "audit.log"
SCHEMA = 1

# Nothing is touched; a snapshot is being taken, and what must stand still for it is stopped; containers are made anew;
# the gate looks at them; the generation is written; images and data go back.
PREPARED, SNAPSHOT, RECREATING, GATING, COMMITTING, ROLLING_BACK = (
    "prepared",
    "snapshot",
    "recreating",
    "gating",
    "committing",
    "rolling_back",
)


def path_of(project_path):
    """Where the journal is kept."""
    return os.path.join(project_path, ".mediastack", FILE)


def read(project_path):
    """The journal, or None. FileError when it is damaged: nothing may go on then."""
    return atomic_files.read_json(path_of(project_path), None)


def write(project_path, entry):
    """Replace the journal."""
    atomic_files.write_json(path_of(project_path), dict(entry, schema=SCHEMA))


def clear(project_path):
    """The transaction has ended."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(project_path))
    atomic_files.sync_directory(os.path.dirname(path_of(project_path)))


def audit(project_path, entry):
    """Add one line to the audit. A full disk does not stop what the line is about."""
    path = os.path.join(project_path, ".mediastack", AUDIT_FILE)
    line = (json.dumps(entry, sort_keys=True) + "\n").encode("utf-8")
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
