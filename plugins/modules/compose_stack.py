#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a whole Compose stack to a state, and tell the truth about it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_stack
short_description: Bring a whole Docker Compose stack to a state, and tell the truth about it
version_added: 0.1.0
description:
  - Makes the containers of one Compose project what they should be, in one call and under one lock.
  - It decides by C(docker inspect) only, before and after. Neither the events nor the return codes of Compose are
    believed.
  - A run that finds nothing to do calls C(docker ps) and C(docker inspect) once, and nothing else.
  - Containers that share another's network (O(bundle) with a VPN, or C(network_mode) V(service:gluetun)) are
    restarted when that
    one was restarted, recreated when it was recreated, and stopped before it is replaced.
  - Everything is checked and every image is pulled before anything is changed. An interrupted run is repaired by the
    next one.
  - Only containers whose project name and Compose working directory are the project's are ever touched.
  - Needs nothing on the host but Python 3.8, Docker Engine 20.10 and Docker Compose 2.20, each or later.
extends_documentation_fragment:
  - homelab.mediastack.attributes
  - homelab.mediastack.attributes.actiongroup_stack
attributes:
  check_mode:
    support: full
    details:
      - The prediction is exact where the engine and the images are on the host. With O(pull=always) only the
        registry knows.
  diff_mode:
    support: full
    details:
      - Files, with secrets masked, and a section C(services) with state, image and reasons before and after.
  idempotent:
    support: full
    details:
      - Not with O(state=restarted) or O(recreate=always), which ask for a change.
  platform:
    support: full
    platforms: posix
