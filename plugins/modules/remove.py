# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.remove, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: remove
short_description: Take the media stack away from a host, and print what went and what stays
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Fills in names and paths from the host's settings, and runs M(homelab.mediastack.stack_remove) there.
  - Containers, networks and rendered files go. Configuration, volumes, media, downloads, images and the engine stay.
options:
  purge_config:
    description:
      - Whether the configuration of the stack's services goes too, with their volumes and the generated secrets.
      - Ask first, see M(homelab.mediastack.confirm_hosts).
    type: bool
    default: false
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Lists exactly what would go, and changes nothing.
    support: full
  diff_mode:
    description: Shows the names of what goes.
    support: full
seealso:
  - module: homelab.mediastack.stack_remove
  - module: homelab.mediastack.confirm_hosts
"""

EXAMPLES = r"""
- name: Take the stack away; configuration, media and downloads stay
  homelab.mediastack.remove:
"""

RETURN = r"""
gone:
  description: What went, or would go in check mode, by kind.
  type: dict
  returned: success
stays:
  description: What stays, by kind.
  type: dict
  returned: success
messages:
  description: Sentences for the user, which were also printed.
  type: list
  elements: str
  returned: success
"""
