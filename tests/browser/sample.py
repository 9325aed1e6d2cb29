# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of an imagined household's two servers, for the page in a browser and the picture in the docs."""

from __future__ import annotations

MOMENT = "2026-11-22T20:41:07Z"
APPS = {
    "gluetun": ("gluetun", None, "qmcgaw/gluetun:v3.41.3"),
    "qbittorrent": ("qBittorrent", 8080, "lscr.io/linuxserver/qbittorrent:5.2.3"),
    "sabnzbd": ("SABnzbd", 8081, "lscr.io/linuxserver/sabnzbd:5.1.1-ls267"),
    "prowlarr": ("Prowlarr", 9696, "lscr.io/linuxserver/prowlarr:2.5.2"),
    "sonarr": ("Sonarr", 8989, "lscr.io/linuxserver/sonarr:4.0.19"),
    "radarr": ("Radarr", 7878, "lscr.io/linuxserver/radarr:6.2.1"),
    "bazarr": ("Bazarr", 6767, "lscr.io/linuxserver/bazarr:1.5.6"),
    "jellyfin": ("Jellyfin", 8096, "lscr.io/linuxserver/jellyfin:10.11.11"),
    "seerr": ("Seerr", 5055, "ghcr.io/seerr-team/seerr:v3.4.1"),
}


def _row(name, address, latency):
    title, port, image = APPS[name]
    return {
        "name": name,
        "title": title,
        "status": "HEALTHY",
        "message": "",
        "latency_ms": latency,
        "container": name,
        "image": image,
        "url": f"http://{address}:{port}" if port else None,
    }


def _disk(path, total, free, device):
    return {"path": path, "total_bytes": total, "free_bytes": free, "device": device}


def results():
    """`{host: result}` with something of everything."""
    nas = [_row(name, "192.168.1.10", 3.1 + 4 * number) for number, name in enumerate(APPS)]
    by_name = {row["name"]: row for row in nas}
    by_name["prowlarr"].update(status="DEGRADED", message="2 of 8 indexers failing")
    by_name["sonarr"].update(
        status="UNHEALTHY",
        message="http://192.168.1.10:8989/ping: connection refused, nothing listens there",
        latency_ms=None,
    )
    held = {"verb": "stop", "who": "anna@laptop", "when": "2026-11-22T18:02:44+00:00", "why": "stop service=bazarr"}
    by_name["bazarr"].update(
        status="STOPPED", message="held stopped since 2026-11-22 18:02 +0000 by anna@laptop; run start", latency_ms=None
    )
    nas.append(
        {
            "name": "(disk media)",
            "title": "Disk media",
            "status": "DEGRADED",
            "message": "/srv/mediastack/media: 93 % full, 280 GB free",
        }
    )
    media = _disk("/srv/mediastack/media", 4 * 10**12, 28 * 10**10, 2)
    return {
        "nas": {
            "services": nas,
            "vpn": {
                "enabled": True,
                "provider": "mullvad",
                "connected": True,
                "country": "Switzerland",
                "public_ip": "193.32.126.66",
                "forwarded_ports": [51820],
            },
            "disks": {
                "base": _disk("/srv/mediastack", 5 * 10**11, 12 * 10**10, 1),
                "media": media,
                "downloads": {**media, "path": "/srv/mediastack/downloads"},
            },
            "queues": {
                "qbittorrent": {"active": 3, "total": 12, "stalled": 1, "speed_bytes": 4_200_000},
                "sabnzbd": {"active": 0, "total": 0, "stalled": 0, "speed_bytes": 0},
            },
            "holds": {"bazarr": held},
        },
        "attic": {
            "services": [_row(name, "192.168.1.11", 5.5) for name in ("jellyfin", "seerr")],
            "vpn": {"enabled": False},
            "disks": {"base": _disk("/srv/mediastack", 2 * 10**12, 9 * 10**11, 1)},
        },
    }
