#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Give generated secrets of a stack new values, in the apps and in all that uses them, or leave everything as it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_rotate
short_description: Give generated secrets of a stack new values, all or none
version_added: 0.1.0
description:
  - Changes secrets and nothing else. Where the stack is not as O(bundle) says, it fails and asks for C(site).
  - Before anything is touched the present values must open their apps. A password that somebody has changed in the app
    is not this collection's to change.
  - Then the new values go into files, databases and apps, and what uses them is restarted. When the old values open
    nothing any more and the new ones do, the new ones are kept. When anything fails, everything goes back.
  - Old and new values stand in C(.mediastack/rotation.json) (0600) meanwhile, so that the next converging run finishes
    or takes back a rotation that was interrupted.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Files, with secrets masked.
  idempotent:
    support: none
    details:
      - Each run makes new values.
  platform:
    support: full
    platforms: posix
options:
  project_path:
    description: Absolute path of the project directory.
    type: path
    required: true
  project_name:
    description: Name of the Compose project.
    type: str
    required: true
  bundle:
    description: Everything that the controller rendered, as M(homelab.mediastack.rotate) makes it.
    type: dict
    required: true
  secrets:
    description: Names of secrets of O(bundle) that are generated.
    type: list
    elements: str
    required: true
  who:
    description: Who asks, for the audit (C(.mediastack/audit.log)).
    type: str
    default: ""
  services:
    description: Always empty.
    type: list
    elements: str
    default: []
  remove_orphans:
    description: Always false.
    type: bool
    default: false
  wait_timeout:
    description: Seconds that services have for becoming well.
    type: int
    default: 300
  lock_timeout:
    description: Seconds to wait for another run to end.
    type: int
    default: 60
  holds:
    description: Who asks for what, as for M(homelab.mediastack.compose_stack).
    type: dict
  health:
    description: Arguments of M(homelab.mediastack.stack_health), for the report at the end.
    type: dict
  forwarding:
    description: As for M(homelab.mediastack.compose_stack).
    type: list
    elements: dict
    default: []
  progress:
    description: As for M(homelab.mediastack.compose_stack).
    type: str
author:
  - The homelab.mediastack maintainers (@homelab-mediastack)
"""

EXAMPLES = r"""
- name: Give Sonarr a new API key
  homelab.mediastack.rotate:
    secrets: [sonarr_api_key]
"""

RETURN = r"""
rotated:
  description: Names of the secrets that have new values.
  type: list
  elements: str
  returned: always
unproven:
  description: Those of them that no app could be asked about.
  type: list
  elements: str
  returned: always
actions:
  description: What was done, or would be, one sentence an action.
  type: list
  elements: str
  returned: always
services:
  description: State of each service, as of M(homelab.mediastack.compose_stack).
  type: dict
  returned: always
health:
  description: What M(homelab.mediastack.stack_health) returns.
  type: dict
  returned: with O(health), after a successful run
duration_ms:
  description: How long the module ran, in milliseconds.
  type: int
  returned: always
"""

import atexit
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    after_forward,
    after_run,
    module_bundle,
    rotate_run,
    stack,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request


def argument_spec():
    """The parameters of the module."""
    return {
        "project_path": {"type": "path", "required": True},
        "project_name": {"type": "str", "required": True},
        "bundle": {"type": "dict", "required": True, "no_log": True},
        # Names of secrets.
        "secrets": {"type": "list", "elements": "str", "required": True, "no_log": False},
        "who": {"type": "str", "default": ""},
        "services": {"type": "list", "elements": "str", "default": []},
        "remove_orphans": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 300},
        "lock_timeout": {"type": "int", "default": 60},
        "holds": {"type": "dict"},
        "health": {"type": "dict"},
        "forwarding": {"type": "list", "elements": "dict", "default": []},
        "progress": {"type": "str"},
    }


def main():
    """Arguments in, results out; the work is in `module_utils/rotate_run.py`."""
    started = time.monotonic()
    module = AnsibleModule(argument_spec(), supports_check_mode=True)
    parameters = dict(module.params)
    module_bundle.hide_secrets(module, parameters["bundle"])
    health, forwarding, secrets, who = (parameters.pop(name) for name in ("health", "forwarding", "secrets", "who"))
    token = None if module.check_mode else parameters["progress"]
    progress = parameters["progress"] = Progress(parameters["project_path"], token)
    atexit.register(progress.close)
    request = Request(
        state="rotated",
        check=module.check_mode,
        images="keep",
        pull="never",
        change=rotate_run.Ask(names=tuple(secrets), who=who),
        **dict(parameters, holds=Ask(**parameters["holds"]) if parameters["holds"] else None),
    )
    result, error = stack.run(request)
    after_run.look(result, error, module.check_mode, health, progress)
    after_forward.bring_in_line(result, error, module.check_mode, parameters["bundle"], health, forwarding, progress)
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    result["invocation"] = {"module_args": dict(module.params, bundle="not shown")}
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
