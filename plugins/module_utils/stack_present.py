# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`state: present`: look, refuse or predict, pull, write, converge, wait.

A run that finds nothing to do asks the engine twice (`docker ps`, `docker inspect`) and calls nothing else.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    convergence,
    engine_state,
    generations,
    image_choice,
    journal,
    made_record,
    place_marks,
    refused,
    stack_holds,
    stack_report,
    wanted,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import STABLE
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Holding
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Run, StackError

UNLOCKED = "images are unlocked: there is no %s yet, which `update` writes" % image_choice.LOCK


class Present(Run):
    """Make the stack what it should be."""

    def __init__(self, request, docker, source):
        super().__init__(request, docker, source)
        self.host_checked = False
        self.pulls = {}
        self.moved = {}
        #: What the host remembers of its images; None where services follow their tags.
        self.record = None
        #: service → refusal of the image that lock or inventory name.
        self.held_back = {}

    def prepare_place(self, lock):
        """Nothing is touched before preflight has passed, not even for the lock."""
        if self.request.bundle:
            self.look()
            self.check_host()
            try:
                self.source.rendered.make_project_directory()
            except FileError:
                # Another first run may be making the same directories: what was seen is out of date then.
                if not os.path.isdir(os.path.dirname(self.path)):
                    raise
                self.project = None
        elif not os.path.isdir(self.path):
            raise StackError(
                "there is no directory %s: set project_path to the directory that holds compose.yaml" % self.path
            )
        lock.make_place()
        return True

    def work(self, lock):
        """See the module's docstring."""
        self.finish_interrupted(lock)
        self.make_so(lock)
        self.remember(lock)

    def make_so(self, lock):
        """Look, and do what there is to do."""
        if self.project is None or lock is None or lock.waited or lock.earlier:
            self.look()
        if self.holding.lacking:
            # What is held started would lose its files: the controller renders again, with them.
            return
        if self.request.pull == "always" and not self.request.check and not self.keeps_images:
            self.check_host()
            self.pull_always()
        if self.no_engine:
            self.describe_without_engine()
            return
        if self.idle():
            self.refuse_foreign()
            self.describe()
            if self.request.wait and not self.request.check:
                self.prepare_gate()
                self.pass_gate(self.gate.wait(self.goals(), self.deadline, self.project))
                self.project = self.gate.project
            return
        self.check_host()
        self.predict_pulls()
        self.describe()
        if self.request.check:
            return
        if self.pulls:
            self.supply.pull(self.pulls)
        self.supply.name_images(name for name in self.new_containers() if name in self.wanted)
        self.touched = True
        self.holding.write(self.path)
        rendered = self.source.rendered
        if rendered:
            rendered.write()
        if rendered and rendered.preset_changes:
            self.converge(self.plan, rendered.write_presets, rendered.edits)
        else:
            self.converge(self.plan)
        self.log_in()

    # Looking

    def look(self):
        """Read everything, and plan."""
        from ansible_collections.homelab.mediastack.plugins.module_utils.images import Supply

        self.host_checked = False
        self.project = self.read()
        if self.request.bundle:
            self.refuse_unknown(self.request.bundle["services"])
            self.made = made_record.Made(self.path)
        self.choose_images()
        self.holding = self.read_holding()
        self.wanted = self.source.look(self.project, self.holding.left)
        self.refuse_unknown(self.wanted)
        self.supply = Supply(self.docker, self.wanted, self.progress)
        self.plan = self.make_plan()
        if not self.plan.empty:
            self.plan = self.make_plan(**self.network_trouble())

    # Images of our own stack

    @property
    def keeps_images(self):
        """Whether services keep the images that they run."""
        return bool(self.request.bundle) and self.request.images == "keep"

    def targets(self):
        """service → {image, digest} of what is to get another image; `site` moves nothing."""
        return {}

    def choose_images(self):
        """Say which image each service gets, before anything is planned with them."""
        if not self.keeps_images:
            return
        services = self.request.bundle["services"]
        self.record = generations.read(self.path)
        self.source.chosen = image_choice.choose(
            services, self.project, generations.images(self.record), self.targets()
        )
        known = refused.read(self.path)
        if known and self.request.retry_failed and not self.request.check:
            refused.forget(self.path, list(known))
        self.held_back = {} if self.request.retry_failed else refused.held_back(services, known)

    def image_notes(self):
        """service → sentence, where lock or inventory name another image than what runs."""
        if not self.keeps_images:
            return {}
        services, chosen = self.request.bundle["services"], self.source.chosen
        known = {identifier: {digest} for identifier, digest in stack_report.digests(self.path, {}).items()}
        for name, one in chosen.items():
            digest = image_choice.goal(services[name])[1]
            # What is not remembered is asked for, once in a while: an image may have become known by another digest.
            if digest and one.image_id and digest not in known.get(one.image_id, ()) and not self.no_engine:
                known[one.image_id] = self.supply.known_as(one.image_id)
        return image_choice.differences(services, chosen, known)

    def remember(self, lock):
        """Write down what runs now, and fail for what is held back."""
        writes = lock is not None and not (self.request.check or self.no_engine or self.holding.lacking)
        if writes and self.made:
            self.messages += ["%s: %s; it is kept" % pair for pair in self.made.other_images(self.project).items()]
            self.made.remember(self.project)
        if writes and self.keeps_images:
            generations.note(self.path, self.record, self.present_images())
            place_marks.mark(self.request.bundle)
        if not self.held_back or self.holding.lacking:
            return
        words = [refused.sentence(name, entry) for name, entry in sorted(self.held_back.items())]
        if self.request.check:
            self.messages += words
        else:
            raise StackError("\n".join(words), refused=self.held_back)

    def present_images(self):
        """service → {image, digest, image_id} of what there is, and what is remembered of wanted ones that are gone."""
        fresh = self.supply.digests() if self.supply else {}
        known = stack_report.digests(self.path, fresh, keep=not self.request.check)
        recorded, found = generations.images(self.record), {}
        for name in self.wanted:
            entry = recorded.get(name)
            for one in self.project.of(name)[:1]:
                before = entry["digest"] if entry and entry["image_id"] == one.image_id else None
                digest = known.get(one.image_id) or before
                entry = {"image": one.requested_image, "digest": digest, "image_id": one.image_id}
            if entry:
                found[name] = entry
        return found

    def finish_interrupted(self, lock):
        """Resume or undo an update, rollback or restore that never came to its end (its journal is still there)."""
        if lock is None or not self.keeps_images:
            return
        entry = journal.read(self.path)
        if not entry:
            return
        if self.request.check:
            self.messages.append(
                "%s %s was interrupted: it is finished or undone first, and what follows from that cannot be predicted"
                % (entry["verb"], entry["id"])
            )
            return
        from ansible_collections.homelab.mediastack.plugins.module_utils import update_resume

        update_resume.finish(self, entry)
        self.project = None

    def read_holding(self):
        """The Holding of this run; holds count for our own stack only."""
        if not (self.request.holds and self.request.bundle):
            return Holding()
        return stack_holds.for_present(
            self.request.holds,
            self.held(),
            self.source.graph(),
            self.project,
            self.request.services,
            self.interrupted,
        )

    def selected(self):
        """Names of the services that this run is about."""
        names = wanted.selection(self.wanted, self.request.services)
        return [name for name in names if name not in self.holding.left]

    def make_plan(self, **more):
        """The Plan for what was read; `more`: fields of Aim."""
        rendered = self.source.rendered
        return convergence.plan_present(
            self.wanted,
            self.project,
            Aim(
                services=self.request.services,
                recreate=self.request.recreate,
                remove_orphans=self.request.remove_orphans,
                edits=dict(rendered.edits if rendered else {}, **self.holding.restart),
                new_images=self.moved,
                left=self.holding.left,
                by_hand=self.made.changed(self.project) if self.made else {},
                **more,
            ),
        )

    def network_trouble(self):
        """Fields of Aim: networks that are gone or double, so that containers attached to them cannot start."""
        if not self.project.containers:
            return {}
        networks = engine_state.read_networks(self.docker, self.name)
        return {
            "broken_networks": {
                container.id: "its network %s is gone" % ", ".join(networks.gone(container))
                for container in self.project.containers
                if networks.gone(container)
            },
            "duplicate_networks": networks.duplicates(self.project.containers),
        }

    def idle(self):
        """Whether nothing differs."""
        rendered = self.source.rendered
        if self.holding.changed or self.changed:
            return False
        return self.plan.empty and not (rendered and (rendered.changed or rendered.logins))

    def goals(self):
        """Every selected service, whatever was done to it."""
        return {name: STABLE for name in self.selected() if self.wanted[name].replicas}

    def what_is_left(self):
        """What a fresh plan would still do. Compose has had its say: a hash that it made of a parent that is gone now,
        or of an image that a service kept, is none to compare with.
        """
        recreate = "auto" if self.request.recreate == "always" else self.request.recreate
        return convergence.plan_present(
            {name: want._replace(config_hashes=()) for name, want in self.wanted.items()},
            self.project,
            Aim(
                services=self.request.services,
                recreate=recreate,
                remove_orphans=self.request.remove_orphans,
                left=self.holding.left,
            ),
        )

    # Refusing

    def refuse_foreign(self):
        """The cheap checks, on every run: our address is still there, and nobody else has our project's name."""
        rendered = self.source.rendered
        problems = [rendered.bind_problem] if rendered and rendered.bind_problem else []
        if self.project.foreign:
            from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_engine

            ours = self.request.bundle or {"project": {"name": self.name, "path": self.path}}
            problems += preflight_engine.foreign_containers(ours, [container.raw for container in self.project.foreign])
        self.raise_problems(problems)

    def check_host(self):
        """All checks before anything is touched; once for what was seen."""
        if self.host_checked:
            return
        self.host_checked = True
        if not self.request.bundle:
            self.refuse_foreign()
            return
        self.progress.say("checking the host")
        from ansible_collections.homelab.mediastack.plugins.module_utils import engine_facts, preflight

        local = self.supply.local([want.image for want in self.wanted.values()])
        facts, containers = engine_facts.gather(self.docker, local)
        warnings = []
        self.raise_problems(preflight.run(self.request.bundle, facts, containers, self.request.check, warnings))
        self.messages += [text for text in warnings if text not in self.messages]

    @staticmethod
    def raise_problems(problems):
        """StackError with all `problems` of preflight, if there are any."""
        if problems:
            from ansible_collections.homelab.mediastack.plugins.module_utils import preflight

            raise StackError(preflight.message(problems), problems=problems)

    # Images

    def new_containers(self):
        """Services that get a new container."""
        return self.plan.acting(convergence.CREATE, convergence.RECREATE)

    def predict_pulls(self):
        """Which images must be had first."""
        self.pulls = self.supply.missing(self.new_containers(), self.project)
        if self.request.check and self.request.pull == "always" and not self.keeps_images:
            self.pulls = self.supply.not_fixed(self.selected())
            self.messages.append("pull is always: what newer images will change beyond this cannot be predicted")
        built = [name for names in self.pulls.values() for name in names if self.wanted[name].built]
        if built:
            raise StackError(
                "the images of %s are built from this project, which was not done yet: run 'docker compose build' in %s"
                % (", ".join(sorted(built)), self.path)
            )
        if self.pulls and self.request.pull == "never":
            raise StackError(
                "pull is never, but these images are not on the host, so no service was touched: %s"
                % ", ".join("%s (for %s)" % (image, ", ".join(names)) for image, names in sorted(self.pulls.items()))
            )

    def pull_always(self):
        """Pull whatever a registry may have renewed, and plan again for the images that are others now."""
        renewed = self.supply.pull(self.supply.not_fixed(self.selected()))
        self.note_pulls(renewed)
        for name in self.selected():
            image = self.wanted[name].image
            found = self.supply.local([image])[image]
            if any(container.image_id != found.id for container in self.project.of(name)):
                self.moved[name] = "%s is another image now" % image
        if self.moved:
            self.plan = self.make_plan(**self.network_trouble())

    def note_pulls(self, users):
        """Write down what is pulled."""
        self.changed = self.changed or bool(users)
        self.actions += ["pull %s for %s" % (image, ", ".join(names)) for image, names in sorted(users.items())]

    def pins(self, plan):
        """With `pull: always`, services follow their tag."""
        return {name: pin for name, pin in super().pins(plan).items() if name not in self.moved}

    # Saying and doing

    def describe(self):
        """With the files, the pulls and the first logins."""
        rendered = self.source.rendered
        self.note_pulls(self.pulls)
        self.note_images()
        if rendered:
            self.changed = self.changed or rendered.changed or bool(rendered.logins)
            self.messages += [note for note in rendered.notes if note not in self.messages]
            self.diff += rendered.diff()
        super().describe()
        if rendered:
            self.actions += ["set the first login of %s" % name for name in rendered.logins]

    def note_images(self):
        """Say what is not as lock or inventory have it, and that there is no lock."""
        if not self.keeps_images:
            return
        self.messages += self.image_notes().values()
        services = self.request.bundle["services"]
        if services and not any(service.get("locked") for service in services.values()):
            self.messages.append(UNLOCKED)

    def result(self):
        """With the images: what runs, and what should."""
        found = super().result()
        if self.keeps_images and self.supply:
            services, notes = self.request.bundle["services"], {} if self.no_engine else self.image_notes()
            present = self.present_images()
            found["images"] = {
                name: dict(
                    present.get(name) or {"image": None, "digest": None, "image_id": None},
                    wanted=dict(zip(("image", "digest"), image_choice.goal(service))),
                    note=notes.get(name),
                )
                for name, service in services.items()
            }
            found["refused"] = dict(self.held_back)
        return found

    def describe_without_engine(self):
        """Check mode on a host that has no engine yet: what would be pulled, and no more than that."""
        self.pulls = self.supply.users(self.selected())
        self.describe()
        self.messages.append("there is no usable engine yet: what happens after it is installed is a guess")

    def log_in(self):
        """Set the first logins that are due."""
        rendered = self.source.rendered
        if rendered and rendered.logins:
            self.progress.say("setting the first login of %s" % ", ".join(rendered.logins))
            results = rendered.log_in(self.project, self.deadline)
            errors = {name: result["error"] for name, result in results.items() if result["error"]}
            if errors:
                raise self.failure(errors)
