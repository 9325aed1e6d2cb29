# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.stack_backup: fill in what the settings know, run the module, say what came of it."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.homelab.mediastack.plugins.plugin_utils import backup_words, host_backup

MODULE = "homelab.mediastack.stack_backup"


class ActionModule(ActionBase):
    """One module execution on the host."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Run a backup."""
        super().run(tmp, task_vars)
        return host_backup.run(
            self,
            task_vars,
            MODULE,
            backup_words.backed_up,
            "of_backup",
            [("lock_timeout", "mediastack_lock_timeout")],
        )
