#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.init_host, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: init_host
short_description: Find the first server where there is no inventory
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Where there is no inventory, asks which server it is to be, this machine or one by SSH, tries SSH, sudo, Python,
    file transfer and docker there, and adds it to the group C(mediastack) for the rest of the run.
  - Each obstacle is named with a remedy of one line.
  - With an inventory it does nothing.
  - C(-e server=this) or C(-e server=user@host), C(-e server_name=) and C(-e directory=) answer its questions.
  - It is the first task of the playbook C(homelab.mediastack.init), before M(homelab.mediastack.init).
options: {}
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: It asks nothing then; the server must be named.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
  connection:
    description: It runs on the controller and tries the server by the programs ssh and sftp.
    support: none
"""

EXAMPLES = r"""
- name: Find the server where there is no inventory yet
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Ask which server it is to be, and try it
      homelab.mediastack.init_host:
"""

RETURN = r"""
add_host:
  description: The server, as M(ansible.builtin.add_host) returns it. With C(init_new_directory), where to write.
  type: dict
  returned: where there is no inventory
"""
