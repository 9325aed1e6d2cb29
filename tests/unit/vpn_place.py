# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host made of files, as far as the checks for gluetun look at one."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import types

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_vpn, vpn_remedies
from ansible_collections.homelab.mediastack.plugins.module_utils.kernel_features import Kernel

RELEASE = "6.1.0-18-amd64"
MODULES = f"lib/modules/{RELEASE}"
ON = {"vpn": {"enabled": True, "members": ["qbittorrent"]}}
FAMILIES = {
    "synology": "etc/synoinfo.conf",
    "qnap": "etc/config/qpkg.conf",
    "unraid": "etc/unraid-version",
    "truenas": "usr/bin/midclt",
    "generic": "etc/debian_version",
    "lxc": "run/systemd/container",
    "openvz": "proc/vz",
    "docker": "run/host/container-manager",
}
# What a usual Debian kernel has, as modules; tun is loaded.
DEP = "".join(
    f"kernel/net/{name}.ko.xz: kernel/net/x_tables.ko.xz\n"
    for name in ("tun", "nf_tables", "nft_compat", "xt_conntrack", "nf-conntrack", "iptable_filter", "xt_connmark")
)


class Place:
    """A host made of files below a directory, whose /dev/net/tun is as it is told."""

    def __init__(self, root):
        self.root = root
        self.node = (stat.S_IFCHR | 0o666, os.makedev(10, 200))
        self.refusal = None
        self.rules = True
        self.opened = 0
        self.write("proc/misc", "200 tun\n229 fuse\n")
        self.write("proc/sys/net/ipv4/ip_forward", "1\n")
        self.write("proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n")

    def write(self, path, text=""):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def config(self, *lines):
        """What the kernel tells of its configuration."""
        text = "CONFIG_NET=y\n" + "".join(f"CONFIG_{line}\n" for line in lines)
        (self.root / "proc/config.gz").write_bytes(gzip.compress(text.encode()))

    def modules(self, text=DEP, builtin="kernel/fs/ext4/ext4.ko\n"):
        self.write(f"{MODULES}/modules.dep", text)
        self.write(f"{MODULES}/modules.builtin", builtin)

    def family(self, name):
        self.write(FAMILIES[name], name if name in ("lxc", "docker") else "")

    def without_tun(self):
        self.node = None
        self.write("proc/misc", "229 fuse\n")

    def stat(self, path):
        assert path == str(self.root / "dev/net/tun")
        if self.node is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return types.SimpleNamespace(st_mode=self.node[0], st_rdev=self.node[1])

    def open(self, path):
        self.opened += 1
        if self.refusal:
            raise OSError(self.refusal, os.strerror(self.refusal), path)

    def around(self):
        root = str(self.root)
        kernel = Kernel(root, RELEASE, vpn_remedies.container(root) is None)
        host = vpn_remedies.look(root, kernel)
        return preflight_vpn.Around(root, kernel, host, self.open, lambda: self.rules, self.stat)

    def check(self, facts=None, **vpn):
        """(problems, warnings); nothing below the directory changes."""
        warnings, before = [], self.picture()
        bundle = {"vpn": {**ON["vpn"], **vpn}}
        problems = preflight_vpn.check(bundle, facts or {}, warnings, self.around())
        assert self.picture() == before
        for one in problems:
            assert one["what"] and one["where"] and one["remedy"] and set(one) == {
                "check", "what", "where", "value", "remedy",
            }  # fmt: skip
        return problems, warnings

    def picture(self):
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}