options:
  state:
    description:
      - V(present) writes the files of O(bundle), if there is one, and sees to it that every service runs as they say.
      - V(stopped) stops services, and first what lives in their network. It creates nothing.
      - V(restarted) restarts the services that there are, and what lives in their network after them. It renders
        nothing.
      - V(absent) removes the project's containers and networks. Volumes, files and data stay.
      - V(pulled) has the images on the host, and touches no container.
      - V(rendered) checks the host and writes the files and directories of O(bundle), and touches no image and no
        container.
    type: str
    choices: [present, stopped, restarted, absent, pulled, rendered]
    default: present
  project_path:
    description:
      - Absolute path of the project directory.
      - Required without O(bundle), which brings its own.
    type: path
  project_name:
    description:
      - Name of the Compose project. The default is that of O(bundle), else what Compose itself finds in the project
        directory.
    type: str
  bundle:
    description:
      - Everything that the controller rendered, as the action C(homelab.mediastack.deploy) makes it.
      - Without it the module works with the Compose files that are in O(project_path).
    type: dict
  services:
    description:
      - Names of services; the default is all of them.
      - With O(state=present) also what these need. Nothing is removed then.
    type: list
    elements: str
    default: []
  profiles:
    description:
      - Compose profiles to switch on, for a project without O(bundle).
      - Containers of profiles that are not switched on are removed, unless O(remove_orphans) is V(false).
    type: list
    elements: str
    default: []
  pull:
    description:
      - V(missing) pulls images that are not on the host. A service keeps the image it runs as long as the same name
        is asked for.
      - V(always) asks the registry for every image, and recreates the services whose image is another one now.
      - V(never) fails when an image is missing.
    type: str
    choices: [missing, always, never]
    default: missing
  recreate:
    description:
      - V(auto) recreates what differs.
      - V(always) recreates every service, V(never) none because its definition changed.
    type: str
    choices: [auto, always, never]
    default: auto
  remove_orphans:
    description:
      - Whether containers of the project that belong to no service any more are removed. Their data stays.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait until every service is well. That is running, healthy if it has a health check, and not
        restarting for
        O(stable_for) seconds. A service without restart policy that ended with 0 is well.
    type: bool
    default: true
  wait_timeout:
    description:
      - Longest time in seconds for all services to be well.
    type: int
    default: 300
  timeout:
    description:
      - Seconds that a container gets for stopping before it is killed. The default is its own C(stop_grace_period).
    type: int
  lock_timeout:
    description:
      - Longest time in seconds to wait for another run on the same project.
    type: int
    default: 60
  stable_for:
    description:
      - Seconds for which a service must have been running, without a restart, to be believed.
    type: float
    default: 2
  health:
    description:
      - Arguments of M(homelab.mediastack.stack_health), all of them given. After a successful run it is carried out in
        the same call, which spares a second execution on the host.
    type: dict
  forwarding:
    description:
      - Entries of O(health) with C(app), of gluetun and of torrent clients in its network. After O(health) the port
        that gluetun forwards is compared with the one that the first of them listens on (qBittorrent, else
        Transmission, else Deluge), which is set where it differs.
      - Needs O(bundle) and O(health).
    type: list
    elements: dict
    default: []
  holds:
    description:
      - Who asks for what. Then what somebody stopped or started by hand stays so, as far as O(holds.verb) lets it, and
        such verbs are remembered on the host, in C(.mediastack/holds.json).
      - Without it holds are neither kept nor recorded.
      - With O(state=present) they count with O(bundle) only.
    type: dict
    suboptions:
      verb:
        description:
          - What the user asked for.
          - V(site) leaves alone what is held. V(start), V(stop) and V(restart) change the holds of what they are about.
        type: str
        choices: [site, start, stop, restart]
        required: true
      who:
        description: Who asks, for other people to read.
        type: str
        required: true
      why:
        description: The words that were asked with.
        type: str
        required: true
      extra:
        description: Services in O(bundle) that the inventory does not select.
        type: list
        elements: str
        default: []
      unknown:
        description: Names of RV(render_also) that no service file has.
        type: list
        elements: str
        default: []
      release:
        description: Whether every hold ends.
        type: bool
        default: false
  progress:
    description:
      - Eight to thirty-two hexadecimal digits. What the module is doing is then written to the file
        C(.mediastack/progress-DIGITS.json) in O(project_path) while it runs, for others to read.
    type: str
  images:
    description:
      - With O(bundle), V(keep) leaves every service on the image that it runs, whatever O(bundle) names. What is new
        gets the image of the lock, else of its tag. Only M(homelab.mediastack.stack_update) moves services then.
      - V(follow) makes a container anew when O(bundle) names another image.
    type: str
    choices: [follow, keep]
    default: follow
  retry_failed:
    description: With O(images=keep), forget which images failed their gate on this host.
    type: bool
    default: false
  engine_missing_ok:
    description:
      - Whether a host without usable Docker Engine or Compose is no failure. See RV(engine_missing).
    type: bool
    default: false
author:
  - The homelab.mediastack maintainers (@homelab-mediastack)
"""

EXAMPLES = r"""
- name: Keep a Compose project of your own running, and fail when a service of it is not well
  homelab.mediastack.compose_stack:
    project_path: /srv/paperless

- name: Restart gluetun, and everything behind it
  homelab.mediastack.compose_stack:
    state: restarted
    project_path: /srv/mediastack/compose
    services: [gluetun]

- name: Take the project down; volumes and data stay
  homelab.mediastack.compose_stack:
    state: absent
    project_path: /srv/paperless
    project_name: paperless
"""

RETURN = r"""
health:
  description: What M(homelab.mediastack.stack_health) returns.
  type: dict
  returned: with O(health), after a successful run
