# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`state: stopped`, `restarted`, `absent` and `pulled`: they render nothing and create nothing that was not there."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    convergence,
    engine_state,
    netns,
    stack_holds,
    wanted,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import NONE, Decision, Plan
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Run, StackError


class _Verb(Run):
    """What these have in common: they work on the containers that there are."""

    def prepare_place(self, lock):
        """A project directory that is gone is not made again for a lock."""
        if not os.path.isdir(self.path):
            return False
        lock.make_place()
        return True

    def look(self):
        """Read the containers; refuse services that nobody knows."""
        self.project = self.read()
        if self.request.bundle:
            # Compose does not write down what a service needs when it is called with --no-deps.
            self.wanted = self.source.graph()
        if any(name not in self.project.services for name in self.request.services):
            self.refuse_unknown(set(self.source.graph()) | set(self.project.services))
        if self.project.foreign:
            self.messages.append(
                "left alone, because they live in another directory although they have the project's name: %s"
                % ", ".join(container.name for container in self.project.foreign)
            )

    def what_is_left(self):
        """Dependents that a restart of their network parent left behind."""
        return Plan(
            {container.service: Decision(action, [why]) for container, action, why in netns.orphans(self.project)}
        )

    def insist(self, services, fine, what):
        """Look again: StackError unless every container of `services` is `fine`."""
        self.project = self.read()
        wrong = [container.name for name in services for container in self.project.of(name) if not fine(container)]
        if wrong:
            raise StackError("%s: %s" % (what, ", ".join(wrong)))


class Stopped(_Verb):
    """Stop services, and first what lives in their network."""

    def work(self, _lock):
        """Stop what runs. The holds come first: what an interrupted run has stopped is to stay so."""
        self.look()
        self.plan = convergence.plan_stopped(self.project, self.request.services)
        if os.path.isdir(self.path):
            self.holding = stack_holds.for_stopped(self.request.holds, self.held(), self.project, self.request.services)
        self.describe()
        if self.request.check:
            return
        self.touched = self.holding.changed
        self.holding.write(self.path)
        if not self.plan.empty:
            self.carry(self.plan)
            self.insist(self.plan.acting(), lambda container: not container.active, "still not stopped")


class Restarted(_Verb):
    """Restart services, their network parents before them, what lives in their network after them."""

    def work(self, _lock):
        """Restart what there is."""
        from ansible_collections.homelab.mediastack.plugins.module_utils.images import Supply

        self.look()
        if self._needs_files():
            self.wanted = self.source.graph()
            self.supply = Supply(self.docker, self.wanted, self.progress)
        asked = self._asked()
        self.plan = convergence.plan_restarted(self.project, asked, self.wanted) if asked else Plan()
        self.refuse_to_replace_foreign()
        self.describe()
        if self.request.check:
            return
        self.touched = self.holding.changed
        self.holding.write(self.path)
        if not self.plan.empty:
            self.converge(self.plan)

    def _asked(self):
        """What is restarted: what was named, else all that there is but what is held stopped."""
        needs = wanted.needs_of_containers(self.project)
        for name, want in self.wanted.items():
            needs.setdefault(name, {}).update(want.depends_on)
        self.holding = stack_holds.for_restarted(
            self.request.holds,
            self.held(),
            self.project,
            self.request.services,
            needs,
            wanted.parents(self.project, self.wanted),
        )
        if self.request.services:
            return self.request.services
        return sorted(
            {c.service for c in self.project.containers if not c.completed and c.service not in self.holding.left}
        )

    def _needs_files(self):
        """A service without container, or one whose network parent is gone, is made from the files as they are."""
        if any(not self.project.of(name) for name in self.request.services):
            return True
        return any(
            container.parent_id and not self.project.by_id(container.parent_id) for container in self.project.containers
        )


class Absent(_Verb):
    """Remove containers and networks; never volumes, files or data."""

    def work(self, _lock):
        """Remove what is ours."""
        self.look()
        self.plan = convergence.plan_absent(self.project, self.request.services)
        networks = {} if self.request.services else self._networks()
        self.describe()
        self.actions += ["remove the network %s" % name for name in sorted(networks)]
        self.changed = self.changed or bool(networks)
        if self.request.check:
            return
        self.begin()
        if not self.plan.empty:
            self.carry(self.plan)
            self.insist(self.plan.acting(convergence.REMOVE), lambda container: False, "still not removed")
        for name, identifiers in networks.items():
            for identifier in identifiers:
                self._remove_network(name, identifier)

    def begin(self):
        """Nothing refuses any more, and nothing is removed yet."""

    def _networks(self):
        if self.project.foreign:
            self.messages.append("networks stay: others with the project's name may use them")
            return {}
        return engine_state.read_networks(self.docker, self.name).ours

    def _remove_network(self, name, identifier):
        done = self.docker.run("network", "rm", identifier, check=False)
        text = done.err.lower()
        if done.rc != 0 and "active endpoints" in text:
            self.messages.append("the network %s stays: containers of others use it" % name)
        elif done.rc != 0 and "not found" not in text and "no such network" not in text:
            raise DockerError("the network %s could not be removed: %s" % (name, done.err.strip()))


class Pulled(_Verb):
    """Have the images, without touching a container."""

    def work(self, _lock):
        """Pull what is missing; with `pull: always`, also what may have been renewed."""
        from ansible_collections.homelab.mediastack.plugins.module_utils.images import Supply

        self.project = self.read()
        self.wanted = self.source.graph()
        self.refuse_unknown(self.wanted)
        self.supply = Supply(self.docker, self.wanted, self.progress)
        selected = wanted.selection(self.wanted, self.request.services)
        local = self.supply.local([self.wanted[name].image for name in selected])
        missing = {image: names for image, names in self.supply.users(selected).items() if local[image] is None}
        wished = self.supply.not_fixed(selected) if self.request.pull == "always" else missing
        if missing and self.request.pull == "never":
            raise StackError("pull is never, but these images are not on the host: %s" % ", ".join(sorted(missing)))
        done = (missing if self.request.check else self.supply.pull(wished)) if wished else {}
        self.touched = bool(done) and not self.request.check
        if self.request.check and self.request.pull == "always":
            self.messages.append("pull is always: only the registry knows which images are newer")
        self.changed = bool(done)
        self.decisions = {name: Decision(NONE) for name in self.wanted}
        self.actions = ["pull %s for %s" % (image, ", ".join(names)) for image, names in sorted(done.items())]
