# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`mediastack.lock.yml` beside the inventory: which digest each image of the inventory stands for (docs/updates.md).

One entry a service and image, sorted; written in one way only, so that a file differs only where an image does.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import pathlib
import re
import tempfile

import yaml

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files

from .closest import hint
from .image_reference import BadReference, is_digest, parse

NAME = "mediastack.lock.yml"
SCHEMA = 1
_HEADER = """\
---
# Which image each tag of the inventory stands for. Every host runs exactly these; without the playbook update none
# moves, even when a tag does. Written by homelab.mediastack.update: commit it. See docs/updates.md.
"""
_NOWHERE = f"{NAME} is written beside the inventory, and there is none: name an inventory file or directory with -i."
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_REQUIRED = ("service", "image", "digest")
_KEYS = (*_REQUIRED, "platforms", "created", "resolved", "by")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9.]+)?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
# What git writes into a file that two branches have changed.
_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)


class LockFileError(Exception):
    """The lock file cannot be read or written; the text names file, line, what and remedy."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One image that is locked.

    Attributes:
        service: of the inventory; image: its `repository:tag` as the inventory asks for it.
        digest: `sha256:…` of the index, or of the only manifest.
        platforms: `{"linux/amd64": "sha256:…"}` of the manifests behind it; empty when not known.
        created: `2026-10-01T10:00:00Z`, when the image was built; None when not known.
        resolved: when the registry was asked; by: the version of the collection that did. None when not known.
    """

    service: str
    image: str
    digest: str
    platforms: dict = dataclasses.field(default_factory=dict)
    created: str | None = None
    resolved: str | None = None
    by: str | None = None

    @property
    def key(self):
        """What the file is sorted by, and what an entry is found by."""
        return self.service, self.image

    def covers(self, digest):
        """Whether an image of this digest is this one: an engine may know it by the index or by its platform's."""
        return digest is not None and (digest == self.digest or digest in self.platforms.values())

    def as_dict(self):
        """The entry as the file has it, without what is not known."""
        return {key: value for key in _KEYS if (value := getattr(self, key))}


@dataclasses.dataclass(frozen=True)
class Lock:
    """The lock file: `path` (None: nowhere) and `entries`, sorted."""

    path: str | None = None
    entries: tuple = ()

    def entry(self, service, image):
        """The `Entry` of exactly this service and image, or None."""
        return next((entry for entry in self.entries if entry.key == (service, image)), None)

    def of(self, service):
        """Every `Entry` of a service."""
        return [entry for entry in self.entries if entry.service == service]

    def __bool__(self):
        return bool(self.entries)


def path_of(inventory_dir):
    """Where the lock file of an inventory is; None without an inventory's directory."""
    return str(pathlib.Path(str(inventory_dir)) / NAME) if inventory_dir else None


def read(path):
    """The `Lock` at a path; an empty one where there is no file.

    Raises:
        LockFileError: it cannot be read, or is not one.
    """
    if path is None:
        return Lock()
    try:
        data = atomic_files.read_bytes(path)
    except atomic_files.FileError as error:
        raise LockFileError(str(error)) from error
    return Lock(path, ()) if data is None else Lock(path, tuple(_parse(path, data)))


def merged(lock, entries, drop=()):
    """`lock` with `entries` in it; one whose digest is the same as before stays as it is.

    Params:
        drop: (service, image) of entries that are no longer to be there.
    Returns:
        Lock, whose path is that of `lock`.
    """
    gone = {tuple(key) for key in drop}
    found = {entry.key: entry for entry in lock.entries if entry.key not in gone}
    for entry in entries:
        old = found.get(entry.key)
        if old is None or old.digest != entry.digest or (entry.platforms and not old.platforms):
            found[entry.key] = entry
    return Lock(lock.path, tuple(found[key] for key in sorted(found)))


def text(lock):
    """The lock file's content."""
    lines = [_HEADER, f"schema: {SCHEMA}\n", "images:\n" if lock.entries else "images: []\n"]
    for entry in sorted(lock.entries, key=lambda one: one.key):
        for number, (key, value) in enumerate(entry.as_dict().items()):
            if key == "platforms":
                value = "{" + ", ".join(f"{name}: {digest}" for name, digest in sorted(value.items())) + "}"
            elif not value[0].isalnum():
                # [::1]:5000/app:1 would be a list.
                value = f'"{value}"'
            lines.append(f"{'    ' if number else '  - '}{key}: {value}\n")
    return "".join(lines)


def would_change(path, lock):
    """Whether `write` would change the file."""
    try:
        return atomic_files.read_bytes(path) != text(lock).encode("utf-8")
    except atomic_files.FileError as error:
        raise LockFileError(str(error)) from error


