# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the assembled stack to the bundle: all that the module on the host needs (docs/architecture.md, "The bundle").

The same settings give the same bundle, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import posixpath

from . import (
    backup_plan,
    backup_program,
    compose_check,
    compose_yaml,
    ingress,
    ingress_files,
    interpolation,
    repair_program,
    sso,
    sso_blueprint,
    volumes,
)
from .bundle_parts import Secrets, config_directory, directories, presets
from .errors import RenderError
from .fragments import as_map, depends_on, merge
from .ports import VPN_PARENT

SCHEMA = 1
VPN_OFF = "VPN OFF: torrents use your own address"
OVERRIDES_FILE = "compose.overrides.yml"
# Filled by the host, which alone knows its devices (module_utils/gpu_overlay.py).
GPU_FILE = "compose.gpu.yml"
# A value of mediastack_env is written by the host in place of its token, so that diffs can hide it.
ENV_SECRET = "env."
_IPV6_SYSCTL = "net.ipv6.conf.all.disable_ipv6"
_HEADER = "# Rendered by homelab.mediastack from {origin}; changes made here are overwritten by the next run.\n"
_HEADERS = {
    "group": _HEADER.format(origin="its service files and the inventory")
    + "# To change a service, use mediastack_overrides.\n",
    "overrides": _HEADER.format(origin="mediastack_overrides"),
    "gpu": _HEADER.format(origin="mediastack_gpu and what this host has"),
}


def paths_of(settings):
    """The bundle's `paths`, with the defaults below the base path filled in, and the project's directory."""
    base = settings["mediastack_base_path"]

    def path(name):
        return settings[f"mediastack_{name}_path"] or posixpath.join(base, "compose" if name == "project" else name)

    return {
        "base": base,
        "config": path("config"),
        "backup": settings["mediastack_backup_path"] or posixpath.join(base, "backups"),
        "media": path("media"),
        "downloads": path("downloads"),
        "project": path("project"),
        "split_mounts": settings["mediastack_split_mounts"],
    }


def disks_of(paths):
    """Those of `paths_of` whose disks a look at the stack's health is about: name → path."""
    return {name: paths[name] for name in ("base", "config", "media", "downloads")}


def build(catalogue, stack, settings, render_env):
    """The bundle.

    Args:
        catalogue: the rendered catalogue.
        stack: the assembled `Stack`.
        settings: resolved `mediastack_*` values.
        render_env: function that renders `compose_templates/env.j2` from a list of `(name, value)`.

    Raises:
        RenderError: every problem found.
    """
    paths = paths_of(settings)
    project = paths["project"]
    gpu = _gpu(catalogue, settings)
    files = _compose_files(stack, project, gpu["services"])
    routes, messages = ingress.find(catalogue.services, stack.definitions, stack.effective, settings)
    proxy = ingress_files.build(catalogue.services, routes, settings, paths["config"], project)
    doors, said = sso.plan(catalogue.services, routes, settings)
    proxy.update(sso_blueprint.file_of(doors, settings, project))
    env = _env_entries(stack, settings, [posixpath.basename(file["path"]) for file in files])
    values = {**dict(env), **settings["mediastack_env"]}
    problems = compose_check.missing_variables(catalogue.services, stack.definitions, stack.effective, values)
    secrets = Secrets(catalogue, settings, paths)
    secret_files = secrets.files(posixpath.join(project, "secrets"))
    all_presets = presets(catalogue, settings, paths)
    problems += secrets.problems
    problems += secrets.undefined(
        {
            **{file["path"]: file["content"] for file in files},
            **proxy,
            **{preset["path"]: [preset["content"], preset["keys"]] for preset in all_presets},
        }
    )
    if problems:
        raise RenderError(problems)
    content = render_env([*env, *((name, _env_token(name)) for name in sorted(settings["mediastack_env"]))])
    files.insert(0, _file(posixpath.join(project, ".env"), content, secret=True))
    services = {
        name: _service(catalogue, stack, name, values, paths, {file["path"] for file in secret_files})
        for name in catalogue.services
    }
    env_secrets = {ENV_SECRET + name: {"value": value} for name, value in settings["mediastack_env"].items()}
    return {
        "schema": SCHEMA,
        "project": {"name": settings["mediastack_project_name"], "path": project},
        "identity": {
            "puid": settings["mediastack_puid"],
            "pgid": settings["mediastack_pgid"],
            "umask": settings["mediastack_umask"],
        },
        "timezone": settings["mediastack_timezone"],
        "paths": {key: value for key, value in paths.items() if key != "project"},
        "bind_addresses": settings["mediastack_bind_addresses"],
        "lab_images": settings["mediastack_lab_images"],
        "vpn": _vpn(stack, settings),
        "gpu": gpu,
        "secrets": {**secrets.specs, **env_secrets},
        "directories": directories(catalogue, stack, settings, paths, all_presets),
        "files": [
            *files,
            *(_file(path, content) for path, content in proxy.items()),
            *secret_files,
            repair_program.entry(project),
            backup_program.entry(project),
            backup_plan.entry(services, settings, paths),
        ],
        "presets": all_presets,
        "services": services,
        "routes": ingress.addresses(routes, catalogue.services, settings),
        "extra_compose_files": settings["mediastack_compose_files"],
        "boot_repair": settings["mediastack_boot_repair"],
        "backup": {name: settings[f"mediastack_backup_{name}"] for name in ("timer", "time", "target", "recipients")},
        "messages": [*([] if settings["mediastack_vpn_enabled"] else [VPN_OFF]), *messages, *said, *catalogue.messages],
    }


