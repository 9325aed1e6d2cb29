# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as text for node_exporter's textfile collector.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. All metrics are gauges in base
units. Addresses are left out: labels end up in a database that keeps them.
"""

from __future__ import annotations

import calendar
import time

from .report_model import STATUSES
from .table import tag


def render(report, _fail_on=None):
    """The report of `report_model.build` as text."""
    return "".join(_family(*family) for family in [*_services(report), *_hosts(report)])


def _services(report):
    rows = report["services"]
    named = [({"host": row["host"], "service": row["name"]}, row) for row in rows]
    yield "mediastack_healthy", "Whether every service of every host is HEALTHY.", [({}, report["healthy"])]
    yield "mediastack_status_timestamp_seconds", "When status looked.", [({}, _seconds(report["generated"]))]
    yield (
        "mediastack_service_healthy",
        "Whether the service is HEALTHY.",
        [(labels, row["status"] == "HEALTHY") for labels, row in named],
    )
    yield (
        "mediastack_service_status",
        "The status of the service: 1 for the one that it has.",
        [({**labels, "status": status}, row["status"] == status) for labels, row in named for status in STATUSES],
    )
    yield (
        "mediastack_service_latency_seconds",
        "Time of the service's answer; absent when it was not asked or did not answer.",
        [(labels, row["latency_ms"] / 1000) for labels, row in named if row["latency_ms"] is not None],
    )
    yield (
        "mediastack_service_info",
        "The service's name for people and the image that runs.",
        [
            ({**labels, "title": row["title"], "image": row["image"], "tag": tag(row["image"])}, 1)
            for labels, row in named
            if row["image"]
        ],
    )


def _hosts(report):
    hosts = report["hosts"].items()
    vpns = [({"host": host}, facts["vpn"]) for host, facts in hosts]
    connected = [({**labels, "provider": vpn.get("provider")}, vpn) for labels, vpn in vpns if "connected" in vpn]
    yield (
        "mediastack_vpn_enabled",
        "Whether the inventory wants a VPN.",
        [(labels, vpn["enabled"]) for labels, vpn in vpns if "enabled" in vpn],
    )
    yield (
        "mediastack_vpn_connected",
        "Whether the VPN is connected; absent when that is not known.",
        [(labels, vpn["connected"]) for labels, vpn in connected],
    )
    yield (
        "mediastack_vpn_forwarded_ports",
        "Number of ports that the VPN provider forwards.",
        [(labels, len(vpn["forwarded_ports"])) for labels, vpn in vpns if "forwarded_ports" in vpn],
    )
    for key, what in (("total_bytes", "Size"), ("free_bytes", "Free space")):
        yield (
            f"mediastack_disk_{key}",
            f"{what} of the file system of a data root.",
            [
                ({"host": host, "root": name, "path": disk.get("path")}, disk[key])
                for host, facts in hosts
                for name, disk in facts["disks"].items()
                if key in disk
            ],
        )
    for key, metric, what in (
        ("total", "downloads", "Downloads in the client's queue."),
        ("active", "active_downloads", "Downloads that are running."),
        ("stalled", "stalled_downloads", "Downloads that are stalled."),
        ("failed", "failed_downloads", "Downloads that have failed."),
        ("paused", "paused", "Whether the client is paused."),
        ("speed_bytes", "download_bytes_per_second", "Speed of all downloads of the client."),
    ):
        yield (
            f"mediastack_queue_{metric}",
            what,
            [
                ({"host": host, "client": name}, queue[key])
                for host, facts in hosts
                for name, queue in facts["queues"].items()
                if key in queue
            ],
        )
    for key, metric, what in (
        ("count", "backups", "Backups of everything that are kept."),
        ("ok", "backup_ok", "Whether the last backup succeeded, its copy included."),
        ("bytes", "backup_bytes", "Size of the newest backup."),
        ("drill_ok", "backup_drill_ok", "Whether the last restore drill passed."),
    ):
        yield (
            f"mediastack_{metric}",
            what,
            [({"host": host}, facts["backup"][key]) for host, facts in hosts if key in facts["backup"]],
        )
    yield (
        "mediastack_backup_timestamp_seconds",
        "When the newest backup was begun.",
        [({"host": host}, _seconds(facts["backup"]["taken"])) for host, facts in hosts if "taken" in facts["backup"]],
    )
    yield (
        "mediastack_service_held",
        "1 for what somebody holds stopped or started against the inventory.",
        [
            ({"host": host, "service": name, "verb": hold.get("verb")}, 1)
            for host, facts in hosts
            for name, hold in facts["holds"].items()
        ],
    )


def _family(name, what, samples):
    """One metric: HELP, TYPE and its samples; empty without samples."""
    if not samples:
        return ""
    lines = [f"# HELP {name} {_escape_help(what)}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items() if text is not None)
        lines.append(f"{name}{{{inside}}} {_number(value)}" if inside else f"{name} {_number(value)}")
    return "\n".join(lines) + "\n"


def _number(value):
    return repr(int(value) if isinstance(value, bool) else value)


def _escape(text):
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _seconds(moment):
    return calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
