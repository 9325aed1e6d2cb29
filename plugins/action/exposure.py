# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.exposure: fill in what the settings know, run the module, and always bring a result."""

from __future__ import annotations

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import bundle, deployment, render, settings, table
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MODULE = "homelab.mediastack.exposure"
PROXIES = ("traefik",)
"""`wiring.kind` of the services whose ports lead to others by name."""

display = Display()


class ActionModule(ActionBase):
    """One module execution on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Fill in arguments, run the module; with `fail: false` what went wrong is in `trouble`, for the report."""
        super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if value is not None}
        fails = bool(arguments.get("fail", True))
        try:
            self._fill(arguments, task_vars)
        except (RenderError, settings.SettingsError) as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        try:
            result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return _trouble(f"unreachable: {str(error).splitlines()[0]}", {}, fails)
        result.pop("invocation", None)
        # A JSON report on standard output is to stay alone there: the callback keeps these lines away.
        for message in result.get("messages") or []:
            display.display(f"{task_vars['inventory_hostname']}: {table.clean(message)}", color=constants.COLOR_WARN)
        if result.get("failed"):
            return _trouble(table.clean(result.get("msg")), result, fails)
        return result

    def _fill(self, arguments, task_vars):
        """Complete `arguments` in place."""
        if all(arguments.get(name) for name in ("services", "project_name", "project_path")):
            return
        values = settings.resolve(task_vars, self._templar).values
        arguments.setdefault("project_name", values["mediastack_project_name"])
        arguments.setdefault("project_path", bundle.paths_of(values)["project"])
        arguments.setdefault("timeout", values["mediastack_health_timeout"])
        if "services" in arguments:
            return
        renderer = render.Renderer(render.user_directory(task_vars))
        rendered = renderer.bundle(values, task_vars, self._templar, renderer.select(values))
        opened = set(values["mediastack_open_uis"])
        arguments["services"] = [
            _service(service, rendered["services"][service["name"]], rendered["routes"].get(service["name"]), opened)
            for service in bundle.health_services(rendered)
        ]


def _service(service, rendered, route, opened):
    """An entry of the module's `services`: no name of a user, no password."""
    return {
        **{key: service[key] for key in ("name", "title", "holder", "ports")},
        "login": {key: value for key, value in (rendered["login"] or {}).items() if key in ("kind", "closed")},
        "opened": not opened.isdisjoint((service["name"], rendered["app"])),
        "route": {key: route[key] for key in ("host", "path", "strip")} if route else None,
        "proxy": (rendered["wiring"] or {}).get("kind") in PROXIES,
    }


def _trouble(message, result, fails):
    """The result of a look that could not be taken, or not to its end."""
    known = {key: value for key, value in result.items() if key not in ("failed", "msg")}
    base = {"changed": False, "passed": False, "ports": [], "open": [], "messages": [], "duration_ms": 0, **known}
    if fails:
        return {**base, "failed": True, "msg": message}
    return {**base, "trouble": message}
