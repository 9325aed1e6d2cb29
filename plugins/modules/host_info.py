#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kind of host this is, and whether directories on it can hold a media stack."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Look at a host that is to run a media stack
version_added: 0.1.0
description:
  - Tells the platform, the engine, the disks, the time zone and the user of a host, and who should own its data.
  - With O(paths), tries whether they can hold the stack. The user and group that the apps will run as write, rename and
    link a file there, in the directories themselves where they exist and in trial directories beside them where they do
    not. Whatever is made for that is gone afterwards.
  - It is what M(homelab.mediastack.init) knows of a host before it asks.
  - Needs nothing on the host but Python 3.8. An engine is described where there is one.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
    details:
      - It makes nothing for a trial then, and cannot tell about links.
  diff_mode:
    support: full
    details:
      - It changes nothing, so RV(diff) is always empty.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  paths:
    description:
      - Directories of the stack, none of which has to exist. All of C(base), C(config), C(media), C(downloads) and
        C(project).
    type: dict
  puid:
    description:
      - User that the apps will run as. The default is RV(owner).
    type: int
  pgid:
    description:
      - Group that the apps will run as. The default is RV(owner).
    type: int
  timezone:
    description:
      - Time zone to check against the host's own list. The default is the host's.
    type: str
  split_mounts:
    description:
      - Whether library and downloads may be on different file systems.
    type: bool
    default: false
author:
  - The homelab.mediastack maintainers (@homelab-mediastack)
"""

EXAMPLES = r"""
- name: Look at the host
  homelab.mediastack.host_info:
  register: host

- name: Try whether the data disk can hold the stack
  homelab.mediastack.host_info:
    puid: 1000
    pgid: 1000
    paths:
      base: /mnt/data/mediastack
      config: /mnt/data/mediastack/config
      media: /mnt/data/mediastack/media
      downloads: /mnt/data/mediastack/downloads
      project: /mnt/data/mediastack/compose
  register: storage
  failed_when: storage.problems | length > 0
"""

RETURN = r"""
platform:
  description: What kind of host this is.
  returned: always
  type: dict
  contains:
    system:
      description: V(Linux) or V(Darwin).
      type: str
    family:
      description: One of V(synology), V(qnap), V(unraid), V(truenas), V(generic).
      type: str
    distribution:
      description: Name of the distribution in lower case, of the NAS family, V(openmediavault) or V(macos).
      type: str
    version:
      description: Its version.
      type: str
    name:
      description: Both, for people.
      type: str
      sample: Debian GNU/Linux 12 (bookworm)
    wsl:
      description: Whether it is Windows' Linux.
      type: bool
    architecture:
      description: Of the processor.
      type: str
      sample: x86_64
    python:
      description: Version of Python.
      type: str
  sample: {system: Linux, family: generic, distribution: debian, version: "12", name: Debian GNU/Linux 12 (bookworm),
    wsl: false, architecture: x86_64, python: 3.11.2}
engine:
  description: The Docker Engine and Compose. What was not found is V(null).
  returned: always
  type: dict
  contains:
    path:
      description: Where the docker program is.
      type: str
    on_path:
      description: Whether it is on C(PATH).
      type: bool
    version:
      description: Version of the engine.
      type: str
    compose:
      description: Version of Compose.
      type: str
    system:
      description: What the engine says it runs on.
      type: str
      sample: Docker Desktop
    root_dir:
      description: Where it keeps images.
      type: str
    missing:
      description: V(cli), V(daemon), V(compose), V(refused) when this user may not use it, V(unknown), or V(null).
      type: str
    problem:
      description: Why, and what to do.
      type: str
disks:
  description: Mounted file systems that could hold a library, the system's own first, then the roomiest.
  returned: always
  type: list
  elements: dict
  sample: [{mount: /, fstype: ext4, source: /dev/sda1, kind: local, total_bytes: 107374182400, free_bytes: 53687091200}]
user:
  description: Who the module runs as, and in C(login) the person behind sudo.
  returned: always
  type: dict
owner:
  description: Whom the apps should run as, and why.
  returned: always
  type: dict
  sample: {puid: 1000, pgid: 1000, from: the owner of /mnt/data/mediastack}
timezone:
  description: The host's time zone, or V(null).
  returned: always
  type: str
address:
  description: The host's address on its default route, or V(null).
  returned: always
  type: str
place:
  description: Owner and mode of the base path, or of the nearest directory above it that exists.
  returned: with O(paths)
  type: dict
problems:
  description: Why the directories cannot hold the stack. Empty when they can, and without O(paths).
  returned: always
  type: list
  elements: dict
warnings_found:
  description: What is no obstacle but should be known, one sentence each.
  returned: always
  type: list
  elements: str
diff:
  description: Always empty.
  returned: always
  type: list
  elements: dict
duration_ms:
  description: How long the module ran, in milliseconds.
  returned: always
  type: int
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    bind_address,
    host_disks,
    host_engine,
    host_identity,
    host_platform,
    host_storage,
)

PATHS = ("base", "config", "media", "downloads", "project")


def main():
    """Arguments in, results out; the work is in `module_utils/host_*.py`."""
    started = time.monotonic()
    module = AnsibleModule(
        {
            "paths": {"type": "dict"},
            "puid": {"type": "int"},
            "pgid": {"type": "int"},
            "timezone": {"type": "str"},
            "split_mounts": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    refuse_nonsense(module)
    result = survey(module.params["paths"])
    if module.params["paths"]:
        result.update(storage(module, result))
    module.exit_json(changed=False, diff=[], duration_ms=round((time.monotonic() - started) * 1000), **result)


def refuse_nonsense(module):
    """Fail for paths that are incomplete or relative."""
    paths = module.params["paths"]
    if not paths:
        return
    wrong = [name for name in PATHS if not str(paths.get(name) or "").startswith("/")]
    if wrong or set(paths) - set(PATHS):
        module.fail_json(
            msg="paths must have an absolute path for each of %s and nothing else; wrong: %s"
            % (", ".join(PATHS), ", ".join(wrong + sorted(set(paths) - set(PATHS))))
        )


def survey(paths):
    """What there is to know of the host."""
    platform = host_platform.describe()
    who = host_identity.user()
    chosen = [paths[name] for name in ("base", "media", "downloads")] if paths else []
    return {
        "platform": platform,
        "engine": host_engine.describe(),
        "disks": host_disks.listing(host_disks.read()),
        "user": who,
        "owner": host_identity.data_owner(chosen, platform["family"], who),
        "timezone": host_identity.time_zone(),
        "address": bind_address.default_address(),
        "problems": [],
        "warnings_found": [],
    }


def storage(module, facts):
    """Whether the directories can hold the stack."""
    given, paths = module.params, dict(module.params["paths"])
    project = paths.pop("project")
    problems, warnings = host_storage.check(
        {
            "paths": paths,
            "project": project,
            "puid": facts["owner"]["puid"] if given["puid"] is None else given["puid"],
            "pgid": facts["owner"]["pgid"] if given["pgid"] is None else given["pgid"],
            "timezone": given["timezone"] or facts["timezone"] or "Etc/UTC",
            "split_mounts": given["split_mounts"],
        },
        probe=not module.check_mode,
    )
    return {
        "problems": problems,
        "warnings_found": warnings,
        "place": host_identity.describe_owner(paths["base"]),
    }


if __name__ == "__main__":
    main()
