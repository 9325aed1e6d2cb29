# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.stack_gitops: from the settings to pull mode on the host."""

from __future__ import annotations

import json
import os
import tempfile

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import deployment, pull_plan, settings
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MODULE = "homelab.mediastack.stack_gitops"

display = Display()


class ActionModule(ActionBase):
    """One module execution where the host has this collection already, two where it has not."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Resolve the settings, hand over what is needed, say what was done."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "timer": {"type": "bool", "default": True},
            }
        )
        host = task_vars["inventory_hostname"]
        try:
            values = settings.resolve(task_vars, self._templar).values
            problems = pull_plan.problems(values) if arguments["state"] == "present" else []
            if problems:
                raise RenderError("\n".join(problems))
        except (RenderError, settings.SettingsError) as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        given = {
            "state": arguments["state"],
            "timer": arguments["timer"],
            "path": pull_plan.path(values),
            "project": values["mediastack_project_name"],
        }
        if arguments["state"] == "present":
            for sentence in pull_plan.warnings(values):
                display.display(f"{host}: {sentence}", color=constants.COLOR_WARN)
            given.update(
                config=json.dumps(pull_plan.config(values, host), sort_keys=True),
                program=pull_plan.program(),
                digest=pull_plan.archive()[0],
            )
        result = self._ask(given, task_vars)
        if result.get("needs_collection") and not result.get("failed"):
            result = self._ask({**given, "archive": self._hand_over(tmp)}, task_vars)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.pop("invocation", None)
        if result.get("failed"):
            return {"failed": True, "changed": bool(result.get("changed")), "msg": result.get("msg") or str(result)}
        would = "would " if self._task.check_mode else ""
        for sentence in [*(f"{would}{action}" for action in result["actions"]), *result["messages"]]:
            display.display(f"{host}: {sentence}")
        return result

    def _ask(self, given, task_vars):
        return self._execute_module(module_name=MODULE, module_args=given, task_vars=task_vars)

    def _hand_over(self, tmp):
        """Copy the collection to the host; its path there."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "collection.tar.gz")
        descriptor, local = tempfile.mkstemp(dir=constants.DEFAULT_LOCAL_TMP)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(pull_plan.archive()[1])
            self._transfer_file(local, remote)
        finally:
            os.unlink(local)
        return remote
