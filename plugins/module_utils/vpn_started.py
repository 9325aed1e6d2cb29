# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connect the VPN, and see to it that everything that should live behind it has the tunnel."""

from __future__ import annotations

import time

from ansible_collections.homelab.mediastack.plugins.module_utils import holds
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import PASSING, GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import RUN_SITE, SERVICE, VpnError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_verbs import POLL, Verb

LOG_EVERY = 2.0
"""Seconds between two looks into the log while waiting."""

ROUNDS = 3
"""How often what lives behind the VPN is put right: gluetun may restart meanwhile."""


class Started(Verb):
    """`vpn_start`."""

    def run(self):
        """Connect, and see to it that everything behind the VPN has the tunnel."""
        with self.lock():
            self.tunnel.look()
            if self.tunnel.container is None:
                raise VpnError("gluetun has no container: %s" % RUN_SITE)
            self._let_go()
            if self.ask.check:
                self._predict()
                return
        begun = time.time()
        if not self.tunnel.runs:
            self._start_container()
        self.connect(begun)
        self._bring_members()
        self.status = self.tunnel.read()
        if not self.tunnel.connected(self.status):
            raise VpnError("VPN connected, and lost again at once: %s" % self.tunnel.why_not(self.status))

    def _let_go(self):
        """Of the VPN, and of gluetun itself where `stop` stopped it."""
        held = holds.read(self.ask.project_path)
        names = [name for name in (holds.VPN, SERVICE) if name in held and held[name]["verb"] != holds.START]
        self.actions += ["let go of %s, %s" % (name, holds.since(held[name])) for name in names]
        self.changed = bool(names)
        if not self.ask.check:
            holds.clear(self.ask.project_path, names)

    def _predict(self):
        self.status = self.tunnel.read() if self.tunnel.runs else None
        connected = bool(self.status and self.tunnel.connected(self.status))
        if not connected:
            self.actions.append("connect the VPN")
        self.actions += ["bring %s behind the VPN: %s" % pair for pair in sorted(self._due().items())]
        self.changed = bool(self.actions)

    def _start_container(self):
        self.ask.progress.say("starting gluetun")
        try:
            self.stack("restarted", [SERVICE])
        except VpnError as error:
            reason = self.tunnel.look().reason()
            raise VpnError("gluetun does not start: %s" % (reason.text if reason else error)) from error
        self.tunnel.look()

    def connect(self, begun):
        """Ask for it, then wait until it is so; VpnError with gluetun's own reason when it is not."""
        self.ask.progress.say("connecting the VPN")
        if self.put("running", begun) == "running":
            self.actions.append("connect the VPN")
            self.changed = True
        looked = time.monotonic()
        while True:
            failure = None
            try:
                self.status = self.tunnel.look().read()
                if self.tunnel.connected(self.status):
                    return
            except GluetunError as error:
                if error.kind not in PASSING:
                    raise
                failure = error
            if self.left() <= 0:
                raise VpnError(
                    "VPN not connected after %g s: %s" % (self.ask.wait_timeout, failure or self._why_since(begun))
                )
            if time.monotonic() - looked >= LOG_EVERY:
                looked = time.monotonic()
                self.give_up_early(begun)
            self.ask.progress.say("waiting for the VPN's public IP")
            time.sleep(POLL)

    def _why_since(self, begun):
        reason = self.tunnel.reason(begun)
        if reason and self.tunnel.runs:
            return "gluetun is %s, but has no public IP; %s" % (self.status["status"], reason.text)
        return self.tunnel.why_not(self.status)

    def _bring_members(self):
        """Start, restart or recreate what should be behind the VPN and is not."""
        for _round in range(ROUNDS):
            self.tunnel.look()
            due = self._due()
            if not due:
                return
            self.ask.progress.say("bringing %s behind the VPN" % ", ".join(sorted(due)))
            self.stack("restarted", sorted(due))
        words = "; ".join("%s: %s" % pair for pair in sorted(due.items()))
        raise VpnError("VPN connected, but not everything stays behind it: %s" % words)

    def _due(self):
        """service → why something is to be done about it. VpnError for what only `site` can do."""
        outside = self.tunnel.outside()
        alone = sorted(name for name, (action, _why) in outside.items() if action is None)
        missing = sorted(name for name in self.ask.members if not self.tunnel.project.of(name))
        held = holds.read(self.ask.project_path)
        stopped = [name for name in held if held[name]["verb"] == holds.STOP]
        for names, what in ((alone, "outside of it, with a network of its own"), (missing, "without a container")):
            names = [name for name in names if name not in stopped]
            if names:
                raise VpnError("VPN connected, but %s: %s. Run site" % (what, ", ".join(names)))
        due = {name: why for name, (_action, why) in outside.items()}
        running = self.tunnel.running()
        for name in self.tunnel.behind():
            if name in running:
                continue
            if name not in stopped:
                due[name] = "it is not running"
            elif not self.ask.check:
                self._say_once("%s stays stopped: %s" % (name, holds.since(held[name])))
        return due

    def _say_once(self, message):
        if message not in self.messages:
            self.messages.append(message)
