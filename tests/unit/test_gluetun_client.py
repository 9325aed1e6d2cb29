# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The client of gluetun's control server, against every recorded exchange and against servers that misbehave."""

import json
import pathlib
import sys
import time

import gluetun_wire as wire
import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_client, gluetun_http
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError, Server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from sim import core, gluetun_control, gluetun_rules  # noqa: E402

EVERY = pytest.mark.parametrize("recording", wire.RECORDINGS, ids=lambda path: path.stem)
READ = {
    "/v1/vpn/status",
    "/v1/publicip/ip",
    "/v1/portforward",
    "/v1/openvpn/portforwarded",
    "/v1/dns/status",
    "/v1/updater/status",
    "/v1/openvpn/status",
    "/v1/version",
}


def key_of(recording):
    return "K" if "apikey" in recording.stem else None


def failure(url, **arguments):
    with pytest.raises(GluetunError) as caught:
        gluetun_client.read_status(url, **{"timeout": 5, **arguments})
    return caught.value


# -- every recorded exchange -----------------------------------------------------------------------


@EVERY
def test_every_recorded_answer_is_read_as_it_was_sent(recording):
    """Bytes in, status and body out; what the client sends for it is what the recorder sent."""
    exchanges = [each for each in wire.read(recording) if each.method in ("GET", "PUT")]
    assert len(exchanges) >= 100
    playing = []
    with wire.WireServer(lambda request: playing[-1].wire) as server:
        for exchange in exchanges:
            playing.append(exchange)
            client = Server(server.url, api_key=exchange.auth.get("x-api-key"), timeout=5)
            if exchange.method == "GET":
                answer = client.get(exchange.target)
            else:
                answer = client.put(exchange.target, {"status": "stopped"})
            assert (answer.status, answer.body) == (exchange.status, exchange.body), exchange.seq
        assert [request.target for request in server.requests] == [exchange.target for exchange in exchanges]
        assert server.requests[-1].headers["connection"] == "close"


@EVERY
@pytest.mark.parametrize("route", ["/v1/vpn/status", "/v1/publicip/ip"])
def test_every_recorded_answer_in_the_place_of_another(recording, route):
    """Whatever comes instead of a status or an address: an error that says so, or the truth. Never "connected"."""
    key = {"/v1/vpn/status": "status", "/v1/publicip/ip": "public_ip"}[route]
    playing = []
    seen = set()
    with wire.WireServer(lambda request: wire.well(request, **{route: playing[-1].wire})) as server:
        for exchange in wire.read(recording):
            playing.append(exchange)
            try:
                body = json.loads(exchange.body)
            except ValueError:
                body = {}
            try:
                result = gluetun_client.read_status(server.url, timeout=5)
            except GluetunError as error:
                # A HEAD has no body although its length is told: as an answer to GET it is cut off.
                cut = exchange.method == "HEAD"
                assert cut or exchange.status != 401, exchange.seq
                assert not (exchange.status == 200 and isinstance(body.get(key), str)), exchange.seq
                assert error.kind == (gluetun_http.CLOSED if cut else gluetun_http.NOT_GLUETUN), exchange.seq
                assert f"{server.url}{route}" in str(error)
                seen.add(error.kind)
                continue
            if exchange.status == 401:
                assert result["auth_required"] is True
                assert result["connected"] is False
                with pytest.raises(GluetunError, match="HTTP 401: gluetun refuses this API key"):
                    gluetun_client.read_status(server.url, api_key="bad", timeout=5)
            else:
                assert result[key] == body[key], exchange.seq
                assert result["connected"] is (body[key] == "running" if key == "status" else bool(body[key]))
                assert result["auth_required"] is False
            seen.add(exchange.status)
    assert gluetun_http.NOT_GLUETUN in seen
    assert (401 if "MASTER-none" in recording.stem else 200) in seen


def snapshot(exchanges, seq, auth):
    """What each route answered last, up to `seq`, to these credentials; 401 as recorded for the others."""
    answers = {}
    for exchange in exchanges[: seq + 1]:
        if exchange.auth == auth and exchange.method == "GET":
            answers[exchange.target] = exchange
    refusal = next((exchange for exchange in exchanges if exchange.status == 401), None)
    return lambda request: answers[request.target].wire if request.target in answers else refusal.wire


