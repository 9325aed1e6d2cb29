# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's directory with an inventory, read by Ansible itself, for tests of the config verbs."""

from __future__ import annotations

import pathlib

import render_harness
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.plugins.vars import host_group_vars
from ansible.template import Templar
from ansible.vars.manager import VariableManager

try:  # Since ansible-core 2.19 a value under !vault is decrypted where it is used, by what the run has set up.
    from ansible.parsing.vault import VaultSecretsContext
except ImportError:
    VaultSecretsContext = None

KEY = render_harness.KEY
VPN_OFF = "mediastack_vpn_enabled: false\n"
SECRETS = [("default", VaultSecret(b"a password")), ("other", VaultSecret(b"another one"))]


class World:
    """Files below a directory; `variables` are what an action of the host would see."""

    def __init__(self, directory):
        if VaultSecretsContext and not VaultSecretsContext.current(optional=True):
            VaultSecretsContext.initialize(VaultSecretsContext(SECRETS))
        self.directory = pathlib.Path(directory)
        self.sources = ["inventory.yml"]
        self.write("inventory.yml", "mediastack:\n  hosts:\n    nas:\n    attic:\n")
        self.write("group_vars/mediastack/mediastack.yml", VPN_OFF)

    def write(self, path, text, secret=None):
        """Write a file; with *secret*, a number in `SECRETS`, encrypted."""
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if secret is not None:
            vault_id, password = SECRETS[secret]
            file.write_bytes(VaultLib().encrypt(text.encode(), password, vault_id))
        else:
            file.write_text(text)
        return file

    def path(self, path):
        """The absolute path of a file."""
        return str(self.directory / path)

    def loader(self):
        """Ansible's loader with the vault passwords."""
        loader = DataLoader()
        loader.set_vault_secrets(SECRETS)
        loader.set_basedir(str(self.directory))
        return loader

    def variables(self, host="nas"):
        """The host's variables, as Ansible has them now."""
        host_group_vars.FOUND.clear()
        loader = self.loader()
        inventory = InventoryManager(loader, [self.path(source) for source in self.sources])
        manager = VariableManager(loader, inventory)
        found = manager.get_vars(host=inventory.get_host(host), include_hostvars=False)
        found.setdefault("ansible_inventory_sources", inventory._sources)
        return found

    def templar(self):
        """A templar as an action has it."""
        return Templar(loader=self.loader(), variables={})