def _vpn(stack, settings):
    """Whether there is a VPN, what is behind it, and what gluetun asks of the host's kernel beyond the usual.

    `ipv6`: whether the engine switches IPv6 on or off in its network, None when neither; `wireguard`: which
    implementation it must take, None when it may choose; `guard`: whether the connection guard's rules are used.
    """
    gluetun = merge(stack.definitions.get(VPN_PARENT, {}), stack.effective.get(VPN_PARENT, {}))
    sysctls = [str(value) for name, value in as_map(gluetun.get("sysctls")).items() if name == _IPV6_SYSCTL]
    wireguard = as_map(gluetun.get("environment")).get("WIREGUARD_IMPLEMENTATION")
    return {
        "enabled": settings["mediastack_vpn_enabled"],
        "members": list(stack.members),
        "ipv6": "0" in sysctls if sysctls else None,
        "wireguard": str(wireguard) if wireguard else None,
        "guard": bool(gluetun and settings.get("mediastack_vpn_connection_guard")),
    }


def health_services(bundle):
    """What the module stack_health needs of each service."""
    return [
        {
            "name": name,
            "title": service["title"],
            "container": service["container_name"],
            "image": service["image"],
            "health": service["health"],
            "holder": service["network_parent"] or name,
            "ports": [
                port
                for owner in (name, service["network_parent"])
                if owner
                for port in bundle["services"][owner]["ports"]
                if port["service"] == name
            ],
            "url": bundle["routes"].get(name, {}).get("url", ""),
        }
        for name, service in bundle["services"].items()
    ]


def _gpu(catalogue, settings):
    """What is asked of the host's GPU, and for which services."""
    wanted = settings["mediastack_gpu"]
    users = [name for name, service in catalogue.services.items() if service.meta.get("gpu")]
    return {"wanted": wanted, "services": [] if wanted == "none" else users}


def _compose_files(stack, project, gpu):
    files = []
    for group, document in stack.documents.items():
        text = _HEADERS["group"] + compose_yaml.dump(_without_images(document))
        files.append(_file(posixpath.join(project, f"compose.{group}.yml"), text))
    if not files:
        files.append(_file(posixpath.join(project, "compose.core.yml"), _HEADERS["group"] + "services: {}\n"))
    if gpu:
        files.append(_file(posixpath.join(project, GPU_FILE), _HEADERS["gpu"] + "services: {}\n"))
    if stack.overrides:
        text = _HEADERS["overrides"] + compose_yaml.dump(_without_images(stack.overrides))
        files.append(_file(posixpath.join(project, OVERRIDES_FILE), text))
    return files


def _without_images(document):
    """A Compose document with a token for every image: only the host knows which one a service keeps (P8)."""
    services = {
        name: {**service, "image": _image_token(name)} if service and "image" in service else service
        for name, service in (document.get("services") or {}).items()
    }
    return {**document, **({"services": services} if services else {})}


def _image_token(name):
    return f"@@mediastack:image:{name}@@"


def _file(path, content, secret=False):
    """A file of root's; one that holds secrets, by itself or by its tokens, is for root alone."""
    kinds = {kind for _whole, kind, _name in interpolation.tokens(content)}
    holds_secrets = secret or not kinds.isdisjoint(interpolation.SECRET_KINDS)
    return {
        "path": path,
        "content": content,
        "mode": "0600" if holds_secrets else "0644",
        "owner": 0,
        "group": 0,
        "secret": secret,
    }


