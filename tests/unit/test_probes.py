# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Probes against real sockets on loopback: what a service must say, and that none escapes the deadline."""

import contextlib
import socket
import threading
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import probes


class Server:
    """Accepts connections on loopback and hands each to `behave(connection)`, until closed."""

    def __init__(self, behave):
        self.behave = behave
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        self.connections = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _peer = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        with contextlib.suppress(OSError):
            self.behave(connection, self.closing)
        # A server that says what it has to say ends; what must stay open waits for `closing` itself.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def close(self):
        self.closing.set()
        self.listener.close()


@pytest.fixture
def serve():
    """Start servers; all of them end with the test."""
    servers = []

    def start(behave):
        servers.append(Server(behave))
        return servers[-1].port

    yield start
    for server in servers:
        server.close()


def answer(raw):
    """A server that reads a request and answers with these bytes."""

    def behave(connection, _closing):
        connection.recv(65536)
        connection.sendall(raw)

    return behave


def reply(status, body="", headers=""):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body.encode())}\r\n{headers}\r\n"
    return answer(head.encode() + body.encode())


def hang(_connection, closing):
    closing.wait(30)


def probe(port, timeout=5.0, address="127.0.0.1", **health):
    jobs = {"x": probes.http_probe(probes.Target(address, port), health)}
    return probes.sweep(jobs, timeout)["x"]


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_an_expected_answer_is_ok_and_timed(serve):
    outcome = probe(serve(reply(200, '{\n  "status": "OK"\n}')), path="/ping", json={"status": "OK"})
    assert outcome.verdict == "ok"
    assert outcome.message == ""
    assert 0 < outcome.latency_ms < 5000


def test_the_request_has_path_and_headers_of_the_service_file(serve):
    seen = []

    def behave(connection, _closing):
        seen.append(connection.recv(65536).decode())
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert probe(serve(behave), path="/a?b=c", headers={"Host": "localhost:8080", "X-Api-Key": "k"}).verdict == "ok"
    lines = seen[0].split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    assert [line for line in lines if line.lower().startswith("host:")] == ["Host: localhost:8080"]
    assert "X-Api-Key: k" in lines


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502])
def test_any_other_code_is_not_healthy(serve, status):
    outcome = probe(serve(reply(status)), path="/ping")
    assert outcome.verdict == "failed"
    assert f"/ping: HTTP {status}, expected 200" in outcome.message


def test_a_list_of_codes_is_taken_as_it_is(serve):
    assert probe(serve(reply(403)), status=[200, 403]).verdict == "ok"
    assert "HTTP 404, expected 200 or 403" in probe(serve(reply(404)), status=[200, 403]).message


def test_what_a_503_says_is_shown(serve):
    assert "HTTP 503 (authentik starting), expected 200" in probe(serve(reply(503, "authentik\nstarting"))).message


def test_redirects_are_not_followed(serve):
    outcome = probe(serve(reply(303, "", "Location: /wizard/\r\n")))
    assert "HTTP 303, redirects to /wizard/, expected 200" in outcome.message


