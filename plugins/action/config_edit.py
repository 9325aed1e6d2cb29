# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.config_edit: the file with a host's settings in the user's editor, checked on saving."""

from __future__ import annotations

import functools
import os
import shlex

from ansible import constants, context
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    edit_check,
    edit_session,
    edit_target,
    editor,
    extra_vars,
    interruption,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.init_vault import Keyring, VaultError

display = Display()


class ActionModule(ActionBase):
    """Runs once, on the controller; the settings may be wrong, for mending them is what one edits for."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Find the file, open it, replace it when it is well."""
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        keyring = Keyring(self._loader._vault.secrets)
        try:
            args = extra_vars.parse(edit_target.VERB, context.CLIARGS, self._loader, template=self._templar.template)
            target = edit_target.find(
                task_vars,
                self._loader,
                args.values["file"],
                args.values["scope"],
                task_vars["ansible_play_hosts_all"],
                not keyring.empty,
            )
        except (extra_vars.ExtraVarsError, edit_target.TargetError) as error:
            return _failed(str(error))
        for message in [*args.messages, target.note]:
            if message:
                display.display(message, color=constants.COLOR_WARN)
        if self._play_context.check_mode:
            display.display(f"would open {target.shown}")
            return {"changed": False, "path": target.path, "msg": f"would open {target.shown}"}
        if editor.TERMINAL is None:
            return _failed(
                f"{edit_target.VERB} opens an editor, and there is no terminal for one. The file is "
                f"{target.shown}; edit it with: {_command(target)}"
            )
        check = functools.partial(
            edit_check.check,
            target,
            inventory_sources=task_vars.get("ansible_inventory_sources") or [],
            loader=self._loader,
            templar=self._templar,
            directory=constants.DEFAULT_LOCAL_TMP,
        )
        return self._edit(target, keyring, check)

    def _edit(self, target, keyring, check):
        unchanged = f"{target.shown} is as it was" if target.exists else f"{target.shown} was not made"
        try:
            words = editor.command(os.environ)
            signals = interruption.Interruption()
            with signals.raised(), editor.Terminal(editor.TERMINAL, signals.held) as terminal:
                session = edit_session.Session(
                    target, keyring, terminal, words, check, directory=constants.DEFAULT_LOCAL_TMP
                )
                outcome = session.run()
        except interruption.Interrupted:
            return _failed(f"Interrupted: {unchanged}.")
        except edit_session.GivenUp as error:
            return _failed(f"{unchanged}: {error}.")
        except (editor.EditorError, VaultError) as error:
            return _failed(str(error))
        except OSError as error:
            return _failed(f"{error.filename or target.shown}: {error.strerror}; {unchanged}.")
        if not outcome.changed:
            display.display(f"{unchanged}: nothing was changed.")
        elif outcome.errors:
            count = f"{outcome.errors} error{'' if outcome.errors == 1 else 's'}"
            display.display(f"{target.shown} is saved with {count}, which site refuses.", color=constants.COLOR_WARN)
        else:
            display.display(f"{target.shown} is saved. site makes the servers match it.")
        return {
            "changed": outcome.changed,
            "path": target.path,
            "errors": outcome.errors,
            "msg": f"{target.shown} is saved" if outcome.changed else unchanged,
        }


def _failed(message):
    return {"failed": True, "changed": False, "msg": message}


def _command(target):
    """What opens the file by hand, with the vault passwords of this run."""
    if not target.encrypted:
        try:
            words = editor.command(os.environ)
        except editor.EditorError:
            words = ["vi"]
        return shlex.join([*words, target.path])
    words = ["ansible-vault", "edit" if target.exists else "create"]
    for vault_id in context.CLIARGS.get("vault_ids") or ():
        words += ["--vault-id", vault_id]
    for path in context.CLIARGS.get("vault_password_files") or ():
        words += ["--vault-password-file", path]
    if context.CLIARGS.get("ask_vault_pass"):
        words.append("--ask-vault-pass")
    return shlex.join([*words, target.path])
