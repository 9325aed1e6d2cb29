# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the stack linter looks at, and what it says: a project merged from its Compose documents, and findings."""

from __future__ import annotations

import dataclasses

from . import compose_merge, interpolation, volumes
from .ports import VPN_PARENT

ERROR, WARNING = "error", "warning"
LEVELS = (ERROR, WARNING)
_OF_SERVICE = "service:"


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong, or will be.

    Attributes:
        level: `error`: it does not start, does not work, or lets something out; `warning`: works, but not as most want.
        service: its name; empty for what concerns the whole stack.
        where: the Compose key, setting or file.
        message: what is wrong, with the value; a sentence without its full stop.
        remedy: what to do.
    """

    level: str
    service: str
    where: str
    message: str
    remedy: str = ""

    @property
    def text(self):
        """All of it in one line."""
        place = ": ".join(part for part in (self.service, self.where) if part)
        whole = f"{place}: {self.message}" if place else self.message
        return f"{whole}; {self.remedy}" if self.remedy else whole


@dataclasses.dataclass(frozen=True)
class Mount:
    """One mount of a service: `kind` is bind, volume, tmpfs or another; `source` is empty where there is none."""

    kind: str
    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Model:
    """The project as Compose merges it.

    Attributes:
        services: name → definition.
        networks, volumes, secrets, configs: top-level entries.
        variables: names that `.env` sets; None: not known.
        meta: service → its `x-mediastack`, where it is known.
        split_mounts: library and downloads are mounted apart on purpose.
    """

    services: dict
    networks: dict
    volumes: dict
    secrets: dict
    configs: dict
    variables: frozenset | None = None
    meta: dict = dataclasses.field(default_factory=dict)
    split_mounts: bool = False

    def owner(self, name):
        """The service whose network namespace *name* is in: itself, or what `network_mode: service:…` leads to."""
        seen = set()
        while name in self.services and name not in seen:
            seen.add(name)
            parent = parent_of(self.services[name])
            if parent is None:
                return name
            name = parent
        return name

    def members(self):
        """The services in gluetun's network namespace, without gluetun."""
        return [name for name in self.services if name != VPN_PARENT and self.owner(name) == VPN_PARENT]

    def wiring(self, name):
        """What the service's file says about its part among the apps; empty where it says nothing."""
        return (self.meta.get(name) or {}).get("wiring") or {}


def of_documents(documents, variables=None, meta=None, split_mounts=False):
    """The model of Compose documents, in the order of `COMPOSE_FILE`."""
    project = compose_merge.documents(documents)
    services = {name: definition or {} for name, definition in project.pop("services").items()}
    known = None if variables is None else frozenset(variables)
    return Model(services=services, **project, variables=known, meta=meta or {}, split_mounts=split_mounts)


def parent_of(definition):
    """The service whose network namespace the definition asks for, or None."""
    mode = str(definition.get("network_mode") or "")
    return mode[len(_OF_SERVICE) :] if mode.startswith(_OF_SERVICE) else None


def literal(value):
    """*value* as text when it is known here: no variable of Compose's and no token in it; else None."""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    text = str(value)
    if interpolation.TOKEN_START in text or "$" in text.replace("$$", ""):
        return None
    return text.replace("$$", "$")


def strings(value):
    """The entries of a list, or the one text, as literals; what is not known here is left out."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return [text for text in map(literal, entries) if text is not None]


def mounts(definition):
    """Every mount of a service, those of `tmpfs` included, as `Mount`s with literal paths."""
    found = []
    for entry in definition.get("volumes") or []:
        if isinstance(entry, dict):
            kind = str(entry.get("type") or "volume")
            found.append(Mount(kind, _path(entry.get("source")), _path(entry.get("target"))))
            continue
        source, colon, rest = str(entry).partition(":")
        if not colon:
            found.append(Mount("volume", "", _path(source)))
        else:
            kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
            found.append(Mount(kind, _path(source), _path(rest.split(":")[0])))
    tmpfs = definition.get("tmpfs") or []
    for entry in [tmpfs] if isinstance(tmpfs, str) else tmpfs:
        found.append(Mount("tmpfs", "", _path(str(entry).partition(":")[0])))
    return found


def _path(value):
    return volumes.unescape(str(value or ""))
