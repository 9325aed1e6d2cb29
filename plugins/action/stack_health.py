# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.stack_health: fill in what the settings know, look once, and always bring a result."""

from __future__ import annotations

import json

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    app_access,
    bundle,
    deployment,
    pull_plan,
    render,
    settings,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MODULE = "homelab.mediastack.stack_health"
NO_HARDLINKS = "split mounts: imports are copies, no hardlinks"


class ActionModule(ActionBase):
    """One module execution on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def __init__(self, *args, **kwargs):
        """As every action."""
        super().__init__(*args, **kwargs)
        #: The settings, where they were needed; and why the host could not be asked, or None.
        self._values, self._not_asked = {}, None

    def run(self, tmp=None, task_vars=None):
        """Fill in arguments, run the module; a host that cannot be asked is UNKNOWN, not an end of the play."""
        super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if value is not None}
        arguments.setdefault("host", task_vars["inventory_hostname"])
        known = {}
        # With a project and services of the caller's own there is nothing that our settings could add.
        if any(arguments.get(name) in (None, "") for name in ("services", "project_name", "project_path")):
            try:
                known = self._fill(arguments, task_vars)
            except (RenderError, settings.SettingsError) as error:
                return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        if isinstance(arguments.get("secrets"), dict):
            # As text: of a map that is hidden Ansible would hide every word in it, wherever it shows up.
            arguments["secrets"] = json.dumps(arguments["secrets"])
        try:
            result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            self._not_asked = _first_line(error)
            return {**_unknown(arguments, f"unreachable: {self._not_asked}"), **known}
        if result.get("failed") and "services" not in self._task.args:
            # Nothing was given that could be wrong: the host cannot run the module.
            self._not_asked = _first_line(result.get("msg"))
            return {**_unknown(arguments, self._not_asked), **known}
        result.pop("invocation", None)
        if known:
            known["messages"] += [result["holds_unreadable"]] if result.get("holds_unreadable") else []
            known["vpn"].update(result.get("vpn") or {})
        return {**result, **known}

    def _fill(self, arguments, task_vars):
        """Complete `arguments` in place; what is known besides, for the report: `{vpn, messages}`."""
        renderer = render.Renderer(render.user_directory(task_vars)) if "services" not in arguments else None
        values = self._values = settings.resolve(task_vars, self._templar).values
        messages = []
        if renderer:
            rendered = renderer.bundle(values, task_vars, self._templar, renderer.select(values))
            apps, secrets = app_access.of_bundle(rendered)
            arguments["services"] = [
                {**service, "app": apps.get(service["name"])} for service in bundle.health_services(rendered)
            ]
            arguments.setdefault("apps", True)
            arguments.setdefault("secrets", secrets)
            arguments.setdefault("pull_path", pull_plan.path(values))
            messages = list(rendered["messages"])
            if values["mediastack_split_mounts"]:
                messages.append(NO_HARDLINKS)
        paths = bundle.paths_of(values)
        arguments.setdefault("project_name", values["mediastack_project_name"])
        arguments.setdefault("project_path", paths["project"])
        arguments.setdefault("timeout", values["mediastack_health_timeout"])
        arguments.setdefault("disk_warn_percent", values["mediastack_disk_warn_percent"])
        arguments.setdefault("disk_critical_percent", values["mediastack_disk_critical_percent"])
        arguments.setdefault("paths", bundle.disks_of(paths))
        members = [
            service["name"]
            for service in arguments["services"]
            if service.get("holder") not in (None, service["name"], service.get("container"))
        ]
        vpn = {"enabled": values["mediastack_vpn_enabled"], "services": members}
        if vpn["enabled"]:
            vpn["provider"] = values["mediastack_vpn_provider"]
        return {"vpn": vpn, "messages": messages}


def _unknown(arguments, reason):
    """The result of a host that could not be asked, in the module's own shape."""
    return {
        "changed": False,
        "healthy": False,
        "services": [
            {
                "host": arguments["host"],
                "name": service["name"],
                "title": service.get("title") or service["name"],
                "status": "UNKNOWN",
                "message": reason,
                "latency_ms": None,
                "container": None,
                "image": service.get("image"),
                "url": None,
            }
            for service in arguments["services"]
        ],
        "disks": {},
        "diff": {"before": "", "after": ""},
        "duration_ms": 0,
    }


def _first_line(reason):
    """What went wrong, without the lines that quote commands and advice."""
    lines = [line.strip() for line in str(reason or "").splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
