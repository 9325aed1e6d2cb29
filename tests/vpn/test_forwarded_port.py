# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The port that the provider forwards leads to the real qBittorrent: somebody out there gets an answer of it.

Through a real tunnel, with a provider that gives ports by NAT-PMP. What is asked from its side is a peer's handshake
with the hash of a torrent that qBittorrent has: an open port alone may be anybody's.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
import urllib.error
import urllib.request

import pytest
from world import World
from world_plan import docker, run
from world_stack import WorldStack, bencode, stack_harness

#: What it has to give: nothing is missing, so nothing stalls.
CONTENT = bytes(65536)
INFO = {"name": "lab.bin", "piece length": 65536, "length": 65536, "pieces": hashlib.sha1(CONTENT).digest()}
INFO_HASH = hashlib.sha1(bencode(INFO)).hexdigest()
LIVE_WITHIN = 10.0
"""Seconds after the end of a converge in which a peer must get in."""

YOUNG = ("DEGRADED", "STARTING")
"""What `status` calls what may still settle: of one that was just started it may be that gluetun has yet to tell it."""

#: Its short form is tests/integration/test_forwarded_port.py, without a tunnel.
pytestmark = pytest.mark.full
APPS = {"prowlarr": False, "sonarr": False, "sabnzbd": False}


