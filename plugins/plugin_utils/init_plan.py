# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All files that a run writes on the controller, with what there is to say about each."""

from __future__ import annotations

import dataclasses
import os

from ansible import constants

from . import init_directory, init_inventory, init_vault
from .init_files import Change


@dataclasses.dataclass(frozen=True)
class Password:
    """The file of the vault's password: `typed` as it is written into ansible.cfg, `full` path, whether it is `new`."""

    typed: str
    full: str
    new: bool


@dataclasses.dataclass
class Plan:
    """The files (`init_files.Change`), words to put behind a path, and what to do by hand."""

    changes: list
    notes: dict
    advice: list


def choose_password(keyring, root, given, terminal=None):
    """Where the vault's password is, or will be; the keyring knows it afterwards.

    Parameters:
        keyring: `init_vault.Keyring`.
        root: directory of the inventory.
        given: path of the command line; empty for the default.
        terminal: asks for it; without one the path must do.
    Returns:
        `Password`, or `None` where Ansible knows a password already: that setting is used as it is.
    Raises:
        VaultError: without a terminal, why the path does not do.
    """
    if not keyring.empty:
        return None
    # Where this runs is no repository for that alone: it may be the user's home, in which the proposed file lies.
    outside = [root, *filter(None, map(init_vault.repository_of, (root, os.getcwd())))]
    default = path = given or init_vault.default_password_file(os.environ)
    if terminal:
        terminal.title("Password of the encrypted settings")
        terminal.say("It stands in a file that only you can read, outside of the inventory.")
    while True:
        if terminal:
            path = terminal.text("Password file", default)
        errors = init_vault.check_password_file(path, outside)
        if not errors:
            break
        if not terminal:
            raise init_vault.VaultError("\n".join(f"vault_password_file: {error}" for error in errors))
        terminal.wrong(errors)
    full = os.path.abspath(os.path.expanduser(path))
    new = not os.path.exists(full)
    keyring.add(init_vault.new_password() if new else init_vault.read_password(full))
    return Password(path, full, new)


def make(pair, writing, more, keyring, password, target=None):
    """The plan.

    Parameters:
        pair: `init_inventory.Pair`.
        writing: `init_answers.Writing`.
        more: further secrets for the encrypted file.
        keyring: `init_vault.Keyring`.
        password: `Password` or `None`.
        target: how the host is reached, for a new directory; `None` where there is an inventory.
    """
    plan = Plan(pair.changes(writing, more), {}, [])
    if pair.is_open and pair.needs_password(writing, more):
        plan.notes[pair.vault_path] = "was readable, is encrypted now"
    if password and password.new:
        data = keyring.newest() + b"\n"
        plan.changes.append(Change(password.full, None, data, 0o600, secret=True, directory_mode=0o700))
        plan.notes[password.full] = init_vault.BACK_UP
    if target:
        typed = password.typed if password else None
        plan.changes = [*init_directory.changes(pair.root, pair.name, target, typed), *plan.changes]
    elif password:
        change, sentence = init_inventory.config_change(os.getcwd(), constants.CONFIG_FILE, password.typed)
        if change:
            plan.changes.append(change)
            plan.notes[change.path] = f"vault_password_file = {password.typed}"
        else:
            plan.advice.append(sentence)
    return plan
