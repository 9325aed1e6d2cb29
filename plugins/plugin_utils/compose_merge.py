# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several Compose documents as the one project that Compose makes of them.

Rules: https://docs.docker.com/reference/compose-file/merge/. Only their effect on what is checked matters here, so
values keep the syntax, short or long, in which they are written.
"""

from __future__ import annotations

from .fragments import as_map

KINDS = ("services", "networks", "volumes", "secrets", "configs")
# Replaced as a whole by a later file.
_REPLACED = frozenset(["command", "entrypoint"])
# Lists of NAME=value (or names) that are maps as well.
_MAPS = frozenset(["environment", "labels", "sysctls", "annotations"])
# Lists in which an entry of a later file takes the place of the one with the same target.
_BY_TARGET = frozenset(["volumes", "devices", "secrets", "configs"])


def documents(all_documents):
    """One map `{services, networks, volumes, secrets, configs}` of Compose documents, later ones over earlier ones."""
    project = {kind: {} for kind in KINDS}
    for document in all_documents:
        for kind in KINDS:
            for name, entry in (document.get(kind) or {}).items():
                known = project[kind].get(name)
                if known is None:
                    project[kind][name] = entry
                elif entry is not None:
                    project[kind][name] = service(known, entry) if kind == "services" else _deep(known, entry)
    return project


def service(base, over):
    """A service's definition with an override merged over it."""
    result = dict(base)
    for key, value in over.items():
        present = result.get(key)
        if present is None or key in _REPLACED:
            result[key] = value
        elif value is None:
            continue
        elif key in _MAPS:
            result[key] = {**as_map(present), **as_map(value)}
        elif key in ("networks", "depends_on"):
            result[key] = _deep(_named(present), _named(value))
        elif key in _BY_TARGET:
            result[key] = _by_target(present, value)
        elif key == "healthcheck" and "test" in value:
            result[key] = {**present, **value}
        elif key == "logging" and value.get("driver", present.get("driver")) != present.get("driver"):
            result[key] = value
        else:
            result[key] = _deep(present, value)
    return result


def _deep(base, over):
    if isinstance(base, dict) and isinstance(over, dict):
        result = dict(base)
        for key, value in over.items():
            result[key] = _deep(result[key], value) if result.get(key) is not None and value is not None else value
        return result
    if isinstance(base, (list, str)) and isinstance(over, list) or isinstance(base, list) and isinstance(over, str):
        joined = [*_listed(base), *_listed(over)]
        return [entry for number, entry in enumerate(joined) if entry not in joined[:number]]
    return over


def _listed(value):
    return value if isinstance(value, list) else [value]


def _named(value):
    """A list of names as a map of them; a map as it is."""
    return {str(name): None for name in value} if isinstance(value, list) else dict(value or {})


def _by_target(base, over):
    replaced = {target(entry) for entry in over}
    return [*(entry for entry in base if target(entry) not in replaced), *over]


def target(entry):
    """Where in the container an entry of `volumes`, `devices`, `secrets` or `configs` is."""
    if isinstance(entry, dict):
        return str(entry.get("target") or entry.get("source") or "").rstrip("/")
    parts = str(entry).split(":")
    return (parts[1] if len(parts) > 1 else parts[0]).rstrip("/")
