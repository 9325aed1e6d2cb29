#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.config_show, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_show
short_description: Show every setting of the media stack with its value and its origin
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Without O(variable), finds the effective value of every C(mediastack_*) setting of a host and where it comes
    from.
  - With O(variable), prints what the hosts have found as one table and fails when a setting of a host is wrong.
  - The origin is the file and the line; where neither Ansible nor the files in YAML tell it, it is the layer
    (C(inventory), C(-e)).
  - Secrets are masked always. Secret are settings marked so, everything under C(!vault) or in an encrypted file,
    values under a name such as C(api_key), what looks like a WireGuard key or a PEM text, and every repetition of
    these elsewhere.
  - Reads the extra var C(setting) from the command line, a list of settings or of parts of their names.
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
- name: Find every setting and where it comes from
  homelab.mediastack.config_show:
  register: found

- name: Print the settings of all hosts
  homelab.mediastack.config_show:
    variable: found
  run_once: true
"""

RETURN = r"""
rows:
  description: The settings, those that are set first; secrets are masked.
  type: list
  elements: dict
  returned: success without O(variable)
  contains:
    host:
      description: Name of the host.
      type: str
    setting:
      description: Name of the setting.
      type: str
    value:
      description: Its value as YAML in one line.
      type: str
    origin:
      description: Where it comes from.
      type: str
      sample: host_vars/nas/mediastack.yml:3
    given:
      description: Whether it is set anywhere.
      type: bool
    mark:
      description: V(*) when it differs from its default, V(!) when it is wrong, else a blank.
      type: str
problems:
  description: What is wrong with the settings, one sentence each.
  type: list
  elements: str
  returned: success without O(variable)
narrowed:
  description: Whether single settings were asked for.
  type: bool
  returned: success without O(variable)
"""
