#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.config_validate, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_validate
short_description: Check the configuration of the media stack without touching a host
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Without O(variable), finds what is wrong with the configuration of a host. With O(variable), prints what all
    hosts have found, sorted, and fails when there is an error among it.
  - Looks at everything that M(homelab.mediastack.settings) refuses, at what gluetun's pinned release refuses of the
    environment that it would get, and lints the stack that would be rendered.
  - The linter finds what Docker Engine refuses although C(docker compose config) passes, clashes of ports and
    addresses, what would let traffic out of the VPN, names that nothing defines, downloads that an *arr cannot find,
    and mounts that make imports copies instead of hard links.
  - An error does not start, does not work or lets something out. A warning works, but not as most want.
options:
  variable:
    description:
      - Name of the variable that a task with this action and without O(variable) has registered.
    type: str
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Works in check mode.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
  connection:
    description: It runs on the controller and needs no connection to the host.
    support: none
"""

EXAMPLES = r"""
- name: Look for problems
  homelab.mediastack.config_validate:
  register: found

- name: Print the problems of all hosts
  homelab.mediastack.config_validate:
    variable: found
  run_once: true
"""

RETURN = r"""
valid:
  description: Whether there is no error among the findings.
  type: bool
  returned: success without O(variable)
findings:
  description: What is wrong, errors first.
  type: list
  elements: dict
  returned: success without O(variable)
  contains:
    level:
      description: V(error) or V(warning).
      type: str
    service:
      description: The service; empty for what concerns the whole stack.
      type: str
    where:
      description: The setting with its file and line, the Compose key or the file.
      type: str
      sample: mediastack_puid (host_vars/nas/mediastack.yml:3)
    message:
      description: What is wrong.
      type: str
    remedy:
      description: What to do; empty where the message says it.
      type: str
notes:
  description: What was not looked at, and why.
  type: list
  elements: str
  returned: success without O(variable)
"""
