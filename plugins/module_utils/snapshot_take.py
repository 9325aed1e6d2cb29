# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking a snapshot: a draft, which becomes a snapshot when it is whole and on the disk."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil

from ansible_collections.homelab.mediastack.plugins.module_utils import progress as progress_module
from ansible_collections.homelab.mediastack.plugins.module_utils import (
    snapshot_collect,
    snapshot_files,
    snapshot_postgres,
    snapshot_size,
    snapshot_sqlite,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import sync_directory
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import FULL, SnapshotError
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_sqlite import DatabaseError

SCHEMA = 1
MANIFEST = "manifest.json"
DATA = "data"


def wanted(services, name):
    """(method, paths) of a service of the bundle; (None, []) when there is nothing to take. SnapshotError."""
    service = services.get(name)
    if service is None:
        raise SnapshotError("no service %r in this stack: there are %s" % (name, ", ".join(sorted(services))), name)
    rule = service.get("snapshot") or {}
    paths = list(rule.get("paths") or [])
    if not paths or (rule["method"] != "pg_dump" and not service.get("config_dir")):
        return None, []
    return rule["method"], paths if rule["method"] == "pg_dump" else snapshot_files.normal(paths, name)


class Draft:
    """A snapshot that is being taken. Whatever fails, the apps' own files are as they were.

    As a context manager it is dropped at the end, unless it was finished.
    """

    def __init__(self, store, identifier, kind, taken, about):
        """Made by `Store.begin`. The directory stays locked while the draft lives: one of a killed run is not."""
        self.store, self.id, self.kind, self.taken, self.about = store, identifier, kind, taken, dict(about or {})
        self.path = os.path.join(store.root, ".%s.tmp" % identifier)
        #: Service → its record, of those that are in it.
        self.services = {}
        #: Service → why it could not be taken while its app runs.
        self.refused = {}
        self._project, self._lock = None, None
        try:
            os.mkdir(self.path, 0o700)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.mkdir(os.path.join(self.path, DATA), 0o700)
        except OSError:
            self.drop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, _kind, _error, _trace):
        if self._lock is not None:
            self.drop()

    def take_running(self, services, names, project, docker, progress=progress_module.SILENT):
        """Take of `names` what can be taken while the app runs; what cannot is named by `needs_stop` afterwards.

        A service whose containers are down is taken as `take_stopped` does. `project`: an engine_state.Project.
        SnapshotError; its service is then not in the draft, the others taken before are (on a full disk nothing is).
        """
        self._project = self._project or project.name
        for name, method, paths in self._to_take(services, names):
            progress.say("taking a snapshot", name)
            down = not any(container.active for container in project.of(name))
            with self._guard(services, name, names, down):
                if method == "pg_dump":
                    self._take_databases(services[name], name, paths, project, docker)
                elif down or (method == "sqlite" and snapshot_sqlite.AVAILABLE):
                    self._take_files(services[name], name, method, paths, down, progress)

    def needs_stop(self, services, names):
        """Those of `names` that are not in the draft and can only be taken while their containers are down, in order.

        Method copy, or sqlite where this Python has no sqlite3 module or a database cannot be opened beside its app.
        """
        found = []
        for name in names:
            method, paths = wanted(services, name)
            if method in (None, "pg_dump") or name in self.services:
                continue
            if method == "sqlite" and snapshot_sqlite.AVAILABLE and name not in self.refused:
                try:
                    why = snapshot_collect.cannot_open(services[name], paths, self.store.skipped())
                except OSError as error:
                    raise self._explained(error, services, name, names) from error
                if why is None:
                    continue
                self.refused[name] = why
            found.append(name)
        return found

    def take_stopped(self, services, names, progress=progress_module.SILENT):
        """Take `names`, whose containers are down, as files; those that are in the draft already stay as they are.

        SnapshotError, as for `take_running`.
        """
        for name, method, paths in self._to_take(services, names):
            if method == "pg_dump":
                raise SnapshotError(
                    "%s: its databases are dumped while it runs, not with its container down: start it and run again"
                    % name,
                    name,
                )
            progress.say("taking a snapshot", name)
            with self._guard(services, name, names, True):
                self._take_files(services[name], name, method, paths, True, progress)

    def leave_out(self, name):
        """Take `name` out of the draft again; the others stay. Nothing happens when it is not in it."""
        self.services.pop(name, None)
        shutil.rmtree(os.path.join(self.path, DATA, name), ignore_errors=True)

    def finish(self):
        """The Snapshot: manifest written, all on the disk, then renamed. SnapshotError, with nothing left."""
        manifest = {
            "schema": SCHEMA,
            "id": self.id,
            "kind": self.kind,
            "taken": self.taken.isoformat(),
            "project": self._project,
            "host": os.uname().nodename,
            "about": self.about,
            "services": self.services,
        }
        try:
            path = os.path.join(self.path, MANIFEST)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as handle:
                # Names that are not UTF-8 stand there as escaped surrogates.
                json.dump(manifest, handle, indent=1, sort_keys=True, ensure_ascii=True)
                handle.write("\n")
            snapshot_files.sync_tree(self.path)
            os.rename(self.path, os.path.join(self.store.root, self.id))
        except OSError as error:
            raise self._explained(error, None, None, ()) from error
        except BaseException:
            self.drop()
            raise
        sync_directory(self.store.root)
        self._unlock()
        return self.store.get(self.id)

    def drop(self):
        """Remove the draft. Never raises: what cannot be removed is left to `Store.prune`."""
        self.services = {}
        shutil.rmtree(self.path, ignore_errors=True)
        self._unlock()

    def _unlock(self):
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = None

    def _to_take(self, services, names):
        """[(name, method, paths)] of what is to be taken; what has nothing to take is in the draft at once.

        SnapshotError before anything is written that would fill the disk.
        """
        found = []
        for name in names:
            method, paths = wanted(services, name)
            if not name or "/" in name or "\0" in name or name in (".", ".."):
                raise SnapshotError("%r cannot be the name of a service: rename it" % name, name)
            if method is None:
                rule = services[name].get("snapshot") or {}
                self.services.setdefault(name, snapshot_collect.new_record(rule.get("method") or "copy", []))
            elif name not in self.services:
                found.append((name, method, paths))
        files = [name for name, method, _paths in found if method != "pg_dump"]
        needed, left = snapshot_size.needed(services, files, self.store), snapshot_files.free(self.path)
        if left is not None and needed > left:
            self.drop()
            raise snapshot_files.full(self.store.root, needed, _snapshot_of(names))
        return found

    @contextlib.contextmanager
    def _guard(self, services, name, names, down):
        """What fails while `name` is taken becomes a SnapshotError, and nothing of `name` is left in the draft."""
        try:
            yield
            self.refused.pop(name, None)
        except DatabaseError as error:
            self.leave_out(name)
            if error.online and not down:
                self.refused[name] = str(error)
                return
            raise SnapshotError(
                "%s: a database cannot be taken: %s. Nothing was changed: repair it, or restore it from a backup, "
                "then run again" % (name, error),
                name,
            ) from error
        except OSError as error:
            self.leave_out(name)
            raise self._explained(error, services, name, names) from error
        except BaseException:
            self.leave_out(name)
            raise

    def _explained(self, error, services, name, names):
        if error.errno in FULL:
            # What is free is told as it is without the draft, so that the two numbers compare.
            self.drop()
            needed = snapshot_size.needed(services, names, self.store) if services else None
            return snapshot_files.full(self.store.root, needed, _snapshot_of(names), name)
        if name:
            where = services[name].get("config_dir")
            return snapshot_files.failed(error, "cannot take a snapshot of %s from %s" % (name, where), name)
        self.drop()
        return snapshot_files.failed(error, "cannot write the snapshot %s" % self.path)

    def _place(self, name):
        place = os.path.join(self.path, DATA, name)
        os.mkdir(place, 0o700)
        return place

    def _take_databases(self, service, name, databases, project, docker):
        record = snapshot_collect.new_record("pg_dump", databases)
        snapshot_postgres.take(service, name, databases, project, docker, self._place(name), record)
        self.services[name] = record

    def _take_files(self, service, name, method, paths, down, progress):
        earlier = self.store.earlier_files(name)
        collector = snapshot_collect.Collector(
            service, method, paths, self._place(name), self.store.skipped(), earlier, progress
        )
        self.services[name] = collector.run(down)


def _snapshot_of(names):
    return "a snapshot of %s" % (progress_module.names(names) if names else "these services")
