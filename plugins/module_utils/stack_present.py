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
    journal,
    made_record,
    rotation,
    stack_holds,
    wanted,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.gate import STABLE
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Holding
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_images import KeepsImages
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError


class Present(KeepsImages):
    """Make the stack what it should be."""

    def __init__(self, request, docker, source):
        super().__init__(request, docker, source)
        self.host_checked = False
        self.pulls = {}
        self.moved = {}

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

    def finish_interrupted(self, lock):
        """Resume or undo a transaction that never came to its end (its journal is still there)."""
        if lock is None or not self.keeps_images:
            return
        self.finish_rotation()
        entry = journal.read(self.path)
        if not entry:
            return
        if self.request.check:
            self.messages.append(
                "%s %s was interrupted: it is finished or undone first, and what follows from that cannot be predicted"
                % (entry["verb"], entry["id"])
            )
            return
        self.act.resume(self, entry)
        self.project = None

    def finish_rotation(self):
        """As `finish_interrupted`, of a rotation of secrets."""
        entry = rotation.read(self.path)
        if entry and self.request.check:
            self.messages.append("rotate %s was interrupted: it is finished or taken back first" % entry["id"])
        elif entry:
            self.act.resume_rotation(self, entry)
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
            ours = self.request.bundle or {"project": {"name": self.name, "path": self.path}}
            problems += self.act.foreign(ours, [container.raw for container in self.project.foreign])
        self.raise_problems(problems)

    def check_host(self):
        """All checks before anything is touched; once for what was seen."""
        if self.host_checked:
            return
        self.host_checked = True
        if not self.request.bundle:
            self.refuse_foreign()
            return
        check = self.act.check_host
        self.progress.say("checking the host")
        local, warnings = self.supply.local([want.image for want in self.wanted.values()]), []
        self.raise_problems(check(self, local, warnings))
        self.messages += [text for text in warnings if text not in self.messages]

    def raise_problems(self, problems):
        """StackError with all `problems` of preflight, if there are any."""
        if problems:
            raise StackError(self.act.in_words(problems), problems=problems)

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
