# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of pull mode: from the tip of a branch to a host that is there, or stays where it was and says why."""

from __future__ import annotations

import contextlib
import json
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, pull_decide, pull_reason
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_decide import FAILED, GOOD, REFUSED, WAITING
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import PullError, check_secret_file
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_state import APPLY

_ROLLOUT = "mediastack_gitops_rollout"
_MOST_DRIFT = 50


class Refused(Exception):
    """A commit is bad, by itself: the text says why. Nothing of it was run."""


class Paused(Exception):
    """Pull mode was paused while this run was at work: `--pause`, or `remove`."""


class Run:
    """What one run does; `result`, `reason` and the rest are for the report."""

    def __init__(self, place, config, git, steps, state, journal, say=lambda text: None, retry=False):
        """`say`: takes a sentence for people; `retry`: forget that the wanted commit was refused."""
        self.place, self.config, self.git, self.steps = place, config, git, steps
        self.state, self.journal = state, journal
        self._say, self._retry = say, retry
        self.wanted, self.result, self.reason = None, FAILED, ""
        self.healthy, self.drift, self.messages = None, [], []
        #: The variables of the host, of the release that was last played.
        self.variables, self.played = {}, None

    def say(self, text):
        """A sentence for people and the report."""
        self.messages.append(text)
        self._say(text)

    def work(self):
        """Do it. PullError, FileError where no commit is to blame."""
        self._repair()
        for path, setting in (
            (self.config.vault_password_file, "mediastack_gitops_vault_password_file"),
            (self.config.age_key_file, "mediastack_gitops_age_key_file"),
            (self.config.ssh_key_file, "mediastack_gitops_ssh_key_file"),
        ):
            check_secret_file(path, setting)
        self.git.prepare()
        self.git.unlock()
        self.journal.enter("fetch")
        self._fetch()
        if self._retry:
            self.state.forgive(self.wanted)
        try:
            self._admit(self.wanted)
        except Refused as error:
            self._refuse(str(error))
        else:
            if self.wanted == self.state.last_good:
                self._stay(GOOD, "")
            elif self._is_its_turn():
                self._make_live()
        self.git.prune({self.wanted, self.state.last_good} - {None})

    def _repair(self):
        earlier = self.journal.earlier
        if not earlier:
            return
        commit = earlier.get("commit")
        self.say(
            "the run of %s was cut off (%s%s); this one starts over"
            % (earlier.get("started"), earlier.get("phase"), " of %s" % commit[:12] if commit else "")
        )
        if earlier.get("phase") == APPLY and commit:
            why = pull_decide.cut_off_too_often(self.state.cut_off(commit))
            if why:
                self.state.refuse(commit, why, self.config.digest)

    # Which commit

    def _fetch(self):
        problem = self.git.fetch()
        if problem:
            self.say("the repository cannot be fetched (%s): going on with what is here" % problem)
        self.wanted = self.config.commit or self.git.tip()
        if self.wanted and self.git.has(self.wanted):
            return
        what = "commit %s" % self.wanted if self.wanted else "branch %s" % self.config.branch
        self.wanted = self.wanted or None
        raise PullError(
            "%s of %s is not here: %s" % (what, self.config.url, problem or "the repository has none of that name")
        )

    def _admit(self, commit):
        """Refused where a commit must not be looked into any further. The last good one was admitted once, but keys
        may have been withdrawn since."""
        self.journal.enter("verify", commit)
        known = self.state.refused(commit, self.config.digest)
        if known:
            raise Refused(known)
        if self.config.verify == "signature":
            problem = self.git.unsigned(commit)
            if problem:
                raise Refused(problem)
        if self.git.has_submodules(commit):
            raise Refused(
                "it has submodules (.gitmodules), whose commits nobody has signed: put their files into the repository"
            )
        good = self.state.last_good
        descends = bool(good) and self.git.descends(commit, good)
        why = pull_decide.backwards(commit, good, descends, self.config.allow_rewind, bool(self.config.commit))
        if why:
            raise Refused(why)

    def _release(self, commit):
        """A checkout of a commit and the host's variables in it. Refused where it has none."""
        self.journal.enter("checkout", commit)
        release = self.git.checkout(commit)
        variables, problem = self.steps.variables(release, commit)
        if problem:
            self._ask_the_last_good_one(commit, problem)
            raise Refused(problem)
        self.variables, self.played = variables, (release, commit)
        return release

    def _ask_the_last_good_one(self, commit, problem):
        """PullError where an inventory cannot be read for what no commit is to blame for: a Vault password that was
        changed, a program that is gone, no memory. The last good one cannot be read then either."""
        good = self.state.last_good
        if pull_reason.environment(problem):
            raise PullError(problem)
        if not good:
            raise PullError("%s; there is no last good commit to compare with, so it is tried again" % problem)
        # Its plugins are run for that.
        if good == commit or self._counts_no_more(good):
            return
        other = self.steps.variables(self.git.checkout(good), good)[1]
        if other:
            raise PullError(
                "%s; that of the last good commit fails as well, so it may be the host: %s" % (problem, other)
            )

    def _counts_no_more(self, good):
        """Why nothing of the last good commit may be run any more, or None: its key may have been withdrawn."""
        problem = self.git.unsigned(good) if self.config.verify == "signature" else None
        return "its signature counts no more, and nothing of it is run: %s" % problem if problem else None

    def _is_its_turn(self):
        try:
            self._release(self.wanted)
            share = pull_decide.percentage(self.variables.get(_ROLLOUT, 100))
        except Refused as error:
            self._refuse(str(error))
            return False
        except ValueError as error:
            self._refuse("%s: %s" % (_ROLLOUT, error))
            return False
        if pull_decide.takes(self.config.host, share):
            return True
        number = pull_decide.bucket(self.config.host)
        self._stay(WAITING, "the rollout is at %d %%, this host's number is %d" % (share, number))
        return False

    # What is done

    def _make_live(self):
        commit = self.wanted
        applied = self._bring(APPLY, commit, fresh=True)
        self.state.not_cut_off(commit)
        if applied.ok:
            self.result, self.reason = GOOD, ""
            self._accept(commit)
            return
        if not applied.environment:
            self.state.failed(commit)
        self._say("commit %s: %s" % (commit[:12], applied.reason))
        good, back, withdrawn = self.state.last_good, None, None
        if good and not (applied.environment == pull_reason.BUSY and self.steps.done[-1].name == "site"):
            withdrawn = self._counts_no_more(good)
            updated = any(step.name == "update" for step in self.steps.done)
            back = None if withdrawn else self._go_back(good, updated)
        self.result, self.reason = pull_decide.verdict(applied, back, withdrawn)
        if self.result == REFUSED:
            self.state.refuse(commit, self.reason, self.config.digest)

    def _go_back(self, good, updated):
        self._say("going back to the last good commit %s" % good[:12])
        try:
            return self._bring("back", good, fresh=True, update=updated)
        except Refused as error:
            return pull_decide.Outcome(False, str(error))

    def _refuse(self, reason):
        self.state.refuse(self.wanted, reason, self.config.digest)
        self._say("commit %s is refused: %s" % (self.wanted[:12], reason))
        self._stay(REFUSED, reason)

    def _stay(self, result, reason):
        """Keep the host at the last good commit."""
        self.result, self.reason = result, reason
        good = self.state.last_good
        if not good:
            return
        try:
            withdrawn = self._counts_no_more(good) if result != GOOD else None
            if withdrawn:
                raise Refused(withdrawn)
            outcome = self._bring("converge", good, fresh=False)
        except Refused as error:
            outcome = pull_decide.Outcome(False, str(error))
        if outcome.ok:
            if result == GOOD:
                self._accept(good)
        elif result == REFUSED:
            self.say("the last good commit %s: %s" % (good[:12], outcome.reason))
        else:
            self.result, self.reason = FAILED, outcome.reason

    def _bring(self, phase, commit, fresh, update=True):
        """Outcome of making the host match a commit. A commit that is live already is looked at first: whatever
        differs then was changed by somebody else; where nothing does, there is nothing to run. After a run that was
        cut off, everything is run: a plan does not tell of half an update."""
        release = self._release(commit)
        self.journal.enter(phase, commit)
        self._say("%s: commit %s" % (phase, commit[:12]))
        quiet = not fresh and self._in_sync(release, commit) and not self.journal.earlier
        # An image that failed its gate with another commit is held back, and may well pass with what this one mends.
        retry = self._retry or (phase == APPLY and not self.state.may_have_held_back(commit))
        extra = ["retry_failed=true"] if retry else []
        jobs = [] if quiet else [lambda: self.steps.pull("site", "site", release, commit, *extra)]
        if jobs and update and self.place.lock_file(release, self.config.inventory):
            jobs.append(lambda: self.steps.play("update", "update", release, commit, "from_lock=true", *extra))
        jobs.append(lambda: self._status(release, commit))
        for job in jobs:
            if os.path.exists(self.place.paused):
                raise Paused
            step = job()
            if step.rc:
                reason = "%s: %s" % (step.name, step.reason)
                return pull_decide.Outcome(False, reason, pull_reason.environment(step.reason))
        return pull_decide.Outcome(True)

    def _in_sync(self, release, commit):
        """Whether the host matches a commit to the byte; what does not is drift."""
        plan = os.path.join(self.place.work, "plan.json")
        found = self._report("plan", plan, release, commit, "fail_on_drift=false")[1]
        known = ((found or {}).get("hosts") or {}).get(self.config.host) or {}
        if known.get("result") == "drift":
            self.drift = [_words(change) for change in known.get("changes") or []][:_MOST_DRIFT]
        return known.get("result") == "in_sync"

    def _status(self, release, commit):
        path = os.path.join(self.place.root, "status.json")
        step, found = self._report("status", path, release, commit, "fail_on=unhealthy")
        self.healthy = step.rc == 0 if found is None else bool(found.get("healthy"))
        return step

    def _report(self, name, path, release, commit, *extra):
        """A playbook that writes a report; (Step, what it wrote or None)."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        step = self.steps.play(name, name, release, commit, *extra, json.dumps({"output": path}))
        try:
            return step, atomic_files.read_json(path, None)
        except atomic_files.FileError:
            return step, None

    def _accept(self, commit):
        self.state.accept(commit)
        # For people; what counts stands in state.json.
        temporary = self.place.live + ".tmp"
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            os.symlink(os.path.relpath(self.place.release(commit), self.place.root), temporary)
            os.replace(temporary, self.place.live)


def _words(change):
    """A change of `plan` in words."""
    place = change.get("service") or change.get("path")
    what = str(change.get("what") or change.get("kind") or "changed")
    why = change.get("why")
    return "%s%s%s" % ("%s: " % place if place and str(place) not in what else "", what, " (%s)" % why if why else "")
