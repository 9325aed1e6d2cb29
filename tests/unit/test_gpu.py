# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a host's GPUs is taken, and what becomes of a bundle there."""

import os
import stat
import types

import pytest
import render_harness as h
import yaml

from ansible_collections.homelab.mediastack.plugins.module_utils import gpu_overlay, host_gpu, preflight

USERS = ["jellyfin", "plex", "tdarr-node", "tdarr"]


class Host:
    """A host's root directory with device files that are none, which `os.stat` says to be some."""

    def __init__(self, root, monkeypatch):
        self.root, self.devices, real = root, {}, os.stat

        def look(path, **options):
            return self.devices.get(str(path)) or real(path, **options)

        monkeypatch.setattr(host_gpu.os, "stat", look)
        (root / "dev").mkdir()

    def device(self, path, major, minor, group):
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        self.devices[str(target)] = types.SimpleNamespace(
            st_mode=stat.S_IFCHR | 0o660, st_gid=group, st_rdev=os.makedev(major, minor)
        )

    def node(self, number, vendor="0x8086", driver="i915", group=105):
        self.device(f"/dev/dri/renderD{number}", 226, number, group)
        if vendor:
            folder = self.root / f"sys/class/drm/renderD{number}/device"
            folder.mkdir(parents=True)
            (folder / "vendor").write_text(vendor + "\n")
            (folder / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")

    def nvidia(self, toolkit=True):
        self.device("/dev/nvidia0", 195, 0, 0)
        if toolkit:
            hook = self.root / "usr/bin/nvidia-container-runtime-hook"
            hook.parent.mkdir(parents=True)
            hook.touch(mode=0o755)

    def gpus(self):
        return host_gpu.look(str(self.root))

    def choose(self, wanted):
        return host_gpu.choose(wanted, self.gpus())


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def absent(host, wanted):
    with pytest.raises(host_gpu.Absent) as caught:
        host.choose(wanted)
    return caught.value.what, caught.value.remedy


# -- what a host has


def test_the_first_render_node_is_taken_by_its_number(host):
    host.node(1000, group=44)
    host.node(129)
    host.device("/dev/dri/card0", 226, 0, 44)
    choice = host.choose("vaapi")
    assert (choice.node.path, choice.node.group) == ("/dev/dri/renderD129", 105)
    assert choice.words() == "vaapi on /dev/dri/renderD129 (group 105)"


def test_qsv_takes_intel_and_passes_by_others(host):
    host.node(128, "0x1002", "amdgpu")
    host.node(129)
    assert host.choose("qsv").node.path == "/dev/dri/renderD129"
    assert host.choose("vaapi").node.path == "/dev/dri/renderD128"


def test_what_is_no_device_of_the_rendering_manager_is_none(host):
    (host.root / "dev/dri").mkdir()
    (host.root / "dev/dri/renderD128").write_text("")
    host.device("/dev/dri/renderD129", 1, 3, 0)
    assert host.choose("auto").kind == "none"


def test_auto_takes_what_there_is_in_an_order_that_is_known(host):
    assert host.choose("auto").words() == "no GPU: this host has none that can be used"
    host.node(130, "0x10de", "nvidia")
    assert host.choose("auto").kind == "none"
    host.node(129, "0x1002", "amdgpu")
    assert host.choose("auto").words() == "vaapi on /dev/dri/renderD129 (group 105)"
    host.node(131)
    assert host.choose("auto").words() == "qsv on /dev/dri/renderD131 (group 105)"
    host.nvidia()
    assert host.choose("auto").words() == "nvidia, all cards"


def test_nvidia_without_its_toolkit_is_not_taken_and_said(host):
    host.nvidia(toolkit=False)
    host.node(128)
    assert host.choose("auto").kind == "qsv"
    what, remedy = absent(host, "nvidia")
    assert "container toolkit is missing" in what
    assert "install nvidia-container-toolkit" in remedy and remedy.endswith("mediastack_gpu: qsv")


@pytest.mark.parametrize(
    ("wanted", "what", "remedy"),
    [
        ("vaapi", "no render node: there is no /dev/dri/renderD128", "load the driver of the card (i915"),
        ("qsv", "no render node: there is no /dev/dri/renderD128", "or set mediastack_gpu: none"),
        ("nvidia", "no NVIDIA card that its driver knows", "until nvidia-smi shows the card"),
    ],
)
def test_what_is_asked_for_and_absent_says_what_is_missing_and_what_to_do(host, wanted, what, remedy):
    said = absent(host, wanted)
    assert what in said[0] and remedy in said[1]


def test_qsv_with_another_card_names_it(host):
    host.node(128, "0x1002", "amdgpu")
    what, remedy = absent(host, "qsv")
    assert what == "no render node is Intel's: this host has /dev/dri/renderD128 (amdgpu)"
    assert remedy.endswith("or set mediastack_gpu: vaapi")


# -- the bundle


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return h.World(tmp_path_factory.mktemp("gpu"), shipped=h.SHIPPED)


def bundle(world, wanted, **more):
    return world.bundle(mediastack_profiles=["jellyfin", "plex", "transcoding"], mediastack_gpu=wanted, **more)


def overlay(bundle):
    return yaml.safe_load(h.file(bundle, gpu_overlay.FILE)["content"])["services"]


def hashes(bundle):
    return {name: service["config_hash"] for name, service in bundle["services"].items()}


def test_without_a_gpu_nothing_is_rendered_for_one_and_nothing_looked_at(world, monkeypatch):
    rendered = bundle(world, "none")
    monkeypatch.setattr(host_gpu, "look", None)
    gpu_overlay.settle(rendered)
    assert not [file for file in rendered["files"] if file["path"].endswith(gpu_overlay.FILE)]
    assert gpu_overlay.FILE not in h.file(rendered, ".env")["content"]


def test_a_node_and_its_group_reach_those_that_transcode_and_nobody_else(world, host):
    host.node(128, group=992)
    before, after = bundle(world, "vaapi"), bundle(world, "vaapi")
    gpu_overlay.settle(after, host.gpus())
    assert set(overlay(after)) == set(USERS)
    for definition in overlay(after).values():
        assert definition == {"devices": ["/dev/dri/renderD128:/dev/dri/renderD128"], "group_add": ["992"]}
    assert {name for name in hashes(after) if hashes(after)[name] != hashes(before)[name]} == set(USERS)
    # Before what the user says, which wins.
    env = h.file(bundle(world, "vaapi", mediastack_overrides={"plex": {"mem_limit": "1g"}}), ".env")["content"]
    assert "compose.request.yml:compose.gpu.yml:compose.overrides.yml" in env


def test_another_node_or_group_makes_the_containers_anew_and_the_same_does_not(world, host):
    host.node(128)
    one, two = bundle(world, "auto"), bundle(world, "auto")
    gpu_overlay.settle(one, host.gpus())
    gpu_overlay.settle(two, host.gpus())
    assert one == two
    assert one["messages"][-1] == "mediastack_gpu: auto takes qsv on /dev/dri/renderD128 (group 105)"
    host.node(127, group=44)
    three = bundle(world, "auto")
    gpu_overlay.settle(three, host.gpus())
    assert hashes(three)["plex"] != hashes(one)["plex"]


def test_root_as_the_nodes_group_is_handed_to_nobody(world, host):
    host.node(128, group=0)
    rendered = bundle(world, "vaapi")
    gpu_overlay.settle(rendered, host.gpus())
    assert "group_add" not in overlay(rendered)["plex"]


def test_nvidia_reserves_all_cards_and_asks_for_video(world, host):
    host.nvidia()
    rendered = bundle(world, "nvidia")
    gpu_overlay.settle(rendered, host.gpus())
    reserved = overlay(rendered)["tdarr-node"]["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert overlay(rendered)["jellyfin"]["environment"] == {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "all",
    }


def test_what_is_absent_is_an_obstacle_with_a_remedy(world, host):
    rendered = bundle(world, "qsv")
    gpu_overlay.settle(rendered, host.gpus())
    assert overlay(rendered) == {}
    (found,) = gpu_overlay.check(rendered)
    assert (found["where"], found["value"]) == ("mediastack_gpu", "qsv")
    text = preflight.message([found])
    assert "this host has no render node" in text and "[mediastack_gpu] (qsv)" in text


def test_a_service_of_your_own_gets_it_too(tmp_path_factory, host):
    own = h.World(tmp_path_factory.mktemp("own"))
    own.write(
        "encoder",
        "services:\n  encoder: {image: 'e:1', x-mediastack: {title: E, profiles: [always], gpu: true}}\n",
    )
    host.node(128)
    rendered = own.bundle(mediastack_gpu="auto")
    gpu_overlay.settle(rendered, host.gpus())
    assert list(overlay(rendered)) == ["encoder"]
