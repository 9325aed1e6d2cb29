# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to do where a host lacks something that gluetun needs. The one place of these words: preflight says them before
anything is touched, and whoever reads gluetun's log afterwards says the same.

Sources: pages `errors/` and `setup/prerequisites/synology.md` of gluetun's wiki, and its issues 172, 400, 700, 734,
1296, 1723, 2606 and 3222.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import nas_family
from ansible_collections.homelab.mediastack.plugins.module_utils.host_platform import read_text

LXC, OPENVZ, DOCKER, PODMAN = "lxc", "openvz", "docker", "podman"
FIREWALL_MODULES = "iptable_filter nf_tables nft_compat xt_conntrack"

_TUN = {
    "synology": "'sudo insmod /lib/modules/tun.ko', and at every boot: Control Panel, Task Scheduler, Create, "
    "Triggered Task, User-defined script, user root, event Boot-up, with 'insmod /lib/modules/tun.ko; mkdir -p "
    "/dev/net; test -e /dev/net/tun || mknod /dev/net/tun c 10 200'",
    "qnap": "load it with 'modprobe tun' (at every boot: autorun.sh), and stop QVPN and QuCenter, which take the "
    "device",
    "unraid": "load it with 'modprobe tun', and put that line into /boot/config/go for every boot",
    "truenas": "load it with 'modprobe tun', and for every boot add that as a command, Post Init, in System, Advanced "
    "Settings, Init/Shutdown Scripts",
    "generic": "load it with 'sudo modprobe tun', and for every boot: echo tun | sudo tee /etc/modules-load.d/tun.conf",
}
_TUN_INSIDE = {
    LXC: "on the Proxmox host 'pct set ID -dev0 /dev/net/tun', then 'pct reboot ID' (before Proxmox 8.1 two lines in "
    "/etc/pve/lxc/ID.conf: 'lxc.cgroup2.devices.allow: c 10:200 rwm' and 'lxc.mount.entry: /dev/net/tun dev/net/tun "
    "none bind,create=file'); the module is loaded there too: 'modprobe tun', and 'tun' in "
    "/etc/modules-load.d/tun.conf",
    OPENVZ: "only who runs the machine under this one can give it: switch TUN/TAP on in the provider's control panel, "
    "or ask for it",
    DOCKER: "start the container that this host is with '--device /dev/net/tun', with the module loaded on the "
    "machine under it: 'modprobe tun'",
}
_KERNEL = {
    "synology": "update DSM to the newest that this NAS can have: kernels of older ones lack it",
    "qnap": "update QTS or QuTS hero",
    "unraid": "update Unraid",
    "truenas": "update TrueNAS",
    "generic": "update the kernel and reboot; on Ubuntu its other modules are in linux-modules-extra-$(uname -r)",
}
_RASPBERRY = "'sudo apt update && sudo apt full-upgrade', then reboot"
_REBOOT = "reboot: the kernel was updated, and the modules of the one that runs ({release}) are gone until then"
_NET_ADMIN = {
    LXC: "let the container keep it: no 'lxc.cap.drop' with net_admin in /etc/pve/lxc/ID.conf, and nesting: 'pct set "
    "ID --features nesting=1,keyctl=1', then 'pct reboot ID'",
    OPENVZ: "only who runs the machine under this one can give it: ask the provider for NET_ADMIN",
    DOCKER: "start the container that this engine runs in with '--cap-add NET_ADMIN'",
    None: "let the engine's service keep it: 'systemctl cat docker' shows a CapabilityBoundingSet without it",
}
SELINUX = "let containers use devices: sudo setsebool -P container_use_devices=true"
IPV6_OFF = (
    "take 'ipv6.disable=1' off the kernel's command line (in /etc/default/grub, then 'sudo update-grub') and reboot. "
    "To be without IPv6 all the same: 'net.ipv6.conf.all.disable_ipv6 = 1' in /etc/sysctl.d/no-ipv6.conf"
)


