# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of the local store: what is there, pulling what is not, and keeping the one that a service runs."""

from __future__ import annotations

import contextlib
import json
import threading

from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import (
    DockerError,
    EngineMissing,
    EngineRefused,
    complaint,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT, names, size

PULL_DEADLINE = 3600
PULLS_AT_ONCE = 3
# What the engine says where a name has no address: Go's resolver, and the C library's.
_NOT_FOUND = ("no such host", "name resolution", "server misbehaving")


class PullError(DockerError):
    """Images could not be had; the text names each with the services that need it and the reason.

    Nothing was changed.
    """


class LocalImage:
    """One image of the local store."""

    def __init__(self, raw):
        """`raw`: one element of what `docker image inspect` prints."""
        self.id = raw["Id"]
        self.labels = (raw.get("Config") or {}).get("Labels") or {}
        self.digests = raw.get("RepoDigests") or []
        #: Bytes on disk.
        self.size = raw.get("Size") or 0


def look_up(docker, references):
    """reference → LocalImage, or None where the store has none."""
    references = sorted(set(references))
    if not references:
        return {}
    done = docker.run("image", "inspect", *references, check=False)
    if done.rc == 0:
        return dict(zip(references, (LocalImage(raw) for raw in json.loads(done.out))))
    if len(references) > 1:
        # Some are missing, and the output does not say which: one by one. A pull follows anyhow.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(PULLS_AT_ONCE) as pool:
            single = pool.map(lambda reference: look_up(docker, [reference]), references)
            return {reference: image for found in single for reference, image in found.items()}
    if "no such image" not in done.err.lower():
        docker.run("image", "inspect", *references)
    return {references[0]: None}


class _Pulling:
    """Says which images are being pulled, and which have come."""

    def __init__(self, docker, images, progress):
        self._docker, self._progress = docker, progress
        self._running, self._done, self._all = [], [], len(images)
        self._lock = threading.Lock()

    def begin(self, image):
        with self._lock:
            self._running.append(image)
            self._say()

    def end(self, image, came):
        what = _short(image)
        if came and self._progress.watched:
            with contextlib.suppress(DockerError):
                found = look_up(self._docker, [image])[image]
                what += " (%s)" % size(found.size) if found else ""
        with self._lock:
            self._running.remove(image)
            self._done += [what] if came else []
            self._say()

    def _say(self):
        parts = ["pulling images, %d of %d done" % (len(self._done), self._all)]
        if self._running:
            parts.append("now %s" % names(_short(image) for image in self._running))
        if self._done:
            parts.append("came: %s" % names(reversed(self._done)))
        # In one piece: each change is written at once, for the next one may be minutes away.
        self._progress.say("; ".join(parts))


def _short(image):
    """An image without registry and owner: `sonarr:4.0.16`."""
    return image.split("@")[0].rsplit("/", 1)[-1]


def pull(docker, users, platforms=None, progress=SILENT):
    """Pull every image of `users` (image → services), a few at once. PullError names all that failed, and why.

    `platforms`: image → platform to ask for; `progress`: told which are pulled.
    """
    pulling = _Pulling(docker, users, progress)

    def one(image):
        wish = (platforms or {}).get(image)
        done = docker.run(
            "pull", "--quiet", *(["--platform", wish] if wish else []), image, check=False, deadline=PULL_DEADLINE
        )
        return None if done.rc == 0 else complaint(done, 2)

    def careful(image):
        pulling.begin(image)
        try:
            why = one(image)
        except (EngineMissing, EngineRefused):
            raise
        except DockerError as error:
            why = str(error)
        pulling.end(image, why is None)
        return why

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(PULLS_AT_ONCE) as pool:
        answers = dict(zip(users, pool.map(careful, users)))
    refused = {image: why for image, why in answers.items() if why}
    if refused:
        raise PullError(
            "%d of %d images could not be pulled, so no service was touched:\n%s"
            % (len(refused), len(users), _reasons(refused, users))
        )


def _reasons(refused, users):
    """Each reason once, with the images that it holds for: where a registry is not found, all of them have the same."""
    images = {}
    for image, why in refused.items():
        images.setdefault(why, []).append("%s (for %s)" % (image, ", ".join(users[image])))
    lines = ["  %s: %s" % (", ".join(named), why) for why, named in images.items()]
    if any(words in why for why in images for words in _NOT_FOUND):
        lines.append(
            "The host finds no address for a registry: look to its DNS and its internet access, then run this again."
        )
    return "\n".join(lines)


class Supply:
    """The images of one run: what the store has, what is to be pulled, what a service must keep."""

    def __init__(self, docker, wanted, progress=SILENT):
        """`wanted`: name → Wanted; `progress`: told which images are pulled."""
        self._docker = docker
        self._progress = progress
        self._wanted = wanted
        self._local = {}
        self._platforms = {want.image: want.platform for want in wanted.values() if want.platform}

    def local(self, references):
        """reference → LocalImage or None; the store is asked once about each."""
        self._local.update(look_up(self._docker, [one for one in set(references) if one not in self._local]))
        return {reference: self._local[reference] for reference in references}

    def reference(self, name):
        """What the image of a service is had by: with its digest where one is known."""
        want = self._wanted[name]
        return "%s@%s" % (want.image, want.digest) if want.digest and "@" not in want.image else want.image

    def users(self, services):
        """image → those of `services` that use it."""
        found = {}
        for name in sorted(services):
            found.setdefault(self.reference(name), []).append(name)
        return found

    def missing(self, services, project):
        """image → services, for images that are to be had before `services` can get new containers."""
        users = self.users(services)
        kept = self.kept(services, project)
        return {
            image: names
            for image, names in users.items()
            if self.local([image])[image] is None
            and not all(name in kept or self._chosen_id(name) is not None for name in names)
        }

    def kept(self, services, project):
        """service → (image id, image it stands for), for services whose image is not what its tag is here.

        That is so where an image was chosen for them, or where the files name the same image as before, and the local
        tag has moved or is gone.
        """
        local = self.local([self._wanted[name].image for name in services])
        found = {}
        for name in services:
            image = self._wanted[name].image
            chosen = self._chosen_id(name)
            if chosen:
                if local[image] is None or local[image].id != chosen:
                    found[name] = (chosen, image)
                continue
            for container in project.of(name):
                if container.requested_image == image and (
                    local[image] is None or local[image].id != container.image_id
                ):
                    found[name] = (container.image_id, image)
        return found

    def _chosen_id(self, name):
        """The id of the image that was chosen for a service, where the host has it; else None."""
        want = self._wanted[name]
        if want.image_id and self.local([want.image_id])[want.image_id] is not None:
            return want.image_id
        if want.digest:
            found = self.local([self.reference(name)])[self.reference(name)]
            return found.id if found else None
        return None

    def chosen_id(self, name):
        """The id of the image that a service is to run; None where the host does not have it yet."""
        image = self._wanted[name].image
        found = self.local([image])[image]
        return self._chosen_id(name) or (found.id if found and not self._wanted[name].digest else None)

    def name_images(self, services):
        """Give what was chosen for `services` its tag here, so that Compose by hand would take the same."""
        for name in services:
            image, chosen = self._wanted[name].image, self._chosen_id(name)
            if chosen and "@" not in image and getattr(self.local([image])[image], "id", None) != chosen:
                self._docker.run("tag", chosen, image)
                self._local[image] = self._local.get(chosen) or self.local([chosen])[chosen]

    def pull(self, users):
        """Pull every image of `users` (image → services); those that are other images now, image → services."""
        before = self.local(users)
        pull(self._docker, users, self._platforms, self._progress)
        self._local.update(look_up(self._docker, list(users)))
        return {
            image: names
            for image, names in users.items()
            if before[image] is None or self._local[image] is None or before[image].id != self._local[image].id
        }

    def not_fixed(self, services):
        """image → services, for images that a registry may have renewed, or that are missing."""
        return {
            image: names
            for image, names in self.users(services).items()
            if "@" not in image or self.local([image])[image] is None
        }

    def digests(self):
        """image id → digest, of all images that were looked at."""
        return {
            image.id: digest_of(image, reference)
            for reference, image in self._local.items()
            if image and not reference.startswith("sha256:")
        }

    def known_as(self, image_id):
        """Every digest that an image of the store was pulled by; empty for one that was built here."""
        image = self.local([image_id])[image_id]
        return {one.partition("@")[2] for one in image.digests} if image else set()


def digest_of(image, reference):
    """The digest that `reference` was pulled by: `sha256:…`, or None for an image that was built here."""
    repository, _at, named = reference.partition("@")
    if named and any(digest.partition("@")[2] == named for digest in image.digests):
        return named
    if ":" in repository.rsplit("/", 1)[-1]:
        repository = repository.rsplit(":", 1)[0]
    for digest in image.digests:
        name, _at, value = digest.partition("@")
        if name == repository or len(image.digests) == 1:
            return value
    return None
