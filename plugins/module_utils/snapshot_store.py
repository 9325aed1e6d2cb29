# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory of all snapshots of a host (`mediastack_backup_path`): taking, listing, checking, pruning.

    <root>/<id>/manifest.json          what is in it, for whom, with checksum, owner and mode of every file
    <root>/<id>/data/<service>/…       the files, readable for root alone
    <root>/.<id>.tmp/                  one that is being taken; what has an id is whole

An id is `20261123T064500Z-<kind>-<4 hex>`. Call all but `all`, `get` and `verify` under the run lock only.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import shutil

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    backup_state,
    snapshot_files,
    snapshot_postgres,
    snapshot_restore,
    snapshot_sqlite,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import sync_directory
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import SnapshotError
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_take import DATA, MANIFEST, SCHEMA, Draft

__all__ = ["Draft", "Snapshot", "SnapshotError", "Store"]

_KIND = re.compile(r"^[a-z][a-z0-9_]*$")
_SECOND = datetime.timedelta(seconds=1)


class Store:
    """All snapshots below one directory, which belongs to root alone."""

    def __init__(self, root):
        """`root`: absolute path; made at the first `begin`."""
        self.root = root
        self._earlier, self._read = (None, {}), []

    def begin(self, kind, about):
        """A Draft. `kind`: a word in lower case; `about`: JSON object that is kept. SnapshotError."""
        if not _KIND.match(kind):
            raise SnapshotError("%r is no kind of snapshot: a word in lower case" % kind)
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            if os.stat(self.root).st_mode & 0o077:
                os.chmod(self.root, 0o700)
            # What a killed run left may fill the disk.
            self._sweep()
            taken = datetime.datetime.now(datetime.timezone.utc)
            # Names are in the order of taking, also of two in one second. A clock that was put back is another matter.
            newest = max([backup_state.taken(name) for name in self._ids()[:1]], default=taken - _SECOND)
            if taken - _SECOND < newest < taken + 60 * _SECOND:
                taken = newest + _SECOND
            identifier = "%s-%s-%s" % (taken.strftime(backup_state.STAMP), kind, os.urandom(2).hex())
            return Draft(self, identifier, kind, taken, about)
        except OSError as error:
            if error.errno in snapshot_files.FULL:
                raise snapshot_files.full(self.root, None, "a snapshot") from error
            raise snapshot_files.failed(error, "cannot begin a snapshot in %s" % self.root) from error

    def all(self, kind=None):
        """Snapshots that are whole, newest first; of one kind, or of all."""
        return [
            Snapshot(os.path.join(self.root, identifier))
            for identifier in self._ids()
            if kind is None or backup_state.kind_of(identifier) == kind
        ]

    def get(self, identifier):
        """The Snapshot with that id. SnapshotError names those there are."""
        present = self._ids()
        if identifier in present:
            return Snapshot(os.path.join(self.root, identifier))
        raise SnapshotError(
            "no snapshot %r in %s: there %s"
            % (identifier, self.root, "are " + ", ".join(present) if present else "is none")
        )

    def prune(self, kind, keep, protected=()):
        """Remove the oldest of a kind, so that `keep` (a number) complete ones stay, as `backup_state.surplus` says.

        Those with an id in `protected` stay too. Also what a killed run left goes. Returns the ids of the snapshots
        that are gone. SnapshotError.
        """
        self._sweep()
        gone = []
        for identifier in self._surplus(kind, keep):
            if identifier in protected:
                continue
            # First it loses its name, so that what has an id is whole.
            path = os.path.join(self.root, identifier)
            doomed = os.path.join(self.root, ".%s.tmp" % identifier)
            try:
                os.rename(path, doomed)
                sync_directory(self.root)
                shutil.rmtree(doomed)
            except OSError as error:
                raise snapshot_files.failed(error, "cannot remove the snapshot %s" % path) from error
            gone.append(identifier)
        return gone

    def _surplus(self, kind, keep):
        found = [snapshot.id for snapshot in self.all(kind)]
        if len(found) <= keep:
            # No manifest needs to be read.
            return []
        return backup_state.surplus(found, {one for one in found if not self._is_complete(one)}, keep)

    def _is_complete(self, identifier):
        """One whose manifest cannot be read is not: nobody can restore it."""
        try:
            return not Snapshot(os.path.join(self.root, identifier)).missing
        except SnapshotError:
            return False

    def earlier_files(self, service):
        """path → (entry, file) of the newest snapshot that holds a service's files; empty where there is none."""
        newest = self._ids()[:1]
        if self._earlier[0] != newest:
            self._earlier = (newest, {})
        found = self._earlier[1]
        if service not in found:
            found[service] = self._find_earlier(service)
        return found[service]

    def _find_earlier(self, service):
        for snapshot in self._newest():
            with contextlib.suppress(SnapshotError):
                record = snapshot.services.get(service)
                if record and record["files"]:
                    data = snapshot.data(service)
                    return {entry["path"]: (entry, os.path.join(data, entry["path"])) for entry in record["files"]}
        return {}

    def _newest(self):
        """All snapshots, newest first; their manifests are read once."""
        known = {snapshot.id: snapshot for snapshot in self._read}
        self._read = [
            known.get(identifier) or Snapshot(os.path.join(self.root, identifier)) for identifier in self._ids()
        ]
        return self._read

    def skipped(self):
        """(device, inode) of the store: nothing below it is taken or moved, wherever it is."""
        return _identity(self.root)

    def _ids(self):
        """Ids of whole snapshots, newest first."""
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise snapshot_files.failed(error, "cannot read %s" % self.root) from error
        return sorted(
            (
                name
                for name in names
                if backup_state.taken(name) and os.path.isfile(os.path.join(self.root, name, MANIFEST))
            ),
            reverse=True,
        )

    def _sweep(self):
        """Remove drafts that nobody works on: a living one is locked by its run. Also encrypted copies never sent."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.root):
                sealed = name.startswith(".") and name.endswith(backup_state.SEALED)
                if sealed and backup_state.is_stale(name[1:].split(".")[0]):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(self.root, name))
                    continue
                if not (name.startswith(".") and name.endswith(".tmp") and backup_state.taken(name[1:-4])):
                    continue
                path = os.path.join(self.root, name)
                with contextlib.suppress(OSError):
                    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(path, ignore_errors=True)
                    finally:
                        os.close(descriptor)


class Snapshot:
    """One whole snapshot. `path`, `id`, `kind` and `taken` are known by its name; the rest is read when asked for."""

    def __init__(self, path):
        """`path`: its directory; its name is its id."""
        self.path = path
        self.id = os.path.basename(path)
        self.kind = backup_state.kind_of(self.id)
        #: When it was begun, to the second, UTC.
        self.taken = backup_state.taken(self.id)
        self._manifest = None

    def __repr__(self):
        return "<snapshot %s>" % self.id

    @property
    def manifest(self):
        """The whole manifest. SnapshotError when it is damaged."""
        if self._manifest is None:
            path = os.path.join(self.path, MANIFEST)
            try:
                with open(path, encoding="ascii") as handle:
                    found = json.load(handle)
                if found["schema"] != SCHEMA:
                    raise SnapshotError(
                        "%s has schema %r, this version reads %d: use the version of the collection that took it"
                        % (path, found["schema"], SCHEMA)
                    )
                if found["id"] != self.id or not isinstance(found["services"], dict):
                    raise ValueError("it is of another snapshot")
                self._manifest = found
            except OSError as error:
                raise snapshot_files.failed(error, "cannot read %s" % path) from error
            except (ValueError, KeyError, TypeError) as error:
                raise SnapshotError("%s is damaged (%s): use another snapshot" % (path, error)) from error
        return self._manifest

    @property
    def about(self):
        """What `begin` was given."""
        return self.manifest["about"]

    @property
    def left_out(self):
        """Service → why it is not in it; also what was held stopped, which nobody misses."""
        return (self.manifest.get("about") or {}).get("left_out") or {}

    @property
    def missing(self):
        """Service → why it is not in it though it should be; empty: it is complete. SnapshotError when damaged."""
        # Earlier backups did not tell these from what was held stopped.
        return (self.manifest.get("about") or {}).get("missing", self.left_out)

    @property
    def services(self):
        """Service → {method, paths, files, directories, links, databases, absent, notes}."""
        return self.manifest["services"]

    @property
    def size(self):
        """Bytes of the files in it."""
        return sum(entry["size"] for record in self.services.values() for entry in record["files"])

    def skipped(self):
        """(device, inode) of the store that it is in."""
        return _identity(os.path.dirname(self.path))

    def data(self, service):
        """The directory of a service's files in it."""
        return os.path.join(self.path, DATA, service)

    def verify(self):
        """What is wrong with it, as sentences: sizes, checksums, PRAGMA integrity_check of each database."""
        try:
            services = self.services
        except SnapshotError as error:
            return [str(error)]
        problems = []
        for name, record in sorted(services.items()):
            wrong = set()
            for entry in record["files"]:
                path = os.path.join(self.data(name), entry["path"])
                text = _compare(path, entry)
                if text:
                    wrong.add(entry["path"])
                    problems.append("%s: %s of %s %s" % (self.id, entry["path"], name, text))
            present = {entry["path"] for entry in record["files"]}
            for database in record["databases"] if record["method"] == "sqlite" else ():
                # One that still needs its log is whole only together with it.
                logged = any(database["path"] + ending in present for ending in snapshot_sqlite.COMPANIONS)
                if logged or database["path"] in wrong:
                    continue
                damage, _note = snapshot_sqlite.check(os.path.join(self.data(name), database["path"]))
                if damage:
                    problems.append("%s: %s of %s: %s" % (self.id, database["path"], name, "; ".join(damage)))
        return problems

    def put_back(self, services, names, aside):
        """Put the files of `names` back, whose containers are down; what is replaced is kept below `aside`/<service>/.

        Killed anywhere, it can be called again with the same `aside`, and goes on. SnapshotError.
        """
        names = self._of_method(names, ("copy", "sqlite"))
        snapshot_restore.check_room(self, services, names)
        for name in names:
            snapshot_restore.put_back(self, services, name, aside)

    def put_back_databases(self, services, names, project, docker, aside_name):
        """Put the PostgreSQL databases of `names` back; their containers are up and healthy.

        The present database is kept as <db>_<aside_name>. Called again with the same name, it does nothing twice.
        SnapshotError; the present database is then as it was.
        """
        for name in self._of_method(names, ("pg_dump",)):
            snapshot_postgres.put_back(self, services, name, project, docker, aside_name)

    def _of_method(self, names, methods):
        """Those of `names` whose method is one of `methods`. SnapshotError when one is not in it at all."""
        for name in names:
            if name not in self.services:
                raise SnapshotError(
                    "the snapshot %s does not hold %s: it holds %s" % (self.id, name, ", ".join(sorted(self.services))),
                    name,
                )
        return [name for name in names if self.services[name]["method"] in methods]


def _compare(path, entry):
    try:
        size, digest = snapshot_files.checksum(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return "cannot be read: %s" % (error.strerror or error)
    if size != entry["size"]:
        return "has %d bytes instead of %d" % (size, entry["size"])
    return None if digest == entry["sha256"] else "is damaged: its checksum is another one"


def _identity(path):
    with contextlib.suppress(OSError):
        info = os.stat(path)
        return ((info.st_dev, info.st_ino),)
    return ()
