#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.report, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Print the health of all hosts, write it to a file, fail unless all is well
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Prints one table of what M(homelab.mediastack.stack_health) found on every host of the play, and below it what it
    found of VPN, disks, downloads and holds.
  - Then fails unless all is well.
  - A host without a result, because it was unreachable or failed before, is a row of the table, V(UNKNOWN).
  - Runs on the controller and touches no host. Give the task C(run_once) when O(variable) is used.
options:
  results:
    description: Results of M(homelab.mediastack.stack_health), by host.
    type: dict
  variable:
    description:
      - Name of the variable in which every host of the play has registered its result.
      - Either this or O(results) is needed.
    type: str
  fail_on:
    description:
      - What lets the task fail. V(degraded) is any service that is not V(HEALTHY), V(unhealthy) lets V(DEGRADED) pass.
    type: str
    choices: [degraded, unhealthy, never]
    default: degraded
  output:
    description:
      - Files to which the report is written, in check mode too, separated by commas. The end of a name tells the
        format, C(.json), C(.html), C(.xml) (JUnit) or C(.prom) (for the textfile collector of node_exporter).
      - V(-) prints the report as JSON, and no table.
      - Empty writes nothing.
    type: str
    default: ""
  rows:
    description: Which services the table shows. V(problems) are those that are not V(HEALTHY) or have a message.
    type: str
    choices: [all, problems]
    default: all
attributes:
  check_mode:
    support: full
    description: Changes no host, with or without check mode.
  diff_mode:
    support: none
    description: Changes no host, so there is no difference.
  action:
    support: full
    description: Runs on the controller.
seealso:
  - module: homelab.mediastack.stack_health
"""

EXAMPLES = r"""
- name: Look at every service
  homelab.mediastack.stack_health:
  register: health

- name: Print the table of all hosts
  homelab.mediastack.report:
    variable: health
    output: status.json,status.html
  run_once: true

- name: Print what is not well on this host, and go on
  homelab.mediastack.report:
    results: "{{ {inventory_hostname: health} }}"
    rows: problems
    fail_on: never
"""

RETURN = r"""
healthy:
  description: Whether every service of every host is V(HEALTHY).
  type: bool
  returned: success
msg:
  description: The result in one sentence.
  type: str
  returned: always
  sample: "3 of 22 not healthy: nas/sonarr, nas/radarr, attic/jellyfin"
"""
