# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One edit of a file: a copy for the editor, a check when it is saved, and only then the file itself.

The file on disk is replaced at once and whole, or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import tempfile

from . import host_check
from .lint_model import ERROR

EDIT, KEEP, THROW_AWAY = "e", "k", "t"
_QUESTION = "[e]dit again, [k]eep it all the same, [t]hrow it away? "
_NEW = "---\n# Settings of {owners}. All of them: ansible-doc -t role homelab.mediastack.mediastack\n"


class GivenUp(Exception):
    """The edit ended without a change to the file; the text says why."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the edit.

    Attributes:
        changed: the file was replaced.
        errors: number of errors that it was kept with.
        before, after: its text, decrypted.
    """

    changed: bool
    errors: int
    before: str
    after: str


class Session:
    """The edit of one file.

    Args:
        target: `edit_target.Target`.
        keyring: the run's vault passwords (`init_vault.Keyring`).
        terminal: `editor.Terminal`.
        words: the editor's command.
        check: function of the text that returns host → findings.
        directory: where the copy may lie.
    """

    def __init__(self, target, keyring, terminal, words, check, directory):
        self._target = target
        self._keyring = keyring
        self._terminal = terminal
        self._words = words
        self._check = check
        self._directory = directory

    def run(self):
        """Edit until the text is well, or kept all the same.

        Raises:
            GivenUp: thrown away, or the editor ended with an error.
            EditorError, VaultError: the editor cannot be started; the file cannot be decrypted.
            OSError: the file cannot be read or written.
        """
        original = _read(self._target.path)
        before, key = "", None
        if original is not None:
            before, key = self._keyring.decrypt(original, self._target.shown)
        start = before if original is not None else _NEW.format(owners=", ".join(self._target.hosts))
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="mediastack-edit-") as place:
            copy = os.path.join(place, os.path.basename(self._target.path))
            with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(start.encode("utf-8"))
            while True:
                after = self._edited(copy)
                if after == start:
                    return Outcome(False, 0, before, before)
                errors = self._judge(after, original)
                choice = self._terminal.key(_QUESTION, (EDIT, KEEP, THROW_AWAY)) if errors else KEEP
                if choice == KEEP:
                    break
                if choice != EDIT:
                    raise GivenUp("the edit was thrown away")
        data = self._keyring.encrypt(after, key) if self._target.encrypted else after.encode("utf-8")
        with self._terminal.held():
            replace(self._target.path, data, 0o600 if self._target.encrypted else 0o644)
        return Outcome(True, errors, before, after)

    def _edited(self, copy):
        """The text that the editor has left."""
        code = self._terminal.edit(self._words, copy)
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            raise GivenUp(f"{self._words[0]} {how}")
        data = _read(copy)
        if data is None:
            raise GivenUp(f"{self._words[0]} has removed the copy that it was given")
        return data.decode("utf-8", "replace")

    def _judge(self, text, original):
        """Show what is wrong; the number of errors."""
        findings_of = self._check(text)
        lines, sentence = host_check.lines(findings_of)
        errors = len({each for found in findings_of.values() for each in found if each.level == ERROR})
        if "\N{REPLACEMENT CHARACTER}" in text:
            lines.append("  error    the text is not UTF-8: what is not would be lost")
            errors += 1
        if _read(self._target.path) != original:
            lines.append(f"  error    {self._target.shown} was changed by somebody else meanwhile: keeping loses that")
            errors += 1
        if lines:
            self._terminal.write("\n".join(["", f"{self._target.shown}: {sentence}", *lines, ""]))
        return errors


def _read(path):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def replace(path, data, mode):
    """Put *data* in place of a file at once, with the mode and the owner that it had; a link stays a link.

    Args:
        path: the file; directories above it are made.
        data: bytes.
        mode: of a new file, before the umask.
    """
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    try:
        known = os.stat(path)
    except FileNotFoundError:
        known = None
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.", suffix="~")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            if known is None:
                umask = os.umask(0)
                os.umask(umask)
                os.fchmod(stream.fileno(), mode & ~umask)
            else:
                if (known.st_uid, known.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(stream.fileno(), known.st_uid, known.st_gid)
                os.fchmod(stream.fileno(), stat.S_IMODE(known.st_mode))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
