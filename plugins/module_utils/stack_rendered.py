# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`state: rendered`: the files and directories of the bundle, and nothing else: no image, no container is touched."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Plan
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import EngineMissing
from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import Project
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_present import Present
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError


class Rendered(Present):
    """Write what a later `present` finds.

    Left to that run is what belongs to a start: images, presets in config directories, first logins, and taking away
    files that a running container may still have mounted.
    """

    def __init__(self, request, docker, source):
        if not request.bundle:
            raise StackError("state rendered needs a bundle: without one there is nothing to render")
        if request.services:
            raise StackError("state rendered writes the files of all services: leave out services")
        super().__init__(request, docker, source)

    def read(self):
        """The Project as it is now; an engine is not needed where its absence is no failure."""
        try:
            return super().read()
        except EngineMissing as error:
            if not self.request.engine_missing_ok:
                raise
            self.no_engine = error.what
            return Project(self.name, self.path, [])

    def look(self):
        """Read everything; there is nothing to plan."""
        self.host_checked = False
        self.project = self.read()
        self.wanted = self.source.look(self.project)
        self.leave_the_rest()
        self.plan = Plan()

    def leave_the_rest(self):
        """Of all that was planned for the disk keep what is written here."""
        rendered = self.source.rendered
        wanted = {entry["path"] for entry in self.request.bundle.get("files", [])}
        rendered.file_changes = [
            change for change in rendered.file_changes if change["kind"] == "directory" or change["path"] in wanted
        ]
        rendered.preset_changes, rendered.logins = [], []
        # Before there is anything to start, nothing is to be repaired.
        rendered.unit.leave()

    def work(self, lock):
        """Refuse or predict, write."""
        if self.project is None or lock is None or lock.waited or lock.earlier:
            self.look()
        self.check_host()
        rendered = self.source.rendered
        self.changed = rendered.changed
        self.diff = rendered.diff()
        if self.request.check:
            return
        self.touched = rendered.changed
        rendered.write()

    def check_host(self):
        """All checks of preflight; without an engine those that need none."""
        if not self.no_engine:
            from ansible_collections.homelab.mediastack.plugins.module_utils.images import Supply

            self.supply = Supply(self.docker, self.wanted)
            super().check_host()
            return
        if self.host_checked:
            return
        self.host_checked = True
        warnings = []
        self.raise_problems(preflight.run(self.request.bundle, {}, [], self.request.check, warnings))
        self.messages += [text for text in warnings if text not in self.messages]
