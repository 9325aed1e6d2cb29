# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forwarded port: what qBittorrent is told, what status says, and both kinds of its login."""

import contextlib
import json
import types
import urllib.parse

import pytest
from app_world import KEY, World, core

from ansible_collections.homelab.mediastack.plugins.module_utils import forwarded_port, forwarded_port_set
from ansible_collections.homelab.mediastack.plugins.plugin_utils import app_access

GLUETUN = {"kind": "gluetun", "api": "/v1", "key": "gluetun_api_key"}
QBITTORRENT = {"kind": "qbittorrent", "api": "/api/v2", "username": "admin", "password": "qbittorrent_password"}
FINE = {"listen_port": 5914, "random_port": False, "upnp": False, "current_network_interface": "tun0"}


@pytest.mark.parametrize(
    ("ports", "changed", "expected"),
    [
        ([5914], {}, {}),
        ([5914], {"listen_port": 6881}, {"listen_port": 5914}),
        ([7000, 5914], {}, {}),
        ([7000, 8000], {}, {"listen_port": 7000}),
        ([5914], {"upnp": True, "random_port": True}, {"upnp": False, "random_port": False}),
        ([5914], {"current_network_interface": "lo"}, {"current_network_interface": "tun0"}),
        ([], {"listen_port": 0, "current_network_interface": "lo"}, {}),
        ([0], {"listen_port": 6881}, {}),
        (None, {"listen_port": 6881}, {}),
    ],
)
def test_difference(ports, changed, expected):
    assert forwarded_port.difference(ports, {**FINE, **changed}, "tun0") == expected


def test_what_a_version_does_not_have_is_not_asked_for():
    known = {name: value for name, value in FINE.items() if name != "random_port"}
    assert forwarded_port.difference([5914], known, "tun0") == {}


class Client:
    """qBittorrent's API, as 5.1 (`Ok.` and SID) or since 5.2 (204 and QBT_SID_<port>) answers a login."""

    def __init__(self, era, **preferences):
        self.era = era
        self.preferences = {**FINE, **preferences}
        self.deaf = False

    def __call__(self, request):
        """One request."""
        path = request.path.removeprefix("/api/v2")
        if path == "/auth/login":
            form = urllib.parse.parse_qs(request.body.decode())
            if form["password"] != ["s3cret"]:
                return core.Response(200 if self.era == "5.1" else 401, "Fails.", core.TEXT)
            name = "SID" if self.era == "5.1" else "QBT_SID_8080"
            code, body = (200, "Ok.") if self.era == "5.1" else (204, "")
            return core.Response(code, body, core.TEXT, [("Set-Cookie", f"{name}=abc; HttpOnly; path=/")])
        if request.headers.get("Cookie") != ("SID=abc" if self.era == "5.1" else "QBT_SID_8080=abc"):
            return core.Response(403, "Forbidden", core.TEXT)
        if path == "/app/setPreferences":
            if not self.deaf:
                self.preferences.update(json.loads(urllib.parse.parse_qs(request.body.decode())["json"][0]))
            return core.Response(200, "", core.TEXT)
        answers = {
            "/app/preferences": self.preferences,
            "/transfer/info": {"connection_status": "connected", "dl_info_speed": 0},
            "/torrents/info": [],
            "/auth/logout": {},
        }
        return core.Response(200, json.dumps(answers[path.partition("?")[0]]), "application/json")


class Gluetun:
    """gluetun's control server, connected."""

    ports = {"port": 5914}

    def __call__(self, request):
        """One request."""
        if request.headers.get("X-API-Key") != KEY:
            return core.Response(401, "Unauthorized", core.TEXT)
        answers = {
            "/v1/vpn/status": {"status": "running"},
            "/v1/publicip/ip": {"public_ip": "198.51.100.7"},
            "/v1/portforward": self.ports,
        }
        if request.path not in answers:
            return core.Response(404, "", core.TEXT)
        return core.Response(200, json.dumps(answers[request.path]), core.TEXT)


