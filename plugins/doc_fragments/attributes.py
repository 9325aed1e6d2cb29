# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of this collection support, in words that stand once."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by modules."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and tell what would change without changing it.
  diff_mode:
    description: Returns what has changed, or would change in check mode, as a diff.
  idempotent:
    description: Run a second time with the same parameters it changes nothing, if nothing else changed the host.
  platform:
    description: Where the module runs.
    platforms: posix
"""

    ACTIONGROUP_STACK = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/homelab.mediastack.stack) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - homelab.mediastack.stack
"""

    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This module changes nothing.
  diff_mode:
    support: N/A
    details: This module changes nothing.
  idempotent:
    support: full
    details: This module changes nothing.
"""