actions:
  description: What was done, or would be in check mode, one sentence an action.
  returned: always
  type: list
  elements: str
  sample: ["recreate sonarr: its image changed from lscr.io/linuxserver/sonarr:4.0.15 to
    lscr.io/linuxserver/sonarr:4.0.16"]
diff:
  description: What changed in files (secrets masked) and services.
  returned: always
  type: list
  elements: dict
duration_ms:
  description: How long the module ran, in milliseconds.
  returned: always
  type: int
  sample: 140
engine_missing:
  description: Whether there is no usable Docker Engine or Compose. A failure, unless O(engine_missing_ok).
  returned: always
  type: bool
engine_missing_reason:
  description: V(cli) when there is no docker program, V(daemon) when the engine does not answer, V(compose) when
    Compose is missing.
  returned: when RV(engine_missing)
  type: str
failures:
  description: The services that are not well.
  returned: on failure of services
  type: list
  elements: dict
  contains:
    service:
      description: Name of the service.
      type: str
    what:
      description: What is wrong with it.
      type: str
    log:
      description: The last lines of its log.
      type: list
      elements: str
    health_log:
      description: The last results of its health check, each with C(exit_code) and C(output).
      type: list
      elements: dict
by_hand:
  description: Services whose container somebody changed since it was made, and what.
  returned: always
  type: dict
  sample: {sonarr: ["changed by hand: restart policy unless-stopped → no"]}
file_reasons:
  description: Path of each file in RV(files), and why.
  returned: always
  type: dict
files:
  description: Path of each file that changed, and what happened to it.
  returned: always
  type: dict
  sample: {"/srv/mediastack/compose/.env": "change"}
images:
  description: For each service C(image), C(digest) and C(image_id) that it runs, what is C(wanted) by lock or
    inventory, and a C(note) where that is another one.
  returned: with O(images=keep), after a look at the host
  type: dict
refused:
  description: Services whose wanted image failed its gate on this host, and when and why.
  returned: with O(images=keep), after a look at the host
  type: dict
held:
  description: What somebody took out of the inventory's hands, each with C(verb), C(who), C(when) and C(why).
  returned: always
  type: dict
left:
  description: Services that were left as they are because of a hold, and why.
  returned: always
  type: dict
  sample: {sonarr: "held stopped since 2026-11-22 20:39 +0000 by anna@laptop"}
messages:
  description: Sentences for the user, such as what is stopped along with something else.
  returned: always
  type: list
  elements: str
problems:
  description: Everything that the checks before a run found.
  returned: when these checks failed
  type: list
  elements: dict
removed:
  description: Names of the containers that were removed for good.
  returned: always
  type: list
  elements: str
issue:
  description:
    - Certificates of O(bundle) that are due and were not offered with it, by the name of their secret. Nothing was done
      then. The action M(homelab.mediastack.deploy) makes them and runs the module again; they may hold a private key.
  returned: when there are any
  type: dict
render_also:
  description:
    - Services that are held started, and that O(bundle) lacks. Nothing was done then; it is to be made again, with
      them.
  returned: always
  type: list
  elements: str
services:
  description: State of each service, as C(docker inspect) shows it.
  returned: always
  type: dict
  contains:
    state:
      description: State of its container; V(absent) where there is none.
      type: str
    health:
      description: Result of its health check; V(null) without one.
      type: str
    image:
      description: The image as the Compose files name it.
      type: str
    image_id:
      description: Id of the image it runs.
      type: str
    digest:
      description: Digest by which that image was pulled, if this host knows it.
      type: str
    container_id:
      description: Id of its container.
      type: str
    container:
      description: Name of its container.
      type: str
    ports:
      description: Published ports, each with C(address), C(port), C(target) and C(protocol).
      type: list
      elements: dict
    action:
      description: What was done to it. One of V(none), V(create), V(recreate), V(start), V(restart), V(stop),
        V(remove).
      type: str
    reasons:
      description: Why.
      type: list
      elements: str
unknown_files:
  description: Files in the project directory that are not ours; nothing is done about them.
  returned: always
  type: list
  elements: str
"""

import atexit
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    after_forward,
    after_run,
    gpu_overlay,
    module_bundle,
    stack,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_holds import Ask
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request


def argument_spec():
    """The parameters of the module."""
    return {
        "state": {
            "type": "str",
            "choices": ["present", "stopped", "restarted", "absent", "pulled", "rendered"],
            "default": "present",
        },
        "project_path": {"type": "path"},
        "project_name": {"type": "str"},
        # Not logged on the host: it holds what the inventory keeps in a vault.
        "bundle": {"type": "dict", "no_log": True},
        "services": {"type": "list", "elements": "str", "default": []},
        "profiles": {"type": "list", "elements": "str", "default": []},
        "pull": {"type": "str", "choices": ["missing", "always", "never"], "default": "missing"},
        "recreate": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
        "remove_orphans": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 300},
        "timeout": {"type": "int"},
        "lock_timeout": {"type": "int", "default": 60},
        "stable_for": {"type": "float", "default": 2},
        "engine_missing_ok": {"type": "bool", "default": False},
        "holds": {
            "type": "dict",
            "options": {
                "verb": {"type": "str", "choices": ["site", "start", "stop", "restart"], "required": True},
                "who": {"type": "str", "required": True},
                "why": {"type": "str", "required": True},
                "extra": {"type": "list", "elements": "str", "default": []},
                "unknown": {"type": "list", "elements": "str", "default": []},
                "release": {"type": "bool", "default": False},
            },
        },
        "health": {"type": "dict"},
        "forwarding": {"type": "list", "elements": "dict", "default": []},
        "progress": {"type": "str"},
        "images": {"type": "str", "choices": ["follow", "keep"], "default": "follow"},
        "retry_failed": {"type": "bool", "default": False},
    }


def main():
    """Arguments in, results out; the work is in `module_utils/stack.py`."""
    started = time.monotonic()
    module = AnsibleModule(argument_spec(), supports_check_mode=True, required_one_of=[["project_path", "bundle"]])
    parameters = dict(module.params)
    bundle = parameters["bundle"]
    module_bundle.hide_secrets(module, bundle)
    gpu_overlay.settle(bundle)
    if bundle:
        parameters["project_path"] = parameters["project_path"] or bundle["project"]["path"]
    refuse_nonsense(module, parameters)
    health, forwarding = parameters.pop("health"), parameters.pop("forwarding")
    parameters["holds"] = Ask(**parameters["holds"]) if parameters["holds"] else None
    token = None if module.check_mode else parameters["progress"]
    progress = parameters["progress"] = Progress(parameters["project_path"], token)
    atexit.register(progress.close)
    result, error = stack.run(Request(check=module.check_mode, **parameters))
    after_run.look(result, error, module.check_mode, health, progress)
    after_forward.bring_in_line(result, error, module.check_mode, bundle, health, forwarding, progress)
    result["duration_ms"] = round((time.monotonic() - started) * 1000)
    result["invocation"] = {"module_args": dict(module.params, bundle="not shown" if bundle else None)}
    if error:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


def refuse_nonsense(module, parameters):
    """Fail for parameters that contradict one another."""
    bundle = parameters["bundle"]
    if parameters["forwarding"] and not (bundle and parameters["health"]):
        module.fail_json(
            msg="forwarding needs bundle, which has the keys of its services, and health: give both, or leave it out",
            duration_ms=0,
        )
    if bundle and parameters["profiles"]:
        module.fail_json(
            msg="profiles is for a project without bundle: what a bundle holds is selected already", duration_ms=0
        )
    if bundle and parameters["project_path"] != bundle["project"]["path"]:
        module.fail_json(
            msg="project_path is %s, but the bundle was made for %s"
            % (parameters["project_path"], bundle["project"]["path"]),
            duration_ms=0,
        )
    if not parameters["project_path"].startswith("/"):
        module.fail_json(msg="project_path must be absolute, not %s" % parameters["project_path"], duration_ms=0)
    for name in ("wait_timeout", "timeout", "lock_timeout", "stable_for"):
        if parameters[name] is not None and parameters[name] < 0:
            module.fail_json(msg="%s must not be negative: %s" % (name, parameters[name]), duration_ms=0)


if __name__ == "__main__":
    main()
