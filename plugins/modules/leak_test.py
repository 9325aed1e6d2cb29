#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is anything getting past the VPN? Documentation and a thin main; the work is in module_utils/leak_*.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: leak_test
short_description: Try whether anything gets past the VPN of a media stack
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Enters the network namespace of every app that should live behind the VPN and tries to get out of it.
  - Nothing is needed in the apps' images and nothing is installed on the host. Root enters the namespaces; as another
    user less is seen, by the tools of gluetun's own image.
  - Every check is V(passed), V(failed) or V(inconclusive), with its evidence. Inconclusive is not a pass.
  - The host's own public address is looked up to compare with, and shown nowhere unless asked for.
options:
  kill_switch:
    description:
      - Take the VPN down through gluetun's control server, try to get out in every way, bring it back.
      - It is brought back whatever happens, also when the run is interrupted or killed.
    type: bool
    default: false
  capture:
    description:
      - Count for that many seconds, while the tests run, what the apps send past the tunnel, on the engine's bridges
        and on the interface of the host's default route. V(0) counts nothing. Needs root.
    type: float
    default: 0
  on_leak:
    description: What to do with an app that leaks. V(stop) stops it and holds it stopped.
    type: str
    choices: [report, stop]
    default: report
  fail:
    description: Whether the task fails unless every check passed.
    type: bool
    default: true
  show_host_ip:
    description: Whether evidence and results may hold the host's own public address.
    type: bool
    default: false
  ip_echo:
    description:
      - URL of a page whose text is the address that it is asked from.
      - Run as a task, the default is C(mediastack_leak_test_ip_echo).
    type: str
  tracker:
    description:
      - A UDP tracker, such as V(udp://tracker.example:1337), asked with O(kill_switch). No torrent is named to it.
      - Run as a task, the default is C(mediastack_leak_test_tracker).
    type: str
  public_dns:
    description:
      - Addresses of public resolvers, asked directly past the tunnel, which the firewall should stop; with
        O(kill_switch) through it as well.
      - Run as a task, the default is C(mediastack_leak_test_public_dns).
    type: list
    elements: str
  resolvers:
    description:
      - Addresses of further resolvers that must not answer, besides the host's own and the likely ones at home.
      - Run as a task, the default is C(mediastack_leak_test_resolvers).
    type: list
    elements: str
  project_name:
    description: Name of the Compose project. Run as a task, the default is C(mediastack_project_name).
    type: str
  project_path:
    description: Directory of the Compose project. Run as a task, the default is C(mediastack_project_path).
    type: path
  members:
    description:
      - Services that should be behind the VPN. Others that share gluetun's network are tested in any case.
      - Run as a task, the default is what C(mediastack_vpn_services) selects.
    type: list
    elements: str
  api_key:
    description: Key of gluetun's control server that reads, where the stack did not generate it.
    type: str
  control_key:
    description: Key that connects and disconnects, where the stack did not generate it.
    type: str
  timeout:
    description: Seconds for one attempt.
    type: float
    default: 5
  wait_timeout:
    description: Seconds to wait for the VPN to come back. Run as a task, the default is C(mediastack_wait_timeout).
    type: float
    default: 300
  lock_timeout:
    description: Seconds to wait for another run to end. Run as a task, the default is C(mediastack_lock_timeout).
    type: float
    default: 60
  who:
    description: Who stops an app, for the record. Run as a task, the default is the user on the controller.
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
    support: partial
    description: Can run in check mode.
    details: Nothing is tried then; it only tells what would be.
  diff_mode:
    support: full
    description: Shows what is stopped.
seealso:
  - module: homelab.mediastack.vpn
  - module: homelab.mediastack.leak_report
"""

EXAMPLES = r"""
- name: Fail when anything gets past the VPN
  homelab.mediastack.leak_test:

- name: Try the kill switch as well, and stop what leaks
  homelab.mediastack.leak_test:
    kill_switch: true
    capture: 60
    on_leak: stop
"""

RETURN = r"""
passed:
  description: Whether every check passed.
  type: bool
  returned: always
checks:
  description: Every check of every app.
  type: list
  elements: dict
  returned: always
  contains:
    app:
      description: The Compose service.
      type: str
    check:
      description: V(namespace), V(route), V(public_ip), V(dns), V(ipv6), V(bypass), V(kill_switch)
          or V(capture).
      type: str
    state:
      description: V(passed), V(failed) or V(inconclusive).
      type: str
    evidence:
      description: What was seen.
      type: str
    leak:
      description: Whether something got out past the tunnel, or can.
      type: bool
leaking:
  description: Apps of which something got out past the tunnel.
  type: list
  elements: str
  returned: always
host_ip:
  description: The host's own public address.
  type: str
  returned: with O(show_host_ip)
actions:
  description: What was done; in check mode, what would be.
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

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_run, vpn_verbs
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import HoldError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import CONTROL_KEY, READ_KEY, VpnError

FAILURES = (VpnError, GluetunError, DockerError, LockError, FileError, HoldError)


def main():
    """Arguments in, results out; the work is in `module_utils/leak_*.py`."""
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec={
            "kill_switch": {"type": "bool", "default": False},
            "capture": {"type": "float", "default": 0},
            "on_leak": {"type": "str", "choices": ["report", "stop"], "default": "report"},
            "fail": {"type": "bool", "default": True},
            "show_host_ip": {"type": "bool", "default": False},
            "ip_echo": {"type": "str"},
            "tracker": {"type": "str"},
            "public_dns": {"type": "list", "elements": "str"},
            "resolvers": {"type": "list", "elements": "str"},
            "project_name": {"type": "str"},
            "project_path": {"type": "path"},
            "members": {"type": "list", "elements": "str"},
            "api_key": {"type": "str", "no_log": True},
            "control_key": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 5},
            "wait_timeout": {"type": "float", "default": 300},
            "lock_timeout": {"type": "float", "default": 60},
            "who": {"type": "str", "default": ""},
            "progress": {"type": "str"},
        },
        supports_check_mode=True,
    )
    given = module.params
    for name in ("project_name", "project_path", "ip_echo"):
        if not given[name]:
            module.fail_json(msg="%s is not given" % name)
    for name, least in (("timeout", 0.1), ("wait_timeout", 0), ("lock_timeout", 0), ("capture", 0)):
        if given[name] < least:
            module.fail_json(msg="%s is %g: it must be %g seconds or more" % (name, given[name], least))
    progress = Progress(given["project_path"], None if module.check_mode else given["progress"])
    atexit.register(progress.close)
    run = leak_run.LeakTest(_ask(given, module.check_mode, progress), _test(given), Docker())
    error = None
    try:
        run.run()
    except FAILURES as failure:
        error = run.masked(str(failure))
    result = run.result()
    result["diff"] = {"before": "", "after": "".join("%s\n" % action for action in run.actions) if run.changed else ""}
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    if error:
        module.fail_json(msg=error, **result)
    if given["fail"] and not result["passed"] and not module.check_mode:
        module.fail_json(msg=leak_run.sentence(result), **result)
    module.exit_json(**result)


def _ask(given, check, progress):
    return vpn_verbs.Ask(
        state="status",
        project_name=given["project_name"],
        project_path=given["project_path"],
        members=given["members"] or [],
        keys={READ_KEY: given["api_key"], CONTROL_KEY: given["control_key"]},
        who=given["who"],
        why="leak_test on_leak=stop",
        wait_timeout=given["wait_timeout"],
        timeout=max(10, given["timeout"]),
        lock_timeout=given["lock_timeout"],
        check=check,
        progress=progress,
    )


def _test(given):
    return leak_run.Test(
        echo=given["ip_echo"],
        tracker=given["tracker"] or "",
        public_dns=given["public_dns"] or [],
        resolvers=given["resolvers"] or [],
        kill_switch=given["kill_switch"],
        capture=given["capture"],
        stop_leaking=given["on_leak"] == "stop",
        show_host_ip=given["show_host_ip"],
        timeout=given["timeout"],
    )


if __name__ == "__main__":
    main()
