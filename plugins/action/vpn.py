# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.vpn: fill in what the settings know, run the module, say in one line what is so."""

from __future__ import annotations

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    action_words,
    bundle,
    caller,
    catalogue,
    deployment,
    progress_watch,
    render,
    settings,
    table,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MODULE = "homelab.mediastack.vpn"
VERBS = {"status": "vpn_status", "started": "vpn_start", "stopped": "vpn_stop"}

display = Display()


class ActionModule(ActionBase):
    """One module execution on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Fill in arguments, run the module; a failure is its sentence and nothing else."""
        super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if value is not None}
        try:
            off = self._fill(arguments, task_vars)
        except (RenderError, settings.SettingsError) as error:
            return _failed(deployment.failure(error))
        if off:
            return _failed(off)
        host = task_vars["inventory_hostname"]
        with progress_watch.Watch(self, task_vars, arguments["project_path"]) as watch:
            arguments["progress"] = watch.token
            result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        result.pop("invocation", None)
        in_words = action_words.predicted if self._task.check_mode else action_words.past
        for words in in_words(result.get("actions") or []):
            display.display(f"{host}: {table.clean(words)}")
        if result.get("failed"):
            return _failed(table.clean(result.get("msg")), result.get("changed", False))
        for message in result["messages"]:
            display.display(f"{host}: {table.clean(message)}", color=constants.COLOR_WARN)
        if result["connected"]:
            display.display(f"{host}: {line(result)}", color=constants.COLOR_OK)
        return result

    def _fill(self, arguments, task_vars):
        """Complete `arguments` in place; a sentence when the inventory has no VPN."""
        if all(arguments.get(name) for name in ("project_name", "project_path", "members")):
            return None
        renderer = render.Renderer(render.user_directory(task_vars))
        values = settings.resolve(task_vars, self._templar).values
        state = arguments.get("state", "status")
        if not values["mediastack_vpn_enabled"]:
            return without_vpn(state)
        paths = bundle.paths_of(values)
        chosen = renderer.select(values).apps
        members = catalogue.vpn_members(renderer.facts, chosen, values["mediastack_vpn_services"], True)
        given = values["mediastack_secrets"]
        for name, value in {
            "project_name": values["mediastack_project_name"],
            "project_path": paths["project"],
            "members": list(members),
            "api_key": given.get("gluetun_api_key"),
            "control_key": given.get("gluetun_control_key"),
            "wait_timeout": values["mediastack_wait_timeout"],
            "lock_timeout": values["mediastack_lock_timeout"],
            "who": caller.who(),
            "why": VERBS.get(state, state) + (" -e stop_apps=true" if arguments.get("stop_apps") else ""),
        }.items():
            if value is not None:
                arguments.setdefault(name, value)
        return None


def line(result):
    """One line on a connected VPN."""
    place = ", ".join(part for part in (result["country"], result["city"]) if part) or "an unknown country"
    words = f"VPN connected: {result['provider'] or 'provider unknown'}"
    if result["vpn_type"]:
        words += f" ({result['vpn_type']})"
    words += f", exit in {place}, public IP {result['public_ip'] or 'not looked up'}"
    ports = result["forwarded_ports"]
    if ports:
        words += f", forwarded port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"
    else:
        words += ", forwarded port unknown" if ports is None else ", no forwarded port"
    behind = ", ".join(result.get("running") or []) or "nothing"
    return table.clean(f"{words}; behind it: {behind}")


def without_vpn(state):
    """What to say where the inventory has no VPN."""
    words = "VPN OFF: torrents use your own address. mediastack_vpn_enabled is false in the inventory"
    if state == "started":
        return f"{words}; set it to true and run site"
    return f"{words}, so there is no VPN to stop, and no kill switch" if state == "stopped" else words


def _failed(message, changed=False):
    return {"failed": True, "changed": changed, "msg": message}
