# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.config_show: the settings of a host with their origins, and the table of all hosts."""

from __future__ import annotations

import functools
import os
import sys

from ansible import context
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    catalogue,
    extra_vars,
    play_results,
    render,
    setting_origins,
    setting_rows,
    settings,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

VERB = "config_show"
ON_TERMINAL = bool(sys.stdout) and sys.stdout.isatty()
"""Read here because the plugin is imported by the main process; the workers, where it runs, have no terminal."""

display = Display()


class ActionModule(ActionBase):
    """Runs on the controller only; shows settings that are wrong as well, for these are what one looks for."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Without `variable` find one host's rows; with it print what all hosts have found."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(argument_spec={"variable": {"type": "str"}})
        if arguments["variable"]:
            return self._print(play_results.registered(arguments["variable"], task_vars))
        spec = settings.load_spec()
        try:
            args = extra_vars.parse(VERB, context.CLIARGS, self._loader, template=self._templar.template)
            chosen = setting_rows.choose(args.values["setting"], spec)
        except (extra_vars.ExtraVarsError, setting_rows.UnknownSetting) as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        problems = []
        known = functools.lru_cache(lambda: _names(task_vars, problems))
        draft = settings.draft(task_vars, self._templar, known=known)
        # A draft may lack what others need (VPN credentials, for one); what is wrong about that, `resolve` says.
        try:
            resolved = settings.resolve(task_vars, self._templar, known=known)
            warnings = [*args.messages, *resolved.warnings]
        except settings.SettingsError as error:
            problems += error.errors
            warnings = args.messages
        draft.errors[:] = problems
        origins = setting_origins.Origins(task_vars, self._loader, spec, os.environ)
        rows = setting_rows.rows(task_vars["inventory_hostname"], draft, spec, origins, task_vars)
        return {
            "changed": False,
            "rows": [row for row in rows if row["setting"] in chosen],
            "narrowed": len(chosen) < len(spec),
            "problems": list(dict.fromkeys(problems)),
            "warnings": warnings,
        }

    def _print(self, results):
        good = {host: result for host, result in results.items() if isinstance(result, dict) and "rows" in result}
        rows = [row for result in good.values() for row in result["rows"]]
        if rows:
            # Who asks for single settings wants to see all of their values.
            narrowed = all(result["narrowed"] for result in good.values())
            columns = display.columns if ON_TERMINAL and not narrowed else None
            paint = color.stringc if color.ANSIBLE_COLOR else None
            display.display("\n".join(setting_rows.render(rows, columns, paint)))
        failures = [
            f"{host}: {problem}"
            for host, result in results.items()
            for problem in (result["problems"] if host in good else [play_results.reason(result)])
        ]
        if failures:
            count = "1 problem" if len(failures) == 1 else f"{len(failures)} problems"
            lines = [f"{count} with the settings shown above.", *(f"  - {failure}" for failure in failures)]
            return {"failed": True, "changed": False, "msg": "\n".join(lines)}
        return {"changed": False, "msg": f"{len(rows)} settings of {len(good)} {'host' if len(good) == 1 else 'hosts'}"}


def _names(task_vars, problems):
    """The names in the service files, or None when these cannot be read."""
    try:
        return catalogue.names(render.user_directory(task_vars))
    except RenderError as error:
        problems += error.problems
        return None
