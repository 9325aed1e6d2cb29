# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""leak_test on a stand-in with gluetun's rules: a sound stack passes, and every kind of leak is caught by its check."""

import json
import os
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest
import stack_harness
from compose_stack_lab import ROOT, docker, until
from leak_lab import NAME, LeakLab

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    holds,
    leak_around,
    leak_kill_switch,
    leak_run,
    vpn_tunnel,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker

ALWAYS = ["namespace", "route", "public_ip", "dns", "ipv6", "bypass"]


@pytest.fixture
def stacks(box, monkeypatch, tmp_path):
    """Makes LeakLabs. The host's resolver is the lab's, so that no query leaves this machine."""
    made = []
    real = socket.getaddrinfo

    def make(**kind):
        lab = LeakLab(**kind)
        made.append(lab)
        lab.__enter__()
        conf = tmp_path / "resolv.conf"
        conf.write_text(f"nameserver {lab.echo}\n")
        monkeypatch.setattr(leak_around, "RESOLV_CONFS", (str(conf),))
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **k: real(lab.echo if host == NAME else host, *a, **k)
        )
        return lab

    yield make
    for lab in made:
        lab.__exit__()


def states(result, app="qbittorrent"):
    return {check: row["state"] for (name, check), row in result["rows"].items() if name == app}


def evidence(result, check, app="qbittorrent"):
    return result["rows"][app, check]["evidence"]


def tunnel_is(lab, status):
    return until(lambda: f'"{status}"' in lab.status(), what=f"the VPN {status}")


def test_a_sound_stack_passes_every_check_and_is_left_as_it_was(stacks):
    lab = stacks(apps=("qbittorrent", "sabnzbd"))
    before = lab.lab.lives()
    result = lab.test(kill_switch=True, capture=3)
    assert result["passed"], result["checks"]
    expected = dict.fromkeys([*ALWAYS, "kill_switch", "capture"], "passed")
    assert states(result) == states(result, "sabnzbd") == expected
    assert evidence(result, "public_ip") == f"{lab.exit}, as gluetun says, and not the host's"
    assert "UDP tracker announce: the firewall drops it" in evidence(result, "kill_switch")
    assert evidence(result, "bypass") == (
        "bound to eth0, sent from the address of eth0, marked as gluetun's own: the firewall drops it"
    )
    assert evidence(result, "capture").startswith("0 packets past the tunnel on br-")
    assert (result["leaking"], result["changed"]) == ([], False)
    assert lab.host not in json.dumps(result["checks"]).replace(lab.exit, "")
    assert (lab.lab.lives(), lab.test()["passed"]) == (before, True)


def test_an_app_on_the_bridge_is_caught_stopped_and_held(stacks):
    lab = stacks(apps=("qbittorrent", "sabnzbd"), leaky=("sabnzbd",))
    result = lab.test(capture=2, stop_leaking=True)
    assert set(states(result).values()) == {"passed"}
    failed = [check for check, state in states(result, "sabnzbd").items() if state == "failed"]
    assert failed == ["namespace", "route", "public_ip", "dns", "bypass", "capture"]
    assert evidence(result, "public_ip", "sabnzbd") == "it is seen at the host's own public address"
    assert "answers past the tunnel" in evidence(result, "dns", "sabnzbd")
    assert f"to {lab.echo} port 80" in evidence(result, "capture", "sabnzbd")
    assert result["leaking"] == ["sabnzbd"]
    assert lab.host not in json.dumps([result["checks"], result["messages"]]).replace(lab.exit, "")
    assert lab.lab.states() == {"gluetun": "running", "qbittorrent": "running", "sabnzbd": "exited"}
    held = holds.read(str(lab.path))
    assert (held["sabnzbd"]["verb"], held["sabnzbd"]["why"]) == ("stop", "leak_test on_leak=stop")
    again = lab.test()
    assert again["passed"]
    assert again["messages"][0].startswith("sabnzbd was not tested: it is held stopped since ")


def test_the_hosts_address_is_shown_when_asked_for(stacks):
    lab = stacks()
    assert lab.test(show_host_ip=True)["host_ip"] == lab.host
    assert "host_ip" not in lab.test()


