#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a media stack away from a host: documentation and a thin main; the work is in module_utils/stack_remove.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_remove
short_description: Take a media stack away from a host, and leave what people own
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Removes the containers and networks of one project, and the files that M(homelab.mediastack.compose_stack) rendered
    for it, as far as nobody has edited them.
  - Configuration, media, downloads, volumes, images and the engine stay, and so do the generated secrets that belong to
    the configuration. RV(stays) lists them.
  - Only containers whose project name and Compose working directory are the project's are touched.
  - The action M(homelab.mediastack.remove) fills in everything from the settings.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
    details:
      - Lists exactly what would go.
  diff_mode:
    support: full
    details:
      - Names of what goes.
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
  project_name:
    description: Name of the Compose project.
    type: str
    required: true
  paths:
    description: The stack's directories.
    type: dict
    required: true
    suboptions:
      base:
        description: The base path.
        type: path
        required: true
      config:
        description: Where the services' configuration lies.
        type: path
        required: true
      media:
        description: The media. Never removed.
        type: path
        required: true
      downloads:
        description: The downloads. Never removed.
        type: path
        required: true
      backup:
        description: The backups. Never removed.
        type: path
  purge_config:
    description:
      - Whether the configuration goes too, with the volumes of the stack's containers and the generated secrets.
      - Refused, before anything is touched, where that could reach media, downloads, another file system or what others
        use.
    type: bool
    default: false
  config_dirs:
    description:
      - Configuration directories of the services, for O(purge_config). Those that the collection made for services that
        are no longer selected go too.
    type: list
    elements: path
    default: []
  pull_path:
    description:
      - Directory of pull mode. It stays, and is paused, so that what a task scheduler runs does nothing; its systemd
        units go in any case.
    type: path
  timeout:
    description: Seconds that a container gets for stopping before it is killed. The default is its own.
    type: int
  lock_timeout:
    description: Longest time in seconds to wait for another run on the same project.
    type: int
    default: 60
seealso:
  - module: homelab.mediastack.remove
"""

EXAMPLES = r"""
- name: Take a stack away; configuration, media and downloads stay
  homelab.mediastack.stack_remove:
    project_name: homelab-mediastack
    project_path: /srv/mediastack/compose
    paths:
      base: /srv/mediastack
      config: /srv/mediastack/config
      media: /srv/mediastack/media
      downloads: /srv/mediastack/downloads
"""

RETURN = r"""
gone:
  description: What went, or would go in check mode, by kind.
  type: dict
  returned: success
  sample: {containers: [sonarr], networks: [homelab-mediastack], files: [/srv/mediastack/compose/.env]}
stays:
  description: What stays, by kind.
  type: dict
  returned: success
  sample: {media: [/srv/mediastack/media], config: [/srv/mediastack/config]}
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
  description: Names of what goes.
  type: list
  elements: dict
  returned: always
duration_ms:
  description: How long the module ran, in milliseconds.
  type: int
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import stack, stack_remove
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request

_KEYS = ("changed", "gone", "stays", "actions", "messages", "diff")


def main():
    """Arguments in, results out."""
    started = time.monotonic()
    path = {"type": "path", "required": True}
    module = AnsibleModule(
        argument_spec={
            "project_path": path,
            "project_name": {"type": "str", "required": True},
            "paths": {
                "type": "dict",
                "required": True,
                "options": {"base": path, "config": path, "media": path, "downloads": path, "backup": {"type": "path"}},
            },
            "purge_config": {"type": "bool", "default": False},
            "config_dirs": {"type": "list", "elements": "path", "default": []},
            "pull_path": {"type": "path"},
            "timeout": {"type": "int"},
            "lock_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    given = module.params
    given["paths"] = {name: value for name, value in given["paths"].items() if value}
    for name, value in [("project_path", given["project_path"]), *given["paths"].items()]:
        if not value.startswith("/") or value.strip("/") == "":
            module.fail_json(msg="%s must be an absolute path below /, not %s" % (name, value), duration_ms=0)
    request = Request(
        state="absent",
        project_path=given["project_path"],
        project_name=given["project_name"],
        timeout=given["timeout"],
        lock_timeout=given["lock_timeout"],
        check=module.check_mode,
    )
    wish = stack_remove.Wish(given["paths"], given["purge_config"], given["config_dirs"], given["pull_path"])
    result, error = stack.run(request, kind=stack_remove.kind(wish))
    result = {key: result[key] for key in _KEYS if key in result}
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
