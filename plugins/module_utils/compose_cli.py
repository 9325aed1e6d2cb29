# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments for `docker compose`, and which files a project consists of. Pure but for reading `.env`."""

from __future__ import annotations

import json
import os
import re
from typing import Mapping, NamedTuple, Sequence

from ansible_collections.homelab.mediastack.plugins.module_utils.engine_state import IMAGE_LABEL

# https://docs.docker.com/reference/cli/docker/compose/#use--f-to-specify-the-name-and-path-of-one-or-more-compose-files
DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
DEFAULT_OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


class ComposeProject(NamedTuple):
    """How Compose is to be told about a project."""

    #: None: as the files say.
    name: str | None
    path: str
    files: Sequence[str]
    profiles: Sequence[str] = ()
    #: Added to the environment of the command.
    environ: Mapping[str, str] | None = None

    def command(self, *arguments, extra_files=()):
        """`docker` arguments for `compose ARGUMENTS` in this project, with `extra_files` merged over its own."""
        command = ["compose", "--ansi", "never", "--project-directory", self.path]
        if self.name:
            command += ["--project-name", self.name]
        for name in list(self.files) + list(extra_files):
            command += ["--file", name]
        for profile in self.profiles:
            command += ["--profile", profile]
        return command + list(arguments)

    def up(self, services, force=True, timeout=None, extra_files=()):
        """Create or recreate exactly `services` and start them; nothing else, nothing pulled, nothing built.

        `force`: also where Compose sees no difference; `timeout`: seconds for stopping (None: each container's own).
        """
        arguments = ["up", "--detach", "--no-deps", "--no-build", "--pull", "never"]
        if force:
            arguments.append("--force-recreate")
        if timeout is not None:
            arguments += ["--timeout", str(timeout)]
        return self.command(*arguments, *services, extra_files=extra_files)

    def config(self):
        """Print the whole project as JSON, everything resolved."""
        return self.command("config", "--format", "json")

    def hashes(self):
        """Print Compose's hash of every service of the project that is read from standard input."""
        return self._replace(files=["-"], profiles=["*"]).command("config", "--hash", "*")


def project_files(path):
    """Absolute paths of the Compose files of the project directory `path`, as Compose itself would choose them there.

    COMPOSE_FILE of its `.env`, else the default names. Empty when there is none.
    """
    value = env_value(path, "COMPOSE_FILE")
    if value:
        separator = env_value(path, "COMPOSE_PATH_SEPARATOR") or os.pathsep
        return [os.path.join(path, name) for name in value.split(separator) if name]
    bases, overrides = (
        [name for name in names if os.path.isfile(os.path.join(path, name))]
        for names in (DEFAULT_FILES, DEFAULT_OVERRIDES)
    )
    return [os.path.join(path, name) for name in bases[:1] + overrides[:1]] if bases else []


def env_value(path, name):
    """The value of `name` in the `.env` of directory `path`: text without references; "" when absent."""
    try:
        with open(os.path.join(path, ".env"), encoding="utf-8", errors="replace") as handle:
            lines = handle.read().splitlines()
    except OSError:
        return ""
    value = ""
    for line in lines:
        match = re.match(r"^\s*(?:export\s+)?%s\s*=\s*(.*?)\s*$" % re.escape(name), line)
        if match:
            value = match.group(1)
            value = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    return value


def overrides(images, parents):
    """Text of a Compose file that fixes for one call what only the host knows.

    `images`: service → (id of the image it keeps, image that the files name); `parents`: service → id of the
    container whose network it shares. Compose hashes a service with that id in it anyway; up to 2.20 it cannot find
    it by itself when called with `--no-deps`.
    """
    services = {name: {"network_mode": "container:" + identifier} for name, identifier in parents.items()}
    for name, (identifier, asked) in images.items():
        services.setdefault(name, {}).update(image=identifier, labels={IMAGE_LABEL: asked.replace("$", "$$")})
    return json.dumps({"services": services}, indent=2, sort_keys=True) + "\n"
