# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of an inventory that init writes: where they are, what they will hold, and writing them all or none."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import stat
import tempfile

SETTINGS_FILE, VAULT_FILE = "mediastack.yml", "mediastack.vault.yml"
HIDDEN = "(encrypted, not shown)\n"
_SUFFIXES = ("", ".yml", ".yaml", ".json")
_SECTION = re.compile(r"\s*\[(?P<name>[^\]]+)\]")


class FilesError(Exception):
    """A file cannot be read or written, or stands in the way; the text has the remedy."""


@dataclasses.dataclass(frozen=True)
class Change:
    """One file to be written.

    Attributes:
        path: absolute.
        before, after: bytes; `before` is `None` where there is no file.
        mode: of a new file; one that is there keeps its own.
        secret: only that it changes may be shown.
        directory_mode: of directories that have to be made for it.
    """

    path: str
    before: bytes | None
    after: bytes
    mode: int = 0o644
    secret: bool = False
    directory_mode: int = 0o755

    @property
    def word(self):
        """new or changed, for people."""
        return "new" if self.before is None else "changed"

    def diff(self):
        """As Ansible shows it."""
        before, after = (HIDDEN if data else "" for data in (self.before, self.after))
        if not self.secret:
            before, after = ((data or b"").decode("utf-8", "replace") for data in (self.before, self.after))
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}


def places(inventory_dir, kind, name):
    """The directory of a host's or group's vars files, and the paths of the two in it.

    Parameters:
        inventory_dir: the directory of the inventory.
        kind: `host_vars` or `group_vars`.
        name: of the host or group.
    Raises:
        FilesError: there is a file where the directory has to be; Ansible would no longer read it beside a directory.
    """
    directory = os.path.join(inventory_dir, kind, name)
    if not os.path.isdir(directory):
        for suffix in _SUFFIXES:
            path = directory + suffix
            if os.path.lexists(path):
                raise FilesError(
                    f"{path} is a file, and Ansible reads that or a directory {kind}/{name}. Make it a part of one "
                    f"first: mkdir {directory}.d && mv {path} {directory}.d/main.yml && mv {directory}.d {directory}"
                )
    return directory, os.path.join(directory, SETTINGS_FILE), os.path.join(directory, VAULT_FILE)


def read(path):
    """Bytes of a file, `None` where there is none.

    Raises:
        FilesError: it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FilesError(f"{path}: cannot be read: {error.strerror}.") from error


def set_option(text, section, option, value):
    """The text of an ini file with one option more; behind the same option as a comment where there is one.

    Parameters:
        text: of the file; may be empty.
        section, option, value: what to set. The option must not be set yet.
    """
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    here, last = False, None
    for number, line in enumerate(lines):
        match = _SECTION.match(line)
        if match:
            here = match["name"].strip() == section
        if here and re.match(rf"\s*[#;]?\s*{re.escape(option)}\s*[=:]", line):
            last = number
            break
        if here and line.strip() and not line.lstrip().startswith(("#", ";")):
            last = number
    entry = f"{option} = {value}\n"
    if last is None:
        lines += ["\n"] * bool(lines) + [f"[{section}]\n", entry]
    else:
        lines.insert(last + 1, entry)
    return "".join(lines)


def write(changes):
    """Write all files, or none of them.

    Every file is prepared beside its place before the first one is put there. After an error all is as it was, without
    the directories made on the way.

    Raises:
        FilesError: one of them cannot be written, or was changed by somebody else meanwhile.
    """
    with _undisturbed(), contextlib.ExitStack() as undo:
        try:
            prepared = [_prepare(change, undo) for change in changes]
            for change in changes:
                if read(change.path) != change.before:
                    raise FilesError(f"{change.path} was changed by somebody else meanwhile. Run init again.")
            for (temporary, target), change in zip(prepared, changes, strict=True):
                os.replace(temporary, target)
                undo.callback(_restore, target, change)
        except OSError as error:
            raise FilesError(f"{error.filename}: cannot be written: {error.strerror}.") from error
        undo.pop_all()


def _prepare(change, undo):
    """The finished file beside its place, and that place; `undo` takes away what was made."""
    target = os.path.realpath(change.path)
    missing, directory = [], os.path.dirname(target)
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        os.mkdir(path, change.directory_mode)
        undo.callback(_without_complaint, os.rmdir, path)
    descriptor, temporary = tempfile.mkstemp(prefix=".mediastack-init-", dir=os.path.dirname(target))
    undo.callback(_without_complaint, os.unlink, temporary)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(change.after)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(temporary, change.mode if change.before is None else stat.S_IMODE(os.stat(target).st_mode))
    return temporary, target


def _restore(target, change):
    if change.before is None:
        _without_complaint(os.unlink, target)
        return
    with contextlib.suppress(OSError), open(target, "wb") as stream:
        stream.write(change.before)


def _without_complaint(function, path):
    with contextlib.suppress(OSError):
        function(path)


@contextlib.contextmanager
def _undisturbed():
    """Let Ctrl-C wait for the few milliseconds that writing takes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
