# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `status`, built from the results of all hosts. What it holds is documented in docs/status.md."""

from __future__ import annotations

import datetime
import ipaddress
import urllib.parse

from . import report_backup

SCHEMA = 1

STATUSES = ("HEALTHY", "DEGRADED", "STARTING", "UNHEALTHY", "STOPPED", "MISSING", "UNKNOWN")
"""Every status of the result model, the best first."""

PASSING = {
    "degraded": ("HEALTHY",),
    "unhealthy": ("HEALTHY", "DEGRADED"),
    "never": STATUSES,
}
"""`fail_on` → the statuses that let a run pass."""

NOT_READ = "its health was not read: the run failed for this host earlier"

# What the report takes over of a host's result, by name and type. Nothing else gets in: names of downloads, or the
# address that a host without a tunnel has, cannot slip through.
_VPN = {
    "enabled": bool,
    "services": list,
    "provider": str,
    "connected": bool,
    "country": str,
    "public_ip": str,
    "forwarded_ports": list,
    "vpn_type": str,
    "version": str,
    "message": str,
}
_THROUGH_THE_TUNNEL = ("country", "public_ip", "forwarded_ports")
_DISK = {
    "path": str,
    "total_bytes": int,
    "free_bytes": int,
    "used_percent": (int, float),
    "inodes_used_percent": (int, float),
    "device": int,
    "error": str,
}
_QUEUE = {
    "active": int,
    "stalled": int,
    "failed": int,
    "total": int,
    "speed_bytes": (int, float),
    "paused": bool,
    "error": str,
}
_PULL = {"ok": bool, "result": str, "text": str, "ended": str, "wanted": str, "live": str, "error": str}
_BACKUP = {
    "path": str,
    "count": int,
    "taken": str,
    "age_hours": (int, float),
    "max_age_hours": int,
    "bytes": int,
    "ok": bool,
    "why": str,
    "target": bool,
    "copied": bool,
    "same_disk": bool,
    "drill_when": str,
    "drill_age_days": int,
    "drill_ok": bool,
    "drill_why": str,
    "error": str,
}
_HOLD = {"verb": str, "who": str, "when": str, "why": str}


def now():
    """This moment, as reports write it: UTC, ISO 8601, whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def build(results, local=(), moment=None):
    """The report.

    Args:
        results: `{host: what its stack_health task registered, or None}`.
        local: names of the hosts that are this machine. Elsewhere a URL on 127.0.0.1 would lead to the wrong machine.
        moment: when, as `now` gives it; None = now.

    Returns:
        `{schema, healthy, generated, services[], hosts{}, warnings[]}`. `healthy` is true only
        when there is something to judge and every service of it is HEALTHY.
    """
    services = [row for host, result in results.items() for row in rows_of(host, result, host in local)]
    hosts = {host: _host(result if isinstance(result, dict) else {}) for host, result in results.items()}
    healthy = bool(services) and all(row["status"] == "HEALTHY" for row in services)
    return {
        "schema": SCHEMA,
        "healthy": healthy,
        "generated": moment or now(),
        "services": services,
        "hosts": hosts,
        "warnings": [
            {"host": host, "about": report_backup.ABOUT, "message": message}
            for host, known in hosts.items()
            for message in report_backup.warnings(known["backup"])
        ]
        + [
            {"host": host, "about": "pull", "message": known["pull"].get("text") or known["pull"].get("error", "")}
            for host, known in hosts.items()
            if known.get("pull", {}).get("ok") is not True and "pull" in known
        ],
    }


def rows_of(host, result, local=False):
    """The result model's entries of one host, from what its `stack_health` task registered.

    *result* may be None (the host never came so far), unreachable, or failed: then one entry says so, as UNKNOWN.
    """
    if isinstance(result, dict) and result.get("services") and not result.get("failed"):
        return [_row(host, row, local) for row in result["services"]]
    if not isinstance(result, dict):
        message = NOT_READ
    elif result.get("unreachable"):
        message = "unreachable: " + first_line(result.get("msg"))
    elif result.get("failed"):
        message = first_line(result.get("msg"))
    else:
        message = "no service to look at"
    return [unknown(host, "(host)", "", message)]


def unknown(host, name, title, message):
    """An entry of the result model of which nothing is known but why."""
    return {
        "host": host,
        "name": name,
        "title": title,
        "status": "UNKNOWN",
        "message": message,
        "latency_ms": None,
        "container": None,
        "image": None,
        "url": None,
    }


def first_line(reason):
    """What went wrong, without the lines that quote commands and advice."""
    lines = str(reason or "").strip().splitlines()
    return lines[0].strip() if lines else "no reason given"


def _row(host, row, local):
    row = {**unknown(host, str(row.get("name")), "", ""), **row, "host": host}
    # For notifications.
    row.pop("asked", None)
    if row.get("url") and not local and _is_loopback(row["url"]):
        row["url"] = None
    return row


def _is_loopback(url):
    try:
        name = urllib.parse.urlsplit(url).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host(result):
    vpn = _known(result.get("vpn"), _VPN)
    if vpn.get("connected") is not True:
        for key in _THROUGH_THE_TUNNEL:
            vpn.pop(key, None)
    pull = _known(result.get("pull"), _PULL)
    return {
        **({"pull": pull} if pull else {}),
        "vpn": vpn,
        "disks": _each(result.get("disks"), _DISK),
        "queues": _each(result.get("queues"), _QUEUE),
        "holds": _each(result.get("holds"), _HOLD),
        "backup": _known(result.get("backup"), _BACKUP),
    }


def _each(entries, wanted):
    found = {str(name): _known(entry, wanted) for name, entry in (_map(entries)).items()}
    return {name: entry for name, entry in found.items() if entry}


def _known(entry, wanted):
    """The keys of *entry* that are wanted and of the right type."""
    entry = _map(entry)
    return {key: entry[key] for key, kind in wanted.items() if key in entry and _is(entry[key], kind)}


def _is(value, kind):
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _map(value):
    return value if isinstance(value, dict) else {}
