#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the logins of a host's apps: documentation and a thin main; the work is in module_utils/credentials.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_credentials
short_description: Read the logins of the apps of a media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Reads addresses, users, passwords and API keys from what the collection keeps on the host. Changes nothing.
  - It is the part of M(homelab.mediastack.credentials) that runs on the host. Its result is secret. A task of your own
    that runs it needs C(no_log).
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
  - homelab.mediastack.attributes.info_module
attributes:
  platform:
    support: full
    platforms: posix
options:
  project_path:
    description: Directory of the Compose project.
    type: path
    required: true
  request:
    description:
      - The maps C(services) and C(secrets) and the list C(presets), in the form of the bundle of
        M(homelab.mediastack.compose_stack).
    type: dict
    required: true
seealso:
  - module: homelab.mediastack.credentials
"""

EXAMPLES = r"""
- name: Read the login of one app
  homelab.mediastack.stack_credentials:
    project_path: /srv/mediastack/compose
    request:
      services:
        sabnzbd:
          title: SABnzbd
          login: {kind: env, username: admin, password: sabnzbd_password}
      secrets:
        sabnzbd_password: {}
      presets: []
  no_log: true
  register: logins
"""

RETURN = r"""
credentials:
  description:
    - One entry a service, with C(name), C(title), C(urls), C(user), C(password), C(api_key), C(others) (further
      users and their first passwords), C(note) and C(missing).
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import credentials
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError


def main():
    """Arguments in, results out."""
    module = AnsibleModule(
        argument_spec={
            "project_path": {"type": "path", "required": True},
            "request": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    request = module.params["request"]
    # What the inventory gives is among what was asked for, and not to be masked in the answer.
    module.no_log_values.clear()
    try:
        found = credentials.read(
            module.params["project_path"], request["services"], request["secrets"], request["presets"]
        )
    except FileError as error:
        module.fail_json(msg=str(error), invocation={})
    except KeyError as error:
        module.fail_json(msg="request lacks the key %s" % error, invocation={})
    module.exit_json(changed=False, credentials=found, invocation={})


if __name__ == "__main__":
    main()
