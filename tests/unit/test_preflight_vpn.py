# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host must have for gluetun, on hosts made of files: each family, each failure, and silence where nothing can
be known."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from vpn_place import DEP, ON, RELEASE, Place

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_log, preflight_vpn, vpn_remedies
from ansible_collections.homelab.mediastack.plugins.module_utils.kernel_features import Kernel


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def only(found):
    (problem,), warnings = found
    assert warnings == []
    return problem


# -- a host that works, and one that tells nothing --------------------------------------------------------------------


def test_a_usual_host_is_good(place):
    place.modules()
    assert place.check() == ([], [])
    assert place.opened == 1


def test_where_nothing_can_be_known_nothing_is_said(place):
    """No lists of modules, no configuration: a NAS, or an LXC container."""
    assert place.check(ipv6=False, guard=True, wireguard="kernelspace") == ([], [])
    (place.root / "proc/misc").unlink()
    assert place.check() == ([], [])
    place.rules = None
    assert place.check() == ([], [])


def test_without_a_vpn_nothing_is_looked_at(place):
    place.without_tun()
    place.config("MODULES=y")
    warnings = []
    assert preflight_vpn.check({"vpn": {"enabled": False}}, {}, warnings, place.around()) == []
    assert preflight_vpn.check({}, {}, warnings, place.around()) == []
    assert (warnings, place.opened) == ([], 0)


def test_an_engine_in_a_machine_of_its_own_is_not_judged_by_this_one(place):
    place.without_tun()
    assert place.check({"kernel": "6.10.14-linuxkit"}) == ([], [])
    assert len(place.check({"kernel": RELEASE})[0]) == 1


def test_no_linux_no_words(tmp_path):
    kernel = Kernel(str(tmp_path), "24.5.0")
    around = preflight_vpn.Around(str(tmp_path), kernel, vpn_remedies.Host(), None, None, None)
    assert preflight_vpn.check(ON, {}, [], around) == []


# -- /dev/net/tun -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "name", "words"),
    [
        ("synology", "Synology DSM", ["insmod /lib/modules/tun.ko", "Task Scheduler", "Boot-up", "mknod"]),
        ("qnap", "QNAP QTS/QuTS", ["modprobe tun", "autorun.sh", "QVPN"]),
        ("unraid", "Unraid", ["modprobe tun", "/boot/config/go"]),
        ("truenas", "TrueNAS", ["modprobe tun", "Post Init"]),
        ("generic", "Linux", ["sudo modprobe tun", "/etc/modules-load.d/tun.conf"]),
        (
            "lxc",
            "an LXC container",
            [
                "pct set ID -dev0 /dev/net/tun",
                "lxc.cgroup2.devices.allow: c 10:200 rwm",
                "lxc.mount.entry: /dev/net/tun",
            ],
        ),
        ("openvz", "an OpenVZ container", ["provider's control panel", "TUN/TAP"]),
        ("docker", "a container", ["--device /dev/net/tun"]),
    ],
)
def test_no_device_is_told_for_each_family_before_and_after(place, family, name, words):
    place.family(family)
    place.without_tun()
    problem = only(place.check())
    assert problem["what"] == "this host has no /dev/net/tun, without which gluetun cannot start"
    assert problem["remedy"].startswith(f"on {name}: ")
    assert [word for word in words if word not in problem["remedy"]] == []
    # Whoever comes past preflight, or has an engine that says it first, reads the same.
    for line in (
        "ERROR checking TUN device: TUN device is not available: open /dev/net/tun: no such file or directory",
        'error gathering device information while adding custom device "/dev/net/tun": no such file or directory',
        "ERROR unix opening TUN device file: operation not permitted (did you specify --device /dev/net/tun)",
    ):
        found = gluetun_log.find([line], str(place.root))
        assert found.final and problem["remedy"] in found.text


