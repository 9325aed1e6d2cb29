# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Marks in the directories that hold what cannot be made again, so that an empty mount point is not taken for them.

A disk that is not mounted leaves an empty directory. An app that is started on it finds no database, makes a new one
and is healthy; a snapshot that is written into it is hidden when the disk is back. `<project>/.mediastack/places.json`
remembers which directories were marked, each mark is a file `.mediastack-place` in it.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import is_ours, name_of, problem

RECORD = "places.json"
MARK = ".mediastack-place"
#: Entry of the bundle's paths → variable.
PLACES = {"config": "mediastack_config_path", "backup": "mediastack_backup_path"}
_TEXT = b"Leave this file: without it homelab.mediastack takes the directory for one whose disk is not mounted.\n"


def _record(project_path):
    return os.path.join(project_path, ".mediastack", RECORD)


def problems(bundle):
    """Problems of preflight: directories that were marked here and have no mark now. FileError."""
    known = atomic_files.read_json(_record(bundle["project"]["path"]), {}).get("places") or {}
    found = []
    for name, variable in PLACES.items():
        path = bundle["paths"].get(name)
        if path and known.get(name) == path and not os.path.lexists(os.path.join(path, MARK)):
            found.append(
                problem(
                    "place",
                    "%s is not the directory that it was: its file %s is gone" % (path, MARK),
                    variable,
                    path,
                    "mount its disk. If the directory is meant to be a new one, touch %s" % os.path.join(path, MARK),
                )
            )
    return found


def held(path):
    """Names in a directory, sorted, apart from our mark: what somebody would miss. [] when it is not there."""
    return sorted(set(os.listdir(path)) - {MARK}) if os.path.isdir(path) else []


def gone(bundle, containers):
    """Problems of preflight: config directories that are gone although a container of ours was made on them.

    They would be made anew, and empty. `containers`: `docker inspect` of all of the engine.
    """
    found = []
    directories = {service.get("config_dir"): name for name, service in bundle["services"].items()}
    for container in containers:
        for mount in container.get("Mounts") or [] if is_ours(container, bundle) else []:
            path = mount.get("Source")
            if path in directories and not os.path.lexists(path):
                name = directories.pop(path)
                found.append(
                    problem(
                        "place",
                        "%s, the configuration of %s, is gone, and its container is still there" % (path, name),
                        "mediastack_config_path",
                        path,
                        "put it back, from where it is or from a backup. If it is to begin anew: docker rm -f %s"
                        % name_of(container),
                    )
                )
    return found


def mark(bundle):
    """Mark the directories of a stack that runs, where that was not done yet. FileError."""
    path = _record(bundle["project"]["path"])
    places = {name: bundle["paths"][name] for name in PLACES if bundle["paths"].get(name)}
    places = {name: place for name, place in places.items() if os.path.isdir(place)}
    known = atomic_files.read_json(path, {}).get("places") or {}
    if known == places:
        return
    for name, place in places.items():
        if known.get(name) != place and not os.path.lexists(os.path.join(place, MARK)):
            atomic_files.write(os.path.join(place, MARK), _TEXT, 0o644)
    atomic_files.write_json(path, {"schema": 1, "places": places})
