# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `docker compose config` itself refuses of a service, of the mistakes that overrides and own service files have.

Compose says it on the host, in the middle of a run; here it is said before, with the closest valid name.
"""

from __future__ import annotations

import re

from .closest import hint, near_miss
from .lint_model import ERROR, WARNING, Finding, literal
from .lint_words import KEYS

_TESTS = ("CMD", "CMD-SHELL", "NONE")
_VOLUME_TYPES = ("bind", "volume", "tmpfs", "cluster", "npipe", "image")
_RANGE = r"[0-9]+(?:-[0-9]+)?"
_PORT = re.compile(
    rf"(?:(?:(?P<ip>[0-9.]+|\[[0-9a-fA-F:.]+\]):)?(?:{_RANGE})?:)?{_RANGE}(?:/(?:tcp|udp|sctp))?", re.IGNORECASE
)


def check(name, definition, services):
    """The findings of one service's definition; *services*: the names of all services."""
    return [
        *_keys(name, definition),
        *_ports(name, definition),
        *_references(name, definition, services),
        *_healthcheck(name, definition),
        *_volumes(name, definition),
    ]


def _keys(name, definition):
    for key in definition:
        if key in KEYS or str(key).startswith("x-"):
            continue
        # A later version of Compose may know more keys.
        level = ERROR if near_miss(str(key), KEYS) else WARNING
        yield Finding(level, name, str(key), "is not a key of Compose", hint(str(key), KEYS, "remove it"))


def _ports(name, definition):
    for entry in definition.get("ports") or []:
        text = None if isinstance(entry, dict) else literal(entry)
        if text is not None and not _PORT.fullmatch(text):
            yield Finding(ERROR, name, "ports", f"{text!r} is not a port", 'write one such as "127.0.0.1:8080:80/tcp"')


def _references(name, definition, services):
    for key in ("links", "volumes_from"):
        for entry in definition.get(key) or []:
            other = (literal(entry) or "").partition(":")[0]
            if other and other != "container" and other not in services:
                yield Finding(ERROR, name, key, f"there is no service {other!r}", hint(other, services))


def _healthcheck(name, definition):
    test = (
        (definition.get("healthcheck") or {}).get("test") if isinstance(definition.get("healthcheck"), dict) else None
    )
    if isinstance(test, list) and test and test[0] not in _TESTS:
        yield Finding(ERROR, name, "healthcheck.test", f"begins with {test[0]!r}", f"begin with {', '.join(_TESTS)}")


def _volumes(name, definition):
    for entry in definition.get("volumes") or []:
        if not isinstance(entry, dict):
            continue
        kind = entry.get("type")
        if kind not in _VOLUME_TYPES:
            message = f"{kind!r} is not a type of volume" if kind else "the type of a volume is missing"
            yield Finding(ERROR, name, "volumes", message, hint(str(kind), _VOLUME_TYPES))
        elif kind == "bind" and not entry.get("source"):
            yield Finding(ERROR, name, "volumes", "a bind has no source", "name a path of the host")
