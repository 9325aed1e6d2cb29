#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.logs, which is an action."""

from __future__ import annotations

DOCUMENTATION = r"""
module: logs
short_description: Show or follow what the services of a host write
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Reads the logs of the stack's services with M(homelab.mediastack.stack_logs), secrets masked on the host.
  - With O(follow) it prints them, and then what comes, until Ctrl-C. It looks twice a second through the host's
    connection, whatever plugin that is, and leaves nothing running between two looks.
  - With O(variable) it prints what was read of all hosts of the play in the order of its time.
  - Extra vars of the same names on the command line count where an option is not given.
options:
  service:
    description: Services, or apps with all of their services. Empty is every service of the stack.
    type: list
    elements: str
  tail:
    description:
      - Lines of each service, counted from the end, after O(since) and O(grep).
      - The default is 50, and 5000 with O(since).
    type: int
  since:
    description:
      - Only what was written since then. How long ago (V(10m), V(2h30m), V(3d)), a date, a date and time in the
        controller's time zone, or RFC 3339.
    type: str
  grep:
    description: Only lines that match this regular expression of Python. It sees them masked and without colours.
    type: str
  follow:
    description: Print what comes until Ctrl-C. Every host takes a fork of its own.
    type: bool
  variable:
    description:
      - Name of the variable in which every host of the play has registered what this module read.
      - Prints that, and reads nothing. Give the task C(run_once).
      - Fails when a service that was named has no container on any host, or its log cannot be read.
    type: str
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Reads as well, for it changes nothing; with O(follow) it only says what it would follow.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
seealso:
  - module: homelab.mediastack.stack_logs
"""

EXAMPLES = r"""
- name: Read the errors of the last hour
  homelab.mediastack.logs:
    service: [sonarr, radarr]
    since: 1h
    grep: (?i)error
  register: errors

- name: Print them
  homelab.mediastack.logs:
    variable: errors
  run_once: true
"""

RETURN = r"""
lines:
  description:
    - Each line is a list of its time in nanoseconds since 1970, its service and its text, in the order of time. With
      O(variable) their number.
  type: raw
  returned: success, not while following
  sample: [[1735689600000000000, sonarr, "[Info] Application started"]]
services:
  description: Every service of the stack that has a container.
  type: list
  elements: str
  returned: success, without O(variable)
missing:
  description: Those of O(service) that have none.
  type: list
  elements: str
  returned: success, without O(variable)
troubles:
  description: Services whose log could not be read, and why.
  type: dict
  returned: success, without O(variable)
left_out:
  description: With O(since) or O(grep), how many earlier lines of a service O(tail) left out.
  type: dict
  returned: success, without O(variable)
duration_ms:
  description: Milliseconds on the host.
  type: int
  returned: success, without O(variable)
"""
