# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.deploy: render on the controller, hand the bundle to compose_stack on the host."""

from __future__ import annotations

import json

from ansible import constants, context
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    action_words,
    backup_program,
    bundle,
    caller,
    catalogue,
    deployment,
    extra_vars,
    ingress_offer,
    local_hosts,
    lock_file,
    notifying,
    progress_watch,
    render,
    repair_program,
    report_model,
    service_files,
    settings,
    settings_check,
    status_print,
    status_text,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

display = Display()

MODULE = "homelab.mediastack.compose_stack"
# The part of it that finds nothing to do.
LOOK = "homelab.mediastack.stack_look"
VERB_STATES = {"site": "present", "start": "present", "stop": "stopped", "restart": "restarted"}
_RENDERING = ("present", "pulled")
# Verbs whose end is told to `mediastack_notify_urls`; who stops something knows.
_NOTIFIED = ("site", "start")
# States of runs for which holds count.
_HOLDING = ("present", "stopped", "restarted")
# How often the bundle is made again for what is held started, or gets new certificates: somebody else may be starting
# something meanwhile, or has made them first.
_RENDERINGS = 4
# Passed on as they are; those with a setting default to it.
PASSED = {
    "pull": "mediastack_pull",
    "recreate": None,
    "wait": None,
    "wait_timeout": "mediastack_wait_timeout",
    "timeout": None,
    "lock_timeout": "mediastack_lock_timeout",
    "stable_for": None,
    "engine_missing_ok": None,
}
# What a role needs to go on from here; it cannot see resolved settings otherwise.
_RETURNED = (
    "mediastack_engine_install",
    "mediastack_engine_source",
    "mediastack_engine_compose_version",
    "mediastack_health_timeout",
    "mediastack_wait_timeout",
)

# Actions that nothing else tells of when a run is over.
_TOLD = ("remove ", "set how ")

# What may be wrong with what the user wrote.
WRONG = (RenderError, settings.SettingsError, extra_vars.ExtraVarsError, lock_file.LockFileError)

KILLED = (
    "the run on the host ended without a result: somebody killed it, or the host ran out of memory. What it left is "
    "repaired by the next run, so run this again"
)

service_files.warm()
repair_program.warm()
backup_program.warm()


