# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What listens where, what answers to a stranger mean, firewalls that ports go past, the link to a neighbour."""

import http.server
import ipaddress
import threading

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    engine_state,
    exposure_firewall,
    exposure_judge,
    exposure_listen,
    exposure_probe,
    exposure_routes,
    leak_space,
    neighbour,
    preflight_ports,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils import service_meta

ASKED, OPEN, UNKNOWN, NONE = (
    exposure_judge.ASKED,
    exposure_judge.OPEN,
    exposure_judge.UNKNOWN,
    exposure_judge.NONE,
)


def answer(status=200, body="", hops=(), path="/", reason=None):
    return {"path": path, "status": status, "hops": list(hops), "body": body, "tls": False, "reason": reason}


@pytest.mark.parametrize(
    ("request_", "given", "verdict"),
    [
        ({"path": "/"}, answer(401), ASKED),
        ({"path": "/"}, answer(403), ASKED),
        ({"path": "/"}, answer(200, hops=["/login?returnUrl=%2F"]), ASKED),
        ({"path": "/"}, answer(302, hops=["https://auth.example.org/start"]), ASKED),
        ({"path": "/"}, answer(200, '<INPUT name=x type="password">'), ASKED),
        ({"path": "/"}, answer(200, "<h1>Films</h1>"), OPEN),
        ({"path": "/"}, answer(204), OPEN),
        # Where it goes on to is not a login because the path it came from is named in it.
        ({"path": "/"}, answer(200, hops=["/home?from=/login"]), OPEN),
        ({"path": "/"}, answer(200, hops=["/setup"]), OPEN),
        ({"path": "/"}, answer(302, hops=["https://elsewhere.example/"]), UNKNOWN),
        ({"path": "/"}, answer(404), UNKNOWN),
        ({"path": "/"}, answer(503), UNKNOWN),
        ({"path": "/", "lacks": "apiKey"}, answer(200, "nothing"), ASKED),
        ({"path": "/", "lacks": "apiKey"}, answer(200, "the apiKey"), OPEN),
        ({"path": "/", "lacks": "apiKey"}, answer(200, "", path="/"), ASKED),
        ({"path": "/", "contains": "Not authenticated"}, answer(200, '{"error": "Not authenticated"}'), ASKED),
        ({"path": "/", "contains": "Not authenticated"}, answer(200, '{"result": []}'), OPEN),
        ({"path": "/", "contains": "Not authenticated"}, answer(500, "oops"), UNKNOWN),
        ({"path": "/", "json": {"initialized": True}}, answer(200, '{"initialized": true}'), ASKED),
        ({"path": "/", "json": {"initialized": True}}, answer(200, '{"initialized": false}'), OPEN),
        ({"path": "/", "json": {"initialized": True}}, answer(200, "<html>"), OPEN),
        # A proxy in front of the app refuses before the app is asked.
        ({"path": "/", "json": {"initialized": True}}, answer(401, "Unauthorized"), ASKED),
        ({"path": "/", "contains": "Not authenticated"}, answer(403), ASKED),
        ({"path": "/", "status": [400]}, answer(401), UNKNOWN),
        # Single sign-on in front of it: nothing of the app was seen.
        (
            {"path": "/", "json": {"initialized": True}},
            answer(302, hops=["https://authentik.a.b/application/o/x/"]),
            ASKED,
        ),
        ({"path": "/", "json": {"initialized": True}}, answer(302, hops=["https://elsewhere.example/"]), OPEN),
        ({"path": "/", "status": [400, 401]}, answer(400), ASKED),
        ({"path": "/", "status": [400, 401]}, answer(200), OPEN),
    ],
)
def test_what_an_answer_to_a_stranger_means(request_, given, verdict):
    assert exposure_judge.login([request_], [given])[0] == verdict


def test_one_way_in_is_enough_to_be_open_and_one_unknown_to_be_unknown():
    page, api = {"path": "/"}, {"path": "/api"}
    shut, unknown, opened = answer(401), answer(500, path="/api"), answer(200, path="/api")
    assert exposure_judge.login([page, api], [shut, opened]) == (OPEN, "/api: 200")
    assert exposure_judge.login([page, api], [shut, unknown])[0] == UNKNOWN
    assert exposure_judge.login([page, api], [shut, shut])[0] == ASKED
    assert exposure_judge.login([page], [answer(None, reason="ECONNRESET")])[0] == NONE
    # What was not answered in time is not as good as refused.
    assert exposure_judge.login([page, api], [shut]) == (UNKNOWN, "/api: no answer in time")


def listener(planned=True, name="web", protocol="tcp", address="192.168.1.10", service="films"):
    return exposure_listen.Listener(service, name, protocol, address, 8080, 8080, True, planned)


