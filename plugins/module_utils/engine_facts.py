# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight must know about the engine. Asked only when something is to change: it costs half a second."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.homelab.mediastack.plugins.module_utils import engine_state
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import (
    DockerError,
    EngineMissing,
    EngineRefused,
)


def gather(docker, local_images):
    """(facts for `preflight.run`, `docker inspect` of all containers). `local_images`: reference → LocalImage or None.

    EngineMissing when there is no Compose plugin.
    """
    with ThreadPoolExecutor(4) as pool:
        version, compose, info, networks, containers = (
            pool.submit(question, docker) for question in (_version, _compose, _info, _networks, _containers)
        )
        facts = dict(version.result(), **info.result())
        facts["compose"] = compose.result()
        facts["networks"] = networks.result()
        facts["images"] = {reference: image.labels for reference, image in local_images.items() if image}
        return facts, containers.result()


def _version(docker):
    found = json.loads(docker.run("version", "--format", "{{json .}}").out)
    server, client = found.get("Server") or {}, found.get("Client") or {}
    return {
        "server": {
            "version": server.get("Version"),
            "api": server.get("ApiVersion"),
            "min_api": server.get("MinAPIVersion"),
        },
        "client": {"version": client.get("Version")},
    }


def _compose(docker):
    return docker.run("compose", "version", "--short").out.strip()


def _info(docker):
    try:
        found = json.loads(docker.run("info", "--format", "{{json .}}").out)
    except (EngineMissing, EngineRefused):
        raise
    except (DockerError, ValueError):
        # Some engines fail here because of a plugin; the checks that need it are left out.
        return {}
    return {
        "root_dir": found.get("DockerRootDir"),
        "address_pools": found.get("DefaultAddressPools"),
        "kernel": found.get("KernelVersion"),
        "security_options": found.get("SecurityOptions"),
        "memory_limit": found.get("MemoryLimit"),
    }


def _networks(docker):
    ids = docker.run("network", "ls", "--quiet", "--no-trunc").out.split()
    # One may vanish in between.
    done = docker.run("network", "inspect", *ids, check=False) if ids else None
    return json.loads(done.out or "[]") if done else []


def _containers(docker):
    return [container.raw for container in engine_state.inspect(docker, engine_state.list_ids(docker))]
