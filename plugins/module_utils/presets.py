# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Preset config files of the apps: written whole before an app's first start, later only our own keys, the rest byte
for byte."""

from __future__ import annotations

import os
import re
import stat

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, config_formats
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import load_manifest
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import MASK, SECRET_KINDS, TOKEN

_ENCODINGS = {"xml": "xml", "json": "json", "json2": "json", "yaml": "yaml", "ini": "line", "text": "line"}
_INI_TOKEN = re.compile(r"^(?P<before>(?P<key>[^#;\[=\n]+)=[ \t]*)(?P<value>%s)$" % TOKEN.pattern, re.M)
# What a NAS or a desktop leaves in any directory says nothing about an app.
_IGNORED = ("lost+found", "@eaDir", ".DS_Store", "#recycle", "Thumbs.db", ".@__thumb")


def plan(presets, tokens, bundle=None, notes=None, was=None):
    """What would change, a list of {service, path, action: create|edit, keys, needs_stop, before, after}; touches
    nothing.

    `tokens`: `SecretStore.tokens(…)`. With the `bundle`, a missing file is created only where the app has never
    started: in a config directory with somebody's data it is left out, and a sentence is added to `notes` (a list).
    `was`: tokens with the values before, where secrets change (`rotate`): a key that has such a value gets the new one,
    whatever its `replace` says, and so does a file without keys that is as we wrote it then.
    `before` and `after` hold our keys only, masked. FileError names a file that cannot be parsed. An edit needs its
    app stopped: `apply` reads the file again then.
    """
    changes = []
    for preset in presets:
        data = atomic_files.read_bytes(preset["path"])
        if data is None and not (preset.get("content") or "").strip():
            # Nothing to begin with: its keys are for a file that the app itself has made.
            continue
        if data is not None:
            change = _edit(preset, tokens, data, was)
        else:
            stranger = _somebodys_data(preset, bundle)
            if stranger and notes is not None:
                notes.append(
                    "%s: %s is missing, but %s shows that the app has run before: it was not written. "
                    "Start the app once, or set it up by hand" % (preset["service"], preset["path"], stranger)
                )
            change = None if stranger else _create(preset, tokens)
        if change:
            changes.append(change)
    return changes


def apply(changes):
    """Carry out `changes` of `plan`, apps with `needs_stop` being stopped. Returns the dated copies that were kept."""
    kept = []
    for change in changes:
        try:
            if change["action"] == "create":
                _write_new(change)
            else:
                kept.extend(_write_keys(change))
        except OSError as error:
            raise FileError("cannot write %s: %s" % (change["path"], atomic_files.reason(error))) from error
    return kept


def diff(changes):
    """The changes as Ansible shows them; only our keys of an existing file, secrets masked."""
    return [
        {
            "before_header": change["path"],
            "after_header": change["path"],
            "before": change["before"],
            "after": change["after"],
        }
        for change in changes
    ]


def _create(preset, tokens):
    fmt = preset["format"]
    try:
        text = _ini(preset["content"], tokens, preset["path"]) if fmt == "ini" else preset["content"]
        content = tokens(text, _encoding(preset), None, preset["path"]).encode("utf-8")
        for key in preset.get("keys") or []:
            value = _value(key, tokens, preset["path"])
            if not _replaceable(None, key) or value is None:
                continue
            if not config_formats.same(config_formats.get_value(content, fmt, key["key"]), value):
                content = config_formats.set_value(content, fmt, key["key"], value)
    except config_formats.ConfigFormatError as error:
        raise FileError("the preset %s of %s is not sound: %s" % (preset["path"], preset["service"], error)) from error
    return {
        "service": preset["service"],
        "path": preset["path"],
        "action": "create",
        "needs_stop": False,
        "keys": [key["key"] for key in preset.get("keys") or []],
        "data": content,
        "mode": preset.get("mode", "0600"),
        "owner": preset.get("owner"),
        "group": preset.get("group"),
        "before": "",
        "after": tokens.mask(content.decode("utf-8"), preset["content"]),
    }


def _encoding(preset):
    # What TOML and JSON escape in double quotes is the same.
    return "json" if preset["path"].endswith(".toml") else _ENCODINGS[preset["format"]]


def _ini(text, tokens, path):
    """`text` with the tokens replaced that are a whole value, each written as the app's kind of INI file needs it."""
    # A first run's need only.
    from ansible_collections.homelab.mediastack.plugins.module_utils import config_ini, ini_values

    def line(match):
        key, value = match.group("key"), match.group("value")
        if config_ini.dialect_of(text, [key.strip()]) != "configobj":
            return match.group(0)
        return match.group("before") + ini_values.write(tokens(value, "raw", None, path), "configobj")

    return _INI_TOKEN.sub(line, text)


def _edit(preset, tokens, data, was=None):
    wanted, before, after = [], [], []
    fmt, path = preset["format"], preset["path"]
    if was and fmt == "text":
        return _rewrite(preset, tokens, data, was)
    for key in [*(preset.get("keys") or []), *_rotated(preset, tokens, was)]:
        present = _present(data, fmt, key["key"], path)
        key = _turned(key, present, was, path)
        if not _replaceable(present, key):
            continue
        value = _value(key, tokens, path)
        if value is None or config_formats.same(present, value):
            continue
        wanted.append((key, value))
        secret = _is_secret(key["value"])
        before.append(_line(key["key"], present, secret))
        after.append(_line(key["key"], value, secret))
    if not wanted:
        return None
    change = {
        "service": preset["service"],
        "path": path,
        "action": "edit",
        "needs_stop": True,
        "format": fmt,
        "keys": [key["key"] for key, _value in wanted],
        "wanted": wanted,
        "before": tokens.mask("".join(before)),
        "after": tokens.mask("".join(after)),
    }
    _changed(change, data)
    return change


