#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.exposure_report, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: exposure_report
short_description: Print what of all hosts is reached from the network, write it to a file, fail unless all of it passed
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Prints one table of what M(homelab.mediastack.exposure) found on every host of the play, then fails unless all of
    it passed, naming host, service, address and remedy. A host without a result is inconclusive.
  - Runs on the controller and touches no host. Give the task C(run_once).
options:
  variable:
    description: Name of the variable in which every host of the play has registered its result.
    type: str
    required: true
  output:
    description:
      - Files to which the report is written, separated by commas. The end of a name tells the format, C(.json) or
        C(.xml) (JUnit).
      - V(-) prints the report as JSON, and no table.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Changes nothing, with or without check mode.
  diff_mode:
    support: none
    description: Changes no host, so there is no difference.
  action:
    support: full
    description: Runs on the controller.
seealso:
  - module: homelab.mediastack.exposure
"""

EXAMPLES = r"""
- name: Look at every host
  homelab.mediastack.exposure:
    fail: false
  register: exposure

- name: Print the table of all hosts, and write it for the pipeline
  homelab.mediastack.exposure_report:
    variable: exposure
    output: exposure.xml
  run_once: true
"""

RETURN = r"""
msg:
  description: The result in one sentence.
  type: str
  returned: always
  sample: "12 of 12 ports passed"
"""