@EVERY
@pytest.mark.parametrize(
    ("seq", "public_ip", "ports"),
    [(33, "", []), (35, "185.159.157.1", []), (37, "185.159.157.1", [5914]), (39, "185.159.157.1", [5914, 5915])],
)
def test_the_recorded_states_as_the_module_tells_them(recording, seq, public_ip, ports):
    """Not connected; connected; one port; two ports: of every version, with and without credentials."""
    exchanges = wire.read(recording)
    key = key_of(recording)
    with wire.WireServer(snapshot(exchanges, seq, {"x-api-key": key} if key else {})) as server:
        result = gluetun_client.read_status(server.url, api_key=key, timeout=5)
        assert {request.target for request in server.requests} <= READ
    if "MASTER-none" in recording.stem:
        assert result == {
            **dict.fromkeys(result),
            "connected": False,
            "auth_required": True,
        }
        return
    if "v3.40.4" in recording.stem:
        # Its own route was not asked again when there were two.
        ports = ports[:1]
    assert result["status"] == "running"
    assert result["public_ip"] == public_ip
    assert result["connected"] is bool(public_ip)
    assert result["forwarded_ports"] == ports
    assert result["country"] == ("Netherlands" if public_ip else "")
    assert result["region"] == ("North Holland" if public_ip else "")
    assert result["city"] == ("Amsterdam" if public_ip else "")
    assert result["organization"] == ("AS51852 Private Layer INC" if public_ip else "")
    assert result["vpn_type"] == recording.stem.rpartition("-")[2]
    assert (result["version"], result["commit"]) == ("v3.41.1", "abcdef0")
    assert (result["dns_status"], result["updater_status"]) == ("running", "running")
    assert result["auth_required"] is False


@EVERY
def test_every_recorded_outcome_of_a_change(recording):
    """The text decides, not the code, which is 200 for "already crashed" too."""
    playing = []
    seen = set()
    with wire.WireServer(lambda request: playing[-1].wire) as server:
        for exchange in wire.read(recording):
            if exchange.method != "PUT" or exchange.target != "/v1/vpn/status":
                continue
            playing.append(exchange)
            try:
                outcome = gluetun_client.set_status(server.url, "stopped", api_key="K", timeout=5)
            except GluetunError as error:
                assert exchange.status != 200
                assert (error.kind == gluetun_http.UNAUTHORIZED) == (exchange.status == 401)
                seen.add(exchange.status)
                continue
            assert outcome == json.loads(exchange.body)["outcome"]
            seen.add(outcome)
        assert json.loads(server.requests[-1].body) == {"status": "stopped"}
    if "MASTER-none" not in recording.stem:
        assert {
            "stopped",
            "running",
            "already running",
            "already stopped",
            "already crashed",
            "already starting",
        } < seen


@pytest.mark.parametrize(
    ("outcome", "wanted", "reached"),
    [
        ("stopped", "stopped", True),
        ("already stopped", "stopped", True),
        ("already crashed", "stopped", False),
        ("already running", "stopped", False),
        ("already starting", "running", False),
        ("crashed", "running", False),
        ("running", "running", True),
    ],
)
def test_already_is_what_was_wanted_only_with_the_wanted_status(outcome, wanted, reached):
    assert gluetun_client.reached(outcome, wanted) is reached


# -- eras ------------------------------------------------------------------------------------------


def control(era, **state):
    """The lab's control server, which answers as the recordings do, in any era."""
    env = {"VPN_TYPE": "wireguard", "VPN_SERVICE_PROVIDER": "protonvpn", "WIREGUARD_PRIVATE_KEY": "A" * 43 + "="}
    source = gluetun_rules.Source(env, "/nonexistent", "/nonexistent")
    provider, kind = gluetun_rules.check(source)
    made = gluetun_control.Control(
        era, gluetun_rules.settings_object(source, provider, kind, era), default_role=state.pop("role", None)
    )
    made.vpn = made.dns = "running"
    made.public_ip = {"public_ip": "198.51.100.7"}
    for name, value in state.items():
        setattr(made, name, value)
    return made


