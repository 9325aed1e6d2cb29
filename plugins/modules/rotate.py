#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.rotate, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotate
short_description: Give secrets of a host new values
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Renders the stack as M(homelab.mediastack.deploy) does, and has M(homelab.mediastack.stack_rotate) put new values of
    generated secrets into the apps and into everything that uses them.
  - A secret that the inventory gives, a certificate, and one that a service file says must stay are refused by name.
  - No value is shown or returned; M(homelab.mediastack.credentials) shows logins on a terminal.
options:
  secrets:
    description:
      - Names of secrets, or V(all).
      - C(-e secret=) on the command line counts with it.
    type: list
    elements: str
    default: []
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Says what would be changed and restarted, and changes nothing.
    support: full
  diff_mode:
    description: Shows the changes of files, secrets masked.
    support: full
seealso:
  - module: homelab.mediastack.stack_rotate
  - module: homelab.mediastack.credentials
"""

EXAMPLES = r"""
- name: Give Sonarr a new API key
  homelab.mediastack.rotate:
    secrets: [sonarr_api_key]
"""

RETURN = r"""
rotated:
  description: Names of the secrets that have new values.
  type: list
  elements: str
  returned: always
unproven:
  description: Those of them that no app could be asked about.
  type: list
  elements: str
  returned: always
actions:
  description: What was done, or would be, one sentence an action.
  type: list
  elements: str
  returned: always
services:
  description: State of each service, as of M(homelab.mediastack.compose_stack).
  type: dict
  returned: always
health:
  description: What M(homelab.mediastack.stack_health) returns.
  type: dict
  returned: after a successful run
"""
