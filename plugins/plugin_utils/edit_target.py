# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which file `config_edit` opens: the one where the settings of a host or a group really stand."""

from __future__ import annotations

import dataclasses
import os

from . import inventory_files
from .closest import hint

FILES = {"settings": "mediastack.yml", "vault": "mediastack.vault.yml"}
VERB = "config_edit"


class TargetError(ValueError):
    """There is no file to open; the text says why and what to do."""


@dataclasses.dataclass(frozen=True)
class Target:
    """The file to open.

    Attributes:
        path: absolute.
        encrypted: it is, or for a new one will be, encrypted as a whole.
        exists: there is one.
        base: the directory of the inventory that it belongs to.
        hosts: the hosts of this run that it is about.
        note: why it is this file, where that is not obvious; else empty.
    """

    path: str
    encrypted: bool
    exists: bool
    base: str
    hosts: tuple
    note: str = ""

    @property
    def shown(self):
        """The path as seen from the working directory."""
        relative = os.path.relpath(self.path)
        return self.path if relative.startswith("..") else relative


def owner_of(hosts, scope, groups):
    """Whose settings: `(host or group, name, the hosts of this run that they are about)`.

    Args:
        hosts: the hosts of the run.
        scope: a group, or empty for the host.
        groups: group → its hosts.

    Raises:
        TargetError: several hosts, or a group without any of them.
    """
    if scope:
        own = {group: [host for host in hosts if host in members] for group, members in groups.items()}
        known = [group for group, members in own.items() if members and group != "ungrouped"]
        if scope not in known:
            raise TargetError(f'-e scope=: "{scope}" is no group of the hosts of this run. {hint(scope, known)}')
        return "group", scope, tuple(own[scope])
    if len(hosts) > 1:
        listed = ", ".join(hosts[:5]) + (", …" if len(hosts) > 5 else "")
        common = [group for group, members in groups.items() if group != "ungrouped" and set(hosts) <= set(members)]
        raise TargetError(
            f"{VERB} opens the file of one host, and this run has {len(hosts)} ({listed}). Name one with "
            f"--limit {hosts[0]}, or edit what they share with -e scope=<group> ({', '.join(sorted(common))})."
        )
    return "host", hosts[0], tuple(hosts)


def find(task_vars, loader, file, scope, hosts, can_encrypt):
    """The file to open.

    Args:
        task_vars: variables of one of the hosts.
        loader: Ansible's data loader.
        file: settings or vault.
        scope: a group, or empty.
        hosts: the hosts of the run.
        can_encrypt: whether there is a password to encrypt a new file with.

    Raises:
        TargetError: there is none.
    """
    kind, owner, about = owner_of(list(hosts), scope, task_vars.get("groups") or {})
    base = task_vars.get("inventory_dir")
    if not base:
        raise TargetError(f"{owner} comes from no inventory file, so there is nothing to edit. init writes one.")
    base = str(base)
    choice = _Choice(kind, owner, base, file, inventory_files.sources(task_vars, loader))
    path, encrypted, exists, note = choice.make(can_encrypt)
    return Target(path, encrypted, exists, base, about, note)


class _Choice:
    """The choice among the files of one host or group."""

    def __init__(self, kind, owner, base, file, all_sources):
        self.owner, self.file = owner, file
        self.directory = os.path.join(base, f"{kind}_vars", owner)
        self.wanted = os.path.join(self.directory, FILES[file])
        mine = [source for source in all_sources if (source.kind, source.owner) == (kind, owner)]
        if file == "vault":
            self.sources = [source for source in mine if source.encrypted]
        else:  # the file for secrets is not where other settings go
            self.sources = [source for source in mine if os.path.basename(source.path) != FILES["vault"]]
        # Ansible reads host_vars/nas.yml only as long as there is no directory host_vars/nas.
        self.single = next(
            (source.path for source in mine if not source.in_inventory and _is_beside(source.path, self.directory)),
            None,
        )

    def make(self, can_encrypt):
        """`(path, encrypted, exists, note)`."""
        if os.path.exists(self.wanted):
            return self.wanted, inventory_files.is_encrypted(self.wanted), True, ""
        found = self.elsewhere()
        if found:
            number = len(found.settings)
            what = f"{number} setting{'' if number == 1 else 's'} of {self.owner}"
            note = (
                f"{_short(self.wanted)} is not there; {what} stand{'s' if number == 1 else ''} in {_short(found.path)}"
            )
            return found.path, found.encrypted, True, note
        if self.file == "settings":
            if self.single:
                return self.single, inventory_files.is_encrypted(self.single), True, ""
            return self.wanted, False, False, f"{_short(self.wanted)} is new"
        if self.single:
            raise TargetError(
                f"{_short(self.single)} is a file, and a directory {_short(self.directory)} beside it would hide it. "
                f"Move it to {_short(os.path.join(self.directory, FILES['settings']))} first."
            )
        if not can_encrypt:
            raise TargetError(
                f"{_short(self.wanted)} is not there, and there is no vault password to encrypt a new one with. Give "
                "one (--vault-password-file, or vault_password_file in ansible.cfg), or let init set it up."
            )
        return self.wanted, True, False, f"{_short(self.wanted)} is new, and will be encrypted"

    def elsewhere(self):
        """The file of the owner with the most settings; of several, what is not encrypted is for settings."""
        found = [source for source in self.sources if source.settings or self.file == "vault"]
        if not found:
            return None
        return max(found, key=lambda source: (source.encrypted == (self.file == "vault"), len(source.settings)))


def _is_beside(path, directory):
    return os.path.splitext(os.path.realpath(path))[0] == os.path.realpath(directory)


def _short(path):
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
