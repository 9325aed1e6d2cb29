# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forwarded port: what a torrent client is told, what status says, and both kinds of qBittorrent's login."""

import base64
import contextlib
import json
import pathlib
import sys
import types
import urllib.parse

import pytest
from app_world import KEY, World, core

from ansible_collections.homelab.mediastack.plugins.module_utils import forwarded_port, forwarded_port_set
from ansible_collections.homelab.mediastack.plugins.plugin_utils import app_access

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from sim import gluetun_control, gluetun_rules  # noqa: E402

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
        ([7000, 5914], {"listen_port": 0}, {"listen_port": 7000}),
        # gluetun's own command has bound it to lo: without a port it may still download.
        ([], {"listen_port": 0, "current_network_interface": "lo"}, {"current_network_interface": "tun0"}),
        ([0], {"current_network_interface": ""}, {}),
        ([0], {"listen_port": 6881}, {}),
        (None, {"listen_port": 6881}, {}),
    ],
)
def test_difference(ports, changed, expected):
    assert forwarded_port.difference("qbittorrent", ports, {**FINE, **changed}, "tun0") == expected


TRANSMISSION = {"peer-port": 5914, "peer-port-random-on-start": False, "port-forwarding-enabled": False}
DELUGE = {"listen_ports": [5914, 5914], "random_port": False, "upnp": False, "natpmp": False}


@pytest.mark.parametrize(
    ("kind", "fine", "changed", "expected", "said"),
    [
        ("transmission", TRANSMISSION, {"peer-port": 51413}, {"peer-port": 5914}, "it listens on port 51413, but the"),
        (
            "transmission",
            TRANSMISSION,
            {"peer-port-random-on-start": True},
            {"peer-port-random-on-start": False},
            "it takes a random port at every start",
        ),
        ("transmission", TRANSMISSION, {"port-forwarding-enabled": True}, {"port-forwarding-enabled": False}, "(UPnP)"),
        ("deluge", DELUGE, {"listen_ports": [6881, 6891]}, {"listen_ports": [5914, 5914]}, "on port 6881-6891, but"),
        ("deluge", DELUGE, {"listen_ports": [5914, 6000]}, {"listen_ports": [5914, 5914]}, "on port 5914-6000, but"),
        ("deluge", DELUGE, {"listen_ports": []}, {"listen_ports": [5914, 5914]}, "but the VPN forwards 5914, 7000"),
        ("deluge", DELUGE, {"random_port": True}, {"random_port": False}, "it takes a random port"),
        ("deluge", DELUGE, {"natpmp": True, "upnp": True}, {"natpmp": False, "upnp": False}, "(UPnP)"),
    ],
)
def test_difference_of_the_others(kind, fine, changed, expected, said):
    seen, ports = {**fine, **changed}, [5914, 7000]
    change = forwarded_port.difference(kind, ports, seen, "tun0")
    assert change == expected
    assert said in forwarded_port.sentence(kind, ports, seen, change)
    assert forwarded_port.difference(kind, ports, {**seen, **change}, "tun0") == {}
    assert forwarded_port.difference(kind, [], seen, "tun0") == {}


@pytest.mark.parametrize(
    ("clients", "name"),
    [
        ([("sabnzbd", "sabnzbd")], None),
        ([("deluge", "deluge"), ("transmission", "transmission")], "transmission"),
        ([("transmission", "transmission"), ("qbittorrent", "zweiter"), ("qbittorrent", "qbittorrent")], "qbittorrent"),
        ([("qbittorrent", "b"), ("qbittorrent", "a")], "a"),
    ],
)
def test_one_of_several_gets_the_port(clients, name):
    assert forwarded_port.chosen(clients) == name
    assert forwarded_port.chosen(reversed(clients)) == name


def test_what_a_version_does_not_have_is_not_asked_for():
    known = {name: value for name, value in FINE.items() if name != "random_port"}
    assert forwarded_port.difference("qbittorrent", [5914], known, "tun0") == {}


