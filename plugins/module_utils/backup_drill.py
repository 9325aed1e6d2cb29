# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore drill: a backup is restored beside the stack, every app started from it without any way out, and probed.

Everything of a drill is below `<backups>/.drill` or carries the drill's label, and is gone afterwards; what a drill
that was killed has left, the next one removes first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    backup_run,
    backup_state,
    compose_cli,
    drill_probe,
    drill_project,
    engine_state,
    snapshot_store,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import WHOLE, BackupError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.drill_probe import (
    FAILED,
    INCONCLUSIVE,
    PASSED,
    SKIPPED,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import describe_run
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import SnapshotError

SCRATCH, LOCK = ".drill", ".drill.lock"
START_SECONDS = 120
POSTGRES_PORT = 5432
ERRORS = backup_run.ERRORS


class Drill:
    """One drill. After `run`, `result()` has all that there is to say."""

    def __init__(
        self, project_path, docker, backup="", services=(), timeout=180, progress=SILENT, check=False, who=None
    ):
        """`backup`: id, empty: the newest of everything; `services`: names, empty: all; `timeout`: seconds an app."""
        self.path, self.docker, self.progress, self.check, self.timeout = project_path, docker, progress, check, timeout
        self.plan = backup_state.read_plan(project_path)
        self.store = snapshot_store.Store(self.plan["backup"])
        self.snapshot = self._chosen(backup)
        self.who = who or describe_run("drill")["who"]
        self.name = self.plan["project"]
        self.scratch = os.path.join(self.plan["backup"], SCRATCH)
        self.place = drill_project.Place(self.path, self.plan["config"], tuple(self.plan["data"]), self.scratch)
        self.names = self._names(services)
        #: service → {state, why, seconds}
        self.services = {}
        self.started, self._clock = backup_state.now(), time.monotonic()
        self.why, self.messages = "", [] if services else self._lacking()

    def _chosen(self, identifier):
        if identifier:
            return self.store.get(identifier)
        found = self.store.all(WHOLE)
        if not found:
            raise BackupError("there is no backup in %s to try: run the playbook backup" % self.plan["backup"])
        return found[0]

    def _lacking(self):
        """That something is missing in the backup: the drill would pass without a word of it."""
        missing = self.snapshot.missing
        return ["the backup %s lacks %s: %s" % (self.snapshot.id, name, why) for name, why in sorted(missing.items())]

    def _names(self, asked):
        inside = [name for name in self.snapshot.services if name != backup_run.HOST]
        missing = [name for name in asked if name not in inside]
        if missing:
            raise BackupError(
                "%s is not in the backup %s; in it are: %s"
                % (missing[0], self.snapshot.id, ", ".join(sorted(inside)) or "none")
            )
        return [name for name in inside if not asked or name in asked]

    def run(self):
        """Restore, start, probe, remove. BackupError unless at least one app came up and none did not."""
        if self.check:
            return
        try:
            with backup_run.interruptible(), self._locked():
                self._clean()
                try:
                    self._try_all()
                finally:
                    self.progress.say("removing what the drill has made")
                    self._clean()
            self.why = self._complaint()
        except ERRORS as error:
            self.why = str(error)
            raise
        finally:
            self._record()
        if self.why:
            raise BackupError(self.why)

    @contextlib.contextmanager
    def _locked(self):
        path = os.path.join(self.plan["backup"], LOCK)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise BackupError("another drill runs on this host: wait until it has ended") from error
            yield
        finally:
            os.close(descriptor)

    def _clean(self):
        """Remove every container, network and volume of a drill of this project, and the scratch directory."""
        label = "label=%s=%s" % (drill_project.LABEL, self.name)
        for identifier in engine_state.list_ids(self.docker, label):
            self.docker.run("rm", "--force", "--volumes", identifier, check=False)
        for kind in ("network", "volume"):
            for one in self.docker.run(kind, "ls", "--quiet", "--filter", label).out.split():
                self.docker.run(kind, "rm", one, check=False)
        left = engine_state.list_ids(self.docker, label)
        if left:
            raise BackupError("containers of the drill could not be removed: docker rm -f %s" % " ".join(left))
        if os.path.lexists(self.scratch):
            shutil.rmtree(self.scratch)

    def _try_all(self):
        self.progress.say("checking the backup %s" % self.snapshot.id)
        problems = self.snapshot.verify()
        if problems:
            raise BackupError("the backup %s is damaged: %s" % (self.snapshot.id, "; ".join(problems[:5])))
        plan = self._restored()
        definitions = self._definitions()
        parts = self._parts(definitions)
        first = [name for name in parts if self._dumped(name)]
        # Databases first, and as long as the others need them; the others one by one, for the memory of a small server.
        for name in first:
            self._try_one(name, plan, definitions, parts[name], keep=True)
        for name in parts:
            if name not in first:
                self._try_one(name, plan, definitions, parts[name], keep=False)

    def _restored(self):
        """Put the files into the scratch directory; the plan's services as they are there."""
        self.progress.say("restoring %s beside the stack" % self.snapshot.id)
        os.makedirs(self.place.scratch_project, mode=0o700)
        os.mkdir(self.place.scratch_config, 0o711)
        moved = {}
        for name in self.names:
            known = dict(self.plan["services"].get(name) or {})
            known["container_name"] = drill_project.container_name(self.name, name)
            own = known.get("config_dir")
            known["config_dir"] = drill_project.moved(own, self.place) if own else None
            if known["config_dir"]:
                _make(known["config_dir"], own)
            moved[name] = known
        moved[backup_run.HOST] = {"config_dir": self.place.scratch_project}
        aside = os.path.join(self.scratch, "aside")
        files = [name for name in self.names if self.snapshot.services[name]["method"] != "pg_dump"]
        files = [name for name in files if moved[name].get("config_dir") or not self.snapshot.services[name]["paths"]]
        host = [backup_run.HOST] if backup_run.HOST in self.snapshot.services else []
        self.snapshot.put_back(moved, [*files, *host], aside)
        return moved

    def _definitions(self):
        """The stack as its own Compose files say, which are in the backup."""
        place = self.place.scratch_project
        files = compose_cli.project_files(place)
        if not files:
            raise BackupError(
                "the backup %s does not hold the Compose files of the stack: only a backup of everything can be tried"
                % self.snapshot.id
            )
        compose = compose_cli.ComposeProject(drill_project.project_name(self.name), place, files)
        done = self.docker.run(*compose.config(), cwd=place)
        return json.loads(done.out)

    def _parts(self, definitions):
        """service → (definition, directories, files) of those that can be tried; the others are written down."""
        found = {}
        for name in self.names:
            try:
                found[name] = self._part(name, definitions)
            except drill_project.NotDrilled as error:
                self._note(name, SKIPPED, str(error))
            except BackupError as error:
                self._note(name, INCONCLUSIVE, str(error))
        return found

    def _part(self, name, definitions):
        known = self.plan["services"].get(name) or {}
        if known.get("kind") in drill_project.NOT_DRILLED:
            raise drill_project.NotDrilled(drill_project.NOT_DRILLED[known["kind"]])
        definition = (definitions.get("services") or {}).get(name)
        if definition is None:
            raise BackupError("the Compose files in the backup do not know it")
        record = self.snapshot.services[name]
        # Some keep all that they have in a database beside them.
        beside = [other for other in definition.get("depends_on") or () if other in self.names and self._dumped(other)]
        if not (record["files"] or record["databases"] or beside):
            raise drill_project.NotDrilled("nothing of it is in the backup")
        image = self._image(name, definition)
        return drill_project.service_definition(definition, name, self.place, self.name, image)

    def _image(self, name, definition):
        """What it ran when the backup was taken. BackupError when that is not on this host."""
        about = (self.snapshot.about.get("images") or {}).get(name) or {}
        for image in (about.get("image_id"), definition.get("image")):
            if image and self.docker.run("image", "inspect", "--format", "{{.Id}}", image, check=False).rc == 0:
                return image
        raise BackupError(
            "its image %s is not on this host any more, and a drill pulls nothing" % (about.get("image") or "")
        )

    def _dumped(self, name):
        return self.snapshot.services[name]["method"] == "pg_dump"

    def _try_one(self, name, plan, definitions, part, keep):
        began = time.monotonic()
        self.progress.say("starting %s from the backup" % name)
        try:
            state, why = self._started(name, plan, definitions, part)
        except (DockerError, SnapshotError) as error:
            state, why = FAILED, str(error)
        finally:
            if not keep:
                self.docker.run(
                    "rm", "--force", "--volumes", drill_project.container_name(self.name, name), check=False
                )
        self._note(name, state, why, time.monotonic() - began)

    def _started(self, name, plan, definitions, part):
        definition, directories, files = part
        for path, original in directories.items():
            _make(path, original)
        for path, original in files.items():
            if not os.path.lexists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                shutil.copy2(original, path)
        text = json.dumps(drill_project.document({name: definition}, definitions, self.name))
        compose = compose_cli.ComposeProject(drill_project.project_name(self.name), self.place.scratch_project, ["-"])
        self.docker.run(*compose.up([name]), stdin=text, cwd=self.place.scratch_project, deadline=START_SECONDS)
        project = engine_state.read_project(
            self.docker, drill_project.project_name(self.name), self.place.scratch_project
        )
        container = project.of(name)[0]
        known = plan[name]
        if self._dumped(name):
            # PostgreSQL makes its first files with a server that only its own socket reaches, and that says it is well.
            port = (definition.get("environment") or {}).get("PGPORT") or POSTGRES_PORT
            known = dict(known, health={"kind": "tcp", "port": int(port)})
        state, why = drill_probe.wait(self.docker, container.id, known, self.timeout, self.progress.say)
        if state == PASSED and self._dumped(name):
            self.progress.say("restoring the databases of %s" % name)
            project = engine_state.read_project(
                self.docker, drill_project.project_name(self.name), self.place.scratch_project
            )
            self.snapshot.put_back_databases(plan, [name], project, self.docker, "before_drill")
        return state, why

    def _note(self, name, state, why, seconds=0.0):
        self.services[name] = {"state": state, "why": why, "seconds": round(seconds, 1)}

    def _complaint(self):
        bad = [name for name, one in sorted(self.services.items()) if one["state"] in (FAILED, INCONCLUSIVE)]
        if bad:
            return "; ".join(
                "%s %s: %s" % (name, self.services[name]["state"], self.services[name]["why"]) for name in bad
            )
        if not any(one["state"] == PASSED for one in self.services.values()):
            return "no app of the backup %s could be tried" % self.snapshot.id
        return ""

    def _record(self):
        drill = {
            "id": self.snapshot.id,
            "when": self.started,
            "ok": not self.why,
            "why": self.why,
            "services": {name: one["state"] for name, one in self.services.items()},
        }
        with contextlib.suppress(FileError):
            backup_state.update(self.path, drill=drill)
        backup_state.audit_run(self.path, self.snapshot.id, "drill", self.who, self.started, self.why)

    def result(self):
        """All that there is to say."""
        return {
            "changed": False,
            "id": self.snapshot.id,
            "taken": backup_state.iso(self.snapshot.taken),
            "passed": not self.why and not self.check,
            "services": self.services,
            "actions": ["try the backup %s: %s" % (self.snapshot.id, ", ".join(self.names))] if self.check else [],
            "messages": self.messages,
            "seconds": round(time.monotonic() - self._clock, 1),
        }


def _make(path, original):
    """A directory with owner and mode of the one that it stands for."""
    os.makedirs(path, mode=0o755, exist_ok=True)
    with contextlib.suppress(OSError):
        info = os.stat(original)
        os.chown(path, info.st_uid, info.st_gid)
        os.chmod(path, info.st_mode & 0o7777)
