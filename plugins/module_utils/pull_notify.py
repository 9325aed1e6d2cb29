# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells people of a pull run by the playbook `notify` of the collection, where there is one and the inventory names
addresses. A courtesy: whatever goes wrong with it, the run has ended as it has.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, pull_report
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import PullError

_PLAYBOOK = "notify"
_ADDRESSES = "mediastack_notify_urls"
BAD, GOOD = "bad", "good"


def news(last, notified):
    """What is to be told: `[(condition, state, message)]`, only what differs from what was told before. Drift and
    health are told by the playbooks plan and status themselves.

    Parameters:
        last: `last.json`.
        notified: `{condition: [state, message]}`.
    """
    state = GOOD if last["ok"] else BAD
    # Without the drift in it: the same trouble is told once.
    message = pull_report.sentence(dict(last, drift=[]))
    before = notified.get("pull")
    # What was never bad is no news.
    if before is None and state == GOOD:
        return []
    if before is not None and before[0] == state and (state == GOOD or before[1] == message):
        return []
    return [("pull", state, message)]


def tell(run, last):
    """Call the playbook for every piece of news; `run`: a Run that has ended."""
    if not run.played or not run.variables.get(_ADDRESSES):
        return
    release, commit = run.played
    if not os.path.isdir(release) or not run.steps.has_playbook(_PLAYBOOK, release):
        return
    path = os.path.join(run.place.work, "notify.json")
    for condition, state, message in news(last, run.state.notified):
        try:
            atomic_files.write_json(path, {"condition": condition, "state": state, "message": message})
            if run.steps.play(_PLAYBOOK, _PLAYBOOK, release, commit, "@%s" % path).rc == 0:
                run.state.tell(condition, (state, message))
        except (FileError, OSError, PullError) as error:
            run.say("nobody was told of it: %s" % error)
