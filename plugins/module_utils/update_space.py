# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether there is room for the images and the snapshot of a transaction, before anything is touched."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_size
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import size
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import Store

# Left free whatever happens: a full disk breaks the apps' own databases.
RESERVE = 64 * 1024 * 1024
# The snapshot itself, and what a rollback moves aside when it lies on another disk; a layer and what is in it.
FACTOR = 2


def of_images(root, sizes):
    """Problems of preflight, for pulling images.

    `root`: the engine's directory; `sizes`: service → bytes of the image that it runs, which is what a new one is
    thought to take (a registry tells compressed sizes only). It is needed twice while layers are unpacked.
    """
    if not root or not os.path.isdir(root) or not sizes:
        return []
    usage = os.statvfs(root)
    free, needed = usage.f_bavail * usage.f_frsize, sum(sizes.values()) * FACTOR + RESERVE
    if free >= needed:
        return []
    return [
        problem(
            "image_space",
            "there is not enough room for new images of %s: about %s are needed" % (", ".join(sizes), size(needed)),
            "the engine's directory",
            "%s, with %s free" % (root, size(free)),
            "free some space there (docker image prune removes images that nothing uses), or name fewer services",
        )
    ]


def of_snapshot(bundle, names, backup_path):
    """Problems of preflight. `names`: services whose data is taken; `backup_path`: where to."""
    place = backup_path
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    # Files that the last snapshot has already are not counted.
    needed = snapshot_size.needed(bundle["services"], names, Store(backup_path)) * FACTOR + RESERVE
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize
    if free >= needed:
        return []
    return [
        problem(
            "backup_space",
            "there is not enough room for a snapshot of %s: it asks for %s" % (", ".join(names), size(needed)),
            "mediastack_backup_path",
            "%s, with %s free" % (backup_path, size(free)),
            "free some space there, or set mediastack_backup_path to a directory on a larger disk",
        )
    ]
