# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-repair`, for people, systemd units and task schedulers. No Ansible anywhere near.

Everything that it may need is imported at the start: while it waits, a converge may put another program in its place.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    carry_out,
    compose_cli,
    engine_state,
    holds,
    stack,
    stack_repair,
    vpn_stopped,
    vpn_verbs,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker, DockerError
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import LockError
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import CONTROL_KEY, READ_KEY, VpnError

# Imported late elsewhere, see above.
_LATE = (carry_out,)

PROGRAM = "mediastack-repair"
WELL, FAILED, WOULD_CHANGE = 0, 1, 3
# Between two attempts while there is patience left: the engine may be starting, or the internet be down.
PAUSE = 5.0
_DESCRIPTION = """\
Put everything behind the VPN back into gluetun's network, as it has to be after the engine has started
containers in no order, or after gluetun was restarted or made anew by hand. What is well, stopped by
hand, held, or of another project is left alone. The stack is the one in
%s
"""
_EPILOG = """\
return code: 0 all is well, 1 it could not be repaired, 2 wrong usage, 3 with --check: there is something
to repair
https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/boot-repair.md
"""


def main(arguments, project_path, out=None, err=None, sleep=time.sleep):
    """Run the program for the project at `project_path`; its return code (0 well, 1 failed, 3 would change)."""
    out, err = out or sys.stdout, err or sys.stderr
    options = _parser(project_path).parse_args(arguments)
    deadline = time.monotonic() + options.patience
    done, said = {"changed": False, "actions": [], "messages": [], "left": {}}, None
    while True:
        result, error = attempt(options, project_path)
        done = {
            "changed": done["changed"] or result["changed"],
            "actions": done["actions"] + result["actions"],
            "messages": list(dict.fromkeys(done["messages"] + result["messages"])),
            "left": result["left"],
        }
        if not options.json:
            _print(result["actions"], out, "would " if options.check else "")
        if error is None or time.monotonic() >= deadline:
            break
        if error != said:
            _print(["not yet: %s" % error], err)
            said = error
        sleep(max(0.0, min(PAUSE, deadline - time.monotonic())))
    _finish(options, done, error, out, err)
    if error:
        return FAILED
    return WOULD_CHANGE if options.check and done["changed"] else WELL


def _parser(project_path):
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION % project_path,
        epilog=_EPILOG,
    )
    parser.add_argument("--check", action="store_true", help="only say what would be done")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    seconds = {"type": _seconds, "metavar": "SECONDS"}
    parser.add_argument(
        "--patience",
        default=0.0,
        help="go on trying for so long, while the engine starts or the VPN finds no way out (default 0: try once)",
        **seconds,
    )
    parser.add_argument(
        "--lock-timeout", default=60.0, help="wait so long for another run on this stack (default 60)", **seconds
    )
    parser.add_argument(
        "--wait-timeout", default=180.0, help="wait so long for gluetun to be healthy (default 180)", **seconds
    )
    return parser


def _seconds(text):
    value = float(text)
    if not 0 <= value < 1e6:
        raise ValueError(text)
    return value