def verdict(given, service, *answers, **more):
    return exposure_judge.judge(given, service, {"answers": list(answers)}, **more)


def films(kind="preset", closed=("/",), **more):
    return {"name": "films", "login": {"kind": kind, **({"closed": list(closed)} if closed else {})}, **more}


def test_an_open_ui_fails_with_what_to_do():
    found = verdict(listener(), films(), answer(200))
    assert (found.state, found.login, found.open) == ("failed", OPEN, True)
    assert "mediastack_bind_addresses: [127.0.0.1]" in found.remedy
    found = verdict(listener(), films("none", None, opened=True), answer(200))
    assert found.state == "failed" and "take films out of mediastack_open_uis" in found.remedy
    assert verdict(listener(), films("none", None, opened=True), answer(200), allow_open=True).state == "passed"
    # What the setting does not name is open by mistake, whatever is allowed.
    assert verdict(listener(), films(), answer(200), allow_open=True).state == "failed"
    found = verdict(listener(), films("wizard"), answer(200))
    assert found.state == "failed" and "set it up now" in found.remedy
    found = verdict(listener(planned=None, name=""), None, answer(200))
    assert found.state == "failed" and "own Compose file" in found.remedy


def test_a_ui_that_asks_passes_wherever_it_is():
    for given in (listener(), listener(planned=False), listener(planned=None, name="")):
        assert verdict(given, films(), answer(401))[:2] == ("passed", ASKED)


def test_a_page_of_an_app_whose_refusals_nobody_has_named_is_inconclusive():
    found = verdict(listener(), films(closed=None), answer(200))
    assert found.state == "inconclusive" and "login.closed" in found.remedy
    assert verdict(listener(), films(closed=None), answer(401)).state == "passed"


def test_what_is_no_web_interface_passes_where_the_inventory_wants_it():
    silent = answer(None, reason="RemoteDisconnected")
    assert verdict(listener(name="torrent"), films(), silent)[:2] == ("passed", NONE)
    assert verdict(listener(name="torrent", protocol="udp"), films()).state == "passed"
    # A proxy answers everybody, and is no web interface.
    assert verdict(listener(), films("no_ui"), answer(404)).state == "passed"
    # In the host's network an app has more ports than its service file names.
    hosts = listener(planned=None, name="", protocol="udp")._replace(hosts=True)
    assert verdict(hosts, films()).state == "passed"
    # The web interface itself must say something.
    assert verdict(listener(), films(), silent).state == "inconclusive"


def test_what_nobody_knows_and_says_nothing_is_inconclusive():
    given = listener(planned=None, name="")
    for silent in (answer(None, reason="no answer within 10 s"), answer(None, reason="RemoteDisconnected")):
        assert verdict(given, None, silent).state == "inconclusive"
    spoken = {**answer(None, reason="SSH-2.0-OpenSSH_9.2"), "spoke": True}
    assert verdict(given, None, spoken)[:2] == ("passed", NONE)


def test_the_proxy_for_whoever_knows_no_name_is_no_web_interface():
    row = type("Row", (), {"listener": listener(service="traefik")})
    proxy = {"name": "traefik", "proxy": True}
    away = answer(301, hops=["https://192.168.1.10/"])
    assert exposure_routes.is_front(row, proxy, {"answers": [answer(404)]})
    assert exposure_routes.is_front(row, proxy, {"answers": [away]})
    assert not exposure_routes.is_front(row, proxy, {"answers": [answer(200, "dashboard")]})
    assert not exposure_routes.is_front(row, films(), {"answers": [answer(404)]})


@pytest.mark.parametrize("given", [listener(planned=False, name="control"), listener(planned=None, name="")])
def test_what_the_inventory_keeps_off_the_network_fails_there(given):
    found = verdict(given, films("no_ui", None), answer(403))
    assert (found.state, found.open) == ("failed", True) and "mediastack_overrides.films" in found.remedy


def test_a_port_beside_the_web_interface_is_not_excused_by_its_login():
    assert verdict(listener(planned=False, name="server"), films(), answer(404)).state == "failed"


class Page(http.server.BaseHTTPRequestHandler):
    """/ leads to /start, which leads to /login; /away leads elsewhere; /whoami says who was asked for."""

    places = {"/": "/start", "/start": "login?returnUrl=%2F", "/away": "http://elsewhere.example/x"}

    def do_GET(self):
        place = self.places.get(self.path)
        body = self.headers["Host"].encode() if self.path == "/whoami" else b"a page"
        self.send_response(302 if place else 200)
        if place:
            self.send_header("Location", place)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Content-Type"].encode() + b" " + self.rfile.read(length))

    def log_message(self, *_arguments):
        """Nothing is said."""


