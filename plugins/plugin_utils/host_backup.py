# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the actions of backups and of drills have in common."""

from __future__ import annotations

from ansible import constants
from ansible.utils.display import Display

from . import (
    action_words,
    bundle,
    caller,
    deployment,
    notifying,
    progress_watch,
    render,
    settings,
    table,
)
from .errors import RenderError

display = Display()


def run(action, task_vars, module, line, findings, defaults=()):
    """Run *module* on the host with what the settings know, and say in a line what came of it.

    Args:
        action: the `ActionBase`.
        task_vars: of its run.
        module: its full name.
        line: function of a result that gives one line for people.
        findings: name of the function of `notify_conditions` that says what is to be told.
        defaults: `(option, setting)` pairs, for options that are not given.
    """
    arguments = {name: value for name, value in action._task.args.items() if value is not None}
    try:
        values = settings.resolve(task_vars, action._templar).values
        if arguments.get("services"):
            arguments["services"] = _services(arguments["services"], task_vars)
    except (RenderError, settings.SettingsError) as error:
        return {"failed": True, "changed": False, "msg": deployment.failure(error)}
    arguments.setdefault("project_path", bundle.paths_of(values)["project"])
    arguments.setdefault("who", caller.who())
    for option, setting in defaults:
        arguments.setdefault(option, values[setting])
    host = task_vars["inventory_hostname"]
    with progress_watch.Watch(action, task_vars, arguments["project_path"]) as watch:
        arguments["progress"] = watch.token
        with notifying.unreachable_is_told(action, task_vars):
            result = action._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
    result.pop("invocation", None)
    for message in result.get("messages") or []:
        display.display(f"{host}: {table.clean(message)}", color=constants.COLOR_WARN)
    if action._task.check_mode:
        for words in action_words.predicted(result.get("actions") or []):
            display.display(f"{host}: {table.clean(words)}")
    elif result.get("id") and result.get("services"):
        color = constants.COLOR_ERROR if result.get("failed") else constants.COLOR_OK
        display.display(f"{host}: {table.clean(line(result))}", color=color)
    if result.get("failed"):
        result["msg"] = table.clean(result.get("msg"))
    notifying.tell(action, task_vars, values, findings, result, bool(arguments.get("services")))
    return result


def _services(names, task_vars):
    """Services for names of services or apps."""
    request = deployment.Request("backup", "", list(names), [])
    deployment.select_for(request, render.Renderer(render.user_directory(task_vars)))
    return request.services
