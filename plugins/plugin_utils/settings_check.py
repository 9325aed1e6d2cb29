# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every setting and the verb's extra vars, checked before anything is touched, and what there is to say about them."""

from __future__ import annotations

import dataclasses
import functools
import os
import re

from ansible import constants, context
from ansible.parsing.quoting import unquote
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath
from ansible.utils.vars import load_extra_vars

from . import catalogue, extra_vars, notify_rules, secret_files, service_files, settings
from .errors import RenderError

display = Display()

# Verbs that carry secrets of the inventory to a host. The others are needed to look, to stop, and to put things right.
_BRINGS_SECRETS = ("site", "start", "update", "rollback", "restore", "rotate", "gitops")


@dataclasses.dataclass
class Checked:
    """What a check came to.

    Attributes:
        resolved: the settings, or None.
        given: the extra vars, or None.
        failure: the result of a task that fails, where anything is wrong; else None.
        warnings: sentences for the task's `warnings`.
    """

    resolved: settings.Settings | None
    given: extra_vars.VerbArgs | None
    failure: dict | None = None
    warnings: list = dataclasses.field(default_factory=list)


def check(verb, task_vars, templar, loader, names=None):
    """Check everything for one host, tell of it what is due, and return the Checked.

    Args:
        verb: the playbook's name.
        task_vars, templar, loader: the action's.
        names: function without arguments that returns the `catalogue.Names`, or raises RenderError; None: read them.
    """
    errors, unreadable, wrong = [], [], []
    names = _Names(names or functools.partial(_read_names, task_vars), unreadable)
    resolved = given = None
    try:
        resolved = settings.resolve(task_vars, templar, known=names.get)
    except settings.SettingsError as error:
        errors += error.errors
    if resolved:
        errors += notify_rules.slow_problems(resolved.values, constants.DEFAULT_LOCAL_TMP)
        if verb in _BRINGS_SECRETS:
            errors += open_files(task_vars, loader, resolved)
    try:
        given = extra_vars.parse(verb, context.CLIARGS, loader, names.get, templar.template)
    except extra_vars.ExtraVarsError as error:
        wrong = error.errors
    errors += unreadable
    first = _told_by(task_vars, loader) if wrong and not errors else None
    if first:
        # Our callback plugin keeps quiet about this result.
        failure = {"failed": True, "changed": False, "said_of": first, "msg": f"refused as for {first}"}
        return Checked(resolved, given, failure)
    errors += wrong
    if errors:
        return Checked(resolved, given, {"failed": True, "changed": False, "msg": _failure(errors)})
    _tell(resolved.notice, task_vars, given)
    warnings = [*resolved.warnings, *given.messages, *_unused_hosts(task_vars, loader), *_on_command_line(resolved)]
    return Checked(resolved, given, warnings=warnings)


def open_files(task_vars, loader, resolved):
    """Sentences about files of this controller that hold secrets in plain text where others read them."""
    given = [*(context.CLIARGS.get("vault_password_files") or ()), constants.DEFAULT_VAULT_PASSWORD_FILE]
    for identity in [*(context.CLIARGS.get("vault_ids") or ()), *(constants.DEFAULT_VAULT_IDENTITY_LIST or ())]:
        given.append(identity.partition("@")[2] or identity)
    files = dict.fromkeys(str(path) for path in given if path)
    extra = extra_vars_files()
    return secret_files.problems(task_vars, loader, resolved.values, resolved.secret, files, os.environ, extra)


def extra_vars_files():
    """The files that `-e @FILE` names, as Ansible finds them: from the directory in which it was started."""
    given = [str(text) for text in context.CLIARGS.get("extra_vars") or () if str(text).startswith("@")]
    return [unfrackpath(os.path.expanduser(unquote(text[1:])), follow=False) for text in given]


def _on_command_line(resolved):
    """A sentence for each secret setting that stands on the command line itself."""
    words = [str(text) for text in context.CLIARGS.get("extra_vars") or () if not str(text).startswith("@")]
    secret = sorted(set(resolved.secret) - secret_files.PUBLIC)
    names = [name for name in secret if any(re.search(rf"\b{name}\b", text) for text in words)]
    return [
        f"{name} is on the command line: every user of this machine reads that with ps, and the shell keeps it in its "
        "history. Put it into a file of the inventory, encrypted, or into one for -e @FILE (docs/secrets.md)."
        for name in names
    ]


class _Names:
    """The names in the service files; asked for when somebody needs them, once."""

    def __init__(self, read, unreadable):
        """`unreadable`: gets what is wrong with the files."""
        self._read, self._unreadable = read, unreadable
        self._asked, self._names = False, None

    def get(self):
        """The names; None when they cannot be read."""
        if not self._asked:
            self._asked = True
            try:
                self._names = self._read()
            except RenderError as error:
                self._unreadable += error.problems
        return self._names


def _read_names(task_vars):
    """The names, with those of the user's files beside the inventory."""
    inventory = task_vars.get("inventory_dir")
    return catalogue.names(os.path.join(str(inventory), service_files.OWN_GROUP) if inventory else None)


def _told_by(task_vars, loader):
    """The host that tells what is wrong with the command line, where that is the same as for this one; or None."""
    host = task_vars["inventory_hostname"]
    first = (task_vars.get("ansible_play_batch") or [host])[0]
    given = load_extra_vars(loader)
    # Which names there are, and what an expression stands for, may be another thing for each host.
    known = task_vars["hostvars"][first]
    same_names = host == first or known.get("inventory_dir") == task_vars.get("inventory_dir")
    same_values = not any("{{" in str(value) or "{%" in str(value) for value in given.values())
    return first if first != host and same_names and same_values else None


def _unused_hosts(task_vars, loader):
    """A play's hosts are chosen before any host's variables are read, so this one counts with `-e` only."""
    if "mediastack_hosts" not in task_vars or "mediastack_hosts" in load_extra_vars(loader):
        return []
    return ["mediastack_hosts has no effect in the inventory: it counts from the command line only (-e)."]


def _tell(notice, task_vars, given):
    """The notice, once a run: by the first host, and away from standard output when a report goes there."""
    hosts = task_vars.get("ansible_play_hosts_all") or [task_vars.get("inventory_hostname")]
    if notice and task_vars.get("inventory_hostname") == hosts[0] and _first_time("notice"):
        display.display(notice, stderr=given.values.get("output") == "-")


def _first_time(what):
    """Whether no task of this run has asked so before. The tasks of a host are processes of their own."""
    try:
        os.close(os.open(os.path.join(constants.DEFAULT_LOCAL_TMP, f"said-{what}"), os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    except OSError:
        # Twice is better than never.
        return True
    return True


def _failure(errors):
    count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    return "\n".join([f"Nothing was touched: {count} with the settings.", *(f"  - {error}" for error in errors)])
