# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.settings: check every setting and the verb's extra vars, touching nothing."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.homelab.mediastack.plugins.plugin_utils import extra_vars, service_files, settings_check

service_files.warm()


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
        checked = settings_check.check(arguments["verb"], task_vars, self._templar, self._loader)
        if checked.failure:
            return checked.failure
        resolved, given = checked.resolved, checked.given
        return {
            "changed": False,
            "args": given.values,
            "settings": resolved.shown(),
            "sources": resolved.sources,
            "messages": resolved.messages + given.messages,
            "warnings": checked.warnings,
        }