@pytest.fixture(scope="module")
def serve():
    """A function that gives a control server its URL. One server for all tests, for its end takes half a second."""

    def answer(request):
        return server.control.answer(request)

    server = core.serve(("127.0.0.1", 0), answer)

    def start(made):
        server.control = made
        return "http://127.0.0.1:%d" % server.server_address[1]

    yield start
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("era", gluetun_control.ERAS)
@pytest.mark.parametrize("ports", [None, [], [5914], [5914, 5915]])
def test_the_ports_of_every_era(serve, era, ports):
    role = {"auth": "apikey", "apikey": "K"} if era == "master" else None
    url = serve(control(era, ports=ports, role=role))
    found = gluetun_client.read_status(url, api_key="K", timeout=5)["forwarded_ports"]
    # Up to v3.38 there is room for one.
    assert found == ((ports or [])[:1] if era == "v3.38" else (ports or []))


@pytest.mark.parametrize("era", gluetun_control.ERAS)
@pytest.mark.parametrize("status", ["starting", "running", "stopping", "stopped", "crashed"])
def test_only_running_with_an_address_is_connected(serve, era, status):
    role = {"auth": "apikey", "apikey": "K"} if era == "master" else None
    url = serve(control(era, vpn=status, role=role))
    result = gluetun_client.read_status(url, api_key="K", timeout=5)
    assert (result["status"], result["connected"]) == (status, status == "running")
    assert result["vpn_type"] == (None if status == "stopped" else "wireguard")


def test_a_role_without_the_routes_that_are_nice_to_have(serve):
    """What it may not read is not known, and no reason to fail."""
    made = control("v3.41.2", ports=[5914])
    made.roles = [
        {"auth": "apikey", "apikey": "K", "routes": {"GET /v1/vpn/status", "GET /v1/publicip/ip"}},
    ]
    result = gluetun_client.read_status(serve(made), api_key="K", timeout=5)
    assert result["connected"] is True
    assert result["auth_required"] is False
    unknown = ("forwarded_ports", "dns_status", "updater_status", "version", "commit", "vpn_type")
    assert {name: result[name] for name in unknown} == dict.fromkeys(unknown)


def test_a_role_with_only_the_old_route_of_the_port_gets_the_redirect_and_no_further(serve):
    made = control("v3.41.2", ports=[5914])
    made.roles = [
        {
            "auth": "none",
            "routes": {"GET /v1/vpn/status", "GET /v1/publicip/ip", "GET /v1/openvpn/portforwarded"},
        },
    ]
    assert gluetun_client.read_status(serve(made), timeout=5)["forwarded_ports"] is None


def test_a_role_without_the_address_is_refused_by_name(serve):
    made = control("v3.41.2")
    made.roles = [{"auth": "apikey", "apikey": "K", "routes": {"GET /v1/vpn/status"}}]
    url = serve(made)
    assert 'its role has not the route "GET /v1/publicip/ip"' in str(failure(url, api_key="K"))


# -- what is sent ----------------------------------------------------------------------------------


def test_a_key_goes_into_its_header_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with wire.WireServer(wire.well) as server:
        assert gluetun_client.read_status(server.url + "/", api_key="K é", timeout=5)["connected"]
        for request in server.requests:
            assert request.auth == {"x-api-key": "K é".encode().decode("latin-1")}
            assert "?" not in request.target
            assert not request.target.endswith("/")
            assert "settings" not in request.target
            assert request.method == "GET"


def test_a_login_is_sent_without_being_asked_for():
    with wire.WireServer(wire.well) as server:
        assert gluetun_client.read_status(server.url, username="u", password="p:é", timeout=5)["connected"]
        assert {request.headers["authorization"] for request in server.requests} == {"Basic dTpwOsOp"}


def test_a_redirect_never_takes_the_key_to_another_server():
    with wire.WireServer(wire.well) as other:
        moved = wire.http(301, Location=other.url + "/v1/portforward")
        routes = {"/v1/portforward": wire.http(401, "Unauthorized\n"), "/v1/openvpn/portforwarded": moved}
        with wire.WireServer(lambda request: wire.well(request, **routes)) as server:
            assert gluetun_client.read_status(server.url, api_key="K", timeout=5)["forwarded_ports"] is None
        assert other.requests == []


