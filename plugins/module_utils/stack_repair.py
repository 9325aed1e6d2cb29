# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put everything that shares a network back into the live one, from the containers as they are.

For `bin/mediastack-repair`, where there is neither a bundle nor Ansible. What is carried out, and in which order, is
the same code as for `site` and `restart`.
"""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import convergence, holds, repair_journal, repair_plan
from ansible_collections.homelab.mediastack.plugins.module_utils.images import Supply
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import RunLock
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Run, StackError

STATE = "repaired"


class Repaired(Run):
    """One repair. A run that finds nothing to do writes nothing, not even that it was there."""

    def run(self):
        """Look beside others who only look; only when there is something to do, keep everybody else out."""
        lock = self._lock(shared=True)
        if not lock.possible:
            raise StackError("there is no stack in %s: run site, which makes it" % self.path)
        with lock:
            self.docker.inherit = (lock.descriptor,)
            self.look()
        self.docker.inherit = ()
        if not self.plan.empty and not self.request.check:
            with self._lock(shared=False) as lock:
                lock.keeps_earlier = True
                self.docker.inherit = (lock.descriptor,)
                self.look()
                self.work(lock)
            self.docker.inherit = ()
            return self.result()
        self.describe()
        return self.result()

    def work(self, _lock):
        """Carry out what `look` found, if anything is left of it."""
        self.refuse_to_replace_foreign()
        self.describe()
        if self.plan.empty:
            return
        repair_journal.write(self.path, self._coming_up(self.plan))
        self.supply = Supply(self.docker, self.wanted, self.progress)
        self.converge(self.plan)
        repair_journal.clear(self.path)

    def look(self):
        """Read the containers and plan. StackError where a network is gone that nobody can make again."""
        self.project = self.read()
        found = self._plan()
        self.plan, self.wanted, self.holding.left = found.plan, found.wanted, dict(found.left)
        if found.lost:
            raise StackError(
                "%s cannot be brought back: the container whose network it shared is gone, and no Compose file in %s "
                "says which one that was. Run site" % (", ".join(found.lost), self.path)
            )

    def what_is_left(self):
        """What another round would do: gluetun may have restarted meanwhile."""
        return self._plan().plan

    def prepare_place(self, lock):
        """Nothing is made where there is no stack."""
        return False

    def _plan(self):
        journal = repair_journal.read(self.path)
        files = self.source.graph() if repair_plan.needs_files(self.project, journal) else {}
        return repair_plan.plan(self.project, files, holds.read(self.path), journal)

    def _lock(self, shared):
        return RunLock(self.path, "mediastack-repair", self.request.lock_timeout, shared=shared)

    @staticmethod
    def _coming_up(plan):
        return plan.acting(convergence.START, convergence.RESTART, convergence.CREATE, convergence.RECREATE)
