# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vpn_status, vpn_stop and vpn_start: a pretended engine, and a control server that answers as gluetun does."""

import json
import pathlib
import sys

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    holds,
    stack,
    vpn_started,
    vpn_stopped,
    vpn_verbs,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Completed
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import VpnError

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from sim import core, gluetun_control, gluetun_rules  # noqa: E402

READ = {f"GET /v1/{path}" for path in ("version", "vpn/status", "dns/status", "publicip/ip", "portforward")}
HOUR = "2026-11-22T%s:00:00Z"


class Host:
    """An engine with containers, as far as `docker ps`, `inspect` and `logs` show it."""

    def __init__(self, path, control, url):
        self.path, self.control, self.port = path, control, int(url.rpartition(":")[2])
        self.containers = {}
        self.log = []
        self.runs = []
        (path / ".mediastack").mkdir(mode=0o700)
        self.store({"gluetun_api_key": "reads", "gluetun_control_key": "changes"})
        self.add("gluetun", "1", "10")
        self.add("qbittorrent", "2", "11", parent="1")

    def store(self, secrets):
        (self.path / ".mediastack" / "secrets.json").write_text(json.dumps({"schema": 1, "secrets": secrets}))

    def add(self, name, number, hour, parent=None, status="running", env=()):
        labels = {
            "com.docker.compose.project": "media",
            "com.docker.compose.service": name,
            "com.docker.compose.project.working_dir": str(self.path),
        }
        ports = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(self.port)}]} if name == "gluetun" else {}
        self.containers[name] = {
            "Id": number * 64,
            "Name": f"/{name}",
            "Image": "sha256:1",
            "Created": HOUR % hour,
            "Config": {"Labels": labels, "Image": name, "Env": ["VPN_SERVICE_PROVIDER=mullvad", *env]},
            "State": {"Status": status, "ExitCode": 1, "StartedAt": HOUR % hour},
            "HostConfig": {"NetworkMode": f"container:{parent * 64}" if parent else "media_media"},
            "NetworkSettings": {"Ports": ports, "Networks": {}},
            "Mounts": [{"Destination": "/gluetun", "Source": "/srv/config/gluetun"}],
        }

    def run(self, *arguments, **_options):
        if arguments[0] == "ps":
            return Completed(0, "\n".join(raw["Id"] for raw in self.containers.values()), "")
        if arguments[0] == "inspect":
            return Completed(0, json.dumps([raw for raw in self.containers.values() if raw["Id"] in arguments]), "")
        assert arguments[0] == "logs"
        return Completed(0, "\n".join(self.log), "")

    def stack_run(self, request, docker=None):
        """What `stop` and `restart` do."""
        self.runs.append((request.state, list(request.services)))
        for name in request.services:
            running = request.state == "restarted"
            self.containers[name]["State"].update(
                Status="running" if running else "exited", StartedAt=HOUR % "12" if running else HOUR % "10"
            )
            if self.containers[name]["HostConfig"]["NetworkMode"].startswith("container:"):
                self.containers[name]["HostConfig"]["NetworkMode"] = "container:" + "1" * 64
        return {"changed": True, "actions": [f"{request.state} {name}" for name in request.services]}, None

    def held(self):
        return holds.read(str(self.path))


