# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images that failed their gate on this host and were rolled back: `<project>/.mediastack/refused.json`.

They are held back until the lock names another, or `-e retry_failed=true`. Write under the run lock only.
"""

from __future__ import annotations

import contextlib
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, image_choice

SCHEMA = 1
FILE = "refused.json"


def path_of(project_path):
    """Where the record is kept."""
    return os.path.join(project_path, ".mediastack", FILE)


def read(project_path):
    """service → {image, digest, image_id, why, when, txn}. FileError when it is damaged."""
    return dict(atomic_files.read_json(path_of(project_path), {}).get("services") or {})


def write(project_path, services):
    """Replace the record."""
    if services:
        atomic_files.write_json(path_of(project_path), {"schema": SCHEMA, "services": services})
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path_of(project_path))


def forget(project_path, names):
    """Let go of the refusals of `names`; those that there were."""
    known = read(project_path)
    gone = [name for name in names if name in known]
    if gone:
        write(project_path, {name: entry for name, entry in known.items() if name not in gone})
    return gone


def same(entry, image, digest):
    """Whether a refusal is about this image: by digest where both are known, else by name."""
    if digest and entry.get("digest"):
        return digest == entry["digest"]
    return image == entry["image"]


def held_back(services, known):
    """service → its refusal, for services of the bundle whose lock (or, without one, whose tag) names what was
    refused.
    """
    found = {}
    for name, entry in known.items():
        if name in services and same(entry, *image_choice.goal(services[name])):
            found[name] = entry
    return found


def sentence(name, entry):
    """A refusal in words."""
    return (
        "service %s: %s, digest %s failed its gate on %s (%s): it is held back until the lock names another; "
        "update -e retry_failed=true tries it again, site -e retry_failed=true forgets it"
        % (name, entry["image"], entry.get("digest") or "unknown", entry["when"], entry["why"])
    )
