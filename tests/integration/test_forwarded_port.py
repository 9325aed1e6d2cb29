# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun's forwarded port is the one that the real qBittorrent listens on, or `status` says so and `site` mends it.

gluetun is the lab's stand-in, which forwards port 5914 and has no tunnel: the test makes an interface of that name.
"""

import json
import os

import pytest
import stack_harness
from stack_harness import changed, docker

PROJECT = f"msport-{os.getpid()}"
PREFIX = f"{PROJECT}-"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    first = stack_harness.free_ports()
    made = stack_harness.Stack(
        tmp_path_factory.mktemp("port"),
        PROJECT,
        first,
        mediastack_container_prefix=PREFIX,
        mediastack_services={**stack_harness.SMALL, "prowlarr": False, "sonarr": False, "sabnzbd": False},
        mediastack_vpn_provider="protonvpn",
        mediastack_vpn_port_forwarding=True,
        mediastack_vpn_wireguard_addresses=["10.2.0.2/32"],
    )
    made.web = first + 1
    try:
        made.play("site")
        for words in (
            "link add tun0 type veth peer name tun1",
            "address add 10.2.0.2/32 dev tun0",
            "link set tun0 up",
            "link set tun1 up",
        ):
            docker("exec", f"{PREFIX}gluetun", "ip", *words.split())
        yield made
    finally:
        made.remove()


def api(stack, call, *options):
    """Ask qBittorrent from its own namespace, where it wants no password, as gluetun does."""
    url = f"http://127.0.0.1:{stack.web}/api/v2/app/{call}"
    return docker("exec", f"{PREFIX}gluetun", "wget", "-q", "-O", "-", *options, url)


def listening(stack):
    """Its port, and the interface that it is bound to."""
    preferences = json.loads(api(stack, "preferences"))
    return preferences["listen_port"], preferences["current_network_interface"]


@pytest.mark.long
def test_a_port_that_drifted_is_seen_and_set_again(stack):
    assert listening(stack) == (5914, "tun0")
    stack.play("status")
    drifted = {"listen_port": 6881, "current_network_interface": ""}
    api(stack, "setPreferences", "--post-data", f"json={json.dumps(drifted)}")
    seen = stack.play("status", check=False)
    assert seen.returncode == 2
    # A container that has only just started may still be told by gluetun.
    assert "it listens on port 6881, but the VPN forwards 5914: run site" in " ".join(seen.stdout.split())
    forecast = stack.play("site", "--check", "--diff")
    assert changed(forecast) == 1
    assert "-listen_port: 6881" in forecast.stdout and "+listen_port: 5914" in forecast.stdout
    assert listening(stack) == (6881, "")
    assert "would set how qbittorrent listens: it listens on port 6881, but the VPN forwards 5914" in forecast.stdout
    mended = stack.play("site")
    assert changed(mended) == 1
    assert "box: set how qbittorrent listens: it listens on port 6881, but the VPN forwards 5914" in mended.stdout
    assert listening(stack) == (5914, "tun0")
    assert changed(stack.play("site")) == 0
    stack.play("status")