@pytest.fixture
def page():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_visit_follows_redirects_as_long_as_they_stay(page):
    requests = [{"path": "/"}, {"path": "/away"}, {"path": "/whoami"}, {"path": "/", "post": "{}"}]
    place = {"address": "127.0.0.1", "port": page, "requests": requests}
    shut = {"address": "127.0.0.1", "port": 1, "requests": requests}
    seen, other, named = exposure_probe.look([place, shut, {**place, "host": "films.example.org"}], 5)
    assert (seen["reached"], other["reached"], other["reason"]) == (True, False, "ECONNREFUSED")
    front, away, who, post = seen["answers"]
    assert (front["status"], front["hops"]) == (200, ["/start", "login?returnUrl=%2F"])
    assert (away["status"], away["hops"]) == (302, ["http://elsewhere.example/x"])
    assert who["body"] == f"127.0.0.1:{page}" and named["answers"][2]["body"] == f"films.example.org:{page}"
    assert post["body"] == "application/json {}"
    assert exposure_judge.login(requests[:1], [front]) == (ASKED, "/ leads to login?returnUrl=%2F")


class Row:
    """Of the proxy's, as far as routes ask."""

    def __init__(self, service, name):
        self.service, self.listener = service, listener(name=name, service=service)


def test_each_web_interface_is_asked_for_by_its_name_at_the_proxy():
    web = [entry("web", 1, 1)]
    below = {"host": "example.org"}
    services = [
        {"name": "front", "login": {"kind": "no_ui"}, "ports": web, "proxy": True},
        films(ports=web, route={"host": "kino.example.org", "path": ""}),
        {"name": "below", "ports": web, "login": {"closed": ["/x/api"]}, "route": {**below, "path": "/x"}},
        {"name": "cut", "ports": web, "login": {"closed": ["/api"]}, "route": {**below, "path": "/y", "strip": True}},
        {"name": "page", "ports": web, "login": {}, "route": {**below, "path": "/z"}},
        {"name": "worker", "login": {"kind": "no_ui"}, "ports": web},
        {"name": "bare", "login": {"kind": "none"}, "ports": []},
    ]
    rows = [Row("front", "web"), Row("front", "https"), Row("front", "ping"), Row("films", "web")]
    visited = [{"address": "192.168.1.10", "port": number, "requests": []} for number in range(4)]
    found = exposure_routes.places(services, rows, visited)
    assert [(place["service"]["name"], place["host"], place["port"], place["tls"]) for _row, place in found] == [
        ("films", "kino.example.org", 0, False),
        ("below", "example.org", 0, False),
        ("cut", "example.org", 0, False),
        ("page", "example.org", 0, False),
        ("films", "kino.example.org", 1, True),
        ("below", "example.org", 1, True),
        ("cut", "example.org", 1, True),
        ("page", "example.org", 1, True),
    ]
    asked = {place["service"]["name"]: place["requests"] for _row, place in found}
    assert asked == {
        "films": exposure_judge.requests_of(services[1]),
        "below": [{"path": "/x/api"}],
        "cut": [{"path": "/y/api"}],
        "page": [{"path": "/z/"}],
    }
    assert all(place["requests"] == exposure_judge.requests_of(place["service"]) for _row, place in found)


@pytest.mark.parametrize(
    ("given", "route"),
    [
        (answer(200), True),
        (answer(401), True),
        (answer(502), True),
        (answer(404), False),
        (answer(301, hops=["https://films.example.org/"]), False),
        ({**answer(302, hops=["https://auth.example.org/"]), "tls": True}, True),
        (answer(None), False),
    ],
)
def test_what_says_that_somebody_is_behind_a_name(given, route):
    assert exposure_routes.is_route({"answers": [given]}) is route


def container(service="films", ports=None, mode="media", status="running", identifier="1" * 64):
    return engine_state.Container(
        {
            "Id": identifier,
            "Name": f"/{service}",
            "Image": "sha256:1",
            "Config": {
                "Labels": {
                    "com.docker.compose.service": service,
                    "com.docker.compose.project.working_dir": "/srv",
                }
            },
            "State": {"Status": status},
            "HostConfig": {"NetworkMode": mode},
            "NetworkSettings": {"Ports": ports or {}, "Networks": {}},
        }
    )


def entry(name, port, target, addresses=(), protocol="tcp", service="films"):
    return {
        "name": name,
        "port": port,
        "target": target,
        "addresses": list(addresses),
        "protocol": protocol,
        "service": service,
    }


PROC_TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0A01A8C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 41 1
   1: 0A01A8C0:0016 0201A8C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 42 1
