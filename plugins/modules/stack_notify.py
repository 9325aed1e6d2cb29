#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's channels were told: documentation and a thin main; the work is in module_utils/notify_state.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_notify
short_description: Keep on a host what its notification channels were told
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Compares what a run found wrong with a host with what each channel was told, and says what it is to be told now.
  - Sends nothing and knows no address of a channel, only its id. For this collection's own use; users want the
    playbook C(notify) and the setting C(mediastack_notify_urls).
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
    details:
      - Says what would be told, and writes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  project_path:
    description: Directory of the Compose project.
    type: path
    required: true
  state:
    description:
      - V(compare) takes over O(findings) and returns what is due.
      - V(commit) writes down O(outcomes), what came through.
    type: str
    choices: [compare, commit]
    default: compare
  findings:
    description: What a run found, as C(module_utils/notify_state.py) describes it.
    type: dict
    default: {}
  channels:
    description: Ids of the channels.
    type: list
    elements: str
    default: []
  events:
    description: Kinds of things that are told.
    type: list
    elements: str
    default: []
  outcomes:
    description: Channel to what it was told of what was due.
    type: dict
    default: {}
  claim:
    description: Names this run, so that another one at the same time does not tell the same.
    type: str
    required: true
seealso:
  - module: homelab.mediastack.notify
"""

EXAMPLES = r"""
- name: What is there to tell?
  homelab.mediastack.stack_notify:
    project_path: /srv/mediastack/compose
    channels: [3f1a…]
    events: [unhealthy]
    claim: run-1
    findings:
      bad:
        unhealthy/sonarr: {event: unhealthy, severity: failure, mark: failure, title: Sonarr, words: stopped}
  register: found
"""

RETURN = r"""
due:
  description: Channel to what it is to be told. Channels that know everything are left out.
  type: dict
  returned: with O(state=compare)
known:
  description:
    - Whether there is a place for the record. Where no stack was ever deployed there is none, and none is made.
  type: bool
  returned: always
duration_ms:
  description: How long the module ran, in milliseconds.
  type: int
  returned: always
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError


def main():
    """Arguments in, results out."""
    module = AnsibleModule(
        argument_spec={
            "project_path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["compare", "commit"], "default": "compare"},
            "findings": {"type": "dict", "default": {}},
            "channels": {"type": "list", "elements": "str", "default": []},
            "events": {"type": "list", "elements": "str", "default": []},
            "outcomes": {"type": "dict", "default": {}},
            "claim": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given, started = module.params, time.monotonic()
    directory = os.path.join(given["project_path"], ".mediastack")
    result = {"changed": False, "known": os.path.isdir(directory), "due": {}}
    try:
        if result["known"]:
            store = notify_state.Store(directory, check=module.check_mode)
            if given["state"] == "compare":
                result["due"] = store.compare(given["findings"], given["channels"], given["events"], given["claim"])
            else:
                store.commit(given["outcomes"], given["claim"])
    except FileError as error:
        module.fail_json(msg=str(error), **result)
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
