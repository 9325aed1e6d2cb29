# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Let something happen to a stack, bring the network back, and count what left beside the tunnel meanwhile."""

from __future__ import annotations

import contextlib
import functools
import time

import chaos_results
from chaos_events import REPAIR, SITE, Chaos
from world_plan import WorldError
from world_stack import APPS


def texts(packets):
    """Packets as text, for a readable assertion."""
    return [str(packet) for packet in packets]


class Proof:
    """A stack in a world, watched and captured, to which events happen one after the other."""

    def __init__(self, kind, world, stack, watch, capture):
        """Take what is there."""
        self.kind, self.world, self.stack, self.capture, self.watch = kind, world, stack, capture, watch
        self.chaos = Chaos(world, stack, watch)

    def settled(self, since, seconds=120):
        """Wait until every app is online through the tunnel, in gluetun's network, and really downloads."""
        world = self.world
        world.wait(lambda: self.watch.all_online(APPS, since), seconds, "every app is online", self.chaos.gluetun)
        came_back = time.time()
        assert self.stack.together(), self.stack.places()
        world.wait(self.announced, 60, "qBittorrent's web API answers")
        for what, entries in (("announces", world.announces), ("articles", world.articles)):
            world.wait(functools.partial(self.by_the_exit, entries, came_back), 90, f"new {what}")
        return came_back

    def exits(self):
        """Return the provider's exit addresses."""
        return {self.world.plan.exit(number) for number in range(10)}

    def by_the_exit(self, entries, since):
        """Return what the internet has seen come from the provider since then."""
        return [entry for entry in entries(since) if entry["source"] in self.exits()]

    def announced(self):
        """Have qBittorrent announce; whether its web API answers."""
        with contextlib.suppress(WorldError):
            self.stack.announce()
            return True
        return False

    def happen(self, event):
        """Let it happen, bring the network back, and count."""
        began = time.time()
        event.act(self.chaos)
        acted = time.time()
        if event.back == REPAIR:
            self.stack.repair()
        elif event.back == SITE:
            self.stack.play("site")
        self.settled(acted)
        ended = time.time()
        leaked = [packet for packet in self.capture.outside_the_tunnel() if began <= packet.at < ended]
        leaked += [packet for packet in self.world.direct.leaks() if began <= packet.at < ended]
        tunnel = [packet for packet in self.capture.in_the_tunnel() if began <= packet.at < ended]
        gap = self.watch.gap(APPS, began, ended)
        counts = {"leaked": len(leaked), "tunnel": len(tunnel), "gap": round(gap, 1)}
        chaos_results.add(self.kind, name=event.name, back=event.back, **counts)
        assert texts(leaked) == []
        assert len(tunnel) > 20
        exits = self.exits()
        assert self.watch.addresses(began) <= exits
        assert {entry["source"] for entry in self.world.seen(since=began)} <= exits
