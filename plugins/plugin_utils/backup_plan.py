# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup takes, as a file of the host: `<project>/.mediastack/backup.json`.

`bin/mediastack-backup` runs by a timer, without Ansible and without the inventory. The file holds no secret, and the
same settings give the same bytes. Its schema: docs/architecture.md, "Backups".
"""

from __future__ import annotations

import json
import posixpath

SCHEMA = 1
PLAN = ".mediastack/backup.json"
# What pg_dump is called with.
_POSTGRES = ("kind", "database", "username")


def plan(services, settings, paths):
    """The content of the file.

    Args:
        services: the bundle's `services`.
        settings: resolved `mediastack_*` values.
        paths: of `bundle.paths_of`.
    """
    return {
        "schema": SCHEMA,
        "project": settings["mediastack_project_name"],
        "path": paths["project"],
        "backup": paths["backup"],
        "config": paths["config"],
        "data": [paths[name] for name in ("base", "media", "downloads")],
        "keep": settings["mediastack_backup_keep"],
        "max_age": settings["mediastack_backup_max_age"],
        "target": settings["mediastack_backup_target"],
        "recipients": list(settings["mediastack_backup_recipients"]),
        "lock_timeout": settings["mediastack_lock_timeout"],
        "compose_files": list(settings["mediastack_compose_files"]),
        "services": {name: _service(name, services) for name in services},
    }


def _service(name, services):
    service = services[name]
    wiring = service.get("wiring") or {}
    ports = [
        {"name": port["name"], "protocol": port["protocol"], "target": port["target"]}
        for owner in (name, service["network_parent"])
        if owner
        for port in services[owner]["ports"]
        if port["service"] == name
    ]
    return {
        "container_name": service["container_name"],
        "image": service["image"],
        "config_dir": service["config_dir"],
        "snapshot": service["snapshot"],
        # The others' wiring is no matter of a backup.
        "wiring": {key: wiring.get(key) for key in _POSTGRES} if wiring.get("kind") == "postgresql" else None,
        "kind": wiring.get("kind"),
        "network_parent": service["network_parent"],
        "health": service["health"],
        "healthcheck": service["healthcheck"],
        "ports": ports,
    }


def entry(services, settings, paths):
    """The file as one of the bundle's."""
    content = plan(services, settings, paths)
    return {
        "path": posixpath.join(paths["project"], PLAN),
        "content": json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "mode": "0600",
        "owner": 0,
        "group": 0,
        "secret": False,
    }
