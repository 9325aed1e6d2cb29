# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.rotate: new values for secrets of one host, by stack_rotate."""

from __future__ import annotations

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.homelab.mediastack.plugins.action import deploy
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    action_words,
    caller,
    deployment,
    extra_vars,
    notifying,
    rotate_rules,
)

# Of compose_stack only.
_NOT_OURS = ("state", "images", "timeout", "recreate", "wait", "stable_for", "engine_missing_ok", "pull")


class ActionModule(deploy.ActionModule):
    """One module execution on the host; no value of a secret comes back from it."""

    MODULE = "homelab.mediastack.stack_rotate"

    def run(self, tmp=None, task_vars=None):
        """Render, choose, run the module, say what there is to say."""
        ActionBase.run(self, tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={"secrets": {"type": "list", "elements": "str", "default": []}}
        )
        arguments.update(verb="rotate", state="present", services=[], profiles=[], release_holds=False, health=True)
        arguments.update(dict.fromkeys(deploy.PASSED), remove_orphans=None)
        try:
            request, values = self._request(arguments, task_vars)
            asked = [*arguments["secrets"], *request.given["secret"]]
            self._names, sentences, problems = rotate_rules.choose(asked, request.bundle["secrets"])
            if problems:
                raise extra_vars.ExtraVarsError(problems)
            request.messages += sentences
            with notifying.unreachable_is_told(self, task_vars):
                result = self._execute(request, arguments, values, task_vars)
        except deploy.WRONG as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        except AnsibleConnectionFailure as error:
            return deploy.unreachable(task_vars, error)
        return self._judged(self._told(result, request, values, task_vars), task_vars)

    def _actions(self, result):
        if result.get("failed"):
            return []
        actions = result.get("actions") or []
        return action_words.predicted(actions) if self._task.check_mode else action_words.past(actions)

    def _module_args(self, request, arguments, values):
        args = super()._module_args(request, arguments, values)
        for name in _NOT_OURS:
            args.pop(name, None)
        # Whatever is held stays so, and nothing is let go of.
        args["holds"]["verb"] = "site"
        args.update(services=[], remove_orphans=False, secrets=self._names, who=caller.who())
        args.pop("retry_failed", None)
        return args
