#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Move the services of a stack to other images or other data, or back, as one transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_update
short_description: Move the services of a stack to other images or other data, as one transaction
version_added: 0.1.0
description:
  - Everything is checked and every image is pulled before anything is changed. Then the images that run are kept by a
    tag, and the data of the services is taken (SQLite and PostgreSQL online, the rest with its app stopped).
  - New containers are made group by group - what shares a network, or comes from one service file, stands and falls
    together - and must run well, without a restart, for O(change.stable_for) seconds. Their probes must pass, too.
  - A group that does not gets its old images and its old data back. What the failed version wrote is moved aside, never
    removed. The digest that failed is remembered, and not tried again until it is another one.
  - A journal on the host lets the next converging run finish or undo a transaction that was interrupted.
  - With nothing to move it converges the stack as M(homelab.mediastack.compose_stack) does.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Files, with secrets masked, and a section C(services) with images before and after.
  idempotent:
    support: full
    details:
      - Not where V(change.data) asks for data to be put back.
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
    description: Everything that the controller rendered, as the action C(homelab.mediastack.update) makes it.
    type: dict
    required: true
  change:
    description: What is to be moved.
    type: dict
    required: true
    suboptions:
      verb:
        description: What was asked for.
        type: str
        choices: [update, rollback, restore]
        default: update
      targets:
        description: Service to the C(image) and C(digest) that it is to run.
        type: dict
        default: {}
      generation:
        description:
          - Number of the generation to go back to, for V(rollback). V(0) is the one before the present one.
          - Its images, and unless O(change.keep_data) the data as it was when that generation was left.
        type: int
      keep_data:
        description: Go back to the images only, and leave the data as it is.
        type: bool
        default: false
      data:
        description: Id of the backup or snapshot whose data is put back; V(latest) is the newest backup.
        type: str
      names:
        description: Services whose data that is; empty is all that are in it.
        type: list
        elements: str
        default: []
      who:
        description: Who asks, for other people to read.
        type: str
        default: ""
      keep:
        description: Earlier generations that stay.
        type: int
        default: 3
      stable_for:
        description: Seconds for which what is new must run well.
        type: float
        default: 20
      backup_path:
        description: Directory of the snapshots.
        type: path
        required: true
      survey:
        description:
          - Only look. Says which images run, what would be done, and where that is nothing, how every service is.
        type: bool
        default: false
      prepare:
        description: Only check the host and have every image; touch no container.
        type: bool
        default: false
  services:
    description: The services that this is about, and what they need. Empty is all.
    type: list
    elements: str
    default: []
  retry_failed:
    description: Try images again that failed their gate on this host.
    type: bool
    default: false
  pull:
    description: V(never) fails where an image is missing.
    type: str
    choices: [missing, never]
    default: missing
  remove_orphans:
    description: Remove containers of the project that are not wanted any more.
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
    description: Arguments of M(homelab.mediastack.stack_health), for the probes of the gate and the report at the end.
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
- name: Go back to the generation before
  homelab.mediastack.update:
    verb: rollback
"""

RETURN = r"""
transaction:
  description: The line of the audit (C(.mediastack/audit.log)); V(null) where nothing was to be moved.
  returned: always
  type: dict
held:
  description: Services that stay on their image although another was asked for, because somebody holds them.
  returned: always
  type: list
  elements: str
survey:
  description: C(services) (for each C(image), C(image_id), C(digest), C(digests) and C(platform)), C(refused),
    C(generation), the services that are C(held), and whether a transaction was C(interrupted).
  returned: with O(change.survey)
  type: dict
images:
  description: For each service C(image), C(digest) and C(image_id) that it runs, and C(wanted).
  returned: after a look at the host
  type: dict
refused:
  description: Images that are held back because they failed their gate.
  returned: after a look at the host
  type: dict
actions:
  description: What was done, or would be, one sentence an action.
  returned: always
  type: list
  elements: str
services:
  description: State of each service, as of M(homelab.mediastack.compose_stack).
  returned: always
  type: dict
health:
  description: What M(homelab.mediastack.stack_health) returns.
  returned: with O(health), after a successful run
  type: dict
duration_ms:
  description: How long the module ran, in milliseconds.
  returned: always
  type: int
"""

import atexit
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    after_forward,
    after_run,
    gpu_overlay,
    module_bundle,
    stack,
    update_ask,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request


def argument_spec():
    """The parameters of the module."""
    names = {"type": "list", "elements": "str", "default": []}
    return {
        "project_path": {"type": "path", "required": True},
        "project_name": {"type": "str", "required": True},
        "bundle": {"type": "dict", "required": True, "no_log": True},
        "change": {
            "type": "dict",
            "required": True,
            "options": {
                "verb": {"type": "str", "choices": ["update", "rollback", "restore"], "default": "update"},
                "targets": {"type": "dict", "default": {}},
                "generation": {"type": "int"},
                "keep_data": {"type": "bool", "default": False},
                "data": {"type": "str"},
                "names": names,
                "who": {"type": "str", "default": ""},
                "keep": {"type": "int", "default": 3},
                "stable_for": {"type": "float", "default": 20},
                "backup_path": {"type": "path", "required": True},
                "prepare": {"type": "bool", "default": False},
                "survey": {"type": "bool", "default": False},
            },
        },
        "services": names,
        "retry_failed": {"type": "bool", "default": False},
        "pull": {"type": "str", "choices": ["missing", "never"], "default": "missing"},
        "remove_orphans": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 300},
        "lock_timeout": {"type": "int", "default": 60},
        "holds": {"type": "dict"},
        "health": {"type": "dict"},
        "forwarding": {"type": "list", "elements": "dict", "default": []},
        "progress": {"type": "str"},
    }


def main():
    """Arguments in, results out; the work is in `module_utils/update_run.py`."""
    started = time.monotonic()
    module = AnsibleModule(argument_spec(), supports_check_mode=True)
    parameters = dict(module.params)
    module_bundle.hide_secrets(module, parameters["bundle"])
    gpu_overlay.settle(parameters["bundle"])
    health, forwarding, change = (parameters.pop(name) for name in ("health", "forwarding", "change"))
    token = None if module.check_mode else parameters["progress"]
    progress = parameters["progress"] = Progress(parameters["project_path"], token)
    atexit.register(progress.close)
    request = Request(
        state="updated",
        check=module.check_mode or change["survey"],
        images="keep",
        change=update_ask.Change(health=health, **change),
        **dict(parameters, holds=Ask(**parameters["holds"]) if parameters["holds"] else None),
    )
    result, error = stack.run(request)
    if change["survey"]:
        # Where something is to be done, what the services say now is of no use.
        health = None if result["changed"] else health
        after_run.look(result, error, False, health, progress)
    elif not change["prepare"]:
        after_run.look(result, error, module.check_mode, health, progress)
        after_forward.bring_in_line(
            result, error, module.check_mode, parameters["bundle"], health, forwarding, progress
        )
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    result["invocation"] = {"module_args": dict(module.params, bundle="not shown")}
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