class ActionModule(ActionBase):
    """One module execution on the host, no temporary directory, no file transfer."""

    TRANSFERS_FILES = False
    MODULE = MODULE
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Resolve, render, run the module, say what there is to say."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "verb": {"type": "str", "choices": list(VERB_STATES), "default": "site"},
                "state": {"type": "str", "choices": ["present", "stopped", "restarted", "absent", "pulled"]},
                "services": {"type": "list", "elements": "str", "default": []},
                "profiles": {"type": "list", "elements": "str", "default": []},
                "remove_orphans": {"type": "bool"},
                "pull": {"type": "str", "choices": ["missing", "always", "never"]},
                "recreate": {"type": "str", "choices": ["auto", "always", "never"]},
                "wait": {"type": "bool"},
                "wait_timeout": {"type": "int"},
                "timeout": {"type": "int"},
                "lock_timeout": {"type": "int"},
                "stable_for": {"type": "int"},
                "engine_missing_ok": {"type": "bool"},
                "release_holds": {"type": "bool", "default": False},
                "health": {"type": "bool", "default": False},
            }
        )
        checked = self._checked(arguments["verb"], task_vars)
        if checked.failure:
            return checked.failure
        try:
            request, values = self._request(arguments, task_vars, checked)
            with notifying.unreachable_is_told(self, task_vars):
                result = self._execute(request, arguments, values, task_vars)
        except WRONG as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        except AnsibleConnectionFailure as error:
            return unreachable(task_vars, error)
        told = self._told(result, request, values, task_vars)
        if checked.warnings:
            told["warnings"] = [*told.get("warnings", []), *checked.warnings]
        judged = self._judged(told, task_vars)
        # Without an engine this is not the end of the run, where one is to be installed.
        ended = told.get("failed") or not told.get("engine_missing")
        if request.verb in _NOTIFIED and request.state == "present" and ended:
            notifying.tell(self, task_vars, values, "of_converge", told, request.verb, tuple(request.services))
        return judged

    def _checked(self, verb, task_vars):
        """The settings and the extra vars, checked as M(homelab.mediastack.settings) does."""
        self._renderer = None

        def names():
            self._renderer = render.Renderer(render.user_directory(task_vars))
            return catalogue.names_of(self._renderer.facts)

        return settings_check.check(verb, task_vars, self._templar, self._loader, names)

    def _judged(self, told, task_vars):
        """The result, after telling what is not well; it fails for a service that is UNHEALTHY or worse."""
        if "health" not in told or told.get("failed"):
            return told
        results = {task_vars["inventory_hostname"]: told["health"]}
        report = report_model.build(results, local_hosts.among(results, task_vars, self._task.connection))
        failed, sentence = status_text.verdict(report, "unhealthy")
        status_print.show(report, results, "problems", failed)
        return {**told, "failed": True, "msg": sentence} if failed else told

    def _told(self, result, request, values, task_vars):
        """The result as it is registered, after what there is to say was said."""
        # The bundle holds secrets; the module hides it, and nobody needs to see even that.
        result.pop("invocation", None)
        result["project"] = {
            "name": values["mediastack_project_name"],
            "path": bundle.paths_of(values)["project"],
        }
        result["settings"] = {name: values[name] for name in _RETURNED}
        messages = [*request.messages, *(request.bundle or {}).get("messages", []), *(result.get("messages") or [])]
        result["messages"] = list(dict.fromkeys(messages))
        if request.bundle:
            result["health_services"] = _health_services(request)
        if not result.get("engine_missing"):
            for message in result["messages"]:
                display.display(f"{task_vars['inventory_hostname']}: {message}", color=constants.COLOR_WARN)
            for words in self._actions(result):
                display.display(f"{task_vars['inventory_hostname']}: {words}")
        return result

    def _actions(self, result):
        """What the run would do, or has taken away or set: what it brings up tells of itself by progress and health."""
        if result.get("failed"):
            return []
        actions = result.get("actions") or []
        if self._task.check_mode:
            return action_words.predicted(actions)
        return action_words.past(action for action in actions if action.startswith(_TOLD))

    def _execute(self, request, arguments, values, task_vars):
        """Run the module, again with what is held started on the host where the inventory does not select that."""
        said = []
        for _turn in range(_RENDERINGS):
            module_args = self._module_args(request, arguments, values)
            asked = _health_services(request) if arguments["health"] else []
            if asked:
                module_args["health"] = _health_args(asked, values, task_vars["inventory_hostname"])
                module_args["forwarding"] = _forwarding(request, values)
            with progress_watch.Watch(self, task_vars, module_args["project_path"]) as watch:
                module_args["progress"] = watch.token
                result = self._looked(module_args, task_vars) if self._may_find_nothing(request, module_args) else None
                if result is None:
                    with ingress_offer.asked(self, request.bundle):
                        result = self._execute_module(
                            module_name=self.MODULE, module_args=module_args, task_vars=task_vars
                        )
            if _was_killed(result):
                return {"failed": True, "changed": True, "msg": KILLED, "messages": said, "duration_ms": 0}
            said += result.get("messages") or []
            issue = result.pop("issue", None)
            if issue:
                stuck = ingress_offer.clocks(issue)
                if stuck:
                    return {**result, "failed": True, "messages": said, "msg": stuck}
                said += ingress_offer.add(request.bundle, issue)
                continue
            if not result.get("render_also"):
                return {**result, "messages": said}
            request.held += [name for name in result["render_also"] if name not in request.held]
            self._render(request, values, task_vars)
        names = ", ".join(result.get("render_also") or ["its certificates"])
        return {**result, "failed": True, "msg": f"{names}: somebody else starts and stops these meanwhile; run again"}

    def _may_find_nothing(self, request, module_args):
        """Whether it is worth a look first. A prediction, and a forwarded port, are for the whole module."""
        usual = self.MODULE == MODULE and request.state == "present" and request.bundle
        return bool(usual) and not (self._task.check_mode or module_args.get("forwarding"))

    def _looked(self, module_args, task_vars):
        """The result where there is nothing to do; None where there is, or may be."""
        given = {name: value for name, value in module_args.items() if name != "state"}
        result = self._execute_module(module_name=LOOK, module_args={"request": given}, task_vars=task_vars)
        return None if result.get("differs") or _was_killed(result) else result

    def _render(self, request, values, task_vars):
        renderer = render.Renderer(render.user_directory(task_vars))
        try:
            deployment.render_for(request, renderer, values, task_vars, self._templar)
        except RenderError as error:
            held = ", ".join(request.held)
            hint = f"this is with what is held started on the host ({held}); -e release_holds=true lets go of it"
            raise RenderError([*error.problems, hint]) from error

    def _request(self, arguments, task_vars, checked=None):
        """What is asked for: `(deployment.Request, setting values)`."""
        verb = arguments["verb"]
        renderer = (checked and self._renderer) or render.Renderer(render.user_directory(task_vars))

        def known():
            return catalogue.names_of(renderer.facts)

        resolved = checked.resolved if checked else settings.resolve(task_vars, self._templar, known=known)
        parsed = checked.given if checked else None
        parsed = parsed or extra_vars.parse(verb, context.CLIARGS, self._loader, known, self._templar.template)
        given = parsed.values
        request = deployment.Request(
            verb=verb,
            state=arguments["state"] or VERB_STATES[verb],
            names=[*arguments["services"], *given.get("service", [])],
            profiles=[*arguments["profiles"], *given.get("profiles", [])],
            release=arguments["release_holds"] or given.get("release_holds", False),
            retry=given.get("retry_failed", False),
            given=given,
        )
        if request.state in _RENDERING:
            deployment.render_for(request, renderer, resolved.values, task_vars, self._templar)
        else:
            deployment.select_for(request, renderer)
        if request.state == "restarted" and arguments["health"]:
            # A restart renders nothing on the host (P19), but only the catalogue knows how to ask whether all is well.
            selection = renderer.select(resolved.values)
            request.looked_at = renderer.bundle(resolved.values, task_vars, self._templar, selection)
        return request, resolved.values

    def _module_args(self, request, arguments, values):
        remove = arguments["remove_orphans"]
        args = {
            "state": request.state,
            "project_path": bundle.paths_of(values)["project"],
            "project_name": values["mediastack_project_name"],
            "services": request.services,
            # A whole `site` makes the host match; the other verbs leave alone what they were not asked about.
            "remove_orphans": (request.verb == "site" and not request.services) if remove is None else remove,
        }
        if request.bundle:
            # As text: of a map that is hidden Ansible would hide every word in it, wherever it shows up.
            args["bundle"] = json.dumps(request.bundle)
        if request.state in _HOLDING:
            args["holds"] = {
                "verb": request.verb,
                "who": caller.who(),
                "why": request.words,
                "extra": request.extra,
                "unknown": request.unknown,
                "release": request.release,
            }
        if request.bundle:
            # Only `update` moves what runs to another image (P8).
            args["images"] = "keep"
            args["retry_failed"] = request.retry
        for name, setting in PASSED.items():
            value = arguments[name] if arguments[name] is not None or setting is None else values[setting]
            if value is not None:
                args[name] = value
        return args


