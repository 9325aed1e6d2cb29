# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rotation under way, `<project>/.mediastack/rotation.json` (0600): old and new values, and how far it has come.

While it is there, the next run that converges finishes it or takes it back. Write under the run lock only.
"""

from __future__ import annotations

import contextlib
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, secret_store

FILE = "rotation.json"
SCHEMA = 1
# The new values go into the apps; the old ones go back; the new ones have opened what the old ones do not any more.
APPLYING, TAKING_BACK, PROVEN = "applying", "taking_back", "proven"


def path_of(project_path):
    """Where it is kept."""
    return os.path.join(project_path, ".mediastack", FILE)


def read(project_path):
    """The rotation, or None. FileError when it is damaged: nothing may go on then."""
    return atomic_files.read_json(path_of(project_path), None)


def write(project_path, entry):
    """Replace it; what is in it: `id`, `who`, `started`, `step`, `secrets` (name → {old, new})."""
    atomic_files.state_directory(project_path)
    atomic_files.write_json(path_of(project_path), dict(entry, schema=SCHEMA))


def clear(project_path):
    """It has ended."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(project_path))
    atomic_files.sync_directory(os.path.dirname(path_of(project_path)))


def values(entry, which):
    """name → value; `which`: old or new."""
    return {name: pair[which] for name, pair in entry["secrets"].items()}


def fresh(specs, old):
    """name → a new value of each, another one than the old."""
    made = {}
    for name, before in old.items():
        made[name] = secret_store.generate(specs[name]["generate"], name)
        while made[name] == before:
            made[name] = secret_store.generate(specs[name]["generate"], name)
    return made