def test_below_a_path_of_a_reverse_proxy():
    def answer(request):
        assert request.target.startswith("/vpn/")
        request.target = request.target[len("/vpn") :]
        if request.target == "/v1/portforward" and not server.requests[-2].target.endswith("portforwarded"):
            return wire.http(404, "Not Found\n")
        return wire.well(request, **{"/v1/openvpn/portforwarded": wire.http(301, Location="/v1/portforward")})

    with wire.WireServer(answer) as server:
        result = gluetun_client.read_status(server.url + "/vpn", timeout=5)
    assert result["connected"]
    assert result["forwarded_ports"] == [5914]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not an address such as http://127.0.0.1:8000"),
        ("127.0.0.1:8000", "not an address such as"),
        ("ftp://127.0.0.1:8000", "not an address such as"),
        ("http://127.0.0.1:99999", "its port is not a number from 0 to 65535"),
        ("http://127.0.0.1:8000/v1", "without /v1"),
        ("http://127.0.0.1:8000/v1/vpn/status", "without /v1"),
        ("http://127.0.0.1:8000?api_key=K", "no query string"),
        ("http://127.0.0.1:8000/a b", "a character that an address cannot hold"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(url, words):
    assert words in str(failure(url))


def test_a_password_in_the_address_is_refused_and_not_shown():
    error = failure("http://anna:geheim@127.0.0.1:8000")
    assert "use username and password instead" in str(error)
    assert "geheim" not in str(error)
    assert "anna" not in str(error)


@pytest.mark.parametrize("given", [{"api_key": "K\r\nX-Evil: 1"}, {"username": "u", "password": "p\x00"}])
def test_credentials_that_would_be_another_header_are_refused(given):
    with wire.WireServer(wire.well) as server:
        error = failure(server.url, **given)
        assert "control character (the value is not shown)" in str(error)
        assert "Evil" not in str(error)
        assert server.requests == []


# -- what is not gluetun, or does not answer -------------------------------------------------------

PAGE = "<!DOCTYPE html><html><head><title>Portainer</title></head></html>"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (wire.http(200, PAGE, "text/html"), 'HTTP 200 with a web page "Portainer"'),
        (wire.http(200, PAGE), 'HTTP 200 with a web page "Portainer"'),
        (wire.http(200, "ok\n"), "HTTP 200 with the body ok"),
        (wire.http(200, ""), "HTTP 200 with the body empty"),
        (wire.http(200, "[]"), "HTTP 200 with the body []"),
        (wire.http(200, '{"status":3}'), "HTTP 200 with the body"),
        (wire.http(200, '{"state":"running"}'), "HTTP 200 with the body"),
        (wire.http(302, "", Location="/login"), "HTTP 302, a redirect to /login"),
        (wire.http(404, "Not Found\n"), "HTTP 404 with the body Not Found"),
        (wire.http(401, PAGE, "text/html"), 'HTTP 401 with a web page "Portainer"'),
        (wire.http(200, "x" * (1024 * 1024 + 1)), "HTTP 200 with more than 1024 KiB"),
        (b"220 mail.example ESMTP ready\r\n", "the answer is not HTTP: 220 mail.example ESMTP ready"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the answer is not HTTP"),
    ],
)
def test_something_else_on_that_port(answer, words):
    with wire.WireServer(lambda request: wire.well(request, **{"/v1/vpn/status": answer})) as server:
        error = failure(server.url)
    assert error.kind == gluetun_http.NOT_GLUETUN
    assert f"{server.url}/v1/vpn/status: " in str(error)
    assert words in str(error)
    assert "something else has this port" in str(error)


def test_a_service_that_answers_everything_with_the_same_json():
    with wire.WireServer(lambda request: wire.http(200, '{"status":"running"}')) as server:
        error = failure(server.url)
    assert error.kind == gluetun_http.NOT_GLUETUN
    assert "/v1/publicip/ip" in str(error)


def test_an_error_of_a_reverse_proxy():
    with wire.WireServer(lambda request: wire.http(502, "Bad Gateway")) as server:
        error = failure(server.url)
    assert "HTTP 502 with the body Bad Gateway. Look into the log of gluetun" in str(error)


def test_nothing_listens():
    error = failure("http://127.0.0.1:1")
    assert error.kind == gluetun_http.REFUSED
    assert str(error).startswith("http://127.0.0.1:1/v1/vpn/status: connection refused, nothing listens there.")