@pytest.fixture(scope="module")
def server():
    """One for all tests, for its end takes half a second; `server.control` is the test's own."""

    def answer(request):
        return made.control.answer(request)

    made = core.serve(("127.0.0.1", 0), answer)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def host(tmp_path, monkeypatch, server):
    env = {"VPN_TYPE": "wireguard", "VPN_SERVICE_PROVIDER": "mullvad", "WIREGUARD_PRIVATE_KEY": "A" * 43 + "="}
    source = gluetun_rules.Source({**env, "WIREGUARD_ADDRESSES": "10.64.0.2/32"}, "/nonexistent", "/nonexistent")
    settings = gluetun_rules.settings_object(source, *gluetun_rules.check(source), "v3.41.2")
    roles = [
        {"auth": "apikey", "apikey": "reads", "routes": READ},
        {"auth": "apikey", "apikey": "changes", "routes": {"PUT /v1/vpn/status"}},
    ]
    control = gluetun_control.Control("v3.41.2", settings, {"version": "v3.41.3", "commit": "3d1e20c"}, roles)
    control.vpn, control.public_ip = "running", {"public_ip": "198.51.100.7", "country": "Netherlands"}

    def connect():
        control.public_ip = {"public_ip": "198.51.100.7", "country": "Netherlands"}
        return True

    control.start_vpn = connect
    server.control = control
    made = Host(tmp_path, control, "http://127.0.0.1:%d" % server.server_address[1])
    monkeypatch.setattr(vpn_verbs, "POLL", 0.02)
    monkeypatch.setattr(vpn_started, "POLL", 0.02)
    monkeypatch.setattr(vpn_started, "LOG_EVERY", 0.05)
    monkeypatch.setattr(stack, "run", made.stack_run)
    return made


KINDS = {"status": vpn_verbs.Status, "started": vpn_started.Started, "stopped": vpn_stopped.Stopped}


def verb(host, state, **changes):
    given = {
        "members": ["qbittorrent"],
        "who": "anna@laptop",
        "why": "vpn_stop",
        "wait_timeout": 0.3,
        "timeout": 5,
        **changes,
    }
    return KINDS[state](vpn_verbs.Ask(state, "media", str(host.path), **given), host)


def run(host, state, **changes):
    made = verb(host, state, **changes)
    made.run()
    return made.result()


def refused(host, state, **changes):
    with pytest.raises((VpnError, GluetunError)) as caught:
        verb(host, state, **changes).run()
    return str(caught.value)


# -- status --------------------------------------------------------------------


def test_connected(host):
    result = run(host, "status")
    assert result["connected"] is True
    assert result["changed"] is False
    assert (result["provider"], result["country"], result["public_ip"]) == ("mullvad", "Netherlands", "198.51.100.7")
    assert result["behind"] == result["running"] == ["qbittorrent"]


def test_running_without_an_address_says_what_the_log_says(host):
    host.control.public_ip = {}
    host.log = [
        "2026-11-22T10:00:00Z INFO [ip getter] Public IP address is 198.51.100.7",
        "2026-11-22T11:00:00Z WARN [vpn] restarting VPN because it failed to pass the healthcheck: startup check: no",
    ]
    message = refused(host, "status")
    assert message.startswith("VPN not connected: gluetun is running, but has no public IP; the tunnel carries nothing")


def test_stopped_by_somebody(host):
    run(host, "stopped")
    message = refused(host, "status")
    assert message.startswith("VPN not connected: gluetun is stopped; held stopped since ")
    assert message.endswith(" by anna@laptop: run vpn_start")


def test_gluetun_refuses_its_settings(host):
    host.add("gluetun", "1", "10", status="restarting")
    host.log = [
        "2026-11-22T10:00:00Z ERROR VPN settings: Wireguard settings: private key is not valid: wgtypes: failed"
    ]
    message = refused(host, "status")
    assert message == (
        "VPN not connected: gluetun's container is restarting (exit code 1); gluetun refuses its settings: private key "
        "is not valid. Correct mediastack_vpn_wireguard_*, then run site"
    )


def test_no_gluetun(host):
    del host.containers["gluetun"]
    assert refused(host, "status") == "VPN not connected: gluetun has no container: run site, which makes it"


def test_a_member_outside_and_a_member_in_a_dead_network(host):
    host.add("qbittorrent", "2", "09", parent="1")
    message = refused(host, "status")
    assert "qbittorrent: its network parent gluetun was started after it" in message
    assert message.endswith("run vpn_start, which puts it right")
    host.add("qbittorrent", "2", "11")
    assert "qbittorrent is outside of it, with a network of its own: run site" in refused(host, "status")


def test_without_a_lookup_of_the_address_the_health_check_decides(host):
    host.control.public_ip = {}
    host.add("gluetun", "1", "10", env=["PUBLICIP_ENABLED=off"])
    assert "gluetun is running, but has no public IP" in refused(host, "status")
    host.containers["gluetun"]["State"]["Health"] = {"Status": "healthy"}
    assert run(host, "status")["connected"] is True


