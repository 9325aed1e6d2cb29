# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a container was given when it was made and somebody can change afterwards without Compose: `docker update`,
`docker network connect`, or making it anew by other means. Pure: from `docker inspect` alone.

Only what was asked for counts, never what the engine hands out (addresses, MAC addresses, ids), and what is not asked
for has no value: engines differ in what they call "nothing" (null, 0, -1, an empty list), and a newer one fills in
defaults of its own when a container starts again. The container's own short id, which engines before 25 put among its
aliases, counts for none.
"""

from __future__ import annotations

import hashlib
import json

_HEX = frozenset("0123456789abcdef")
_FULL_ID = 64
# What runs in it. That may hold secrets, so only whether it is the same is kept.
RUNS = "environment, command or user"


def traits(raw):
    """Name of a trait → value (JSON); every name is there, None where nothing was asked for.

    `raw`: one element of what `docker inspect` prints. The names are words for people.
    """
    host, config = raw["HostConfig"], raw["Config"]
    found = {
        "restart policy": _restart_policy(host.get("RestartPolicy") or {}),
        "memory limit": _limit(host.get("Memory")),
        "memory and swap limit": _limit(host.get("MemorySwap")),
        "memory reservation": _limit(host.get("MemoryReservation")),
        "CPU limit": _cpus(host),
        "CPU shares": _limit(host.get("CpuShares")),
        "CPU set": host.get("CpusetCpus"),
        "I/O weight": _limit(host.get("BlkioWeight")),
        "process limit": _limit(host.get("PidsLimit")),
        "added capabilities": _capabilities(host.get("CapAdd")),
        "dropped capabilities": _capabilities(host.get("CapDrop")),
        "privileged": bool(host.get("Privileged")),
        "security options": sorted(_security(one) for one in host.get("SecurityOpt") or []),
        "read-only root": bool(host.get("ReadonlyRootfs")),
        "process namespace": host.get("PidMode"),
        "kernel parameters": dict(host.get("Sysctls") or {}),
        "mounts": _mounts(host),
        "devices": sorted(_device(one) for one in host.get("Devices") or []),
        "published ports": _ports(host.get("PortBindings") or {}),
        "networks": _networks(raw),
        RUNS: _digest(config),
    }
    return {name: value or None for name, value in found.items()}


def changes(before, after):
    """Sentences for what differs between two answers of `traits`: `restart policy unless-stopped → no`.

    A trait that only one of them knows (of another version of this collection) is none.
    """
    found = []
    for name in before:
        if name not in after or before[name] == after[name]:
            continue
        if name == "networks":
            found += _network_changes(before[name] or {}, after[name] or {})
        elif name == RUNS:
            found.append(name)
        elif isinstance(before[name] or after[name], list):
            found.append("%s %s" % (name, _difference(before[name] or [], after[name] or [])))
        else:
            found.append("%s %s → %s" % (name, _words(name, before[name]), _words(name, after[name])))
    return found


def _restart_policy(policy):
    name = policy.get("Name") or "no"
    count = policy.get("MaximumRetryCount") or 0
    return "%s:%d" % (name, count) if name == "on-failure" and count else name


def _limit(value):
    """A number above 0; None for every spelling of "none"."""
    return value if isinstance(value, int) and value > 0 else None


def _cpus(host):
    """How many processors; `--cpus` and the older quota and period are the same thing."""
    nano, quota, period = (host.get(name) or 0 for name in ("NanoCpus", "CpuQuota", "CpuPeriod"))
    if nano > 0:
        return nano / 1e9
    return round(quota / (period or 100000), 3) if quota > 0 else None


def _capabilities(names):
    """Engines from 20.10 on spell some with `CAP_`."""
    upper = (name.upper() for name in names or [])
    return sorted(name[len("CAP_") :] if name.startswith("CAP_") else name for name in upper)


def _security(option):
    return option[: -len(":true")] if option.endswith(":true") else option


def _mounts(host):
    """`source → target`, whichever way they were asked for; without volumes that have no name."""
    found = []
    for bind in host.get("Binds") or []:
        parts = bind.split(":")
        options = parts.pop().split(",") if len(parts) > 2 else []
        found.append((parts[0], ":".join(parts[1:]), "ro" in options))
    for mount in host.get("Mounts") or []:
        if mount.get("Type") == "tmpfs":
            found.append(("tmpfs", mount.get("Target", ""), False))
        else:
            found.append((mount.get("Source") or "", mount.get("Target", ""), bool(mount.get("ReadOnly"))))
    found += [("tmpfs", target, False) for target in host.get("Tmpfs") or {}]
    return sorted(
        "%s on %s%s" % (source, target.rstrip("/") or "/", " (read-only)" if readonly else "")
        for source, target, readonly in found
        if source and not (len(source) == _FULL_ID and _HEX.issuperset(source))
    )


def _device(device):
    return "%s on %s (%s)" % tuple(
        device.get(key) or "" for key in ("PathOnHost", "PathInContainer", "CgroupPermissions")
    )


def _ports(bindings):
    found = []
    for target, places in bindings.items():
        for place in places or []:
            address = place.get("HostIp") or ""
            found.append("%s:%s to %s" % (address or "every address", place.get("HostPort") or "any", target))
    return sorted(found)


def _networks(raw):
    """name → [aliases, given addresses] of the networks that it has a place in of its own."""
    identifier, found = raw["Id"], {}
    for name, entry in ((raw.get("NetworkSettings") or {}).get("Networks") or {}).items():
        if name in ("none", "host") or name.startswith("container:"):
            continue
        entry = entry or {}
        aliases = {one for one in entry.get("Aliases") or [] if not (len(one) == 12 and identifier.startswith(one))}
        given = entry.get("IPAMConfig") or {}
        addresses = [given[key] for key in ("IPv4Address", "IPv6Address") if given.get(key)]
        found[name] = sorted(aliases) + addresses
    return found


def _digest(config):
    """Of what a container runs, and with what. Its host name is not among it: by default that is its id."""
    parts = [sorted(config.get("Env") or [])]
    parts += [config.get(key) or None for key in ("Entrypoint", "Cmd", "User", "WorkingDir")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()


def _network_changes(before, after):
    found = ["taken off the network %s" % name for name in sorted(set(before) - set(after))]
    found += ["put on the network %s" % name for name in sorted(set(after) - set(before))]
    for name in sorted(set(before) & set(after)):
        if before[name] != after[name]:
            found.append("names on the network %s %s" % (name, _difference(before[name], after[name])))
    return found


def _difference(before, after):
    """`without a, with b`, of two lists of texts."""
    parts = ["without %s" % one for one in before if one not in after]
    return ", ".join(parts + ["with %s" % one for one in after if one not in before]) or "in another order"


def _words(name, value):
    if value is None:
        return "none"
    if value is True:
        return "yes"
    if isinstance(value, dict):
        return ", ".join("%s=%s" % pair for pair in sorted(value.items()))
    if name.startswith("memory"):
        return "%d MiB" % (value // 1048576) if value >= 1048576 else "%d bytes" % value
    return "%g" % value if isinstance(value, float) else str(value)
