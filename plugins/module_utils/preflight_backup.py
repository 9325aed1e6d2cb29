# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the copies of backups that the inventory asks for can be made at all."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem


def check(bundle):
    """Problems: programs that the settings need and this host does not have."""
    wish = bundle.get("backup") or {}
    if not wish.get("target"):
        return []
    from ansible_collections.homelab.mediastack.plugins.module_utils import backup_target

    needs = backup_target.programs(wish["target"], wish.get("recipients"))
    return [
        problem(
            "backup",
            "copies of backups need the program %s, which is not on this host" % name,
            setting,
            None,
            "install %s, or leave the setting out" % backup_target.PACKAGES[name],
        )
        for name, setting in backup_target.missing(needs)
    ]