@pytest.mark.parametrize("model", ["Raspberry Pi 4 Model B Rev 1.4\0", "Some Board\0"])
def test_an_updated_kernel_takes_its_modules_away_until_the_reboot(place, model, monkeypatch):
    place.write("proc/device-tree/model", model)
    place.write("proc/misc", "229 fuse\n")
    place.write("lib/modules/6.1.0-99-amd64/modules.dep", DEP)
    problem = only(place.check())
    assert "cannot be: the modules of the running kernel are gone" in problem["what"] and problem["value"] == RELEASE
    assert "reboot: the kernel was updated" in problem["remedy"] and RELEASE in problem["remedy"]
    monkeypatch.setattr(os, "uname", lambda: ("Linux", "pi", RELEASE, "#1", "aarch64"))
    line = "ERROR creating TUN device file node: file exists"
    assert problem["remedy"] in gluetun_log.find([line], str(place.root)).text
    place.node = None
    assert "reboot" in only(place.check())["remedy"]
    place.write("proc/misc", "200 tun\n")
    place.node = (stat.S_IFCHR | 0o666, os.makedev(10, 200))
    assert place.check(guard=True) == ([], [])
    place.config(*(line.replace("=y", "=m") for line in HAS), "NF_TABLES=y", "NFT_COMPAT=y")
    for name in ("xt_conntrack", "nf_conntrack"):
        place.write(f"sys/module/{name}/refcnt", "1")
    assert place.check() == ([], [])
    problem = only(place.check(guard=True))
    assert "xt_connmark" in problem["what"] and "reboot" in problem["remedy"]


def test_a_kernel_that_has_tun_without_the_node(place):
    place.node = None
    problem = only(place.check())
    assert problem["what"].endswith("although its kernel has tun")
    assert "mknod /dev/net/tun c 10 200'; a reboot makes it too" in problem["remedy"]
    place.family("synology")
    assert "mknod /dev/net/tun c 10 200'; so that it lasts, on Synology DSM: 'sudo" in only(place.check())["remedy"]


def test_a_kernel_that_never_had_tun(place):
    place.without_tun()
    place.config("NF_TABLES=y", "NFT_COMPAT=y", *(line for line in HAS if line != "TUN=y"))
    problem = only(place.check())
    assert "its kernel has no module tun" in problem["what"] and "update the kernel" in problem["remedy"]
    # The node alone, made by hand, helps nobody.
    place.node = (stat.S_IFCHR | 0o666, os.makedev(10, 200))
    assert only(place.check())["what"] == "this host's kernel has no module tun"


def test_a_node_whose_module_is_loaded_when_it_is_opened_is_left_alone(place):
    place.modules()
    place.write("proc/misc", "229 fuse\n")
    assert place.check() == ([], []) and place.opened == 0


def test_synology_has_the_module_and_loads_it_for_nobody(place):
    place.family("synology")
    place.write("proc/misc", "229 fuse\n")
    place.write("lib/modules/tun.ko")
    problem = only(place.check())
    assert "not loaded, and nothing loads it by itself" in problem["what"]
    assert "insmod /lib/modules/tun.ko" in problem["remedy"] and place.opened == 0


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ((stat.S_IFDIR | 0o755, 0), "but a directory"),
        ((stat.S_IFREG | 0o644, 0), "but a file"),
        ((stat.S_IFCHR | 0o666, os.makedev(1, 3)), "but the device 1:3 instead of 10:200"),
    ],
)
def test_something_else_in_its_place(place, node, words):
    place.node = node
    problem = only(place.check())
    assert problem["what"].endswith(words) and problem["where"] == "/dev/net/tun"
    assert problem["remedy"].startswith("'sudo rm -r /dev/net/tun', and on Linux: ") and place.opened == 0


@pytest.mark.parametrize(
    ("family", "refusal", "what", "remedy"),
    [
        ("lxc", errno.EPERM, "operation not permitted", "pct set ID -dev0 /dev/net/tun"),
        ("generic", errno.ENODEV, "no such device", "modprobe tun"),
        ("qnap", errno.ENXIO, "no such device or address", "modprobe tun"),
    ],
)
def test_a_device_that_cannot_be_opened(place, family, refusal, what, remedy):
    place.family(family)
    place.refusal = refusal
    problem = only(place.check())
    assert problem["what"] == f"/dev/net/tun cannot be opened: {what}" and remedy in problem["remedy"]


