# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Encrypted vars files, and the file that holds their password."""

from __future__ import annotations

import os
import secrets as random
import stat

from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret, is_encrypted, match_encrypt_secret

BACK_UP = "Back this file up: nobody can recover it, and without it nobody can read the encrypted settings."


class VaultError(ValueError):
    """Encrypted text that cannot be read, or a password file that cannot be used; the text has the remedy."""


class Keyring:
    """The vault passwords of a run.

    Parameters:
        secrets: `[(vault id, VaultSecret)]`, as Ansible's data loader has them.
    """

    def __init__(self, secrets):
        self._secrets = list(secrets or [])

    @property
    def empty(self):
        """Whether there is no password at all."""
        return not self._secrets

    def add(self, password):
        """Take a password that Ansible was not started with.

        Parameters:
            password: bytes.
        """
        self._secrets.append((constants.DEFAULT_VAULT_IDENTITY, VaultSecret(password)))

    def newest(self):
        """The password that was added last, as bytes."""
        return self._secrets[-1][1].bytes

    def decrypt(self, data, path):
        """The text of a vars file and by what it is encrypted: `(text, (vault id, secret) or None)`.

        Parameters:
            data: bytes of the file, encrypted or not.
            path: for messages.
        Raises:
            VaultError: no password fits, or it is not UTF-8.
        """
        key = None
        if is_encrypted(data):
            for candidate in self._secrets:
                try:
                    data = VaultLib([candidate]).decrypt(data)
                except AnsibleError:
                    continue
                key = candidate
                break
            if key is None:
                raise VaultError(
                    f"{path}: it is encrypted, and no vault password of this run fits. Give the right one "
                    "(--vault-password-file, or vault_password_file in ansible.cfg)."
                )
        try:
            return data.decode("utf-8"), key
        except UnicodeDecodeError as error:
            raise VaultError(f"{path}: it is not UTF-8 text.") from error

    def encrypt(self, text, key=None):
        """The bytes of an encrypted vars file.

        Parameters:
            text: the plain text.
            key: what `decrypt` gave; by default what Ansible itself would encrypt with.
        Raises:
            VaultError: `vault_encrypt_identity` names a password that there is not.
        """
        try:
            vault_id, secret = key or match_encrypt_secret(self._secrets, constants.DEFAULT_VAULT_ENCRYPT_IDENTITY)
        except AnsibleError as error:
            advice = "Give that password, or take vault_encrypt_identity out of ansible.cfg."
            raise VaultError(f"{error}. {advice}") from error
        return VaultLib().encrypt(text.encode("utf-8"), secret, vault_id)


def default_password_file(environ):
    """Where the password is kept unless somebody says otherwise: in the user's own configuration."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join("~", ".config")
    return os.path.join(base, "mediastack", "vault-password")


def check_password_file(path, outside_of):
    """Why a file cannot be the password file, as sentences; none when it can, or can be made.

    Parameters:
        path: as typed; `~` is the user's home.
        outside_of: directories that may end up in a repository.
    """
    full = os.path.abspath(os.path.expanduser(path))
    if not os.path.isabs(os.path.expanduser(path)):
        return [f"{path} is relative. Write an absolute path, such as ~/.config/mediastack/vault-password."]
    real = os.path.realpath(full)
    for directory in outside_of:
        if _inside(real, os.path.realpath(directory)):
            return [f"{path} lies in {directory}, which may be committed. Choose a file outside of it."]
    if not os.path.lexists(full):
        above = _existing(os.path.dirname(full))
        if not os.access(above, os.W_OK | os.X_OK):
            return [f"{path} cannot be made: {above} is not writable for you. Choose another."]
        return []
    try:
        info = os.stat(full)
    except OSError as error:
        return [f"{path}: {error.strerror}."]
    if not stat.S_ISREG(info.st_mode):
        return [f"{path} is not a file."]
    if stat.S_IMODE(info.st_mode) & 0o077:
        return [f"{path} can be read by others. chmod 600 {path}"]
    if info.st_mode & 0o111:
        return [f"{path} is a program. Set it as vault_password_file in ansible.cfg yourself, then run init again."]
    try:
        if not read_password(full):
            return [f"{path} is empty. Remove it, and it is made anew."]
    except OSError as error:
        return [f"{path}: {error.strerror}."]
    return []


def read_password(path):
    """The password in a file, as Ansible reads it: without blanks and line ends around it."""
    with open(path, "rb") as stream:
        return stream.read().strip()


def new_password():
    """A password with 256 bits of chance, as bytes."""
    return random.token_urlsafe(32).encode("ascii")


def repository_of(directory):
    """The git work tree that a directory is in, or `None`."""
    place = os.path.realpath(directory)
    while True:
        if os.path.exists(os.path.join(place, ".git")):
            return place
        above = os.path.dirname(place)
        if above == place:
            return None
        place = above


def _existing(directory):
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def _inside(path, directory):
    return path == directory or path.startswith(directory.rstrip("/") + "/")