def check_writable(path):
    """Find out whether `write` could write the file, before anything is done that it is to tell of.

    Raises:
        LockFileError: there is no place for it, or no file can be made there.
    """
    if path is None:
        raise LockFileError(_NOWHERE)
    target = os.path.realpath(path)
    try:
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # Permissions do not tell everything: a full or a read-only file system refuses too.
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=f".{NAME}.", suffix=".tmp")
        try:
            os.write(descriptor, b"-")
        finally:
            os.close(descriptor)
            os.unlink(temporary)
    except OSError as error:
        raise LockFileError(f"cannot write {path}: {atomic_files.reason(error)}") from error


def check_readable(path, lock):
    """Find out whether what `write` would write is read as `lock` again: with a file that is not, nothing runs.

    Raises:
        LockFileError: it is not.
    """
    wanted = {entry.key: entry.as_dict() for entry in lock.entries}
    try:
        found = {entry.key: entry.as_dict() for entry in _parse(path, text(lock).encode("utf-8"))}
        key = next((key for key in sorted({*wanted, *found}) if wanted.get(key) != found.get(key)), None)
        why = f"{' with '.join(key)} is another after that" if key else None
    except LockFileError as error:
        # Without its remedy, which is for a file that is there.
        why = str(error).removeprefix(path).lstrip(", :").partition(". ")[0]
    if why:
        raise LockFileError(
            f"cannot write {path}: what was to be written could not be read again ({why}). It was left as it is. "
            "Name that image with its digest in mediastack_images, and report this as a defect."
        )


def write(path, lock):
    """Write the file in one step, if it is to change; whether it did.

    The file's mode and its link, where it is one, stay.

    Raises:
        LockFileError: it cannot be written.
    """
    if path is None:
        raise LockFileError(_NOWHERE)
    if not would_change(path, lock):
        return False
    check_readable(path, lock)
    target = os.path.realpath(path)
    # With sudo the file is still to be its owner's; one that is new belongs with the inventory around it.
    like = target if os.path.exists(target) else os.path.dirname(target)
    try:
        info = os.stat(like)
    except OSError as error:
        raise LockFileError(f"cannot write {path}: {atomic_files.reason(error)}") from error
    owner = (info.st_uid, info.st_gid) if os.geteuid() == 0 else (None, None)
    try:
        atomic_files.write(target, text(lock).encode("utf-8"), info.st_mode & 0o666, *owner)
    except atomic_files.FileError as error:
        raise LockFileError(str(error)) from error
    return True


def for_bundle(inventory_dir, bundle_services):
    """Set `locked` of every service of a bundle: `{image, digest, created}`, or None where the lock has none.

    Params:
        inventory_dir: of the host; None: nothing is locked.
        bundle_services: the bundle's `services`, changed in place; `image` is what the inventory asks for. An image
            with a digest of its own is locked by that.
    Returns:
        The `Lock`.
    Raises:
        LockFileError: there is a file, and it is not one.
    """
    lock = read(path_of(inventory_dir))
    for name, service in bundle_services.items():
        service["locked"] = locked(lock, name, service["image"])
    return lock


def locked(lock, service, image):
    """What a service is to run: `{image, digest, created}`, or None where neither its name nor the lock says."""
    _name, at, digest = image.partition("@")
    if at:
        return {"image": image, "digest": digest, "created": None}
    # The inventory may ask for another tag than the lock has: until an update the lock counts (P8).
    others = lock.of(service)
    entry = lock.entry(service, image) or (others[0] if len(others) == 1 else None)
    return {"image": entry.image, "digest": entry.digest, "created": entry.created} if entry else None


# An entry exactly as `text` writes it: the file is read for every host of every `site`, and YAML is slow.
_OWN = re.compile(
    r"  - service: (?P<service>[A-Za-z0-9][A-Za-z0-9_.-]*)\n"
    r"    image: (?P<image>[A-Za-z0-9][^\s@\"'#]*)\n"
    r"    digest: (?P<digest>sha256:[0-9a-f]{64})\n"
    r"(?:    platforms: \{(?P<platforms>(?:(?:, )?[a-z0-9_/.]+: sha256:[0-9a-f]{64})+)\}\n)?"
    r"(?:    created: (?P<created>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n)?"
    r"(?:    resolved: (?P<resolved>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n)?"
    r"(?:    by: (?P<by>[A-Za-z0-9][A-Za-z0-9+._-]*)\n)?"
)


def _as_we_write_it(content):
    """The entries of a file in which nothing but `write` has written; None where YAML has to be asked."""
    found = []
    for match in _OWN.finditer(content):
        values = match.groupdict()
        pairs = (pair.split(": ") for pair in (values.pop("platforms") or "").split(", ") if pair)
        found.append(Entry(platforms=dict(pairs), **values))
    keys = [entry.key for entry in found]
    ours = found and keys == sorted(set(keys)) and text(Lock(None, tuple(found))) == content
    return found if ours else None


# -- reading ---------------------------------------------------------------------------------------------------------


def _fault(path, line, what, remedy):
    return LockFileError(f"{path}{f', line {line}' if line else ''}: {what}. {remedy}")


_ANEW = "Restore it from git, or move it away and let the playbook update write it anew (-e lock_only=true)."


