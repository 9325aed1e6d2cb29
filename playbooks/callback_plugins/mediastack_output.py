# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of this directory's playbooks prints: a failure as its message, and with `-e output=-` only the report.

Ansible loads callback plugins that lie beside a playbook by itself, before the first line is printed, and whatever
stdout callback the user has. It does so too when a user's playbook imports one of ours: then nothing here takes effect.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sys
import threading
import time

from ansible import constants
from ansible.module_utils.parsing.convert_bool import BOOLEANS_TRUE
from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.plugin_utils import hangup, unread

DOCUMENTATION = r"""
name: mediastack_output
type: aggregate
short_description: Readable output of the playbooks of homelab.mediastack
description:
  - A failed task of this collection, or one whose result says nothing but its message, is shown by its message;
    C(-v) shows the dump.
  - With C(-e output=-) nothing goes to standard output but the report; what failed goes to standard error.
  - Everything comes at once, into a pipe too.
  - Of C(logs), nothing goes to standard output but the lines, unless C(-v) is given.
"""

PLAYBOOKS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# Keys of a result that says nothing but its message.
PLAIN = {"cannot_reach", "changed", "exception", "failed", "msg", "unreachable"}
# What begins so is a report, see plugins/action/report.py.
REPORT = "{"
# What Ansible says to Ctrl-C, which is how one ends watching, or following logs.
INTERRUPTED = "User interrupted execution"
# A sentence of plugins/lookup/hosts.py, in what Ansible makes of an error in a play's `hosts`: it may stand inside a
# line (and twice, before ansible-core 2.19), and the play's source follows.
NO_HOST = re.compile(r"No host to work on: .*?(?=\. No host to work on: |\n|$)")
# In place of the message of a result that only says again what was said of another host.
SAID = "\0said of another host\0"

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
        hangup.end_with_terminal(lambda: threading.Thread(target=interrupt, daemon=True).start())
        if display.verbosity == 0:
            show_messages()
            show_no_host()
        name, given = os.path.basename(path), load_extra_vars(playbook._loader)
        reports = name in ("status.yml", "leak_test.yml", "exposure.yml", "plan.yml")
        if name == "plan.yml":
            begin_report(str(given.get("output", "")))
        if reports and "-" in [output.strip() for output in str(given.get("output", "")).split(",")]:
            only_reports("watch" in given)
        elif reports and "watch" in given:
            at_once()
        elif name == "logs.yml" and display.verbosity == 0:
            only_logs(str(given.get("follow")).lower() in BOOLEANS_TRUE)
        else:
            into_pipes_too()


def is_plain(result):
    """Whether the message of a failed *result* tells all: it holds nothing else, or it is one of our own modules'.

    Those are known by their ``duration_ms``; the rest of theirs is for playbooks.
    """
    bare = all(key in PLAIN or key.startswith("_ansible") for key in result)
    return bool(result.get("msg")) and (bare or "duration_ms" in result)


def show_messages():
    """Let every stdout callback show the message of such a result, without a dump and without the task's source."""
    dump, handle, show = CallbackBase._dump_results, CallbackBase._handle_exception, display.display

    @functools.wraps(dump)
    def dump_message(self, result, *args, **kwargs):
        if result.get("said_of"):
            return SAID
        return str(result["msg"]) if is_plain(result) else dump(self, result, *args, **kwargs)

    @functools.wraps(handle)
    def handle_exception(self, result, *args, **kwargs):
        if is_plain(result) or result.get("said_of"):
            result.pop("exception", None)
        return handle(self, result, *args, **kwargs)

    @functools.wraps(show)
    def show_once(msg, *args, **kwargs):
        if SAID not in msg:
            show(msg, *args, **kwargs)

    display.display = show_once
    CallbackBase._dump_results = dump_message
    CallbackBase._handle_exception = handle_exception


