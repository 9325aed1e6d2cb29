# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The generations of a host: which images its services ran, and which snapshot was taken when they were left.

`<project>/.mediastack/generations.json`: {schema, current, generations: [{number, when, txn, verb, before, images:
{service: {image, digest, image_id}}, snapshot}]}; `before`: the generation that it came from, which after a rollback is
not the one of the number before. Write under the run lock only.
"""

from __future__ import annotations

import datetime
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files

SCHEMA = 1
FILE = "generations.json"
# What keeps an image that no container uses any more: `docker image prune` takes untagged ones.
KEEP_REPOSITORY = "mediastack-keep"


def path_of(project_path):
    """Where the record is kept."""
    return os.path.join(project_path, ".mediastack", FILE)


def read(project_path):
    """The record; an empty one where there is none. FileError when it is damaged."""
    stored = atomic_files.read_json(path_of(project_path), {})
    return {
        "schema": SCHEMA,
        "current": stored.get("current", 0),
        "generations": [dict(one) for one in stored.get("generations", [])],
    }


def find(record, number):
    """The generation of that number, or None."""
    return next((one for one in record["generations"] if one["number"] == number), None)


def line(record):
    """Numbers of the present generation and of those that it came from, the newest first, as far as they are kept."""
    kept = {one["number"]: one for one in record["generations"]}
    found, number = [], record["current"]
    while number in kept and number not in found:
        found.append(number)
        number = kept[number].get("before")
    return found


def images(record):
    """service → {image, digest, image_id} of the present generation."""
    present = find(record, record["current"])
    return present["images"] if present else {}


def note(project_path, record, present):
    """Bring the present generation up to date with services that came or went without an update; whether it changed.

    `present`: service → {image, digest, image_id} of all that there is.
    """
    if images(record) == present:
        return False
    if not record["current"]:
        if not present:
            return False
        record["current"] = 1
        record["generations"] = [_generation(1, "site", None, present, None)]
    else:
        find(record, record["current"])["images"] = present
    atomic_files.write_json(path_of(project_path), record)
    return True


def commit(project_path, record, present, verb, txn, snapshot, keep):
    """Begin a new generation; the generations that are forgotten for it.

    `snapshot`: id of what was taken when the one before was left; `keep`: how many earlier ones stay. What this one
    does not come from (it was left by a rollback) is forgotten first.
    """
    before = find(record, record["current"])
    if before is not None:
        before["snapshot"] = snapshot
    number = max([one["number"] for one in record["generations"]] + [0]) + 1
    record["generations"].append(_generation(number, verb, txn, present, record["current"] or None))
    record["current"] = number
    ours = line(record)
    others = sorted(record["generations"][:-1], key=lambda one: (one["number"] in ours, one["number"]))
    forgotten = others[: max(0, len(others) - keep)]
    record["generations"] = [one for one in record["generations"] if one not in forgotten]
    atomic_files.write_json(path_of(project_path), record)
    return forgotten


def go_back(project_path, record, number, present, snapshot):
    """An earlier generation is the present one again. `snapshot`: of what was left."""
    find(record, record["current"])["snapshot"] = snapshot
    record["current"] = number
    find(record, number)["images"] = present
    atomic_files.write_json(path_of(project_path), record)


def keep_tag(project_name, service, number):
    """The tag that keeps the image of a generation."""
    return "%s/%s-%s:%d" % (KEEP_REPOSITORY, project_name.lower(), service.lower(), number)


def is_again(record, number, present):
    """Whether `present` is what the generation ran, as far as there are its services still."""
    then = find(record, number)["images"]
    return all(present[name]["image_id"] == then[name]["image_id"] for name in set(then) & set(present))


def _generation(number, verb, txn, present, before):
    return {
        "number": number,
        "when": now(),
        "txn": txn,
        "verb": verb,
        "before": before,
        "images": present,
        "snapshot": None,
    }


def now():
    """The present moment, to the second, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
