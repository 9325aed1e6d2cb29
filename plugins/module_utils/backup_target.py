# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of a backup elsewhere: what there is to check before, what is to be copied, how many stay.

A target is a directory of this host (`backup_target_path`) or user@host:/directory (`backup_target_ssh`). A backup gets
there under another name first and its own at the end, so what has an id is whole. With recipients it is one file,
`<id>.tar.age`, with its checksum beside it; else it is the directory as it is. An empty file `<id>.incomplete` says
that something is missing in it, since nobody can look into one that is encrypted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_state
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import ENCRYPTED, INCOMPLETE, BackupError
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_target_path import DirectoryTarget
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_target_ssh import RemoteTarget, is_remote

# program → packages.
PACKAGES = {
    "age": "age (Debian, Ubuntu, Fedora: age)",
    "rsync": "rsync",
    "ssh": "openssh-client (Fedora: openssh-clients)",
}


def programs(target, recipients):
    """program → the setting that needs it."""
    needs = {"age": "mediastack_backup_recipients"} if recipients else {}
    if is_remote(target):
        needs.update(dict.fromkeys(("rsync", "ssh"), "mediastack_backup_target"))
    return needs


def missing(needs):
    """Those of `programs` that are not on this host: [(program, setting)]."""
    return [(name, setting) for name, setting in sorted(needs.items()) if not shutil.which(name)]


class Target:
    """Where copies go."""

    def __init__(self, plan):
        """`plan`: of `backup_state.read_plan`, with a target."""
        self._recipients = list(plan.get("recipients") or [])
        self._keep = plan["keep"]
        self._needs = programs(plan["target"], self._recipients)
        if is_remote(plan["target"]):
            self._place = RemoteTarget(plan["target"])
        else:
            self._place = DirectoryTarget(plan["target"], plan["backup"])

    @property
    def messages(self):
        """Sentences for the user."""
        return self._place.messages

    def check(self):
        """BackupError when a program is missing, before anything is done."""
        for name, setting in missing(self._needs):
            raise BackupError(
                "%s needs the program %s, which is not on this host: install %s, or leave the setting out"
                % (setting, name, PACKAGES[name])
            )

    def copy(self, snapshot, kind):
        """Copy a snapshot; {bytes, removed}. As many as are kept here are kept there. BackupError, OSError."""
        self._place.prepare()
        if snapshot.missing:
            # Before the copy has its name: it is never taken for a complete one.
            self._place.mark(snapshot.id + INCOMPLETE)
        if self._recipients:
            name = snapshot.id + ENCRYPTED
            part = self._place.stage(name, os.path.dirname(snapshot.path))
            try:
                digest = self._seal(snapshot.path, part)
                size = os.path.getsize(part)
                self._place.put_file(part, name, digest)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part)
        else:
            size = sum(
                os.lstat(os.path.join(place, name)).st_size
                for place, _names, names in os.walk(snapshot.path)
                for name in names
            )
            self._place.put_directory(snapshot.path, snapshot.id)
        return {"bytes": size, "removed": self._prune(snapshot.id, kind)}

    def _prune(self, present, kind):
        """Ids of the copies that went; never `present`, which looks like the oldest where the clock was set back."""
        names = self._place.names()
        found = backup_state.identifiers(names, kind)
        marks = [name[: -len(INCOMPLETE)] for name in names if name.endswith(INCOMPLETE)]
        removed = [one for one in backup_state.surplus(found, marks, self._keep) if one != present]
        # Marks of copies that never came about.
        stray = [
            one for one in backup_state.identifiers(marks, kind) if one not in found and backup_state.is_stale(one)
        ]
        for identifier in removed + stray:
            self._place.remove(identifier)
        return removed

    def _seal(self, source, path):
        """Write a directory as one encrypted tar to `path`, as a stream; its SHA-256. BackupError, OSError."""
        root, name = os.path.split(source)
        recipients = [word for recipient in self._recipients for word in ("-r", recipient)]
        tar = subprocess.Popen(
            ["tar", "-C", root, "-cf", "-", "--numeric-owner", "--", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
            age = subprocess.run(
                ["age", "--encrypt", *recipients],
                stdin=tar.stdout,
                stdout=handle,
                stderr=subprocess.PIPE,
                check=False,
            )
            handle.flush()
            os.fsync(handle.fileno())
        tar.stdout.close()
        words = tar.stderr.read().decode("utf-8", "replace").strip()
        tar.stderr.close()
        if tar.wait() != 0 or age.returncode != 0:
            words = age.stderr.decode("utf-8", "replace").strip() or words
            raise BackupError(
                "the backup could not be encrypted: %s" % (words.splitlines() or ["tar or age failed"])[-1]
            )
        digest = hashlib.sha256()
        with open(path, "rb") as handle:
            for block in iter(lambda: handle.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()
