# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever happens to gluetun, its apps or the provider: no packet of an app leaves beside the tunnel.

The stack is made by `site`. qBittorrent announces to a tracker and SABnzbd downloads from a news server meanwhile, and
a thread in each network tries to get out in every way. gluetun is the lab's stand-in, with gluetun's rules and a real
tunnel.
"""

from __future__ import annotations

import contextlib
import time

import chaos_events
import chaos_results
import pytest
import stack_harness
from chaos_proof import Proof
from world import World
from world_plan import docker
from world_stack import APPS, WorldStack
from world_watch import Watch


@pytest.fixture(scope="module")
def made(images, tmp_path_factory):
    """Makes Proofs, one of a kind; all of them are gone at the end."""
    with contextlib.ExitStack() as stack:
        known = {}

        def make(kind):
            if kind not in known:
                world = stack.enter_context(World())
                of_user = WorldStack(world, tmp_path_factory.mktemp(kind), kind)
                stack.callback(of_user.remove)
                of_user.play("site")
                capture = stack.enter_context(world.capture(of_user.network))
                watch = stack.enter_context(Watch(world, of_user))
                of_user.download()
                known[kind] = Proof(kind, world, of_user, watch, capture)
                known[kind].settled(time.time())
            return known[kind]

        chaos_results.forget()
        yield make


CASES = [("wireguard", event) for event in chaos_events.WIREGUARD]
CASES += [("openvpn", event) for event in chaos_events.OPENVPN]
MARKS = {True: (), False: (pytest.mark.full,)}


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        pytest.param(
            kind,
            event,
            id=f"{kind}-{event.act.__name__}",
            marks=MARKS[kind == "wireguard" and event.act in chaos_events.SHORT],
        )
        for kind, event in CASES
    ],
)
def test_nothing_leaves_beside_the_tunnel(made, kind, event):
    made(kind).happen(event)


# -- the detectors ----------------------------------------------------------------------------------------------------


def outside(proof):
    """Replace qBittorrent by one with a network of its own, as a copied Compose file would."""
    container = proof.stack.containers()["qbittorrent"]
    name, labels = proof.stack.container("qbittorrent"), container["Config"]["Labels"]
    kept = [f"{key}={value}" for key, value in labels.items() if key.startswith("com.docker.compose.")]
    options = [word for label in kept for word in ("--label", label)]
    options += [word for text in container["Config"]["Env"] for word in ("--env", text)]
    options += [word for text in container["HostConfig"]["Binds"] or () for word in ("--volume", text)]
    for mount in container["Mounts"]:
        options += ["--volume", f"{mount['Source']}:{mount['Destination']}"]
    docker("rm", "--force", name)
    network = ["--network", proof.stack.network, "--dns", proof.world.resolver]
    docker("run", "--detach", "--name", name, *network, *options, container["Config"]["Image"])


def no_kill_switch(proof):
    """Stop the VPN and take gluetun's firewall away; a start brings the rules back: take them away again."""
    proof.chaos.control("/v1/vpn/status", "stopped")
    proof.chaos.in_gluetun("nft", "flush", "ruleset")
    proof.chaos.tried()
    began = time.time()
    proof.chaos.control("/v1/vpn/status", "running")
    proof.world.wait(lambda: proof.watch.all_online(APPS, began), 60, "every app is online", proof.chaos.gluetun)
    told = ("GET", "/v1/portforward", None, {"X-API-Key": proof.stack.secret("gluetun_api_key")})
    # Opening the forwarded port sets the rules anew, too.
    proof.world.wait(lambda: proof.world.control(proof.chaos.gluetun, *told)[1]["port"], 60, "the port is open")
    proof.chaos.in_gluetun("nft", "flush", "ruleset")


@pytest.mark.parametrize(
    ("hole", "name"),
    [
        pytest.param(outside, "an app with a network of its own", id="outside"),
        pytest.param(no_kill_switch, "no firewall in gluetun", id="no_kill_switch", marks=pytest.mark.full),
    ],
)
def test_a_hole_made_on_purpose_is_caught_by_the_capture_and_by_leak_test(made, hole, name):
    proof = made("wireguard")
    began = time.time()
    hole(proof)
    on_the_bridge = proof.world.wait(
        lambda: [packet for packet in proof.capture.outside_the_tunnel() if packet.at >= began],
        60,
        "a leak is captured",
    )
    direct = proof.world.wait(
        lambda: [packet for packet in proof.world.direct.leaks() if packet.at >= began],
        60,
        "a leak is captured outside",
    )
    tested = proof.stack.play("leak_test", "-e", "kill_switch=true", check=False)
    assert tested.returncode != 0
    assert "LEAK: box/" in tested.stdout, tested.stdout[-4000:]
    assert " failed " in tested.stdout
    counts = {"leaked": len(on_the_bridge) + len(direct), "tunnel": 0, "gap": 0}
    chaos_results.add("leaky", name=name, back="leak_test: failed", **counts)
    mended = time.time()
    proof.stack.play("site")
    proof.stack.play("restart", "-e", "service=gluetun")
    proof.settled(mended)
    passed = proof.stack.play("leak_test", "-e", "kill_switch=true")
    assert "LEAK" not in passed.stdout


# -- afterwards -------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_it_is_as_it_was(made):
    """After all of it one more `site` changes nothing, and status is content."""
    proof = made("wireguard")
    proof.stack.qbittorrent("torrents/delete", "--data", "hashes=all&deleteFiles=true")  # nobody has it: it is stalled
    proof.stack.play("site")
    assert stack_harness.changed(proof.stack.play("site")) == 0
    proof.stack.play("status")
