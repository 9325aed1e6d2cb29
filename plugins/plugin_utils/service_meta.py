# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `x-mediastack` of a service may say, and the check of it."""

from __future__ import annotations

import math
import re

from .errors import did_you_mean

EXPOSURES = ("ui", "lan", "loopback", "none", "vpn")
PROTOCOLS = ("tcp", "udp", "both")
PRESET_FORMATS = ("xml", "ini", "yaml", "json", "text")
LOGIN_KINDS = ("preset", "env", "servarr", "jellyfin", "wizard", "none", "no_ui")
SNAPSHOT_METHODS = ("sqlite", "pg_dump", "copy")
# Of a generated secret, and how many bits a character of it has.
SECRET_KINDS = {"hex": 4, "alnum": math.log2(62)}
LEAST_BITS = 128
# Where apps share a host name: the app is told its path, the proxy takes it off, or the app cannot share.
ROUTE_PATHS = ("own", "strip", "none")
# Ends and dots: the path of a rule must be the one that the app sees.
_OPEN = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+\Z")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")

_KEYS = {
    "title": str,
    "profiles": list,
    "requires": list,
    "replaces": list,
    "legacy": str,
    "like": str,
    "ports": dict,
    "health": dict,
    "presets": list,
    "secrets": dict,
    "secret_files": dict,
    "directories": list,
    "login": dict,
    "snapshot": dict,
    "wiring": dict,
    "route": dict,
    "run_as": str,
    "new_privileges": bool,
    "gpu": bool,
    "privileges": str,
    "links": list,
}
_TYPE_NAMES = {str: "text", list: "a list", dict: "a map", bool: "true or false"}
_HEALTH_KEYS = {
    "http": ("kind", "port", "path", "status", "json", "text", "contains", "headers"),
    "tcp": ("kind", "port"),
    "container": ("kind",),
}
# What an answer of `login.closed` must be, and what is sent.
_CLOSED_TYPES = {"post": str, "status": list, "contains": str, "lacks": str, "json": dict}
_SUB_KEYS = {
    "secrets": ("generate", "adopt", "from", "issue", "fixed"),
    "secret_files": ("secret", "owner", "content"),
    "route": ("enabled", "name", "port", "path", "scheme", "pass_host", "sso", "open"),
    "ports": ("port", "target", "protocol", "expose"),
}


def check(meta, definition):
    """The problems of one service's `x-mediastack`, as sentences without their place.

    Args:
        meta: the mapping after rendering and after `like`.
        definition: the service's Compose definition.
    """
    problems = []
    for key, value in meta.items():
        if key not in _KEYS:
            problems.append(f"x-mediastack.{key} is unknown{did_you_mean(key, _KEYS)}")
        elif not isinstance(value, _KEYS[key]):
            problems.append(f"x-mediastack.{key} is {value!r}: it must be {_TYPE_NAMES[_KEYS[key]]}")
    if problems:
        return problems
    if not meta.get("title"):
        problems.append("x-mediastack.title is missing: the name that tables show")
    problems += _check_ports(meta.get("ports", {}))
    problems += _check_health(meta.get("health", {}), meta.get("ports", {}), definition)
    problems += _check_presets(meta.get("presets", []))
    problems += _check_secrets(meta)
    problems += _check_route(meta.get("route", {}), meta.get("login", {}).get("kind"))
    problems += _check_directories(meta.get("directories", []))
    problems += _choice("login.kind", meta.get("login", {}).get("kind"), LOGIN_KINDS, required="login" in meta)
    problems += _check_closed(meta.get("login", {}).get("closed", []))
    problems += _choice("snapshot.method", meta.get("snapshot", {}).get("method"), SNAPSHOT_METHODS, "snapshot" in meta)
    problems += _choice("run_as", meta.get("run_as"), ("root", "ids"), required=False)
    return problems


def _choice(key, value, choices, required):
    if value is None and not required:
        return []
    if value in choices:
        return []
    return [f"x-mediastack.{key} is {value!r}{did_you_mean(value, choices)}"]


def _unknown(place, mapping, keys):
    return [f"x-mediastack.{place}.{key} is unknown{did_you_mean(key, keys)}" for key in mapping if key not in keys]


