# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Putting pull mode onto a host and taking it away again: its directory, program, configuration, collection and timer.

The venv in it is the role's (roles/gitops): everything else is here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tarfile

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, pull_lock, pull_unit
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError, reason
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import SCHEMA, Config, Place
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_state import now

_MARK = ".mediastack-pull"
_PREFIX = "collections-"


class Setup:
    """Pull mode of one project on this host."""

    def __init__(self, root, config, program=b"", check=False):
        """`config`: a map of Config's fields; `program`: the bytes of bin/mediastack-pull."""
        self.place = Place(root)
        self._config, self._program, self._check = config, program, check
        self.actions, self.messages = [], []

    def _do(self, text, job):
        self.actions.append(text)
        if not self._check:
            job()

    def needs_collection(self, digest):
        """Whether the host has another collection than that of `digest`."""
        return os.path.basename(os.path.realpath(self.place.collections)) != _PREFIX + digest

    def install(self, digest, archive, timer=True):
        """Make the host have the collection (`archive`: a tar file, None where it has it), program, configuration and,
        with `timer`, the timer. FileError."""
        self._make_place()
        if self.needs_collection(digest):
            self._do("put the collection at %s" % self.place.collections, lambda: self._unpack(digest, archive))
        config = (json.dumps(dict(self._config, schema=SCHEMA), indent=1, sort_keys=True) + "\n").encode("utf-8")
        self._write(self.place.program, self._program, 0o700)
        self._write(self.place.config, config, 0o600)
        self._unpause()
        if timer:
            self._time()

    def _unpause(self):
        """End what `remove` has paused: whoever installs pull mode again wants it to run."""
        paused = atomic_files.read_json(self.place.paused, {})
        if paused.get("who") == "remove":
            self._do("end the pause", lambda: os.unlink(self.place.paused))

    def _make_place(self):
        root = self.place.root
        mark = os.path.join(root, _MARK)
        if os.path.isdir(root) and os.listdir(root) and not os.path.exists(mark):
            raise FileError(
                "%s (mediastack_gitops_path) is not empty, and not made by pull mode: name a directory of its own"
                % root
            )
        if not os.path.exists(mark):
            self._do("make %s" % root, lambda: self._directory(mark))

    def _directory(self, mark):
        try:
            os.makedirs(os.path.join(self.place.root, "bin"), mode=0o700, exist_ok=True)
            os.chmod(self.place.root, 0o700)
        except OSError as error:
            raise FileError("cannot make %s: %s" % (self.place.root, reason(error))) from error
        atomic_files.write(mark, b"", 0o600)

    def _unpack(self, digest, archive):
        if not archive:
            raise FileError("no collection was handed over")
        target = os.path.join(self.place.root, _PREFIX + digest)
        temporary = target + ".tmp"
        for path in (temporary, target):
            shutil.rmtree(path, ignore_errors=True)
        before = os.path.realpath(self.place.collections)
        try:
            with tarfile.open(archive) as packed:
                # Our own archive: plain files and directories only.
                members = [one for one in packed.getmembers() if (one.isfile() or one.isdir()) and ".." not in one.name]
                packed.extractall(temporary, members=members)  # nosec B202 # plain files, see above
            os.rename(temporary, target)
            link = self.place.collections + ".tmp"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            os.symlink(os.path.basename(target), link)
            os.replace(link, self.place.collections)
        except (OSError, tarfile.TarError) as error:
            raise FileError("cannot unpack the collection to %s: %s" % (target, error)) from error
        # The one before stays: a run may be at work with it.
        for name in os.listdir(self.place.root):
            path = os.path.join(self.place.root, name)
            if name.startswith(_PREFIX) and path not in (target, before):
                shutil.rmtree(path, ignore_errors=True)

    def _write(self, path, data, mode):
        if atomic_files.read_bytes(path) != data:
            self._do("write %s" % path, lambda: atomic_files.write(path, data, mode))

    def _time(self):
        known = {name: value for name, value in self._config.items() if name in Config._fields}
        config = Config(**known)
        if not pull_unit.possible():
            minutes = max(1, config.interval // 60)
            line = "*/%d * * * * root %s -I %s" % (min(minutes, 59), self.place.tool("python"), self.place.program)
            self.messages.append(
                "systemd does not run here (or this is not root), so nothing runs it yet. A line for /etc/crontab, or "
                "the command in it for the system's task scheduler (docs/gitops.md): %s" % line
            )
            return
        changed = False
        for path, text in pull_unit.texts(config, self.place).items():
            if atomic_files.read_bytes(path) != text.encode("utf-8"):
                changed = True
                self._write(path, text.encode("utf-8"), 0o644)
        if changed or not os.path.lexists(pull_unit.link(config.project)) or not pull_unit.active(config.project):
            self._do("start the timer %s" % pull_unit.names(config.project)[1], lambda: pull_unit.start(config.project))

    def uninstall(self, project):
        """Take units and directory away; the stack stays as it is. FileError."""
        for path in pull_unit.present(project):
            self.actions.append("remove %s" % path)
        if not self._check:
            pull_unit.remove(project)
        root = self.place.root
        if is_ours(root):
            self._do("remove %s" % root, lambda: shutil.rmtree(root))
        elif os.path.isdir(root):
            self.messages.append("%s stays: it was not made by pull mode" % root)


def installed(project):
    """Paths of the units of pull mode that a host has."""
    return pull_unit.present(project)


def is_ours(root):
    """Whether a directory was made by pull mode."""
    return bool(root) and os.path.exists(os.path.join(root, _MARK))


def retire(project, root):
    """For `remove`: take the units away, so that the stack does not come back, and pause what a task scheduler runs. A
    step that waits for the run lock would bring it back, too: it ends, as one of systemd's does.

    FileError.
    """
    pull_unit.remove(project)
    if is_ours(root):
        atomic_files.write_json(Place(root).paused, {"who": "remove", "when": now(), "why": "took the stack away"})
        pull_lock.end_orphans(Place(root))