def _env_entries(stack, settings, names):
    """The entries of `.env` that are ours, in order; COMPOSE_FILE ends with the overrides, so that they win."""
    own = [name for name in names if name != OVERRIDES_FILE]
    last = [OVERRIDES_FILE] if stack.overrides else []
    return [
        ("COMPOSE_PROJECT_NAME", settings["mediastack_project_name"]),
        ("COMPOSE_PATH_SEPARATOR", ":"),
        ("COMPOSE_FILE", ":".join([*own, *settings["mediastack_compose_files"], *last])),
        ("TZ", settings["mediastack_timezone"]),
        ("PUID", settings["mediastack_puid"]),
        ("PGID", settings["mediastack_pgid"]),
        ("UMASK", settings["mediastack_umask"]),
    ]


def _env_token(name):
    return f"@@mediastack:secret:{ENV_SECRET}{name}@@"


def _service(catalogue, stack, name, env, paths, secret_paths):
    service, definition = catalogue.services[name], stack.definitions[name]
    override = stack.effective.get(name, {})
    merged = {**definition, **override}
    health = service.meta.get("health") or {"kind": "container"}
    healthcheck = merged.get("healthcheck") or {}
    parent = VPN_PARENT if name in stack.members else _parent(merged)
    published = [port for port in stack.ports if port.service == name and name not in stack.members]
    if name == VPN_PARENT:
        published += [port for port in stack.ports if port.service in stack.members]
    return {
        "app": service.app,
        "title": service.meta["title"],
        "image": merged["image"],
        "container_name": definition["container_name"],
        "config_hash": _config_hash(catalogue, stack, name, env),
        # With the image, so that a container is made anew for another one.
        "tokens": [
            whole
            for whole, kind, _name in interpolation.tokens([definition, override, _image_token(name)])
            if kind != "hash"
        ],
        # What the lock says of the image, see lock_file.py.
        "locked": None,
        "inputs": _inputs(catalogue, merged, paths, secret_paths),
        "network_parent": parent if parent in catalogue.services else None,
        "depends_on": list(depends_on(merged)),
        "health": health,
        "healthcheck": health["kind"] == "container" or bool(healthcheck and not healthcheck.get("disable")),
        "ports": [port.entry() for port in published],
        "config_dir": config_directory(service, definition, paths),
        "login": service.meta.get("login"),
        "wiring": service.meta.get("wiring"),
        "snapshot": service.meta.get("snapshot"),
        "run_as": service.meta.get("run_as"),
        # For preflight, which knows whether the engine can keep it.
        "memory_limit": merged.get("mem_limit"),
    }


def _parent(definition):
    mode = str(definition.get("network_mode") or "")
    return mode[len("service:") :] if mode.startswith("service:") else None


def _config_hash(catalogue, stack, name, env):
    """A digest of all that makes a container but its image: definition, override, variables, what it uses of the
    document.
    """
    definition, override = stack.definitions[name], stack.effective.get(name, {})
    document = stack.documents[catalogue.services[name].group]
    used = {
        kind: {entry: document[kind][entry] for entry in wanted if entry in document.get(kind, {})}
        for kind, wanted in compose_check.references(definition).items()
    }
    required, optional = interpolation.variables([definition, override, used])
    content = {
        "definition": {key: value for key, value in definition.items() if key != "image"},
        "override": {key: value for key, value in override.items() if key != "image"},
        "used": used,
        "variables": {variable: str(env.get(variable, "")) for variable in required | optional},
    }
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _inputs(catalogue, definition, paths, secret_paths):
    """The files whose bytes the service sees: secrets and configs from files, `env_file`, mounted rendered files."""
    project, found = paths["project"], []
    for kind in ("secrets", "configs"):
        for entry in compose_check.references(definition)[kind]:
            source = catalogue.shared[kind].get(entry)
            if source is None and kind == "secrets":
                source = {"file": f"./secrets/{entry}"}
            if isinstance(source, dict) and source.get("file"):
                found.append(volumes.unescape(str(source["file"])))
    env_files = definition.get("env_file") or []
    for entry in [env_files] if isinstance(env_files, (str, dict)) else env_files:
        found.append(volumes.unescape(str(entry.get("path") if isinstance(entry, dict) else entry)))
    found += [source for source, _target in volumes.binds(definition) if source in secret_paths]
    return sorted({posixpath.normpath(posixpath.join(project, path)) for path in found})
