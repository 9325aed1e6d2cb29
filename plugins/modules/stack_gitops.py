#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pull mode on a host: documentation and a thin main; the work is in module_utils/pull_setup.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_gitops
short_description: Put pull mode onto a host, or take it away
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Puts the program C(mediastack-pull), its configuration and a copy of this collection into a directory of the host,
    and starts a systemd timer that runs it. Where systemd does not run, a line for cron is in RV(messages).
  - The virtual environment in that directory is made by P(homelab.mediastack.gitops#role), which calls this.
  - Run as a task, everything comes from the settings C(mediastack_gitops_*).
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  action:
    description: It is an action plugin too, which fills in everything from the settings.
    support: full
  check_mode:
    support: full
    details:
      - Says what would be written or removed.
  diff_mode:
    support: full
    details:
      - Names what is done.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  state:
    description: V(absent) stops and removes the timer and the directory; the media stack stays as it is.
    type: str
    choices: [present, absent]
    default: present
  timer:
    description: Whether the timer is started too. V(false) leaves it as it is, as long as the program cannot run yet.
    type: bool
    default: true
  path:
    description: The directory. Run as a task, the default is C(mediastack_gitops_path).
    type: path
  project:
    description: Name of the Compose project.
    type: str
  config:
    description: What the program is to know, as JSON.
    type: str
  program:
    description: The program, packed, in base64.
    type: str
  digest:
    description: Which collection the host is to have.
    type: str
  archive:
    description: The collection as a tar file on the host.
    type: path
seealso:
  - module: homelab.mediastack.settings
"""

EXAMPLES = r"""
- name: Put pull mode onto the host, as the settings say
  homelab.mediastack.stack_gitops:

- name: Take it away
  homelab.mediastack.stack_gitops:
    state: absent
"""

RETURN = r"""
path:
  description: The directory.
  type: str
  returned: success
  sample: /var/lib/mediastack-pull/homelab-mediastack
needs_collection:
  description: Whether the host has another collection than O(digest), and nothing was done for that reason.
  type: bool
  returned: success
actions:
  description: What was done, or would be in check mode, one sentence an action.
  type: list
  elements: str
  returned: success
messages:
  description: Sentences for the user.
  type: list
  elements: str
  returned: success
diff:
  description: What is done, in words.
  type: list
  elements: dict
  returned: success
duration_ms:
  description: How long the module ran, in milliseconds.
  type: int
  returned: always
"""

import base64
import json
import time
import zlib

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_setup import Setup


def main():
    """Read the arguments, work, leave."""
    began = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timer": {"type": "bool", "default": True},
            "path": {"type": "path"},
            "project": {"type": "str"},
            "config": {"type": "str", "no_log": True},
            "program": {"type": "str"},
            "digest": {"type": "str"},
            "archive": {"type": "path"},
        },
        required_if=[("state", "present", ["path", "project", "config", "program", "digest"])],
        supports_check_mode=True,
    )
    given = module.params

    def spent():
        return int((time.monotonic() - began) * 1000)

    program = zlib.decompress(base64.b64decode(given["program"])) if given["program"] else b""
    setup = Setup(given["path"], json.loads(given["config"] or "{}"), program, module.check_mode)
    needs = given["state"] == "present" and setup.needs_collection(given["digest"])
    try:
        if given["state"] == "absent":
            setup.uninstall(given["project"])
        elif not needs or given["archive"] or module.check_mode:
            setup.install(given["digest"], given["archive"], given["timer"])
            needs = False
    except (FileError, OSError) as error:
        module.fail_json(msg=str(error), actions=setup.actions, messages=setup.messages, duration_ms=spent())
    after = "".join("%s\n" % action for action in setup.actions)
    module.exit_json(
        changed=bool(setup.actions),
        path=given["path"],
        needs_collection=needs,
        actions=setup.actions,
        messages=setup.messages,
        diff=[{"before_header": "pull mode", "after_header": "pull mode", "before": "", "after": after}],
        duration_ms=spent(),
    )


if __name__ == "__main__":
    main()