def test_a_resolver_in_an_allowed_network_at_home_is_a_leak(stacks):
    lab = stacks(home_resolver=True)
    result = lab.test(resolvers=[lab.home])
    assert states(result) == {**dict.fromkeys(ALWAYS, "passed"), "dns": "failed"}
    assert evidence(result, "dns") == (
        f"the resolver {lab.home} in {lab.subnet}, which mediastack_vpn_local_subnets allows, answers past the tunnel"
    )


def test_a_missing_kill_switch_is_caught_with_the_vpn_up_by_its_check_and_by_the_count(stacks):
    lab = stacks(kill_switch=False)
    up = lab.test()
    assert states(up) == {**dict.fromkeys(ALWAYS, "passed"), "bypass": "failed"}
    for how in ("bound to eth0", "sent from the address of eth0", "marked as gluetun's own"):
        assert f"gets out {how}" in evidence(up, "bypass") or "and 3 more" in evidence(up, "bypass")
    assert up["leaking"] == ["qbittorrent"]
    result = lab.test(kill_switch=True, capture=3)
    assert states(result) == {
        **dict.fromkeys(ALWAYS, "passed"),
        **dict.fromkeys(["bypass", "kill_switch", "capture"], "failed"),
    }
    for way in ("TCP: an answer", "UDP tracker announce: an answer", f"DNS to {lab.echo}: an answer"):
        assert way in evidence(result, "kill_switch")
    assert result["leaking"] == ["qbittorrent"]
    tunnel_is(lab, "running")


def test_a_packet_past_the_tunnel_with_the_tunnels_own_address_is_counted(stacks):
    """What an established connection sends by the bridge: its source is the tunnel's address, not the container's."""
    lab = stacks()
    lab.inside(lab.gluetun, "iptables", "-P", "OUTPUT", "ACCEPT")
    lab.drip(lab.gluetun, "eth0", lab.exit, lab.echo)
    result = lab.test(capture=3)
    assert states(result)["capture"] == "failed"
    # Not the test's own attempts, which go to port 53 and 80.
    assert f"UDP to {lab.echo} port 6881" in evidence(result, "capture")


def test_an_app_in_a_dead_network_fails_and_is_no_leak(stacks):
    lab = stacks()
    lab.processes.pop().kill()
    # With gluetun its tunnel goes, too.
    lab.inside(lab.gluetun, "ip", "link", "del", "tun0")
    docker("restart", "-t", "0", lab.lab.one("gluetun")["Id"])
    result = lab.test(stop_leaking=True)
    assert states(result)["namespace"] == "failed"
    assert "started after it" in evidence(result, "namespace")
    assert states(result)["route"] == states(result)["public_ip"] == "inconclusive"
    assert (result["passed"], result["leaking"], lab.lab.states()["qbittorrent"]) == (False, [], "running")


def test_a_vpn_that_is_down_is_inconclusive(stacks):
    lab = stacks()
    docker("exec", lab.lab.one("gluetun")["Id"], "true")
    tunnel = vpn_tunnel.Tunnel(Docker(), lab.lab.name, str(lab.path), lab.apps, lab.request()[0].keys, 5)
    assert tunnel.look().put("stopped", 10) == "stopped"
    result = lab.test(kill_switch=True)
    assert not result["passed"]
    assert states(result)["public_ip"] == states(result)["kill_switch"] == "inconclusive"
    assert "VPN not connected: gluetun is stopped: run vpn_start" in result["messages"]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_vpn_comes_back_when_the_test_is_ended(stacks, monkeypatch, number):
    lab = stacks()
    turns = iter([dict, lambda: time.sleep(100)])

    def stuck(*_arguments):
        return next(turns)()

    monkeypatch.setattr(leak_kill_switch, "inside", stuck)
    child = os.fork()
    if child == 0:
        try:
            lab.test(kill_switch=True)
        except vpn_tunnel.VpnError as error:
            os._exit(3 if "the VPN was brought back" in str(error) else 4)
        finally:
            os._exit(5)
    tunnel_is(lab, "stopped")
    os.kill(child, number)
    code = os.waitpid(child, 0)[1]
    tunnel_is(lab, "running")
    if number == signal.SIGTERM:
        assert os.waitstatus_to_exitcode(code) == 3
    monkeypatch.undo()
    # The guard has let go of the lock.
    assert leak_run.RunLock(str(lab.path), "test", 10).__enter__()