class Host(NamedTuple):
    """What the remedies depend on."""

    #: Of nas_family.
    family: str = "generic"
    #: LXC, OPENVZ, DOCKER or PODMAN when the host is a container itself, else None.
    container: str | None = None
    raspberry: bool = False
    #: Release of the running kernel when its modules are gone, else None.
    updated: str | None = None

    @property
    def name(self):
        """For people."""
        if self.family != "generic":
            return nas_family.words(self.family)["name"]
        if self.container in (LXC, OPENVZ):
            return {LXC: "an LXC container", OPENVZ: "an OpenVZ container"}[self.container]
        if self.container:
            return "a container"
        return "Raspberry Pi" if self.raspberry else nas_family.words(self.family)["name"]


def look(root="/", kernel=None):
    """The Host that this is; `kernel`: a kernel_features.Kernel."""
    family = nas_family.family(root)
    return Host(
        family=family,
        container=container(root) if family == "generic" else None,
        raspberry=read_text(root, "proc/device-tree/model").startswith("Raspberry Pi"),
        updated=kernel.release if kernel and kernel.gone else None,
    )


def container(root="/"):
    """Which kind of container this host is itself; None for a machine of its own, or one that cannot be told."""
    environ = dict(entry.partition("=")[::2] for entry in read_text(root, "proc/1/environ").split("\0"))
    for word in (
        read_text(root, "run/systemd/container"),
        read_text(root, "run/host/container-manager"),
        environ.get("container", ""),
    ):
        kind = word.strip().split("-")[0]
        if kind in (LXC, OPENVZ, DOCKER, PODMAN):
            return kind
    if os.path.exists(os.path.join(root, "proc/vz")) and not os.path.exists(os.path.join(root, "proc/bc")):
        return OPENVZ
    for path, kind in ((".dockerenv", DOCKER), ("run/.containerenv", PODMAN)):
        if os.path.exists(os.path.join(root, path)) and _layered(root):
            return kind
    return None


def _layered(root):
    """Whether the root file system is a container's; a machine that was made from an image has its marks too."""
    for line in read_text(root, "proc/1/mountinfo").splitlines():
        mount, _dash, kind = line.partition(" - ")
        fields = mount.split()
        if len(fields) > 4 and fields[4] == "/":
            return fields[3] != "/" or "overlay" in kind.split(" ")[0]
    return False


def tun(host):
    """How this host gets a /dev/net/tun that works."""
    if host.container:
        return _on(host, _TUN_INSIDE[DOCKER if host.container == PODMAN else host.container])
    return _on(host, _REBOOT.format(release=host.updated) if host.updated else _TUN[host.family])


def node(host):
    """How this host, whose kernel has tun, gets the file by which it is opened."""
    made = "'sudo mkdir -p /dev/net; sudo mknod /dev/net/tun c 10 200'"
    if host.family == "generic":
        return _on(host, "%s; a reboot makes it too" % made)
    return "%s; so that it lasts, %s" % (made, tun(host))


def kernel(host):
    """How this host gets a kernel that can do more."""
    if host.container:
        return _on(host, "the kernel is that of the machine under it: update it there")
    if host.updated:
        return _on(host, _REBOOT.format(release=host.updated))
    return _on(host, _RASPBERRY if host.raspberry else _KERNEL[host.family])


def firewall(host):
    """How this host gets what gluetun's firewall is made of."""
    load = "'modprobe -a %s' (for every boot a line each in /etc/modules-load.d/gluetun.conf)" % FIREWALL_MODULES
    if host.container:
        return _on(host, "load the modules on the machine under it: %s" % load)
    if host.updated or host.family != "generic" or host.raspberry:
        return kernel(host)
    return _on(host, "load the modules: sudo %s; where there are none, %s" % (load, _KERNEL["generic"]))


def connmark(host):
    """How this host gets, or does without, the match that the connection guard's rules are made of."""
    if host.updated:
        return kernel(host)
    return _on(
        host,
        "load it ('modprobe xt_connmark', for every boot in /etc/modules-load.d/gluetun.conf%s) or set "
        "mediastack_vpn_connection_guard: false, then run site"
        % (" on the machine under it" if host.container else ""),
    )


def net_admin(host):
    """How this host's engine gets the capability NET_ADMIN, which it can then give to gluetun."""
    return _on(host, _NET_ADMIN[DOCKER if host.container == PODMAN else host.container])


def _on(host, words):
    return "on %s: %s" % (host.name, words)