def test_denied_to_root_is_selinux_and_denied_to_others_says_nothing(place, monkeypatch):
    place.refusal = errno.EACCES
    place.write("sys/fs/selinux/enforce", "1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "setsebool -P container_use_devices" in only(place.check())["remedy"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert place.check() == ([], [])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    place.refusal = errno.EMFILE
    assert place.check() == ([], [])


@pytest.mark.parametrize("option", ["name=userns", "name=rootless"])
def test_an_engine_whose_root_is_not_the_hosts(place, option):
    place.node = (stat.S_IFCHR | 0o600, os.makedev(10, 200))
    assert place.check({"security_options": ["name=seccomp,profile=builtin"]}) == ([], [])
    problems, warnings = place.check({"security_options": ["name=seccomp,profile=builtin", option]})
    assert problems[0]["what"].startswith("/dev/net/tun is for root alone") and problems[0]["value"] == "0600"
    assert "chmod 666" in problems[0]["remedy"] and "/etc/udev/rules.d/50-tun.rules" in problems[0]["remedy"]
    place.node = (stat.S_IFCHR | 0o666, os.makedev(10, 200))
    problems, warnings = place.check({"security_options": [option]})
    assert problems == [] and [text for text in warnings if "rootless" in text] == warnings
    assert len(warnings) == (option == "name=rootless")


def test_selinux_that_may_deny_is_a_warning(place):
    place.write("sys/fs/selinux/enforce", "1")
    place.write("sys/fs/selinux/booleans/container_use_devices", "0 0")
    assert place.check() == ([], [])
    problems, (warning,) = place.check({"security_options": ["name=selinux"]})
    assert problems == [] and vpn_remedies.SELINUX in warning
    denied = "ERROR checking TUN device: TUN device is not available: open /dev/net/tun: permission denied"
    assert vpn_remedies.SELINUX in gluetun_log.find([denied], str(place.root)).text
    place.write("sys/fs/selinux/booleans/container_use_devices", "1 1")
    assert place.check({"security_options": ["name=selinux"]}) == ([], [])


# -- NET_ADMIN --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("lxc", "nesting=1"),
        ("docker", "--cap-add NET_ADMIN"),
        ("openvz", "ask the provider"),
        ("generic", "CapabilityBoundingSet"),
    ],
)
def test_an_engine_that_has_no_net_admin_to_give(place, family, words):
    place.family(family)
    place.write("run/docker.pid", "77")
    place.write("proc/77/status", "Name:\tdockerd\nCapBnd:\t00000000a80425fb\n")
    problem = only(place.check())
    assert problem["check"] == "net_admin" and problem["value"] == "CapBnd 00000000a80425fb"
    assert words in problem["remedy"]
    for line in ("ERROR NET_ADMIN capability is missing: iptables", 'not available: "CAP_NET_ADMIN"'):
        assert problem["remedy"] in gluetun_log.find([line], str(place.root)).text
    # It has it; or the file names some other process.
    place.write("proc/77/status", "Name:\tdockerd\nCapBnd:\t000001ffffffffff\n")
    assert place.check() == ([], [])
    place.write("proc/77/status", "Name:\tsleep\nCapBnd:\t0000000000000000\n")
    assert place.check() == ([], [])


# -- firewall, routes, IPv6, WireGuard --------------------------------------------------------------------------------

HAS = ("TUN=y", "NF_CONNTRACK=y", "NETFILTER_XT_MATCH_CONNTRACK=y", "NETFILTER_XT_CONNMARK=y")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((*HAS, "NF_TABLES=y", "NFT_COMPAT=y"), None),
        ((*HAS, "IP_NF_FILTER=y"), None),
        ((*HAS, "NF_TABLES=m", "IP_NF_FILTER=m", "NFT_COMPAT=m"), None),
        (HAS, "neither nf_tables nor iptable_filter"),
        (("TUN=y", "NF_TABLES=y", "NFT_COMPAT=y"), "no xt_conntrack"),
        (("TUN=y", "NF_TABLES=y", "NFT_COMPAT=y", "NETFILTER_XT_MATCH_CONNTRACK=y"), "no nf_conntrack"),
        (("TUN=y",), "neither nf_tables nor iptable_filter, and no xt_conntrack"),
    ],
)
def test_what_the_firewall_is_made_of(place, lines, words):
    place.config(*lines)
    problems, warnings = place.check(guard="NETFILTER_XT_CONNMARK=y" in lines)
    assert [problem["what"].split("it has ")[1] for problem in problems] == ([words] if words else [])
    assert warnings == []
    for problem in problems:
        assert problem["value"] == RELEASE and "modprobe -a iptable_filter nf_tables" in problem["remedy"]
        for line in ("ERROR no iptables supported found: errors", "ERROR Couldn't load match `conntrack'"):
            assert problem["remedy"] in gluetun_log.find([line], str(place.root)).text


