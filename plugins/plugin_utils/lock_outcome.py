# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which part of a plan is written to the lock file after hosts were changed (pure)."""

from __future__ import annotations


def passed(document, outcomes):
    """What is to be written after hosts were changed: what one of them runs now and none of them failed with.

    Params:
        document: `{path, text, entries, drop, targets}` of the action lock.
        outcomes: host → what its transaction returned, of every host that has come so far; `trouble` where something
            went wrong.
    """
    targets = document.get("targets") or {}
    through, back, left = set(), set(), set(targets) - set(outcomes)
    for host, outcome in outcomes.items():
        # What somebody holds was not moved, so nothing is known of it.
        held = outcome.get("held") or ()
        wanted = {name: one["image"] for name, one in (targets.get(host) or {}).items() if name not in held}
        if not (outcome.get("trouble") or outcome.get("failed") or outcome.get("unreachable")):
            through |= set(wanted.items())
            continue
        left.add(host)
        done = (outcome.get("transaction") or {}).get("services")
        if done is None:
            # It never came to them: that says nothing for any of them.
            return {**document, "entries": [], "drop": []}
        fine = {name for name, one in done.items() if one["result"] == "committed"}
        back |= set(done) - fine
        through |= {(name, image) for name, image in wanted.items() if name in fine}
    # An old entry stays while a host that is to move on from it has not.
    waiting = {name for host in left for name in targets.get(host) or {}}
    seen = {name for name, _image in through}
    return {
        **document,
        "entries": [
            entry
            for entry in document["entries"]
            if (entry["service"], entry["image"]) in through and entry["service"] not in back
        ],
        "drop": [key for key in document["drop"] if key[0] in seen and key[0] not in back | waiting],
    }
