# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of a transaction, and which services belong together in it. Pure."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

UPDATE, ROLLBACK, RESTORE = "update", "rollback", "restore"


class Change(NamedTuple):
    """One transaction, as it is asked for.

    `targets`: service → {image, digest} or {image, image_id}; `data`: id of the snapshot whose data is put in, or None;
    `names`: services whose data that is; `who`: for the audit; `keep`: earlier generations that stay; `stable_for`:
    seconds for which what is new must run well; `backup_path`: where snapshots are; `health`: arguments of
    `health_sweep.result`, for the probes of the gate; `prepare`: only check the host and have the images;
    `generation`: to go back to, 0 is the one before; `keep_data`: without the data of that generation;
    `survey`: only look, and say which images run.
    """

    verb: str = UPDATE
    targets: Mapping = {}
    data: str | None = None
    names: Sequence[str] = ()
    who: str = ""
    keep: int = 3
    stable_for: float = 20
    backup_path: str = ""
    health: Mapping | None = None
    prepare: bool = False
    generation: int | None = None
    keep_data: bool = False
    survey: bool = False


def groups(services):
    """The services of a bundle in sets that stand and fall together: one app, one network, what needs what."""
    together = {name: {name} for name in services}
    by_app = {}
    for name, service in services.items():
        by_app.setdefault(service.get("app") or name, []).append(name)
    ties = list(by_app.values())
    for name, service in services.items():
        others = [service.get("network_parent"), *(service.get("depends_on") or ())]
        ties += [[name, other] for other in others if other in services]
    for tie in ties:
        merged = set().union(*(together[name] for name in tie))
        for name in merged:
            together[name] = merged
    found = []
    for group in together.values():
        if group not in found:
            found.append(group)
    return found


def same_apps(services, names):
    """`names` and the services that come in one file with one of them (a server and its database), in order."""
    apps = {services[name].get("app") or name for name in names}
    return [name for name, service in services.items() if (service.get("app") or name) in apps]


def touching(services, names):
    """Every service whose group one of `names` is in, in order."""
    found = set().union(*(group for group in groups(services) if group.intersection(names)), ())
    return [name for name in services if name in found]


def has_data(service):
    """Whether a service has data of its own to take."""
    return bool((service.get("snapshot") or {}).get("paths"))


def is_dumped(service):
    """Whether a service's data is taken and put back through its running container (PostgreSQL)."""
    return (service.get("snapshot") or {}).get("method") == "pg_dump"
