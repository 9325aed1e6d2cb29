#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.plan, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Tell what a host would have changed by the playbook site, and why
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Renders the stack as M(homelab.mediastack.deploy) does, and has M(homelab.mediastack.compose_stack) predict on the
    host what it would do, in one call. Nothing is changed, with or without check mode.
  - It never fails. What is wrong with the settings, and why a host could not be asked, is a part of RV(plan), which
    M(homelab.mediastack.plan_report) prints for all hosts.
  - C(-e output=) and C(-e fail_on_drift=) on the command line are checked and returned in RV(args).
options: {}
attributes:
  action:
    support: full
    description: It is an action plugin.
  check_mode:
    support: full
    description: It only looks, in any mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference; what would differ is in RV(plan).
seealso:
  - module: homelab.mediastack.plan_report
  - module: homelab.mediastack.deploy
"""

EXAMPLES = r"""
- name: Look at every host
  homelab.mediastack.plan:
  register: found

- name: Print what would change, and write it for the pipeline
  homelab.mediastack.plan_report:
    variable: found
    output: plan.json
  run_once: true

- name: Fail for every host that does not match the inventory
  homelab.mediastack.plan_report:
    variable: found
    verdict: true
"""

RETURN = r"""
args:
  description: Values of C(output) and C(fail_on_drift) from the command line.
  type: dict
  returned: always
plan:
  description: What was found, as it stands in the report under the host's name.
  type: dict
  returned: always
  contains:
    result:
      description: One of V(in_sync), V(drift), V(error).
      type: str
    changes:
      description: What would change, each with C(kind), C(service), C(path), C(what), C(why), C(before), C(after).
      type: list
      elements: dict
    images:
      description: The image of every service, with C(running) and C(locked) digest, C(created) and C(age_days).
      type: list
      elements: dict
    holds:
      description: What somebody took out of the inventory's hands, each with C(service) and C(why).
      type: list
      elements: dict
    messages:
      description: What there is to say besides; of V(error) what went wrong.
      type: list
      elements: str
    diff:
      description: What would change in files, as one text, with secrets masked.
      type: str
"""
