#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last lines that the services of a Compose project wrote, secrets masked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_logs
short_description: Read what the services of a Compose project wrote, secrets masked
version_added: 0.1.0
description:
  - Reads the logs of a project's containers with C(docker logs), merged by the engine's time.
  - Secrets are masked on the host, before a line leaves it. These are the stack's generated secrets, its secret files,
    variables of the containers with names such as C(API_KEY), those of O(mask), all of them also as addresses, JSON and
    HTML write them, and what looks like a secret, such as C(apikey=...).
  - Control characters are taken out of the lines; only colours stay.
  - Changes nothing. Needs nothing on the host but Python 3.8 and Docker Engine 20.10, each or later.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.info_module
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  platform:
    support: full
    platforms: posix
options:
  project_name:
    description:
      - Name of the Compose project.
    type: str
    required: true
  project_path:
    description:
      - Its directory. Containers of a project of that name in another directory are left out.
    type: path
    required: true
  services:
    description:
      - Names of services; the default is all.
    type: list
    elements: str
    default: []
  tail:
    description:
      - How many lines of each container, counted from the end, after O(since) and O(grep).
    type: int
    default: 50
  since:
    description:
      - Only what was written since then. V(600s) is seconds ago, a number is seconds since 1970.
    type: str
    default: ""
  grep:
    description:
      - Only lines that match this regular expression of Python, which sees them masked and without colours.
    type: str
    default: ""
  mask:
    description:
      - Further texts to mask.
    type: list
    elements: str
    default: []
  follow:
    description:
      - Whether another look follows, so that RV(positions) must be exact.
    type: bool
    default: false
  timeout:
    description:
      - Longest time in seconds.
    type: int
    default: 60
author:
  - The homelab.mediastack maintainers (@homelab-mediastack)
"""

EXAMPLES = r"""
- name: Find the errors of the last hour
  homelab.mediastack.stack_logs:
    project_name: paperless
    project_path: /srv/paperless
    since: 3600s
    grep: (?i)error
    tail: 500
  register: errors
"""

RETURN = r"""
lines:
  description:
    - The lines in the order of their time. Each is a list of its time in nanoseconds since 1970, its service and its
      text.
  returned: success
  type: list
  elements: list
  sample: [[1735689600000000000, sonarr, "[Info] Application started"]]
services:
  description: Every service of the project that has a container.
  returned: success
  type: list
  elements: str
missing:
  description: Those of O(services) that have none.
  returned: success
  type: list
  elements: str
troubles:
  description: Services whose log could not be read, and why.
  returned: success
  type: dict
left_out:
  description: With O(since) or O(grep), how many earlier lines of a service O(tail) left out.
  returned: success
  type: dict
positions:
  description: Where the logs ended, by container id, for another look.
  returned: success
  type: dict
more:
  description: Whether there is more to be read at once. Only for later looks.
  returned: success
  type: bool
python:
  description: The Python that ran this module.
  returned: success
  type: str
  sample: /usr/bin/python3
diff:
  description: Always empty.
  returned: success
  type: dict
duration_ms:
  description: How long the module ran, in milliseconds.
  returned: always
  type: int
  sample: 90
"""

import re
import sys
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, docker_cli, log_reader


def argument_spec():
    """The parameters of the module."""
    return {
        "project_name": {"type": "str", "required": True},
        "project_path": {"type": "path", "required": True},
        "services": {"type": "list", "elements": "str", "default": []},
        "tail": {"type": "int", "default": 50},
        "since": {"type": "str", "default": ""},
        "grep": {"type": "str", "default": ""},
        "mask": {"type": "list", "elements": "str", "default": [], "no_log": True},
        "follow": {"type": "bool", "default": False},
        "timeout": {"type": "int", "default": 60},
    }


def main():
    """Arguments in, results out; the work is in `module_utils/log_reader.py`."""
    started = time.monotonic()
    module = AnsibleModule(argument_spec(), supports_check_mode=True)
    given = dict(module.params)
    # Ansible would now replace every short word that is among them; the lines are masked already.
    module.no_log_values.clear()
    module.params["mask"] = "not shown"
    try:
        refuse_nonsense(given)
        wish = log_reader.Wish(
            project=given["project_name"],
            path=given["project_path"],
            services=given["services"],
            tail=given["tail"],
            since=given["since"],
            grep=given["grep"],
            mask=given["mask"],
            follow=given["follow"],
            seconds=given["timeout"],
        )
        result = log_reader.look(docker_cli.Docker(), wish)
    except (log_reader.TooLong, docker_cli.DockerError, atomic_files.FileError, ValueError) as error:
        module.fail_json(msg=str(error), duration_ms=round((time.monotonic() - started) * 1000))
    module.exit_json(
        changed=False,
        diff={"before": "", "after": ""},
        python=sys.executable,
        duration_ms=round((time.monotonic() - started) * 1000),
        **result,
    )


def refuse_nonsense(given):
    """ValueError for parameters that cannot be meant."""
    if given["tail"] < 0 or given["timeout"] < 1:
        raise ValueError("tail must not be negative and timeout must be at least 1")
    if given["since"] and not re.match(r"^[0-9]+(\.[0-9]{1,9})?s?$", given["since"]):
        raise ValueError("since: %r is neither seconds ago (600s) nor seconds since 1970" % given["since"])
    try:
        re.compile(given["grep"])
    except re.error as error:
        raise ValueError(
            "grep: %r is no regular expression for the Python of this host (%d.%d): %s"
            % (given["grep"], sys.version_info[0], sys.version_info[1], error)
        ) from error


if __name__ == "__main__":
    main()
