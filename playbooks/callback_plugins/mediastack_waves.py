# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At the end of a rollout that stopped: which host has what.

Lies beside the playbooks, so that Ansible loads it by itself, as `mediastack_output.py` does.
"""

from __future__ import annotations

import os

from ansible import constants
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: mediastack_waves
type: aggregate
short_description: Which hosts of a stopped rollout are done, failed and untouched
description:
  - When C(site) or C(update) on several hosts failed, the last lines say which hosts are done, which failed and why,
    and which were not touched.
"""

PLAYBOOKS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ROLLOUTS = ("site.yml", "update.yml")
# What changes a host; of an update only the step that does.
CHANGING = {"homelab.mediastack.deploy": None, "homelab.mediastack.update": "apply"}
DONE, FAILED, UNREACHABLE, UNTOUCHED = "done", "failed", "not reached", "untouched"


class CallbackModule(CallbackBase):
    """Notes how each host came out of the task that changes it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mediastack_waves"

    def __init__(self):
        super().__init__()
        self._ours, self._hosts, self._came_out = False, [], {}

    def v2_playbook_on_start(self, playbook):
        """Is it a rollout of ours?"""
        path = os.path.realpath(playbook._file_name)
        self._ours = os.path.dirname(path) == PLAYBOOKS and os.path.basename(path) in ROLLOUTS

    def v2_playbook_on_play_start(self, play):
        """Which hosts there are: before the first batch all of them are in the play."""
        if self._ours:
            known = play.get_variable_manager().get_vars(play=play)
            self._hosts += [host for host in known.get("ansible_play_hosts_all", []) if host not in self._hosts]

    def v2_runner_on_ok(self, result):
        """An update that went back is a result like any other."""
        if self._changes(result):
            self._note(result, FAILED if result._result.get("trouble") else DONE)

    def v2_runner_on_skipped(self, result):
        """There was nothing to change."""
        if self._changes(result):
            self._note(result, DONE)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """Whatever failed, this host is not as it should be; but a task for all of them is about none of them."""
        if not self._ours or ignore_errors or result._task.run_once:
            return
        if self._came_out.get(result._host.get_name(), (DONE,))[0] == DONE:
            self._note(result, UNREACHABLE if result._result.get("cannot_reach") else FAILED)

    def v2_runner_on_unreachable(self, result):
        """Another task than ours could not reach it."""
        if self._ours:
            self._note(result, UNREACHABLE)

    def v2_playbook_on_stats(self, stats):
        """Say it, where not all hosts came out alike."""
        came_out = {host: self._came_out.get(host, (UNTOUCHED, "")) for host in self._hosts}
        bad = any(what != DONE for what, _why in self._came_out.values())
        if not bad or len({what for what, _why in came_out.values()}) < 2:
            return
        self._display.display("\n".join(summary(came_out)), color=constants.COLOR_ERROR)

    def _changes(self, result):
        if not self._ours or result._task.action not in CHANGING:
            return False
        step = CHANGING[result._task.action]
        return step is None or result._task.args.get("step", step) == step

    def _note(self, result, what):
        why = result._result.get("trouble") or result._result.get("msg") or ""
        self._came_out[result._host.get_name()] = (what, str(why) if what != DONE else "")


def summary(came_out):
    """The lines.

    Args:
        came_out: host → (what, why), in the order of the play.
    """
    hosts_of = {}
    for host, (what, _why) in came_out.items():
        hosts_of.setdefault(what, []).append(host)
    counts = ", ".join(
        f"{len(hosts_of[what])} {what}" for what in (DONE, FAILED, UNREACHABLE, UNTOUCHED) if what in hosts_of
    )
    lines = [f"{len(came_out)} hosts: {counts}"]
    for what in (DONE, FAILED, UNREACHABLE, UNTOUCHED):
        if what in (FAILED, UNREACHABLE):
            lines += [f"  {what:<12} {_reason(host, came_out[host][1])}" for host in hosts_of.get(what, [])]
        elif what in hosts_of:
            lines.append(f"  {what:<12} {', '.join(hosts_of[what])}")
    return lines


def _reason(host, text):
    """What went wrong, in a line: a sentence that ends with a colon says nothing without the one after it."""
    lines = [line.strip("- ") for line in text.strip().removeprefix(f"{host} cannot be reached: ").splitlines()]
    words = lines[0] if lines else "see above"
    return f"{host}: {words} {lines[1]}" if words.endswith(":") and len(lines) > 1 else f"{host}: {words}"
