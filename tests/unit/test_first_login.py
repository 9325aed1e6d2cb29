# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""First logins against stand-ins with the rules of Sonarr's and Jellyfin's own controllers."""

import http.server
import json
import threading
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import app_login, atomic_files, first_login

VALUES = {"sonarr_api_key": "k" * 32, "sonarr_password": "a-long-password", "jellyfin_password": "another-password"}


class StandIn:
    """An HTTP server; `rules(method, path, headers, body)` gives (status, answer)."""

    def __init__(self, rules):
        stand_in = self
        self.calls = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                stand_in.calls.append((self.command, self.path, body))
                status, answer = rules(self.command, self.path, self.headers, body)
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Sonarr:
    """HostConfigController: keys, validation, the first answers of a start."""

    def __init__(self, username="", starting=0, refuse=None, version="v3"):
        self.host = {"id": 1, "username": username, "password": "", "authenticationMethod": "none", "port": 8989}
        self.starting, self.refuse, self.version = starting, refuse, version

    def __call__(self, method, path, headers, body):
        if headers.get("X-Api-Key") != VALUES["sonarr_api_key"]:
            return 401, ""
        if self.starting:
            self.starting -= 1
            return 503, {"errorMessage": "Sonarr is starting up, please try again later"}
        if path == "/api":
            return 200, {"current": self.version, "deprecated": []}
        if (method, path) == ("GET", "/api/%s/config/host" % self.version):
            return 200, self.host
        if (method, path) == ("PUT", "/api/%s/config/host/1" % self.version):
            if self.refuse:
                return 400, self.refuse
            if not body["password"] or body["password"] != body["passwordConfirmation"]:
                return 400, [{"propertyName": "PasswordConfirmation", "errorMessage": "Must match Password"}]
            self.host = body
            return 202, body
        return 404, {}


class Jellyfin:
    """StartupController: the user must be asked for first; after the wizard all of it answers 401."""

    def __init__(self, done=False, degraded=1):
        self.done, self.degraded, self.user, self.password = done, degraded, None, None

    def __call__(self, method, path, _headers, body):
        if path == "/health":
            self.degraded -= 1
            return 200, "Degraded" if self.degraded >= 0 else "Healthy"
        if path == "/System/Info/Public":
            return 200, {"StartupWizardCompleted": self.done and self.degraded < 0}
        if self.done:
            return 401, ""
        if (method, path) == ("GET", "/Startup/User"):
            self.user = "root"
            return 200, {"Name": "root"}
        if (method, path) == ("POST", "/Startup/User"):
            if self.user is None:
                return 404, ""
            self.user, self.password = body["Name"], body["Password"]
            return 204, ""
        if (method, path) == ("POST", "/Startup/Complete"):
            self.done = True
        return 204, ""


@pytest.fixture
def serve():
    running = []

    def start(rules):
        running.append(StandIn(rules))
        return running[-1]

    yield start
    for one in running:
        one.close()


def services_of(tmp_path, **ports):
    return {
        name: {
            "config_dir": str(tmp_path / "config" / name),
            "login": {
                "kind": "jellyfin" if name == "jellyfin" else "servarr",
                "username": "admin",
                "password": name + "_password",
            },
            "ports": [{"name": "web", "service": name, "protocol": "tcp", "port": port, "target": 80, "addresses": []}],
        }
        for name, port in ports.items()
    }


def containers_of(**ports):
    return [
        {
            "Config": {"Labels": {"com.docker.compose.service": name}},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(port)}]}},
        }
        for name, port in ports.items()
    ]


def log_in(tmp_path, seconds=5, **ports):
    services = services_of(tmp_path, **ports)
    return first_login.apply(
        sorted(services),
        services,
        VALUES,
        containers_of(**ports),
        time.monotonic() + seconds,
        str(tmp_path / "project"),
    )


def test_sonarr_gets_its_login_after_its_start(tmp_path, serve):
    app = Sonarr(starting=2)
    result = log_in(tmp_path, sonarr=serve(app).port)
    assert result == {"sonarr": {"action": "set", "error": None}}
    assert app.host["username"] == "admin"
    assert app.host["password"] == VALUES["sonarr_password"]
    assert app.host["authenticationMethod"] == "forms"
    assert app.host["authenticationRequired"] == "enabled"
    assert app.host["port"] == 8989, "the other settings must stay"


def test_the_kin_with_api_v1(tmp_path, serve):
    app = Sonarr(version="v1")
    assert log_in(tmp_path, sonarr=serve(app).port)["sonarr"]["action"] == "set"


def test_a_login_that_somebody_chose_stays(tmp_path, serve):
    stand_in = serve(Sonarr(username="tom"))
    assert log_in(tmp_path, sonarr=stand_in.port)["sonarr"]["action"] == "present"
    assert not [call for call in stand_in.calls if call[0] == "PUT"]