def test_a_redirect_to_another_path_is_not_followed(serve):
    def behave(connection, _closing):
        path = connection.recv(65536).decode().split()[1]
        away = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(away if path == "/ping" else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    outcome = probe(serve(behave), path="/ping")
    assert outcome.verdict == "failed"
    assert "HTTP 302, redirects to /login, expected 200" in outcome.message


def test_a_url_base_that_the_user_set_in_the_app_is_followed_once(serve):
    def behave(connection, _closing):
        path = connection.recv(65536).decode().split()[1]
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + b'{"status": "OK"}'
        if path == "/ping":
            answer = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /sonarr/ping\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(answer)

    assert probe(serve(behave), path="/ping", json={"status": "OK"}).verdict == "ok"
    away = probe(serve(reply(307, "", "Location: /sonarr/ping\r\n")), path="/ping")
    assert "HTTP 307" in away.message


@pytest.mark.parametrize(
    ("body", "health", "verdict", "words"),
    [
        ("Healthy\n", {"text": "Healthy"}, "ok", ""),
        ("Degraded", {"text": "Healthy"}, "degraded", "body is Degraded, expected Healthy"),
        ("Unhealthy", {"text": "Healthy"}, "failed", "body is Unhealthy, expected Healthy"),
        ("", {"text": "Healthy"}, "failed", "body is empty, expected Healthy"),
        ("<html>It works", {"contains": "works"}, "ok", ""),
        ("<html>no", {"contains": "works"}, "failed", "does not hold works"),
        ('{"a": {"b": [1, 2], "c": 3}}', {"json": {"a": {"b": [1, 2]}}}, "ok", ""),
        ('{"a": {"b": [1]}}', {"json": {"a": {"b": [1, 2]}}}, "failed", "JSON a.b is [1], expected [1, 2]"),
        ('{"status": "Error"}', {"json": {"status": "OK"}}, "failed", 'JSON status is "Error", expected "OK"'),
        ('{"status": "degraded"}', {"json": {"status": "OK"}}, "degraded", "expected"),
        ('{"up": 1}', {"json": {"up": True}}, "failed", "JSON up is 1, expected true"),
        ("{}", {"json": {"status": "OK"}}, "failed", 'JSON has no status, expected "OK"'),
        ("[1]", {"json": {"status": "OK"}}, "failed", "JSON body is [1], expected a map"),
        ("<html>login", {"json": {"status": "OK"}}, "failed", "body <html>login is not JSON"),
        ('\ufeff{"status": "OK"}', {"json": {"status": "OK"}}, "ok", ""),
    ],
)
def test_bodies(serve, body, health, verdict, words):
    outcome = probe(serve(reply(200, body)), **health)
    assert outcome.verdict == verdict
    assert words in outcome.message


def test_a_chunked_body_is_read(serve):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nHea\r\n4\r\nlthy\r\n0\r\n\r\n"
    assert probe(serve(answer(raw)), text="Healthy").verdict == "ok"


def test_a_truncated_json_body_is_not_ok(serve):
    raw = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status": "O'
    outcome = probe(serve(answer(raw)), json={"status": "OK"})
    assert outcome.verdict == "failed"


def test_an_endless_body_is_not_read_for_ever(serve):
    sent = []

    def behave(connection, closing):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing.is_set():
            sent.append(connection.send(b"x" * 65536))

    outcome = probe(serve(behave), timeout=20, text="Healthy")
    assert "body of more than 1024 KiB" in outcome.message
    assert sum(sent) < 64 * 1024 * 1024


def test_terminal_codes_of_an_answer_are_left_out(serve):
    message = probe(serve(reply(200, "\x1b[2J\x1b[31mred\u202e\r\n" + "x" * 500)), text="Healthy").message
    assert message.isprintable()
    assert len(message) < 200


def test_connection_refused(serve):
    port = closed_port()
    outcome = probe(port, path="/ping")
    assert outcome.verdict == "failed"
    assert outcome.message == f"http://127.0.0.1:{port}/ping: connection refused, nothing listens there"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x28", "answers TLS, expected plain HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answers something else than HTTP: SSH-2.0-OpenSSH_9.2"),
        (b"", "connection closed without an answer"),
        (b"HTTP/1.1 abc\r\n\r\n", "answers something else than HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", "not sound HTTP"),
    ],
)
def test_what_is_not_http_is_named(serve, raw, words):
    outcome = probe(serve(answer(raw)))
    assert outcome.verdict == "failed"
    assert words in outcome.message


def test_a_wrong_path_is_inconclusive_not_green(serve):
    outcome = probe(serve(reply(200)), path="/with space")
    assert outcome.verdict == "inconclusive"
    assert "service file is wrong" in outcome.message


