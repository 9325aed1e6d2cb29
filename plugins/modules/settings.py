#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.settings, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: settings
short_description: Check every setting of the media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Finds the value of every C(mediastack_*) setting and checks them all, before anything is touched.
  - A value comes from, later ones win, the default, C($XDG_CONFIG_HOME/mediastack/config.yml) on the controller, an
    environment variable C(MEDIASTACK_<NAME>) on the controller, the inventory and the play, C(-e).
  - Prints one line that names the settings from C(config.yml) and the environment.
  - Everything that is wrong is reported at once, with the variable, where it stands, the value unless it is secret,
    and the closest valid name.
  - The settings are those of P(homelab.mediastack.mediastack#role).
options:
  verb:
    description:
      - What is about to be done; decides which extra vars are read from the command line.
    type: str
    default: site
    choices:
      - init
      - site
      - start
      - stop
      - restart
      - status
      - logs
      - vpn_status
      - vpn_start
      - vpn_stop
      - leak_test
      - exposure
      - config_show
      - config_edit
      - config_validate
      - credentials
      - remove
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Works in check mode.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
  connection:
    description: It runs on the controller and needs no connection to the host.
    support: none
"""

EXAMPLES = r"""
- name: Check every setting
  homelab.mediastack.settings:
    verb: start
  register: checked

- name: Show where the configuration will be
  ansible.builtin.debug:
    msg: "{{ checked.settings.mediastack_config_path }}"
"""

RETURN = r"""
settings:
  description: The value of every setting that is not secret, with its default applied and its type.
  type: dict
  returned: success
  sample: {mediastack_puid: 1000, mediastack_media_path: /srv/mediastack/media}
sources:
  description: "Where each value came from: V(default), V(config.yml), V(environment) or V(inventory)."
  type: dict
  returned: success
  sample: {mediastack_puid: environment}
args:
  description: The extra vars of the verb, from the command line only, with their type.
  type: dict
  returned: success
  sample: {service: [sonarr], profiles: []}
messages:
  description: What the user should know, one sentence each.
  type: list
  elements: str
  returned: success
"""
