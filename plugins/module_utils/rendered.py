# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a bundle wants on the host's disks: secrets, files, directories, presets and the saved address, planned and
written as one.
"""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    bind_address,
    file_findings,
    first_login,
    host_units,
    presets,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import FileSet
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore


class Rendered:
    """The disk side of one run."""

    def __init__(self, bundle, check, selected, images=None, turn=None):
        """Plan everything, touch nothing. FileError or SecretError when it cannot be done.

        `selected`: names of the services whose presets and first logins are due; the files are written for all.
        `images`: service → image, where it is another one than the bundle names.
        `turn`: (name → value, name → value before) of secrets that change and are not kept in the store yet; or None.
        """
        self._bundle = bundle
        self._path = bundle["project"]["path"]
        #: Sentences for the user.
        self.notes = []
        self._store = SecretStore(self._path)
        self.values = self._store.resolve(bundle.get("secrets") or {}, check)
        addresses, self._bind, self.bind_problem = bind_address.resolve(self._path, bundle.get("bind_addresses") or [])
        asked = {name: service["image"] for name, service in (bundle.get("services") or {}).items()}
        stored, others = dict(self.values), (addresses[0] if addresses else None, dict(asked, **(images or {})))
        if turn:
            self.values.update(turn[0])
        self._tokens = self._store.tokens(self.values, *others)
        was = self._store.tokens(dict(stored, **turn[1]), *others) if turn else None
        self._tokens.hide(turn[1].values() if turn else ())
        #: The units that repair after a reboot and make backups.
        self.unit = host_units.HostUnits(bundle)
        self._files = FileSet(dict(bundle, files=[*(bundle.get("files") or []), *self.unit.files]), self._path)
        self.file_changes = self._files.plan(self._tokens)
        due = [preset for preset in bundle.get("presets") or [] if preset["service"] in selected]
        self.preset_changes = presets.plan(due, self._tokens, bundle, self.notes, was)
        #: service → content label.
        self.labels = self._files.labels
        created = [change["path"] for change in self.file_changes if change["action"] == "create"]
        self.logins = [
            name for name in first_login.plan(bundle.get("services") or {}, self._path, created) if name in selected
        ]
        self._made = []

    @property
    def changed(self):
        """Whether anything would be written."""
        return bool(self.file_changes or self.preset_changes or self.unit.changed)

    @property
    def edits(self):
        """service → why it must not run while its preset file is written."""
        why = {}
        for change in self.preset_changes:
            why.setdefault(change["service"], []).append(
                "its %s is %s"
                % (os.path.basename(change["path"]), "edited" if change["action"] == "edit" else "written")
            )
        return {service: "; ".join(texts) for service, texts in why.items()}

    @property
    def actions(self):
        """path → what happens to it."""
        done = {change["path"]: change["action"] for change in self.preset_changes}
        done.update(dict.fromkeys(self.unit.enabling, "enable"))
        done.update((change["path"], change["action"]) for change in self.file_changes)
        return done

    @property
    def reasons(self):
        """path → why something happens to it."""
        found = {change["path"]: "; ".join("/".join(key) for key in change["keys"]) for change in self.preset_changes}
        found.update(dict.fromkeys(self.unit.enabling, "it is not enabled"))
        return dict(found, **file_findings.reasons(self.file_changes))

    @property
    def unknown(self):
        """Files beside ours that are not ours."""
        own = self._bundle.get("extra_compose_files") or []
        return file_findings.unknown(self._files.known | set(own), self._path)

    def diff(self):
        """The changes as Ansible shows them, secrets masked."""
        return FileSet.diff(self.file_changes) + self.unit.diff() + presets.diff(self.preset_changes)

    def mask(self, text):
        """`text` without any secret of this host."""
        return self._tokens.mask(text)

    def make_project_directory(self):
        """Create only the directories down to the project, so that there is a place for the lock."""
        above = [
            change
            for change in self.file_changes
            if change["kind"] == "directory"
            and change["action"] == "create"
            and (self._path + os.sep).startswith(change["path"].rstrip(os.sep) + os.sep)
        ]
        self._files.apply(above)
        self._made = above

    def write(self):
        """Write secrets, address and files, and the presets of apps that have none yet."""
        self._store.save()
        bind_address.save(self._path, self._bind)
        changes = [change for change in self.file_changes if change not in self._made]
        self.unit.before(changes)
        self._files.apply(changes)
        self.unit.after(changes)

    def write_presets(self):
        """Write the preset files, with the apps that own them stopped."""
        return presets.apply(self.preset_changes)

    def log_in(self, project, deadline):
        """Set the first logins that are due; service → what happened. `deadline`: of the monotonic clock."""
        return first_login.apply(
            self.logins,
            self._bundle["services"],
            self.values,
            [container.raw for container in project.containers],
            deadline,
            self._path,
        )
