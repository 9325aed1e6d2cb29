# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What would be wrong if an edited file of the inventory took the place of the one on disk.

Ansible itself reads it, at its place: in a directory of links to everything else in the inventory's.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile

import yaml
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

from . import host_check
from .lint_model import ERROR, Finding

_YAML = (".yml", ".yaml", ".json")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check(target, text, inventory_sources, loader, templar, directory):
    """The findings, per host of the target.

    Args:
        target: `edit_target.Target`.
        text: what the file would hold, decrypted.
        inventory_sources: those of the run.
        loader: Ansible's data loader of the run.
        templar: the action's.
        directory: where temporary files may lie; the text may hold secrets.

    Returns:
        `{host: [Finding]}`.
    """
    wrong = syntax(target, text)
    if wrong:
        return dict.fromkeys(target.hosts, wrong)
    with tempfile.TemporaryDirectory(dir=directory) as place:
        mirror = os.path.join(place, "inventory")
        _mirror(target.base, target.path, text, mirror)
        sources = [_moved(str(source), target.base, mirror) for source in inventory_sources]
        try:
            own = DataLoader()
            own.set_vault_secrets(loader._vault.secrets)
            # Ansible reads host_vars beside the playbook too, by default beside the working directory.
            own.set_basedir(_moved(os.path.abspath(loader.get_basedir()), target.base, mirror))
            found = _variables(sources, target.hosts, own)
        except AnsibleError as error:
            message = " ".join(str(error).split()).replace(mirror, target.base)
            return dict.fromkeys(target.hosts, [Finding(ERROR, "", target.shown, message)])
        result = {}
        for host, variables in found.items():
            if variables is None:
                result[host] = [Finding(ERROR, "", target.shown, f"{host} is gone from the inventory")]
                continue
            findings, _notes = host_check.check(variables, templar)
            result[host] = [_named(finding, mirror, target.base) for finding in findings]
        return result


def syntax(target, text):
    """What keeps the file from being read at all, as findings; also a key that stands twice, of which one is lost."""
    if not target.path.endswith(_YAML):
        return []
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{target.shown}:{mark.line + 1}" if mark else target.shown
        return [Finding(ERROR, "", where, f"not YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}")]
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        where = f"{target.shown}:{node.start_mark.line + 1}"
        return [Finding(ERROR, "", where, "must be a map of name: value")]
    found, lines = [], {}
    for key, _value in node.value:
        line = key.start_mark.line + 1
        first = lines.setdefault(key.value, line) if isinstance(key, yaml.ScalarNode) else line
        if first != line:
            message = f"{key.value} stands here a second time, first in line {first}"
            found.append(Finding(ERROR, "", f"{target.shown}:{line}", message, "keep one of the two"))
    return found


def _mirror(base, path, text, mirror):
    """Below *mirror* all that is below *base*, by links, but with *text* at the place of *path*."""
    parts = os.path.relpath(path, base).split(os.sep)
    source, copy = base, mirror
    for part in parts:
        os.mkdir(copy, 0o700)
        for name in os.listdir(source) if os.path.isdir(source) else ():
            if name != part:
                os.symlink(os.path.join(os.path.abspath(source), name), os.path.join(copy, name))
        source, copy = os.path.join(source, part), os.path.join(copy, part)
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _moved(source, base, mirror):
    if not os.path.exists(source):
        return source  # a list of hosts
    relative = os.path.relpath(source, base)
    return source if relative.startswith("..") else os.path.normpath(os.path.join(mirror, relative))


def _variables(sources, hosts, loader):
    """The hosts' variables as Ansible reads them there; None for a host that is gone."""
    inventory = InventoryManager(loader, sources)
    manager = VariableManager(loader, inventory)
    found = {}
    for name in hosts:
        host = inventory.get_host(name)
        found[name] = manager.get_vars(host=host, include_hostvars=False) if host else None
    return found


def _named(finding, mirror, base):
    """A finding with the paths that the user knows."""
    texts = {
        key: getattr(finding, key).replace(os.path.join(mirror, ""), os.path.join(base, ""))
        for key in ("where", "message", "remedy")
    }
    return host_check.from_here(dataclasses.replace(finding, **texts))
