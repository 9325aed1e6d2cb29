# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where each setting of a host comes from: file and line where they can be known, else the layer."""

from __future__ import annotations

import functools
import os

from ansible.utils.vars import load_extra_vars

from . import inventory_files, path_rules, setting_sources
from .plain_values import origin
from .settings import DEFAULT, INVENTORY, PREFIX

COMMAND_LINE = "-e"


class Origins:
    """The origins of one host's settings.

    Args:
        task_vars: the host's variables, untemplated.
        loader: Ansible's data loader.
        spec: as `settings.load_spec` returns it.
        environ: the controller's environment.
        directory: paths below it are shown as seen from it.
    """

    def __init__(self, task_vars, loader, spec, environ=None, directory=None):
        environ = os.environ if environ is None else environ
        self._task_vars = task_vars
        self._loader = loader
        self._directory = os.path.realpath(directory or os.getcwd())
        self._keys = {name: name for name in spec}
        self._keys.update((str(key), key) for key in task_vars if isinstance(key, str) and key in spec)
        self._extra = load_extra_vars(loader)
        config, _errors, _warnings = setting_sources.read_config_file(setting_sources.config_path(environ), spec)
        given, _errors, _warnings = setting_sources.read_environment(environ, spec)
        self._controller = {**config, **given}

    @functools.cached_property
    def _sources(self):
        return inventory_files.sources(self._task_vars, self._loader)

    def layer(self, name):
        """default, config.yml, environment or inventory, whatever the value is worth."""
        if name in self._task_vars:
            return INVENTORY
        return self._controller[name].source if name in self._controller else DEFAULT

    def raw(self, name):
        """The value as it is written there; None for a default."""
        if name in self._task_vars:
            return self._task_vars[name]
        return self._controller[name].value if name in self._controller else None

    def is_encrypted(self, name):
        """Whether the value stands in a file that is encrypted as a whole."""
        if self.layer(name) != INVENTORY:
            return False
        path = self._place(name).rpartition(":")[0]
        return bool(path) and inventory_files.is_encrypted(os.path.join(self._directory, path))

    def of(self, name, has_value):
        """What to show as the origin of the setting *name*; a path that has no value derives from the base path."""
        layer = self.layer(name)
        if layer == INVENTORY:
            return self._inventory(name)
        if layer != DEFAULT:
            return self.short(self._controller[name].where)
        if not has_value and name[len(PREFIX) :] in path_rules.BELOW_BASE:
            return f"{DEFAULT} (below {PREFIX}base_path)"
        return DEFAULT

    def _inventory(self, name):
        where = self._place(name)
        if name in self._extra:
            return f"{COMMAND_LINE} @{self.short(where)}" if where else COMMAND_LINE
        return self.short(where) if where else INVENTORY

    def _place(self, name):
        """`file:line` of a value of the inventory or of `-e @file`; empty where it is not known."""
        value = self._task_vars[name]
        where = origin(value)
        if where or name in self._extra:
            return where
        # A truth value carries no mark of its own. Its key's is that of the first file which has it, not the last.
        found = inventory_files.position(self._sources, name, value)
        return f"{found[0]}:{found[1]}" if found else origin(self._keys[name])

    def short(self, where):
        """A place as seen from the working directory."""
        path, colon, line = where.rpartition(":")
        if not (colon and line.isdigit()):
            path, colon, line = where, "", ""
        if not os.path.isabs(path):
            return where
        # Ansible says `inventory.yml` where it was given so, and its real path elsewhere.
        relative = os.path.relpath(os.path.realpath(path), self._directory)
        return f"{path if relative.startswith('..') else relative}{colon}{line}"
