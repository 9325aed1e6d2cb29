# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One backup of a host: every service, the host's own secrets and files, retention, the copy elsewhere, the record.

Only the taking holds the run lock, so that no converge changes things meanwhile; the copy elsewhere, which may take
hours over a slow line, does not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    backup_state,
    backup_stops,
    backup_take,
    backup_target,
    compose_cli,
    engine_state,
    holds,
    snapshot_files,
    snapshot_size,
    snapshot_store,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import PART, WHOLE, BackupError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import size as in_words
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError, RunLock, describe_run
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import SnapshotError

#: The host's own files in a backup stand there like those of a service.
HOST = "_host"
# Of the project's state directory: what a host cannot make again, and what tells how it came about.
_STATE = ("secrets.json", "bind.json", "logins.json", "images.json", "holds.json", "generations.json", "refused.json")
_STATE += ("manifest.json", backup_state.PLAN_FILE, backup_state.AUDIT_FILE)
ERRORS = (BackupError, SnapshotError, FileError, DockerError, LockError, OSError)
# Beside what is taken: room for the manifest, and for what grows meanwhile.
_MARGIN = 32 * 1024 * 1024


class Interrupted(BackupError):
    """Somebody ended the run by a signal."""


@contextlib.contextmanager
def interruptible():
    """SIGTERM and SIGHUP end the run by an exception inside, so that what was stopped is started again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, _frame):
        raise Interrupted("it was interrupted (%s)" % signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Backup:
    """One run. After `run`, `result()` has all that there is to say."""

    def __init__(self, project_path, docker, services=(), who=None, progress=SILENT, check=False, lock_timeout=None):
        """`services`: names; empty: all. `who` asks, for the audit log."""
        self.path, self.docker, self.progress, self.check = project_path, docker, progress, check
        self.plan = backup_state.read_plan(project_path)
        self.services = dict(self.plan["services"])
        self.names = self._chosen(services)
        self.kind = PART if services else WHOLE
        self.who = who or describe_run("backup")["who"]
        self.lock_timeout = self.plan.get("lock_timeout", 60) if lock_timeout is None else lock_timeout
        self.store = snapshot_store.Store(self.plan["backup"])
        self.snapshot, self.project = None, None
        self.started, self._clock = backup_state.now(), time.monotonic()
        #: service → how it was taken; service → why it was not.
        self.taken, self.left_out = {}, {}
        self.target = None
        self.bytes, self.removed, self.actions, self.messages, self.why = 0, [], [], [], ""

    def _chosen(self, names):
        unknown = [name for name in names if name not in self.services]
        if unknown:
            raise BackupError(
                "there is no service %s here. The services: %s" % (unknown[0], ", ".join(sorted(self.services)))
            )
        chosen = [name for name in self.services if not names or name in names]
        found = [name for name in chosen if _holds_anything(self.services[name])]
        if names and not found:
            raise BackupError("%s keeps nothing that a backup takes" % ", ".join(names))
        return found

    def run(self):
        """Take, keep as many as asked, copy. BackupError, or another of ERRORS, when not all of it succeeded."""
        target = backup_target.Target(self.plan) if self.plan.get("target") else None
        if self.check:
            if target:
                target.check()
            self._describe()
            return
        try:
            with interruptible():
                self._take_locked()
                if target:
                    self._copy(target)
            self.why = self._complaint()
        except ERRORS as error:
            self.why = str(error)
            raise
        finally:
            self._record()
        if self.why:
            raise BackupError(self.why)

    def _describe(self):
        needed = snapshot_size.needed(self.services, self.names, self.store)
        self.actions.append("back up %s (%s) to %s" % (", ".join(self.names), in_words(needed), self.plan["backup"]))
        if self.plan.get("target"):
            self.actions.append("copy it to %s" % self.plan["target"])

    def _take_locked(self):
        lock = RunLock(self.path, "backup", self.lock_timeout, sleep=self._wait_for_other)
        if not lock.possible:
            raise BackupError("there is no stack in %s: run site, which makes it" % self.path)
        # What an interrupted converge has left is not ours to repair.
        lock.keeps_earlier = True
        with lock:
            self.docker.inherit = (lock.descriptor,)
            try:
                self._take()
            finally:
                self.docker.inherit = ()

    def _wait_for_other(self, seconds):
        self.progress.say("waiting for another run on this host to end")
        time.sleep(seconds)

    def _take(self):
        self.project = engine_state.read_project(self.docker, self.plan["project"], self.path)
        back = backup_stops.bring_back(self.path, self.docker, self.project)
        if back:
            self.messages.append("an earlier backup was killed and had left %s stopped: started" % ", ".join(back))
            self.project = engine_state.read_project(self.docker, self.plan["project"], self.path)
        self._make_room()
        about = {"verb": "backup", "who": self.who, "project": self.plan["project"], "images": self._images()}
        draft = self.store.begin(self.kind, about)
        try:
            for name in self.names:
                self._take_one(draft, name)
            if not self.taken:
                raise BackupError(self._complaint())
            self._take_host(draft)
            draft.about.update(left_out=self.left_out, missing=self._failures())
            self.progress.say("writing the backup to the disk")
            self.snapshot = draft.finish()
        except BaseException:
            draft.drop()
            raise
        self.bytes = self.snapshot.size
        self.actions.append("backed up %s as %s" % (", ".join(self.taken), self.snapshot.id))
        # Where the clock was set back, this one looks like the oldest.
        self.removed = list(self.store.prune(self.kind, self.plan["keep"], protected=(self.snapshot.id,)))

    def _make_room(self):
        """The directory, and enough space in it. BackupError."""
        directory = self.plan["backup"]
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            info = os.statvfs(directory)
            same = os.stat(directory).st_dev == os.stat(self.plan["config"]).st_dev
        except OSError as error:
            raise BackupError("cannot make a backup in %s: %s" % (directory, error.strerror)) from error
        needed, free = (
            snapshot_size.needed(self.services, self.names, self.store) + _MARGIN,
            info.f_bavail * info.f_frsize,
        )
        if needed > free:
            raise BackupError(
                "%s has %s left, and this backup needs %s: free some space, keep fewer (mediastack_backup_keep), or "
                "set mediastack_backup_path to another disk" % (directory, in_words(free), in_words(needed))
            )
        if same and not self.plan.get("target"):
            self.messages.append(
                "backups lie on the same disk as the configuration, and are copied nowhere: set mediastack_backup_path "
                "to another disk, or mediastack_backup_target"
            )

    def _images(self):
        found = {}
        for name in self.names:
            container = (self.project.of(name) or [None])[0]
            image = {"image": self.services[name]["image"]}
            if container:
                image = {"image": container.requested_image, "image_id": container.image_id}
            found[name] = image
        return found

    def _take_one(self, draft, name):
        self.progress.say("backing up %s" % name)
        try:
            self.taken[name] = backup_take.take(
                draft, self.services, name, self.project, self.docker, self.path, self.progress
            )
        except Interrupted:
            raise
        except ERRORS as error:
            self._leave_out(draft, name, self.services[name].get("config_dir"), error)

    def _take_host(self, draft):
        try:
            draft.take_stopped(dict(self.services, **{HOST: self.host_files()}), [HOST])
        except Interrupted:
            raise
        except ERRORS as error:
            self._leave_out(draft, HOST, self.path, error)

    def _leave_out(self, draft, name, where, error):
        """One that fails takes no other with it: call in an except clause."""
        if not os.path.isdir(draft.path):
            # A full disk takes the whole draft away.
            raise error
        draft.leave_out(name)
        if isinstance(error, OSError):
            # It names less than the others.
            error = snapshot_files.failed(error, "its files in %s cannot be taken" % where)
        self.left_out[name] = str(error)

    def host_files(self):
        """The host's own part, as a service of the plan: generated secrets, rendered files, records."""
        inside = [os.path.relpath(path, self.path) for path in compose_cli.project_files(self.path)]
        paths = [".env", *(path for path in inside if not path.startswith("..")), "secrets"]
        paths += [os.path.join(".mediastack", name) for name in _STATE]
        return {
            "container_name": "",
            "config_dir": self.path,
            "snapshot": {"method": "copy", "paths": paths},
            "wiring": None,
            "network_parent": None,
        }

    def _copy(self, target):
        self.progress.say("copying the backup to %s" % self.plan["target"])
        began = time.monotonic()
        try:
            # Not before: a backup that cannot be copied is better than none.
            target.check()
            self.target = dict(target.copy(self.snapshot, self.kind), ok=True, why="")
            self.actions.append("copied it to %s" % self.plan["target"])
        except ERRORS as error:
            self.target = {"ok": False, "why": str(error)}
            if isinstance(error, Interrupted):
                raise
        finally:
            if self.target is not None:
                self.target["seconds"] = round(time.monotonic() - began, 1)
        self.messages += target.messages

    def _failures(self):
        """service → why, of those that should be in the backup and are not: what is held stopped is not missed."""
        held = {}
        with contextlib.suppress(FileError):
            held = holds.read(self.path)
        return {name: why for name, why in self.left_out.items() if held.get(name, {}).get("verb") != holds.STOP}

    def _complaint(self):
        parts = ["%s is not in the backup: %s" % pair for pair in sorted(self._failures().items())]
        if not self.taken and not parts:
            parts = ["nothing could be backed up"]
        if self.target and not self.target["ok"]:
            parts.append(
                "the backup %s is whole, but not at %s: %s"
                % (self.snapshot.id, self.plan["target"], self.target["why"])
            )
        return "; ".join(parts)

    def _record(self):
        """The record and the audit line: of a run that failed above all."""
        last = dict(self._summary(), services=sorted(self.taken), left_out=self.left_out)
        parts = {}
        if self.kind == WHOLE:
            parts["last"] = last
            if self.snapshot and not self._failures():
                parts["good"] = {"id": last["id"], "taken": last["taken"], "bytes": self.bytes}
        with contextlib.suppress(FileError):
            if parts and os.path.isdir(os.path.join(self.path, ".mediastack")):
                backup_state.update(self.path, **parts)
        backup_state.audit_run(self.path, last["id"] or "", "backup", self.who, self.started, self.why)

    def _summary(self):
        return {
            "id": self.snapshot.id if self.snapshot else None,
            "taken": backup_state.iso(self.snapshot.taken) if self.snapshot else self.started,
            "ok": not self.why,
            "why": self.why,
            "bytes": self.bytes,
            "seconds": round(time.monotonic() - self._clock, 1),
            "target": self.target,
        }

    def result(self):
        """All that there is to say, for the module and `--json`."""
        summary = self._summary()
        summary.pop("ok"), summary.pop("why")
        return dict(
            summary,
            changed=bool(self.actions) if self.check else self.snapshot is not None,
            path=self.snapshot.path if self.snapshot else None,
            services=self.taken,
            left_out=self.left_out,
            removed=self.removed,
            actions=self.actions,
            messages=self.messages,
        )


def _holds_anything(service):
    snapshot = service.get("snapshot") or {}
    return bool(snapshot.get("paths")) and (snapshot.get("method") == "pg_dump" or bool(service.get("config_dir")))
