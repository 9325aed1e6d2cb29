# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of our own stack in a converging run: which are chosen, what is said of them, and what is remembered (P8)."""

from __future__ import annotations

import contextlib

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    generations,
    image_choice,
    place_marks,
    refused,
    stack_report,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Run, StackError

UNLOCKED = "images are unlocked: there is no %s yet, which `update` writes" % image_choice.LOCK


class KeepsImages(Run):
    """A run in which services of our own stack keep the images that they run."""

    def __init__(self, request, docker, source):
        super().__init__(request, docker, source)
        #: What the host remembers of its images; None where services follow their tags.
        self.record = None
        #: service → refusal of the image that lock or inventory name.
        self.held_back = {}
        self.forgiven = {}

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
        #: What was refused before this run, and is not to count any more.
        self.forgiven = known if self.request.retry_failed else {}
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
        if writes and self.forgiven:
            now = refused.read(self.path)
            refused.forget(self.path, [name for name, entry in self.forgiven.items() if now.get(name) == entry])
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
                lock = {"lock_was": entry["lock_was"]} if before is not None and "lock_was" in entry else {}
                entry = {"image": one.requested_image, "digest": digest, "image_id": one.image_id, **lock}
            if entry:
                found[name] = entry
        return found

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
            services, notes = self.request.bundle["services"], {}
            # The run may have failed because the engine does not answer.
            with contextlib.suppress(DockerError):
                notes = {} if self.no_engine else self.image_notes()
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
