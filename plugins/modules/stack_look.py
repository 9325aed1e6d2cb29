#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look whether a host has what its inventory says, and how its services are; change nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_look
short_description: Look whether a media stack is as it should be
version_added: 0.1.0
description:
  - The part of M(homelab.mediastack.compose_stack) that finds nothing to do, by itself. Most runs end with it, and it
    is half of that module, so that little has to be read, sent and loaded for them.
  - Where nothing is to be done, the result is that of M(homelab.mediastack.compose_stack). Where anything is,
    RV(differs) is V(true), nothing was touched, and M(homelab.mediastack.compose_stack) is to be called with the same
    options.
  - The action M(homelab.mediastack.deploy) calls it. It takes the run lock of the project for as long as it looks.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  request:
    description:
      - Options of M(homelab.mediastack.compose_stack) for O(homelab.mediastack.compose_stack#module:state=present), a
        bundle among them. What is left out has its default there.
    type: dict
    required: true
seealso:
  - module: homelab.mediastack.compose_stack
  - module: homelab.mediastack.stack_health
author: The homelab.mediastack maintainers (@homelab-mediastack)
"""

EXAMPLES = r"""
- name: Look whether there is anything to do
  homelab.mediastack.stack_look:
    request:
      project_path: /srv/mediastack/compose
      project_name: homelab-mediastack
      bundle: "{{ rendered_bundle }}"
"""

RETURN = r"""
differs:
  description: Whether there is something to do. The other values but RV(duration_ms) are missing then.
  type: bool
  returned: always
services:
  description: What is so of every service, as M(homelab.mediastack.compose_stack) returns it.
  type: dict
  returned: when nothing differs
health:
  description: What M(homelab.mediastack.stack_health) returns.
  type: dict
  returned: when nothing differs, and it was asked for
messages:
  description: Sentences for the user.
  type: list
  elements: str
  returned: when nothing differs
duration_ms:
  description: How long it took.
  type: int
  returned: always
"""

import atexit
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_dict

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    after_run,
    gpu_overlay,
    module_bundle,
    stack_frame,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_present import Present
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Differs, Request


def main():
    """Arguments in, results out; the work is in `module_utils/stack_frame.py`."""
    started = time.monotonic()
    # Not logged on the host: it holds what the inventory keeps in a vault.
    module = AnsibleModule({"request": {"type": "dict", "required": True, "no_log": True}}, supports_check_mode=True)
    parameters = dict(module.params["request"])
    bundle = parameters["bundle"] = check_type_dict(parameters["bundle"])
    module_bundle.hide_secrets(module, bundle)
    gpu_overlay.settle(bundle)
    health = parameters.pop("health", None)
    parameters.pop("forwarding", None)
    parameters["holds"] = Ask(**parameters["holds"]) if parameters.get("holds") else None
    progress = Progress(parameters["project_path"], parameters.get("progress"))
    atexit.register(progress.close)
    request = Request(**dict(parameters, state="present", check=False, progress=progress))
    try:
        result, error, made = stack_frame.run(request, None, Present, None)
    except Differs:
        result, error, made = {"differs": True}, None, None
    if made:
        result["differs"] = False
        after_run.look(result, error, False, health, progress, made.project)
    result.update(changed=False, duration_ms=round((time.monotonic() - started) * 1000))
    result["invocation"] = {"module_args": {"request": "not shown"}}
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
