# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.logs: read what the services of a host wrote, or follow it; print it."""

from __future__ import annotations

import contextlib
import signal

from ansible import constants, context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.module_utils.log_mask import Mask
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    bundle,
    catalogue,
    deployment,
    extra_vars,
    log_follow,
    log_options,
    log_print,
    play_results,
    render,
    settings,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError
from ansible_collections.homelab.mediastack.plugins.plugin_utils.table import clean

MODULE = "homelab.mediastack.stack_logs"
# Text of one call of the display; a report of a hundred thousand lines does not go through a pipe at once.
AT_ONCE = 1000

display = Display()


class ActionModule(ActionBase):
    """One module execution on the host; with `follow` short looks after it, until Ctrl-C."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Read and return the lines; follow them; or print what was read of all hosts."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "service": {"type": "list", "elements": "str"},
                "tail": {"type": "int"},
                "since": {"type": "str"},
                "grep": {"type": "str"},
                "follow": {"type": "bool"},
                "variable": {"type": "str"},
            }
        )
        variable = arguments.pop("variable")
        try:
            # Not handed over by the playbook: before ansible-core 2.19 a template would make a list of grep=[0-9].
            given = extra_vars.parse("logs", context.CLIARGS, self._loader, None, self._templar.template).values
            arguments = {name: given[name] if value is None else value for name, value in arguments.items()}
            if variable:
                return self._print(variable, arguments["service"], task_vars)
            names, wish, messages = self._wish(arguments, task_vars)
        except (RenderError, settings.SettingsError, extra_vars.ExtraVarsError, log_options.OptionError) as error:
            return {"failed": True, "changed": False, "msg": deployment.failure(error)}
        self._host = task_vars["inventory_hostname"]
        for message in messages:
            self._tell(message)
        if arguments["follow"]:
            _refuse_too_many(task_vars)
            if self._task.check_mode:
                what = ", ".join(names) or "every service"
                self._tell(f"would follow {what} until Ctrl-C")
                return {"changed": False}
        module_args = _module_args(wish, arguments["follow"])
        result = self._execute_module(module_name=MODULE, module_args=module_args, task_vars=task_vars)
        result.pop("invocation", None)
        if result.get("failed"):
            return {"failed": True, "changed": False, "msg": str(result.get("msg") or "the logs could not be read")}
        unknown = [name for name in result["missing"] if name not in self._known]
        if unknown:
            return {"failed": True, "changed": False, "msg": self._no_service(unknown, result["services"])}
        for note in log_print.notes(result, names, arguments["tail"] >= 0):
            self._tell(note)
        if arguments["follow"]:
            self._follow(wish, result, names, task_vars)
        return result

    def _wish(self, arguments, task_vars):
        """`(services, fields of log_reader.Wish, messages)` of what is asked for."""
        renderer = render.Renderer(render.user_directory(task_vars))
        known = catalogue.names_of(renderer.facts)
        self._known = set(known.services)
        resolved = settings.resolve(task_vars, self._templar, known=lambda: known)
        values = resolved.values
        names, messages = log_options.services(
            arguments["service"], renderer.facts, known, bool(values["mediastack_compose_files"])
        )
        since = log_options.since(arguments["since"])
        wish = {
            "project": values["mediastack_project_name"],
            "path": bundle.paths_of(values)["project"],
            "services": names,
            "tail": log_options.tail(arguments["tail"], since, arguments["follow"]),
            "since": since,
            "grep": log_options.grep(arguments["grep"]),
            "mask": [text for name in sorted(resolved.secret) for text in _texts(values.get(name))],
        }
        return names, wish, messages

    def _no_service(self, unknown, present):
        return " ".join(
            f'"{name}" is not a service here. {log_options.hint(name, {*self._known, *present})}' for name in unknown
        )

    # Following

    def _follow(self, wish, result, names, task_vars):
        """Print what was read, then what comes, for ever."""
        hosts = task_vars.get("ansible_play_batch") or [self._host]
        services = names or sorted({line[1] for line in result["lines"]} | set(result["services"]))
        places = [(self._host, service) for service in services]
        # The hosts do not know of one another: room for the longest name keeps them aligned all the same.
        places += [(host, max(services, key=len, default="")) for host in hosts]
        printer = log_print.Printer(places, _paint())
        with _undisturbed():
            # The thread has its signals put off for good: they are for the one that displays.
            log_follow.end_with_parent()
        asker = log_follow.Asker(self, result["python"], {**wish, "seconds": log_follow.SECONDS})
        hide = Mask(wish["mask"])

        def show(answer):
            lines = answer["lines"]
            if not asker.masks_there:
                lines = [(at, service, hide(text)) for at, service, text in lines]
            _show(printer.text(self._host, lines[begin : begin + AT_ONCE]) for begin in range(0, len(lines), AT_ONCE))

        show(result)
        log_follow.Follower(asker.ask, show, self._tell, len(hosts)).run(result["positions"])

    # Printing

    def _print(self, variable, named, task_vars):
        """Print the lines of every host of the play in the order of their time."""
        registered = play_results.registered(variable, task_vars)
        results = {host: result for host, result in registered.items() if result and "lines" in result}
        lines = log_print.merged(results)
        printer = log_print.Printer(sorted({(host, service) for _at, host, service, _text in lines}), _paint())
        texts = [printer.line(host, service, text) for _at, host, service, text in lines]
        _show("\n".join(texts[begin : begin + AT_ONCE]) for begin in range(0, len(texts), AT_ONCE))
        there = {service for result in results.values() for service in result["services"]}
        missing = {service for result in results.values() for service in result["missing"]} - there
        unread = {f"{host}/{service}" for host, result in results.items() for service in result["troubles"]}
        if results and not there:
            raise AnsibleActionFail("there is no container of the stack on any of the hosts: run site")
        if missing:
            raise AnsibleActionFail(f"no container of {', '.join(sorted(missing))} on any of the hosts: run start")
        if unread and (named or not lines):
            raise AnsibleActionFail(f"the log of {', '.join(sorted(unread))} could not be read")
        return {"changed": False, "lines": len(lines)}

    def _tell(self, text):
        """A sentence for the user, beside the lines."""
        with _undisturbed():
            display.display(f"{self._host}: {clean(text)}", color=constants.COLOR_WARN, stderr=True)


def _show(texts):
    """Print log lines. Without a newline of the display's own they are told from its banners, see
    playbooks/callback_plugins/mediastack_output.py; and they are none of the run's own log file.

    Waits while nobody reads what is printed: then nothing is read on the host either.
    """
    for text in texts:
        if text:
            with _undisturbed():
                display.display(text + "\n", newline=False, screen_only=True)


@contextlib.contextmanager
def _undisturbed():
    """Put off the end of this process. What is displayed goes through a queue, and whoever is ended while it holds the
    queue's lock leaves the main process waiting for that lock for ever: Ctrl-C would hang.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _paint():
    """The function that colours, None where there are no colours."""
    return color.stringc if color.ANSIBLE_COLOR else None


def _module_args(wish, follow):
    args = dict(wish, project_name=wish["project"], project_path=wish["path"], follow=follow)
    del args["project"], args["path"]
    return args


def _texts(value):
    """Every text in a value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and value else []


def _refuse_too_many(task_vars):
    """Every host is followed by a process of its own; Ansible would leave the others waiting for ever."""
    hosts = len(task_vars.get("ansible_play_batch") or [1])
    forks = context.CLIARGS.get("forks") or constants.DEFAULT_FORKS
    if hosts > forks:
        raise AnsibleActionFail(
            f"{hosts} hosts are to be followed at once, but Ansible works on {forks} at a time: add -f {hosts}, "
            "or choose fewer hosts with --limit"
        )