def unreachable(task_vars, error):
    """The result for a host that cannot be reached: a failure, for that is what C(max_fail_percentage) counts.

    Of a host that Ansible calls unreachable a rollout takes no notice: one in the second batch does not stop the third.
    """
    host = task_vars["inventory_hostname"]
    return {"failed": True, "changed": False, "cannot_reach": True, "msg": f"{host} cannot be reached: {error}"}


def _was_killed(result):
    """Whether a module ended by a signal, before it could say anything: 137 is what a shell makes of SIGKILL."""
    code = result.get("rc")
    by_signal = isinstance(code, int) and (code < 0 or code > 128)
    return by_signal and "module_stdout" in result and not result["module_stdout"].strip()


def _health_services(request):
    """The services that the request is about, as stack_health takes them."""
    rendered = request.bundle or request.looked_at
    if not rendered:
        return []
    about = set(request.services)
    if request.state == "restarted":
        # What lives in the network of one that is restarted is restarted along.
        about.update(name for name, one in rendered["services"].items() if one["network_parent"] in about)
    return [one for one in bundle.health_services(rendered) if not about or one["name"] in about]


def _forwarding(request, values):
    """Option `forwarding`: what a port that the provider forwards is about; nothing where none is asked for."""
    if not (request.bundle and values["mediastack_vpn_enabled"] and values["mediastack_vpn_port_forwarding"]):
        return []
    from ansible_collections.homelab.mediastack.plugins.plugin_utils import app_access

    return app_access.forwarding_services(bundle.health_services(request.bundle), request.bundle)


def _health_args(services, values, host):
    """Arguments of `health_sweep.result`."""
    paths = bundle.paths_of(values)
    return {
        "services": services,
        "host": host,
        "project_name": values["mediastack_project_name"],
        "project_path": paths["project"],
        "paths": bundle.disks_of(paths),
        "timeout": values["mediastack_health_timeout"],
        "grace": 60,
        "wait": values["mediastack_wait_timeout"],
    }
