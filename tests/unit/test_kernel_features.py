# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a kernel can do: True, False, or nobody knows."""

from __future__ import annotations

import errno
import gzip
import struct
import sys

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import kernel_features
from ansible_collections.homelab.mediastack.plugins.module_utils.kernel_features import Kernel

DEP = (
    "kernel/net/netfilter/xt_conntrack.ko: kernel/net/netfilter/nf_conntrack.ko\n"
    "kernel/drivers/net/tun.ko.zst:\n"
    "updates/dkms/nf-tables.ko.xz: kernel/net/nfnetlink.ko.xz\n"
)
BUILTIN = "kernel/net/ipv4/netfilter/ip_tables.ko\n"


def kernel(root, files=None, config=None, whole=True):
    for path, text in (files or {}).items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    if config is not None:
        (root / "proc").mkdir(exist_ok=True)
        (root / "proc/config.gz").write_bytes(gzip.compress(config.encode()))
    return Kernel(str(root), "1.2", whole)


LISTS = {"lib/modules/1.2/modules.dep": DEP, "lib/modules/1.2/modules.builtin": BUILTIN}
NET = "CONFIG_NET=y\n# CONFIG_Y is not set\n"


@pytest.mark.parametrize(
    ("files", "config", "whole", "expected"),
    [
        ({}, None, True, None),
        ({"proc/modules": "x_y 4096 0 - Live 0x0\n"}, None, True, True),
        ({"proc/modules": "x_yz 4096 0 x_y, Live 0x0\n"}, None, True, None),
        ({"sys/module/x_y/refcnt": "0"}, None, True, True),
        (LISTS, None, True, False),
        # In a container what is not there says nothing; what is there still does.
        (LISTS, None, False, None),
        ({**LISTS, "lib/modules/1.2/modules.builtin": "kernel/net/x-y.ko\n"}, None, False, True),
        # One list without the other, or an empty one, is no proof.
        ({"lib/modules/1.2/modules.dep": DEP}, None, True, None),
        ({**LISTS, "lib/modules/1.2/modules.dep": ""}, None, True, None),
        ({}, NET + "CONFIG_Y=y\n", True, True),
        ({}, NET, True, False),
        ({}, NET + "CONFIG_Y=m\n", True, None),
        (LISTS, NET + "CONFIG_Y=m\n", True, False),
        ({"lib/modules/1.1/modules.dep": DEP}, NET + "CONFIG_Y=m\n", True, False),
        ({"lib/modules/1.1/modules.dep": DEP}, NET + "CONFIG_Y=m\n", False, None),
        ({"lib/modules/1.1/modules.dep": DEP}, None, True, None),
        # A module of its own outside of the kernel's configuration.
        ({"proc/modules": "x_y 4096 0 - Live 0x0\n"}, NET, True, True),
        # A piece of a configuration.
        ({}, "# CONFIG_Y is not set\n", True, None),
        ({"boot/config-1.2": NET}, None, True, False),
        ({"boot/config-1.1": NET}, None, True, None),
    ],
)
def test_has(tmp_path, files, config, whole, expected):
    assert kernel(tmp_path, files, config, whole).has("x_y", "Y") is expected


def test_module_names_whatever_they_are_packed_with(tmp_path):
    found = kernel(tmp_path, LISTS)
    for name in ("xt_conntrack", "tun", "nf_tables", "ip_tables"):
        assert found.loadable(name) is True
    # It stands there as what another needs, not as a module of its own.
    assert found.loadable("nfnetlink") is False


def test_a_python_without_gzip_knows_less(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gzip", None)
    assert kernel(tmp_path, {}, NET).has("x_y", "Y") is None


def test_a_broken_configuration_is_none(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(NET.encode())[:-9])
    assert kernel(tmp_path).has("x_y", "Y") is None
    (tmp_path / "proc/config.gz").write_bytes(b"no gzip")
    assert kernel(tmp_path).has("x_y", "Y") is None


def test_this_kernel_is_asked_and_changed_by_nothing():
    with open("/proc/misc", encoding="ascii") as handle:
        before = handle.read()
    found = Kernel()
    assert found.device("tun") is ("200 tun\n" in before)
    assert found.ipv6 in (True, False)
    assert kernel_features.policy_routing() is not False
    with open("/proc/misc", encoding="ascii") as handle:
        assert handle.read() == before


def answer(kind, body=b""):
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (answer(32, b"\0" * 12), True),
        (answer(3, b"\0" * 4), True),
        (answer(2, struct.pack("=i", -errno.EOPNOTSUPP)), False),
        (answer(2, struct.pack("=i", -errno.EAFNOSUPPORT)), False),
        (answer(2, struct.pack("=i", -errno.EPERM)), None),
        (answer(24), None),
    ],
)
def test_the_answer_about_rules(message, expected):
    assert kernel_features.rules_answer(message) is expected
