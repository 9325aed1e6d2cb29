#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.config_edit, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_edit
short_description: Open the file with a host's settings in an editor, and check it on saving
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Opens C(host_vars/<host>/mediastack.yml) beside the inventory; where the settings of the host stand in another file,
    that one. With the extra var C(scope), the file of a group. With the extra var C(file=vault), the encrypted one.
  - The editor is C($VISUAL), C($EDITOR), V(vi) or V(nano), at the terminal of ansible-playbook. It gets a copy.
  - What is saved is checked as M(homelab.mediastack.config_validate) does. An edit with errors is edited again, kept or
    thrown away, as the user says; an editor that ends with an error changes nothing.
  - The file is replaced at once, with the mode and the owner that it had. An encrypted file is encrypted again with the
    same vault password.
  - Without a terminal it names the file and the command, and fails. In check mode it only names the file.
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Works in check mode.
    support: full
  diff_mode:
    description: Shows no difference, for the file may hold secrets.
    support: none
  connection:
    description: It runs on the controller and needs no connection to the host.
    support: none
"""

EXAMPLES = r"""
- name: Edit the settings of the host
  homelab.mediastack.config_edit:
  run_once: true
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
errors:
  description: Number of errors that the user has kept it with.
  type: int
  returned: when an editor was opened
"""
