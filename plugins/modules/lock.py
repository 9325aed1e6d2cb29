#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.lock, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Resolve tags of images to digests, and keep the lock file
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Says which digest every service of every host is to run, from C(mediastack.lock.yml) beside the inventory or from
    the registries, and writes that file.
  - Hosts that run something else than the lock has for them are brought to the lock, and no registry is asked. Only
    where there is no such host are tags resolved anew.
  - An image that the inventory names with its digest is that digest, and needs no lock.
  - A major version, another major version of PostgreSQL, or a migration that is known to be one-way is held back
    unless O(allow_major=true); an image younger than O(minimum_age) is held back too.
  - Runs on the controller, touches no host, and needs the Python library requests there when a registry is asked. Give
    the task C(run_once).
requirements:
  - requests
options:
  mode:
    description: V(resolve) only says what would be, unless O(write) or O(lock_only). V(write) writes O(lock).
    type: str
    choices: [resolve, write]
    default: resolve
  images:
    description:
      - By host and service, what the inventory asks for, C(image), and the service's C(wiring_kind).
      - The hosts must be of one inventory directory, for there is the lock file.
    type: dict
    default: {}
  surveys:
    description:
      - By host, what it runs, C(services) with C(image), C(digest), C(digests) and C(platform) of each; and what has
        failed there, C(refused), with C(digest) and C(when) of each.
      - A host that is not in it is judged by what was locked before.
    type: dict
    default: {}
  from_lock:
    description: Ask no registry. A service that the lock file does not have is an error.
    type: bool
    default: false
  lock_only:
    description: Resolve every tag anew, whatever the hosts run, and write the file at once.
    type: bool
    default: false
  allow_major:
    description: Take steps that there may be no way back from.
    type: bool
    default: false
  retry_failed:
    description: Take digests that have failed on a host before.
    type: bool
    default: false
  minimum_age:
    description: Days that an image must be old.
    type: int
    default: 0
  write:
    description: With O(mode=resolve), write the file at once.
    type: bool
    default: false
  lock:
    description: With O(mode=write), RV(lock) of the task that has resolved.
    type: dict
  outcomes:
    description:
      - With O(mode=write), by host, what M(homelab.mediastack.update) returned on those that have come so far. Only
        images that were a target of one of them are written, and none of a service that went back on one of them.
      - Without it, everything is written.
    type: dict
attributes:
  check_mode:
    support: full
    description: Registries are asked, and nothing is written.
  diff_mode:
    support: full
    description: Shows how the lock file changes when it is written.
  action:
    support: full
    description: Runs on the controller.
seealso:
  - module: homelab.mediastack.deploy
"""

EXAMPLES = r"""
- name: Resolve the tags of every host, once
  homelab.mediastack.lock:
    images: "{{ wanted }}"
    surveys: "{{ surveys }}"
    minimum_age: 3
  run_once: true
  register: resolved

- name: Write down what the first hosts have passed their gate with
  homelab.mediastack.lock:
    mode: write
    lock: "{{ resolved.lock }}"
  run_once: true
"""

RETURN = r"""
targets:
  description: By host and service, the image that is to run. What is held back is not in it.
  type: dict
  returned: with O(mode=resolve)
  sample:
    nas:
      sonarr:
        image: lscr.io/linuxserver/sonarr:4.0.19
        digest: sha256:0d5b…
        created: "2026-10-01T10:00:00Z"
pending:
  description: By host, whether it runs something else than one of its targets.
  type: dict
  returned: with O(mode=resolve)
source:
  description: Where the digests come from, V(lock) or V(registry).
  type: str
  returned: with O(mode=resolve)
held:
  description: What is held back, and why, a sentence each.
  type: list
  elements: str
  returned: with O(mode=resolve)
failed_before:
  description: Those of RV(held) that have failed their gate on a host.
  type: list
  elements: str
  returned: with O(mode=resolve)
refused:
  description: Those of RV(held) that O(allow_major=true) lets through.
  type: list
  elements: str
  returned: with O(mode=resolve)
messages:
  description: What has changed in registries, and what else there is to say, a sentence each.
  type: list
  elements: str
  returned: with O(mode=resolve)
lock:
  description: What is to be written. Its C(path), the whole C(text), C(entries) that change, what is to C(drop), and
    the C(targets).
  type: dict
  returned: with O(mode=resolve)
path:
  description: The lock file.
  type: str
  returned: when it was to be written
"""