def is_port(value):
    """Whether *value* is a port number (a boolean is not)."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _check_ports(ports):
    problems = []
    for name, spec in ports.items():
        place = f"ports.{name}"
        if isinstance(spec, dict):
            problems += _unknown(place, spec, _SUB_KEYS["ports"])
            problems += _choice(f"{place}.protocol", spec.get("protocol", "tcp"), PROTOCOLS, required=True)
            problems += _choice(f"{place}.expose", spec.get("expose", "ui"), EXPOSURES, required=True)
            numbers = {key: spec.get(key) for key in ("port", "target") if key in spec or key == "port"}
        else:
            numbers = {"port": spec}
        for key, number in numbers.items():
            if not is_port(number):
                problems.append(f"x-mediastack.{place}: {key} is {number!r}: it must be a number from 1 to 65535")
    return problems


def _check_health(health, ports, definition):
    if not health:
        return []
    kind = health.get("kind")
    if kind not in _HEALTH_KEYS:
        return [f"x-mediastack.health.kind is {kind!r}{did_you_mean(kind, _HEALTH_KEYS)}"]
    problems = _unknown("health", health, _HEALTH_KEYS[kind])
    if kind == "container":
        if definition.get("healthcheck", {}).get("disable"):
            problems.append("x-mediastack.health.kind is container, but its healthcheck is disabled")
        return problems
    port = health.get("port")
    if not is_port(port) and port not in ports:
        problems.append(f"x-mediastack.health.port is {port!r}: name one of its ports{did_you_mean(port, ports)}")
    if kind == "http":
        if not str(health.get("path", "/")).startswith("/"):
            problems.append(f"x-mediastack.health.path is {health['path']!r}: it must start with /")
        status = health.get("status", [200])
        if not isinstance(status, list) or not all(isinstance(code, int) and 100 <= code <= 599 for code in status):
            problems.append(f"x-mediastack.health.status is {status!r}: it must be a list of HTTP codes")
        for key, kinds in (("json", dict), ("headers", dict), ("text", str), ("contains", str)):
            if key in health and not isinstance(health[key], kinds):
                problems.append(f"x-mediastack.health.{key} is {health[key]!r}: it must be {_TYPE_NAMES[kinds]}")
    return problems


def _check_closed(closed):
    """`login.closed`: what a stranger is refused, for `exposure`."""
    if not isinstance(closed, list):
        return [f"x-mediastack.login.closed is {closed!r}: it must be a list of paths, or of maps with a path"]
    problems = []
    for number, entry in enumerate(closed):
        place = f"x-mediastack.login.closed[{number}]"
        entry = {"path": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not str(entry.get("path")).startswith("/"):
            problems.append(f"{place} is {entry!r}: it must be a path that starts with /, or a map with one")
            continue
        problems += _unknown(f"login.closed[{number}]", entry, ("path", *_CLOSED_TYPES))
        for key, kind in _CLOSED_TYPES.items():
            if key in entry and not isinstance(entry[key], kind):
                problems.append(f"{place}.{key} is {entry[key]!r}: it must be {_TYPE_NAMES[kind]}")
    return problems


def _check_presets(presets):
    problems = []
    for number, preset in enumerate(presets):
        place = f"x-mediastack.presets[{number}]"
        if not isinstance(preset, dict):
            problems.append(f"{place} is {preset!r}: it must be a map")
            continue
        keys = ("path", "format", "mode", "content", "keys", "rotate")
        problems += _unknown(f"presets[{number}]", preset, keys)
        path = preset.get("path")
        if not isinstance(path, str) or not path or path.startswith("/") or ".." in path.split("/"):
            problems.append(f"{place}.path is {path!r}: it must be a path inside the service's config directory")
        problems += _choice(f"presets[{number}].format", preset.get("format"), PRESET_FORMATS, required=True)
        if not isinstance(preset.get("content", ""), str):
            problems.append(f"{place}.content must be text")
        if preset.get("format") == "text" and preset.get("keys"):
            problems.append(f"{place}.keys: a file of the format text has none; it is written whole or left alone")
            continue
        for entry in [*(preset.get("keys") or []), *(preset.get("rotate") or [])]:
            if not isinstance(entry, dict) or not isinstance(entry.get("key"), list) or "value" not in entry:
                problems.append(f"{place}.keys: {entry!r} must be a map with 'key' (a list) and 'value'")
            else:
                problems += _unknown(f"presets[{number}].keys", entry, ("key", "value", "replace"))
    return problems


def _check_secrets(meta):
    problems = []
    for kind in ("secrets", "secret_files"):
        for name, spec in meta.get(kind, {}).items():
            if kind == "secret_files" and isinstance(spec, str):
                continue
            if not isinstance(spec, dict):
                problems.append(f"x-mediastack.{kind}.{name} is {spec!r}: it must be a map")
                continue
            problems += _unknown(f"{kind}.{name}", spec, _SUB_KEYS[kind])
    for name, spec in meta.get("secrets", {}).items():
        generate = spec.get("generate") if isinstance(spec, dict) else None
        fixed = spec.get("fixed") if isinstance(spec, dict) else None
        if fixed is not None and not (isinstance(fixed, str) and fixed.strip()):
            problems.append(f"x-mediastack.secrets.{name}.fixed is {fixed!r}: say why `rotate` must not change it")
        if generate is None:
            continue
        if not isinstance(generate, dict):
            problems.append(
                f"x-mediastack.secrets.{name}.generate is {generate!r}: it must be a map with kind and length"
            )
            continue
        problems += _choice(f"secrets.{name}.generate.kind", generate.get("kind"), tuple(SECRET_KINDS), required=True)
        length = generate.get("length", 32)
        if not isinstance(length, int) or not 8 <= length <= 256:
            problems.append(f"x-mediastack.secrets.{name}.generate.length is {length!r}: 8 to 256 characters")
        elif generate.get("kind") in tuple(SECRET_KINDS):
            problems += _too_weak(f"x-mediastack.secrets.{name}.generate", generate, length)
        problems += _unknown(f"secrets.{name}.generate", generate, ("kind", "length", "limit"))
    return problems


def bits(generate):
    """How many bits a secret has that is generated so: {kind, length}."""
    return SECRET_KINDS[generate["kind"]] * generate.get("length", 32)


def _too_weak(place, generate, length):
    limit = generate.get("limit")
    if bits(generate) >= LEAST_BITS or (isinstance(limit, str) and limit.startswith("https://")):
        return []
    least = math.ceil(LEAST_BITS / SECRET_KINDS[generate["kind"]])
    weak = f"{place}.length is {length}, which is {bits(generate):.0f} bits: write {least} or more ({LEAST_BITS} bits)"
    return [f"{weak}, or where the app cannot take that, `limit: https://…`, the page that says so"]


def _check_route(route, login):
    problems = _unknown("route", route, _SUB_KEYS["route"])
    problems += _choice("route.path", route.get("path"), ROUTE_PATHS, required=False)
    problems += _choice("route.scheme", route.get("scheme"), ("http", "https"), required=False)
    name = route.get("name", "a")
    if not isinstance(name, str) or not _LABEL.match(name):
        problems.append(
            f"x-mediastack.route.name is {name!r}: it is a part of a host name: lower-case letters, digits and '-'"
        )
    for key in ("enabled", "pass_host", "sso"):
        if not isinstance(route.get(key, True), bool):
            problems.append(f"x-mediastack.route.{key} is {route[key]!r}: it must be true or false")
    paths = route.get("open", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) and _OPEN.match(path) for path in paths):
        problems.append(
            f"x-mediastack.route.open is {paths!r}: it must be a list of paths such as /api, without a slash at the end"
        )
    elif paths and login in ("none", "wizard"):
        problems.append(
            f"x-mediastack.route.open: with login.kind {login} there is nobody to ask for a key at {paths[0]}"
        )
    return problems


def _check_directories(directories):
    problems = []
    for entry in directories:
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            problems.append(f"x-mediastack.directories: {entry!r} must be a map with 'path'")
        else:
            problems += _unknown("directories", entry, ("path", "mode", "owner", "group"))
    return problems
