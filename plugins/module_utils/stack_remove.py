# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking a stack away: its containers and networks, the files that were rendered, and on demand its configuration.

What holds people's work stays: media and downloads always; configuration, volumes and the generated secrets that belong
to it unless they were asked to go.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state, pull_setup, purge
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.leftovers import Leftovers
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_verbs import Absent

# The engine names volumes so that nobody has named.
_ANONYMOUS = re.compile(r"^[0-9a-f]{64}$")


class Wish(NamedTuple):
    """What is to go beyond containers, networks and rendered files."""

    #: {name: path} of base, config, media and downloads.
    paths: dict
    purge_config: bool = False
    #: Config directories of the stack's services.
    config_dirs: Sequence[str] = ()
    #: Directory of pull mode.
    pull_path: str | None = None


class Removal(Absent):
    """`state: absent`, and after it the files."""

    def __init__(self, request, docker, source, wish):
        """`wish`: a Wish."""
        super().__init__(request, docker, source)
        self._wish = wish
        self._left = None
        self._volumes = []
        self._directories = []
        #: kind → names, of what goes and of what stays.
        self.gone = {}
        self.stays = {}

    def work(self, lock):
        """Refuse before anything is touched; then containers, networks, files, and at last what may hold data."""
        self._left = Leftovers(self.path, self._wish.paths)
        super().work(lock)
        if self.request.check:
            return
        self.touched = True
        self._left.remember(self._volumes)
        self._left.remove_files()
        for directory in self._directories:
            purge.remove(directory)
        if self._wish.purge_config:
            self._remove_volumes()
            self._left.forget()
        self._left.tidy()

    def look(self):
        """The volumes too, as long as there are containers to tell of them."""
        super().look()
        if self._wish.purge_config:
            self._directories = purge.plan(
                self._wish.config_dirs, self._left.made, self._wish.paths, self.path, self._mounted_by_others()
            )
        mounted = {
            mount["Name"]
            for container in self.project.containers
            for mount in container.raw.get("Mounts") or []
            if mount.get("Type") == "volume" and mount.get("Name")
        }
        self._volumes = self._ours(mounted | set(self._left.volumes))

    def begin(self):
        """Pull mode first: it would bring the stack back."""
        pull_setup.retire(self.name, self._wish.pull_path)

    def describe(self):
        """With the files; `gone` and `stays` for the report."""
        super().describe()
        going = self.plan.acting("remove")
        networks = [] if self.project.foreign else sorted(self._networks())
        self.gone = {
            "containers": sorted(container.name for name in going for container in self.project.of(name)),
            "networks": networks,
            "files": [*self._left.files, *pull_setup.installed(self.name)],
        }
        self.stays = self._left.staying(self._directories)
        if pull_setup.is_ours(self._wish.pull_path):
            self.stays["pull mode"] = [self._wish.pull_path]
        self.stays["images"] = sorted({container.requested_image for container in self.project.containers})
        self.actions += ["remove %s" % path for path in self.gone["files"]]
        if self._wish.purge_config:
            self.gone.update(config=self._directories, records=self._left.memory, volumes=self._volumes)
            self.actions += ["remove the configuration in %s" % path for path in self._directories]
            self.actions += ["remove the volume %s" % name for name in self._volumes]
            self.actions += ["remove %s" % path for path in self._left.memory]
        else:
            self.stays.update(volumes=self._volumes, records=self._left.memory)
        if self.project.foreign:
            self.stays["others' containers"] = [container.name for container in self.project.foreign]
        self.changed = self.changed or any(self.gone.values())
        self.diff.append(
            {
                "before_header": "files and data",
                "after_header": "files and data",
                "before": "".join("%s\n" % name for kind in ("files", *_DATA) for name in self.gone.get(kind, ())),
                "after": "",
            }
        )

    def result(self):
        """With what went and what stays."""
        return dict(super().result(), gone=self.gone, stays=self.stays)

    def result_of_failure(self):
        """A run that failed lists nothing as gone that it may not have come to."""
        return dict(super().result_of_failure(), gone={}, stays={})

    def _mounted_by_others(self):
        """path → name of a container that has it mounted and is not of our project."""
        ours = {container.id for container in self.project.containers}
        others = [one for one in engine_state.list_ids(self.docker) if one not in ours]
        return {
            mount["Source"]: container.name
            for container in engine_state.inspect(self.docker, others)
            for mount in container.raw.get("Mounts") or []
            if mount.get("Type") == "bind"
        }

    # Volumes

    def _ours(self, names):
        """Those of `names` that exist and that Compose or the engine made for us; a user's own external ones are not.

        By what our containers mounted, never by the label alone: somebody else's project may have our name (P1).
        """
        if not names:
            return []
        form = '{{.Name}}\t{{.Label "com.docker.compose.project"}}'
        rows = [line.split("\t") for line in self.docker.run("volume", "ls", "--format", form).out.splitlines() if line]
        return sorted(
            name for name, project in rows if name in names and (project == self.name or _ANONYMOUS.match(name))
        )

    def _remove_volumes(self):
        for name in self._volumes:
            done = self.docker.run("volume", "rm", name, check=False)
            text = done.err.lower()
            if done.rc != 0 and "in use" in text:
                self.messages.append("the volume %s stays: containers of others use it" % name)
                self.gone["volumes"] = [other for other in self.gone["volumes"] if other != name]
            elif done.rc != 0 and "no such volume" not in text:
                raise DockerError("the volume %s could not be removed: %s" % (name, done.err.strip()))


_DATA = ("config", "records", "volumes")


def kind(wish):
    """A function of (request, docker, source) for `stack.run`, that makes the Removal."""

    def make(request, docker, source):
        if request.services:
            raise StackError("a stack is removed as a whole: leave out services")
        return Removal(request, docker, source, wish)

    return make
