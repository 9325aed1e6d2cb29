# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of two hosts, with everything that a report can hold, good and bad, for tests of what is made of them."""

import copy

MOMENT = "2026-11-22T20:35:12Z"
# What no output may hold: the address of a host without a tunnel, and the name of a download.
OWN_ADDRESS = "198.51.100.77"
DOWNLOAD = "Some.Show.S01E01.1080p"
NASTY = "<script>alert(1)</script> & \"quotes\" 'single' \\back\nline {{ 7 * 7 }} \x1b[31mred\x00 \u202e"


def row(name="sonarr", status="HEALTHY", message="", host="inside", **changes):
    """An entry of the result model."""
    entry = {
        "host": host,
        "name": name,
        "title": name.title(),
        "status": status,
        "message": message,
        "latency_ms": 4.2,
        "container": name,
        "image": f"lscr.io/linuxserver/{name}:4.0.16",
        "url": "http://192.168.1.10:8989",
    }
    entry.update(changes)
    return entry


NAS = {
    "changed": False,
    "services": [
        row("gluetun", url=None),
        row("sonarr", "UNHEALTHY", "HTTP 503 (starting), expected 200", latency_ms=None),
        row("prowlarr", "DEGRADED", NASTY, title=NASTY, latency_ms=1234.5),
        row("bazarr", "STOPPED", "held stopped", latency_ms=None, url=None),
        row("(disk media)", "DEGRADED", "93 % full", latency_ms=None, container=None, image=None, url=None),
    ],
    "vpn": {
        "enabled": True,
        "services": ["qbittorrent"],
        "provider": "mullvad",
        "connected": True,
        "country": "Switzerland",
        "public_ip": "193.32.126.66",
        "forwarded_ports": [51820],
        "status": "running",
    },
    "disks": {
        "base": {"path": "/srv/m", "total_bytes": 5 * 10**11, "free_bytes": 12 * 10**10, "device": 1},
        "media": {
            "path": "/srv/m/media",
            "total_bytes": 4 * 10**12,
            "free_bytes": 28 * 10**10,
            "used_percent": 93.0,
            "inodes_used_percent": None,
            "device": 2,
        },
        "downloads": {"path": "/srv/m/dl", "total_bytes": 4 * 10**12, "free_bytes": 28 * 10**10, "device": 2},
    },
    "queues": {
        "qbittorrent": {
            "active": 3,
            "stalled": 1,
            "failed": 0,
            "total": 12,
            "speed_bytes": 4200000,
            "names": [DOWNLOAD],
            "message": DOWNLOAD,
        },
        "sabnzbd": {"error": "HTTP 403, wrong key"},
    },
    "holds": {
        "bazarr": {
            "verb": "stop",
            "who": "anna@laptop",
            "when": "2026-11-22T20:39:03+00:00",
            "why": "stop service=bazarr",
        }
    },
    "backup": {
        "path": "/srv/m/backups",
        "count": 7,
        "taken": "2026-11-22T03:34:10Z",
        "age_hours": 15.5,
        "max_age_hours": 50,
        "bytes": 34_100_000,
        "ok": True,
        "why": "",
        "target": True,
        "copied": True,
        "same_disk": True,
        "drill_ok": True,
        "drill_when": "2026-11-10T03:34:10Z",
        "drill_age_days": 12,
        "files": [DOWNLOAD],
    },
    "messages": ["split mounts: imports are copies, no hardlinks"],
}
ATTIC = {
    "services": [row("jellyfin", url="http://127.0.0.1:8096")],
    "vpn": {
        "enabled": True,
        "services": [],
        "connected": False,
        "public_ip": OWN_ADDRESS,
        "country": "Nowhere",
        "forwarded_ports": [1],
        "message": "running, but not connected",
    },
    "disks": {"base": {"path": "/srv/m", "error": "no answer within 5 s"}},
}


def results():
    """Of the two hosts, one that was never asked and one that could not be reached."""
    return copy.deepcopy(
        {"nas": NAS, "attic": ATTIC, "cellar": None, "far": {"unreachable": True, "msg": "ssh: no route"}}
    )