@pytest.fixture
def world(tmp_path):
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.fixture(params=["5.1", "5.2"])
def pair(world, request):
    """The world, gluetun, and a qBittorrent of either login in its network."""
    gluetun, client = Gluetun(), Client(request.param, listen_port=6881)
    world.listen("gluetun", gluetun, **GLUETUN)
    world.listen("qbittorrent", client, **QBITTORRENT)
    world.secrets.update(gluetun_api_key={"value": KEY}, qbittorrent_password={"value": "s3cret"})
    holder, own = (one.container for one in world.examined)
    holder.raw["Config"]["Env"] = ["VPN_PORT_FORWARDING=on"]
    # As the engine has it: the ports of both are the holder's.
    port = own.raw["NetworkSettings"]["Ports"]["80/tcp"]
    holder.raw["NetworkSettings"]["Ports"]["8080/tcp"] = port
    world.services[1]["app"]["port"] = 8080
    world.services[1]["ports"] = [{"name": "web", "target": 8080}]
    world.examined[1] = world.examined[1]._replace(holder=holder)
    return world, gluetun, client


def align(world, monkeypatch, check=False):
    """One `bring_in_line`."""
    containers = {one["name"]: seen.container for one, seen in zip(world.services, world.examined, strict=True)}
    snapshot = types.SimpleNamespace(
        container=lambda service: containers[service["name"]],
        parent=lambda container: containers["gluetun"] if container.name == "qbittorrent" else None,
    )
    monkeypatch.setattr(forwarded_port_set.health_sweep, "read_snapshot", lambda *_arguments: snapshot)
    monkeypatch.setattr(forwarded_port_set, "Docker", object)
    path = str(world.directory / "project")
    return forwarded_port_set.bring_in_line(world.services, world.secrets, "stack", path, 5, check)


def test_another_port_is_set_and_read_back(pair, monkeypatch):
    world, _gluetun, client = pair
    predicted = align(world, monkeypatch, check=True)
    assert client.preferences["listen_port"] == 6881
    done = align(world, monkeypatch)
    assert done == predicted
    assert done.actions == ["set how qbittorrent listens: it listens on port 6881, but the VPN forwards 5914"]
    assert done.diff[0]["before"] == "listen_port: 6881\n" and done.diff[0]["after"] == "listen_port: 5914\n"
    assert client.preferences == FINE
    assert align(world, monkeypatch) == forwarded_port_set.Outcome([], [], [])


def test_a_setting_that_is_not_taken_is_said(pair, monkeypatch):
    world, _gluetun, client = pair
    client.deaf = True
    assert "does not take listen_port" in align(world, monkeypatch).messages[0]


@pytest.mark.parametrize("ports", [{"port": 0}, {"port": None}, {"ports": []}])
def test_no_port_yet_changes_nothing(pair, monkeypatch, ports):
    world, gluetun, client = pair
    gluetun.ports = ports
    assert align(world, monkeypatch) == forwarded_port_set.Outcome([], [], [])
    assert client.preferences["listen_port"] == 6881


def test_a_refused_key_or_password_is_said_and_nothing_set(pair, monkeypatch):
    world, _gluetun, client = pair
    world.secrets["qbittorrent_password"]["value"] = "another"
    assert "refused the stack's password" in align(world, monkeypatch).messages[0]
    world.secrets["gluetun_api_key"]["value"] = "another"
    assert "does not tell its forwarded ports to the stack's key" in align(world, monkeypatch).messages[0]
    assert client.preferences["listen_port"] == 6881


def test_without_forwarding_nobody_is_asked(pair, monkeypatch):
    world, _gluetun, _client = pair
    world.examined[0].container.raw["Config"]["Env"] = ["VPN_PORT_FORWARDING=off"]
    align(world, monkeypatch)
    assert world.log == []


def test_status_says_that_nobody_gets_in(pair):
    world, gluetun, client = pair
    rows, _apps = world.look()
    words = "it listens on port 6881, but the VPN forwards 5914: run site"
    assert rows == {"gluetun": ("HEALTHY", ""), "qbittorrent": ("DEGRADED", words)}
    assert world.look(young=True)[0]["qbittorrent"][0] == "STARTING"
    client.preferences.update(FINE)
    assert world.look()[0]["qbittorrent"] == ("HEALTHY", "")
    gluetun.ports = {"port": 0}
    assert world.look()[0]["gluetun"] == ("DEGRADED", "its provider forwards no port; docker logs gluetun")


def test_only_gluetun_and_its_clients_are_handed_over():
    def service(kind):
        return {"wiring": {"kind": kind}, "login": {}}

    bundle = {"services": {name: service(name) for name in ("gluetun", "qbittorrent", "sonarr")}, "secrets": {}}
    entries = [{"name": name} for name in bundle["services"]]
    assert [one["name"] for one in app_access.forwarding_services(entries, bundle)] == ["gluetun", "qbittorrent"]
    del bundle["services"]["qbittorrent"]
    assert app_access.forwarding_services([entries[0]], bundle) == []