class Client:
    """qBittorrent's API, as 5.1 (`Ok.` and SID) or since 5.2 (204 and QBT_SID_<port>) answers a login."""

    def __init__(self, era, **preferences):
        self.era = era
        self.preferences = {**FINE, **preferences}
        self.deaf = False
        #: Whether it asks this address for no password (LocalHostAuth, or its list of subnets).
        self.bypass = False

    def __call__(self, request):
        """One request."""
        path = request.path.removeprefix("/api/v2")
        if path == "/auth/login":
            form = urllib.parse.parse_qs(request.body.decode())
            if form["password"] != ["s3cret"] and not self.bypass:
                return core.Response(200 if self.era == "5.1" else 401, "Fails.", core.TEXT)
            name = "SID" if self.era == "5.1" else "QBT_SID_8080"
            code, body = (200, "Ok.") if self.era == "5.1" else (204, "")
            return core.Response(code, body, core.TEXT, [("Set-Cookie", f"{name}=abc; HttpOnly; path=/")])
        if not self.bypass and request.headers.get("Cookie") != (
            "SID=abc" if self.era == "5.1" else "QBT_SID_8080=abc"
        ):
            return core.Response(403, "Forbidden", core.TEXT)
        if path == "/app/setPreferences":
            if not self.deaf:
                self.preferences.update(json.loads(urllib.parse.parse_qs(request.body.decode())["json"][0]))
            return core.Response(200 if self.era == "5.1" else 204, "", core.TEXT)
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
    status = "running"

    def __call__(self, request):
        """One request."""
        if request.headers.get("X-API-Key") != KEY:
            return core.Response(401, "Unauthorized", core.TEXT)
        answers = {
            "/v1/vpn/status": {"status": self.status},
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
    behind(world, "qbittorrent", client, QBITTORRENT)
    world.secrets.update(gluetun_api_key={"value": KEY}, qbittorrent_password={"value": "s3cret"})
    return world, gluetun, client


def behind(world, name, client, app):
    """A torrent client in the network of gluetun, the world's first service, which is to have a port forwarded."""
    world.listen(name, client, **app)
    holder, own = world.examined[0].container, world.examined[-1].container
    holder.raw["Config"]["Env"] = ["VPN_PORT_FORWARDING=on"]
    # As the engine has it: the ports of both are the holder's.
    port = 8080 + len(world.services)
    holder.raw["NetworkSettings"]["Ports"][f"{port}/tcp"] = own.raw["NetworkSettings"]["Ports"]["80/tcp"]
    world.services[-1]["app"]["port"] = port
    world.services[-1]["ports"] = [{"name": "web", "target": port}]
    world.examined[-1] = world.examined[-1]._replace(holder=holder)


def align(world, monkeypatch, check=False):
    """One `bring_in_line`."""
    containers = {one["name"]: seen.container for one, seen in zip(world.services, world.examined, strict=True)}
    snapshot = types.SimpleNamespace(
        container=lambda service: containers[service["name"]],
        parent=lambda container: None if container.name == "gluetun" else containers["gluetun"],
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


@pytest.mark.parametrize("era", gluetun_control.ERAS)
@pytest.mark.parametrize("ports", [None, [], [5914], [5915, 5914], [5914, 6881]])
def test_of_several_ports_the_first_is_set_unless_it_listens_on_one_of_them(world, monkeypatch, era, ports):
    """Whatever the release of gluetun, each of which tells them in another shape."""
    env = {"VPN_TYPE": "wireguard", "VPN_SERVICE_PROVIDER": "protonvpn", "WIREGUARD_PRIVATE_KEY": "A" * 43 + "="}
    source = gluetun_rules.Source(env, "/nonexistent", "/nonexistent")
    told = gluetun_rules.settings_object(source, *gluetun_rules.check(source), era)
    control = gluetun_control.Control(era, told, default_role={"auth": "apikey", "apikey": KEY})
    control.vpn, control.ports, control.public_ip = "running", ports, {"public_ip": "198.51.100.7"}
    client = Client("5.2", listen_port=6881)
    world.listen("gluetun", control.answer, **GLUETUN)
    behind(world, "qbittorrent", client, QBITTORRENT)
    world.secrets.update(gluetun_api_key={"value": KEY}, qbittorrent_password={"value": "s3cret"})
    # Up to v3.38 there is room for one.
    seen = (ports or [])[:1] if era == "v3.38" else ports or []
    expected = 6881 if 6881 in seen or not seen else seen[0]
    status = "HEALTHY" if expected == 6881 else "DEGRADED"
    rows, apps = world.look()
    assert (rows["qbittorrent"][0], apps.vpn["forwarded_ports"]) == (status, seen)
    assert rows["gluetun"][0] == ("HEALTHY" if seen else "DEGRADED")
    done = align(world, monkeypatch)
    assert (len(done.actions), done.messages) == (int(expected != 6881), [])
    assert client.preferences["listen_port"] == expected
    assert align(world, monkeypatch).actions == []


@pytest.mark.parametrize("ports", [{"port": 0}, {"port": None}, {"ports": []}, {"port": 0, "ports": None}, {}])
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


@pytest.mark.parametrize("conf", [True, False], ids=["its file tells of another password", "no file"])
def test_where_no_password_is_asked_another_one_does_not_matter(pair, monkeypatch, conf):
    world, _gluetun, client = pair
    client.bypass = True
    world.secrets["qbittorrent_password"]["value"] = "another"
    if conf:
        folder = world.directory / "qbittorrent" / "qBittorrent"
        folder.mkdir(parents=True)
        (folder / "qBittorrent.conf").write_text('[Preferences]\nWebUI\\Password_PBKDF2="@ByteArray(c2FsdA==:a2V5)"\n')
        world.services[1]["app"]["config_dir"] = str(folder.parent)
    done = align(world, monkeypatch)
    assert (len(done.actions), done.messages, client.preferences) == (1, [], FINE)
    assert any(path.endswith("/auth/login") for _method, path in world.log) is not conf
    assert world.look()[0]["qbittorrent"] == ("HEALTHY", "")


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


class TransmissionRpc:
    """Transmission's RPC: a session id first, then a password."""

    def __init__(self):
        self.session, self.deaf = {**TRANSMISSION, "peer-port": 51413}, False

    def __call__(self, request):
        """One request."""
        if request.headers.get("Authorization") != f"Basic {base64.b64encode(b'admin:s3cret').decode()}":
            return core.Response(401, "Unauthorized", core.TEXT)
        if request.headers.get("X-Transmission-Session-Id") != "abc":
            return core.Response(409, "", core.TEXT, [("X-Transmission-Session-Id", "abc")])
        asked = json.loads(request.body)
        if asked["method"] == "session-set" and not self.deaf:
            self.session.update(asked["arguments"])
        answer = {"session-get": self.session, "torrent-get": {"torrents": []}}.get(asked["method"], {})
        return core.Response(200, json.dumps({"arguments": answer, "result": "success"}), "application/json")


class DelugeWeb:
    """Deluge's web UI, connected to its daemon once somebody asked for that."""

    def __init__(self):
        self.config, self.connected = {**DELUGE, "listen_ports": [58946, 58946]}, False

    def __call__(self, request):
        """One request."""
        asked = json.loads(request.body)
        method, params = asked["method"], asked["params"]
        if method == "auth.login":
            cookie = [("Set-Cookie", "_session_id=abc; Path=/json")] if params == ["s3cret"] else []
            return self.says(bool(cookie), cookie)
        assert request.headers.get("Cookie") == "_session_id=abc"
        if method.startswith("core.") and not self.connected:
            return core.Response(200, '{"id": 1, "result": null, "error": {"code": 2}}', "application/json")
        if method == "web.connect":
            self.connected = True
        elif method == "core.set_config":
            self.config.update(params[0])
        elif method == "core.get_config_values":
            return self.says({name: self.config[name] for name in params[0]})
        answers = {
            "web.connected": self.connected,
            "web.get_hosts": [["id", "127.0.0.1", 58846, "localclient"]],
            "web.get_host_status": ["id", "Online", "2.2.0"],
            "core.get_torrents_status": {},
            "core.get_session_status": {"payload_download_rate": 0},
            "core.get_listen_port": self.config["listen_ports"][0],
        }
        return self.says(answers.get(method))

    @staticmethod
    def says(result, headers=()):
        """An answer."""
        text = json.dumps({"id": 1, "result": result, "error": None})
        return core.Response(200, text, "application/json", list(headers))


OTHERS = {
    "transmission": (TransmissionRpc, {"api": "/transmission/rpc", "username": "admin"}),
    "deluge": (DelugeWeb, {"api": "/json", "username": ""}),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_others_are_told_where_there_is_no_qbittorrent(world, monkeypatch, kind):
    make, access = OTHERS[kind]
    client = make()
    world.listen("gluetun", Gluetun(), **GLUETUN)
    behind(world, kind, client, {"kind": kind, "password": f"{kind}_password", **access})
    world.secrets.update({"gluetun_api_key": {"value": KEY}, f"{kind}_password": {"value": "s3cret"}})
    settings = client.session if kind == "transmission" else client.config
    own = {"transmission": 51413, "deluge": 58946}[kind]
    words = f"it listens on port {own}, but the VPN forwards 5914"
    assert world.look()[0][kind] == ("DEGRADED", f"{words}: run site")
    client.connected = False
    assert align(world, monkeypatch).actions == [f"set how {kind} listens: {words}"]
    assert settings == {"transmission": TRANSMISSION, "deluge": DELUGE}[kind]
    assert world.look()[0][kind] == ("HEALTHY", "")
    assert align(world, monkeypatch) == forwarded_port_set.Outcome([], [], [])
    world.secrets[f"{kind}_password"]["value"] = "another"
    assert "refused the stack's password" in align(world, monkeypatch).messages[0]


def test_beside_qbittorrent_the_others_are_left_alone(pair, monkeypatch):
    world, _gluetun, client = pair
    other = TransmissionRpc()
    behind(world, "transmission", other, {"kind": "transmission", "username": "admin", "password": "t"})
    world.secrets["t"] = {"value": "s3cret"}
    assert [one.partition(":")[0] for one in align(world, monkeypatch).actions] == ["set how qbittorrent listens"]
    assert (other.session["peer-port"], client.preferences["listen_port"]) == (51413, 5914)
    assert world.look()[0]["transmission"] == ("HEALTHY", "")
    # Nor while it is stopped: the port would go to and fro.
    world.examined[1].container.status = "exited"
    client.preferences["listen_port"] = 6881
    assert align(world, monkeypatch) == forwarded_port_set.Outcome([], [], [])
    assert (other.session["peer-port"], client.preferences["listen_port"]) == (51413, 6881)


def test_without_a_port_qbittorrent_stays_in_the_tunnel_unless_the_vpn_is_stopped(pair, monkeypatch):
    world, gluetun, client = pair
    gluetun.ports = {"port": 0, "ports": []}
    client.preferences.update(listen_port=0, current_network_interface="lo")
    gluetun.status = "stopped"
    assert align(world, monkeypatch).actions == []
    gluetun.status = "running"
    rows = world.look()[0]
    assert rows["qbittorrent"] == ("DEGRADED", "it is bound to lo, not to the tunnel's tun0: run site")
    assert rows["gluetun"] == ("DEGRADED", "its provider forwards no port; docker logs gluetun")
    assert len(align(world, monkeypatch).actions) == 1
    assert (client.preferences["listen_port"], client.preferences["current_network_interface"]) == (0, "tun0")
    assert align(world, monkeypatch).actions == []


def test_only_gluetun_and_its_clients_are_handed_over():
    def service(kind):
        return {"wiring": {"kind": kind}, "login": {}}

    clients = ["qbittorrent", "transmission", "deluge"]
    bundle = {"services": {name: service(name) for name in ("gluetun", *clients, "sonarr")}, "secrets": {}}
    entries = [{"name": name} for name in bundle["services"]]
    assert [one["name"] for one in app_access.forwarding_services(entries, bundle)] == ["gluetun", *clients]
    for name in clients:
        del bundle["services"][name]
    assert app_access.forwarding_services([entries[0]], bundle) == []
