# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a repair has stopped and not started again yet: `<project>/.mediastack/repair.json`.

A container that was stopped looks the same whoever stopped it. Without this record a repair that was killed, or that
waited for gluetun in vain, would leave behind what the next one takes for stopped by its user.
"""

from __future__ import annotations

import contextlib
import os
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

JOURNAL_FILE = "repair.json"


def path_of(project_path):
    """Where the record of the project at `project_path` is kept."""
    return os.path.join(project_path, ".mediastack", JOURNAL_FILE)


def read(project_path):
    """service → when it was to be brought back, in nanoseconds since 1970; empty where there is no record.

    A damaged record counts as none: what it may have named is then started by the next `site`.
    """
    try:
        stored = atomic_files.read_json(path_of(project_path), {}).get("services", {})
    except FileError:
        return {}
    return {name: when for name, when in stored.items() if isinstance(when, int)} if isinstance(stored, dict) else {}


def write(project_path, services, now=None):
    """Remember that `services` are to be brought back; earlier entries stay. Call under the run lock.

    `now`: nanoseconds since 1970, None: now. FileError.
    """
    known = read(project_path)
    entry = time.time_ns() if now is None else now
    atomic_files.write_json(
        path_of(project_path), {"schema": 1, "services": dict(dict.fromkeys(services, entry), **known)}
    )


def clear(project_path):
    """Everything is back. Call under the run lock."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(project_path))
