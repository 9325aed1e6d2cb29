# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vpn_status, vpn_stop and vpn_start as a user runs them, on the lab's gluetun."""

import json
import os
import socket
import threading

import pytest
import stack_harness
from stack_harness import changed, docker, inspect

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_client

PROJECT = f"msvpn-{os.getpid()}"
PREFIX = f"{PROJECT}-"
FIRST_PORT = stack_harness.free_ports()
ONLY_QBITTORRENT = {
    **stack_harness.SMALL,
    "prowlarr": False,
    "sonarr": False,
    "sabnzbd": False,
}
CONNECTED = (
    "box: VPN connected: mullvad (wireguard), exit in Netherlands, Amsterdam, public IP 198.51.100.7, "
    "no forwarded port; behind it: qbittorrent"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    made = stack_harness.Stack(
        tmp_path_factory.mktemp("vpn"),
        PROJECT,
        FIRST_PORT,
        mediastack_container_prefix=PREFIX,
        mediastack_services=ONLY_QBITTORRENT,
    )
    made.remove()
    try:
        made.play("site")
        yield made
    finally:
        made.remove()


def everything(done):
    return done.stdout + done.stderr


def failing(done):
    """The line of a failed run; nothing else is printed but banners and the recap."""
    assert done.returncode != 0, everything(done)
    for sign in ("Traceback", '{"', "Origin:", "[WARNING]"):
        assert sign not in everything(done), everything(done)
    return next(line for line in everything(done).splitlines() if "FAILED! => " in line).partition(" => ")[2]


def running(stack):
    return {name: raw["State"]["Status"] for name, raw in stack.containers().items()}


def networks_of(name):
    """The network interfaces that a container sees."""
    return set(docker("exec", f"{PREFIX}{name}", "ls", "/sys/class/net").split())


def own_address():
    """An address of this machine that is on none of the stack's networks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


CONNECT = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2); print('got out')"


class Outside:
    """A listener on this machine, which is outside of every container's own networks."""

    def __enter__(self):
        self.listener = socket.create_server(("0.0.0.0", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                self.listener.accept()[0].close()
            except OSError:
                return

    def reached_by(self, *options):
        command = ["--entrypoint", "python3", "qmcgaw/gluetun:v3.41.3", "-c", CONNECT, own_address()]
        port = str(self.listener.getsockname()[1])
        return "got out" in docker("run", "--rm", *options, *command, port, check=False)


@pytest.mark.long
def test_status_of_a_connected_vpn(stack):
    done = stack.play("vpn_status")
    assert CONNECTED in done.stdout
    assert changed(done) == 0
    assert CONNECTED in stack.play("vpn_status", "--check").stdout


@pytest.mark.long
def test_the_key_that_reads_cannot_disconnect(stack):
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    address = {"url": f"http://127.0.0.1:{FIRST_PORT}", "wanted": "running", "timeout": 10}
    with pytest.raises(gluetun_client.GluetunError, match="HTTP 401"):
        gluetun_client.set_status(api_key=secrets["gluetun_api_key"], **address)
    assert gluetun_client.set_status(api_key=secrets["gluetun_control_key"], **address) == "already running"
    assert gluetun_client.read_status(address["url"])["auth_required"] is True
    status = gluetun_client.read_status(address["url"], api_key=secrets["gluetun_api_key"])
    assert (status["connected"], status["vpn_type"], status["updater_status"]) == (True, "wireguard", "stopped")


def test_stop_and_start(stack):
    before = stack.containers()["qbittorrent"]["State"]["StartedAt"]

    predicted = stack.play("vpn_stop", "--check")
    assert "box: would disconnect the VPN" in predicted.stdout

    stopped = stack.play("vpn_stop")
    # It was connected until now: the prediction did nothing.
    assert "box: disconnected the VPN" in stopped.stdout
    assert "box: VPN stopped; the kill switch stays: nothing behind it gets out." in stopped.stdout
    assert "Still running, without a connection: qbittorrent (-e stop_apps=true stops them)." in stopped.stdout
    assert changed(stopped) == 1

    message = failing(stack.play("vpn_status", check=False))
    assert message.startswith("VPN not connected: gluetun is stopped; held stopped since ")
    assert message.endswith(": run vpn_start")

    # What lives behind it goes on running, with a network that leads nowhere; a container beside it has a way out.
    with Outside() as outside:
        (beside,) = stack.containers()["gluetun"]["NetworkSettings"]["Networks"]
        assert outside.reached_by("--network", beside)
        assert not outside.reached_by("--network", f"container:{PREFIX}gluetun")
    assert stack.containers()["qbittorrent"]["State"]["StartedAt"] == before

    started = stack.play("vpn_start")
    assert CONNECTED in started.stdout
    assert "box: connected the VPN" in started.stdout
    assert changed(started) == 1
    assert stack.containers()["qbittorrent"]["State"]["StartedAt"] == before
    again = stack.play("vpn_start")
    assert CONNECTED in again.stdout
    assert changed(again) == 0


@pytest.mark.long
def test_stop_with_apps_and_start_brings_them_back(stack):
    stopped = stack.play("vpn_stop", "-e", "stop_apps=true")
    assert "Stopped as well: qbittorrent." in stopped.stdout
    assert running(stack) == {"gluetun": "running", "qbittorrent": "exited"}
    stack.play("vpn_start")
    assert running(stack) == {"gluetun": "running", "qbittorrent": "running"}
    assert "eth0" in networks_of("qbittorrent")


@pytest.mark.long
def test_start_puts_right_what_a_restart_of_gluetun_left_behind(stack):
    docker("restart", "--time", "2", f"{PREFIX}gluetun")
    assert networks_of("qbittorrent") == {"lo"}
    message = failing(stack.play("vpn_status", check=False))
    assert "qbittorrent: its network parent gluetun was started after it" in message or "no public IP" in message
    done = stack.play("vpn_start")
    assert CONNECTED in done.stdout
    assert "eth0" in networks_of("qbittorrent")
    parent = inspect(f"{PREFIX}gluetun")[f"{PREFIX}gluetun"]["Id"]
    assert stack.containers()["qbittorrent"]["HostConfig"]["NetworkMode"] == f"container:{parent}"


def test_running_is_not_connected(stack):
    docker("exec", f"{PREFIX}gluetun", "lab-fault", "disconnected")
    try:
        message = failing(stack.play("vpn_start", "-e", "mediastack_wait_timeout=2", check=False))
        assert message.startswith("VPN not connected after 2 s: gluetun is running, but has no public IP")
    finally:
        docker("exec", f"{PREFIX}gluetun", "lab-fault")


def test_a_misspelt_extra_var_touches_nothing(stack):
    message = everything(stack.play("vpn_stop", "-e", "stop_app=true", check=False))
    assert "-e stop_app=: vpn_stop knows no such name. Did you mean stop_apps=?" in message
    assert running(stack) == {"gluetun": "running", "qbittorrent": "running"}


@pytest.mark.long
def test_a_login_that_the_provider_refuses(stack):
    wireguard = {name: value for name, value in stack.variables.items() if "wireguard" in str(value)}
    stack.set(
        mediastack_vpn_type="openvpn",
        mediastack_vpn_provider="protonvpn",
        mediastack_vpn_openvpn_user="anna",
        mediastack_vpn_openvpn_password="wrong",
    )
    try:
        stack.play("site", "-e", "mediastack_wait_timeout=3", check=False)
        message = failing(stack.play("vpn_start", "-e", "mediastack_wait_timeout=60", check=False))
        assert message.startswith("VPN not connected: the VPN provider refuses the login (AUTH_FAILED)")
        assert "Correct mediastack_vpn_openvpn_user and mediastack_vpn_openvpn_password, then run site" in message
    finally:
        stack.set(mediastack_vpn_provider="mullvad", **wireguard)


def test_without_a_vpn_in_the_inventory(stack):
    stack.set(mediastack_vpn_enabled=False)
    try:
        words = "VPN OFF: torrents use your own address. mediastack_vpn_enabled is false in the inventory"
        assert failing(stack.play("vpn_status", check=False)) == words
        stop = failing(stack.play("vpn_stop", check=False))
        assert stop == f"{words}, so there is no VPN to stop, and no kill switch"
    finally:
        stack.set(mediastack_vpn_enabled=True)
