# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which family of NAS systems this host is, and what differs there."""

from __future__ import annotations

import os

_WORDS = {
    "synology": {
        "name": "Synology DSM",
        "example": "/volume1/mediastack",
        "engine": "update DSM to 7.2 or later, then Container Manager in the Package Center",
    },
    "qnap": {
        "name": "QNAP QTS/QuTS",
        "example": "/share/Container/mediastack",
        "engine": "update Container Station in the App Center to version 3 or later",
    },
    "unraid": {
        "name": "Unraid",
        "example": "/mnt/user/mediastack",
        "engine": "update Unraid, and install the plugin Docker Compose Manager",
    },
    "truenas": {
        "name": "TrueNAS",
        "example": "/mnt/tank/mediastack",
        "engine": "update TrueNAS to 24.10 or later, whose apps are Docker",
    },
    "generic": {
        "name": "Linux",
        "example": "/srv/mediastack",
        "engine": "update Docker from download.docker.com or your distribution; Compose is in docker-compose-plugin",
    },
}


def family(root="/"):
    """synology, qnap, unraid, truenas or generic (OpenMediaVault is a plain Debian)."""
    for path, name in (
        ("etc/synoinfo.conf", "synology"),
        ("etc/config/qpkg.conf", "qnap"),
        ("etc/unraid-version", "unraid"),
        ("usr/bin/midclt", "truenas"),
    ):
        if os.path.exists(os.path.join(root, path)):
            return name
    try:
        with open(os.path.join(root, "etc/version"), encoding="utf-8", errors="replace") as handle:
            return "truenas" if "truenas" in handle.read(200).lower() else "generic"
    except OSError:
        return "generic"


def words(name):
    """{name, example: a base path, engine: how to update the engine} of a family."""
    return _WORDS[name]
