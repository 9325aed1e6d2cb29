# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.remove: fill in what the settings know, take the stack away, print the report."""

from __future__ import annotations

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import bundle, deployment, pull_plan, render, settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError
from ansible_collections.homelab.mediastack.plugins.plugin_utils.removal_report import removal_report

MODULE = "homelab.mediastack.stack_remove"

display = Display()


class ActionModule(ActionBase):
    """One module execution on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Resolve, run the module, print the report."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={"purge_config": {"type": "bool", "default": False}}
        )
        try:
            module_args = self._module_args(arguments["purge_config"], task_vars)
        except (RenderError, settings.SettingsError) as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        result = self._execute_module(module_name=MODULE, module_args=module_args, task_vars=task_vars)
        if result.get("failed"):
            return {"failed": True, "changed": bool(result.get("changed")), "msg": result.get("msg") or str(result)}
        result.pop("invocation", None)
        host = task_vars["inventory_hostname"]
        for message in result["messages"]:
            display.display(f"{host}: {message}", color=constants.COLOR_WARN)
        display.display(removal_report(host, result, self._task.check_mode, arguments["purge_config"]))
        return result

    def _module_args(self, purge_config, task_vars):
        values = settings.resolve(task_vars, self._templar).values
        paths = bundle.paths_of(values)
        directories = []
        if purge_config:
            renderer = render.Renderer(render.user_directory(task_vars))
            rendered = renderer.bundle(values, task_vars, self._templar, renderer.select(values))
            directories = [service["config_dir"] for service in rendered["services"].values() if service["config_dir"]]
        return {
            "project_path": paths["project"],
            "project_name": values["mediastack_project_name"],
            "paths": {name: paths[name] for name in ("base", "config", "media", "downloads", "backup")},
            "purge_config": purge_config,
            "pull_path": pull_plan.path(values),
            "config_dirs": sorted(set(directories)),
            "lock_timeout": values["mediastack_lock_timeout"],
        }
