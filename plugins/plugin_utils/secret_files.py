# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files on the controller that hold secrets in plain text where others read them: tracked by git, or by their mode.

What opens nothing is left alone: with `mediastack_lab_images` the stack is made of stand-ins. No sentence shows a
value.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import stat
import subprocess

import yaml

from . import inventory_files, text_rules
from .setting_sources import PREFIX

LAB = PREFIX + "lab_images"
VAULT, KEY = "the password of a vault", "an age key"
# Not shown either, but no secret: certificates, a token that is good for minutes, and variables of any kind.
PUBLIC = frozenset(PREFIX + name for name in ("tls_cert", "vpn_openvpn_cert", "plex_claim", "env"))
_ANSIBLES = frozenset(["groups", "group_names", "hostvars", "vars", "omit", "environment", "playbook_dir", "role_name"])
_WORD = re.compile(r"[A-Za-z_]\w*")
# Of files beside the inventory: variables as the shell, Compose or this collection read them.
_ENV_NAME = re.compile(
    r"^\s*(?:export\s+)?((?:MEDIASTACK_)?\w*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_KEY"
    r"|PRESHARED_KEY|CLAIM)\w*)\s*=\s*['\"]?([^\s'\"#]+)",
    re.IGNORECASE | re.MULTILINE,
)
_AGE_KEY = "AGE-SECRET-KEY-1"
# Larger ones are no vars files.
_MOST_BYTES = 4 << 20
_GIT_DEADLINE = 10
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(frozen=True)
class Holder:
    """A file with a secret in plain text.

    Attributes:
        path: the file, with links followed.
        what: what stands in it, for people.
        read_by_ansible: also when it is encrypted.
    """

    path: str
    what: str
    read_by_ansible: bool = False


def problems(task_vars, loader, values, secret, vault_files=(), environ=None, vars_files=()):
    """What is wrong, as sentences; empty where all is well or git is not there and modes are right.

    Parameters:
        task_vars: the host's variables, untemplated.
        loader: Ansible's data loader.
        values: its resolved settings.
        secret: names of the settings that are secret.
        vault_files: files of vault passwords that this run uses.
        environ: the controller's environment.
        vars_files: files of variables that are no part of the inventory.
    """
    if values.get(LAB):
        return []
    names = _names(task_vars, [name for name in secret if name not in PUBLIC])
    files = dict.fromkeys([*_vars_files(task_vars, loader), *map(os.path.realpath, vars_files)])
    holders = [holder for path in files for holder in _in_vars(path, names)]
    for base in inventory_files.base_directories(task_vars):
        holders += _beside(base)
    holders += [Holder(os.path.realpath(path), VAULT) for path in vault_files if _is_plain_file(path)]
    age = (environ or {}).get("SOPS_AGE_KEY_FILE")
    if age and _is_plain_file(age):
        holders.append(Holder(os.path.realpath(age), KEY))
    tracked = _tracked(holders)
    return list(dict.fromkeys(sentence for holder in holders for sentence in _sentences(holder, tracked)))


def _sentences(holder, tracked):
    begin = f"{holder.path} holds {holder.what} in plain text"
    path = _quoted(holder.path)
    if holder.path in tracked:
        way = f"ansible-vault encrypt {path}" if holder.read_by_ansible else f"git rm --cached {path}"
        yield (
            f"{begin} and is tracked by git, so every clone has it. {way}, commit that, and give what was in it a new "
            "value: the history keeps the old one (docs/secrets.md)."
        )
    if _others_read(holder.path):
        also = f", or better: ansible-vault encrypt {path}" if holder.read_by_ansible else ""
        yield f"{begin}, and every user of this machine can read it. chmod 600 {path}{also} (docs/secrets.md)."


def _quoted(path):
    return path if re.fullmatch(r"[\w@%+=:,./-]+", path) else "'" + path.replace("'", "'\\''") + "'"


# -- what holds a secret -----------------------------------------------------------------------------------------------


def _names(task_vars, secret):
    """Names of variables whose values are secret: the settings, and whatever their templates are made of."""
    found, asked = set(), list(secret)
    while asked:
        name = asked.pop()
        if name in found:
            continue
        found.add(name)
        for text in _texts(task_vars.get(name)):
            if "{{" in text:
                asked += [word for word in _WORD.findall(text) if word in task_vars and not _magic(word)]
    return frozenset(found)


def _magic(word):
    """Whether a name is Ansible's own, or that of a setting, which counts by itself."""
    ours = word.startswith(PREFIX) and not word.startswith(f"{PREFIX}x_")
    return ours or word.startswith(("ansible_", "inventory_")) or word in _ANSIBLES


def _texts(value, depth=0):
    if depth > 20:
        return
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, str) and not getattr(value, "__ENCRYPTED__", False):
        yield str.__str__(value)


def _vars_files(task_vars, loader):
    """Inventory files and files of variables of the host and its groups."""
    found = []
    for source in map(str, task_vars.get("ansible_inventory_sources") or []):
        if os.path.isdir(source):
            inside = (os.path.join(source, name) for name in sorted(os.listdir(source)) if not name.startswith("."))
            found += [path for path in inside if os.path.isfile(path)]
        elif os.path.isfile(source):
            found.append(source)
    owners = [("group", name) for name in inventory_files.groups_of(task_vars)]
    owners.append(("host", str(task_vars.get("inventory_hostname"))))
    for base in inventory_files.base_directories(task_vars):
        for kind, owner in owners:
            directory = os.path.join(os.path.realpath(base), f"{kind}_vars")
            if os.path.isdir(directory):
                found += [os.fspath(path) for path in map(_text, loader.find_vars_files(directory, owner))]
    return list(dict.fromkeys(os.path.realpath(path) for path in found))


