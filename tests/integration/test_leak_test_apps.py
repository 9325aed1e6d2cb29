# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""leak_test on apps of every kind and in every state, on settings that let something out, and interrupted: on a
stand-in with gluetun's rules.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

import pytest
import yaml
from compose_stack_lab import ROOT, busybox, docker, have_image, until
from test_leak_test import ALWAYS, Playbook, evidence, stacks, states, tunnel_is

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_kill_switch

__all__ = ["stacks"]

BARE = "mscs-bare:1"
# The image has no umount.
UNMOUNT = """
import ctypes, os, sys
library = ctypes.CDLL(None, use_errno=True)
space = os.open(f"/proc/{sys.argv[1]}/ns/mnt", os.O_RDONLY)
sys.exit(library.setns(space, 0x20000) or library.umount2(b"/etc/resolv.conf", 0))
"""


def build_bare():
    """An image of one program: no shell, no Python, no tool."""
    with tempfile.TemporaryDirectory() as place:
        # What the program does goes by its name, and none of its other names is there.
        shutil.copy(busybox(), pathlib.Path(place, "sleep"))
        archive = subprocess.run(["tar", "-C", place, "-c", "."], capture_output=True, check=True).stdout
        subprocess.run(["docker", "import", "-", BARE], input=archive, check=True, capture_output=True)


@pytest.fixture(scope="session")
def bare():
    """The name of the image."""
    # It stays, as the others' do: somebody else may not be done with it.
    have_image(BARE, build_bare)
    return BARE


def test_an_app_needs_no_tools_no_writable_root_and_may_be_renamed_or_paused(stacks, bare):
    locked = {"image": bare, "command": ["/sleep", "100000"], "read_only": True, "user": "65534", "cap_drop": ["ALL"]}
    lab = stacks(apps=("qbittorrent", "sabnzbd", "nzbget"), like={"qbittorrent": locked})
    docker("rename", lab.lab.one("sabnzbd")["Id"], f"{lab.lab.name}-somebody")
    docker("rename", lab.lab.one("gluetun")["Id"], f"{lab.lab.name}-tunnel")
    docker("pause", lab.lab.one("nzbget")["Id"])
    result = lab.test(kill_switch=True)
    assert result["passed"], result["checks"]
    for app in lab.apps:
        assert states(result, app) == dict.fromkeys([*ALWAYS, "kill_switch"], "passed")
    assert lab.lab.states()["nzbget"] == "paused"


def test_a_leaky_app_is_caught_when_it_is_paused_or_has_no_tools(stacks, bare):
    locked = {"image": bare, "command": ["/sleep", "100000"], "read_only": True}
    lab = stacks(apps=("qbittorrent", "sabnzbd"), leaky=("sabnzbd", "qbittorrent"), like={"qbittorrent": locked})
    docker("pause", lab.lab.one("sabnzbd")["Id"])
    result = lab.test()
    assert result["leaking"] == ["qbittorrent", "sabnzbd"]
    for app in lab.apps:
        assert evidence(result, "public_ip", app) == "it is seen at the host's own public address"


def test_an_app_that_keeps_falling_over_is_inconclusive(stacks):
    lab = stacks(apps=("qbittorrent", "sabnzbd"), like={"sabnzbd": {"command": ["false"]}})
    until(lambda: lab.lab.states()["sabnzbd"] == "restarting", what="the engine waits before it starts it again")
    result = lab.test()
    assert not result["passed"] and set(states(result).values()) == {"passed"}
    assert set(states(result, "sabnzbd").values()) == {"inconclusive"}, result["checks"]


def test_the_resolv_conf_of_an_app_is_read_as_the_app_reads_it(stacks):
    """A link in it leads to a file of the container, not to one of this machine."""
    lab = stacks()
    place = f"/tmp/resolv-{lab.lab.name}"
    docker("exec", lab.lab.one("qbittorrent")["Id"], "sh", "-c", f"echo nameserver 127.0.0.1 > {place}")
    app = lab.pid_of(lab.lab.one("qbittorrent")["Id"])
    subprocess.run([sys.executable, "-c", UNMOUNT, str(app)], check=True)
    conf = pathlib.Path("/proc", str(app), "root", "etc", "resolv.conf")
    conf.unlink()
    conf.symlink_to(place)
    assert not os.path.exists(place)
    assert states(lab.test())["dns"] == "passed"


def test_gluetun_that_does_not_run_is_nobodys_network(stacks):
    lab = stacks()
    docker("stop", "-t", "0", lab.lab.one("gluetun")["Id"])
    docker("start", lab.lab.one("qbittorrent")["Id"], check=False)
    result = lab.test()
    assert states(result)["namespace"] == "failed"
    assert "gluetun's container is exited" in evidence(result, "namespace")
    assert result["leaking"] == []