def test_jellyfin_wizard_in_its_own_order(tmp_path, serve):
    app = Jellyfin(degraded=2)
    assert log_in(tmp_path, jellyfin=serve(app).port) == {"jellyfin": {"action": "set", "error": None}}
    assert (app.done, app.user, app.password) == (True, "admin", VALUES["jellyfin_password"])


def test_jellyfin_that_was_set_up_is_left_alone(tmp_path, serve):
    stand_in = serve(Jellyfin(done=True, degraded=2))
    assert log_in(tmp_path, jellyfin=stand_in.port)["jellyfin"]["action"] == "present"
    assert not [call for call in stand_in.calls if call[0] == "POST"]


def test_several_at_once_and_remembered(tmp_path, serve):
    results = log_in(tmp_path, sonarr=serve(Sonarr()).port, jellyfin=serve(Jellyfin()).port)
    assert {name: result["action"] for name, result in results.items()} == {"sonarr": "set", "jellyfin": "set"}
    services = services_of(tmp_path, sonarr=1, jellyfin=2)
    made = [service["config_dir"] for service in services.values()]
    assert first_login.plan(services, str(tmp_path / "project"), made) == []


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Sonarr(starting=10**6), "GET /api: status 503 until the time was up"),
        (lambda *_: (401, ""), "GET /api was answered with 401"),
        (lambda *_: (200, "<html>"), "not Sonarr or one of its kin"),
        (
            Sonarr(refuse=[{"errorMessage": "Branch is required", "attemptedValue": "a-long-password"}]),
            "answered with 400: Branch is required",
        ),
    ],
)
def test_a_failure_is_readable_and_shows_no_secret(tmp_path, serve, rules, words):
    result = log_in(tmp_path, 0.8, sonarr=serve(rules).port)["sonarr"]
    assert words in result["error"]
    assert result["error"].startswith("the login of sonarr was not set")
    assert VALUES["sonarr_password"] not in result["error"]
    assert not (tmp_path / "project").exists(), "a failure is tried again by the next run"


def test_nobody_listens(tmp_path, serve):
    stand_in = serve(Sonarr())
    stand_in.server.socket.close()
    assert "no answer" in log_in(tmp_path, 3, sonarr=stand_in.port)["sonarr"]["error"]


def test_without_a_container_there_is_no_way(tmp_path):
    services = services_of(tmp_path, sonarr=1)
    result = first_login.apply(["sonarr"], services, VALUES, [], time.monotonic() + 1, str(tmp_path))
    assert "cannot be reached" in result["sonarr"]["error"]


def test_the_address_is_the_published_one_else_the_containers(tmp_path):
    services = services_of(tmp_path, sonarr=8989)
    container = containers_of(sonarr=8989)[0]
    assert app_login.address("sonarr", services, [container]) == ("127.0.0.1", 8989)
    container["NetworkSettings"]["Ports"]["80/tcp"][0]["HostIp"] = "192.168.1.5"
    assert app_login.address("sonarr", services, [container]) == ("192.168.1.5", 8989)
    container["NetworkSettings"] = {"Ports": {"80/tcp": None}, "Networks": {"media": {"IPAddress": "172.18.0.4"}}}
    assert app_login.address("sonarr", services, [container]) == ("172.18.0.4", 80)


def test_a_member_of_the_vpn_is_reached_through_gluetun(tmp_path):
    services = services_of(tmp_path, sonarr=8989)
    services["gluetun"] = {"ports": services["sonarr"].pop("ports")}
    assert app_login.address("sonarr", services, containers_of(gluetun=18989)) == ("127.0.0.1", 18989)


def test_only_where_we_made_the_config_directory(tmp_path):
    project = str(tmp_path / "project")
    services = services_of(tmp_path, sonarr=1, radarr=2)
    services["plex"] = {"login": {"kind": "none"}, "config_dir": "/x"}
    services["unpackerr"] = {"login": None, "config_dir": None}
    assert first_login.plan(services, project) == []
    assert first_login.plan(services, project, [services["sonarr"]["config_dir"]]) == ["sonarr"]
    atomic_files.state_directory(project)
    atomic_files.write_json(
        project + "/.mediastack/manifest.json", {"directories": {services["radarr"]["config_dir"]: []}}
    )
    assert first_login.plan(services, project) == ["radarr"]


def test_a_key_from_the_apps_own_file(tmp_path, serve):
    app = Sonarr()
    config = tmp_path / "config" / "other"
    config.mkdir(parents=True)
    (config / "config.xml").write_text(
        "<Config><ApiKey>%s</ApiKey><UrlBase></UrlBase></Config>" % VALUES["sonarr_api_key"]
    )
    port = serve(app).port
    services = services_of(tmp_path, other=port)
    services["other"]["login"]["password"] = "sonarr_password"
    result = first_login.apply(
        ["other"], services, VALUES, containers_of(other=port), time.monotonic() + 5, str(tmp_path / "project")
    )
    assert result["other"]["action"] == "set"