class Port:
    """A stack behind a world's provider, and the port that leads to it."""

    def __init__(self, world, stack):
        """Take both; the stack has been made."""
        self.world, self.stack = world, stack
        self.gluetun = stack.container("gluetun")

    # -- what is so ----------------------------------------------------------------------

    def preferences(self):
        """How qBittorrent listens."""
        return json.loads(self.stack.qbittorrent("app/preferences"))

    def told(self):
        """The ports that gluetun says are forwarded."""
        key = self.stack.secret("gluetun_api_key")
        answer = self.world.control(self.gluetun, "GET", "/v1/portforward", headers={"X-API-Key": key})[1]
        return answer.get("ports") or []

    def peer(self, port, seconds=2.0):
        """A peer's handshake from the provider's side; returns the client that answers, "" for none."""
        words = ["handshake", self.world.exit_address, port, INFO_HASH, seconds]
        return self.world.inside(f"{self.world.prefix}-internet", *words)

    def arrives(self, port, seconds=LIVE_WITHIN, client="-qB"):
        """Wait until a peer gets in to this client; returns how many seconds that took."""
        began = time.monotonic()
        self.world.wait(lambda: self.peer(port).startswith(client), seconds, f"a peer at {port}", self.gluetun)
        took = time.monotonic() - began
        print(f"a peer got in by {port} within {took:.1f} s")
        return took

    def in_line(self, port):
        """Assert that gluetun, qBittorrent and the provider mean the same port, and that it listens as it should."""
        seen = self.preferences()
        names = ("listen_port", "current_network_interface", "upnp", "random_port")
        assert [seen[name] for name in names] == [port, "tun0", False, False]
        assert self.told() == [port] and self.world.forwarded() == port

    # -- what is done ----------------------------------------------------------------------

    def give(self, port):
        """The provider gives another port, and gluetun has heard of it."""
        self.world.forward_port(port)
        wanted = [port] if port else []
        self.world.wait(lambda: self.told() == wanted, 20, f"gluetun has {wanted}", self.gluetun)

    def site(self, changes, *arguments):
        """Run `site`, which is to change the host or not (1, 0); returns its text on one line."""
        done = self.stack.play("site", *arguments, check=False)
        assert stack_harness.changed(done) == changes, done.stdout
        return " ".join(done.stdout.split())

    def set(self, **preferences):
        """Change settings of qBittorrent by hand."""
        self.stack.qbittorrent("app/setPreferences", "--data-urlencode", f"json={json.dumps(preferences)}")
        seen = self.preferences()
        assert {name: seen[name] for name in preferences} == preferences

    def seen_by_status(self):
        """Run `status`; returns its exit code, its text on one line, and qBittorrent's row of its JSON."""
        output = self.stack.directory / "status.json"
        done = self.stack.play("status", "-e", f"output={output}", check=False)
        rows = json.loads(output.read_text())["services"]
        return done.returncode, " ".join(done.stdout.split()), {row["name"]: row for row in rows}

    def ask(self, app, path, body, **headers):
        """POST JSON to an app's web port; returns the answer's headers and its JSON. A 409 is an answer, too."""
        url = f"http://127.0.0.1:{self.stack.ports[app]}{path}"
        request = urllib.request.Request(
            url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.headers, json.load(answer)
        except urllib.error.HTTPError as refused:
            assert refused.code == 409, refused
            return refused.headers, {}

    def add_to_transmission(self):
        """Give Transmission the torrent."""
        login = f"admin:{self.stack.secret('transmission_password')}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
        body = {"method": "torrent-add", "arguments": {"metainfo": base64.b64encode(self.torrent()).decode()}}
        session = self.ask("transmission", "/transmission/rpc", body, **headers)[0]["X-Transmission-Session-Id"]
        headers["X-Transmission-Session-Id"] = session
        assert self.ask("transmission", "/transmission/rpc", body, **headers)[1]["result"] == "success"

    def add_to_deluge(self):
        """Give Deluge the torrent, as its web UI does."""
        cookie = {}

        def call(method, *params):
            headers, answer = self.ask("deluge", "/json", {"id": 1, "method": method, "params": params}, **cookie)
            assert answer["error"] is None, answer
            return headers, answer["result"]

        headers, entered = call("auth.login", self.stack.secret("deluge_password"))
        assert entered
        cookie["Cookie"] = headers["Set-Cookie"].partition(";")[0]
        call("web.connect", call("web.get_hosts")[1][0][0])
        call("core.add_torrent_file", "lab.torrent", base64.b64encode(self.torrent()).decode(), {})

    def torrent(self):
        """The torrent's file."""
        return bencode({"announce": self.world.tracker_url, "info": INFO})

    def add_torrent(self):
        """Give qBittorrent a torrent that peers may ask for, and its content."""
        folder = json.loads(self.stack.qbittorrent("app/preferences"))["save_path"]
        copy = ["docker", "exec", "--interactive", self.stack.container("qbittorrent"), "sh", "-c"]
        run(*copy, f"mkdir -p {folder} && head -c {len(CONTENT)} /dev/zero > {folder}/lab.bin")
        path = self.stack.base / "config" / "qbittorrent" / "lab.torrent"
        path.write_bytes(self.torrent())
        assert self.stack.qbittorrent("torrents/add", "-F", "torrents=@/config/lab.torrent") == "Ok."
        path.unlink()
        self.world.wait(lambda: "stalledUP" in self.stack.qbittorrent("torrents/info"), 20, "the torrent is complete")


@pytest.fixture(scope="module")
def port(images, tmp_path_factory):
    """A stack of gluetun and qBittorrent, converged."""
    with contextlib.ExitStack() as closing:
        world = closing.enter_context(World())
        of_user = WorldStack(
            world, tmp_path_factory.mktemp("port"), mediastack_services={**stack_harness.SMALL, **APPS}
        )
        closing.callback(of_user.remove)
        of_user.play("site")
        made = Port(world, of_user)
        made.add_torrent()
        yield made


def test_after_site_a_peer_gets_in(port):
    """gluetun's port, qBittorrent's and the provider's are one; nothing answers at another."""
    number = port.told()[0]
    port.arrives(number)
    port.in_line(number)
    assert port.peer(number + 1) == ""
    code, text, rows = port.seen_by_status()
    assert (code, rows["qbittorrent"]["status"]) == (0, "HEALTHY"), text
    port.site(0)


def test_another_port_of_the_provider_is_taken_by_gluetuns_command(port):
    old = port.told()[0]
    port.give(40777)
    port.arrives(40777)
    port.in_line(40777)
    assert port.peer(old) == ""


DRIFTS = {
    "port": ({"listen_port": 6881}, "it listens on port 6881, but the VPN forwards {}: run site"),
    "interface": ({"current_network_interface": "lo"}, "it is bound to lo, not to the tunnel's tun0: run site"),
    "upnp": ({"upnp": True}, "it asks a router for a port (UPnP), but the VPN forwards one already: run site"),
    "random": ({"random_port": True}, "it listens on a random port, but the VPN forwards {}: run site"),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_what_somebody_set_by_hand_is_seen_and_mended(port, drift):
    preferences, sentence = DRIFTS[drift]
    number = port.told()[0]
    port.set(**preferences)
    code, text, rows = port.seen_by_status()
    said = sentence.format(number)
    assert code == 2 and said in text
    assert rows["qbittorrent"]["status"] in YOUNG and rows["qbittorrent"]["message"] == said
    port.site(1)
    port.arrives(number)
    port.in_line(number)
    if drift == "port":
        port.site(0)


def test_a_change_that_qbittorrent_missed_comes_with_the_next_converge(port):
    docker("stop", port.stack.container("qbittorrent"))
    port.give(40888)
    # gluetun's command goes on trying for a while. This one is of the kind that has given up.
    run("docker", "exec", port.gluetun, "pkill", "wget", check=False)
    assert "set how qbittorrent listens: it listens on" in port.site(1)
    port.arrives(40888)
    port.in_line(40888)


def test_a_restart_of_either_leaves_it_reachable(port):
    number = port.told()[0]
    docker("restart", port.stack.container("qbittorrent"))
    port.arrives(number, 30)
    docker("restart", port.gluetun)
    port.stack.play("site")
    port.arrives(number)
    port.in_line(number)


def test_a_provider_that_forwards_none(port):
    """It is said, nothing is set to 0, downloads go on, and the next port is taken."""
    port.give(0)
    code, text, rows = port.seen_by_status()
    assert code == 2 and "its provider forwards no port" in text
    assert rows["gluetun"]["status"] in YOUNG
    port.stack.play("site", check=False)
    assert port.preferences()["current_network_interface"] == "tun0"
    since = time.time()
    port.stack.announce()
    port.world.wait(lambda: port.world.announces(since), 20, "an announce through the tunnel")
    port.site(0)
    port.give(40999)
    port.arrives(40999)
    port.in_line(40999)
    port.site(0)


@pytest.mark.parametrize(("app", "client"), [("transmission", "-TR"), ("deluge", "-DE")])
def test_where_there_is_no_qbittorrent_another_client_gets_the_port(port, app, client):
    stack = port.stack
    stack.ports[app] = stack.ports["sabnzbd"]
    services = {**stack_harness.SMALL, **APPS, "qbittorrent": False, app: True}
    stack.set(mediastack_services=services, mediastack_ports={app: stack.ports[app]})
    assert f"set how {app} listens: it listens on port" in port.site(1)
    number = port.told()[0]
    getattr(port, f"add_to_{app}")()
    port.arrives(number, client=client)
    port.give(number + 1)
    code, text, _rows = port.seen_by_status()
    words = f"it listens on port {number}, but the VPN forwards {number + 1}"
    assert code == 2 and f"{words}: run site" in text
    assert f"would set how {app} listens: {words}" in port.site(1, "--check")
    port.site(1)
    port.arrives(number + 1, client=client)
    port.site(0)
