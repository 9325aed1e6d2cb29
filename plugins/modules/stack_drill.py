#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Try whether a backup can be restored: documentation and a thin main; the work is in module_utils/backup_drill.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_drill
short_description: Try whether a backup of a media stack can be restored
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Checks a backup against its checksums and its databases, restores it into a scratch directory, starts every app from
    it on a network that leads nowhere, and asks each whether it is well. Everything is removed afterwards.
  - The running stack is not touched. No port is published, no real file is written to, no name of a real container,
    network or volume is used, and nothing is pulled.
  - What cannot be tried without the internet, gluetun above all, is V(skipped) with the reason, which is not a pass.
  - Fails unless at least one app came up and none did not. V(inconclusive) is not a pass.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  action:
    description: It is an action plugin too, which fills in what the settings know.
    support: full
  check_mode:
    support: full
    details:
      - Says what would be tried.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  project_path:
    description:
      - Directory of the Compose project.
      - Run as a task, the default is C(mediastack_project_path).
    type: path
  backup:
    description: Id of the backup. Empty means the newest backup of everything.
    type: str
    default: ""
  services:
    description: Names of services. Empty means all that are in the backup.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds that each app has for coming up.
      - Run as a task, the default is C(mediastack_wait_timeout).
    type: float
    default: 180
  who:
    description: Who asks, for the audit log. Run as a task, the default is the user on the controller.
    type: str
  progress:
    description: Token of the file in which the module says what it is doing. For this collection's own use.
    type: str
seealso:
  - module: homelab.mediastack.stack_backup
"""

EXAMPLES = r"""
- name: Try whether the newest backup can be restored
  homelab.mediastack.stack_drill:
"""

RETURN = r"""
id:
  description: Id of the backup.
  type: str
  returned: when there is one
taken:
  description: When it was begun, in UTC.
  type: str
  returned: when there is one
passed:
  description: Whether the drill passed. V(false) in check mode.
  type: bool
  returned: when there is a backup
services:
  description: Service to C(state) (V(passed), V(failed), V(inconclusive), V(skipped)), C(why) and C(seconds).
  type: dict
  returned: when there is a backup
  sample: {sonarr: {state: passed, why: "", seconds: 4.1}, gluetun: {state: skipped, why: it does nothing without …}}
seconds:
  description: How long it took.
  type: float
  returned: when there is a backup
actions:
  description: What would be done, in check mode.
  type: list
  elements: str
  returned: when there is a backup
messages:
  description: Sentences for the user, on services that are missing in the backup.
  type: list
  elements: str
  returned: when there is a backup
duration_ms:
  description: How long the module ran, in milliseconds.
  type: int
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_call, backup_drill


def main():
    """Arguments in, results out."""
    module = AnsibleModule(
        argument_spec={
            "project_path": {"type": "path"},
            "backup": {"type": "str", "default": ""},
            "services": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 180},
            "who": {"type": "str"},
            "progress": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = module.params

    def make(docker, progress):
        return backup_drill.Drill(
            given["project_path"],
            docker,
            given["backup"],
            given["services"],
            timeout=given["timeout"],
            progress=progress,
            check=module.check_mode,
            who=given["who"],
        )

    backup_call.carry_out(module, make, backup_drill.ERRORS)


if __name__ == "__main__":
    main()
