# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hide secrets in settings that are shown: by setting, by where they were written, by name and by form."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.homelab.mediastack.plugins.module_utils.log_mask import MASK, Mask

from . import inventory_files
from .plain_values import origin, plain

try:  # Since ansible-core 2.19 decrypted text still knows that it was encrypted.
    from ansible._internal._datatag._tags import VaultedValue
except ImportError:
    VaultedValue = None

# Names whose value is a secret: PLEX_TOKEN, api_key, WIREGUARD_PRIVATE_KEY, SMTP_PASS.
_NAME = re.compile(
    r"(?:pass(?:word|wd|phrase)?|secret|token|api_?key|(?:private|preshared|access|auth|encryption)_?key|claim"
    r"|credentials?|cookie)s?(?:_[0-9]+)?$",
    re.IGNORECASE,
)
# A WireGuard key is 32 bytes in base64: nothing else in a configuration looks so. A PEM text is a key or a certificate.
_WIREGUARD = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(?![A-Za-z0-9+/=])")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
# What says where a secret is, or that Compose or we put it in, is none.
_REFERENCE = re.compile(r"/|\$\{?[A-Za-z_]|@@mediastack:")
# Variables that hold other hosts, or all of these once more.
_MAGIC = frozenset(["hostvars", "vars", "groups", "environment"])


def secrets_of(task_vars, values, secret_settings):
    """Every text that must not be shown for this host.

    Args:
        task_vars: its variables, untemplated.
        values: its resolved settings.
        secret_settings: names of the settings that are secret.

    Returns:
        A set: texts under `!vault`, all texts of encrypted files, the values of secret settings and of variables with
        a secret's name.
    """
    found = set()
    for name, value in task_vars.items():
        if name in _MAGIC or not isinstance(name, str):
            continue
        whole = bool(_NAME.search(name)) or from_encrypted_file(value)
        _collect(value, whole, found)
    for name in secret_settings:
        _collect(values.get(name), True, found)
    return found


def from_encrypted_file(value):
    """Whether *value* was written in a file that is encrypted as a whole."""
    path = origin(value).rpartition(":")[0]
    return bool(path) and inventory_files.is_encrypted(path)


def is_vaulted(value):
    """Whether *value* itself is encrypted in its file (`!vault`)."""
    if getattr(value, "__ENCRYPTED__", False) or type(value).__name__ == "EncryptedString":
        return True
    return VaultedValue is not None and VaultedValue.is_tagged_on(value)


def _collect(value, whole, found):
    if isinstance(value, Mapping):
        for item in value.values():
            _collect(item, whole, found)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _collect(item, whole, found)
    elif whole or is_vaulted(value):
        try:
            text = str(value) if is_vaulted(value) else plain(value)
        except Exception:  # cannot be decrypted, so nobody can show it either
            return
        if isinstance(text, str) and text and "{{" not in text:
            found.add(text)


class SettingMask:
    """Hides what is secret in the values of settings.

    Args:
        secrets: texts as `secrets_of` finds them.
        secret_settings: names of settings that are secret as a whole.
    """

    def __init__(self, secrets, secret_settings):
        self._secrets = frozenset(secrets)
        self._mask = Mask(sorted(secrets))
        self._secret_settings = secret_settings

    def __call__(self, name, value, whole=False):
        """The value of the setting *name* as it may be shown; with *whole* nothing of it but its keys."""
        return self._shown(value, whole or name in self._secret_settings)

    def text(self, text):
        """A text without secrets."""
        if text in self._secrets:
            return MASK
        return self._mask(_PEM.sub(MASK, _WIREGUARD.sub(MASK, text)))

    def _shown(self, value, whole):
        if isinstance(value, dict):
            return {key: self._shown(item, whole or _is_secret(key, item)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._shown(item, whole) for item in value]
        if whole:
            return value if value in ("", None) else MASK
        if not isinstance(value, str):
            return value
        name, equals, item = value.partition("=")
        if equals and _is_secret(name, item):
            return f"{name}={MASK}"
        return self.text(value)


def _is_secret(name, value):
    if not isinstance(name, str) or not _NAME.search(name):
        return False
    return not (isinstance(value, str) and _REFERENCE.match(value))
