#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Back up a media stack: documentation and a thin main; the work is in module_utils/backup_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_backup
short_description: Back up the configuration of a media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Takes the configuration of every app, with the secrets and files of the host itself, into one directory below
    C(mediastack_backup_path), and copies it to C(mediastack_backup_target) where that is set.
  - What is to be taken, how many backups are kept and where they are copied to stands in a file that
    M(homelab.mediastack.deploy) left on the host, so that a timer can do the same without Ansible.
  - Databases are taken while their apps write, other files while nobody writes to them. An app whose files never stand
    still is stopped for a moment and started again, but never what shares gluetun's network.
  - Fails when something is missing in the backup, or when it could not be copied; what is whole is kept.
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
      - Says what would be taken and how large it is.
  diff_mode:
    support: full
    details:
      - Names the backup.
  idempotent:
    support: none
    details:
      - Every run makes a backup.
  platform:
    support: full
    platforms: posix
options:
  project_path:
    description:
      - Directory of the Compose project.
      - Run as a task, the default is C(mediastack_project_path).
    type: path
  services:
    description:
      - Names of services. Empty means all.
      - A backup of some services is of its own kind, and takes no place among the backups of all.
    type: list
    elements: str
    default: []
  lock_timeout:
    description:
      - Seconds to wait for another run on the same project.
      - Run as a task, the default is C(mediastack_lock_timeout).
    type: int
  who:
    description: Who asks, for the audit log. Run as a task, the default is the user on the controller.
    type: str
  progress:
    description: Token of the file in which the module says what it is doing. For this collection's own use.
    type: str
seealso:
  - module: homelab.mediastack.stack_drill
"""

EXAMPLES = r"""
- name: Back up everything
  homelab.mediastack.stack_backup:
  register: backup

- name: Say where it is
  ansible.builtin.debug:
    msg: "{{ backup.path }}"
"""

RETURN = r"""
id:
  description: Id of the backup; V(null) when there is none.
  type: str
  returned: always
  sample: 20261123T033012Z-backup-4f1a
path:
  description: Its directory; V(null) when there is none.
  type: str
  returned: always
  sample: /srv/mediastack/backups/20261123T033012Z-backup-4f1a
taken:
  description: When it was begun, in UTC.
  type: str
  returned: always
bytes:
  description: Size of the files in it.
  type: int
  returned: always
seconds:
  description: How long it took, with the copy.
  type: float
  returned: always
services:
  description: Service to how it was taken.
  type: dict
  returned: always
  sample: {sonarr: while it runs, qbittorrent: "while it runs, unchanged"}
left_out:
  description: Service to why it is not in the backup.
  type: dict
  returned: always
target:
  description: How the copy went, C(ok), C(why), C(bytes) and C(seconds); V(null) where none is asked for.
  type: dict
  returned: always
removed:
  description: Ids of the backups that went, for more are kept than C(mediastack_backup_keep) says.
  type: list
  elements: str
  returned: always
actions:
  description: What was done, or would be in check mode, one sentence an action.
  type: list
  elements: str
  returned: always
messages:
  description: Sentences for the user.
  type: list
  elements: str
  returned: always
diff:
  description: What was done, as text.
  type: dict
  returned: always
duration_ms:
  description: How long the module ran, in milliseconds.
  type: int
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_call, backup_run


class _Backup(backup_run.Backup):
    def result(self):
        """With a diff."""
        told = "".join("%s\n" % action for action in self.actions)
        return dict(super().result(), diff={"before": "", "after": told})


def main():
    """Arguments in, results out."""
    module = AnsibleModule(
        argument_spec={
            "project_path": {"type": "path"},
            "services": {"type": "list", "elements": "str", "default": []},
            "lock_timeout": {"type": "int"},
            "who": {"type": "str"},
            "progress": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = module.params

    def make(docker, progress):
        return _Backup(
            given["project_path"],
            docker,
            given["services"],
            who=given["who"],
            progress=progress,
            check=module.check_mode,
            lock_timeout=given["lock_timeout"],
        )

    backup_call.carry_out(module, make, backup_run.ERRORS)


if __name__ == "__main__":
    main()
