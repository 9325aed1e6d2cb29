# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`update`, `rollback` and `restore` of one host: the only runs that move a service to another image or other data.

Preflight and pulls, then a snapshot, then new containers group by group, the gate over a stability window, and at the
end either a new generation or the old images and the old data. The journal says how far it came, so that the next run
can go on (`update_resume.py`); the way back is in `update_rollback.py`.
"""

from __future__ import annotations

import time

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    convergence,
    generations,
    image_choice,
    journal,
    place_marks,
    refused,
    update_ask,
    update_generation,
    update_survey,
    update_transaction,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Decision, Plan
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import STABLE, Gate
from ansible_collections.homelab.mediastack.plugins.module_utils.images import look_up
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretError
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_present import Present
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError

# What a probe may say of a service that has passed.
_GOOD = ("HEALTHY", "DEGRADED")
#: What goes wrong on the way, and leads back.
TROUBLE = (StackError, DockerError, FileError, SecretError, SnapshotError)


class Update(Present):
    """One transaction, or a plain converging run where nothing is to be moved."""

    def __init__(self, request, docker, source):
        super().__init__(request, docker, source)
        self.change = request.change
        self.txn = None
        #: service → sentence: what is not brought to its target because it failed before.
        self.refusals = {}
        #: The line of the audit, for the result.
        self.audited = None
        self._targets = self._data = None
        #: service → {image, digest}: targets of services that are held, which stay as they are.
        self.waiting = {}

    # Which images

    def targets(self):
        """What is asked for, but what this host has refused, and what runs already."""
        if self._targets is not None:
            return self._targets
        if self.change.verb == update_ask.ROLLBACK:
            self.change = update_generation.resolve(self.change, self.record)
        asked = {name: one for name, one in self.change.targets.items() if name in self.request.bundle["services"]}
        # Who rolls back knows what ran well.
        forgiving = self.request.retry_failed or self.change.verb != update_ask.UPDATE
        known = {} if forgiving else refused.read(self.path)
        found = {}
        for name, one in asked.items():
            if name in known and refused.same(known[name], one["image"], one.get("digest")):
                self.refusals[name] = refused.sentence(name, known[name])
            elif not self._runs(name, one):
                found[name] = one
        return found

    def pinned_targets(self, targets):
        """From now on these are the targets, whatever was asked for: service → {image, image_id, digest}."""
        self._targets = targets

    def _runs(self, name, target):
        """Whether a service runs its target already."""
        containers = self.project.of(name)
        if not containers or containers[0].requested_image != target["image"]:
            return False
        if target.get("image_id"):
            return containers[0].image_id == target["image_id"]
        if not target.get("digest"):
            return True
        image = look_up(self.docker, [containers[0].image_id])[containers[0].image_id]
        return bool(image) and any(one.partition("@")[2] == target["digest"] for one in image.digests)

    def choose_images(self):
        """With the reasons for new containers where only the digest is another one."""
        super().choose_images()
        # What fails its gate here is told as such, not as something that `site` holds back.
        self.held_back = {}
        self.moved = {}
        for name, one in self.source.chosen.items():
            if one.why == image_choice.TARGET and self.project.of(name):
                before = self.project.of(name)[0]
                self.moved[name] = "its image goes from %s to %s" % (
                    before.requested_image,
                    one.image
                    if one.image != before.requested_image
                    else image_choice.short(one.digest or one.image_id),
                )

    def read_holding(self):
        """With what follows for the images: what is held is not moved, for no gate looks at it."""
        holding = super().read_holding()
        self.waiting = {name: self.moved.pop(name) for name in list(self.moved) if name in holding.left}
        if self.waiting:
            others = {name: one for name, one in self.targets().items() if name not in self.waiting}
            recorded = generations.images(self.record)
            services = self.request.bundle["services"]
            self.source.chosen = image_choice.choose(services, self.project, recorded, others)
        return holding

    def pins(self, plan):
        """What was chosen counts, whatever the tags are."""
        names = [name for name in plan.acting(convergence.CREATE, convergence.RECREATE) if name in self.wanted]
        return self.supply.kept(names, self.project)

    # The run

    def make_so(self, lock):
        """Do it."""
        if self.project is None or lock is None or lock.waited or lock.earlier:
            self.look()
        if self.holding.lacking or self.no_engine:
            return
        data = self.data_names()
        self.messages += [
            "%s: its image waits until it is started: start it, then %s again" % (name, self.change.verb)
            for name in self.waiting
        ]
        if self.change.prepare:
            self.prepare()
        elif not self.moved and not data:
            super().make_so(lock)
        else:
            self.check_host()
            self.predict_pulls()
            self.check_space(self.taken_names(data))
            self.describe()
            if not self.request.check:
                self.transact(data)
        if self.refusals:
            words = "\n".join(self.refusals[name] for name in sorted(self.refusals))
            if self.request.check:
                self.messages.append(words)
            else:
                raise StackError(words, refused=sorted(self.refusals))

    def data_names(self):
        """Services whose data is put back from snapshots, which ones is said by `_data`: {snapshot's id: names}."""
        services = self.request.bundle["services"]
        if self._data is None and self.change.verb == update_ask.ROLLBACK and not self.change.keep_data:
            self._data = update_generation.data_between(self.change, services, self.record, list(self.moved))
        elif self._data is None:
            self._data = dict([update_generation.data_of(self.change, services)]) if self.change.data else {}
        if self._data and self.change.verb == update_ask.RESTORE:
            self.messages.append("the data is of the backup %s" % ", ".join(self._data))
        found = [name for name in services if any(name in names for names in self._data.values())]
        held = [name for name in found if name in self.holding.left and update_ask.is_dumped(services[name])]
        if held:
            raise StackError("%s is held stopped, and its data goes in while it runs: start it first" % ", ".join(held))
        return found

    def snapshot_names(self):
        """Services whose data an update may change: those that are moved, and the rest of their apps."""
        return update_ask.same_apps(self.request.bundle["services"], self.moved)

    def taken_names(self, data):
        """Services that the transaction's own snapshot is of: what is moved, and what gets other data."""
        taken = {*data, *self.snapshot_names()}
        return [name for name in self.request.bundle["services"] if name in taken]

    def prepare(self):
        """Check the host and have every image, and touch no container."""
        self.check_host()
        self.predict_pulls()
        self.check_space(self.snapshot_names())
        self.note_pulls(self.pulls)
        if self.pulls and not self.request.check:
            self.supply.pull(self.pulls)
            self.touched = True

    def check_space(self, names):
        """Refuse to begin without room for the snapshot, and for the images that are still to be pulled."""
        from ansible_collections.homelab.mediastack.plugins.module_utils import update_space

        problems = update_space.of_snapshot(self.request.bundle, names, self.change.backup_path)
        pulled = sorted(name for users in self.pulls.values() for name in users)
        running = {name: self.project.of(name)[0].image_id for name in pulled if self.project.of(name)}
        if running:
            known = look_up(self.docker, list(running.values()))
            sizes = {name: known[identifier].size for name, identifier in running.items() if known[identifier]}
            root = self.docker.run("info", "--format", "{{.DockerRootDir}}").out.strip()
            problems += update_space.of_images(root, sizes)
        self.raise_problems(problems)

    def transact(self, data):
        """From the first line of the journal to the commit, or all the way back."""
        if self.pulls:
            self.supply.pull(self.pulls)
        services = self.request.bundle["services"]
        names = self.taken_names(data)
        if not self.record["current"]:
            # What the snapshot belongs to, and what `rollback` goes back to.
            generations.note(self.path, self.record, self.present_images())
        self.txn = update_transaction.begin(
            self, self.change.verb, self._moves(), names, put_in=self._data, generation=self.change.generation
        )
        try:
            self.txn.pin(self.moved)
            self.touched = True
            self.txn.at(journal.SNAPSHOT)
            self.progress.say("taking a snapshot of %s" % ", ".join(names))
            self.txn.take_running(services, names)
            self.holding.write(self.path)
        except BaseException:
            self.abandon()
            raise
        self.bring_over(names, data)

    def abandon(self, why="nothing was changed"):
        """Before anything was changed: take back what was prepared."""
        self.txn.drop_snapshot()
        self.audited = self.txn.end("undone", why)

    def bring_over(self, names, data):
        """Make the new containers (with the data that was asked for), and let the gate judge."""
        try:
            self.new_containers_up(names, data)
            self.pass_probes()
        except TROUBLE as error:
            if self.txn.step == journal.SNAPSHOT:
                # No container was made anew, and what was stopped runs again.
                self.abandon(str(error))
                raise
            from ansible_collections.homelab.mediastack.plugins.module_utils import update_rollback

            update_rollback.roll_back(self, error)
            return
        self.commit()
        self.log_in()

    def pass_probes(self):
        """The last part of the gate: the apps themselves say that they are well."""
        self.txn.at(journal.GATING)
        self.probe(list(self.goals()))

    def new_containers_up(self, names, data):
        """The snapshot's end, with what must stand still for it stopped, and then the new containers."""
        services, rendered = self.request.bundle["services"], self.source.rendered

        def while_stopped():
            self.txn.finish_snapshot(services, names)
            # Files name the new images from here on: until then a container that is made by hand is an old one.
            self.txn.at(journal.RECREATING)
            if rendered:
                rendered.write()
            if rendered and rendered.preset_changes:
                rendered.write_presets()
            self.supply.name_images(name for name in self.new_containers() if name in self.wanted)

        still = set(self.txn.draft.needs_stop(services, names)) | set(rendered.edits if rendered else ())
        if data:
            self.stop_and_put_back(self._data, while_stopped, "in", still)
            self.look()
            self.converge(self.plan)
        else:
            self.converge(self._with_stops(self.plan, still), while_stopped, sorted(still))

    def _with_stops(self, plan, names):
        """`plan`, in which also those of `names` stop and start again for which nothing else is to be done."""
        again = Decision(convergence.RESTART, ["its data is taken while it is down"])
        decisions = {
            name: again
            for name in names
            if plan.decisions.get(name, Decision(convergence.NONE)).action == convergence.NONE
            and any(container.active for container in self.project.of(name))
            and name not in self.holding.left
        }
        return plan._replace(decisions=dict(plan.decisions, **decisions))

    def stop_and_put_back(self, data, before, word, still=()):
        """Stop services, put back their data, and their databases with only PostgreSQL up.

        `data`: {snapshot's id: names}; `before()` is called when all, and `still`, are down; `word`: tells apart what
        is kept aside on the way there and back.
        """
        services = self.request.bundle["services"]
        sources = [(self.txn.store.get(snapshot), names) for snapshot, names in data.items()]
        names = [name for _taken, found in sources for name in found]
        files = [name for name in names if not update_ask.is_dumped(services[name])]
        dumped = [name for name in names if update_ask.is_dumped(services[name])]
        aside = "%s/%s" % (self.txn.entry["aside"], word)

        def work():
            if before:
                before()
            self.progress.say("putting back the data of %s" % ", ".join(names))
            for taken, found in sources:
                taken.put_back(services, [name for name in found if name in files], aside)

        stopping = dict.fromkeys([*files, *(name for name in still if name not in dumped)])
        stop = Plan({name: Decision(convergence.STOP, ["its data is put back"]) for name in stopping})
        self.gate = None
        self.carry(stop, work)
        if dumped:
            start = {name: Decision(convergence.RECREATE, ["its data is put back"]) for name in dumped}
            self.carry(Plan(start))
            self.pass_gate(self.gate.wait(dict.fromkeys(dumped, "service_healthy"), self.deadline))
            self.project = self.gate.project
            for taken, found in sources:
                mine = [name for name in found if name in dumped]
                taken.put_back_databases(services, mine, self.project, self.docker, self.aside_name(word))

    def aside_name(self, word):
        """What the names of databases end with that are put aside."""
        return "%s_%s" % (self.txn.id[-4:], word)

    def _moves(self):
        """service → {from, to}, for the journal."""
        recorded = generations.images(self.record)
        found = {}
        for name in self.moved:
            one, before = self.source.chosen[name], self.project.of(name)[0]
            entry = recorded.get(name, {})
            digest = entry.get("digest") if entry.get("image_id") == before.image_id else None
            found[name] = {
                "from": {"image": before.requested_image, "digest": digest, "image_id": before.image_id},
                "to": {"image": one.image, "digest": one.digest, "image_id": self.supply.chosen_id(name)},
            }
        return found

    # The gate

    def prepare_gate(self):
        """What is new must hold out longer than what `site` starts."""
        if self.gate is None:
            self.deadline = time.monotonic() + self.request.wait_timeout + self.change.stable_for
            new = self.moved or self._data or (self.txn and self.txn.entry.get("put_in"))
            window = self.change.stable_for if new else self.request.stable_for
            self.gate = Gate(self.read, window, progress=self.progress)

    def goals(self):
        """What the transaction touches; others are none of its business."""
        if self.txn is None:
            return super().goals()
        touched = update_ask.touching(
            self.request.bundle["services"], [*self.txn.entry["services"], *self.txn.entry["data"]]
        )
        return {name: STABLE for name in touched if name not in self.holding.left and self.wanted[name].replicas}

    def probe(self, names):
        """StackError unless the probes of `names` say that they are well."""
        if not self.change.health:
            return
        from ansible_collections.homelab.mediastack.plugins.module_utils import health_sweep

        wanted = [one for one in self.change.health["services"] if one["name"] in names]
        wanted = [one for one in wanted if one["name"] not in self.holding.left]
        if not wanted:
            return
        self.progress.say("asking %s how they are" % ", ".join(one["name"] for one in wanted))
        asked = dict(self.change.health, services=wanted, wait=max(1, self.deadline - time.monotonic()))
        rows = [row for row in health_sweep.result(say=self.progress.say, **asked)["services"] if row["name"] in names]
        bad = {row["name"]: "%s: %s" % (row["status"], row["message"]) for row in rows if row["status"] not in _GOOD}
        self.project = self.read()
        if bad:
            raise self.failure(bad)

    # The end

    def commit(self):
        """The new images are the present generation."""
        self.txn.at(journal.COMMITTING)
        self.finish_commit(list(self.txn.entry["services"]))
        self.audited = self.txn.end("committed")

    def finish_commit(self, names):
        """Write the generation, forget refusals, let go of what is not kept any more."""
        present = self.present_images()
        for name in names:
            to = self.txn.entry["services"][name]["to"]
            if name in present and to.get("digest") and self._runs(name, to):
                present[name]["digest"] = to["digest"]
            if name in present:
                # A run that is killed now never writes the lock: this host is ahead of it then, not behind.
                locked = self.request.bundle["services"][name].get("locked") or {}
                present[name]["lock_was"] = locked.get("digest")
        forgotten = update_generation.commit(self.path, self.record, self.txn.entry, present, names, self.change.keep)
        if forgotten is not None:
            refused.forget(self.path, names)
            self.txn.unpin(forgotten)

    def remember(self, lock):
        """A transaction has written its generation itself; what its containers are made of is remembered as ever."""
        if not self.change.prepare and self.audited is None:
            super().remember(lock)
        elif self.audited and self.made:
            self.made.remember(self.project)
            place_marks.mark(self.request.bundle)

    def result(self):
        """With the transaction, or with what a look has found."""
        found = dict(super().result(), transaction=self.audited, held=sorted(self.waiting))
        if self.change.survey and self.project is not None:
            found["survey"] = dict(
                update_survey.of(self.docker, self.project, self.path), held=sorted(self.holding.left)
            )
        return found