def attempt(options, project_path, docker=None):
    """(result, error text or None) of one attempt: first the VPN, if it is to stay off, then what lives behind it."""
    nothing = {"changed": False, "actions": [], "messages": [], "left": {}}
    state = os.path.join(project_path, ".mediastack")
    if os.path.isdir(state) and not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        return nothing, "no permission for %s: run it as root (sudo %s)" % (state, _own_path(project_path))
    docker = docker or Docker()
    name = compose_cli.env_value(project_path, "COMPOSE_PROJECT_NAME")
    if not name:
        return nothing, "%s/.env names no project (COMPOSE_PROJECT_NAME): run site, which writes it" % project_path
    try:
        held = holds.read(project_path).get(holds.VPN)
    except FileError as error:
        return nothing, str(error)
    try:
        stopped = _keep_vpn_off(options, project_path, name, docker, held)
    except (VpnError, GluetunError, DockerError, LockError, FileError) as error:
        return nothing, "the VPN is to stay off (vpn_stop), but it could not be stopped: %s" % error
    request = Request(
        state=stack_repair.STATE,
        project_path=project_path,
        project_name=name,
        remove_orphans=False,
        # A container that runs in the right network is all that is asked for; `status` tells how it is.
        wait=False,
        wait_timeout=options.wait_timeout,
        lock_timeout=options.lock_timeout,
        check=options.check,
    )
    result, error = stack.run(request, docker, stack_repair.Repaired)
    return {
        "changed": stopped["changed"] or result["changed"],
        "actions": stopped["actions"] + result["actions"],
        "messages": stopped["messages"] + result["messages"],
        "left": result["left"],
    }, error


def _keep_vpn_off(options, project_path, name, docker, held):
    """What `vpn_stop` did, done again where gluetun's container has been started since: it connects when it starts."""
    nothing = {"changed": False, "actions": [], "messages": []}
    if not held:
        return nothing
    ask = vpn_verbs.Ask(
        state="stopped",
        project_name=name,
        project_path=project_path,
        who=held["who"],
        why=held["why"],
        wait_timeout=min(options.wait_timeout, 30.0),
        lock_timeout=options.lock_timeout,
        check=options.check,
        keys=_given_keys(docker, name, project_path),
    )
    verb = _StoppedAgain(ask, docker)
    verb.tunnel.look()
    if not verb.tunnel.runs or verb.tunnel.read()["status"] == "stopped":
        return nothing
    verb.run()
    why = "the VPN is %s" % holds.since(held)
    actions = ["%s: %s" % (action, why) for action in verb.actions]
    return {"changed": verb.changed, "actions": actions, "messages": [] if options.check else verb.messages}


class _StoppedAgain(vpn_stopped.Stopped):
    """`vpn_stop`, which repairs nothing that an interrupted run has left."""

    def lock(self):
        """The run lock, to be entered."""
        lock = super().lock()
        lock.keeps_earlier = not self.ask.check
        return lock


_ROLE = re.compile(r'^\s*(routes|apikey)\s*=\s*(\[.*\]|"[^"]*")\s*$', re.M)
_PUT = "PUT /v1/vpn/status"


def _given_keys(docker, name, project_path):
    """The keys of gluetun's control server from its own file of roles: those that the inventory gives stand nowhere
    else on the host.
    """
    found = engine_state.read_project(docker, name, project_path).of("gluetun")
    sources = [
        mount.get("Source") or ""
        for container in found[:1]
        for mount in container.raw.get("Mounts") or []
        if mount.get("Destination") == "/gluetun"
    ]
    keys = {}
    for source in sources:
        try:
            with open(os.path.join(source, "auth", "mediastack.toml"), encoding="utf-8") as handle:
                text = handle.read()
        except OSError:
            continue
        for role in text.split("[[roles]]")[1:]:
            values = dict(_ROLE.findall(role))
            if values.get("apikey"):
                keys[CONTROL_KEY if _PUT in values.get("routes", "") else READ_KEY] = values["apikey"].strip('"')
    return keys


def _own_path(project_path):
    return os.path.join(project_path, "bin", PROGRAM)


def _print(lines, stream, before=""):
    for line in lines:
        stream.write("%s%s\n" % (before, line))
    stream.flush()


def _finish(options, done, error, out, err):
    if options.json:
        _print([json.dumps(dict(done, failed=error is not None, msg=error or ""), sort_keys=True)], out)
    else:
        _print(done["messages"], out)
        _print(["%s is left as it is: %s" % pair for pair in sorted(done["left"].items())], out)
        if not error and not done["actions"]:
            _print(["nothing to repair"], out)
    if error:
        _print(["%s: %s" % (PROGRAM, error)], err)