"""


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(PROC_TCP)
    (tmp_path / "net" / "route").write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    return str(tmp_path)


def test_what_listens_is_named_after_its_service_also_behind_the_vpn(proc):
    bindings = {
        "8080/tcp": [{"HostIp": "192.168.1.10", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
        "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}],
        "9999/tcp": [{"HostIp": "", "HostPort": "9999"}],
        "7000/tcp": None,
    }
    project = engine_state.Project("p", "/srv", [container("gluetun", bindings)])
    services = [
        {"name": "films", "holder": "gluetun", "ports": [entry("web", 8080, 8080)]},
        {
            "name": "gluetun",
            "holder": "gluetun",
            "ports": [entry("control", 8000, 8000, ["127.0.0.1"], service="gluetun")],
        },
    ]
    found = exposure_listen.listeners(project, services, proc)
    assert [(one.service, one.name, one.place(), one.planned, one.kernel) for one in found] == [
        ("films", "web", "192.168.1.10:8080/tcp", True, True),
        ("films", "web", "[::]:8080/tcp", True, False),
        ("gluetun", "control", "127.0.0.1:8000/tcp", False, False),
        # On every interface, and in no service file.
        ("gluetun", "", "0.0.0.0:9999/tcp", None, False),
    ]
    stopped = engine_state.Project("p", "/srv", [container("gluetun", bindings, status="exited")])
    assert exposure_listen.listeners(stopped, services, proc) == []
    # With an engine elsewhere the kernel's tables are another host's.
    assert {one.kernel for one in exposure_listen.listeners(project, services, None)} == {None}


def test_loopback_is_loopback_in_both_families():
    assert all(map(exposure_listen.is_loopback, ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1")))
    assert not any(map(exposure_listen.is_loopback, ("0.0.0.0", "::", "192.168.1.1", "fd00::1")))


UFW_ON = "# /etc/ufw/ufw.conf\nENABLED=yes\nLOGLEVEL=low\n"
NFT = """table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		tcp dport { 22, 80 } accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
	}
}
"""


@pytest.mark.parametrize(
    ("files", "said", "names"),
    [
        ({"etc/ufw/ufw.conf": UFW_ON}, {}, ["ufw"]),
        ({"etc/ufw/ufw.conf": UFW_ON.replace("yes", "no")}, {}, []),
        ({"proc/17/comm": "firewalld\n"}, {}, ["firewalld"]),
        ({}, {"nft": NFT}, ["nftables"]),
        ({}, {"nft": NFT.replace("policy drop;\n\t\ttcp", "policy accept;\n\t\ttcp")}, []),
        ({}, {"iptables": "-P INPUT DROP\n"}, ["iptables"]),
        ({}, {"iptables": "-P INPUT ACCEPT\n-A INPUT -p tcp -j REJECT\n"}, ["iptables"]),
        ({}, {"iptables": "-P INPUT ACCEPT\n"}, []),
        ({}, {}, []),
    ],
)
def test_a_firewall_that_is_on_is_named(tmp_path, files, said, names):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert exposure_firewall.found(str(tmp_path), lambda *command: said.get(command[0])) == names


def test_the_warning_cites_docker_and_names_what_is_past_the_firewall():
    told = exposure_firewall.warning(["ufw"], ["films 192.168.1.10:8080/tcp"])
    assert "https://docs.docker.com/engine/network/packet-filtering-firewalls/#docker-and-ufw" in told
    assert "films 192.168.1.10:8080/tcp" in told
    assert exposure_firewall.warning([], ["films"]) is None and exposure_firewall.warning(["ufw"], []) is None


def test_the_link_takes_no_network_that_the_host_has_or_talks_to(proc):
    taken = neighbour.taken_networks(proc)
    assert set(map(str, taken)) == {"192.168.1.0/24", "192.168.1.2/32"}
    assert preflight_ports.connected(proc) == {"192.168.1.2"}
    turns = iter([0, 64, 128])
    assert neighbour.free_pair([ipaddress.ip_network("192.168.0.0/23")], lambda _most: next(turns)) == (
        "192.168.2.1",
        "192.168.2.2",
    )
    everything = [ipaddress.ip_network(pool) for pool in neighbour.POOLS]
    with pytest.raises(leak_space.SpaceError, match="no private network is free"):
        neighbour.free_pair(everything)
    assert neighbour.free_pair(everything[:1])[0].startswith("172.")


@pytest.mark.parametrize(
    ("closed", "wrong"),
    [
        (["/", {"path": "/api", "status": [401]}], None),
        ("/", "must be a list"),
        (["api"], "must be a path"),
        ([{"status": [401]}], "must be a path"),
        ([{"path": "/", "lack": "x"}], "lacks"),
        ([{"path": "/", "status": 401}], "must be a list"),
    ],
)
def test_a_service_file_names_what_a_stranger_is_refused(closed, wrong):
    meta = {"title": "Films", "profiles": [], "login": {"kind": "preset", "closed": closed}}
    problems = service_meta.check(meta, {})
    assert wrong in problems[0] if wrong else problems == []
