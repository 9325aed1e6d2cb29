# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.credentials: passwords go to the terminal that the user looks at, and nowhere else."""

from __future__ import annotations

import json
import os

from ansible import constants, context
from ansible.plugins.action import ActionBase

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    bundle,
    catalogue,
    credentials_text,
    deployment,
    extra_vars,
    local_hosts,
    render,
    settings,
    terminal,
    unsaid,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

MODULE = "homelab.mediastack.stack_credentials"
NO_TERMINAL = (
    "Nothing was read: credentials are shown on a terminal only, never in a pipe, a file or a log. Run it at a prompt: "
    "ansible-playbook homelab.mediastack.credentials -e service=NAME"
)
DEBUG = "Nothing was read: with ANSIBLE_DEBUG Ansible prints every answer of a host; run without it"


class ActionModule(ActionBase):
    """One module execution on the host. Its answer is neither displayed, logged, registered nor seen by callbacks."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Resolve, ask the host, write to the terminal."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={"services": {"type": "list", "elements": "str", "default": []}}
        )
        refusal = NO_TERMINAL if terminal.DEVICE is None else DEBUG if constants.DEFAULT_DEBUG else None
        if refusal:
            return _failed(refusal)
        try:
            names, request, values = self._request(arguments["services"], task_vars)
        except (RenderError, settings.SettingsError, extra_vars.ExtraVarsError) as error:
            return _failed(deployment.failure(error))
        module_args = {"project_path": bundle.paths_of(values)["project"], "request": json.dumps(request)}
        with unsaid.answers(self):
            result = self._execute_module(module_name=MODULE, module_args=module_args, task_vars=task_vars)
        if result.get("failed"):
            return _failed(result.get("msg") or "the host gave no reason")
        host, entries = task_vars["inventory_hostname"], result["credentials"]
        local = host in local_hosts.among({host}, task_vars, self._task.connection)
        try:
            _write(credentials_text.text(host, entries, local))
        except OSError as error:
            return _failed(f"the terminal {terminal.DEVICE} cannot be written to: {error.strerror}")
        missing = [entry["name"] for entry in entries if entry["missing"]]
        if missing and (names or len(missing) == len(entries)):
            return _failed(f"no password yet for {', '.join(missing)}: run site first")
        return {"changed": False, "msg": f"shown on the terminal: {', '.join(entry['name'] for entry in entries)}"}

    def _request(self, services, task_vars):
        """`(names asked for, what the module needs, setting values)`."""
        renderer = render.Renderer(render.user_directory(task_vars))

        def known():
            return catalogue.names_of(renderer.facts)

        values = settings.resolve(task_vars, self._templar, known=known).values
        given = extra_vars.parse("credentials", context.CLIARGS, self._loader, known, self._templar.template).values
        names = [*services, *given["service"]]
        named = deployment.Request("credentials", "none", names, [])
        deployment.select_for(named, renderer)
        usual = renderer.select(values).apps
        apps = dict.fromkeys(known().services[name] for name in named.services)
        also = [app for app in apps if app not in usual and app != catalogue.VPN_PARENT]
        rendered = renderer.bundle(values, task_vars, self._templar, renderer.select(values, also=also))
        wanted = _wanted(rendered["services"], names, named.services)
        return (
            names,
            {
                "services": {name: _service(name, rendered) for name in wanted},
                "secrets": rendered["secrets"],
                "presets": [preset for preset in rendered["presets"] if preset["service"] in wanted],
            },
            values,
        )


def _wanted(services, names, named):
    """Names of the services to show: those with something to open; a part of an app without, only by its own name."""
    chosen = [name for name in services if not names or name in named]
    shown = [name for name in chosen if name in names or (services[name]["login"] or {}).get("kind") != "no_ui"]
    return shown or chosen


def _service(name, rendered):
    services = rendered["services"]
    service, url = services[name], rendered["routes"].get(name, {}).get("url", "")
    ports = [port for one in services.values() for port in one["ports"] if port["service"] == name]
    return {**{key: service[key] for key in ("title", "login", "wiring", "config_dir")}, "ports": ports, "url": url}


def _write(text):
    # All of a host at once: others write to the terminal too. Not as the worker's controlling terminal.
    with open(os.open(terminal.DEVICE, os.O_WRONLY | os.O_NOCTTY), "w", encoding="utf-8") as device:
        device.write(text)


def _failed(message):
    return {"failed": True, "changed": False, "msg": message}