def test_one_that_hangs_costs_the_timeout_and_the_others_nothing(serve):
    good = serve(reply(200))
    jobs = {n: probes.http_probe(probes.Target("127.0.0.1", good), {}) for n in range(24)}
    jobs["hang"] = probes.http_probe(probes.Target("127.0.0.1", serve(hang)), {"path": "/ping"})
    began = time.monotonic()
    outcomes = probes.sweep(jobs, 0.8)
    took = time.monotonic() - began
    assert 0.7 < took < 1.6
    assert outcomes["hang"].verdict == "failed"
    assert outcomes["hang"].message.endswith("/ping: timed out after 0.8 s while waiting for an answer")
    assert all(outcomes[n].verdict == "ok" for n in range(24))


def trickle(first):
    def behave(connection, closing):
        connection.recv(65536)
        connection.sendall(first)
        while not closing.wait(0.05):
            connection.sendall(b"x")

    return behave


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Header: ", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="chunk size"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="body without length"),
        pytest.param(b"", id="status line"),
    ],
)
def test_one_that_trickles_does_not_escape_the_deadline(serve, first):
    began = time.monotonic()
    outcome = probe(serve(trickle(first)), timeout=0.6, text="Healthy")
    assert time.monotonic() - began < 1.4
    assert outcome.verdict == "failed"
    assert "timed out after 0.6 s while" in outcome.message


def test_a_cut_attempt_leaves_no_thread_behind(serve):
    before = threading.active_count()
    jobs = {n: probes.http_probe(probes.Target("127.0.0.1", serve(trickle(b""))), {}) for n in range(3)}
    servers = threading.active_count()
    probes.sweep(jobs, 0.3)
    deadline = time.monotonic() + 5
    while any(t.name.startswith("probe") for t in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert before <= servers
    assert not [t for t in threading.enumerate() if t.name.startswith("probe")]


def test_a_probe_that_breaks_is_inconclusive_and_alone(serve):
    def broken(_attempt):
        raise KeyError("bug")

    jobs = {
        "bad": ("it", broken),
        "good": probes.http_probe(probes.Target("127.0.0.1", serve(reply(200))), {}),
    }
    outcomes = probes.sweep(jobs, 5)
    assert outcomes["bad"].verdict == "inconclusive"
    assert "KeyError" in outcomes["bad"].message
    assert outcomes["good"].verdict == "ok"


def tcp(target, timeout=5.0):
    return probes.sweep({"x": probes.tcp_probe(target)}, timeout)["x"]


def test_tcp_open_and_silent_is_ok(serve):
    assert tcp(probes.Target("127.0.0.1", serve(hang))).verdict == "ok"


def test_tcp_with_a_greeting_is_ok(serve):
    def greet(connection, closing):
        connection.sendall(b"220 hello\r\n")
        closing.wait(30)

    assert tcp(probes.Target("127.0.0.1", serve(greet))).verdict == "ok"


def test_tcp_refused():
    assert "connection refused" in tcp(probes.Target("127.0.0.1", closed_port())).message


def test_tcp_that_only_a_proxy_accepts_is_not_ok(serve):
    outcome = tcp(probes.Target("127.0.0.1", serve(lambda connection, closing: None)))
    assert outcome.verdict == "failed"
    assert "nothing listens in the container" in outcome.message


def test_tcp_asks_the_container_itself(serve):
    proxy = serve(hang)
    outcome = tcp(probes.Target("127.0.0.1", proxy, ("127.0.0.1", closed_port())))
    assert outcome.verdict == "failed"
    assert "is published, but nothing listens on port" in outcome.message
    assert tcp(probes.Target("127.0.0.1", proxy, ("127.0.0.1", serve(hang)))).verdict == "ok"


def test_ipv6_addresses_stand_in_brackets():
    what, _probe = probes.http_probe(probes.Target("::1", 80), {"path": "/ping"})
    assert what == "http://[::1]:80/ping"
