#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health of a media stack: documentation and a thin main; the work is in module_utils/health_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_health
short_description: Tell the health of every service of a media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Looks at the containers of a Compose project with one C(docker ps) and one C(docker inspect), and asks every service
    itself, all at once, by HTTP or TCP, as its service file says.
  - An answer counts only when its code and its body are the expected ones. A crash loop, a dead network namespace and a
    container in another one than the inventory wants are found, although the engine calls these containers running.
  - What cannot be known is V(UNKNOWN), never V(HEALTHY). So is all of a host that cannot be reached; the play goes on.
  - Never changes anything. That a service is not healthy is a result (RV(healthy) is false), not a failure of the task.
options:
  services:
    description:
      - The services to look at.
      - Run as a task, the default is every service that the inventory selects.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the Compose service.
        type: str
        required: true
      title:
        description: Name for people.
        type: str
      container:
        description: Name that its container should have.
        type: str
      image:
        description: The image that the inventory wants.
        type: str
      health:
        description:
          - How to ask it, as C(x-mediastack.health) of its service file says.
          - Without it, its container's own health check is all that is looked at.
        type: dict
      holder:
        description: Name of the container whose network it uses (behind the VPN V(gluetun)), or of its own container.
        type: str
      ports:
        description: Its ports, a list of maps with C(name), C(protocol), C(port) and C(target).
        type: list
        elements: dict
      url:
        description: Address of its web interface for people.
        type: str
  project_name:
    description:
      - Name of the Compose project.
      - Run as a task, the default is C(mediastack_project_name).
    type: str
  project_path:
    description:
      - Directory of the Compose project. Containers of a project elsewhere that has the same name are not looked at.
      - Run as a task, the default is C(mediastack_project_path).
    type: path
  paths:
    description:
      - Directories whose free space is reported, by name.
      - Run as a task, the default are the base path, the media and the downloads.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds for all probes together. A service that hangs costs at most this, and the others nothing.
    type: float
    default: 10
  grace:
    description:
      - Seconds after the start of a container in which a failing probe means V(STARTING), not V(UNHEALTHY).
      - A longer start period of its own health check counts instead.
    type: float
    default: 60
  wait:
    description:
      - Seconds to wait until every service is healthy. V(0) looks once.
      - The waiting ends early when only stopped and missing services are left, which nobody starts meanwhile.
    type: float
    default: 0
  host:
    description:
      - Name of the host in the result.
      - Run as a task, the default is the host's name in the inventory.
    type: str
    default: localhost
attributes:
  check_mode:
    support: full
    description: Changes nothing, with or without check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference.
seealso:
  - module: homelab.mediastack.report
"""

EXAMPLES = r"""
- name: Read the health of every service that the inventory selects
  homelab.mediastack.stack_health:
  register: health

- name: Stop here unless all is well
  ansible.builtin.assert:
    that: health.healthy

- name: Ask one service of any Compose project
  homelab.mediastack.stack_health:
    project_name: media
    project_path: /opt/media
    wait: 30
    services:
      - name: sonarr
        health: {kind: http, port: web, path: /ping, json: {status: OK}}
        ports: [{name: web, port: 8989, target: 8989}]
"""

RETURN = r"""
healthy:
  description: Whether every service is V(HEALTHY).
  type: bool
  returned: success
services:
  description: The result model, one entry a service.
  type: list
  elements: dict
  returned: success
  sample:
    - host: nas
      name: sonarr
      title: Sonarr
      status: UNHEALTHY
      message: "http://127.0.0.1:8989/ping: connection refused, nothing listens there"
      latency_ms: null
      container: sonarr
      image: lscr.io/linuxserver/sonarr:4.0.16
      url: http://192.168.1.10:8989
disks:
  description: Free space of each of O(paths), or why it is not known.
  type: dict
  returned: success
  sample: {base: {path: /srv/mediastack, total_bytes: 4000000000000, free_bytes: 1200000000000}}
diff:
  description: Always empty.
  type: dict
  returned: success
vpn:
  description: Whether the inventory wants a VPN, and the services behind it. Of a task that was not given everything.
  type: dict
  returned: when settings were read
  sample: {enabled: true, services: [qbittorrent, sabnzbd]}
messages:
  description: Sentences for the user. Of a task that was not given O(services).
  type: list
  elements: str
  returned: when settings were read
  sample: ["VPN OFF: torrents use your own address"]
duration_ms:
  description: How long the module took.
  type: int
  returned: success
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import health_sweep

SERVICE_OPTIONS = {
    "name": {"type": "str", "required": True},
    "title": {"type": "str"},
    "container": {"type": "str"},
    "image": {"type": "str"},
    "health": {"type": "dict"},
    "holder": {"type": "str"},
    "ports": {"type": "list", "elements": "dict"},
    "url": {"type": "str"},
}


def main():
    """Arguments in, one look (or more, with `wait`), result model out."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "options": SERVICE_OPTIONS},
            "project_name": {"type": "str"},
            "project_path": {"type": "path"},
            "paths": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 10},
            "grace": {"type": "float", "default": 60},
            "wait": {"type": "float", "default": 0},
            "host": {"type": "str", "default": "localhost"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not given["services"]:
        module.fail_json(msg="services is empty: there is nothing to look at, which is not the same as healthy")
    for name in ("project_name", "project_path"):
        if not given[name]:
            module.fail_json(msg="%s is not given: with services, name the Compose project that they belong to" % name)
    if given["timeout"] <= 0:
        module.fail_json(msg="timeout is %g: it must be more than 0 seconds" % given["timeout"])
    for name in ("grace", "wait"):
        if given[name] < 0:
            module.fail_json(msg="%s is %g: it must be 0 seconds or more" % (name, given[name]))
    module.exit_json(
        **health_sweep.result(
            given["services"],
            given["host"],
            given["project_name"],
            given["project_path"],
            given["paths"],
            given["timeout"],
            given["grace"],
            given["wait"],
        )
    )


if __name__ == "__main__":
    main()
