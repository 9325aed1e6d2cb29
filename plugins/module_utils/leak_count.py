# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counting past the tunnel while a leak test runs: what to listen to, for how long, and what it means for each app."""

from __future__ import annotations

import time

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    leak_around,
    leak_capture,
    leak_judge,
    leak_probe,
    leak_routes,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_capture import CaptureError

POLL = 0.5


class Count:
    """One count, from `begin` to `judge`; `close` in any case."""

    def __init__(self, docker, tunnel, seconds):
        """`tunnel`: a Tunnel that has looked; `seconds`: how long to count at least."""
        self._docker, self._tunnel, self._seconds = docker, tunnel, seconds
        self._counter = self._uplink = self._began = None
        self._wires, self._networks, self._ends = [], [], set()
        #: Why nothing is counted; None when it is.
        self.trouble = None

    def begin(self, apps):
        """Start listening to the networks of gluetun and of `apps` (leak_run.Apps) that have one of their own."""
        self._began = time.monotonic()
        try:
            own = [app.container for app in apps if app.container and app.container.networks]
            self._listen([container for container in own if container.network_mode != "host"])
        except CaptureError as error:
            self.trouble = str(error)

    def _listen(self, holders):
        gluetun = self._tunnel.container
        if gluetun:
            holders = [gluetun, *holders]
            self._ends = set(leak_around.endpoints(self._docker, gluetun, self._tunnel.environment))
        if gluetun and not self._ends:
            raise CaptureError("which VPN server gluetun talks to is not known, so its packets cannot be told apart")
        names, self._networks = leak_around.bridges(self._docker, holders)
        uplink = leak_routes.interface_to(leak_probe.ROUTE_TARGETS[0])
        self._wires, self._uplink = leak_around.wires(names, uplink, sorted(self._ends), holders)
        self._counter = leak_capture.Counter([*self._wires, *([self._uplink] if self._uplink else [])])

    def wait(self, say):
        """Until its time is over. `say`: function that is told what is going on."""
        while self._counter and self._left() > 0:
            say("counting packets past the tunnel")
            time.sleep(min(POLL, max(0.0, self._left())))
        self.close()
        self._took = time.monotonic() - self._began
        if self._tunnel.container:
            # The VPN may have moved to another server meanwhile.
            self._ends |= set(leak_around.endpoints(self._docker, self._tunnel.container, self._tunnel.environment))

    def _left(self):
        return self._began + self._seconds - time.monotonic()

    def close(self):
        """Stop listening."""
        if self._counter:
            self._counter.close()

    def judge(self, app, subnets, own_ports):
        """The Verdict of an app. `subnets`: networks at home; `own_ports`: from which the test asked resolvers."""
        holder = self._tunnel.container
        if app.container is not None and app.container.networks:
            holder = app.container
        on_host = holder is not None and holder.network_mode == "host"
        if self.trouble or app.container is None or holder is None or on_host:
            words = "it has no container, or gluetun has none"
            words = "its packets cannot be told from the host's own" if on_host else self.trouble or words
            return leak_judge.Verdict(leak_judge.CAPTURE, leak_judge.INCONCLUSIVE, words)
        allowed = leak_capture.Allowed(
            endpoints=tuple(self._ends),
            networks=tuple(self._networks),
            subnets=tuple(subnets),
            published=leak_around.published(holder),
            own_ports=tuple(own_ports),
        )
        found = [*leak_around.addresses(holder), *leak_around.hardware(holder)]
        return leak_capture.verdict(found, self._wires, self._uplink, allowed, self._took)
