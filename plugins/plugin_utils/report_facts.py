# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is to say of a host besides its services: VPN, disks, downloads, backups, holds. For people, a
line each.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.homelab.mediastack.plugins.module_utils import holds

from . import report_backup

VPN, DISKS, QUEUES, BACKUP, HOLDS, PULL = "VPN", "disks", "downloads", "backup", "holds", "pull"

CLIENTS = {
    "deluge": "Deluge",
    "nzbget": "NZBGet",
    "qbittorrent": "qBittorrent",
    "sabnzbd": "SABnzbd",
    "transmission": "Transmission",
}
"""Download clients as their makers write them; others are shown as the service is called."""


@dataclasses.dataclass(frozen=True)
class Fact:
    """One line.

    Attributes:
        what: one of the constants above.
        text: for people.
        level: `good`, `bad`, or `plain` for what is neither.
    """

    what: str
    text: str
    level: str = "plain"


def of_host(host, facts, rows):
    """The facts of one host, a list.

    Args:
        host: its name.
        facts: its entry in the report's `hosts`.
        rows: the report's `services`; the disks that are too full have a row there, such as `(disk media)`.
    """
    bad = {row["name"] for row in rows if row["host"] == host and row["status"] != "HEALTHY"}
    found = [
        vpn(facts.get("vpn") or {}),
        disks(facts.get("disks") or {}, bad),
        queues(facts.get("queues") or {}),
        backup(facts.get("backup") or {}),
        pull(facts.get("pull") or {}),
        *(
            held(name, entry)
            for name, entry in (facts.get("holds") or {}).items()
            if not _is_told(name, entry, host, rows)
        ),
    ]
    return [fact for fact in found if fact]


def vpn(known):
    """`connected · Mullvad · Switzerland · 193.32.126.66 · forwarded port 51820`; None when nothing is known of it."""
    if "enabled" not in known:
        return None
    if not known["enabled"]:
        return Fact(VPN, "off")
    connected = known.get("connected")
    words = [{True: "connected", False: "not connected"}.get(connected, "not known")]
    if known.get("message"):
        words.append(known["message"])
    words += [known[key] for key in ("provider", "country", "public_ip") if known.get(key)]
    ports = known.get("forwarded_ports") or []
    if ports:
        words.append(("forwarded port " if len(ports) == 1 else "forwarded ports ") + ", ".join(map(str, ports)))
    level = {True: "good", False: "bad"}.get(connected, "plain")
    return Fact(VPN, " · ".join(words), level)


def disks(known, bad=()):
    """`base and media 1.2 of 4.0 TB free · downloads 12 GB of 1.0 TB free, LOW`; None when none is known.

    Args:
        known: `{name: {path, total_bytes, free_bytes} or {path, error}}`.
        bad: names of rows that are not healthy.
    """
    found = file_systems(known, bad)
    if not found:
        return None
    text = " · ".join(f"{system.label} {system.text}" for system in found)
    return Fact(DISKS, text, "bad" if any(system.low or system.used is None for system in found) else "plain")


@dataclasses.dataclass(frozen=True)
class FileSystem:
    """A file system, and the data roots on it.

    Attributes:
        label: the roots' names, `base and media`.
        text: `1.2 of 4.0 TB free`, or why that is not known.
        used: share of it that is used, 0 to 1; None when not known.
        low: whether a row says that it is too full.
    """

    label: str
    text: str
    used: float | None
    low: bool


def file_systems(known, bad=()):
    """A list of `FileSystem`: data roots on the same one are one, for its space is there once. Arguments: `disks`."""
    found = []
    for names, disk in _grouped(known):
        label = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        low = any(f"(disk {name})" in bad for name in names)
        if "total_bytes" in disk and "free_bytes" in disk:
            text = f"{of_amount(disk['free_bytes'], disk['total_bytes'])} free" + (", LOW" if low else "")
            used = 1 - disk["free_bytes"] / disk["total_bytes"] if disk["total_bytes"] else None
            found.append(FileSystem(label, text, used, low))
        else:
            found.append(FileSystem(label, f"unknown ({disk.get('error') or 'not read'})", None, low))
    return found


def _grouped(known):
    found = []
    for name, disk in known.items():
        for names, other in found:
            if _same(disk, other):
                names.append(name)
                break
        else:
            found.append(([name], disk))
    return found


def _same(disk, other):
    if "device" in disk and "device" in other:
        return disk["device"] == other["device"]
    return "error" in disk and disk["error"] == other.get("error")


def queues(known):
    """`qBittorrent 3 active of 12, 4.2 MB/s, 1 stalled · SABnzbd idle`; None when there is none."""
    parts = [f"{CLIENTS.get(name, name)} {queue(entry)}" for name, entry in known.items()]
    bad = any(entry.get(key) for entry in known.values() for key in ("stalled", "failed", "error"))
    return Fact(QUEUES, " · ".join(parts), "bad" if bad else "plain") if parts else None


def queue(entry):
    """One download client's queue in words."""
    if entry.get("error"):
        return f"unknown ({entry['error']})"
    active, total = entry.get("active"), entry.get("total")
    words = ["paused"] if entry.get("paused") else []
    if active:
        words.append(f"{active} active" + (f" of {total}" if total is not None else ""))
        if entry.get("speed_bytes") is not None:
            words.append(f"{amount(entry['speed_bytes'])}/s")
    elif total:
        words.append(f"none active of {total}")
    words += [f"{entry[key]} {key}" for key in ("stalled", "failed") if entry.get(key)]
    return ", ".join(words) or "idle"


def backup(known):
    """`2 h ago, 34 MB, 7 kept · copied · drill 3 days ago`; None when nothing is known of it."""
    words = report_backup.words(known, amount)
    return Fact(BACKUP, words, "bad" if report_backup.warnings(known) else "plain") if words else None


def pull(known):
    """`commit 1a2b3c4d5e6f live since …`; None where the host is not in pull mode."""
    words = known.get("text", "").partition(": ")[2] or known.get("error")
    return Fact(PULL, words, "plain" if known.get("ok") else "bad") if words else None


def held(name, entry):
    """`sonarr held stopped since 2026-11-22 20:39 +0000 by anna@laptop: moving the library`."""
    why = f": {entry['why']}" if entry.get("why") else ""
    return Fact(HOLDS, f"{name} {_since(entry)}{why}")


def _since(entry):
    return holds.since({"verb": "", "who": "somebody", "when": "an unknown time", **entry})


def _is_told(name, entry, host, rows):
    """Whether the message of the service says already that it is held; of the VPN, any that it concerns."""
    vpn_held = name == holds.VPN
    words = f"the VPN is {_since(entry)}" if vpn_held else _since(entry)
    return any(
        row["host"] == host and (vpn_held or row["name"] == name) and words in (row["message"] or "") for row in rows
    )


_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def amount(count):
    """*count* bytes for people, in powers of 1000 as disks are sold: `512 B`, `4.2 MB`, `12 GB`."""
    value, unit = _scaled(count)
    return f"{value} {unit}"


def of_amount(part, whole):
    """`1.2 of 4.0 TB`; with two units where the part is much smaller: `12 GB of 4.0 TB`."""
    (value, unit), (whole_value, whole_unit) = _scaled(part), _scaled(whole)
    first = value if unit == whole_unit else f"{value} {unit}"
    return f"{first} of {whole_value} {whole_unit}"


def _scaled(count):
    value = float(count)
    for unit in _UNITS:
        # What would be rounded up to 1000 belongs to the next unit.
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return (f"{value:.1f}" if value < 9.95 and unit != "B" else f"{value:.0f}"), unit
