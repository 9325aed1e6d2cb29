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
    number = change.generation or (generations.line(record)[1:2] or [0])[0]
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


def data_between(change, services, record, moved):
    """{snapshot's id: names of services}: the data that the services of `moved` had in the generation of a rollback.

    `change`: as `resolve` returns it. A service that was left alone by the update after that generation is in a
    snapshot of a later one, the oldest counts. StackError when no snapshot has the data of a service that is moved.
    """
    line = [number for number in reversed(generations.line(record)) if number != record["current"]]
    later = line[line.index(change.generation) + 1 :] if change.generation in line else line
    ids = [generations.find(record, number)["snapshot"] for number in [change.generation, *later]]
    found, lacking = {}, [name for name in moved if update_ask.has_data(services[name])]
    for snapshot in dict.fromkeys(filter(None, ids)):
        if not lacking and snapshot != change.data:
            continue
        taken = data_of(change._replace(data=snapshot, names=()), services)[1]
        # All of the generation's own, as far as it was asked for; of later ones only what is missing.
        asked = (change.names or taken) if snapshot == change.data else lacking
        names = [name for name in taken if name in asked]
        if names:
            found[snapshot] = names
            lacking = [name for name in lacking if name not in names]
    if lacking:
        raise StackError(
            "no snapshot of generation %d or later has the data of %s, and an older release on newer data may not "
            "start, or harm it. Nothing was changed: name the others with -e service=, or go back to the images only "
            "with -e keep_data=true" % (change.generation, ", ".join(lacking))
        )
    return found


def data_of(change, services):
    """(the snapshot's id, names of the services whose data is put back from it). StackError when it is not there."""
    store = Store(change.backup_path)
    try:
        snapshot = _newest(store, change, services) if change.data == LATEST else store.get(change.data)
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
    return snapshot.id, names


def _newest(store, change, services):
    """The newest backup that has all that is asked for; of everything: the newest in which nothing is missing."""
    known = store.all(BACKUP_KIND)
    if not known:
        raise StackError("there is no backup in %s: run backup first" % change.backup_path)
    asked = {name for name in change.names if update_ask.has_data(services[name])}
    for snapshot in known:
        try:
            fits = asked <= set(snapshot.services) if change.names else not snapshot.missing
        except SnapshotError:
            # Nobody can read what is in it; an older one may be whole.
            continue
        if fits:
            return snapshot
    if change.names:
        return known[0]
    raise StackError(
        "in no backup in %s is everything; %s, the newest, lacks %s. To put back what it has: -e backup=%s"
        % (change.backup_path, known[0].id, ", ".join(sorted(known[0].missing)), known[0].id)
    )


def commit(project_path, record, entry, present, names, keep):
    """Write that a transaction ended well; the generations that are forgotten for it, None: nothing was written.

    `entry`: of the journal; `present`: as `generations.note` wants it; `names`: services that were moved.
    """
    number = entry.get("generation") if entry["verb"] == update_ask.ROLLBACK else None
    # A rollback of some services makes what there never was: a generation of its own.
    if number and generations.find(record, number) and generations.is_again(record, number, present):
        generations.go_back(project_path, record, number, present, entry["snapshot"])
        return None
    if not names or any(one["txn"] == entry["id"] for one in record["generations"]):
        # Nothing to write, or a run that was killed after this has written it.
        return None
    return generations.commit(project_path, record, present, entry["verb"], entry["id"], entry["snapshot"], keep)