class Playbook(stack_harness.Stack):
    """The inventory of a LeakLab."""

    def __init__(self, directory, lab):
        super().__init__(
            directory,
            lab.lab.name,
            1024,
            mediastack_base_path=str(lab.lab.base),
            mediastack_project_path=str(lab.path),
            mediastack_services={**stack_harness.SMALL, "sabnzbd": False, "prowlarr": False, "sonarr": False},
            mediastack_secrets={"gluetun_api_key": "reads", "gluetun_control_key": "controls"},
            mediastack_leak_test_ip_echo=f"http://{lab.echo}/ip",
            mediastack_leak_test_tracker=f"udp://{lab.echo}:6969",
            mediastack_leak_test_public_dns=[lab.echo],
            mediastack_wait_timeout=20,
        )


def test_the_playbook(stacks, tmp_path):
    lab = stacks()
    play = Playbook(tmp_path / "inventory", lab)
    report, junit = tmp_path / "leaks.json", tmp_path / "leaks.xml"

    described = play.play("leak_test", "--check", "-e", "kill_switch=true", "-e", "capture=2")
    assert "box: would take the VPN down, try to get out in every way, bring it back" in described.stdout
    assert "RESULT" not in described.stdout

    done = play.play("leak_test", "-e", "kill_switch=true", "-e", "capture=2", "-e", f"output={report},{junit}")
    assert "8 of 8 checks passed" in done.stdout
    assert stack_harness.changed(done) == 0
    found = json.loads(report.read_text())
    assert (found["schema"], found["passed"], len(found["checks"])) == (1, True, 8)
    assert ET.parse(junit).getroot().get("tests") == "8"

    lab.inside(lab.gluetun, "iptables", "-P", "OUTPUT", "ACCEPT")
    only = play.play("leak_test", "-e", "kill_switch=true", "-e", "output=-", check=False)
    assert only.returncode == 2
    assert json.loads(only.stdout)["hosts"]["box"]["leaking"] == ["qbittorrent"]
    failing = play.play("leak_test", "-e", "kill_switch=true", "-e", f"output={junit}", check=False)
    everything = failing.stdout + failing.stderr
    assert (
        "FAILED! => LEAK: box/qbittorrent; 2 of 7 checks failed: box/qbittorrent bypass, box/qbittorrent kill_switch"
        in everything
    )
    for sign in ("Traceback", '{"', "Origin:", lab.host + " ", lab.host + '"'):
        assert sign not in everything
    case = ET.parse(junit).getroot().find(".//failure")
    assert case.get("type") == "leak"
    tunnel_is(lab, "running")


@pytest.mark.long
def test_the_playbook_refuses_what_it_cannot_do(stacks, tmp_path):
    lab = stacks()
    play = Playbook(tmp_path / "inventory", lab)
    for argument, words in {
        "kill_swich=true": "Did you mean kill_switch=?",
        "capture=0": "0 is too small; give a number of seconds",
        "on_leak=shoot": "report, stop",
        "output=leaks.html": "ending in .json, .xml",
    }.items():
        done = play.play("leak_test", "-e", argument, check=False)
        assert done.returncode != 0 and words in done.stdout + done.stderr, argument
    play.set(mediastack_vpn_enabled=False)
    off = play.play("leak_test", check=False)
    assert off.returncode != 0 and "VPN OFF: torrents use your own address" in off.stdout


def test_the_module_alone_fails(stacks):
    lab = stacks(home_resolver=True)
    ask, test = lab.request()
    arguments = {
        "project_name": ask.project_name,
        "project_path": ask.project_path,
        "members": list(ask.members),
        "api_key": "reads",
        "ip_echo": f"http://{lab.echo}/ip",
        "resolvers": [lab.home],
        "timeout": test.timeout,
    }
    done = subprocess.run(
        ["python3", "-m", "ansible_collections.homelab.mediastack.plugins.modules.leak_test"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ansible" / "collections"), "PATH": stack_harness_path()},
        check=False,
    )
    result = json.loads(done.stdout)
    assert result["failed"] and result["msg"].startswith("5 of 6 checks passed. qbittorrent dns failed: ")


def stack_harness_path():
    return f"{stack_harness.VENV}:{os.environ['PATH']}"
