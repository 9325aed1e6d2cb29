# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finish a transaction that was interrupted: its journal is still there, the process that wrote it is not.

Before any container was made anew it is undone, which is nothing but forgetting it. After that it goes on: the gate
judges what is there now, and it is committed or rolled back. A rollback is finished.
"""

from __future__ import annotations

import contextlib

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    convergence,
    generations,
    journal,
    update_rollback,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError
from ansible_collections.homelab.mediastack.plugins.module_utils.update_ask import Change
from ansible_collections.homelab.mediastack.plugins.module_utils.update_run import TROUBLE, Update
from ansible_collections.homelab.mediastack.plugins.module_utils.update_transaction import Transaction


def finish(run, entry):
    """Resume or undo the transaction of `entry` for `run` (any converging run, whose lock is held).

    StackError when it had to be rolled back: `run` must not say that all is well.
    """
    asked = run.request.change or Change()
    change = asked._replace(
        verb=entry["verb"],
        targets={},
        data=None,
        who=entry["who"],
        stable_for=entry["stable_for"],
        keep=entry["keep"],
        health=entry["health"],
        backup_path=entry["backup_path"],
        prepare=False,
    )
    other = Update(
        run.request._replace(change=change, services=(), check=False),
        run.docker,
        type(run.source)(run.request.bundle, False, ()),
    )
    other.acting = run.acting
    other.interrupted = True
    other.txn = Transaction(other, entry)
    what = "%s %s was interrupted" % (entry["verb"], entry["id"])
    # The journal names its parts; a bundle of today may lack a service of then.
    gone = [name for name in entry["services"] if name not in run.request.bundle["services"]]
    for name in gone:
        del entry["services"][name]
    entry["data"] = [name for name in entry["data"] if name in run.request.bundle["services"]]
    if entry["step"] in (journal.PREPARED, journal.SNAPSHOT) or not entry["services"] and not entry["data"]:
        _forget(other)
        run.messages.append("%s before anything was changed: it is forgotten" % what)
        return
    try:
        _go_on(other)
    finally:
        run.touched = True
        run.messages.append("%s: %s" % (what, _ended(other)))
        run.actions += other.actions
        run.changed = True


def _forget(other):
    # What a draft has left is in nobody's way.
    with contextlib.suppress(SnapshotError):
        other.txn.store.prune("update", 0, [one["snapshot"] for one in generations.read(other.path)["generations"]])
    other.txn.end("undone", "it was interrupted before anything was changed")


def _go_on(other):
    entry = other.txn.entry
    if entry["step"] == journal.ROLLING_BACK:
        other.record = generations.read(other.path)
        update_rollback.finish(other, entry["why"])
    other.pinned_targets({name: one["to"] for name, one in entry["services"].items()})
    other.look()
    if entry["step"] == journal.COMMITTING:
        _commit_again(other)
        return
    try:
        if entry.get("put_in") and entry["step"] == journal.RECREATING:
            other.stop_and_put_back(entry["put_in"], None, "in")
            other.look()
        other.source.rendered.write()
        reasons = {name: "an update was interrupted" for name in entry["services"] if not _is_there(other, name)}
        other.plan = convergence.plan_present(
            other.wanted, other.project, Aim(new_images=reasons, remove_orphans=False, left=other.holding.left)
        )
        other.supply.name_images(name for name in other.new_containers() if name in other.wanted)
        other.converge(other.plan)
        other.pass_probes()
    except TROUBLE as error:
        update_rollback.roll_back(other, error)
    other.commit()


def _commit_again(other):
    record = generations.read(other.path)
    if any(one["txn"] == other.txn.id for one in record["generations"]):
        other.audited = other.txn.end("committed")
    else:
        other.commit()


def _is_there(other, name):
    to = other.txn.entry["services"][name]["to"]
    return all(one.image_id == to["image_id"] for one in other.project.of(name)) and other.project.of(name)


def _ended(other):
    if other.audited is None:
        return "it could not be finished"
    return {"committed": "it is finished", "rolled_back": "it was rolled back"}.get(other.audited["result"], "it ended")
