#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.leak_report, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leak_report
short_description: Print the leak tests of all hosts, write them to a file, fail unless every check passed
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Prints one table of what M(homelab.mediastack.leak_test) found on every host of the play, then fails unless every
    check of every host passed. A host without a result is inconclusive.
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
    description: In check mode nothing was tested, so there is nothing to report.
  diff_mode:
    support: none
    description: Changes no host, so there is no difference.
  action:
    support: full
    description: Runs on the controller.
seealso:
  - module: homelab.mediastack.leak_test
"""

EXAMPLES = r"""
- name: Test every host
  homelab.mediastack.leak_test:
    fail: false
  register: leaks

- name: Print the table of all hosts, and write it for the pipeline
  homelab.mediastack.leak_report:
    variable: leaks
    output: leaks.xml
  run_once: true
"""

RETURN = r"""
msg:
  description: The result in one sentence.
  type: str
  returned: always
  sample: "20 of 20 checks passed"
"""
