# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an inventory gives a host besides one pair of files, so that these hold nothing that is given already."""

from __future__ import annotations

import inspect
import os

from ansible.errors import AnsibleError
from ansible.inventory.helpers import sort_groups
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.utils.vars import combine_vars

# Since ansible-core 2.19 a value is a template only when its reader says so.
_TRUST = (
    {"trusted_as_template": True}
    if "trusted_as_template" in inspect.signature(DataLoader.load_from_file).parameters
    else {}
)


class LayersError(ValueError):
    """The inventory has no such host or group, or cannot be read again."""


class Layers:
    """The variables of one host, layer by layer, as Ansible's own host_group_vars plugin merges them.

    Parameters:
        loader: Ansible's data loader, with the vault passwords of the run.
        sources: inventory sources, as on the command line.
        host: name of the host.
    """

    def __init__(self, loader, sources, host):
        self._loader = loader
        self._inventory = InventoryManager(loader=loader, sources=list(sources))
        self._host = self._inventory.get_host(host)
        if self._host is None:
            raise LayersError(f"{host} is not in the inventory any more.")

    def groups(self):
        """Names of the host's groups, the most particular last."""
        return [group.name for group in sort_groups(self._host.get_groups())]

    def without(self, own, scope=None):
        """The variables (untemplated) without the files `own`.

        Parameters:
            own: absolute paths.
            scope: a group: only what is given to it by the groups above it; otherwise what is given to the host.
        Raises:
            LayersError: a vars file that cannot be read.
        """
        groups = sort_groups(self._host.get_groups())
        if scope:
            groups = groups[: [group.name for group in groups].index(scope) + 1]
        result = {}
        # Ansible's order: `all` and its files, the other groups and theirs, the host and its own.
        for which in (groups[:1], groups[1:]):
            for group in which:
                result = combine_vars(result, group.get_vars())
            for group in which:
                result = self._with_files(result, "group_vars", group.name, own)
        if not scope:
            result = combine_vars(result, self._host.vars)
            result = self._with_files(result, "host_vars", self._host.name, own)
        return result

    def _with_files(self, result, folder, name, own):
        for directory in self._directories():
            for path in self._loader.find_vars_files(os.path.join(directory, folder), name):
                if os.path.abspath(path) in own:
                    continue
                try:
                    found = self._loader.load_from_file(path, **_TRUST)
                except AnsibleError as error:
                    raise LayersError(f"{path}: {' '.join(str(error).split())}") from error
                if isinstance(found, dict):
                    result = combine_vars(result, found)
        return result

    def _directories(self):
        found = []
        for source in self._inventory._sources:
            if "," in source and not os.path.exists(source):
                continue
            path = os.path.abspath(source)
            found.append(path if os.path.isdir(path) else os.path.dirname(path))
        return list(dict.fromkeys(found))