def test_a_key_that_gluetun_does_not_take(host):
    host.store({"gluetun_api_key": "other"})
    message = refused(host, "status")
    assert "gluetun refuses the stack's key gluetun_api_key" in message
    assert "Delete /srv/config/gluetun/auth/mediastack.toml, run site" in message
    assert run(host, "status", keys={"gluetun_api_key": "reads"})["connected"] is True
    host.store({})
    assert "this host has no gluetun_api_key yet: run site" in refused(host, "status")


# -- stop ----------------------------------------------------------------------


def test_stop_disconnects_holds_and_tells_who_still_runs(host):
    result = run(host, "stopped")
    assert host.control.vpn == "stopped"
    assert result["changed"] is True
    assert result["connected"] is False
    assert result["public_ip"] == ""
    assert result["actions"] == ["disconnect the VPN"]
    said = result["messages"][0]
    assert said.startswith("VPN stopped; the kill switch stays: nothing behind it gets out.")
    assert "Still running, without a connection: qbittorrent (-e stop_apps=true stops them)." in said
    assert said.endswith("vpn_start connects again.")
    assert host.held()["vpn"]["who"] == "anna@laptop"
    again = run(host, "stopped")
    assert again["changed"] is False
    assert again["actions"] == []


def test_stop_with_its_apps(host):
    result = run(host, "stopped", stop_apps=True)
    assert host.runs == [("stopped", ["qbittorrent"])]
    assert result["actions"] == ["stopped qbittorrent", "disconnect the VPN"]
    assert "Stopped as well: qbittorrent." in result["messages"][0]


def test_stop_in_check_mode_changes_nothing(host):
    result = run(host, "stopped", stop_apps=True, check=True)
    assert result["changed"] is True
    assert result["actions"] == ["stop qbittorrent", "disconnect the VPN"]
    assert host.control.vpn == "running"
    assert host.held() == {}
    assert host.runs == []


@pytest.mark.parametrize("status", ["crashed", "starting", "stopping"])
def test_the_text_decides_not_the_code(host, status):
    """All of these are HTTP 200."""
    host.control.vpn = status
    message = refused(host, "stopped")
    assert f'gluetun was asked for stopped and says "already {status}" after 0.3 s' in message
    assert "stop -e service=gluetun stops its container, and nothing behind it gets out either" in message
    assert host.held() == {}, "what is not stopped is not held"


def test_stop_waits_for_a_start_that_is_on_its_way(host):
    host.control.vpn = "starting"
    made = verb(host, "stopped", wait_timeout=10)
    ask = made.tunnel.put

    def put(wanted, patience):
        outcome = ask(wanted, patience)
        host.control.vpn = "running" if outcome == "already starting" else host.control.vpn
        return outcome

    made.tunnel.put = put
    made.run()
    assert host.control.vpn == "stopped"


def test_stop_refuses_what_would_let_something_out(host):
    name = "FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT"
    host.add("gluetun", "1", "10", env=[f"{name}=Off"])
    assert "gluetun's kill switch is off (mediastack_overrides)" in refused(host, "stopped")
    host.add("gluetun", "1", "10")
    host.add("qbittorrent", "2", "11")
    message = refused(host, "stopped", stop_apps=True)
    assert "qbittorrent runs outside of the VPN, with a network of its own" in message
    del host.containers["gluetun"]
    assert "there is no VPN to stop: gluetun has no container" in refused(host, "stopped")
    assert host.control.vpn == "running"
    assert host.held() == {}
    assert host.runs == []


def test_stop_of_a_gluetun_whose_container_is_down(host):
    host.add("gluetun", "1", "10", status="exited")
    result = run(host, "stopped")
    assert "gluetun's container is exited, and nothing behind it has a network" in result["messages"][0]
    assert "vpn" in host.held()