def _rotated(preset, tokens, was):
    """The keys that are set only when a secret of theirs changes: of an app that keeps another form of it."""
    keys, path = (preset.get("rotate") or []) if was else [], preset["path"]
    return keys if any(_value(key, tokens, path) != _value(key, was, path) for key in keys) else []


def _turned(key, present, was, path):
    """`key`, to be set in place of the value that it has, where that is the one of `was`."""
    if was is None or not _is_secret(key["value"]):
        return key
    ours = config_formats.same(present, _value(key, was, path))
    return dict(key, replace=[*(key.get("replace") or []), present]) if ours and key.get("replace") else key


def _rewrite(preset, tokens, data, was):
    """The change of a file without keys that holds what we wrote before, and is to hold other secrets; or None."""
    encoding = _encoding(preset)
    before, after = (each(preset["content"], encoding, None, preset["path"]).encode("utf-8") for each in (was, tokens))
    if data != before or before == after:
        return None
    return {
        "service": preset["service"],
        "path": preset["path"],
        "action": "edit",
        "needs_stop": True,
        "format": "text",
        "keys": [],
        "wanted": [],
        "whole": after,
        "before": "",
        "after": tokens.mask(after.decode("utf-8"), preset["content"]),
    }


def _changed(change, data):
    """`data` with the keys of `change` set."""
    if "whole" in change:
        return change["whole"]
    for key, value in change["wanted"]:
        present = _present(data, change["format"], key["key"], change["path"])
        if config_formats.same(present, value) or not _replaceable(present, key):
            continue
        try:
            data = config_formats.set_value(data, change["format"], key["key"], value)
        except config_formats.ConfigFormatError as error:
            raise FileError(
                "%s: %s cannot be set: %s. The file is untouched" % (change["path"], "/".join(key["key"]), error)
            ) from error
    return data


def _present(data, fmt, key, path):
    try:
        return config_formats.get_value(data, fmt, key)
    except config_formats.ConfigFormatError as error:
        raise FileError(
            "%s cannot be parsed as %s: %s. It is untouched: repair it, or move it away to start afresh"
            % (path, fmt, error)
        ) from error


def _replaceable(present, key):
    """A key with `replace` is ours only while its value is one of these (null: absent)."""
    allowed = key.get("replace")
    return allowed is None or any(config_formats.same(present, one) for one in allowed)


def _value(key, tokens, path):
    return _resolved(key["value"], tokens, path)


def _resolved(value, tokens, path):
    if isinstance(value, str):
        return tokens(value, "raw", None, path)
    if isinstance(value, list):
        return [_resolved(item, tokens, path) for item in value]
    return value


def _is_secret(value):
    if isinstance(value, list):
        return any(_is_secret(item) for item in value)
    return isinstance(value, str) and any(match.group(1) in SECRET_KINDS for match in TOKEN.finditer(value))


def _line(key, value, secret):
    if value is None:
        return ""
    return "%s: %s\n" % ("/".join(key), MASK if secret else value)


def _somebodys_data(preset, bundle):
    """The name of an entry in the app's config directory that is not ours, or None."""
    service = ((bundle or {}).get("services") or {}).get(preset["service"]) or {}
    config_dir = service.get("config_dir")
    if not config_dir:
        return None
    manifest = load_manifest(bundle["project"]["path"])
    ours = {entry["path"] for name in ("presets", "files", "directories") for entry in bundle.get(name, [])}
    ours.update(manifest["files"], manifest["directories"])
    return _stranger(config_dir, ours)


def _stranger(directory, ours):
    """The first entry below `directory` that is not ours; directories of ours are looked into."""
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return None
    for name in names:
        path = os.path.join(directory, name)
        if name in _IGNORED or ".mediastack-" in name or ".kept-" in name:
            continue
        above = any(one.startswith(path + os.sep) for one in ours)
        if path not in ours and not above:
            return path
        found = _stranger(path, ours) if os.path.isdir(path) and not os.path.islink(path) else None
        if found:
            return found
    return None


def _write_new(change):
    directory = os.path.dirname(change["path"])
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        os.mkdir(path, 0o700)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            atomic_files.give(handle, change["owner"], change["group"])
            os.fchmod(handle, 0o2775)  # nosec B103 # a shared group writes there
        finally:
            os.close(handle)
    mode = change["mode"] if isinstance(change["mode"], int) else int(change["mode"], 8)
    atomic_files.write(change["path"], change["data"], mode, change["owner"], change["group"])


def _write_keys(change):
    # The file that a link points to: the link is the user's.
    path = os.path.realpath(change["path"])
    for leftover in atomic_files.left_behind([os.path.dirname(path)]):
        os.unlink(leftover)
    data = atomic_files.read_bytes(path)
    if data is None:
        raise FileError("%s was there a moment ago and is gone: run again" % change["path"])
    # Stopping, the app may have written its settings once more.
    changed = _changed(change, data)
    if changed == data:
        return []
    copy = atomic_files.dated(path, "mediastack")
    info = os.stat(path)
    mode = stat.S_IMODE(info.st_mode)
    atomic_files.write(copy, data, mode, info.st_uid, info.st_gid)
    atomic_files.write(path, changed, mode, info.st_uid, info.st_gid)
    return [copy]
