# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.settings: check every setting and the verb's extra vars, touching nothing."""

from __future__ import annotations

import functools
import os

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, extra_vars, service_files, settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

display = Display()


class ActionModule(ActionBase):
    """Runs on the controller only."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Resolve and check; fail with everything that is wrong, one problem a line."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={"verb": {"type": "str", "choices": list(extra_vars.VERBS), "default": "site"}}
        )
        verb = arguments["verb"]
        errors, unreadable, given = [], [], []
        known = functools.lru_cache(lambda: self._names(task_vars, unreadable))
        resolved = args = None
        try:
            resolved = settings.resolve(task_vars, self._templar, known=known)
        except settings.SettingsError as error:
            errors += error.errors
        try:
            args = extra_vars.parse(verb, context.CLIARGS, self._loader, known, self._templar.template)
        except extra_vars.ExtraVarsError as error:
            given = error.errors
        errors += unreadable
        first = self._told_by(task_vars) if given and not errors else None
        if first:
            # Our callback plugin keeps quiet about this result.
            return {"failed": True, "changed": False, "said_of": first, "msg": f"refused as for {first}"}
        errors += given
        if errors:
            return {"failed": True, "changed": False, "msg": _failure(errors)}
        warnings = [*resolved.warnings, *args.messages, *self._unused_hosts(task_vars)]
        self._tell(resolved.notice, task_vars, args)
        return {
            "changed": False,
            "args": args.values,
            "settings": resolved.shown(),
            "sources": resolved.sources,
            "messages": resolved.messages + args.messages,
            "warnings": warnings,
        }

    def _told_by(self, task_vars):
        """The host that tells what is wrong with the command line, where that is the same as for this one; or None."""
        host = task_vars["inventory_hostname"]
        first = (task_vars.get("ansible_play_batch") or [host])[0]
        given = load_extra_vars(self._loader)
        # Which names there are, and what an expression stands for, may be another thing for each host.
        known = task_vars["hostvars"][first]
        same_names = host == first or known.get("inventory_dir") == task_vars.get("inventory_dir")
        same_values = not any("{{" in str(value) or "{%" in str(value) for value in given.values())
        return first if first != host and same_names and same_values else None

    def _names(self, task_vars, unreadable):
        """The names in the service files, the user's beside the inventory included; `None` when they cannot be read."""
        inventory = task_vars.get("inventory_dir")
        own = os.path.join(str(inventory), service_files.OWN_GROUP) if inventory else None
        try:
            return catalogue.names(own)
        except RenderError as error:
            unreadable += error.problems
            return None

    def _unused_hosts(self, task_vars):
        """A play's hosts are chosen before any host's variables are read, so this one counts with `-e` only."""
        if "mediastack_hosts" not in task_vars or "mediastack_hosts" in load_extra_vars(self._loader):
            return []
        return ["mediastack_hosts has no effect in the inventory: it counts from the command line only (-e)."]

    def _tell(self, notice, task_vars, args):
        """The notice, once a run: by the first host, and away from standard output when a report goes there."""
        hosts = task_vars.get("ansible_play_hosts_all") or [task_vars.get("inventory_hostname")]
        if notice and task_vars.get("inventory_hostname") == hosts[0]:
            display.display(notice, stderr=args.values.get("output") == "-")


def _failure(errors):
    count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
    return "\n".join([f"Nothing was touched: {count} with the settings.", *(f"  - {error}" for error in errors)])
