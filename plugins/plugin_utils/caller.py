# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who runs this controller, for records on the hosts."""

from __future__ import annotations

import getpass
import os
import platform

from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import WHO_VARIABLE


def who():
    """`user@controller`; the user's number where it has no name. In pull mode, the commit in place of the user."""
    try:
        user = os.environ.get(WHO_VARIABLE) or getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{platform.node() or 'controller'}"
