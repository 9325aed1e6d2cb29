#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.plan_report, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_report
short_description: Print what would change on all hosts, write it to a file, fail for hosts that do not match
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Prints what M(homelab.mediastack.plan) found on every host of the play, and writes it to O(output). Give that task
    C(run_once); it does not fail for what was found.
  - With O(verdict) it fails instead for each host that it runs for and that does not match. A host that could not be
    reached is unreachable to Ansible too, so that the exit code is Ansible's.
  - Runs on the controller and touches no host.
options:
  variable:
    description: Name of the variable in which every host of the play has registered its result.
    type: str
    required: true
  output:
    description:
      - Files to which the report is written, separated by commas. The end of a name must be C(.json).
      - V(-) prints the report as JSON, and nothing else.
    type: str
    default: ""
  verdict:
    description: Print nothing, but fail where this host is not in sync.
    type: bool
    default: false
  fail_on_drift:
    description: With O(verdict), whether a host that could be asked and that would be changed is a failure.
    type: bool
    default: true
attributes:
  action:
    support: full
    description: Runs on the controller.
  check_mode:
    support: full
    description: Prints and writes in any mode; no host is touched.
  diff_mode:
    support: full
    description: With C(--diff) the whole diff of every host is printed, else its beginning.
seealso:
  - module: homelab.mediastack.plan
"""

EXAMPLES = r"""
- name: Look at every host
  homelab.mediastack.plan:
  register: found

- name: Print what would change
  homelab.mediastack.plan_report:
    variable: found
  run_once: true
"""

RETURN = r"""
msg:
  description: The result in one sentence.
  type: str
  returned: always
  sample: "3 of 3 hosts in sync"
result:
  description: V(in_sync), V(drift) or V(error), of all hosts together.
  type: str
  returned: without O(verdict)
"""
