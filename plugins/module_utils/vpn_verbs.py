# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the verbs of the VPN have in common, and the one that only looks."""

from __future__ import annotations

import contextlib
import time
from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_client, stack
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import PASSING, GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT, Progress
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import RunLock
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import RUN_SITE, SERVICE, Tunnel, VpnError

POLL = 0.5
"""Seconds between two looks while waiting."""


class Ask(NamedTuple):
    """The parameters of the module; see its documentation."""

    state: str
    project_name: str
    project_path: str
    members: Sequence[str] = ()
    keys: Mapping[str, str] = {}
    stop_apps: bool = False
    who: str = ""
    why: str = ""
    wait_timeout: float = 300
    timeout: float = 10
    lock_timeout: float = 60
    check: bool = False
    progress: Progress = SILENT


_RETURNED = ("status", "public_ip", "country", "region", "city", "forwarded_ports", "vpn_type", "version")


class Verb:
    """One run of one verb."""

    def __init__(self, ask, docker):
        """`ask`: an Ask; `docker`: a Docker."""
        self.ask = ask
        self.docker = docker
        self.tunnel = Tunnel(docker, ask.project_name, ask.project_path, ask.members, ask.keys, ask.timeout)
        self.status = None
        self.changed = False
        self.actions = []
        self.messages = []
        self.deadline = time.monotonic() + ask.wait_timeout

    def run(self):
        """Do it. Raises VpnError, GluetunError, DockerError, LockError, FileError."""
        raise NotImplementedError

    def result(self):
        """The result of the module, as far as the run came."""
        connected = bool(self.status and self.tunnel.connected(self.status))
        found = {name: (self.status or {}).get(name) for name in _RETURNED}
        if not connected:
            # It may be the address that the host itself had when the tunnel went away.
            found["public_ip"] = ""
        if self.tunnel.project is not None:
            found["behind"] = self.tunnel.behind()
            found["running"] = self.tunnel.running()
        return dict(
            found,
            changed=self.changed,
            connected=connected,
            provider=self.tunnel.environment.get("VPN_SERVICE_PROVIDER") or None,
            actions=self.actions,
            messages=self.messages,
        )

    def lock(self):
        """The run lock, to be entered. VpnError where there is no stack."""
        lock = RunLock(
            self.ask.project_path,
            "vpn state=%s" % self.ask.state,
            self.ask.lock_timeout,
            shared=self.ask.check,
            sleep=self._wait_for_other,
        )
        if not lock.possible:
            raise VpnError("there is no stack at %s: %s" % (self.ask.project_path, RUN_SITE))
        return lock

    def _wait_for_other(self, seconds):
        self.ask.progress.say("waiting for another run on this host to end")
        time.sleep(seconds)

    def left(self):
        """Seconds until `wait_timeout` is over; may be negative."""
        return self.deadline - time.monotonic()

    def put(self, wanted, begun=None):
        """Ask for `wanted` until gluetun says that it is so; the text that it said. VpnError when time is up."""
        while True:
            outcome = None
            try:
                outcome = self.tunnel.put(wanted, max(1.0, self.left()))
                if gluetun_client.reached(outcome, wanted):
                    self.changed = self.changed or outcome == wanted
                    return outcome
            except GluetunError as error:
                if error.kind not in PASSING or self.left() <= 0:
                    raise
            if begun is not None:
                with contextlib.suppress(GluetunError):
                    self.give_up_early(begun)
            if self.left() <= 0:
                raise VpnError(self._not_reached(outcome, wanted))
            self.ask.progress.say("waiting for gluetun", outcome or "it does not answer")
            time.sleep(POLL)

    def give_up_early(self, begun):
        """VpnError when the log says what waiting does not cure."""
        reason = self.tunnel.reason(begun)
        if reason and reason.final:
            raise VpnError("VPN not connected: %s" % reason.text)

    def _not_reached(self, outcome, wanted):
        reason = self.tunnel.reason()
        said = 'says "%s"' % outcome if outcome else "does not answer"
        words = "gluetun was asked for %s and %s after %g s" % (wanted, said, self.ask.wait_timeout)
        if reason:
            words += "; " + reason.text
        if wanted == "stopped":
            words += ". stop -e service=%s stops its container, and nothing behind it gets out either" % SERVICE
        return words

    def stack(self, state, services):
        """Stop or restart services as `stop` and `restart` do, without their holds."""
        request = Request(
            state=state,
            project_path=self.ask.project_path,
            project_name=self.ask.project_name,
            services=services,
            remove_orphans=False,
            wait_timeout=int(max(1, self.left())),
            lock_timeout=int(self.ask.lock_timeout),
            progress=self.ask.progress,
        )
        result, error = stack.run(request)
        self.actions += result["actions"]
        self.changed = self.changed or result["changed"]
        if error:
            raise VpnError(error)


class Status(Verb):
    """Is the VPN connected, and does it hold what it should?"""

    def run(self):
        """VpnError unless the VPN is connected and what runs behind it is behind it."""
        self.tunnel.look()
        if not self.tunnel.runs:
            raise VpnError("VPN not connected: %s" % self.tunnel.why_not())
        self.status = self.tunnel.read()
        if not self.tunnel.connected(self.status):
            raise VpnError("VPN not connected: %s" % self.tunnel.why_not(self.status))
        self._insist_on_members()

    def _insist_on_members(self):
        outside = self.tunnel.outside()
        lost = sorted(name for name, (action, _why) in outside.items() if action is None)
        if lost:
            raise VpnError(
                "VPN connected, but %s %s outside of it, with a network of its own: run site"
                % (", ".join(lost), "is" if len(lost) == 1 else "are")
            )
        if outside:
            words = "; ".join("%s: %s" % (name, why) for name, (_action, why) in sorted(outside.items()))
            raise VpnError("VPN connected, but not everything has it (%s): run vpn_start, which puts it right" % words)
