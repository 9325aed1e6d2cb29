# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kind of host this is: distribution or NAS family, WSL2, macOS, architecture."""

from __future__ import annotations

import os
import platform
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import nas_family

# Where each family keeps its version: file, pattern with one group.
_VERSIONS = {
    "synology": ("etc.defaults/VERSION", r'productversion="?([^"\n]+)'),
    "qnap": ("etc/config/uLinux.conf", r"(?m)^Version\s*=\s*(\S+)"),
    "unraid": ("etc/unraid-version", r'version="?([^"\n]+)'),
    "truenas": ("etc/version", r"([0-9][0-9A-Za-z.-]*)"),
}


def describe(root="/", system=None):
    """{system, family, name, distribution, version, wsl, architecture, python} of this host.

    `family` is that of `nas_family`; on it depends where data may lie. `name` is for people: "Debian GNU/Linux 12
    (bookworm)", "Synology DSM 7.2", "macOS 14.5".
    """
    system = system or platform.system()
    found = {"system": system, "architecture": platform.machine(), "python": platform.python_version(), "wsl": False}
    if system == "Darwin":
        version = platform.mac_ver()[0]
        name = ("macOS %s" % version).strip()
        return dict(found, family="generic", name=name, distribution="macos", version=version)
    release = os_release(root)
    family = nas_family.family(root)
    wsl = "microsoft" in read_text(root, "proc/sys/kernel/osrelease").lower()
    distribution, version = release.get("ID", "linux"), release.get("VERSION_ID", "")
    name = release.get("PRETTY_NAME") or " ".join(filter(None, [release.get("NAME", "Linux"), version]))
    if family != "generic":
        distribution, version = family, _nas_version(root, family)
        name = " ".join(filter(None, [nas_family.words(family)["name"], version]))
    elif os.path.exists(os.path.join(root, "etc/openmediavault")):
        distribution, name = "openmediavault", "OpenMediaVault on %s" % name
    if wsl:
        name += " in WSL2"
    return dict(found, family=family, name=name, distribution=distribution, version=version, wsl=wsl)


def os_release(root="/"):
    """The entries of os-release, quotes taken off; empty where there is none."""
    text = read_text(root, "etc/os-release") or read_text(root, "usr/lib/os-release")
    found = {}
    for line in text.splitlines():
        name, sign, value = line.partition("=")
        if sign and re.match(r"^[A-Z_]+$", name.strip()):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def _nas_version(root, family):
    file, pattern = _VERSIONS[family]
    match = re.search(pattern, read_text(root, file))
    return match.group(1).strip() if match else ""


def read_text(root, path):
    """The first 64 KiB of a file below `root`, "" where it cannot be read."""
    try:
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as handle:
            return handle.read(65536)
    except OSError:
        return ""