def _text(path):
    return path.decode() if isinstance(path, bytes) else str(path)


def _in_vars(path, names):
    """The Holder of a file of variables, in a list, or an empty one."""
    try:
        info = os.stat(path)
    except OSError:
        return []
    if info.st_size > _MOST_BYTES or not stat.S_ISREG(info.st_mode):
        return []
    found = sorted(_plain_names(path, info.st_mtime_ns, info.st_size, names))
    what = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    return [Holder(path, what, read_by_ansible=True)] if found else []


@functools.lru_cache(maxsize=512)
def _plain_names(path, _changed, _size, names):
    """Which of `names` have a value in plain text in a file."""
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError:
        return frozenset()
    # Most files have none; whoever has no secret in them does not pay for it.
    if data.startswith(inventory_files.VAULT_MARK) or not any(name.encode() in data for name in names):
        return frozenset()
    try:
        found = set(_of_node(yaml.compose(data.decode("utf-8"), Loader=_Loader), names))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        found = set()
    return frozenset(found or _of_lines(data, names))


def _of_node(node, names, depth=0):
    """Names of `names` with a plain value anywhere in a YAML document."""
    if depth > 50:
        return
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _of_node(item, names, depth + 1)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in names:
                if _has_plain(value):
                    yield key.value
            else:
                yield from _of_node(value, names, depth + 1)


def _has_plain(node, depth=0):
    """Whether a value, or a part of it, is a text that is neither encrypted nor made of something else."""
    if depth > 50:
        return False
    if isinstance(node, yaml.ScalarNode):
        return _is_plain(node.value) and node.tag not in ("!vault", "!vault-encrypted", "tag:yaml.org,2002:null")
    if isinstance(node, yaml.MappingNode):
        return any(_has_plain(value, depth + 1) for _key, value in node.value)
    return any(_has_plain(item, depth + 1) for item in node.value)


def _is_plain(text):
    return bool(text.strip()) and "{{" not in text and not text_rules.still_encrypted(text)


def _of_lines(data, names):
    """The same of an inventory in INI's form."""
    for line in data.decode("utf-8", "replace").splitlines():
        if line.lstrip().startswith(("#", ";")):
            continue
        for name, value in re.findall(r"(?<!\S)(\w+)\s*=\s*(\"[^\"]*\"|'[^']*'|\S+)", line):
            if name in names and _is_plain(value.strip("\"'")):
                yield name


def _beside(base):
    """Holders beside an inventory: `.env`, and age keys."""
    found = []
    try:
        entries = sorted(os.scandir(base), key=lambda entry: entry.name)
    except OSError:
        return found
    for entry in entries:
        dotenv = entry.name == ".env" or entry.name.endswith(".env")
        if not (dotenv or entry.name.endswith((".agekey", ".age.txt")) or entry.name == "keys.txt"):
            continue
        if not _is_plain_file(entry.path):
            continue
        try:
            with open(entry.path, encoding="utf-8", errors="replace") as stream:
                text = stream.read(1 << 20)
        except OSError:
            continue
        path = os.path.realpath(entry.path)
        if dotenv:
            names = [name for name, value in _ENV_NAME.findall(text) if _is_secret_value(value)]
            found += [Holder(path, ", ".join(dict.fromkeys(names[:3])))] if names else []
        elif _AGE_KEY in text:
            found.append(Holder(path, KEY))
    return found


def _is_secret_value(value):
    # What says where a secret is, is none.
    return _is_plain(value) and not value.startswith(("$", "/", "~", "./"))


def _is_plain_file(path):
    """Whether a path is a regular file that is not encrypted, and no program that asks somebody else."""
    try:
        info = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(info.st_mode) and not info.st_mode & 0o111 and not inventory_files.is_encrypted(path)


# -- who reads it ------------------------------------------------------------------------------------------------------


def _others_read(path):
    """Whether users that are neither the owner nor of the group get to a file and may read it."""
    try:
        if not os.stat(path).st_mode & stat.S_IROTH:
            return False
        above = os.path.dirname(path)
        while True:
            if not os.stat(above).st_mode & stat.S_IXOTH:
                return False
            if above == os.path.dirname(above):
                return True
            above = os.path.dirname(above)
    except OSError:
        return False


def _tracked(holders):
    """The paths among those of `holders` that git tracks; none where there is no git, or no repository."""
    found, by_directory = set(), {}
    for holder in holders:
        by_directory.setdefault(os.path.dirname(holder.path), []).append(holder.path)
    for directory, paths in by_directory.items():
        if _in_repository(directory):
            found.update(_git_tracked(directory, tuple(sorted(set(paths)))))
    return found


def _in_repository(directory):
    while True:
        if os.path.lexists(os.path.join(directory, ".git")):
            return True
        if directory == os.path.dirname(directory):
            return False
        directory = os.path.dirname(directory)


def _git_tracked(directory, paths):
    names = [os.path.basename(path) for path in paths]
    # No hook, no pager, no program of a configuration that came with a clone; a name is a name, whatever is in it.
    command = ["git", "-c", "core.fsmonitor=false", "--literal-pathspecs", "ls-files", "-z", "--", *names]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    # A repository of another user is read all the same: nothing of it is run.
    command[1:1] = ["-c", "safe.directory=*"]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_DEADLINE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    listed = {os.fsdecode(name) for name in done.stdout.split(b"\0") if name} if done.returncode == 0 else set()
    return [path for path in paths if os.path.basename(path) in listed]
