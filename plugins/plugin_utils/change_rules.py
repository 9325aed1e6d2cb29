# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for the settings of rollouts, updates, backups and pull mode, one method each, as in `setting_rules.py`."""

from __future__ import annotations

import re

from . import path_rules
from .gitops_rules import GitopsRules
from .setting_types import shown

# setting → (least, most, what it is)
_RANGES = {
    "max_fail_percentage": (0, 100, "percent"),
    "update_stable_for": (1, 3600, "seconds"),
    "update_minimum_age": (0, 365, "days"),
    "update_keep": (1, 50, "generations"),
    "backup_keep": (1, 366, "backups"),
    "backup_max_age": (1, 8784, "hours"),
    "gitops_rollout": (0, 100, "percent"),
    "gitops_interval": (15, 604800, "seconds"),
    "gitops_jitter": (0, 86400, "seconds"),
    "gitops_keep_logs": (1, 1000, "logs"),
}
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_BATCH = re.compile(r"[1-9][0-9]{0,4}|(?:[1-9][0-9]?|100)%")
# No option of rsync or ssh may be smuggled in by a name that begins with a dash.
_REMOTE = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):(?P<path>/[^:]*)")
_RECIPIENT = re.compile(r"age1[a-z0-9]{20,}|(?:ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]+(?: .*)?")


class ChangeRules(GitopsRules):
    """Checks of `mediastack_update_*`, `mediastack_backup_*` and what batches of hosts are about."""

    @staticmethod
    def in_range(name, value, errors):
        """Check a number of these settings; False where `name` is none of them."""
        if name not in _RANGES:
            return False
        least, most, meaning = _RANGES[name]
        if not least <= value <= most:
            errors.append(f"{value} is not a number of {meaning} from {least} to {most}.")
        return True

    @staticmethod
    def _check_update_serial(value, errors):
        for batch in value:
            if not _BATCH.fullmatch(batch):
                errors.append(f'{shown(batch)} is no batch: write a number of hosts, or a percentage such as "25%".')
        if not value:
            errors.append('is empty. Write at least one batch, such as ["1", "100%"].')
        return value

    _check_site_serial = _check_update_serial

    @staticmethod
    def _check_backup_time(value, errors):
        if not _TIME.fullmatch(value):
            errors.append(f'{shown(value)} is no time of day: write hours and minutes in quotes, such as "03:30".')
        return value

    @staticmethod
    def _check_backup_target(value, errors):
        if not value:
            return value
        remote = _REMOTE.fullmatch(value)
        if ":" in value and not remote:
            errors.append(f"{shown(value)} is neither an absolute path nor user@host:/directory.")
        elif not remote:
            return path_rules.check_directory(value, errors)
        elif ".." in remote["path"].split("/") or not value.isprintable() or remote["path"] == "/":
            errors.append(f"{shown(value)}: write an absolute directory without '..' after the colon.")
        return value

    @staticmethod
    def _check_backup_recipients(value, errors):
        for recipient in value:
            if not _RECIPIENT.fullmatch(recipient):
                errors.append(f"{shown(recipient)} is no public key of age: age1…, or a public SSH key.")
        return value
