# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this host can run gluetun: the tun device, the capability NET_ADMIN, the kernel's firewall and routing.

It refuses only what is known to fail; what cannot be known is left to gluetun, whose log is understood afterwards
(`gluetun_log`). Looking loads no module: /dev/net/tun is opened only while the kernel has it already.

Not looked at, because gluetun does without: the kernel's WireGuard (it has its own in user space, which needs tun),
`rp_filter` and `src_valid_mark` (its rule 100 gives an answer of the VPN server the way back that it came).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Callable, NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import kernel_features, vpn_remedies
from ansible_collections.homelab.mediastack.plugins.module_utils.kernel_features import Kernel
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_remedies import Host

TUN = "/dev/net/tun"
TUN_NUMBERS = (10, 200)
NET_ADMIN = 12
"""Bit of CAP_NET_ADMIN, see capabilities(7)."""


class Around(NamedTuple):
    """Where the checks look."""

    root: str
    kernel: Kernel
    host: Host
    #: Opens a path for reading and writing and closes it; OSError when it cannot be.
    open: Callable
    #: kernel_features.policy_routing.
    routing: Callable
    stat: Callable = os.stat


def around(root="/"):
    """The host that this is."""
    kernel = Kernel(root, whole=vpn_remedies.container(root) is None)
    return Around(root, kernel, vpn_remedies.look(root, kernel), _open, kernel_features.policy_routing)


def _open(path):
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))


def check(bundle, facts, warnings, place=None):
    """Problems of running gluetun here, a list as of `preflight.run`; empty without a VPN.

    `facts`: of `engine_facts`; `warnings`: a list to which sentences are added; `place`: an Around, None: this host.
    """
    vpn = bundle.get("vpn") or {}
    if not vpn.get("enabled"):
        return []
    place = place or around()
    if facts.get("kernel") not in (None, "", place.kernel.release):
        # The engine is in a machine of its own, as that of Docker Desktop: nothing here tells of it.
        return []
    if not os.path.isdir(os.path.join(place.root, "proc")):
        # No Linux: the same, before there is an engine.
        return []
    options = {option.split(",")[0] for option in facts.get("security_options") or []}
    warnings += _doubts(place, options)
    problems = _device(place, options) + _capability(place) + _firewall(place, vpn, warnings)
    return problems + _routing(place) + _ipv6(place, vpn) + _wireguard(place, vpn)


# /dev/net/tun


def _device(place, options):
    kernel, remedy = place.kernel, vpn_remedies.tun(place.host)
    path = os.path.join(place.root, TUN[1:])
    try:
        info = place.stat(path)
    except OSError:
        return [_no_device(place, remedy)]
    wrong = _not_tun(info)
    if wrong:
        return [
            _problem(
                "%s is not the kernel's tun device, but %s" % (TUN, wrong),
                "'sudo rm -r %s', and %s" % (TUN, remedy),
            )
        ]
    if not kernel.device("tun"):
        return _not_loaded(place, remedy)
    try:
        place.open(path)
    except OSError as error:
        return _not_opened(place, error, remedy)
    if options & {"name=userns", "name=rootless"} and info.st_mode & 0o006 != 0o006:
        return [
            _problem(
                "%s is for root alone, and this engine's containers are not root on the host (userns-remap, or a "
                "rootless engine)" % TUN,
                "'sudo chmod 666 %s', and for every boot: echo 'KERNEL==\"tun\", MODE=\"0666\"' | sudo tee "
                "/etc/udev/rules.d/50-tun.rules" % TUN,
                "%04o" % stat.S_IMODE(info.st_mode),
            )
        ]
    return []


def _no_device(place, remedy):
    kernel = place.kernel
    if not place.host.container and kernel.device("tun"):
        return _problem("this host has no %s, although its kernel has tun" % TUN, vpn_remedies.node(place.host))
    what = "this host has no %s, without which gluetun cannot start" % TUN
    if kernel.device("tun") is False and _never(kernel):
        return _problem(what + "; its kernel has no module tun", vpn_remedies.kernel(place.host), kernel.release)
    return _problem(what, remedy)


def _never(kernel):
    """Whether there is no module tun for this kernel, in no place."""
    return not kernel.gone and not kernel.module_file("tun") and kernel.has("tun", "TUN") is False


def _not_loaded(place, remedy):
    """The device's node is there; whether there will be a device behind it when gluetun opens it."""
    kernel = place.kernel
    if kernel.device("tun") is None:
        return []
    if kernel.gone:
        what = "the module tun is not loaded, and cannot be: the modules of the running kernel are gone"
        return [_problem(what, remedy, kernel.release)]
    if kernel.loadable("tun"):
        # The kernel loads it when the node is opened.
        return []
    if kernel.module_file("tun"):
        return [_problem("the module tun is not loaded, and nothing loads it by itself", remedy)]
    if _never(kernel):
        return [_problem("this host's kernel has no module tun", vpn_remedies.kernel(place.host), kernel.release)]
    return []


