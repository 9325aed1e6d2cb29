# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a host can encode video, and what a setting takes of it.

Only files are looked at: /dev, /sys and the directories of programs. No device is opened and no driver is loaded.
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple, Sequence

NODES = "/dev/dri"
"""Where the kernel's direct rendering manager has its devices."""
DRM_MAJOR = 226
INTEL = "0x8086"
# What the engine starts for a container that asks for NVIDIA's cards; each of the names that it has had.
NVIDIA_HOOKS = ("nvidia-container-runtime-hook", "nvidia-container-toolkit")
_PROGRAMS = ("usr/bin", "usr/local/bin", "usr/local/nvidia/toolkit", "usr/sbin", "bin")
_NODE = re.compile(r"renderD(\d+)\Z")
# Its own driver has no VA-API.
_NVIDIA_DRIVER = "nvidia"


class Node(NamedTuple):
    """A render node."""

    path: str
    #: Numeric, of the host; a container knows no name of it.
    group: int
    #: PCI vendor such as 0x8086, and the kernel's driver; empty where the host does not say.
    vendor: str
    driver: str


class Gpus(NamedTuple):
    """What this host has."""

    nodes: Sequence[Node]
    #: NVIDIA's devices, and the program of its container toolkit, or None.
    cards: Sequence[str]
    hook: str | None


class Choice(NamedTuple):
    """What is taken: V(none), V(vaapi), V(qsv) or V(nvidia), and the node of the first two."""

    kind: str
    node: Node | None = None

    def words(self):
        """For people."""
        if self.kind == "none":
            return "no GPU: this host has none that can be used"
        if self.node:
            return "%s on %s (group %d)" % (self.kind, self.node.path, self.node.group)
        return "%s, all cards" % self.kind


class Absent(Exception):
    """What was asked for is not there: `what` is missing, as a sentence, and the `remedy`."""

    def __init__(self, what, remedy):
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def look(root="/"):
    """The Gpus of the host below `root`."""
    directory = os.path.join(root, NODES[1:])
    try:
        names = os.listdir(directory)
    except OSError:
        names = []
    numbered = sorted((int(match.group(1)), match.group(0)) for match in map(_NODE.match, names) if match)
    nodes = [_node(root, name) for _number, name in numbered]
    dev = os.path.join(root, "dev")
    cards = [
        "/dev/" + name
        for name in sorted(os.listdir(dev) if os.path.isdir(dev) else [])
        if re.match(r"nvidia\d+\Z", name) and _is_device(os.path.join(dev, name))
    ]
    programs = [os.path.join(root, folder, name) for name in NVIDIA_HOOKS for folder in _PROGRAMS]
    hook = next((path for path in programs if os.access(path, os.X_OK)), None)
    return Gpus([node for node in nodes if node], cards, hook)


def _node(root, name):
    path = os.path.join(root, NODES[1:], name)
    try:
        info = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISCHR(info.st_mode) or os.major(info.st_rdev) != DRM_MAJOR:
        return None
    device = os.path.join(root, "sys/class/drm", name, "device")
    try:
        with open(os.path.join(device, "vendor"), encoding="ascii") as handle:
            vendor = handle.read().strip().lower()
    except (OSError, ValueError):
        vendor = ""
    try:
        driver = os.path.basename(os.readlink(os.path.join(device, "driver")))
    except OSError:
        driver = ""
    return Node(os.path.join(NODES, name), info.st_gid, vendor, driver)


def _is_device(path):
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def available(gpus):
    """Every Choice that this host has, in order; somebody who installed NVIDIA's toolkit wants it used."""
    found = [Choice("nvidia")] if gpus.cards and gpus.hook else []
    nodes = [node for node in gpus.nodes if node.driver != _NVIDIA_DRIVER]
    found += [Choice("qsv", node) for node in nodes if node.vendor == INTEL]
    return found + [Choice("vaapi", node) for node in nodes]


def choose(wanted, gpus):
    """The Choice for `mediastack_gpu`; Absent when the host lacks what it names.

    Of several render nodes it is the one with the lowest number. V(auto) is never absent: it is the first of what the
    host has, V(none) where that is nothing.
    """
    found = available(gpus)
    if wanted == "auto":
        return found[0] if found else Choice("none")
    if wanted not in ("vaapi", "qsv", "nvidia"):
        return Choice("none")
    fitting = [choice for choice in found if choice.kind == wanted]
    if fitting:
        return fitting[0]
    what, remedy = _nvidia_lacks(gpus) if wanted == "nvidia" else _node_lacks(wanted, gpus)
    raise Absent(what, "%s, or set mediastack_gpu: %s" % (remedy, found[0].kind if found else "none"))


def _nvidia_lacks(gpus):
    if not gpus.cards:
        return (
            "this host has no NVIDIA card that its driver knows: there is no /dev/nvidia0",
            "install and load NVIDIA's driver, until nvidia-smi shows the card",
        )
    return (
        "NVIDIA's container toolkit is missing: there is no %s" % NVIDIA_HOOKS[0],
        "install nvidia-container-toolkit from NVIDIA's packages and restart the engine",
    )


def _node_lacks(wanted, gpus):
    if not gpus.nodes:
        return (
            "this host has no render node: there is no %s/renderD128 or later" % NODES,
            "load the driver of the card (i915 or xe of Intel, amdgpu of AMD), or pass its device on to this machine",
        )
    seen = ", ".join("%s (%s)" % (node.path, node.driver or node.vendor or "unknown") for node in gpus.nodes)
    if wanted == "qsv":
        return "no render node is Intel's: this host has %s" % seen, "load the driver of the Intel card (i915 or xe)"
    return "no render node has a driver with VA-API: this host has %s" % seen, "use a card of Intel or AMD"
