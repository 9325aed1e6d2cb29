# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which image each service of our own stack gets. Pure.

`site` never moves a running service to another image (promise P8): what runs is kept, what is gone comes back as it
was, what is new comes from the lock, and where there is none from the tag that the inventory asks for. Only `update`
names others.
"""

from __future__ import annotations

from typing import NamedTuple

KEPT, RECORDED, LOCKED, ASKED, TARGET = "kept", "recorded", "locked", "asked", "target"
LOCK = "mediastack.lock.yml"


class Chosen(NamedTuple):
    """The image of one service.

    `image`: repository and tag, as files and labels say it; `digest`: what it is pulled by, None for whatever the tag
    is; `image_id`: of an image that the host has, which wins; `why`: one of the words above.
    """

    image: str
    digest: str | None = None
    image_id: str | None = None
    why: str = ASKED


def fixed_digest(image):
    """The digest that a reference names itself: `sha256:…`, or None."""
    return image.partition("@")[2] or None


def goal(service):
    """(image, digest or None) that a service of the bundle should run: as the lock says, else as the inventory asks."""
    locked = service.get("locked")
    if locked:
        return locked["image"], locked["digest"]
    return service["image"], fixed_digest(service["image"])


def choose(services, project, recorded, targets=None):
    """service → Chosen. A service whose container never got well (its first release is bad) is taken for a new one.

    `services`: of the bundle; `recorded`: service → {image, digest, image_id} of the present generation; `targets`:
    service → {image, digest} that `update` brings it to, or {image, image_id} that `rollback` does.
    """
    found = {}
    for name, service in services.items():
        containers = project.of(name)
        target, known = (targets or {}).get(name), recorded.get(name)
        if target:
            found[name] = Chosen(target["image"], target.get("digest"), target.get("image_id"), TARGET)
        elif containers and (known or _is_well(containers[0])):
            one = containers[0]
            found[name] = Chosen(one.requested_image, None, one.image_id, KEPT)
        elif known and not containers:
            found[name] = Chosen(known["image"], known.get("digest"), known.get("image_id"), RECORDED)
        else:
            image, digest = goal(service)
            found[name] = Chosen(image, digest, None, LOCKED if service.get("locked") else ASKED)
    return found


def _is_well(container):
    """Whether a container that no run has remembered is one to keep: what never ran well follows the inventory."""
    if container.status not in ("running", "paused"):
        return False
    return container.health == "healthy" or (container.health in (None, "starting") and not container.restart_count)


def differences(services, chosen, digests):
    """service → sentence, for services that run something else than lock or inventory name.

    `digests`: image id → digests that its image is known by.
    """
    found = {}
    for name, one in chosen.items():
        service = services[name]
        image, digest = goal(service)
        words = []
        if service.get("locked") and service["image"] != image:
            words.append("the inventory asks for %s, %s names %s" % (service["image"], LOCK, image))
        if one.why in (KEPT, RECORDED):
            other = digest and digest not in digests.get(one.image_id, ()) and one.digest != digest
            if one.image != image or other:
                names = LOCK if service.get("locked") else "the inventory"
                shown = image if one.image != image or not digest else "%s (%s)" % (image, short(digest))
                words.append("it stays on %s, %s names %s" % (one.image, names, shown))
        if words:
            found[name] = "%s: %s: `update` brings it there" % (name, "; ".join(words))
    return found


def short(digest):
    """A digest as people compare it: `sha256:` and twelve digits."""
    kind, _colon, value = (digest or "").partition(":")
    return "%s:%s" % (kind, value[:12]) if value else "no digest"
