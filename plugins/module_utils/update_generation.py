# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rollback goes back to, and what a restore puts back: images of a generation, data of a snapshot."""

from __future__ import annotations

import difflib

from ansible_collections.homelab.mediastack.plugins.module_utils import generations, update_ask
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError, Store
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError

LATEST = "latest"
BACKUP_KIND = "backup"


def resolve(change, record):
    """`change` with the images and the data of the generation that it names, for `change.names` (empty: all).

    StackError names the generations there are.
    """
    numbers = sorted(one["number"] for one in record["generations"])
    number = change.generation or max([one for one in numbers if one < record["current"]] + [0])
    found = generations.find(record, number)
    if found is None or number == record["current"]:
        kept = ", ".join("%d (%s)" % (one["number"], one["when"]) for one in record["generations"])
        what = "generation %d is the present one" % number if found else "there is no generation %d" % number
        raise StackError(
            "%s. Kept here: %s" % (what if change.generation else "there is no earlier generation", kept or "none")
        )
    targets = {
        name: one
        for name, one in found["images"].items()
        if one.get("image_id") and (not change.names or name in change.names)
    }
    if change.names and not targets:
        raise StackError("generation %d has nothing of %s" % (number, ", ".join(change.names)))
    data = None if change.keep_data else found["snapshot"]
    return change._replace(targets=targets, data=data, generation=number)


def data_of(change, services):
    """(change with the snapshot's id, names of the services whose data it is). StackError when it is not there."""
    store = Store(change.backup_path)
    try:
        if change.data == LATEST:
            known = store.all(BACKUP_KIND)
            if not known:
                raise StackError("there is no backup in %s: run backup first" % change.backup_path)
            snapshot = known[0]
        else:
            snapshot = store.get(change.data)
    except SnapshotError as error:
        raise StackError(str(error)) from error
    problems = snapshot.verify()
    if problems:
        raise StackError("%s is damaged, so nothing was changed: %s" % (snapshot.id, "; ".join(problems[:5])))
    taken = [name for name in snapshot.services if name in services]
    # What has no data of its own (a worker beside its server) is in no backup.
    lacking = [name for name in change.names if name not in snapshot.services and update_ask.has_data(services[name])]
    if change.verb == "restore" and lacking:
        near = difflib.get_close_matches(lacking[0], list(snapshot.services), 1)
        raise StackError(
            "%s holds nothing of %s%s. It holds %s"
            % (snapshot.id, ", ".join(lacking), " (%s?)" % near[0] if near else "", ", ".join(snapshot.services))
        )
    names = [name for name in taken if not change.names or name in change.names]
    if not names:
        about = ", ".join(change.names) or "this host"
        raise StackError("%s holds nothing of %s. It holds %s" % (snapshot.id, about, ", ".join(snapshot.services)))
    return change._replace(data=snapshot.id, names=tuple(names)), names
