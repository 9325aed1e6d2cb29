# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How our containers were when we made them: `<project>/.mediastack/made.json`.

`{schema, making: [service], containers: {id: {service, content, image, image_id, traits}}}`. Docker keeps no such
record: after `docker update --restart=no` nothing tells that it was ever otherwise, and Compose's labels say that all
is well. `making` names the services for which a run began to make containers: if it is killed, what they have then is
nobody's doing by hand.

Write under the run lock only.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, container_traits
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

SCHEMA = 1
FILE = "made.json"
BY_HAND = "changed by hand: "


class Made:
    """The record of one project, and what it says about the containers that there are."""

    def __init__(self, project_path):
        """Read it. A record that is missing, damaged or of another version is empty: then all is as it should be."""
        self._path = os.path.join(project_path, ".mediastack", FILE)
        try:
            stored = atomic_files.read_json(self._path, {})
        except FileError:
            stored = {}
        sound = stored.get("schema") == SCHEMA and isinstance(stored.get("containers"), dict)
        self._stored = stored
        self._containers = dict(stored["containers"]) if sound else {}
        self._making = set(stored.get("making") or []) if sound else set()
        self._seen = {}

    def changed(self, project):
        """container id → sentences on what somebody changed since we made it; only containers that were changed."""
        found = {}
        for container in project.containers:
            known = self._known(container, project)
            words = self._changes(known, container) if known else []
            if words:
                found[container.id] = [BY_HAND + one for one in words]
        return found

    def other_images(self, project):
        """service → sentence, where somebody made the container anew with another image of the same name."""
        return {
            container.service: "%simage %s → %s (%s)"
            % (BY_HAND, _short(known["image_id"]), _short(container.image_id), known["image"])
            for container in project.containers
            for known in [self._known(container, project)]
            if known and known["image_id"] != container.image_id
        }

    def by_hand(self, project):
        """service → all that somebody changed, its image among it."""
        changed = self.changed(project)
        found = {one.service: list(changed[one.id]) for one in project.containers if one.id in changed}
        for name, sentence in self.other_images(project).items():
            found.setdefault(name, []).append(sentence)
        return found

    def _known(self, container, project):
        """The entry that a container is compared with: its own, else the one of its service's container before it."""
        own = self._containers.get(container.id)
        if own or container.service in self._making:
            return own
        before = self._before(container, project)
        # Made from another definition: by a run of ours, or by Compose from our files.
        return before[1] if before and before[1]["content"] == container.content else None

    def _before(self, container, project):
        """(id, entry) of the container of the same service that this one came after, or None."""
        gone = [
            pair
            for pair in self._containers.items()
            if pair[1]["service"] == container.service and project.by_id(pair[0]) is None
        ]
        return gone[0] if len(gone) == 1 else None

    def _changes(self, known, container):
        before, after = known["traits"], dict(self._traits(container))
        if known["image_id"] != container.image_id:
            # Another image brings an environment and a command of its own.
            after.pop(container_traits.RUNS)
        return container_traits.changes(before, after)

    def _traits(self, container):
        # Several questions are asked about one look.
        if container not in self._seen:
            self._seen[container] = container_traits.traits(container.raw)
        return self._seen[container]

    def begin(self, services):
        """A run of ours is about to make containers of `services`."""
        if self._containers and not self._making.issuperset(services):
            self._making.update(services)
            self._write(self._containers)

    def remember(self, project):
        """Bring the record up to date after a run that came to its end. Whoever was changed by hand and left so keeps
        the entry that says how it was; what has no container any more is forgotten.
        """
        fresh, left = {}, self.changed(project)
        for container in project.containers:
            before = self._before(container, project)
            if container.id in self._containers:
                fresh[container.id] = self._containers[container.id]
            elif container.id in left and before:
                fresh[before[0]] = before[1]
            else:
                fresh[container.id] = self._entry(container)
        self._making = set()
        self._write(fresh)

    def _entry(self, container):
        return {
            "service": container.service,
            "content": container.content,
            "image": container.requested_image,
            "image_id": container.image_id,
            "traits": self._traits(container),
        }

    def _write(self, containers):
        wanted = {"schema": SCHEMA, "making": sorted(self._making), "containers": containers}
        if wanted != self._stored and os.path.isdir(os.path.dirname(self._path)):
            atomic_files.write_json(self._path, wanted)
            self._stored = wanted
        self._containers = containers


def _short(image_id):
    return image_id.rpartition(":")[2][:12]
