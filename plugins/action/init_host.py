# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.init_host: where there is no inventory, ask which server it is to be, and try it."""

from __future__ import annotations

import os
import sys

from ansible import constants, context
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    deployment,
    extra_vars,
    init_directory,
    init_files,
    init_survey,
    init_terminal,
)

GROUP = "mediastack"


class ActionModule(ActionBase):
    """Runs on the controller only; the server is tried by plain ssh."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Add the server to the inventory of this run; nothing is written."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        if not is_without_inventory(task_vars.get("groups") or {}):
            return {"changed": False, "msg": "There is an inventory; nothing to find."}
        self.terminal = init_terminal.Terminal()
        try:
            self.given = extra_vars.parse("init", context.CLIARGS, self._loader, template=self._templar.template).values
            if self._task.check_mode and not self.given["server"]:
                return _failed("Check mode asks nothing, and there is no inventory: name the server with -e server=.")
            return self._run()
        except init_terminal.Interrupted:
            return _failed(init_terminal.INTERRUPTED)
        except init_terminal.NoTerminal:
            return _failed(init_terminal.NO_TERMINAL)
        except extra_vars.ExtraVarsError as error:
            return _failed(deployment.failure(error))
        except (init_survey.SurveyError, init_files.FilesError) as error:
            return _failed(str(error))

    def _run(self):
        target, found, how = self._server()
        name = self._name(target, found)
        directory = self._directory()
        known = {"local": target.host is None, "host": target.host, "user": target.user, "port": target.port, **how}
        variables = init_directory.connection(known)
        if known["local"]:
            variables["ansible_python_interpreter"] = sys.executable
        variables.update(init_new_directory=directory, init_new_target=known)
        return {
            "changed": False,
            # As ansible.builtin.add_host answers: for this run only.
            "add_host": {"host_name": name, "groups": [GROUP], "host_vars": variables},
        }

    def _server(self):
        """The server, what it says, and how to work on it; asked for again until it can be worked on."""
        text = self.given["server"]
        if not text:
            self.terminal.say("There is no inventory yet: this asks for what is needed and writes one. Ctrl-C ends it.")
        while True:
            answer = text or self.terminal.text("Server to set up: this, or user@host", init_survey.THIS)
            try:
                target = init_survey.parse(answer)
                found = init_survey.look(target)
                how, lines = init_survey.judge(target, found)
            except init_survey.SurveyError as error:
                if text:
                    raise
                self.terminal.wrong(error.problems)
                continue
            for title, words in lines:
                self.terminal.say(f"  {title:<8}{words}")
            return target, found, how

    def _name(self, target, found):
        short = found.get("name", "").split(".")[0].lower()
        default = short if short and not init_directory.check_name(short) else target.host or "server"
        while True:
            name = self.given["server_name"] or (
                default if self._unattended() else self.terminal.text("Its name in tables and files", default)
            )
            problem = init_directory.check_name(name)
            if not problem:
                return name
            if self.given["server_name"] or self._unattended():
                raise init_survey.SurveyError(f"server_name: {problem}")
            self.terminal.wrong(problem)

    def _directory(self):
        default = init_directory.default_directory(os.getcwd())
        while True:
            text = self.given["directory"] or (
                default if self._unattended() else self.terminal.text("Directory for the inventory", default)
            )
            directory = os.path.abspath(os.path.expanduser(text))
            try:
                init_directory.refuse(directory)
            except init_files.FilesError as error:
                if self.given["directory"] or self._unattended():
                    raise
                self.terminal.wrong(str(error))
                continue
            return directory

    def _unattended(self):
        """Whether settings are given on the command line: then nothing is asked."""
        given = load_extra_vars(self._loader) if context.CLIARGS.get("extra_vars") else {}
        return bool(self.given["server"]) and any(str(name).startswith("mediastack_") for name in given)


def is_without_inventory(groups):
    """Whether there is none: Ansible's default place, and no host in it."""
    if any(hosts for hosts in groups.values()) or set(groups) - {"all", "ungrouped"}:
        return False
    _value, origin = constants.config.get_config_value_and_origin("DEFAULT_HOST_LIST")
    return origin == "default" and list(context.CLIARGS["inventory"]) == list(constants.DEFAULT_HOST_LIST)


def _failed(message):
    return {"failed": True, "changed": False, "msg": message}
