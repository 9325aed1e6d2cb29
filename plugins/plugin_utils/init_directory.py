# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A new directory with an inventory of one host, in which every playbook runs without options.

`inventory.example/` is such a directory, commented; what does not depend on the host is taken from there.
"""

from __future__ import annotations

import os
import pathlib
import re

from . import init_yaml
from .init_files import Change, FilesError

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "inventory.example"
INVENTORY = "inventory.yml"
_COPIED = (".gitignore", "requirements.yml")
_HEAD = """---
# The servers that run a media stack. Every playbook works on the group "mediastack" and on nothing else;
# --limit picks one of several. A further server: ansible-playbook homelab.mediastack.init after adding it here.
mediastack:
  hosts:
"""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_RESERVED = ("all", "ungrouped", "mediastack", "localhost")
THIS_PYTHON = "{{ ansible_playbook_python }}"


def connection(target):
    """The host's connection variables, in order.

    Parameters:
        target: `{local, host, user, port, python, transfer, become}`.
    """
    found = {}
    if target["local"]:
        found["ansible_connection"] = "local"
        found["ansible_python_interpreter"] = THIS_PYTHON
    else:
        found["ansible_host"] = target["host"]
        for name in ("user", "port"):
            if target[name]:
                found[f"ansible_{name}"] = target[name]
        if target["python"]:
            found["ansible_python_interpreter"] = target["python"]
        if target["transfer"]:
            found["ansible_ssh_transfer_method"] = target["transfer"]
    if target["become"]:
        found["ansible_become"] = True
    return found


def inventory(name, target):
    """The text of the inventory."""
    lines = []
    for key, value in connection(target).items():
        # The one template that is meant as such.
        line = f'{key}: "{value}"\n' if value == THIS_PYTHON else init_yaml.dump(key, value)
        lines.append(f"      {line}")
    return f"{_HEAD}    {name}:\n{''.join(lines)}"


def changes(directory, name, target, password_file):
    """The files of a new directory, but for the host's own settings.

    Parameters:
        directory: absolute path.
        name: of the host.
        target: see `connection`.
        password_file: of the vault, as typed; `None` where there are no secrets.
    """
    config = (EXAMPLE / "ansible.cfg").read_text(encoding="utf-8")
    if password_file:
        config = re.sub(r"(?m)^#\s*vault_password_file\s*=.*$", f"vault_password_file = {password_file}", config)
    texts = {"ansible.cfg": config, INVENTORY: inventory(name, target)}
    texts.update({file: (EXAMPLE / file).read_text(encoding="utf-8") for file in _COPIED})
    return [Change(os.path.join(directory, file), None, text.encode("utf-8")) for file, text in sorted(texts.items())]


def refuse(directory):
    """Refuse a directory in which something would be overwritten.

    Raises:
        FilesError: names what is there.
    """
    if directory == os.path.dirname(directory):
        raise FilesError(f"{directory} is no place for an inventory. Choose a directory of its own, such as ~/homelab.")
    if os.path.lexists(directory) and not os.path.isdir(directory):
        raise FilesError(f"{directory} is not a directory. Choose another.")
    for file in ("ansible.cfg", INVENTORY, *_COPIED, "host_vars"):
        path = os.path.join(directory, file)
        if os.path.lexists(path):
            raise FilesError(
                f"{path} is there already, and nothing is overwritten. Choose another directory; or, if that is your "
                f"inventory: cd {directory} && ansible-playbook homelab.mediastack.init -i <its inventory>"
            )
    above = directory
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    if not os.access(above, os.W_OK | os.X_OK):
        raise FilesError(f"{directory} cannot be made: {above} is not writable for you. Choose another.")


def check_name(name):
    """Why a name cannot be a host's in the inventory; an empty string when it can."""
    if not _NAME.fullmatch(name):
        return f'"{name}" cannot be a host in an inventory: letters, digits and - _ . only.'
    return f'"{name}" has a meaning of its own in Ansible. Choose another.' if name in _RESERVED else ""


def default_directory(working):
    """Where to write by default: here when nothing is here, else beside it."""
    try:
        empty = not [name for name in os.listdir(working) if name not in (".git", ".venv", "README.md")]
    except OSError:
        empty = False
    return working if empty else os.path.join(working, "homelab")