def test_stop_of_a_gluetun_that_connects_again_by_itself(host):
    host.control.version = {"version": "v3.40.4", "commit": "x"}
    assert run(host, "stopped")["messages"][0].startswith("gluetun v3.40.4 connects again by itself")


def test_stop_with_an_old_file_of_roles(host):
    host.control.roles = host.control.roles[:1]
    message = refused(host, "stopped")
    assert "gluetun refuses the stack's key gluetun_control_key" in message
    assert host.held() == {}


# -- start ---------------------------------------------------------------------


def test_start_after_stop(host):
    run(host, "stopped", stop_apps=True)
    host.runs.clear()
    result = run(host, "started")
    assert result["connected"] is True
    assert result["changed"] is True
    assert result["actions"][0].startswith("let go of vpn, held stopped since ")
    assert result["actions"][1:] == ["connect the VPN", "restarted qbittorrent"]
    assert host.held() == {}
    again = run(host, "started")
    assert (again["changed"], again["actions"], again["connected"]) == (False, [], True)


def test_start_brings_back_what_a_restart_left_behind(host):
    host.add("qbittorrent", "2", "09", parent="1")
    assert run(host, "started")["changed"] is True
    assert host.runs == [("restarted", ["qbittorrent"])]


def test_start_leaves_what_somebody_stopped(host):
    holds.record(str(host.path), ["qbittorrent"], holds.STOP, "otto@nas", "stop")
    host.add("qbittorrent", "2", "11", parent="1", status="exited")
    result = run(host, "started")
    assert result["messages"][0].startswith("qbittorrent stays stopped: held stopped since ")
    assert host.runs == []


def test_start_of_a_container_that_is_down(host):
    host.add("gluetun", "1", "10", status="exited")
    holds.record(str(host.path), ["gluetun"], holds.STOP, "otto@nas", "stop")
    run(host, "started")
    assert host.runs[0] == ("restarted", ["gluetun"])
    assert host.held() == {}


def test_start_tells_that_the_login_is_refused_without_waiting(host):
    host.control.vpn, host.control.public_ip = "stopped", {}
    host.control.start_vpn = lambda: True
    host.log = ["2026-11-22T10:00:00Z ERROR [openvpn] AUTH: Received control message: AUTH_FAILED"]
    message = refused(host, "started", wait_timeout=60)
    assert message.startswith("VPN not connected: the VPN provider refuses the login (AUTH_FAILED)")
    assert "mediastack_vpn_openvpn_password" in message


def test_start_ends_when_the_time_is_up(host):
    host.control.public_ip = {}
    message = refused(host, "started")
    assert message == "VPN not connected after 0.3 s: gluetun is running, but has no public IP"


def test_start_of_a_crashed_vpn(host):
    host.control.vpn = "crashed"
    assert 'asked for running and says "already crashed" after 0.3 s' in refused(host, "started")


def test_start_needs_every_member(host):
    assert "VPN connected, but without a container: sabnzbd. Run site" in refused(
        host, "started", members=["qbittorrent", "sabnzbd"]
    )


def test_start_that_keeps_losing_a_member(host, monkeypatch):
    host.add("qbittorrent", "2", "09", parent="1")
    monkeypatch.setattr(stack, "run", lambda request, docker=None: ({"changed": True, "actions": []}, None))
    message = refused(host, "started")
    assert message.startswith("VPN connected, but not everything stays behind it: qbittorrent: ")


def test_start_in_check_mode_changes_nothing(host):
    run(host, "stopped")
    host.add("qbittorrent", "2", "09", parent="1")
    result = run(host, "started", check=True)
    assert result["changed"] is True
    assert result["actions"][1] == "connect the VPN"
    assert result["actions"][2].startswith("bring qbittorrent behind the VPN: ")
    assert host.control.vpn == "stopped"
    assert "vpn" in host.held()


def test_no_stack(host, tmp_path):
    for state in ("started", "stopped"):
        made = verb(host, state)
        made.ask = made.ask._replace(project_path=str(tmp_path / "nowhere"))
        with pytest.raises(VpnError, match="there is no stack at .*nowhere: run site"):
            made.run()
