# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.init: look at one host, ask, show, write its settings, render the stack on it."""

from __future__ import annotations

import functools
import json
import os

from ansible import context
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    bundle,
    catalogue,
    deployment,
    extra_vars,
    ingress_offer,
    init_answers,
    init_files,
    init_inventory,
    init_layers,
    init_plan,
    init_ports,
    init_proposals,
    init_questions,
    init_remedies,
    init_review,
    init_terminal,
    init_vault,
    plain_values,
    render,
    setting_sources,
    settings,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.closest import hint
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

COLLECTION = "homelab.mediastack"
BECOME_PASSWORD = "ansible_become_password"  # noqa: S105 (a variable's name)
_SUDO_TRIES = 3
_STORAGE = tuple(f"mediastack_{name}_path" for name in ("base", "config", "media", "downloads", "project"))


class InitError(Exception):
    """It goes no further; the text says why and what to do."""


class ActionModule(ActionBase):
    """One host, from the first question to the rendered stack."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """See the module's documentation. Until everything is agreed to, nothing is changed anywhere."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={"directory": {"type": "path"}, "target": {"type": "dict"}}
        )
        self.host = task_vars["inventory_hostname"]
        self.vars = task_vars
        self.terminal = init_terminal.Terminal()
        try:
            return self._run(arguments)
        except init_terminal.Interrupted:
            return _failed(init_terminal.INTERRUPTED)
        except init_terminal.NoTerminal:
            return _failed(init_terminal.NO_TERMINAL)
        except (settings.SettingsError, extra_vars.ExtraVarsError, RenderError) as error:
            return _failed(deployment.failure(error))
        except (InitError, init_files.FilesError, init_vault.VaultError, init_layers.LayersError) as error:
            return _failed(str(error))

    def _run(self, arguments):
        self.renderer = render.Renderer(render.user_directory(self.vars))
        self.known = functools.lru_cache(lambda: catalogue.names_of(self.renderer.facts))
        self.given = extra_vars.parse("init", context.CLIARGS, self._loader, self.known, self._templar.template).values
        self.keyring = init_vault.Keyring(self._loader._vault.secrets)
        self.become_password = None
        self.answered = self._answered()
        if self._task.check_mode and not self.answered:
            return {"changed": False, "msg": DESCRIPTION}
        place = self._place(arguments)
        if place is None:
            return {"changed": False, "skipped": True, "msg": f"{self.given['scope']}: settled with another host."}
        pair = init_inventory.Pair(*place, self.keyring)
        fixed = pair.fixed()
        self._refuse_fixed(fixed)
        facts = self._look_at()
        draft = settings.draft(self.vars, self._templar, known=self.known)
        answers = init_answers.Answers(draft, self.known)
        before = dict(answers.values)
        init_proposals.propose(answers, facts)
        ready = self._unattended(answers, draft) if self.answered else self._ask(answers, facts, fixed)
        return self._finish(arguments, pair, answers, before, ready)

    # -- what is there already -----------------------------------------------------------------------------------------

    def _answered(self):
        """Names of the settings that are given on the command line: then nothing is asked."""
        given = load_extra_vars(self._loader) if context.CLIARGS.get("extra_vars") else {}
        return [
            name
            for name in given
            if isinstance(name, str)
            and name.startswith(setting_sources.PREFIX)
            and not setting_sources.is_not_a_setting(name)
        ]

    def _place(self, arguments):
        """Whose files are written: `(directory, host_vars or group_vars, name)`; `None` when that was done already."""
        scope, directory = self.given["scope"], arguments["directory"] or self.vars.get("inventory_dir")
        if not directory:
            raise InitError(
                f"{self.host} is in no inventory file, so there is nowhere to write its settings. Put it into one, in "
                "the group mediastack, and name that with -i."
            )
        directory = os.path.abspath(str(directory))
        if not scope:
            return directory, "host_vars", self.host
        if arguments["directory"]:
            raise InitError("-e scope= is for an inventory that is there; here is none yet. Leave it out.")
        groups = ["all", *self.vars["group_names"]]
        if scope not in groups:
            raise InitError(f'-e scope=: {self.host} is in no group "{scope}". {hint(scope, groups)}')
        first = [host for host in self.vars["ansible_play_hosts_all"] if host in self.vars["groups"][scope]][0]
        return (directory, "group_vars", scope) if first == self.host else None

    def _refuse_fixed(self, fixed):
        wrong = [
            f"  - {name}: {fixed[name]}. Change it there, or leave it out here."
            for name in self.answered
            if name in fixed
        ]
        if wrong:
            raise InitError("\n".join(["Nothing was written: init does not change these.", *wrong]))

    # -- the host ------------------------------------------------------------------------------------------------------

    def _look_at(self, **arguments):
        """Result of host_info; sudo's password is asked for where it lacks."""
        for turn in range(_SUDO_TRIES + 1):
            said = None
            try:
                result = self._module("host_info", arguments)
            except AnsibleError as error:
                said = str(error)
                if not isinstance(error, AnsibleConnectionFailure) and not init_remedies.wants_password(said):
                    raise
            else:
                if not result.get("failed"):
                    return result
                said = " ".join(str(result.get(key) or "") for key in ("msg", "module_stderr"))
            if turn == _SUDO_TRIES or not self._ask_sudo(said, turn):
                break
        host = self.vars.get("ansible_host") or self.host
        raise InitError(
            f"{self.host} cannot be looked at: {init_remedies.sentence(said, host, self.vars.get('ansible_user'))}"
        )

    def _ask_sudo(self, said, turn):
        """Ask for the password of sudo where that is all that is missing; whether to try again."""
        become = self._connection.become
        if become is None or not init_remedies.wants_password(said):
            return False
        if turn:
            self.terminal.wrong("sudo does not take that.")
        try:
            self.become_password = self.terminal.text(f"Password of sudo on {self.host}", secret=True)
        except init_terminal.NoTerminal:
            return False
        become.set_option("become_pass", self.become_password)
        return True

    def _module(self, name, arguments, check=None):
        """Run a module of this collection on the host; `check` overrides check mode."""
        present = self._task.check_mode
        self._task.check_mode = present if check is None else check
        try:
            result = self._execute_module(
                module_name=f"{COLLECTION}.{name}", module_args=arguments, task_vars=self.vars
            )
        finally:
            self._task.check_mode = present
        result.pop("invocation", None)
        return result

    def _try_storage(self, answers):
        """host_info with the directories as they are answered; the apps' user is proposed from what it finds."""
        ids = {short: answers[short] for short in ("puid", "pgid") if answers.is_given(short)}
        result = self._look_at(
            paths=init_proposals.paths(answers),
            timezone=answers["timezone"],
            split_mounts=answers["split_mounts"],
            **{short: number for short, number in ids.items() if short not in answers.origins},
        )
        init_proposals.owner(answers, result)
        return result

    # -- answers -------------------------------------------------------------------------------------------------------

    def _ask(self, answers, facts, fixed):
        """All questions, until settings, service files and host agree."""
        self._greet(facts)
        look = functools.partial(self._try_storage, answers)
        questions = init_questions.Questions(self.terminal, answers, facts, look, fixed)
        while True:
            questions.run()
            try:
                values, packed = self._packed(answers)
                predicted = self._predicted(values, packed, answers)
            except (settings.SettingsError, RenderError) as error:
                self.terminal.wrong(_problems(error))
            else:
                if not predicted.get("failed"):
                    return values, packed, predicted
                self.terminal.wrong(predicted["msg"].splitlines())
            if not self.terminal.yes("Change the answers"):
                raise InitError("Nothing was written: the answers above do not fit.")

    def _greet(self, facts):
        platform, engine = facts["platform"], facts["engine"]
        self.terminal.title(f"Setting up {self.host}")
        self.terminal.say(f"  {platform['name']}, {platform['architecture']}, Python {platform['python']}")
        if engine["missing"]:
            self.terminal.say(f"  {engine['problem']}", warn=True)
        else:
            where = "" if engine["on_path"] else f", at {engine['path']} (not on PATH, which does no harm)"
            self.terminal.say(f"  Docker Engine {engine['version']}, Compose {engine['compose']}{where}")

    def _unattended(self, answers, draft):
        """The answers of the command line; everything that is wrong at once."""
        for name in self.answered:
            if name in answers.spec:
                answers.set(name.removeprefix(setting_sources.PREFIX), answers.values[name])
        errors = self._storage_errors(answers, draft)
        try:
            values, packed = self._packed(answers)
        except (settings.SettingsError, RenderError) as error:
            raise settings.SettingsError([*_problems(error), *errors]) from error
        if errors:
            raise settings.SettingsError(errors)
        predicted = self._predicted(values, packed)
        if predicted.get("failed"):
            raise InitError(predicted["msg"])
        return values, packed, predicted

    def _storage_errors(self, answers, draft):
        """What is wrong with the directories, as far as their settings are right."""
        if any(error.startswith(_STORAGE) for error in draft.errors):
            return []
        if not answers["base_path"]:
            return ["mediastack_base_path: this system has no usual place for data. Name a directory on a data disk."]
        return [f"{problem['what']}. {problem['remedy']}" for problem in self._try_storage(answers)["problems"]]

    def _packed(self, answers):
        """`(setting values, bundle)` of the answers over what the inventory says besides."""
        # What is given on the command line is among the variables as it was written, right or wrong.
        given = {
            name: plain_values.protect(value)
            for name, value in answers.variables().items()
            if name not in self.answered
        }
        resolved = settings.resolve({**self.vars, **given}, self._templar, known=self.known)
        for warning in resolved.warnings:
            self.terminal.say(f"  note: {warning}", warn=True)
        selection = self.renderer.select(resolved.values)
        return resolved.values, self.renderer.bundle(resolved.values, self.vars, self._templar, selection)

    def _predicted(self, values, packed, answers=None):
        """compose_stack in check mode; with `answers`, ports that are taken are moved after asking."""
        result = self._stack(values, packed, check=True)
        moves = init_ports.moves(result.get("problems") or [])
        if answers is None or not moves:
            return result
        for problem in result["problems"]:
            self.terminal.wrong(problem["what"])
        if not self.terminal.yes(f"Take {init_ports.words(moves)} instead"):
            return result
        answers.set("ports", init_ports.moved(answers["ports"], moves))
        return self._predicted(*self._packed(answers), answers)

    def _stack(self, values, packed, check):
        arguments = {
            "state": "rendered",
            "project_path": bundle.paths_of(values)["project"],
            "project_name": values["mediastack_project_name"],
            "bundle": json.dumps(packed),
            "lock_timeout": values["mediastack_lock_timeout"],
            "engine_missing_ok": True,
        }
        with ingress_offer.asked(self, packed):
            result = self._module("compose_stack", arguments, check=check or self._task.check_mode)
            if result.get("issue"):
                ingress_offer.add(packed, result["issue"])
                arguments["bundle"] = json.dumps(packed)
                result = self._module("compose_stack", arguments, check=check or self._task.check_mode)
                stuck = ingress_offer.clocks(result.get("issue") or {})
                if stuck:
                    result.update(failed=True, msg=stuck)
        return result

    # -- agreeing and writing ------------------------------------------------------------------------------------------

    def _finish(self, arguments, pair, answers, before, ready):
        """Show what is to be written, ask, write, render."""
        values, packed, predicted = ready
        more = self._more_secrets(pair, arguments)
        writing = init_answers.writing(answers, *self._typed(pair), self._inherited(arguments, pair))
        password = None
        if pair.needs_password(writing, more):
            terminal = None if self.answered else self.terminal
            password = init_plan.choose_password(self.keyring, pair.root, self.given["vault_password_file"], terminal)
        plan = init_plan.make(pair, writing, more, self.keyring, password, arguments["target"])
        self._review(answers, before, writing, plan, predicted, packed)
        result = {
            "changed": bool(plan.changes) or bool(predicted.get("changed")),
            "files": [change.path for change in plan.changes],
            "diff": [change.diff() for change in plan.changes] + list(predicted.get("diff") or []),
        }
        if self._task.check_mode:
            return {**result, "msg": "Check mode: nothing was written."}
        if not self.answered and not self.terminal.yes("\nWrite this"):
            raise InitError("Nothing was written, as you wished.")
        init_files.write(plan.changes)
        rendered = self._stack(values, packed, check=False)
        if rendered.get("failed"):
            return {**_failed(_after_writing(plan.changes, rendered["msg"])), "changed": bool(plan.changes)}
        self._say_what_next(arguments)
        return result

    def _more_secrets(self, pair, arguments):
        """sudo's password, to be kept with the other secrets where that is wanted."""
        _open, secret = pair.values()
        password = self.become_password
        if password and not self.answered and BECOME_PASSWORD not in secret:
            question = "Keep sudo's password among the encrypted settings, so that no playbook asks for it"
            return {BECOME_PASSWORD: password} if self.terminal.yes(question) else {}
        if self.answered and arguments["directory"] and self.vars.get(BECOME_PASSWORD):
            return {BECOME_PASSWORD: plain_values.plain(self._templar.template(self.vars[BECOME_PASSWORD]))}
        return {}

    def _typed(self, pair):
        """What the two files hold now, as typed values of settings."""
        return tuple(self._settings_in(values) for values in pair.values())

    def _inherited(self, arguments, pair):
        """What the host, or the scope, would have without the two files."""
        if arguments["directory"]:
            return {}
        layers = init_layers.Layers(self._loader, context.CLIARGS["inventory"], self.host)
        found = layers.without(pair.paths, self.given["scope"] or None)
        return self._settings_in(found)

    def _settings_in(self, variables):
        """Typed values of the settings among untemplated variables; of those that are right."""
        spec = settings.load_spec()
        others = {name: value for name, value in self.vars.items() if name not in spec}
        given = {name: value for name, value in variables.items() if name in spec}
        draft = settings.draft({**others, **given}, self._templar, environ={}, known=self.known)
        return {name: draft.values[name] for name in given if draft.sources[name] == settings.INVENTORY}

    def _review(self, answers, before, writing, plan, predicted, packed):
        self.terminal.title(f"Review for {self.host}")
        for line in init_review.settings(answers, before, writing):
            self.terminal.say(line)
        self.terminal.say("Files here:")
        for line in init_review.files(plan.changes, plan.notes) or ["  nothing to change"]:
            self.terminal.say(line)
        self.terminal.say(f"On {self.host}:")
        for line in init_review.host(predicted, packed):
            self.terminal.say(line)
        for message in dict.fromkeys([*plan.advice, *packed["messages"], *(predicted.get("messages") or [])]):
            self.terminal.say(f"  note: {message}", warn=True)

    def _say_what_next(self, arguments):
        where = f"cd {arguments['directory']} && " if arguments["directory"] else ""
        self.terminal.say("\nWritten and rendered; nothing was started. What would happen, and then do it:")
        self.terminal.say(f"  {where}ansible-playbook {COLLECTION}.site --check --diff")
        self.terminal.say(f"  {where}ansible-playbook {COLLECTION}.site")


DESCRIPTION = (
    "Check mode: init would look at the host, ask for storage, VPN, services and further settings, show what it would "
    "write, and write it after a yes. It starts nothing."
)


def _problems(error):
    """Sentences of a SettingsError or a RenderError."""
    return list(getattr(error, "errors", None) or error.problems)


def _failed(message):
    return {"failed": True, "changed": False, "msg": message}


def _after_writing(changes, why):
    written = ", ".join(change.path for change in changes) or "nothing"
    return (
        f"Written here: {written}. But the stack could not be rendered on the host; solve this, then run site.\n{why}"
    )