def show_no_host():
    """Of a hosts pattern that stands for no host show the sentence: the playbook around it is ours, not the user's."""
    error = display.error

    @functools.wraps(error)
    def show_sentence(msg, *args, **kwargs):
        found = NO_HOST.search(str(msg))
        return error(found[0] if found else msg, *args, **kwargs)

    display.error = show_sentence


def only_reports(endless):
    """Keep standard output for reports; failures go to standard error, banners and recap nowhere.

    *endless*: the run goes on until somebody ends it.
    """
    show = display.display

    @functools.wraps(show)
    def show_report(msg, color=None, stderr=False, **kwargs):
        if msg.startswith(REPORT):
            show_now(show, endless, msg, color=color, stderr=stderr, **kwargs)
        elif is_trouble(msg, color, stderr):
            show_now(show, endless, msg, color=color, stderr=True, **kwargs)

    display.display = show_report


def begin_report(output):
    """Write an error to the files of `plan`, which the report replaces: however a run ends, and if it is killed, none
    of them tells of an earlier one. What is wrong with *output* is told later.
    """
    from ansible_collections.homelab.mediastack.plugins.plugin_utils import plan_model, report_files

    for name in output.split(","):
        # One that is wrong ends the run, and the others are to tell of that.
        with contextlib.suppress(report_files.OutputError):
            for path in report_files.check_outputs(name, plan_model.FORMATS):
                if path != report_files.STDOUT:
                    report_files.write(path, report_files.as_json(plan_model.unfinished()))


def into_pipes_too():
    """Everything when it comes: what a long task is doing is no news afterwards. A reader that is gone ends no run."""
    show = display.display

    @functools.wraps(show)
    def show_soon(msg, color=None, stderr=False, **kwargs):
        show_now(show, False, msg, color=color, stderr=stderr, **kwargs)

    display.display = show_soon


def at_once():
    """Everything when it comes, into a pipe too; Ctrl-C, which is how one ends watching, is nothing to tell of."""
    show = display.display

    @functools.wraps(show)
    def show_at_once(msg, color=None, stderr=False, **kwargs):
        if stderr and INTERRUPTED in msg:
            if sys.stdout.isatty():
                # The terminal has shown ^C; what comes next begins a line.
                show("")
            return
        show_now(show, True, msg, color=color, stderr=stderr, **kwargs)

    display.display = show_at_once


def show_now(show, endless, msg, stderr=False, **kwargs):
    """Show *msg* by *show* and hand it to the reader; one that is gone (`| head`) ends a run that is *endless*."""
    stream = sys.stderr if stderr else sys.stdout
    try:
        show(msg, stderr=stderr, **kwargs)
        stream.flush()
    except BrokenPipeError:
        # An error here would end Ansible's results thread and hang the run.
        unread.discard(stream)
        if endless and not stderr:
            threading.Thread(target=interrupt, daemon=True).start()


def interrupt():
    """End the run as Ctrl-C does; again, because in about one of a hundred runs Ansible misses it.

    A moment later, so that the worker that has just displayed something has let go of the queue's lock: ended with it,
    it would leave the main process waiting for ever.
    """
    while True:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def is_trouble(msg, color, stderr):
    """Whether a message that is not for standard output is for standard error."""
    trouble = stderr or color in (constants.COLOR_ERROR, constants.COLOR_UNREACHABLE)
    return trouble and INTERRUPTED not in msg


def only_logs(endless):
    """Keep standard output for log lines, which are what comes without a newline of the display's own.

    *endless*: the run goes on until somebody ends it.
    """
    show = display.display

    @functools.wraps(show)
    def show_lines(msg, color=None, stderr=False, newline=True, **kwargs):
        if not newline:
            show_now(show, endless, msg, color=color, stderr=stderr, newline=False, **kwargs)
        elif is_trouble(msg, color, stderr):
            show_now(show, endless, msg, color=color, stderr=True, **kwargs)

    display.display = show_lines
    unread.end_all_the_same()