def test_a_name_that_does_not_resolve():
    assert "the name gluetun.invalid does not resolve" in str(failure("http://gluetun.invalid:8000"))


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        (wire.reset, "waiting for an answer"),
        (b"", "waiting for an answer"),
        (wire.http(200, '{"status":"running"}')[:-8], "reading the answer (HTTP 200)"),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{"sta', "reading the answer (HTTP 200)"),
    ],
    ids=["reset", "closed", "cut off", "cut off in a chunk"],
)
def test_a_connection_that_breaks(answer, stage):
    with wire.WireServer(lambda request: answer) as server:
        error = failure(server.url)
    assert error.kind == gluetun_http.CLOSED
    assert f"{server.url}/v1/vpn/status: the connection was closed while {stage}." in str(error)


@pytest.mark.parametrize(
    ("answer", "stage"),
    [
        (wire.hang, "waiting for an answer"),
        (wire.trickle(wire.http(200, '{"status":"running"}')), "waiting for an answer"),
    ],
    ids=["hangs", "one byte at a time"],
)
def test_one_deadline_for_everything(answer, stage):
    with wire.WireServer(lambda request: wire.well(request, **{"/v1/vpn/status": answer})) as server:
        begun = time.monotonic()
        error = failure(server.url, timeout=0.5)
        assert time.monotonic() - begun < 1.0
    assert error.kind == gluetun_http.TIMEOUT
    assert f"{server.url}/v1/vpn/status: timed out after 0.5 s while {stage}." in str(error)


def test_answers_that_are_each_in_time_but_not_together():
    """Seven requests of 0.2 s under a deadline of 0.7 s."""
    slow = {
        target: wire.trickle(wire.http(200, '{"status":"running"}'), 0.002)
        for target in ("/v1/dns/status", "/v1/version")
    }
    with wire.WireServer(lambda request: wire.well(request, **slow)) as server:
        begun = time.monotonic()
        assert failure(server.url, timeout=0.3).kind == gluetun_http.TIMEOUT
        assert time.monotonic() - begun < 0.8


# -- waiting ---------------------------------------------------------------------------------------


def test_waiting_for_a_gluetun_that_starts(monkeypatch):
    monkeypatch.setattr(gluetun_client, "POLL", 0.02)
    begun = time.monotonic()

    def answer(request):
        since = time.monotonic() - begun
        if since < 0.1:
            return wire.reset
        changes = {}
        if since < 0.2:
            changes["/v1/publicip/ip"] = wire.http(body='{"public_ip":""}')
        if since < 0.3:
            changes["/v1/portforward"] = wire.http(body='{"port":0,"ports":null}')
        return wire.well(request, **changes)

    with wire.WireServer(answer) as server:
        first = gluetun_client.wait_for_status(server.url, timeout=5, wait_timeout=10)
        assert first["connected"] is True
        second = gluetun_client.wait_for_status(server.url, timeout=5, wait_timeout=10, ports=True)
        assert second["forwarded_ports"] == [5914]


def test_waiting_ends_with_the_last_look(monkeypatch):
    monkeypatch.setattr(gluetun_client, "POLL", 0.02)
    changes = {"/v1/publicip/ip": wire.http(body='{"public_ip":""}')}
    with wire.WireServer(lambda request: wire.well(request, **changes)) as server:
        begun = time.monotonic()
        assert gluetun_client.wait_for_status(server.url, timeout=5, wait_timeout=0.2)["connected"] is False
        assert 0.1 < time.monotonic() - begun < 1
        assert len(server.requests) >= 14
    with pytest.raises(GluetunError, match="connection refused"):
        gluetun_client.wait_for_status("http://127.0.0.1:1", wait_timeout=0.1)


def test_a_hang_while_waiting_does_not_outlast_the_wait():
    with wire.WireServer(lambda request: wire.hang) as server:
        begun = time.monotonic()
        with pytest.raises(GluetunError, match="timed out"):
            gluetun_client.wait_for_status(server.url, timeout=0.4, wait_timeout=0.8)
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("answer", [wire.http(401, "Unauthorized\n"), wire.http(200, PAGE, "text/html")])
def test_what_waiting_does_not_cure_fails_at_once(answer):
    with wire.WireServer(lambda request: answer) as server:
        begun = time.monotonic()
        with pytest.raises(GluetunError):
            gluetun_client.wait_for_status(server.url, api_key="K", wait_timeout=30)
        assert time.monotonic() - begun < 2
