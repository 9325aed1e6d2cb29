# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of this directory's playbooks prints: a failure as its message, and with `-e output=-` only the report.

Ansible loads callback plugins that lie beside a playbook by itself, before the first line is printed, and whatever
stdout callback the user has. It does so too when a user's playbook imports one of ours: then nothing here takes effect.
"""

from __future__ import annotations

import functools
import os
import sys

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

DOCUMENTATION = r"""
name: mediastack_output
type: aggregate
short_description: Readable output of the playbooks of homelab.mediastack
description:
  - A failed task of this collection, or one whose result says nothing but its message, is shown by its message;
    C(-v) shows the dump.
  - With C(-e output=-) nothing goes to standard output but the report; what failed goes to standard error.
"""

PLAYBOOKS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# Keys of a result that says nothing but its message.
PLAIN = {"changed", "exception", "failed", "msg", "unreachable"}
# What begins so is a report, see plugins/action/report.py.
REPORT = "{"

display = Display()


class CallbackModule(CallbackBase):
    """Sets up the display at the start; prints nothing itself."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mediastack_output"

    def v2_playbook_on_start(self, playbook):
        """Before the first line: is it one of our playbooks, and where does its report go?"""
        path = os.path.realpath(playbook._file_name)
        if os.path.dirname(path) != PLAYBOOKS:
            return
        if display.verbosity == 0:
            show_messages()
        if os.path.basename(path) == "status.yml" and load_extra_vars(playbook._loader).get("output") == "-":
            only_reports()


def is_plain(result):
    """Whether the message of a failed *result* tells all: it holds nothing else, or it is one of our own modules'.

    Those are known by their ``duration_ms``; the rest of theirs is for playbooks.
    """
    bare = all(key in PLAIN or key.startswith("_ansible") for key in result)
    return bool(result.get("msg")) and (bare or "duration_ms" in result)


def show_messages():
    """Let every stdout callback show the message of such a result, without a dump and without the task's source."""
    dump, handle = CallbackBase._dump_results, CallbackBase._handle_exception

    @functools.wraps(dump)
    def dump_message(self, result, *args, **kwargs):
        return str(result["msg"]) if is_plain(result) else dump(self, result, *args, **kwargs)

    @functools.wraps(handle)
    def handle_exception(self, result, *args, **kwargs):
        if is_plain(result):
            result.pop("exception", None)
        return handle(self, result, *args, **kwargs)

    CallbackBase._dump_results = dump_message
    CallbackBase._handle_exception = handle_exception


def only_reports():
    """Keep standard output for reports; failures go to standard error, banners and recap nowhere."""
    show = display.display

    @functools.wraps(show)
    def show_report(msg, color=None, stderr=False, **kwargs):
        if msg.startswith(REPORT):
            try:
                show(msg, color=color, stderr=stderr, **kwargs)
                sys.stdout.flush()
            except BrokenPipeError:
                # The reader has enough (`| head`). An error here would end Ansible's results thread and hang the run.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif stderr or color in (constants.COLOR_ERROR, constants.COLOR_UNREACHABLE):
            show(msg, color=color, stderr=True, **kwargs)

    display.display = show_report
