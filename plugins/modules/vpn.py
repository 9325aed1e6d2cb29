#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The VPN of a media stack: documentation and a thin main; the work is in module_utils/vpn_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn
short_description: Look at, connect or disconnect the VPN of a media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Asks gluetun of a Compose project, through its control server on the host, whether the VPN is connected; connects
    it, or disconnects it and keeps the kill switch.
  - Disconnected means that gluetun's container goes on running and its firewall lets nothing out. What lives behind it
    keeps its network, which leads nowhere. That is recorded as a hold, which M(homelab.mediastack.deploy) respects.
  - Connected means that gluetun is running and has a public IP, and that everything that runs behind it is in its
    network as it is now, not in one that a restart left behind.
  - The key of the control server is read on the host, where the stack generated it.
options:
  state:
    description:
      - V(status) fails unless the VPN is connected and what runs behind it is behind it.
      - V(started) connects, then starts, restarts or recreates what should be behind the VPN and is not. What somebody
        stopped by C(stop) stays so. It ends well only when all of that is done.
      - V(stopped) disconnects.
    type: str
    choices: [status, started, stopped]
    default: status
  stop_apps:
    description: With O(state=stopped), stop what lives behind the VPN first.
    type: bool
    default: false
  project_name:
    description:
      - Name of the Compose project.
      - Run as a task, the default is C(mediastack_project_name).
    type: str
  project_path:
    description:
      - Directory of the Compose project.
      - Run as a task, the default is C(mediastack_project_path).
    type: path
  members:
    description:
      - Services that should be behind the VPN. Others that share gluetun's network are looked at in any case.
      - Run as a task, the default is what C(mediastack_vpn_services) selects.
    type: list
    elements: str
  api_key:
    description: Key that reads, where the stack did not generate it.
    type: str
  control_key:
    description: Key that connects and disconnects, where the stack did not generate it.
    type: str
  wait_timeout:
    description:
      - Seconds to wait until it is so.
      - Run as a task, the default is C(mediastack_wait_timeout).
    type: float
    default: 300
  timeout:
    description: Seconds for one look at the control server.
    type: float
    default: 10
  lock_timeout:
    description:
      - Seconds to wait for another run to end.
      - Run as a task, the default is C(mediastack_lock_timeout).
    type: float
    default: 60
  who:
    description: Who stops the VPN, for the record. Run as a task, the default is the user on the controller.
    type: str
    default: ""
  why:
    description: Why, for the record.
    type: str
    default: ""
  progress:
    description: Token of the file in which the module says what it is doing. For this collection's own use.
    type: str
attributes:
  action:
    description: It is an action plugin too, which fills in what the settings know.
    support: full
  check_mode:
    support: full
    description: Predicts what would be done, and changes nothing.
  diff_mode:
    support: full
    description: Shows the state of the VPN before and after.
seealso:
  - module: homelab.mediastack.gluetun_status
  - module: homelab.mediastack.stack_health
"""

EXAMPLES = r"""
- name: Disconnect the VPN; nothing behind it gets out
  homelab.mediastack.vpn:
    state: stopped

- name: Connect it again, and wait until everything behind it has the tunnel
  homelab.mediastack.vpn:
    state: started
  register: vpn

- name: Show where it comes out
  ansible.builtin.debug:
    msg: "{{ vpn.country }}, forwarded: {{ vpn.forwarded_ports }}"
"""

RETURN = r"""
connected:
  description: Whether the VPN carries traffic.
  type: bool
  returned: always
status:
  description: gluetun's word for the VPN; V(null) where it was not asked.
  type: str
  returned: always
  sample: running
provider:
  description: The VPN provider that gluetun was made for.
  type: str
  returned: always
  sample: mullvad
vpn_type:
  description: V(openvpn) or V(wireguard), V(null) of a stopped VPN.
  type: str
  returned: always
public_ip:
  description: Address at which the VPN comes out; empty unless it is connected.
  type: str
  returned: always
country:
  description: Country of that address.
  type: str
  returned: always
region:
  description: Region of that address.
  type: str
  returned: always
city:
  description: City of that address.
  type: str
  returned: always
forwarded_ports:
  description: Ports that the VPN provider forwards.
  type: list
  elements: int
  returned: always
version:
  description: Release of gluetun.
  type: str
  returned: always
behind:
  description: Services that live behind the VPN, running or not.
  type: list
  elements: str
  returned: when the containers could be looked at
running:
  description: Those of them that run.
  type: list
  elements: str
  returned: when the containers could be looked at
actions:
  description: What was done, in sentences.
  type: list
  elements: str
  returned: always
messages:
  description: Sentences for the user.
  type: list
  elements: str
  returned: always
diff:
  description: What changed.
  type: dict
  returned: always
duration_ms:
  description: How long the module took.
  type: int
  returned: always
"""

import atexit
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import vpn_started, vpn_stopped, vpn_verbs
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import CONTROL_KEY, READ_KEY, VpnError

KINDS = {"status": vpn_verbs.Status, "started": vpn_started.Started, "stopped": vpn_stopped.Stopped}


def main():
    """Arguments in, results out; the work is in `module_utils/vpn_*.py`."""
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["status", "started", "stopped"], "default": "status"},
            "stop_apps": {"type": "bool", "default": False},
            "project_name": {"type": "str"},
            "project_path": {"type": "path"},
            "members": {"type": "list", "elements": "str"},
            "api_key": {"type": "str", "no_log": True},
            "control_key": {"type": "str", "no_log": True},
            "wait_timeout": {"type": "float", "default": 300},
            "timeout": {"type": "float", "default": 10},
            "lock_timeout": {"type": "float", "default": 60},
            "who": {"type": "str", "default": ""},
            "why": {"type": "str", "default": ""},
            "progress": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = dict(module.params)
    for name in ("project_name", "project_path"):
        if not given[name]:
            module.fail_json(msg="%s is not given: name the Compose project" % name)
    for name, least in (("timeout", 0.1), ("wait_timeout", 0), ("lock_timeout", 0)):
        if given[name] < least:
            module.fail_json(msg="%s is %g: it must be %g seconds or more" % (name, given[name], least))
    progress = Progress(given["project_path"], None if module.check_mode else given["progress"])
    atexit.register(progress.close)
    keys = {READ_KEY: given.pop("api_key"), CONTROL_KEY: given.pop("control_key")}
    given.update(members=given["members"] or [], keys=keys, check=module.check_mode, progress=progress)
    verb = KINDS[given["state"]](vpn_verbs.Ask(**given), Docker())
    error = None
    try:
        verb.run()
    except (VpnError, GluetunError, DockerError, LockError, FileError) as failure:
        error = str(failure)
    result = verb.result()
    result["diff"] = {
        "before": "",
        "after": "".join("%s\n" % action for action in verb.actions) if verb.changed else "",
    }
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
