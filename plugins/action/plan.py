# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.plan: what `site` predicts for one host, as a part of the report. It never fails."""

from __future__ import annotations

import collections

from ansible import context
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.homelab.mediastack.plugins.action import deploy
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    deployment,
    extra_vars,
    notifying,
    plan_model,
    settings,
    settings_check,
)

VERB = "plan"
# What `site` is asked for; its own extra vars are none of ours.
_SITE = {
    "verb": "site",
    "state": None,
    "services": [],
    "profiles": [],
    "release_holds": False,
    # For the port that the VPN forwards: the apps are asked for it, which changes nothing.
    "health": True,
    "engine_missing_ok": True,
}
_DAEMON = "the Docker Engine on this host does not answer: start it, and look at its log (journalctl -u docker)"


class ActionModule(deploy.ActionModule):
    """The action deploy in check mode, whatever the mode of the run: one module execution on the host."""

    #: Its task is in check mode by itself, so that says nothing about whether a drift is to be told.
    ONLY_LOOKS = True

    def __init__(self, *args, **kwargs):
        """As every action."""
        super().__init__(*args, **kwargs)
        #: The settings, once they are known to be right.
        self._values = None

    def run(self, tmp=None, task_vars=None):
        """Predict; what goes wrong is a part of the report, which `plan_report` prints and fails for."""
        ActionBase.run(self, tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        self._task.check_mode = True
        given = {name: extra_vars.OPTIONS[name]["default"] for name in extra_vars.VERBS[VERB]}
        try:
            parsed = extra_vars.parse(VERB, context.CLIARGS, self._loader, None, self._templar.template)
            given = parsed.values
            plan = self._plan(parsed.messages, task_vars)
        except deploy.WRONG as error:
            plan = plan_model.trouble(deployment.failure(error))
        except AnsibleConnectionFailure as error:
            plan = plan_model.trouble(f"unreachable: {_first_line(error)}", unreachable=True)
            if self._values:
                notifying.unreachable(self, task_vars, self._values, _first_line(error))
        except AnsibleError as error:
            plan = plan_model.trouble(_first_line(error))
        if self._values and not plan.get("unreachable"):
            notifying.tell(self, task_vars, self._values, "of_plan", plan)
        return {"changed": False, "args": given, "plan": plan}

    def _plan(self, messages, task_vars):
        resolved = settings.resolve(task_vars, self._templar)
        # What `site` refuses, it does not do.
        refused = settings_check.open_files(task_vars, self._loader, resolved)
        if refused:
            raise settings.SettingsError(refused)
        # What is not asked for has its default.
        arguments = collections.defaultdict(lambda: None, _SITE)
        request, values = self._request(arguments, task_vars)
        self._values = values
        # Extra vars of `site` count for `site`.
        request.release = request.retry = False
        result = self._execute(request, arguments, values, task_vars)
        if result.get("engine_missing_reason") == "daemon":
            return plan_model.trouble(_DAEMON)
        if result.get("failed"):
            return plan_model.trouble(_message(result))
        known = [*messages, *resolved.messages, *resolved.warnings, *request.messages]
        return plan_model.host(result, request.bundle, known)


def _message(result):
    """What a failed module says; one that broke down says it in its traceback, which ansible-core 2.19 takes apart."""
    event = getattr(result.get("exception"), "event", None)
    last = str(result.get("exception") or "").strip().splitlines()[-1:]
    return result.get("msg") or getattr(event, "msg", None) or "".join(last)


def _first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
