# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How one service gets into a backup without a disturbance, or with the smallest.

1. A database that can be read while its app writes is (SQLite's online backup, pg_dump).
2. Other files are copied while the app runs, when they are the same before and after the copy: contents, sizes, times.
3. Where they are not, three times, the app is stopped, copied and started again; never gluetun nor what shares its
   network: that would cut every download each night. Of these it is an error.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_stops, snapshot_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import reason
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import SnapshotError

TRIES = 3
# Between two tries, growing: what an app writes in one go is over by then.
PAUSES = (0.5, 2.0)
# A log that grew during the copy is a log that ends earlier.
_PASSING = ("*.log", "*.log.*", "*.pid", "*.lock", "lockfile")
_PASSING_DIRECTORIES = ("logs", "Logs", "log")
# What no other try and no stop of the app mends: a disk or a share that is broken, a file that even root may not read.
_BROKEN = (errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.EACCES, errno.EPERM)
RUNNING, STOPPED, QUIET, SHORT_STOP = "while it runs", "it is stopped", "while it runs, unchanged", "stopped for it"


def shares_network(name, services, project):
    """Whether a service lives in another's network, or others in its."""
    if services[name].get("network_parent") or any(one.get("network_parent") == name for one in services.values()):
        return True
    return any(container.parent_id or project.sharing(container) for container in project.of(name))


def take(draft, services, name, project, docker, project_path, progress, sleep=time.sleep):
    """Take one service into `draft`; one of the words above. BackupError, or what the snapshot's parts raise."""
    running = [container for container in project.of(name) if container.active]
    method = (services[name].get("snapshot") or {}).get("method")
    if not running:
        if method == "pg_dump":
            raise BackupError("it does not run, and its databases can be dumped only while it does: start it")
        draft.take_stopped(services, [name])
        return STOPPED
    if name not in draft.needs_stop(services, [name]):
        draft.take_running(services, [name], project, docker, progress)
        # What could be opened before, and not now, is left out without a word.
        if name in draft.services:
            return RUNNING
    for attempt in range(TRIES):
        if _taken_quietly(draft, services, name):
            return QUIET
        if attempt < len(PAUSES):
            sleep(PAUSES[attempt])
    if shares_network(name, services, project):
        raise BackupError(
            "its files changed during each of %d copies, and what shares gluetun's network is not stopped for a "
            "backup: run the backup at another time (mediastack_backup_time)" % TRIES
        )
    progress.say("backing up %s: it is stopped for a moment" % name)
    with backup_stops.stopped(project_path, docker, running):
        draft.take_stopped(services, [name])
    return SHORT_STOP


def _taken_quietly(draft, services, name):
    """Copy beside the running app; False, and nothing of it in the draft, when it wrote meanwhile."""
    before = fingerprint(services[name], name)
    try:
        draft.take_stopped(services, [name])
        if fingerprint(services[name], name) == before and _is_copy_of(draft.services[name], before):
            return True
    except SnapshotError as error:
        # A database in the middle of a write looks damaged; a full disk has taken the whole draft away.
        if not os.path.isdir(draft.path) or getattr(error.__cause__, "errno", None) in _BROKEN:
            raise
    draft.leave_out(name)
    return False


def _is_copy_of(record, before):
    """Whether what was copied is what was there before and after: it may have been something else in between."""
    if record["method"] != "copy":
        return True
    digests = {path: digest for path, _size, _mtime, _ctime, _inode, digest in before}
    return all(entry["sha256"] == digests.get(entry["path"], entry["sha256"]) for entry in record["files"])


def fingerprint(service, name):
    """What a copy of the service's files depends on: [(path, size, mtime, ctime, inode, sha256)], logs left out.

    Contents too: what an app writes into memory that it shares with a file changes no time at once. BackupError.
    """
    snapshot = service.get("snapshot") or {}
    root, found = service["config_dir"], []
    try:
        for one in snapshot_files.walk(root, snapshot_files.normal(snapshot.get("paths") or [], name)):
            if one.kind == "file" and not _passing(one.path):
                found += _look(one, root)
    except OSError as error:
        # A listing that fails knows its directory by a number only.
        raise _unreadable(
            os.path.join(root, error.filename if isinstance(error.filename, str) else ""), error
        ) from error
    return found


def _look(one, root):
    """[what counts of a file]; nothing when it is gone. BackupError."""
    try:
        descriptor = snapshot_files.open_file(one.parent, one.name)
        if descriptor is None:
            return []
        try:
            _size, digest = snapshot_files.pour(descriptor)
            info = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(os.path.join(root, one.path), error) from error
    return [(one.path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, digest)]


def _unreadable(path, error):
    return BackupError(
        "%s cannot be read: %s. Look after the disk or the share that it lies on, then run the backup again"
        % (path, reason(error))
    )


def _passing(path):
    *directories, name = path.split("/")
    if any(directory in _PASSING_DIRECTORIES for directory in directories):
        return True
    return any(fnmatch.fnmatch(name, pattern) for pattern in _PASSING)
