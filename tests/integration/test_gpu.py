# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `mediastack_gpu` comes to on a host: a render node and its group in the container, or an error before anything.

The node is made by hand where this machine has none: the engine hands it on as it would a real one; nothing can encode
with it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import stat

import pytest
import stack_harness as h
from compose_stack_lab import SLEEP

from ansible_collections.homelab.mediastack.plugins.module_utils import gpu_overlay, host_gpu

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a device is made by root")
DRI = pathlib.Path(host_gpu.NODES)
OFF = ("qbittorrent", "sabnzbd", "prowlarr", "sonarr", "seerr")


@pytest.fixture
def node():
    """A render node of this machine, made for the test where there is none, of a group that only it has."""
    if host_gpu.look().nodes:
        pytest.skip("this machine has render nodes of its own")
    made = not DRI.exists()
    path = DRI / "renderD128"
    DRI.mkdir(exist_ok=True)
    os.mknod(path, stat.S_IFCHR | 0o660, os.makedev(host_gpu.DRM_MAJOR, 128))
    os.chown(path, 0, 4242)
    yield path
    path.unlink()
    if made:
        DRI.rmdir()


@pytest.fixture
def stack(tmp_path):
    """Jellyfin alone, without a VPN."""
    made = h.Stack(
        tmp_path,
        "ms-gpu",
        h.free_ports(9),
        mediastack_container_prefix="gpu-",
        mediastack_vpn_enabled=False,
        mediastack_profiles=["jellyfin"],
        mediastack_services={**h.SMALL, **dict.fromkeys(OFF, False)},
    )
    made.variables["mediastack_ports"]["jellyfin"] = made.variables["mediastack_vpn_control_port"] + 8
    made.write()
    made.remove()
    yield made
    made.remove()
    shutil.rmtree(made.directory, ignore_errors=True)


def test_a_gpu_that_is_absent_is_an_error_before_anything_is_touched(stack):
    if host_gpu.look().cards:
        pytest.skip("this machine has a card of NVIDIA's")
    stack.set(mediastack_gpu="nvidia")
    done = stack.play("site", check=False)
    assert done.returncode != 0
    assert "no NVIDIA card that its driver knows" in done.stdout
    assert "set mediastack_gpu: none" in done.stdout
    assert stack.containers() == {}
    assert not stack.base.exists()


def test_the_node_and_its_group_are_in_the_container(stack, node):
    stack.set(mediastack_gpu="auto")
    said = stack.play("site").stdout
    assert "mediastack_gpu: auto takes vaapi on /dev/dri/renderD128 (group 4242)" in said
    made = stack.containers()["jellyfin"]
    assert [one["PathOnHost"] for one in made["HostConfig"]["Devices"]] == [str(node)]
    assert made["HostConfig"]["GroupAdd"] == ["4242"]
    assert h.docker("exec", made["Id"], "stat", "-c", "%F %g %t", str(node)) == "character special file 4242 e2"
    assert h.changed(stack.play("site")) == 0


@pytest.mark.long
def test_the_container_follows_the_host_and_the_setting(stack, node):
    stack.set(mediastack_gpu="auto")
    said = stack.play("plan", check=False)
    assert "mediastack_gpu: auto takes vaapi on /dev/dri/renderD128 (group 4242)" in said.stdout
    stack.play("site")
    # The group got another number, as after an upgrade of the host.
    os.chown(node, 0, 4343)
    stack.play("site")
    after = stack.containers()["jellyfin"]
    assert after["HostConfig"]["GroupAdd"] == ["4343"]
    stack.set(mediastack_gpu="none")
    stack.play("site")
    without = stack.containers()["jellyfin"]
    assert not without["HostConfig"]["Devices"] and not without["HostConfig"]["GroupAdd"]
    assert not (stack.project_path / gpu_overlay.FILE).exists()


def test_what_is_rendered_for_nvidia_asks_the_engine_for_all_cards(tmp_path, box):
    """The engine keeps the request; without NVIDIA's toolkit such a container cannot start."""
    base = {"services": {"jellyfin": {"image": box, "command": SLEEP, "environment": {"TZ": "UTC"}}}}
    (tmp_path / "compose.media.yml").write_text(json.dumps(base))
    overlay = "services:\n  jellyfin:\n" + gpu_overlay.definition(host_gpu.Choice("nvidia"))
    (tmp_path / gpu_overlay.FILE).write_text(overlay)
    files = ["-f", str(tmp_path / "compose.media.yml"), "-f", str(tmp_path / gpu_overlay.FILE)]
    compose = ["compose", "-p", "ms-gpu-nvidia", *files]
    try:
        h.docker(*compose, "create")
        container = h.inspect("ms-gpu-nvidia-jellyfin-1")["ms-gpu-nvidia-jellyfin-1"]
    finally:
        h.docker(*compose, "down", check=False)
    (request,) = container["HostConfig"]["DeviceRequests"]
    assert (request["Driver"], request["Count"], request["Capabilities"]) == ("nvidia", -1, [["gpu"]])
    environment = dict(line.split("=", 1) for line in container["Config"]["Env"])
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["TZ"] == "UTC"
