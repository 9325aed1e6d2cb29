# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which engine and which Compose this host has, and where its docker program is; nothing here fails."""

from __future__ import annotations

import json
import os
import shutil

from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import (
    Docker,
    DockerError,
    EngineMissing,
    EngineRefused,
)

#: Longest time for one question, in seconds.
DEADLINE = 20


def describe(docker=None):
    """{path, on_path, version, compose, system, root_dir, missing, problem}.

    `missing`: `cli`, `daemon`, `compose`, `refused` (this user may not), `unknown`, or None when all is there.
    `problem`: a sentence with the remedy. What was not found is None.
    """
    found = dict.fromkeys(("path", "version", "compose", "system", "root_dir", "missing", "problem"))
    found["on_path"] = shutil.which("docker") is not None
    docker = docker or Docker()
    try:
        version = _json(docker, "version", "--format", "{{json .}}")
        found["path"] = docker.executable
        found["version"] = (version.get("Server") or {}).get("Version")
        info = _json(docker, "info", "--format", "{{json .}}")
        found["system"], found["root_dir"] = info.get("OperatingSystem"), info.get("DockerRootDir")
        found["compose"] = docker.run("compose", "version", "--short", deadline=DEADLINE).out.strip() or None
    except EngineMissing as error:
        found.update(missing=error.what, problem=str(error))
    except EngineRefused as error:
        found.update(missing="refused", problem=str(error))
    except DockerError as error:
        found.update(missing="unknown", problem=str(error))
    found["path"] = found["path"] or (docker.executable and os.path.abspath(docker.executable))
    return found


def _json(docker, *arguments):
    try:
        value = json.loads(docker.run(*arguments, deadline=DEADLINE).out)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
