# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One transaction: its journal, its snapshot, the images that it keeps, and its line in the audit."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import generations, journal
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError, Store

# Kinds of snapshots: what an update takes before it begins, and what a rollback or a restore does.
UPDATE_KIND, SAFETY_KIND = "update", "safety"


class Transaction:
    """The transaction of one run. What it writes survives the run."""

    def __init__(self, run, entry):
        """`run`: the Update; `entry`: the journal as it is read or begins."""
        self.run = run
        self.entry = entry
        self.store = Store(run.request.change.backup_path or entry["backup_path"])
        self.draft = None

    # The journal

    @property
    def id(self):
        """Its name: when it began, and a few digits."""
        return self.entry["id"]

    @property
    def step(self):
        """How far it has come."""
        return self.entry["step"]

    def at(self, step, **more):
        """It has come to `step`: written before anything of that step is done."""
        self.entry.update(more, step=step)
        journal.write(self.run.path, self.entry)

    def end(self, result, why=None, services=None):
        """It is over. `services`: service → result, where they differ."""
        line = {
            "txn": self.id,
            "verb": self.entry["verb"],
            "who": self.entry["who"],
            "started": self.entry["started"],
            "ended": generations.now(),
            "result": result,
            "why": why,
            "snapshot": self.entry.get("snapshot"),
            "aside": self.entry.get("aside") if os.path.isdir(self.entry.get("aside") or "") else None,
            "services": {
                name: dict(one, result=(services or {}).get(name, result))
                for name, one in self.entry["services"].items()
            },
        }
        journal.audit(self.run.path, line)
        journal.clear(self.run.path)
        return line

    # The snapshot

    def take_running(self, services, names):
        """Take what can be taken while the apps run."""
        kind = UPDATE_KIND if self.entry["verb"] == "update" else SAFETY_KIND
        about = {"txn": self.id, "images": {name: one["from"] for name, one in self.entry["services"].items()}}
        self.draft = self.store.begin(kind, about)
        self.draft.take_running(services, names, self.run.project, self.run.docker, self.run.progress)

    def finish_snapshot(self, services, names):
        """Take the rest, with its apps down, and make the snapshot whole."""
        self.draft.take_stopped(services, self.draft.needs_stop(services, names))
        self.entry["snapshot"] = self.draft.finish().id
        self.draft = None

    def drop_snapshot(self):
        """The transaction does not come to need it."""
        if self.draft is not None:
            self.draft.drop()
            self.draft = None

    # Images

    def pin(self, names):
        """Tag the images that `names` run, so that nobody prunes them before the generation is forgotten."""
        number = self.run.record["current"]
        for name in names:
            before = self.entry["services"][name]["from"]
            if before.get("image_id"):
                tag = generations.keep_tag(self.run.name, name, number)
                self.run.docker.run("tag", before["image_id"], tag)

    def unpin(self, forgotten):
        """Let go of the images of generations that are forgotten, and of their snapshots."""
        for generation in forgotten:
            for name in generation["images"]:
                with contextlib.suppress(DockerError):
                    tag = generations.keep_tag(self.run.name, name, generation["number"])
                    self.run.docker.run("image", "rm", tag, check=False)
        protected = [one["snapshot"] for one in self.run.record["generations"] if one["snapshot"]]
        with contextlib.suppress(SnapshotError):
            self.store.prune(UPDATE_KIND, 0, protected)
            self.store.prune(SAFETY_KIND, self.run.request.change.keep, protected)


def begin(run, verb, services, names, **more):
    """A Transaction that begins now.

    `services`: service → {from, to}; `names`: services whose data is taken.
    """
    started = generations.now()
    txn = "%s-%s-%s" % (started.replace("-", "").replace(":", ""), verb, os.urandom(2).hex())
    backup_path = run.request.change.backup_path
    entry = {
        "id": txn,
        "verb": verb,
        "who": run.request.change.who,
        "started": started,
        "services": services,
        "data": list(names),
        "snapshot": None,
        "backup_path": backup_path,
        "aside": os.path.join(backup_path, "failed", txn),
        # For the run that has to finish it, which may be one of `site`.
        "stable_for": run.request.change.stable_for,
        "keep": run.request.change.keep,
        "health": run.request.change.health,
    }
    entry.update(more)
    made = Transaction(run, entry)
    made.at(journal.PREPARED)
    return made
