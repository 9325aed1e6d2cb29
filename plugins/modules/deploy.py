#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.deploy, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy
short_description: Render the media stack and make a host match it
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Renders the selected service files with the host's settings on the controller, builds one bundle of Compose files,
    C(.env), secrets, preset config files and directories, and hands it to M(homelab.mediastack.compose_stack) on the
    host, in one remote call.
  - Everything that is wrong with settings or service files is reported at once, before anything is touched.
  - Service files are those of the collection and C(services/*.yml.j2) beside the host's inventory.
  - What is named by C(-e service=) or C(-e profiles=) on the command line counts with O(services) and O(profiles), for
    the verbs that have them.
options:
  verb:
    description:
      - What the user asked for.
      - V(site) makes the whole host match. V(start) renders and starts only what is named, with all that it depends on.
        V(stop) and V(restart) render nothing.
    type: str
    choices: [site, start, stop, restart]
    default: site
  state:
    description: State of M(homelab.mediastack.compose_stack), where it is not the verb's own.
    type: str
    choices: [present, stopped, restarted, absent, pulled]
  services:
    description: Services, or apps with all of their services. Empty is everything.
    type: list
    elements: str
    default: []
  profiles:
    description: Profiles whose services are meant.
    type: list
    elements: str
    default: []
  remove_orphans:
    description: Remove containers of the project that are not wanted any more. By default only a V(site) of all does.
    type: bool
  pull:
    description: When to pull images. The default is C(mediastack_pull).
    type: str
    choices: [missing, always, never]
  recreate:
    description: Whether to recreate containers. The default is that of M(homelab.mediastack.compose_stack).
    type: str
    choices: [auto, always, never]
  wait:
    description: Wait until the containers run and are healthy.
    type: bool
  wait_timeout:
    description: Seconds to wait for that. The default is C(mediastack_wait_timeout).
    type: int
  timeout:
    description: Seconds for a container to stop.
    type: int
  lock_timeout:
    description: Seconds to wait for another run to end. The default is C(mediastack_lock_timeout).
    type: int
  stable_for:
    description: Seconds that a container must have run without a restart.
    type: int
  health:
    description:
      - After a successful run ask every service how it is, in the same call, and wait until all are well, at most
        C(mediastack_wait_timeout) seconds. Not in check mode, and not for verbs that render nothing.
    type: bool
    default: false
  release_holds:
    description:
      - Whether what somebody stopped or started by hand (V(stop), V(start)) is let go of, so that the inventory decides
        again.
      - C(-e release_holds=true) on the command line does the same.
    type: bool
    default: false
  engine_missing_ok:
    description: Return RV(engine_missing) instead of failing where there is no Docker Engine.
    type: bool
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Predicts what a run would do, and changes nothing.
    support: full
  diff_mode:
    description: Shows the changes of rendered files, secrets masked.
    support: full
seealso:
  - module: homelab.mediastack.compose_stack
  - module: homelab.mediastack.stack_health
"""

EXAMPLES = r"""
- name: Make the host match the inventory
  homelab.mediastack.deploy:
  register: deployed

- name: Stop the download clients
  homelab.mediastack.deploy:
    verb: stop
    services: [qbittorrent, sabnzbd]
"""

RETURN = r"""
health_services:
  description: The services that this was about, as M(homelab.mediastack.stack_health) takes them.
  type: list
  elements: dict
  returned: when something was rendered
health:
  description: What M(homelab.mediastack.stack_health) returns.
  type: dict
  returned: with O(health), after a successful run
project:
  description: Name and directory of the Compose project.
  type: dict
  returned: always
  sample: {name: homelab-mediastack, path: /srv/mediastack/compose}
settings:
  description: The settings of engine, health and waiting, for what comes next.
  type: dict
  returned: always
messages:
  description: Sentences for the user, which were also printed.
  type: list
  elements: str
  returned: always
engine_missing:
  description: Whether the host has no Docker Engine. Only with O(engine_missing_ok).
  type: bool
  returned: success
services:
  description: State of every service, see M(homelab.mediastack.compose_stack).
  type: dict
  returned: always
actions:
  description: What was done, in sentences.
  type: list
  elements: str
  returned: always
duration_ms:
  description: Milliseconds on the host.
  type: int
  returned: always
"""
