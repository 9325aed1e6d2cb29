# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `update` has to know of a host before it asks a registry: which images run there, and which were refused."""

from __future__ import annotations

import json

from ansible_collections.homelab.mediastack.plugins.module_utils import generations, journal, refused
from ansible_collections.homelab.mediastack.plugins.module_utils.images import LocalImage, digest_of


def of(docker, project, project_path):
    """{services: {name: {image, image_id, digest, digests, platform, lock_was}}, refused, generation, interrupted}.

    `project`: as it was read; `digests`: every one that an image was pulled by; `digest`: the first that fits its name,
    None for an image that was built on the host; `lock_was`: the digest that the lock had when an update moved the
    service to this image. DockerError, FileError.
    """
    ids = sorted({container.image_id for container in project.containers})
    known = {}
    if ids:
        # One that was removed by force is left out.
        done = docker.run("image", "inspect", *ids, check=False)
        known = {raw["Id"]: raw for raw in json.loads(done.out or "[]")}
    services, recorded = {}, generations.images(generations.read(project_path))
    for container in reversed(project.containers):
        raw = known.get(container.image_id)
        image = LocalImage(raw) if raw else None
        services[container.service] = {
            "image": container.requested_image,
            "image_id": container.image_id,
            "digest": digest_of(image, container.requested_image) if image else None,
            "digests": sorted({one.partition("@")[2] for one in image.digests}) if image else [],
            "platform": "%s/%s" % (raw.get("Os"), raw.get("Architecture")) if raw else None,
        }
        entry = recorded.get(container.service) or {}
        if entry.get("image_id") == container.image_id:
            services[container.service]["lock_was"] = entry.get("lock_was")
    return {
        "services": services,
        "refused": refused.read(project_path),
        "generation": generations.read(project_path)["current"],
        "interrupted": journal.read(project_path) is not None,
    }
