#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.watch, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: watch
short_description: Look at every service of a media stack, once or until Ctrl-C
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Without O(interval), does what M(homelab.mediastack.stack_health) does without options, and returns the same.
  - With it, looks again and again and shows one table of all hosts of the play. On a terminal the table is painted in
    place, in a pipe or file one follows the other. It ends with Ctrl-C only.
  - Every host is looked at through its own connection. A host that does not answer is V(UNKNOWN), and tried again.
  - All hosts of the play are watched at once, so they must not be more than Ansible's forks.
  - Nothing is left on a host, or on the controller, when it has ended.
options:
  interval:
    description: Seconds between the beginnings of two looks. V(0) looks once.
    type: int
    default: 0
  output:
    description: Files that are written anew at every look, as for M(homelab.mediastack.report). With V(-), one line of
      JSON for every look.
    type: str
    default: ""
  fail_on:
    description: As for M(homelab.mediastack.report). Here it matters for the JUnit file only.
    type: str
    choices: [degraded, unhealthy, never]
    default: degraded
attributes:
  check_mode:
    support: full
    description: With O(interval), tells what it would do and does not look. Changes nothing anyway.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference.
  action:
    support: full
    description: Runs on the controller, and M(homelab.mediastack.stack_health) on the host.
seealso:
  - module: homelab.mediastack.stack_health
  - module: homelab.mediastack.report
"""

EXAMPLES = r"""
- name: Show the health of all hosts until Ctrl-C
  homelab.mediastack.watch:
    interval: 5
"""

RETURN = r"""
healthy:
  description: Whether every service is V(HEALTHY). The other values are as of M(homelab.mediastack.stack_health).
  type: bool
  returned: without O(interval)
"""
