# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Merge service fragments: one app that starts from another (`like`)."""

from __future__ import annotations

import copy

from .errors import RenderError
from .ports import normalize
from .service_files import renamed_service

# Of the other app alone: when it is selected, and what is said about it.
_NOT_INHERITED = ("like", "profiles", "replaces", "legacy")
_PARENT = "service:"


def as_map(value):
    """A Compose list of ``NAME=value`` as a map, a name without a value as None; a map as it is."""
    if isinstance(value, list):
        pairs = (str(entry).partition("=") for entry in value)
        return {name: text if equals else None for name, equals, text in pairs}
    return dict(value or {})


def depends_on(definition):
    """`depends_on` as a map of conditions."""
    value = definition.get("depends_on") or {}
    if isinstance(value, list):
        return {str(name): {"condition": "service_started"} for name in value}
    return {str(name): dict(options or {}) for name, options in value.items()}


def merge(base, over):
    """*over* on *base*: maps are merged key by key, null removes a key, all else replaces."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def inherit(file, like, base, document):
    """The document of a file that says `like`.

    Args:
        file: the file that says it; its app is the new name.
        like: the app that it starts from.
        base: that app's document, rendered for the new name.
        document: the file's own.

    Raises:
        RenderError: the file's service is not named as the file, or the other app has no service of its own name.
    """
    services = {}
    for name, definition in base["services"].items():
        renamed = renamed_service(str(name), like, file.app)
        services[renamed] = _rename_references(definition, like, file.app)
    if file.app not in services:
        raise RenderError(f"{file.path}: like: {like} has no service named {like}; copy {like}'s file instead")
    for name, definition in document["services"].items():
        own_meta = definition.get("x-mediastack") or {}
        if own_meta.get("like") and name != file.app:
            raise RenderError(
                f"{file.path}: the service that says 'like' must be named {file.app}, as its file, not {name}"
            )
        if name in services:
            services[name] = _merge_service(services[name], definition)
        else:
            services[name] = definition
    result = {**base, **document, "services": services}
    for kind in ("volumes", "secrets", "configs", "networks"):
        if base.get(kind) or document.get(kind):
            result[kind] = {**(base.get(kind) or {}), **(document.get(kind) or {})}
    return result


def _merge_service(base, over):
    base, over = dict(base), dict(over)
    meta = {key: value for key, value in (base.pop("x-mediastack", None) or {}).items() if key not in _NOT_INHERITED}
    own = dict(over.pop("x-mediastack", None) or {})
    ports = dict(own.get("ports") or {})
    for name, spec in ports.items():
        # A bare number moves the port on the host; in the container the app still listens where it did.
        if not isinstance(spec, dict) and name in (meta.get("ports") or {}):
            ports[name] = {**normalize(meta["ports"][name]), "port": spec}
    if ports:
        own["ports"] = ports
    for key in ("environment", "labels"):
        if isinstance(base.get(key), list) or isinstance(over.get(key), list):
            base[key] = as_map(base.get(key))
            over[key] = as_map(over.get(key))
    if isinstance(base.get("depends_on"), list) or isinstance(over.get("depends_on"), list):
        base["depends_on"], over["depends_on"] = depends_on(base), depends_on(over)
    own.pop("like", None)
    return {**merge(base, over), "x-mediastack": merge(meta, own)}


def _rename_references(definition, like, app):
    definition = dict(definition)
    if definition.get("depends_on"):
        definition["depends_on"] = {
            renamed_service(name, like, app): options for name, options in depends_on(definition).items()
        }
    mode = str(definition.get("network_mode") or "")
    if mode.startswith(_PARENT):
        definition["network_mode"] = _PARENT + renamed_service(mode[len(_PARENT) :], like, app)
    return definition
