# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pull mode remembers between runs (`state.json`), and what it was doing when it was cut off (`journal.json`).

Both are replaced in one step, so that whatever ends a run, the next one reads the old or the new text.
"""

from __future__ import annotations

import contextlib
import datetime
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import SCHEMA

#: Commits that are remembered as refused.
MOST_REFUSED = 20
#: The phase in which a commit that was never good is being made live.
APPLY = "apply"


def now():
    """The time, in UTC, as it is written down."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class State:
    """`{last_good: {commit, since}, refused: {commit: {reason, when, config}}, interrupted: {commit: times}, …}`."""

    def __init__(self, place):
        """Read it. FileError where the file is damaged."""
        self._path = place.state
        self._values = {"schema": SCHEMA, "refused": {}, "interrupted": {}}
        self._values.update(atomic_files.read_json(self._path, {}))

    @property
    def last_good(self):
        """Id of the last commit with which all was well, or None."""
        return (self._values.get("last_good") or {}).get("commit")

    @property
    def live_since(self):
        """When that became so, or None."""
        return (self._values.get("last_good") or {}).get("since")

    def refused(self, commit, config_digest):
        """Why a commit was refused, or None. Under another configuration it is looked at anew; the last good one always
        is."""
        known = self._values["refused"].get(commit) if commit != self.last_good else None
        return known["reason"] if known and known.get("config") == config_digest else None

    def refuse(self, commit, reason, config_digest):
        """Remember that a commit is bad. Not of the last good one: what keeps it from counting now may end."""
        if commit == self.last_good:
            return
        self._values["interrupted"].pop(commit, None)
        known = self._values["refused"].pop(commit, None)
        same = known and known.get("reason") == reason and known.get("config") == config_digest
        self._values["refused"][commit] = known if same else {"reason": reason, "when": now(), "config": config_digest}
        for old in list(self._values["refused"])[:-MOST_REFUSED]:
            del self._values["refused"][old]
        self._save()

    def forgive(self, commit):
        """Forget that a commit was refused, or cut off."""
        self._values["refused"].pop(commit, None)
        self._values["interrupted"].pop(commit, None)
        self._save()

    def accept(self, commit):
        """All is well with a commit: it is the one to go back to."""
        self._values["refused"].pop(commit, None)
        self._values["interrupted"].pop(commit, None)
        if commit != self.last_good:
            self._values["last_good"] = {"commit": commit, "since": now()}
        self._save()

    def cut_off(self, commit):
        """Count a run that was cut off while it made a commit live; how often that was."""
        times = self._values["interrupted"].get(commit, 0) + 1
        self._values["interrupted"] = {commit: times}
        self._save()
        return times

    def not_cut_off(self, commit):
        """A run came to its end with a commit, whatever that end was."""
        if self._values["interrupted"].pop(commit, None):
            self._save()

    def may_have_held_back(self, commit):
        """Whether this commit, and no other, was the last that failed by itself: an image that failed its gate then is
        held back on this host, and trying it again with the same commit would fail the same way."""
        return self._values.get("failed") == commit

    def failed(self, commit):
        """A commit failed by itself, for no circumstance of the host."""
        self._values["failed"] = commit
        self._save()

    @property
    def notified(self):
        """What was last told: `{condition: [state, message]}`."""
        return self._values.get("notified") or {}

    def tell(self, condition, told):
        """Remember what was told."""
        self._values["notified"] = dict(self.notified, **{condition: list(told)})
        self._save()

    def _save(self):
        atomic_files.write_json(self._path, self._values)


class Journal:
    """What this run is doing; what stands there when a run begins, one that was cut off was doing."""

    def __init__(self, place):
        """Read what an earlier run left. A damaged one is as good as none: every run repairs."""
        self._path = place.journal
        #: `{started, phase, commit}` of a run that was cut off, or None.
        self.earlier = None
        with contextlib.suppress(atomic_files.FileError):
            self.earlier = atomic_files.read_json(self._path, None) or None
        self._started = now()

    def enter(self, phase, commit=None):
        """Begin a phase of the run."""
        atomic_files.write_json(
            self._path,
            {"schema": SCHEMA, "pid": os.getpid(), "started": self._started, "phase": phase, "commit": commit},
        )

    def close(self):
        """The run has come to its end."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
