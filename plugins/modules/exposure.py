#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is reached from the network? Documentation and a thin main; the work is in module_utils/exposure_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: exposure
short_description: Look at what of a media stack is reached from the network, and whether it asks for a login
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Lists what the containers of a project have published, as the engine and as the kernel have it, IPv4 and IPv6, and
    visits it over HTTP from a network namespace beside the host, as a neighbour would, without a login.
  - A web interface that lets everybody in is V(failed). Inconclusive is not a pass.
  - Changes nothing. For the time of the visit there is a network namespace and a pair of interfaces that join it to the
    host, which the kernel removes with the process, however it ends. That needs root.
options:
  services:
    description:
      - The services to look at. Run as a task, the default is every service that the inventory selects.
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
      holder:
        description: The service whose network it uses, behind the VPN V(gluetun); without it, its own.
        type: str
      ports:
        description:
          - What the inventory publishes of it, a list of maps with C(name), C(protocol), C(port), C(target) and
            C(addresses).
        type: list
        elements: dict
      login:
        description:
          - C(x-mediastack.login) of its service file. C(closed) lists what a stranger is refused, paths or maps.
        type: dict
      opened:
        description: Whether C(mediastack_open_uis) names it.
        type: bool
        default: false
      route:
        description:
          - Where the reverse proxy serves it, C(host), C(path), which may be empty, and C(strip), whether the app knows
            nothing of the path. It is tried there, at the proxy's ports. Run as a task, the default is the route that
            C(site) writes.
        type: dict
      proxy:
        description: Whether it is the reverse proxy, whose ports lead to other services by name.
        type: bool
        default: false
  allow_open:
    description: Whether a web interface without a login passes where O(services[].opened).
    type: bool
    default: false
  fail:
    description: Whether the task fails unless everything passed.
    type: bool
    default: true
  project_name:
    description: Name of the Compose project. Run as a task, the default is C(mediastack_project_name).
    type: str
  project_path:
    description: Directory of the Compose project. Run as a task, the default is C(mediastack_project_path).
    type: path
  timeout:
    description:
      - Seconds for all visits together. Run as a task, the default is C(mediastack_health_timeout).
    type: float
    default: 10
attributes:
  action:
    description: It is an action plugin too, which fills in what the settings know.
    support: full
  check_mode:
    support: full
    description: Changes nothing, with or without check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference.
seealso:
  - module: homelab.mediastack.exposure_report
  - module: homelab.mediastack.leak_test
"""

EXAMPLES = r"""
- name: Fail when a web interface lets everybody in
  homelab.mediastack.exposure:

- name: Look, and go on
  homelab.mediastack.exposure:
    fail: false
  register: exposure
"""

RETURN = r"""
passed:
  description: Whether everything passed.
  type: bool
  returned: always
ports:
  description: What listens, one entry an address and port; and one for a service that should listen and does not.
  type: list
  elements: dict
  returned: always
  contains:
    service:
      description: The Compose service.
      type: str
    name:
      description: Its port in the service file; empty when no service file has it.
      type: str
    protocol:
      description: V(tcp) or V(udp).
      type: str
    address:
      description: The address of the host that it is published on.
      type: str
    port:
      description: The port of the host.
      type: int
    kernel:
      description:
        - Whether the kernel has a socket there. Without one the engine's rules alone lead into the container
          (C(userland-proxy) is off). V(null) where that cannot be seen.
      type: bool
    reached:
      description: Who reaches it, V(network), V(this host), V(nobody) or V(unknown).
      type: str
    login:
      description: V(asked), V(not asked), V(unknown), or V(-) where there is nothing to ask.
      type: str
    state:
      description: V(passed), V(failed) or V(inconclusive).
      type: str
    evidence:
      description: What was seen.
      type: str
    open:
      description: Whether anybody gets in.
      type: bool
    remedy:
      description: What to do.
      type: str
open:
  description: Services of which something is open to everybody.
  type: list
  elements: str
  returned: always
messages:
  description: Sentences for the user, such as a firewall that published ports bypass.
  type: list
  elements: str
  returned: always
diff:
  description: Always empty.
  type: dict
  returned: always
duration_ms:
  description: How long the module took.
  type: int
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import exposure_run
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError

SERVICE_OPTIONS = {
    "name": {"type": "str", "required": True},
    "title": {"type": "str"},
    "holder": {"type": "str"},
    "ports": {"type": "list", "elements": "dict"},
    "login": {"type": "dict"},
    "opened": {"type": "bool", "default": False},
    "route": {"type": "dict"},
    "proxy": {"type": "bool", "default": False},
}


def main():
    """Arguments in, one look, results out."""
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "options": SERVICE_OPTIONS},
            "allow_open": {"type": "bool", "default": False},
            "fail": {"type": "bool", "default": True},
            "project_name": {"type": "str"},
            "project_path": {"type": "path"},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    given = module.params
    for name in ("services", "project_name", "project_path"):
        if given[name] is None or given[name] == "":
            module.fail_json(msg="%s is not given" % name)
    if given["timeout"] <= 0:
        module.fail_json(msg="timeout is %g: it must be more than 0 seconds" % given["timeout"])
    names = ("services", "project_name", "project_path", "timeout", "allow_open")
    look = exposure_run.Exposure(exposure_run.Ask(**{name: given[name] for name in names}), Docker())
    error = None
    try:
        look.run()
    except (DockerError, FileError) as failure:
        error = str(failure)
    result = dict(look.result(), duration_ms=round((time.monotonic() - started) * 1000))
    if error:
        result["passed"] = False
        module.fail_json(msg=error, **result)
    if given["fail"] and not result["passed"]:
        bad = ["%s: %s" % (row["service"], row["evidence"]) for row in result["ports"] if row["state"] != "passed"]
        module.fail_json(msg="; ".join(bad) or "nothing was seen", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
