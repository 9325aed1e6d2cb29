# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way back: the old image and the old data of every group in which something failed its gate.

What the failed version has written is moved aside, not removed. Groups that passed stay on what is new. Every step may
be done again: a killed rollback is finished by the next run.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    convergence,
    generations,
    image_choice,
    journal,
    refused,
    update_ask,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.convergence import Aim
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError
from ansible_collections.homelab.mediastack.plugins.module_utils.update_run import TROUBLE

RESULT = "rolled_back"
#: Names what is put aside on the way back.
BACK = "back"


def roll_back(run, error, probed=False):
    """Undo what failed, commit what did not; always raises StackError with both told.

    `run`: an Update whose transaction is under way; `error`: what went wrong; `probed`: what did not fail was asked.
    """
    services, entry = run.request.bundle["services"], run.txn.entry
    moved = [*entry["services"], *entry["data"]]
    failures = [one for one in getattr(error, "details", {}).get("failures") or [] if one["service"] in services]
    failed = {one["service"] for one in failures}
    # An error of the engine or of a disk says nothing of any single service: all of it goes back.
    touched = set(update_ask.touching(services, failed)) if failed else set(services)
    back = [name for name in dict.fromkeys(moved) if name in touched]
    if not back:
        # What failed has nothing to do with what was moved.
        if not probed:
            try:
                run.pass_probes()
            except TROUBLE as other:
                roll_back(run, other, probed=True)
        run.commit()
        raise error
    # Neither a killed docker program nor a generation that ran well once makes an image one that is held back.
    refuse = back if failed and entry["verb"] == update_ask.UPDATE else []
    run.txn.at(journal.ROLLING_BACK, back=back, refuse=refuse, why=str(error))
    finish(run, str(error), failures)


def finish(run, why, failures=()):
    """Carry out the rollback that the journal tells of, and end the transaction; always raises StackError."""
    entry, failures = run.txn.entry, list(failures)
    while True:
        try:
            _restore(run, entry["back"])
            break
        except Exception as error:
            more = _widen(run, error)
            if not more:
                raise StackError(
                    "%s\nThe way back did not succeed either: %s\nThe next run of site or update tries it again; what "
                    "was there before is in the snapshot %s" % (why, error, entry["snapshot"]),
                    failures=failures,
                ) from error
            why, failures = entry["why"], failures + more
    back = entry["back"]
    stayed = [name for name in entry["services"] if name not in back]
    _refuse(run, entry.get("refuse", []), why)
    if stayed:
        run.finish_commit(stayed)
    else:
        generations.note(run.path, run.record, run.present_images())
    run.audited = run.txn.end(RESULT, why, dict.fromkeys(stayed, "committed"))
    run.actions = ["roll %s back to %s" % (name, _was(run, name)) for name in back]
    run.actions += ["update %s" % name for name in stayed]
    raise StackError(_words(run, back, stayed, why), failures=list(failures), transaction=run.audited)


def _widen(run, error):
    """Take back too what else was moved and is not well: its failures, [] when the error is about nothing of it."""
    services, entry = run.request.bundle["services"], run.txn.entry
    moved = [name for name in [*entry["services"], *entry["data"]] if name not in entry["back"]]
    failures = [one for one in getattr(error, "details", {}).get("failures") or [] if one["service"] in moved]
    touched = update_ask.touching(services, {one["service"] for one in failures})
    more = [name for name in dict.fromkeys(moved) if name in touched]
    if not more:
        return []
    refuse = more if entry["verb"] == update_ask.UPDATE else []
    run.txn.at(
        journal.ROLLING_BACK,
        back=[*entry["back"], *more],
        refuse=[*entry.get("refuse", []), *refuse],
        why="%s\n%s" % (entry["why"], error),
    )
    return failures


def _restore(run, back):
    """The old images and the old data of `back`, and a look at whether all is well with them."""
    services, entry = run.request.bundle["services"], run.txn.entry
    run.progress.say("rolling back %s" % ", ".join(back))
    targets = {}
    for name, one in entry["services"].items():
        known = one["from"] if name in back else one["to"]
        targets[name] = {"image": known["image"], "image_id": known["image_id"], "digest": known.get("digest")}
    run.pinned_targets(targets)
    data = [name for name in entry["data"] if name in back and services[name].get("snapshot")]
    run.gate = None
    run.look()
    done = entry.get("data_is_back", [])
    data = [name for name in data if name not in done]
    # First, for a database comes up on its old image before its data goes in.
    run.source.rendered.write()
    run.supply.name_images(name for name in run.new_containers() if name in run.wanted)
    if data and entry["snapshot"]:
        run.stop_and_put_back({entry["snapshot"]: data}, None, BACK)
        run.txn.at(journal.ROLLING_BACK, data_is_back=[*done, *data])
    run.gate = None
    run.look()
    reasons = {name: "it goes back to %s" % _was(run, name) for name in back if name in entry["services"]}
    run.plan = convergence.plan_present(
        run.wanted, run.project, Aim(new_images=reasons, remove_orphans=False, left=run.holding.left)
    )
    run.supply.name_images(name for name in run.new_containers() if name in run.wanted)
    run.converge(run.plan)
    run.probe(list(run.goals()))


def _was(run, name):
    before = run.txn.entry["services"].get(name, {}).get("from")
    return (
        "%s (%s)" % (before["image"], image_choice.short(before["digest"] or before["image_id"]))
        if before
        else "its data"
    )


def _refuse(run, names, why):
    known = refused.read(run.path)
    for name in names:
        to = run.txn.entry["services"].get(name, {}).get("to")
        if to:
            known[name] = dict(to, why=" ".join(why.split())[:300], when=generations.now(), txn=run.txn.id)
    refused.write(run.path, known)


def _words(run, back, stayed, why):
    entry = run.txn.entry
    lines = [why]
    lines += ["%s was rolled back to %s" % (name, _was(run, name)) for name in back if name in entry["services"]]
    data = [name for name in entry["data"] if name in back]
    if data:
        lines.append("the data of %s is as it was" % ", ".join(data))
        services = run.request.bundle["services"]
        places = [entry["aside"]] if os.path.isdir(entry["aside"]) else []
        places += [
            "the databases *_%s of %s" % (run.aside_name(BACK), name)
            for name in data
            if update_ask.is_dumped(services[name])
        ]
        if places:
            lines.append("what was written since is in %s" % " and in ".join(places))
    if stayed:
        lines.append("updated all the same: %s" % ", ".join(stayed))
    return "\n".join(lines)
