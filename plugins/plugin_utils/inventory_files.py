# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where in the inventory a host's settings stand: files, and in them lines, in the order in which Ansible reads them.

Ansible itself says it only from 2.19 on, and never of a truth value.
"""

from __future__ import annotations

import dataclasses
import os
import re

import yaml

from .setting_sources import PREFIX

VAULT_MARK = b"$ANSIBLE_VAULT"
_YAML = (".yml", ".yaml", ".json")
_SECTION = re.compile(r"\s*\[([^\]]+)\]")
_ASSIGNED = re.compile(rf"(?<!\S)({PREFIX}\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|\S*)")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Source:
    """A file, or the part of an inventory file, that holds variables of one host or group.

    Attributes:
        path: the file.
        kind: host or group.
        owner: its name.
        settings: setting → (line, text of a plain value or None).
        encrypted: the whole file is.
        in_inventory: it is the inventory itself, not a file of host_vars or group_vars.
    """

    path: str
    kind: str
    owner: str
    settings: dict
    encrypted: bool = False
    in_inventory: bool = False


def is_encrypted(path):
    """Whether a file is encrypted by Ansible Vault as a whole; False when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(VAULT_MARK)) == VAULT_MARK
    except OSError:
        return False


def base_directories(task_vars):
    """Where Ansible looks for `host_vars` and `group_vars`: beside each inventory, then beside the playbook."""
    found = []
    for source in task_vars.get("ansible_inventory_sources") or []:
        path = str(source)
        if os.path.exists(path):
            found.append(path if os.path.isdir(path) else os.path.dirname(path))
    if task_vars.get("playbook_dir"):
        found.append(str(task_vars["playbook_dir"]))
    return list(dict.fromkeys(found))


def groups_of(task_vars):
    """The host's groups, in the order in which one overrides the other: `all` first, then the larger first."""
    members = task_vars.get("groups") or {}
    names = [name for name in task_vars.get("group_names") or [] if name != "all"]
    return ["all", *sorted(names, key=lambda name: (-len(members.get(name) or []), name))]


def sources(task_vars, loader):
    """Every `Source` of the host, in increasing precedence.

    Args:
        task_vars: the host's variables.
        loader: Ansible's data loader, whose vault secrets open encrypted files.
    """
    host, groups = str(task_vars["inventory_hostname"]), groups_of(task_vars)
    inventory = []
    for path in map(str, task_vars.get("ansible_inventory_sources") or []):
        inventory += _inventory(path, loader)
    bases = base_directories(task_vars)
    found = [source for name in groups for source in inventory if (source.kind, source.owner) == ("group", name)]
    for name in groups:
        found += _vars_files(bases, "group", name, loader)
    found += [source for source in inventory if (source.kind, source.owner) == ("host", host)]
    return found + _vars_files(bases, "host", host, loader)


def position(all_sources, name, value):
    """Where the value of a setting stands, `(path, line)`, or None: the place with the highest precedence.

    The order of a host's groups is not known to the last, so of a truth value it is the place that says *value*.
    """
    for source in reversed(all_sources):
        line, text = source.settings.get(name, (None, None))
        if line is None:
            continue
        if text is None or not isinstance(value, bool) or _as_bool(text) in (None, value):
            return source.path, line
    return None


def _as_bool(text):
    word = text.strip().lower()
    if word in ("true", "yes", "on"):
        return True
    return False if word in ("false", "no", "off") else None


def _vars_files(bases, kind, owner, loader):
    found = []
    for base in bases:
        directory = os.path.join(os.path.realpath(base), f"{kind}_vars")
        if not os.path.isdir(directory):
            continue
        for path in loader.find_vars_files(directory, owner):
            found.append(Source(path, kind, owner, settings_in(path, loader), is_encrypted(path)))
    return found


def settings_in(path, loader):
    """The settings at the top of a vars file, `{name: (line, plain text or None)}`; empty when it cannot be read."""
    node = _root(path, loader)
    return _settings(node) if isinstance(node, yaml.MappingNode) else {}


def _root(path, loader):
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        if data.startswith(VAULT_MARK):
            data = loader._vault.decrypt(data)
        return yaml.compose(data.decode("utf-8"), Loader=_Loader)
    except Exception:  # no YAML, no password, no access: what it holds is not known, and Ansible says so itself
        return None


def _settings(node):
    return {
        key.value: (key.start_mark.line + 1, value.value if isinstance(value, yaml.ScalarNode) else None)
        for key, value in node.value
        if isinstance(key, yaml.ScalarNode) and key.value.startswith(PREFIX)
    }


def _inventory(path, loader):
    """The sources inside an inventory, in the order of its files; a program's answer is nobody's to edit."""
    if os.path.isdir(path):
        found = []
        for name in sorted(os.listdir(path)):
            inside = os.path.join(path, name)
            if os.path.isfile(inside) and not name.startswith("."):
                found += _inventory(inside, loader)
        return found
    if not os.path.isfile(path) or os.access(path, os.X_OK):
        return []
    if not path.endswith(_YAML):
        return _ini(path)
    root = _root(path, loader)
    return _groups(path, root) if isinstance(root, yaml.MappingNode) else []


def _ini(path):
    """The sources inside an inventory in INI's form: `[group]` with lines of hosts, and `[group:vars]`."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    found, section = {}, ""
    for number, line in enumerate(text, 1):
        heading = _SECTION.match(line)
        if heading:
            section = heading[1]
            continue
        if section.endswith(":vars"):
            owner = ("group", section.removesuffix(":vars"))
        elif ":" in section or not line.split():
            continue
        else:
            owner = ("host", line.split()[0])
        for name, value in _ASSIGNED.findall(line.partition(" #")[0]):
            found.setdefault(owner, {})[name] = (number, value.strip("\"'"))
    return [Source(path, kind, name, settings, in_inventory=True) for (kind, name), settings in found.items()]


def _groups(path, node):
    """The sources of a mapping of groups, and of the groups in them."""
    found = []
    for key, group in node.value:
        if not isinstance(group, yaml.MappingNode):
            continue
        for part, content in group.value:
            if not isinstance(content, yaml.MappingNode):
                continue
            if part.value == "vars":
                found.append(Source(path, "group", str(key.value), _settings(content), in_inventory=True))
            elif part.value == "children":
                found += _groups(path, content)
            elif part.value == "hosts":
                found += [
                    Source(path, "host", str(host.value), _settings(variables), in_inventory=True)
                    for host, variables in content.value
                    if isinstance(variables, yaml.MappingNode)
                ]
    return [source for source in found if source.settings]
