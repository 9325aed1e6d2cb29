# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rendered files and directories of a project: what would change, changing it, and taking away what is no longer
wanted.

`<project>/.mediastack/manifest.json` remembers what was written: `files` {path: sha256}, `directories` {path: [mode,
owner, group]} that we made, and `writing` {path: sha256} while a run writes, so that an interrupted one does not look
like somebody's edit.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import zlib

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import encoding_for

SCHEMA = 1
HIDDEN = "(secret, not shown)\n"
GONE = "(a file that an earlier run wrote)\n"
_NO_LABEL_YET = "0" * 64
# `encoding` of a file that is no text: its content is packed by zlib and spelled in base64, and holds no tokens.
PACKED = "zlib"


class FileSet:
    """The files and directories of one bundle. Use: `plan`, then `diff` and, outside check mode, `apply`."""

    def __init__(self, bundle, project_path):
        """`bundle`: see docs/architecture.md; `project_path`: the directory that holds `.mediastack`."""
        self._bundle = bundle
        self._project_path = project_path
        self._manifest_path = os.path.join(project_path, ".mediastack", "manifest.json")
        self._manifest = load_manifest(project_path)
        self._files = {entry["path"]: entry for entry in bundle.get("files", [])}
        self._tokens = None
        self._left = []
        #: service → content label, after `plan`.
        self.labels = {}

    def plan(self, tokens):
        """What a run would change, in the order it would: a list of {path, action, before, after, secret, …}; touches
        nothing.

        `tokens`: `SecretStore.tokens(…)`. `action`: create (`kind` file or directory), change, mode, keep_aside (`to`
        = its new name) or remove. `before` and `after` are masked text for a diff. FileError or SecretError when it
        cannot be done.
        """
        self._tokens = tokens
        self.labels = self.content_labels(self._bundle.get("services", {}), tokens)
        changes = self._directories()
        made = {change["path"] for change in changes if change["action"] == "create"}
        # Whoever takes the run lock or saves the manifest makes that one.
        made.add(os.path.dirname(self._manifest_path))
        for path in sorted(self._files):
            changes.extend(self._parents(path, made))
            changes.extend(self._file(self._files[path]))
        changes.extend(self._unwanted())
        self._left = list(changes)
        return changes

    def content_labels(self, services, tokens):
        """service → sha256 over its `config_hash`, its secrets (`tokens`: the texts of tokens that its definition
        uses) and its `inputs`."""
        labels = {}
        for name, service in services.items():
            digest = hashlib.sha256(str(service.get("config_hash", "")).encode("utf-8"))
            for token in sorted(service.get("tokens") or []):
                digest.update(b"\0token\0" + tokens(token, where="service %s" % name).encode("utf-8"))
            for path in sorted(service.get("inputs") or []):
                data = self._bytes_of(path, tokens)
                digest.update(b"\0file\0" + path.encode("utf-8") + b"\0")
                digest.update(b"absent" if data is None else hashlib.sha256(data).digest())
            labels[name] = digest.hexdigest()
        return labels

    def _bytes_of(self, path, tokens):
        if path in self._files:
            # A label inside a mounted file would depend on itself.
            everything = dict.fromkeys(self._bundle.get("services", {}), _NO_LABEL_YET)
            return self._content(self._files[path], tokens, everything)
        if os.path.isdir(path):
            return _listing(path)
        return atomic_files.read_bytes(path)

    def _content(self, entry, tokens, labels):
        encoding = entry.get("encoding") or encoding_for(entry["path"])
        if encoding == PACKED:
            return zlib.decompress(base64.b64decode(entry["content"]))
        return tokens(entry["content"], encoding, labels, entry["path"]).encode("utf-8")

    # Directories

    def _directories(self):
        changes, made = [], set()
        for entry in sorted(self._bundle.get("directories", []), key=lambda item: item["path"]):
            path, mode, owner, group = entry["path"], _mode(entry["mode"]), entry["owner"], entry["group"]
            if not os.path.lexists(path):
                changes.extend(self._parents(path, made))
                changes.append(_made(path, mode, owner, group))
                made.add(path)
                continue
            if not os.path.isdir(path):
                raise FileError("%s is not a directory, but one is needed there: move it away" % path)
            recorded = self._manifest["directories"].get(path)
            info = os.stat(path)
            if recorded and _inside(path, self._project_path):
                changes.extend(_changed_by_hand(path, info, mode, owner, group))
                continue
            present = [stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid]
            # Only one that we made, that nobody changed since, and for which the inventory now says something else.
            if recorded and recorded != [mode, owner, group] and recorded == present:
                change = _made(path, mode, owner, group)
                change.update(action="mode", before=_words(*recorded))
                changes.append(change)
        return changes + self._own_directories()

    def _own_directories(self):
        """Changes of directories in the project directory that the bundle does not list."""
        listed = {entry["path"] for entry in self._bundle.get("directories", [])}
        ours = {path: recorded for path, recorded in self._manifest["directories"].items() if path not in listed}
        ours[os.path.dirname(self._manifest_path)] = [0o700, 0, 0]
        changes = []
        for path in sorted(ours):
            if _inside(path, self._project_path) and os.path.isdir(path) and not os.path.islink(path):
                changes.extend(_changed_by_hand(path, os.stat(path), *ours[path]))
        return changes

    @property
    def known(self):
        """Paths of all files that are ours: to be there, or written by an earlier run."""
        return {*self._files, *self._manifest["files"], *self._manifest["writing"]}

    def _parents(self, path, made):
        """Missing directories above `path`: below the base path like all the others there, elsewhere plain ones."""
        missing, parent = [], os.path.dirname(path)
        while not os.path.lexists(parent) and parent not in made:
            missing.append(parent)
            parent = os.path.dirname(parent)
        if os.path.lexists(parent) and not os.path.isdir(parent):
            raise FileError("%s is not a directory, but %s is to be written below it: move it away" % (parent, path))
        identity = self._bundle.get("identity", {})
        base = self._bundle.get("paths", {}).get("base")
        changes = []
        for directory in reversed(missing):
            made.add(directory)
            if base and _inside(directory, base) and not _inside(directory, self._project_path):
                changes.append(_made(directory, 0o2775, identity.get("puid"), identity.get("pgid")))
            elif self._files.get(path, {}).get("secret") and directory == os.path.dirname(path) != self._project_path:
                changes.append(_made(directory, 0o700, 0, 0))
            else:
                changes.append(_made(directory, 0o755, 0, 0))
        return changes

    # Files

    def _file(self, entry):
        path, mode, owner, group = entry["path"], _mode(entry["mode"]), entry["owner"], entry["group"]
        if not atomic_files.may_own(owner, group):
            raise FileError("%s must belong to %s:%s, which only root can do: use become: true" % (path, owner, group))
        data = self._content(entry, self._tokens, self.labels)
        change = {
            "path": path,
            "kind": "file",
            "secret": bool(entry.get("secret")),
            "mode": mode,
            "owner": owner,
            "group": group,
            "data": data,
            "template": entry["content"],
            "packed": entry.get("encoding") == PACKED,
        }
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            known = bool(self._written(path))
            return [dict(change, action="create", known=known, before="", after=self._shown(change, data))]
        except OSError as error:
            raise FileError("cannot look at %s: %s" % (path, atomic_files.reason(error))) from error
        if stat.S_ISDIR(info.st_mode):
            raise FileError("%s is a directory, a file is to be written there: move it away" % path)
        present = atomic_files.read_bytes(path) if stat.S_ISREG(info.st_mode) else None
        if present == data:
            if stat.S_IMODE(info.st_mode) == mode and atomic_files.same_owner(info, owner, group):
                return []
            words = _words(stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
            return [dict(change, action="mode", before=words, after=_words(mode, owner, group))]
        changes = []
        if present is None or hashlib.sha256(present).hexdigest() not in self._written(path):
            changes.append(_kept(path, change["secret"], replaced=True))
        before = self._shown(change, present or b"")
        after = self._shown(change, data)
        return changes + [dict(change, action="change", before=before, after=after)]

    def _shown(self, change, data):
        if change["secret"] and os.path.basename(change["path"]) != ".env":
            return HIDDEN if data else ""
        if change["packed"]:
            return "%d bytes, sha256 %s\n" % (len(data), hashlib.sha256(data).hexdigest()) if data else ""
        return self._tokens.mask(data.decode("utf-8", "replace"), change["template"])

    def _written(self, path):
        return {self._manifest["files"].get(path), self._manifest["writing"].get(path)} - {None}

    def _unwanted(self):
        changes = []
        for path in sorted(set(self._manifest["files"]) | set(self._manifest["writing"])):
            if path in self._files or not os.path.lexists(path) or self._users_own(path) or os.path.isdir(path):
                continue
            data = None if os.path.islink(path) else atomic_files.read_bytes(path)
            if data is not None and hashlib.sha256(data).hexdigest() in self._written(path):
                changes.append(
                    {"path": path, "kind": "file", "action": "remove", "secret": True, "before": GONE, "after": ""}
                )
            else:
                changes.append(_kept(path, True, replaced=False))
        directories = {os.path.dirname(path) for path in list(self._files) + list(self._manifest["files"])}
        directories.add(os.path.dirname(self._manifest_path))
        for path in atomic_files.left_behind(directories):
            changes.append(
                {"path": path, "kind": "file", "action": "remove", "secret": True, "before": GONE, "after": ""}
            )
        return changes

    def _users_own(self, path):
        """Nothing below these is ever removed."""
        paths = self._bundle.get("paths", {})
        return any(paths.get(name) and _inside(path, paths[name]) for name in ("config", "media", "downloads"))

    # Carrying out

    def apply(self, changes):
        """Carry out `changes`, all that `plan` gave or a part of it; the manifest is final when all are done.

        Save the secrets first. FileError names the file that failed; a second run goes on from there.
        """
        wanted = {
            path: hashlib.sha256(self._content(entry, self._tokens, self.labels)).hexdigest()
            for path, entry in self._files.items()
        }
        directories = dict(self._manifest["directories"])
        for change in changes:
            # As soon as there is a place for it: what is being written, so that an interruption does not look like an
            # edit.
            if change["kind"] == "file" or os.path.isdir(self._project_path):
                self._save(dict(self._manifest, writing=wanted, directories=directories))
            try:
                self._carry_out(change)
            except OSError as error:
                raise FileError(
                    "cannot %s %s: %s" % (change["action"], change["path"], atomic_files.reason(error))
                ) from error
            if change["kind"] == "directory":
                directories[change["path"]] = [change["mode"], change["owner"], change["group"]]
            self._left = [other for other in self._left if other is not change]
        if self._left and os.path.isdir(self._project_path):
            self._save(dict(self._manifest, writing=wanted, directories=directories))
        elif not self._left:
            self._save({"schema": SCHEMA, "files": wanted, "writing": {}, "directories": directories})

    def _save(self, manifest):
        if manifest != self._manifest:
            atomic_files.state_directory(self._project_path)
            atomic_files.write_json(self._manifest_path, manifest)
            self._manifest = manifest

    def _carry_out(self, change):
        path, action = change["path"], change["action"]
        if change["kind"] == "directory":
            if action == "create":
                os.mkdir(path, 0o700)
            _set_mode(change, os.O_RDONLY | os.O_DIRECTORY)
            atomic_files.sync_directory(os.path.dirname(path))
        elif action == "mode":
            _set_mode(change, os.O_RDONLY)
        elif action in ("create", "change"):
            atomic_files.write(path, change["data"], change["mode"], change["owner"], change["group"])
        elif action == "keep_aside":
            _keep_aside(path, change["to"], change["replaced"])
        else:
            os.unlink(path)
            atomic_files.sync_directory(os.path.dirname(path))

    @staticmethod
    def diff(changes):
        """The changes as Ansible shows them: {before_header, after_header, before, after}; secrets are masked."""
        shown = []
        for change in changes:
            words = {"keep_aside": "kept as %s" % os.path.basename(change.get("to", "")), "remove": "removed"}
            label = words.get(change["action"], "")
            header = "%s (%s)" % (change["path"], label) if label else change["path"]
            shown.append(
                {
                    "before_header": change["path"],
                    "after_header": header,
                    "before": change["before"],
                    "after": change["after"],
                }
            )
        return shown


def load_manifest(project_path):
    """The manifest of a project; empty where there is none. A damaged one is an error: it says what may be removed."""
    path = os.path.join(project_path, ".mediastack", "manifest.json")
    manifest = atomic_files.read_json(path, {})
    for name in ("files", "writing", "directories"):
        if not isinstance(manifest.setdefault(name, {}), dict):
            raise FileError("%s is damaged (%s): restore it from a backup or move it away" % (path, name))
    return manifest


def _inside(path, parent):
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def _mode(value):
    return value if isinstance(value, int) else int(value, 8)


def _words(mode, owner, group):
    return "mode %04o owner %s group %s\n" % (mode, owner, group)


def _made(path, mode, owner, group):
    if not atomic_files.may_own(owner, group):
        raise FileError("%s must belong to %s:%s, which only root can do: use become: true" % (path, owner, group))
    return {
        "path": path,
        "kind": "directory",
        "action": "create",
        "secret": False,
        "mode": mode,
        "owner": owner,
        "group": group,
        "before": "",
        "after": "directory, " + _words(mode, owner, group),
    }


def _changed_by_hand(path, info, mode, owner, group):
    """The change that gives a directory of ours its mode and owner back, if it lost them."""
    if stat.S_IMODE(info.st_mode) == mode and atomic_files.same_owner(info, owner, group):
        return []
    before = _words(stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
    return [dict(_made(path, mode, owner, group), action="mode", before=before, after=_words(mode, owner, group))]


def _kept(path, secret, replaced):
    """Somebody else's, or edited since we wrote it: never lost."""
    return {
        "path": path,
        "kind": "file",
        "action": "keep_aside",
        "secret": secret,
        "replaced": replaced,
        "to": atomic_files.dated(path, "kept"),
        "before": HIDDEN,
        "after": HIDDEN,
    }


def _keep_aside(path, target, replaced):
    if replaced and not os.path.islink(path):
        # A second name first: the file is there at every moment until the new one replaces it.
        try:
            os.link(path, target)
            return
        except OSError:
            pass
    os.rename(path, target)
    atomic_files.sync_directory(os.path.dirname(path))


def _set_mode(change, flags):
    # Not by writing the file again: a container that has it mounted would keep the old one.
    handle = os.open(change["path"], flags | os.O_NOFOLLOW)
    try:
        atomic_files.give(handle, change["owner"], change["group"])
        os.fchmod(handle, change["mode"])
    finally:
        os.close(handle)


def _listing(path):
    """What a mounted directory holds, so that a change in it shows: names and contents of the files, in order."""
    digest = hashlib.sha256()
    for directory, names, files in os.walk(path):
        names.sort()
        for name in sorted(files):
            full = os.path.join(directory, name)
            digest.update(os.path.relpath(full, path).encode("utf-8", "surrogateescape") + b"\0")
            if os.path.isfile(full):
                digest.update(hashlib.sha256(atomic_files.read_bytes(full) or b"").digest())
    return digest.digest()
