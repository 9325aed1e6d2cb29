# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.leak_test: fill in what the settings know, run the module."""

from __future__ import annotations

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    bundle,
    caller,
    catalogue,
    deployment,
    leak_report,
    notifying,
    progress_watch,
    render,
    settings,
    table,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MODULE = "homelab.mediastack.leak_test"
VPN_OFF = (
    "VPN OFF: torrents use your own address. mediastack_vpn_enabled is false in the inventory, so everything leaks"
)

NOT_BEHIND = (
    "{0} was not tested: mediastack_vpn_services leaves it out, so it downloads by your own address, past the VPN"
)

display = Display()


class ActionModule(ActionBase):
    """One module execution on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def __init__(self, *args, **kwargs):
        """As every action."""
        super().__init__(*args, **kwargs)
        #: Downloaders that the settings keep out of the VPN.
        self._outside = []
        self._values = {}

    def run(self, tmp=None, task_vars=None):
        """Fill in arguments, run the module; with `fail: false` what went wrong is in `trouble`, for the report."""
        super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if value is not None}
        fails = bool(arguments.get("fail", True))
        try:
            off = self._fill(arguments, task_vars)
        except (RenderError, settings.SettingsError) as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        if off:
            return _trouble(VPN_OFF, {}, fails, leak_report.FAILED)
        try:
            with progress_watch.Watch(self, task_vars, arguments["project_path"]) as watch:
                arguments["progress"] = watch.token
                result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            notifying.unreachable(self, task_vars, self._values, notifying.first_line(error))
            return _trouble(f"unreachable: {str(error).splitlines()[0]}", {}, fails)
        result.pop("invocation", None)
        if not self._task.check_mode:
            result["messages"] = [*map(NOT_BEHIND.format, self._outside), *(result.get("messages") or [])]
        self._tell(result, task_vars["inventory_hostname"])
        told = _trouble(table.clean(result.get("msg")), result, False) if result.get("failed") else result
        notifying.tell(self, task_vars, self._values, "of_leak_test", told)
        if result.get("failed"):
            return _trouble(table.clean(result.get("msg")), result, fails)
        return result

    def _tell(self, result, host):
        would = "would " if self._task.check_mode else ""
        # A JSON report on standard output is to stay alone there: the callback keeps these lines away.
        for action in result.get("actions") or []:
            display.display(f"{host}: {would}{table.clean(action)}")
        for message in result.get("messages") or []:
            display.display(f"{host}: {table.clean(message)}", color=constants.COLOR_WARN)

    def _fill(self, arguments, task_vars):
        """Complete `arguments` in place; true where the inventory has no VPN."""
        values = self._values = settings.resolve(task_vars, self._templar).values
        for name in ("ip_echo", "tracker", "public_dns", "resolvers"):
            arguments.setdefault(name, values[f"mediastack_leak_test_{name}"])
        arguments.setdefault("wait_timeout", values["mediastack_wait_timeout"])
        arguments.setdefault("lock_timeout", values["mediastack_lock_timeout"])
        arguments.setdefault("who", caller.who())
        if all(arguments.get(name) for name in ("project_name", "project_path", "members")):
            return False
        renderer = render.Renderer(render.user_directory(task_vars))
        chosen = renderer.select(values).apps
        members = catalogue.vpn_members(renderer.facts, chosen, values["mediastack_vpn_services"], True)
        usual = settings.load_spec()["mediastack_vpn_services"]["default"]
        if "members" not in arguments and values["mediastack_vpn_enabled"]:
            downloaders = catalogue.vpn_members(renderer.facts, chosen, usual, True)
            self._outside = [name for name in downloaders if name not in members]
        given = values["mediastack_secrets"]
        for name, value in {
            "project_name": values["mediastack_project_name"],
            "project_path": bundle.paths_of(values)["project"],
            "members": list(members),
            "api_key": given.get("gluetun_api_key"),
            "control_key": given.get("gluetun_control_key"),
        }.items():
            if value is not None:
                arguments.setdefault(name, value)
        return not values["mediastack_vpn_enabled"]


def _trouble(message, result, fails, state=leak_report.INCONCLUSIVE):
    """The result of a test that could not be made, or not to its end."""
    known = {key: value for key, value in result.items() if key not in ("failed", "msg")}
    base = {"changed": False, "passed": False, "checks": [], "leaking": [], "duration_ms": 0, **known}
    if fails:
        return {**base, "failed": True, "msg": message}
    return {**base, "trouble": {"state": state, "evidence": message}}
