# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pull run decides, without touching anything: whether a host is in the rollout, whether a commit goes back in
history, and what comes of a commit that failed.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

#: What a run came to. GOOD: the wanted commit is live and well. WAITING: it is not this host's turn. REFUSED: the
#: commit is bad, the last good one is live. FAILED: something is wrong that the commit may have no part in; the next
#: run tries again. PAUSED: nothing was done.
GOOD, WAITING, REFUSED, FAILED, PAUSED = "good", "waiting", "refused", "failed", "paused"
RESULTS = (GOOD, WAITING, REFUSED, FAILED, PAUSED)
#: A run that is cut off so often while it makes a commit live may be cut off by that commit.
MOST_INTERRUPTED = 3


class Outcome(NamedTuple):
    """What came of bringing a host to a commit."""

    ok: bool
    #: Why not, for people; empty where it is ok.
    reason: str = ""
    #: Why not, where it is the host's or the network's fault by its very words; None otherwise.
    environment: str | None = None


def bucket(host):
    """The number from 0 to 99 that a host has in every rollout, by its name in the inventory."""
    return int(hashlib.sha256(host.encode("utf-8")).hexdigest(), 16) % 100


def takes(host, percentage):
    """Whether a host is among so many percent: the same hosts at 20 % as at 10 %, and more."""
    return bucket(host) < percentage


def percentage(value):
    """`mediastack_gitops_rollout` as the inventory has it; ValueError where it is no number from 0 to 100."""
    if isinstance(value, bool):
        raise ValueError("%r is no percentage from 0 to 100" % value)
    try:
        number = int(str(value).strip().rstrip("%"))
    except ValueError:
        raise ValueError("%r is no percentage from 0 to 100" % (value,)) from None
    if not 0 <= number <= 100:
        raise ValueError("%d is no percentage from 0 to 100" % number)
    return number


def backwards(wanted, last_good, descends, allowed, pinned):
    """Why a commit may not follow the last good one, or None.

    A signature says who wrote a commit, not that it is today's: whoever can write to the repository, and cannot sign,
    could put back an old signed one with a hole that was mended since. So only what descends from the last good commit
    follows it.

    Parameters:
        descends: whether `wanted` descends from `last_good`.
        allowed: mediastack_gitops_allow_rewind.
        pinned: the commit is named by its id in the settings, which nobody but their owner can change.
    """
    if not last_good or wanted == last_good or descends or allowed or pinned:
        return None
    return (
        "it does not descend from the last good commit %s: the branch was set back, or its history was rewritten. "
        "If that was you: mediastack_gitops_allow_rewind: true, and the playbook gitops once more" % last_good[:12]
    )


def cut_off_too_often(times):
    """Why a commit is refused that so many runs in a row were cut off with, or None."""
    if times < MOST_INTERRUPTED:
        return None
    return (
        "%d runs in a row were cut off while they made it live (power, kill -9, a crash of the host); "
        "mediastack-pull --retry tries it again" % times
    )


def verdict(applied, back, withdrawn=None):
    """(result, reason) for a commit that was tried.

    Parameters:
        applied: Outcome of the commit.
        back: Outcome of going back to the last good one; None where there is none to go back to.
        withdrawn: why the last good one may not be run any more, or None.
    """
    if applied.ok:
        return GOOD, ""
    if applied.environment:
        return FAILED, "%s; it is tried again: %s" % (applied.environment, applied.reason)
    if withdrawn:
        return REFUSED, "%s; the last good commit is not gone back to: %s" % (applied.reason, withdrawn)
    if back is None:
        return FAILED, "%s; there is no last good commit to compare with, so it is tried again" % applied.reason
    if not back.ok:
        return FAILED, (
            "%s; the last good commit fails as well, so it may be the host: %s" % (applied.reason, back.reason)
        )
    return REFUSED, applied.reason
