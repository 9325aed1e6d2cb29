# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup has stopped and not started again yet: `<project>/.mediastack/backup-stops.json`.

As with `repair_journal`: a container that was stopped looks the same whoever stopped it. The next backup, and `site`,
start again what a backup that was killed left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, backup_state
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

STOPS_FILE = "backup-stops.json"
# Beyond what a container is given for ending by itself.
GRACE = 30
# The engine's own, for a container that names none.
STOP_SECONDS = 10


def path_of(project_path):
    """Where the record of the project is kept."""
    return backup_state.state_path(project_path, STOPS_FILE)


def read(project_path):
    """Ids of containers that are to be started again; none where the record is missing or damaged."""
    try:
        found = atomic_files.read_json(path_of(project_path), {}).get("containers", [])
    except FileError:
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def bring_back(project_path, docker, project):
    """Start what an earlier backup left stopped, if it is still there and stopped. Call under the run lock.

    Names of the services that were started. DockerError when one cannot be.
    """
    noted = read(project_path)
    started = []
    for container in project.containers:
        if container.id in noted and container.status in ("exited", "created"):
            docker.run("start", container.id)
            started.append(container.service)
    if noted:
        _forget(project_path)
    return started


@contextlib.contextmanager
def stopped(project_path, docker, containers):
    """`containers` are stopped inside, and run again afterwards, whatever happens. Call under the run lock.

    A signal waits until then: a `docker stop` that goes on by itself would undo the start.
    """
    with _signals_wait():
        atomic_files.write_json(
            path_of(project_path), {"schema": 1, "containers": [container.id for container in containers]}
        )
        try:
            for container in containers:
                patience = (container.raw.get("Config") or {}).get("StopTimeout") or STOP_SECONDS
                docker.run("stop", container.id, deadline=patience + GRACE)
            yield
        finally:
            for container in containers:
                docker.run("start", container.id)
            _forget(project_path)


@contextlib.contextmanager
def _signals_wait():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget(project_path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path_of(project_path))
