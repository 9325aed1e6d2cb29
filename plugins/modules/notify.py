#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.notify, which is an action and sends from the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Try out the notification channels of a host, or tell a condition
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Without O(condition) sends a test message to every address of C(mediastack_notify_urls), and fails where one takes
    none. It says which by scheme and host only, for the rest of an address is a secret.
  - With O(condition) tells that it is bad, or good again, once per change, as the verbs of this collection do with
    what they find. What was told is kept on the host. A channel that takes nothing is a warning, and the next run
    tells.
  - Messages are sent by the controller, with the Python library Apprise.
options:
  condition:
    description:
      - A kind of event (V(unhealthy), V(vpn), V(leak), V(update), V(disk), V(drift), V(backup), V(pull)), and
        after a slash what tells one from others.
    type: str
    default: ""
  state:
    description: With O(condition), how it is now.
    type: str
    choices: ["", bad, good]
    default: ""
  message:
    description:
      - With O(condition), what is wrong. Another message, but for its numbers, is another trouble and is told anew.
    type: str
    default: ""
extends_documentation_fragment:
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  action:
    support: full
    description: Runs on the controller.
  check_mode:
    support: full
    description: Sends nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
seealso:
  - module: homelab.mediastack.stack_notify
"""

EXAMPLES = r"""
- name: Try out the channels
  homelab.mediastack.notify:

- name: Tell that the nightly job failed
  homelab.mediastack.notify:
    condition: backup/offsite-job
    state: bad
    message: the job on the router failed
"""

RETURN = r"""
sent:
  description: How many messages were taken.
  type: int
  returned: when nothing is wrong
"""