def test_an_app_in_the_hosts_network_is_caught(stacks):
    lab = stacks(apps=("qbittorrent", "sabnzbd"), leaky=("sabnzbd",), like={"sabnzbd": {"network_mode": "host"}})
    result = lab.test(capture=1)
    assert "it is in the host's own network, not gluetun's" in evidence(result, "namespace", "sabnzbd")
    assert result["leaking"] == ["sabnzbd"]
    assert set(states(result).values()) == {"passed"}, result["checks"]
    assert states(result, "sabnzbd")["capture"] == "inconclusive"


def test_a_second_network_of_gluetun_is_tried_too(stacks):
    lab = stacks()
    # The last by name: the engine gives a container's default route to the first, and this one shall not move it.
    name = f"z-{lab.lab.name}-second"
    docker("network", "create", name)
    try:
        docker("network", "connect", name, lab.lab.one("gluetun")["Id"])
        networks = lab.lab.one("gluetun")["NetworkSettings"]["Networks"]
        gateway = networks[name]["Gateway"]
        sound = lab.test()
        assert "bound to eth1" in evidence(sound, "bypass") and states(sound)["bypass"] == "passed"
        # A hole for the other network only, which no route leads to.
        lab.inside(lab.gluetun, "iptables", "-I", "OUTPUT", "-o", "eth1", "-j", "ACCEPT")
        lab.inside(lab.gluetun, "ip", "route", "add", f"{lab.echo}/32", "dev", "eth1", "via", gateway)
        leaky = lab.test()
        assert states(leaky) == {**dict.fromkeys(ALWAYS, "passed"), "bypass": "failed"}
        assert "gets out bound to eth1" in evidence(leaky, "bypass")
    finally:
        docker("network", "disconnect", "-f", name, lab.lab.one("gluetun")["Id"], check=False)
        docker("network", "rm", name)


def test_a_resolver_at_home_that_gluetun_itself_asks_is_a_leak(stacks):
    """The apps ask gluetun, which asks a Pi-hole in an allowed network past the tunnel."""
    home = f"198.18.{os.getpid() % 250}.66"
    lab = stacks(home_resolver=True, like={"gluetun": {"environment": {"DNS_ADDRESS": home}}})
    assert lab.home == home
    result = lab.test()
    assert states(result)["dns"] == "failed" and result["leaking"] == ["qbittorrent"]
    assert f"the resolver {home} in {lab.subnet}" in evidence(result, "dns")


def test_an_error_in_the_middle_brings_the_vpn_back(stacks, monkeypatch):
    lab = stacks()
    seen = []

    def broken(*_arguments):
        seen.append(lab.status())
        if len(seen) == 2:
            raise RuntimeError("something that nobody thought of")
        return {}

    monkeypatch.setattr(leak_kill_switch, "inside", broken)
    with pytest.raises(RuntimeError):
        lab.test(kill_switch=True)
    assert ["running" in status for status in seen] == [True, False]
    assert '"running"' in lab.status()


@pytest.mark.long
def test_ctrl_c_brings_the_vpn_back(stacks, tmp_path):
    lab = stacks()
    play = Playbook(tmp_path / "inventory", lab)
    process = subprocess.Popen(
        play.command("leak_test", "-e", "kill_switch=true"),
        env=play.environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    tunnel_is(lab, "stopped")
    # The terminal sends it to everybody in the foreground.
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    tunnel_is(lab, "running")
    assert lab.test(kill_switch=True)["passed"]


@pytest.mark.long
def test_two_hosts_of_which_one_cannot_be_reached_and_a_downloader_left_out(stacks, tmp_path):
    lab = stacks()
    play = Playbook(tmp_path / "inventory", lab)
    play.set(
        mediastack_services={**play.variables["mediastack_services"], "sabnzbd": True},
        mediastack_vpn_services=["qbittorrent"],
    )
    attic = {**play.variables, "ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
    hosts = {"mediastack": {"hosts": {"box": play.variables, "attic": attic}}}
    (play.directory / "inventory.yml").write_text(yaml.safe_dump(hosts))
    report, junit = tmp_path / "leaks.json", tmp_path / "leaks.xml"
    done = play.play("leak_test", "-e", f"output={report},{junit}", check=False)
    everything = done.stdout + done.stderr
    assert done.returncode == 2 and "Traceback" not in everything
    words = "box: sabnzbd was not tested: mediastack_vpn_services leaves it out"
    assert words in everything
    found = json.loads(report.read_text())
    assert (found["hosts"]["box"]["passed"], found["hosts"]["attic"]["passed"]) == (True, False)
    assert "attic/(host)" in everything
    suites = ET.parse(junit).getroot()
    assert {suite.get("name"): suite.get("errors") for suite in suites} == {"box": "0", "attic": "1"}
