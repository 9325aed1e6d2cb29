#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.init, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: init
short_description: Set up a server for the media stack, by questions
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Looks at the host, asks at the terminal for storage, VPN, services and further settings, shows what it would write,
    and after a yes writes the host's settings and renders the stack on it. It starts nothing.
  - Every answer is checked as it is typed, by the rules of M(homelab.mediastack.settings), and storage by writing and
    linking files on the host as the user that the apps will run as (M(homelab.mediastack.host_info)).
  - It writes C(host_vars/<host>/mediastack.yml) and, encrypted, C(host_vars/<host>/mediastack.vault.yml) beside the
    inventory, and no other file of it. With C(-e scope=<group>) it is C(group_vars/<group>) instead. Unknown keys,
    comments, expressions and C(!vault) values in them stay as they are; nothing is written that a group says already.
  - Where Ansible knows no vault password, one is made in a file that only its user can read, outside of the inventory,
    and C(vault_password_file) is set in C(ansible.cfg) of the working directory. An existing setting is used as it is.
  - Run again it starts from the current values. Interrupted at a question it has changed nothing.
  - With settings on the command line (C(-e @answers.yml)) it asks nothing, and reports everything that is wrong at
    once.
  - Extra vars of the command line that it knows besides settings are C(scope) and C(vault_password_file), and, where
    there is no inventory yet, C(server), C(server_name) and C(directory).
options:
  directory:
    description:
      - Where to write a new inventory, as M(homelab.mediastack.init_host) found it. Without it the host's own is used.
    type: path
  target:
    description:
      - How the host is reached, as M(homelab.mediastack.init_host) found it, for the new inventory.
    type: dict
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: It describes what it would do; with settings on the command line it checks and shows them too.
    support: full
  diff_mode:
    description: Shows the files, secrets not.
    support: full
  connection:
    description: It asks on the controller and works over the host's connection.
    support: full
"""

EXAMPLES = r"""
- name: Set up one server after the other
  hosts: mediastack
  gather_facts: false
  serial: 1
  tasks:
    - name: Ask, show, write and render
      homelab.mediastack.init:
"""

RETURN = r"""
files:
  description: Paths of the files that were written on the controller.
  type: list
  elements: str
  returned: after writing, and in check mode
diff:
  description: What changed, here and on the host; secrets are not shown.
  type: list
  elements: dict
  returned: after writing, and in check mode
"""