def test_what_is_registered_now_counts_more_than_what_is_written(place):
    place.config("TUN=y")
    place.write("proc/net/ip_tables_names", "filter\n")
    place.write("proc/net/ip_tables_matches", "conntrack\nconnmark\n")
    assert place.check(guard=True) == ([], [])


def test_the_firewall_of_a_nas_comes_with_its_system(place):
    place.config("TUN=y")
    place.family("synology")
    assert "on Synology DSM: update DSM" in only(place.check())["remedy"]


def test_nf_tables_without_its_bridge_to_old_matches_is_a_warning(place):
    place.config(*HAS, "NF_TABLES=y", "IP_NF_FILTER=y")
    problems, (warning,) = place.check()
    assert problems == [] and "nft_compat" in warning and "Couldn't load match conntrack" in warning


def test_the_connection_guard_needs_one_more(place):
    place.config("TUN=y", "NF_CONNTRACK=y", "NETFILTER_XT_MATCH_CONNTRACK=y", "IP_NF_FILTER=y")
    assert place.check(guard=False) == ([], [])
    problem = only(place.check(guard=True))
    assert "xt_connmark" in problem["what"] and "mediastack_vpn_connection_guard: false" in problem["remedy"]


def test_policy_routing(place):
    place.rules = False
    problem = only(place.check())
    assert "CONFIG_IP_MULTIPLE_TABLES" in problem["what"] and "update the kernel" in problem["remedy"]
    line = "ERROR setting up routing: cannot list rules: operation not supported"
    assert problem["remedy"] in gluetun_log.find([line], str(place.root)).text


def test_a_kernel_without_ipv6_cannot_switch_it_off(place):
    (place.root / "proc/sys/net/ipv6/conf/all/disable_ipv6").unlink()
    for name in ("conf/all", "conf", ""):
        (place.root / "proc/sys/net/ipv6" / name).rmdir()
    assert place.check(ipv6=None) == ([], [])
    for asked, word in ((False, "switch it off"), (True, "switch it on")):
        problem = only(place.check(ipv6=asked))
        assert word in problem["what"] and "ipv6.disable=1" in problem["remedy"]
    line = "open sysctl net.ipv6: open /proc/sys/net/ipv6/conf/all/disable_ipv6: no such file or directory"
    assert vpn_remedies.IPV6_OFF in gluetun_log.find([line], str(place.root)).text


def test_ipv6_in_the_tunnel_needs_its_own_firewall(place):
    place.config(*HAS, "IP_NF_FILTER=y")
    assert place.check(ipv6=False) == ([], [])
    assert "no ip6table_filter" in only(place.check(ipv6=True))["what"]


def test_no_wireguard_in_the_kernel_is_fine_until_somebody_insists(place):
    place.config(*HAS, "IP_NF_FILTER=y")
    assert place.check(wireguard="auto") == ([], []) == place.check(wireguard="userspace")
    assert "gluetun then takes its own" in only(place.check(wireguard="kernelspace"))["remedy"]
    place.write("sys/module/wireguard/version", "1.0.0")
    assert place.check(wireguard="kernelspace") == ([], [])


def test_all_at_once(place):
    place.without_tun()
    place.config("MODULES=y")
    place.rules = False
    place.write("run/docker.pid", "77")
    place.write("proc/77/status", "Name:\tdockerd\nCapBnd:\t00000000a80425fb\n")
    problems, _warnings = place.check(wireguard="kernelspace")
    assert [problem["check"] for problem in problems] == ["tun", "net_admin", "firewall", "routing", "wireguard"]
