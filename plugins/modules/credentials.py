# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.credentials, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credentials
short_description: Show address, user, password and API key of apps on the terminal
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Reads the logins from the host and writes them to the terminal that C(ansible-playbook) runs in. They go to no log,
    no callback and no registered variable.
  - Without a terminal it fails, before anything is read.
  - Of a login that somebody brought along or changed in the app's own settings it says so.
options:
  services:
    description:
      - Services, or apps with all of their services. Empty is every one with something to open.
      - C(-e service=) on the command line counts with it.
    type: list
    elements: str
    default: []
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Changes nothing, with or without check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference.
    support: none
seealso:
  - module: homelab.mediastack.stack_credentials
"""

EXAMPLES = r"""
- name: Show how to get into Sonarr
  homelab.mediastack.credentials:
    services: [sonarr]
"""

RETURN = r"""
msg:
  description: Which services were shown. Never what was shown.
  type: str
  returned: always
"""