def _parse(path, data):
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(path, 0, "it is not UTF-8", _ANEW) from error
    own = _as_we_write_it(content)
    if own is not None:
        return own
    conflict = _CONFLICT.search(content)
    if conflict:
        line = content.count("\n", 0, conflict.start()) + 1
        remedy = "Keep one entry for each service and image, and remove the lines with the marks"
        raise _fault(path, line, "two branches have changed it, and git could not merge them", remedy)
    try:
        root = yaml.compose(content, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = f"it is not YAML ({getattr(error, 'problem', None) or 'it cannot be parsed'})"
        raise _fault(path, mark.line + 1 if mark else 0, what, _ANEW) from error
    if root is None:
        raise _fault(path, 1, "it is empty", _ANEW)
    top = _map(path, root, "the file", ("schema", "images"))
    schema = _scalar(path, top.get("schema"), root, "schema")
    if not schema.isascii() or not schema.isdigit():
        raise _fault(path, _line(top["schema"]), f"schema is {schema!r}, not a number", _ANEW)
    if int(schema) != SCHEMA:
        remedy = "A newer release of the collection wrote it: install that one"
        raise _fault(path, _line(top["schema"]), f"schema {schema} is not known here, only {SCHEMA}", remedy)
    images = top.get("images")
    if not isinstance(images, yaml.SequenceNode):
        if isinstance(images, yaml.ScalarNode) and images.value in ("", "null", "~"):
            return []
        raise _fault(path, _line(images or root), "images is not a list", _ANEW)
    found = {}
    for node in images.value:
        entry = _entry(path, node)
        if entry.key in found:
            what = f"{entry.service} with {entry.image} stands twice, first in line {found[entry.key][0]}"
            raise _fault(path, _line(node), what, "Remove one of them")
        found[entry.key] = (_line(node), entry)
    return [entry for _line_, entry in (found[key] for key in sorted(found))]


def _entry(path, node):
    values = _map(path, node, "an entry of images", _KEYS)
    for key in _REQUIRED:
        if key not in values:
            raise _fault(path, _line(node), f"an entry has no {key}", f"Each has at least {', '.join(_REQUIRED)}")
    texts = {key: _scalar(path, value, node, key) for key, value in values.items() if key != "platforms"}
    if not _SERVICE.fullmatch(texts["service"]):
        raise _fault(path, _line(values["service"]), f"service: {texts['service']!r} is not a name", _ANEW)
    try:
        reference = parse(texts["image"])
    except BadReference as error:
        raise _fault(path, _line(values["image"]), f"image: {error}", _ANEW) from error
    if reference.digest:
        what = f"image: {texts['image']!r} has a digest, which belongs to digest:"
        raise _fault(path, _line(values["image"]), what, "Write repository:tag only")
    _digest(path, values["digest"], "digest")
    for key in ("created", "resolved"):
        if texts.get(key) and not _TIME.fullmatch(texts[key]):
            what = f"{key}: {texts[key]!r} is not a time such as 2026-10-01T10:00:00Z"
            raise _fault(path, _line(values[key]), what, "Correct it, or remove the line")
    if texts.get("by") and not _WORD.fullmatch(texts["by"]):
        raise _fault(path, _line(values["by"]), f"by: {texts['by']!r} is not a version", "Remove the line")
    platforms = {}
    if "platforms" in values:
        for name, digest in _map(path, values["platforms"], "platforms", None).items():
            if not PLATFORM.fullmatch(name):
                what = f"platforms: {name!r} is not a platform such as linux/amd64"
                raise _fault(path, _line(digest), what, "Correct it, or remove the line")
            platforms[name] = _digest(path, digest, f"platforms: {name}")
    return Entry(platforms=platforms, **{key: value or None for key, value in texts.items()})


def _map(path, node, what, keys):
    """Key → node of a map, in which every key is one of `keys` and stands once."""
    if not isinstance(node, yaml.MappingNode):
        raise _fault(path, _line(node), f"{what} is not a map", _ANEW)
    found = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or (keys is not None and key.value not in keys):
            name = getattr(key, "value", "?")
            raise _fault(path, _line(key), f"{what} has no {name!r}", hint(str(name), keys or []))
        if key.value in found:
            raise _fault(path, _line(key), f"{key.value} stands twice", "Remove one of them")
        found[key.value] = value
    return found


def _scalar(path, node, parent, key):
    if node is None:
        raise _fault(path, _line(parent), f"{key} is missing", _ANEW)
    if not isinstance(node, yaml.ScalarNode):
        raise _fault(path, _line(node), f"{key} is not one word", _ANEW)
    return node.value


def _digest(path, node, key):
    if not isinstance(node, yaml.ScalarNode) or not is_digest(node.value):
        shown = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or map"
        remedy = "Write it as the registry says it, or let update -e lock_only=true write it"
        raise _fault(path, _line(node), f"{key}: {shown} is not sha256: and 64 hexadecimal digits", remedy)
    return node.value


def _line(node):
    return node.start_mark.line + 1
