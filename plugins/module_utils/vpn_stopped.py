# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disconnect the VPN and keep the kill switch: what lives behind it keeps a network that leads nowhere."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import holds
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import version_of
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import SERVICE, VpnError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_verbs import Verb

STAYS_STOPPED = (3, 41)
"""The first release that stays stopped; those before connect again by themselves."""


class Stopped(Verb):
    """`vpn_stop`."""

    def run(self):
        """Disconnect, keeping the kill switch."""
        if self.ask.stop_apps and not self.ask.check:
            self._stop_apps()
        with self.lock():
            self._refuse_to_open()
            self.status = self.tunnel.read() if self.tunnel.runs else None
            stopped = self.status is None or self.status["status"] == "stopped"
            fresh = holds.new_names(holds.read(self.ask.project_path), [holds.VPN], holds.VPN_STOP)
            if fresh or not stopped:
                self.changed = True
            if self.ask.check:
                self._predict(stopped)
                return
            holds.record(self.ask.project_path, fresh, holds.VPN_STOP, self.ask.who, self.ask.why)
            try:
                if not stopped:
                    self._disconnect()
            except BaseException:
                # It is not stopped, so nothing is held.
                holds.clear(self.ask.project_path, fresh)
                raise
        self._tell_stopped()

    def _refuse_to_open(self):
        """VpnError where a stopped VPN would let something out."""
        self.tunnel.look()
        if self.tunnel.container is None:
            raise VpnError("there is no VPN to stop: gluetun has no container. Nothing was touched; run site")
        if not self.tunnel.kill_switch:
            raise VpnError(
                "gluetun's kill switch is off (mediastack_overrides): without the VPN everything behind it would go "
                "out by your own address. Nothing was touched; remove that override and run site"
            )
        lost = sorted(name for name, (action, _why) in self.tunnel.outside().items() if action is None)
        if lost:
            raise VpnError(
                "%s runs outside of the VPN, with a network of its own: stopping the VPN would not keep it in. Nothing "
                "was touched; run site, which moves it" % ", ".join(lost)
            )

    def _predict(self, stopped):
        if self.ask.stop_apps:
            running = self.tunnel.running()
            self.actions += ["stop %s" % name for name in running]
            self.changed = self.changed or bool(running)
        if not stopped:
            self.actions.append("disconnect the VPN")

    def _stop_apps(self):
        """Stop what lives behind the VPN, before its network goes."""
        self._refuse_to_open()
        names = self.tunnel.running()
        if names:
            self.ask.progress.say("stopping %s" % ", ".join(names))
            self.stack("stopped", names)
            self.tunnel.look()

    def _disconnect(self):
        self.ask.progress.say("disconnecting the VPN")
        outcome = self.put("stopped")
        self.actions.append("disconnect the VPN")
        self.status = self.tunnel.read()
        if self.status["status"] != "stopped" or self.status["public_ip"]:
            raise VpnError(
                "gluetun said %s, but is %s now: somebody, or gluetun itself, connects it again. stop -e service=%s "
                "stops its container, and nothing behind it gets out either" % (outcome, self.status["status"], SERVICE)
            )
        if version_of(self.status["version"] or "") < STAYS_STOPPED:
            self.messages.append(
                "gluetun %s connects again by itself after some seconds; from v3.41 on it stays stopped"
                % self.status["version"]
            )

    def _tell_stopped(self):
        self.tunnel.look()
        running, behind = self.tunnel.running(), self.tunnel.behind()
        words = "VPN stopped; the kill switch stays: nothing behind it gets out."
        if not self.tunnel.runs:
            words = "VPN stopped: gluetun's container is %s, and nothing behind it has a network." % (
                self.tunnel.container.status
            )
        if running:
            words += " Still running, without a connection: %s (-e stop_apps=true stops them)." % ", ".join(running)
        elif behind:
            words += " Stopped as well: %s." % ", ".join(behind)
        self.messages.append(words + " vpn_start connects again.")
