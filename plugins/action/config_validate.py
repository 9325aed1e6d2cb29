# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.config_validate: find what is wrong with a host's configuration; print it for all."""

from __future__ import annotations

import dataclasses

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    extra_vars,
    host_check,
    play_results,
    settings_check,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lint_model import ERROR, Finding

VERB = "config_validate"

display = Display()


class ActionModule(ActionBase):
    """Runs on the controller only; no host is asked."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Without `variable` check one host; with it print what all hosts have found and fail when one has errors."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(argument_spec={"variable": {"type": "str"}})
        if arguments["variable"]:
            return self._print(play_results.registered(arguments["variable"], task_vars))
        try:
            args = extra_vars.parse(VERB, context.CLIARGS, self._loader, template=self._templar.template)
        except extra_vars.ExtraVarsError as error:
            return {"failed": True, "changed": False, "msg": str(error)}

        def open_files(resolved):
            return settings_check.open_files(task_vars, self._loader, resolved)

        findings, notes = host_check.check(task_vars, self._templar, open_files)
        findings = [host_check.from_here(finding) for finding in findings]
        return {
            "changed": False,
            "valid": all(finding.level != ERROR for finding in findings),
            "findings": [dataclasses.asdict(finding) for finding in findings],
            "notes": notes,
            "warnings": args.messages,
        }

    def _print(self, results):
        findings_of = {}
        for host, result in results.items():
            if isinstance(result, dict) and "findings" in result:
                findings_of[host] = [Finding(**finding) for finding in result["findings"]]
            else:
                findings_of[host] = [Finding(ERROR, "", "", play_results.reason(result))]
        lines, sentence = host_check.lines(findings_of, color.stringc if color.ANSIBLE_COLOR else None)
        for host, result in results.items():
            lines += [f"{host}: {note}" for note in (result or {}).get("notes") or []]
        if lines:
            display.display("\n".join(lines))
        if any(finding.level == ERROR for findings in findings_of.values() for finding in findings):
            return {"failed": True, "changed": False, "msg": sentence}
        display.display(f"{sentence} ({', '.join(findings_of)})")
        return {"changed": False, "msg": sentence}