def _not_opened(place, error, remedy):
    what = "%s cannot be opened: %s" % (TUN, (error.strerror or str(error)).lower())
    if error.errno in (errno.EPERM, errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return [_problem(what, remedy)]
    if error.errno == errno.EACCES and os.geteuid() == 0:
        return [_problem(what, vpn_remedies.SELINUX if _selinux(place.root) else remedy)]
    # Whoever runs this may be less than the engine is.
    return []


def _not_tun(info):
    if stat.S_ISDIR(info.st_mode):
        return "a directory"
    if not stat.S_ISCHR(info.st_mode):
        return "a file"
    numbers = os.major(info.st_rdev), os.minor(info.st_rdev)
    return None if numbers == TUN_NUMBERS else "the device %d:%d instead of 10:200" % numbers


# NET_ADMIN


def _capability(place):
    """Whether the engine itself has what it is to give."""
    bounds = _bounds(place.root)
    if bounds is None or bounds >> NET_ADMIN & 1:
        return []
    return [
        problem(
            "net_admin",
            "the engine itself lacks the capability NET_ADMIN, which gluetun needs for its firewall and its tunnel",
            "dockerd",
            "CapBnd %016x" % bounds,
            vpn_remedies.net_admin(place.host),
        )
    ]


def _bounds(root):
    """The capabilities that the engine can give, a bit mask; None where its process is not found."""
    for name in ("run/docker.pid", "var/run/docker.pid"):
        pid = _text(os.path.join(root, name)).strip()
        if pid.isdigit():
            lines = _text(os.path.join(root, "proc", pid, "status")).splitlines()
            fields = {key: value.strip() for key, _colon, value in (line.partition(":") for line in lines)}
            if fields.get("Name") == "dockerd" and fields.get("CapBnd"):
                return int(fields["CapBnd"], 16)
    return None


# The firewall


def _firewall(place, vpn, warnings):
    """gluetun takes iptables-nft, and iptables-legacy where a first rule by that fails; both need the match conntrack,
    iptables-nft by way of nft_compat.
    """
    kernel = place.kernel
    new, found = kernel.has("nf_tables", "NF_TABLES"), []
    if new is False and not kernel.table("filter") and kernel.has("iptable_filter", "IP_NF_FILTER") is False:
        found.append("neither nf_tables nor iptable_filter")
    if not kernel.match("conntrack"):
        lacking = [
            module
            for module, option in (("xt_conntrack", "NETFILTER_XT_MATCH_CONNTRACK"), ("nf_conntrack", "NF_CONNTRACK"))
            if kernel.has(module, option) is False
        ]
        found += ["no %s" % module for module in lacking[:1]]
    if vpn.get("ipv6") and new is False and kernel.has("ip6table_filter", "IP6_NF_FILTER") is False:
        found.append("no ip6table_filter, although IPv6 is switched on in gluetun")
    if not found and new and kernel.has("nft_compat", "NFT_COMPAT") is False:
        warnings.append(
            "this host's kernel %s has nf_tables without nft_compat; should gluetun end with \"Couldn't load match "
            'conntrack": %s' % (kernel.release, vpn_remedies.kernel(place.host))
        )
    if not found:
        return _guard(place, vpn)
    return [
        problem(
            "firewall",
            "this host's kernel cannot raise gluetun's firewall: it has %s" % ", and ".join(found),
            "kernel",
            kernel.release,
            vpn_remedies.firewall(place.host),
        )
    ]


def _guard(place, vpn):
    kernel = place.kernel
    lacking = not kernel.match("connmark") and kernel.has("xt_connmark", "NETFILTER_XT_CONNMARK") is False
    if not (vpn.get("guard") and lacking):
        return []
    return [
        problem(
            "firewall",
            "this host's kernel has no xt_connmark, which the rules of the connection guard need",
            "mediastack_vpn_connection_guard",
            True,
            vpn_remedies.connmark(place.host),
        )
    ]


# Routes, IPv6, WireGuard


def _routing(place):
    if place.routing() is not False:
        return []
    return [
        problem(
            "routing",
            "this host's kernel has no policy routing (CONFIG_IP_MULTIPLE_TABLES), without which gluetun cannot route "
            "into the tunnel",
            "kernel",
            place.kernel.release,
            vpn_remedies.kernel(place.host),
        )
    ]


def _ipv6(place, vpn):
    if vpn.get("ipv6") is None or place.kernel.ipv6 is not False:
        return []
    return [
        problem(
            "ipv6",
            "this host's kernel is without IPv6, so the engine cannot switch it %s in gluetun's network and does not "
            "start it" % ("on" if vpn["ipv6"] else "off"),
            "/proc/sys/net/ipv6",
            None,
            vpn_remedies.IPV6_OFF,
        )
    ]


def _wireguard(place, vpn):
    """No WireGuard in the kernel is fine, unless somebody insists on it."""
    if vpn.get("wireguard") != "kernelspace" or place.kernel.has("wireguard", "WIREGUARD") is not False:
        return []
    return [
        problem(
            "wireguard",
            "this host's kernel has no WireGuard",
            "mediastack_overrides: gluetun: environment: WIREGUARD_IMPLEMENTATION",
            "kernelspace",
            "leave it out: gluetun then takes its own; or: %s" % vpn_remedies.kernel(place.host),
        )
    ]


# What is no obstacle


def _doubts(place, options):
    found = []
    if "name=rootless" in options:
        found.append(
            "the engine is rootless: it loads no kernel modules, so have root load what gluetun needs: 'modprobe -a "
            "tun %s'" % vpn_remedies.FIREWALL_MODULES
        )
    if "name=selinux" in options and _selinux(place.root) and _text(_boolean(place.root)).startswith("0"):
        found.append(
            "SELinux keeps containers from devices (container_use_devices is off); should gluetun say that "
            "/dev/net/tun is denied, %s" % vpn_remedies.SELINUX
        )
    return found


def _selinux(root):
    return _text(os.path.join(root, "sys/fs/selinux/enforce")).strip() == "1"


def _boolean(root):
    return os.path.join(root, "sys/fs/selinux/booleans/container_use_devices")


def _problem(what, remedy, value=None):
    return problem("tun", what, TUN, value, remedy)


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""
