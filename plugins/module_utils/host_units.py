# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All systemd units of a bundle as one: the repair after a boot, and the timer of backups."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.backup_unit import BackupUnit
from ansible_collections.homelab.mediastack.plugins.module_utils.boot_unit import BootUnit


class HostUnits:
    """What is to be there, and what is."""

    def __init__(self, bundle, root=""):
        """`root`: of the file system, for tests. FileError where a unit is asked for and cannot be."""
        self._units = [BootUnit(bundle, root), BackupUnit(bundle, root)]

    @property
    def files(self):
        """Files of the bundle."""
        return [entry for unit in self._units for entry in unit.files]

    @property
    def enabling(self):
        """Paths of units that are there to stay and not enabled."""
        return [unit.path for unit in self._units if unit.changed]

    @property
    def changed(self):
        """Whether there are any of these."""
        return bool(self.enabling)

    def leave(self):
        """Leave all as they are, after all."""
        for unit in self._units:
            unit.leave()

    def diff(self):
        """Sections of the diff, besides those of the files."""
        return [section for unit in self._units for section in unit.diff()]

    def before(self, changes):
        """Disable what `changes` (of a FileSet) take away."""
        for unit in self._units:
            unit.before(changes)

    def after(self, changes):
        """Enable what is wanted, and tell systemd, once `changes` are made."""
        for unit in self._units:
            unit.after(changes)
