# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pair of vars files of one host or group: what they hold, and what they will hold."""

from __future__ import annotations

import os

from . import init_files, init_vault, init_yaml
from .init_files import Change, FilesError

_SETTINGS_HEAD = """---
# Settings of {name}, written by homelab.mediastack.init. Edit them as you like: init keeps what it does not know.
# All settings, with their defaults: ansible-doc -t role homelab.mediastack.mediastack

"""
_VAULT_HEAD = """---
# Secrets of {name}, written by homelab.mediastack.init. To change them: ansible-vault edit {path}

"""
CONFIG_FILE = "ansible.cfg"


class Pair:
    """`mediastack.yml` and `mediastack.vault.yml` of one host or group.

    Parameters:
        directory: the inventory's.
        kind: `host_vars` or `group_vars`.
        name: of the host or group.
        keyring: `init_vault.Keyring`.
    Raises:
        FilesError: they cannot be read, or not be edited by a program; the text names file and line.
    """

    def __init__(self, directory, kind, name, keyring):
        self.name = name
        self.root = directory
        self.folder, self.settings_path, self.vault_path = init_files.places(directory, kind, name)
        self._keyring = keyring
        self._before = [init_files.read(path) for path in (self.settings_path, self.vault_path)]
        self._texts, self._key = ["", ""], None
        self._entries = []
        for number, path in enumerate((self.settings_path, self.vault_path)):
            try:
                self._texts[number], key = keyring.decrypt(self._before[number] or b"", path)
                self._entries.append(init_yaml.entries(self._texts[number]))
            except init_vault.VaultError as error:
                raise FilesError(str(error)) from error
            except init_yaml.VarsFileError as error:
                raise FilesError(f"{path}: {error}.") from error
            if key and number == 0:
                raise FilesError(
                    f"{path} is encrypted; init encrypts only secrets, in {init_files.VAULT_FILE}. Decrypt it first: "
                    f"ansible-vault decrypt {path}"
                )
            self._key = key if number == 1 else None

    @property
    def paths(self):
        """Both paths."""
        return self.settings_path, self.vault_path

    @property
    def is_open(self):
        """Whether the file for secrets is there and not encrypted yet."""
        return self._before[1] is not None and self._key is None

    def values(self):
        """What the two files hold, as plain values."""
        return tuple(init_yaml.load(text) for text in self._texts)

    def fixed(self):
        """`{name: why}` of keys that a program leaves alone."""
        found = {}
        for path, entries in zip(self.paths, self._entries, strict=True):
            for name, entry in entries.items():
                if entry.fixed:
                    found[name] = f"{os.path.relpath(path, self.root)}:{entry.line} holds {entry.fixed}"
        return found

    def needs_password(self, writing, more):
        """Whether there will be something to encrypt."""
        return bool(writing.vault or writing.vault_out or more)

    def changes(self, writing, more):
        """The files to be written.

        Parameters:
            writing: `init_answers.Writing`.
            more: further secrets for the encrypted file.
        Raises:
            FilesError: a key that a program leaves alone.
        """
        found = []
        open_text = self._edited(0, writing.settings, writing.settings_out, _SETTINGS_HEAD)
        if open_text is not None:
            found.append(Change(self.settings_path, self._before[0], open_text.encode("utf-8")))
        secret_text = self._edited(1, {**writing.vault, **more}, writing.vault_out, _VAULT_HEAD)
        if secret_text is not None:
            data = self._keyring.encrypt(secret_text, self._key)
            found.append(Change(self.vault_path, self._before[1], data, 0o600, secret=True))
        return found

    def _edited(self, number, changes, removals, head):
        """The new text of a file, or `None` when it stays as it is."""
        text, path = self._texts[number], self.paths[number]
        if not changes and not removals:
            return None
        if self._before[number] is None:
            text = head.format(name=self.name, path=os.path.relpath(path, self.root))
        try:
            result = init_yaml.edit(text, changes, removals)
            # What was meant is what is read: a mistake here must not get into anybody's inventory.
            wanted = {**init_yaml.load(text), **changes}
            if init_yaml.load(result) != {name: value for name, value in wanted.items() if name not in removals}:
                raise FilesError(f"{path}: it cannot be edited safely. Set these by hand: {', '.join(changes)}.")
        except init_yaml.VarsFileError as error:
            raise FilesError(f"{path}: {error}.") from error
        return result


def config_change(directory, in_effect, password_file):
    """How Ansible is told of the password file: `(Change or None, sentence or None)`.

    Parameters:
        directory: the working directory.
        in_effect: path of the ansible.cfg that this run uses, or `None`.
        password_file: as it is to be written.
    Returns:
        A change of the working directory's ansible.cfg; or where another file is in effect, which a new one here would
        put out of effect, what to do by hand.
    Raises:
        FilesError: it cannot be read.
    """
    path = os.path.join(directory, CONFIG_FILE)
    if in_effect and os.path.realpath(in_effect) != os.path.realpath(path):
        return None, (
            f"{in_effect} is the ansible.cfg in effect and is left alone: add vault_password_file = {password_file} to "
            "its section [defaults], or give --vault-password-file with every command."
        )
    before = init_files.read(path)
    text = (before or b"").decode("utf-8", "surrogateescape")
    after = init_files.set_option(text, "defaults", "vault_password_file", password_file)
    return Change(path, before, after.encode("utf-8", "surrogateescape")), None
