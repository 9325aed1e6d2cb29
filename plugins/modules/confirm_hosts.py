# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.confirm_hosts, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: confirm_hosts
short_description: Ask for the name of every host before something that cannot be undone
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Asks at the terminal for the name of each host, one after the other, and fails unless every answer is right.
  - Without a terminal, and without O(confirmed), it fails.
  - Give the task C(run_once), so that nothing has been done to any host when one is refused.
options:
  hosts:
    description: Names of the hosts in the inventory.
    type: list
    elements: str
    required: true
  what:
    description: What is about to happen, as it follows the word V(to).
    type: str
    required: true
  confirmed:
    description:
      - Names that were written beforehand, separated by commas.
      - Then nothing is asked, and every host must be among them.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Asks for nothing.
  diff_mode:
    support: none
    description: Changes no host, so there is no difference.
  action:
    support: full
    description: Runs on the controller.
"""

EXAMPLES = r"""
- name: Ask before configuration is deleted
  homelab.mediastack.confirm_hosts:
    hosts: "{{ ansible_play_hosts }}"
    what: delete the configuration of every app
  run_once: true
"""

RETURN = r"""
msg:
  description: Which hosts were confirmed, or why not.
  type: str
  returned: always
"""
