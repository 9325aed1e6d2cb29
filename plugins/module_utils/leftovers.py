# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a project that is taken away: what was rendered goes, what somebody has edited stays, what keeps the
configuration usable (secrets, the bind address, first logins) goes with the configuration only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    atomic_files,
    backup_state,
    backup_stops,
    generations,
    holds,
    journal,
    made_record,
    mounts,
    place_marks,
    progress,
    refused,
    repair_journal,
    systemd_unit,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import load_manifest
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LOCK_FILE, RECORD_FILE

MANIFEST = "manifest.json"
# Without these the configuration that stays would have passwords that nobody knows, and images no known digest.
MEMORY = ("secrets.json", "bind.json", "logins.json", "images.json", backup_state.STATE_FILE, backup_state.LOCK_FILE)
MEMORY += (backup_state.AUDIT_FILE, generations.FILE, refused.FILE, journal.FILE)
# Of no use without containers.
PASSING = (
    holds.HOLDS_FILE,
    "call.yml",
    repair_journal.JOURNAL_FILE,
    made_record.FILE,
    backup_stops.STOPS_FILE,
    place_marks.RECORD,
)


class Leftovers:
    """What a project has on the disks, apart from its apps' own data."""

    def __init__(self, project_path, paths):
        """Look, touch nothing. `paths`: {base, config, media, downloads, backup}.

        FileError when the manifest is damaged.
        """
        self._path, self._paths = project_path, paths
        self._state = os.path.join(project_path, ".mediastack")
        self._manifest = load_manifest(project_path)
        #: Directories that we made.
        self.made = list(self._manifest["directories"])
        #: Volumes that our containers had when they were removed.
        self.volumes = [name for name in self._manifest.get("volumes") or [] if isinstance(name, str)]
        #: Rendered files that go, and those that somebody has edited.
        self.files, self.edited = self._sort()
        self.files += self._existing(PASSING)
        #: What goes only with the configuration.
        self.memory = self._existing(MEMORY if self.edited else (*MEMORY, MANIFEST))

    def _existing(self, names):
        return [path for path in (os.path.join(self._state, name) for name in names) if os.path.lexists(path)]

    def _sort(self):
        written = {path: {digest} for path, digest in self._manifest["files"].items()}
        for path, digest in self._manifest["writing"].items():
            written.setdefault(path, set()).add(digest)
        going, edited = [], []
        for path in sorted(written):
            if not os.path.lexists(path):
                continue
            ours = os.path.isfile(path) and not os.path.islink(path) and not self._among_media(path)
            (going if ours and _digest(path) in written[path] else edited).append(path)
        directories = {os.path.dirname(path) for path in written} | {self._path, self._state}
        return going + atomic_files.left_behind(directories), edited

    def _among_media(self, path):
        return any(mounts.inside(mounts.resolved(path), mounts.resolved(self._paths[name])) for name in _NEVER)

    def staying(self, purged):
        """kind → paths of what stays; `purged`: config directories that go."""
        stays = {name: [self._paths[name]] for name in ("config", *_NEVER) if os.path.isdir(self._paths[name])}
        if "config" in stays:
            here = {os.path.join(self._paths["config"], name) for name in place_marks.held(self._paths["config"])}
            if here <= set(purged):
                del stays["config"]
        backups = self._paths.get("backup")
        if backups and place_marks.held(backups):
            stays["backups"] = [backups]
        if self.edited:
            stays["edited files"] = self.edited
        return stays

    def remember(self, volumes):
        """Keep the names of the volumes that stay, for a later run that is to remove them."""
        if sorted(volumes) != sorted(self.volumes) and os.path.isdir(self._state):
            self._save(volumes=sorted(volumes))

    def remove_files(self):
        """Remove the rendered files, and the directories of them that are empty then."""
        systemd_unit.disable([*self.files, *self.edited])
        for path in self.files:
            _unlink(path)
        systemd_unit.reload(self.files)
        if self._manifest["files"] or self._manifest["writing"]:
            kept = {path: digest for path, digest in self._manifest["files"].items() if path in self.edited}
            self._save(files=kept, writing={})
        for path in {os.path.dirname(path) for path in self.files}.intersection(self.made) - {self._path}:
            _rmdir(path)

    def forget(self):
        """Remove what belonged to the configuration; the directories that we made for it, where they are empty."""
        for path in self.memory:
            _unlink(path)
        for path in filter(None, (self._paths["config"], self._paths.get("backup"))):
            if os.path.isdir(path) and not place_marks.held(path):
                _unlink(os.path.join(path, place_marks.MARK))
            if path in self.made:
                _rmdir(path)

    def tidy(self):
        """Where nothing is left to remember, no trace of the run itself stays either."""
        names = sorted(os.listdir(self._state)) if os.path.isdir(self._state) else [MANIFEST]
        if any(name not in (LOCK_FILE, RECORD_FILE) and not name.startswith(progress.PREFIX) for name in names):
            return
        for name in names:
            _unlink(os.path.join(self._state, name))
        _rmdir(self._state)
        if self._path in self.made:
            _rmdir(self._path)

    def _save(self, **parts):
        self._manifest = dict(self._manifest, **parts)
        atomic_files.write_json(os.path.join(self._state, MANIFEST), self._manifest)


_NEVER = ("media", "downloads")


def _digest(path):
    return hashlib.sha256(atomic_files.read_bytes(path) or b"").hexdigest()


def _unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise FileError("cannot remove %s: %s" % (path, atomic_files.reason(error))) from error


def _rmdir(path):
    # Not empty, or not there: then it is somebody's, or gone already.
    with contextlib.suppress(OSError):
        os.rmdir(path)
