# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers of a project as `docker inspect` shows them. Nothing here changes anything."""

from __future__ import annotations

import datetime
import json
import os
import re

from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError

CONTENT_LABEL = "org.homelab.mediastack.content"
# On a container whose image is pinned by id: the image that the inventory asked for.
IMAGE_LABEL = "org.homelab.mediastack.image"
COMPOSE = "com.docker.compose."

_TIMESTAMP = re.compile(r"^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))$")
_EPOCH = datetime.datetime(1970, 1, 1)


def timestamp(text):
    """Nanoseconds since 1970 of an engine's timestamp; 0 for "never" (year 1) and for no text.

    Docker trims trailing zeros of the fraction, so texts do not sort: always compare these numbers.
    """
    if not text:
        return 0
    match = _TIMESTAMP.match(text)
    if not match:
        raise ValueError("not a timestamp of the Docker Engine: %r" % text)
    if match.group(1) == "0001":
        return 0
    whole = datetime.datetime(*(int(part) for part in match.groups()[:6])) - _EPOCH
    seconds = whole.days * 86400 + whole.seconds
    if match.group(8):
        offset = int(match.group(9)) * 3600 + int(match.group(10)) * 60
        seconds -= offset if match.group(8) == "+" else -offset
    return seconds * 10**9 + int((match.group(7) or "").ljust(9, "0")[:9])


class Container:
    """One container; the names are those of `docker inspect`, in Python's spelling."""

    def __init__(self, raw):
        """`raw`: one element of what `docker inspect` prints."""
        config, state, host = raw["Config"], raw["State"], raw["HostConfig"]
        self.raw = raw
        self.id = raw["Id"]
        self.name = raw["Name"].lstrip("/")
        self.labels = config.get("Labels") or {}
        self.image = config.get("Image") or ""
        self.image_id = raw["Image"]
        self.status = state["Status"]
        self.exit_code = state.get("ExitCode", 0)
        self.error = state.get("Error") or ""
        self.oom_killed = bool(state.get("OOMKilled"))
        self.restart_count = raw.get("RestartCount", 0)
        self.started_at = timestamp(state.get("StartedAt"))
        self.finished_at = timestamp(state.get("FinishedAt"))
        self.created_at = timestamp(raw.get("Created"))
        self.restart_policy = (host.get("RestartPolicy") or {}).get("Name") or "no"
        self.network_mode = host.get("NetworkMode") or ""
        health = state.get("Health")
        #: starting, healthy or unhealthy; None without a health check.
        self.health = health["Status"] if health and health.get("Status") != "none" else None
        self.health_log = list((health or {}).get("Log") or [])
        networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
        #: name → id of the networks that it is attached to.
        self.networks = {name: (entry or {}).get("NetworkID") or "" for name, entry in networks.items()}

    def __repr__(self):
        return "<%s %s %s>" % (self.name, self.status, self.id[:12])

    @property
    def service(self):
        """Name of the Compose service."""
        return self.labels.get(COMPOSE + "service", "")

    @property
    def number(self):
        """The number of a replica, from 1."""
        text = self.labels.get(COMPOSE + "container-number", "1")
        return int(text) if text.isdigit() else 1

    @property
    def one_off(self):
        """Whether `docker compose run` made it."""
        return self.labels.get(COMPOSE + "oneoff", "False") == "True"

    @property
    def content(self):
        """Our content label; None when something else made the container."""
        return self.labels.get(CONTENT_LABEL)

    @property
    def config_hash(self):
        """Compose's own hash of the service it was made from."""
        return self.labels.get(COMPOSE + "config-hash", "")

    @property
    def requested_image(self):
        """The image as the Compose files named it when the container was made."""
        return self.labels.get(IMAGE_LABEL) or self.image

    @property
    def parent_id(self):
        """Id of the container whose network namespace it shares; None with a network of its own."""
        mode = self.network_mode
        return mode[len("container:") :] if mode.startswith("container:") else None

    @property
    def depends_on(self):
        """service → condition, as Compose wrote it down; nothing where it was called with `--no-deps`."""
        found = {}
        for entry in self.labels.get(COMPOSE + "depends_on", "").split(","):
            parts = entry.split(":")
            if parts[0]:
                found[parts[0]] = parts[1] if len(parts) > 1 else "service_started"
        return found

    @property
    def active(self):
        """Whether there is something to stop: it runs, is frozen, or the engine will start it again."""
        return self.status in ("running", "paused", "restarting")

    @property
    def completed(self):
        """Whether it is a one-shot that did its work: ended with 0, and nothing will start it again."""
        return self.status == "exited" and self.exit_code == 0 and self.restart_policy in ("no", "on-failure")

    @property
    def ports(self):
        """Published ports, as asked for: [{address, port, target, protocol}], sorted. `address` may be empty (all)."""
        found = []
        for target, bindings in (self.raw["HostConfig"].get("PortBindings") or {}).items():
            number, _slash, protocol = target.partition("/")
            for binding in bindings or []:
                if (binding.get("HostPort") or "").isdigit():
                    found.append(
                        {
                            "address": binding.get("HostIp") or "",
                            "port": int(binding["HostPort"]),
                            "target": int(number),
                            "protocol": protocol or "tcp",
                        }
                    )
        return sorted(found, key=lambda port: (port["port"], port["protocol"], port["address"]))

    @property
    def working_directory(self):
        """Where its Compose project lives."""
        return self.labels.get(COMPOSE + "project.working_dir", "")

    @property
    def config_files(self):
        """The Compose files it was made from, as one text."""
        return self.labels.get(COMPOSE + "project.config_files", "")


class Project:
    """One look at the containers that carry a project's name."""

    def __init__(self, name, path, containers):
        """`path`: the project directory; `containers`: all Containers that carry the project's name."""
        self.name = name
        self.path = path
        own_path = os.path.realpath(path)
        ours = [c for c in containers if c.working_directory and os.path.realpath(c.working_directory) == own_path]
        #: Of another Compose project that happens to have our name: never touched.
        self.foreign = [container for container in containers if container not in ours]
        self.containers = sorted((c for c in ours if not c.one_off), key=lambda c: (c.service, c.number, c.name))
        self._by_id = {container.id: container for container in self.containers}

    def of(self, service):
        """Containers of one service, in the order of their numbers."""
        return [container for container in self.containers if container.service == service]

    def by_id(self, identifier):
        """The container with that full id, or None."""
        return self._by_id.get(identifier)

    @property
    def services(self):
        """Names of the services that have a container."""
        return sorted({container.service for container in self.containers})

    def sharing(self, container):
        """Containers that live in `container`'s network namespace."""
        return [other for other in self.containers if other.parent_id == container.id]


def read_project(docker, name, path):
    """A Project, by one `docker ps` and one `docker inspect`."""
    return Project(name, path, inspect(docker, list_ids(docker, "label=%sproject=%s" % (COMPOSE, name))))


def list_ids(docker, *filters):
    """Full ids of all containers, running or not, that pass `filters` (as `docker ps --filter` takes them)."""
    arguments = ["ps", "--all", "--quiet", "--no-trunc"]
    for condition in filters:
        arguments += ["--filter", condition]
    return docker.run(*arguments).out.split()


def inspect(docker, ids):
    """Containers with these ids; those that vanished meanwhile are left out."""
    if not ids:
        return []
    done = docker.run("inspect", "--type", "container", *ids, check=False)
    others = [line for line in done.err.splitlines() if line.strip() and "no such container" not in line.lower()]
    if done.rc != 0 and (others or not done.out.strip()):
        raise DockerError(
            "'docker inspect' failed: %s" % " / ".join(others or ["it said nothing"]), rc=done.rc, stderr=done.err
        )
    return [Container(raw) for raw in json.loads(done.out)]


class Networks:
    """The networks of the engine, as far as starting containers depends on them."""

    def __init__(self, lines, project):
        """`lines`: id, project label and name of each network, separated by tabs; `project`: name of ours."""
        rows = [line.split("\t") for line in lines if line.strip()]
        self._all = {row[0] for row in rows}
        #: name → ids of those that carry the project's name.
        self.ours = {}
        for identifier, owner, name in rows:
            if owner == project:
                self.ours.setdefault(name, []).append(identifier)

    def gone(self, container):
        """Names of networks that `container` is attached to and that are no more: it cannot start."""
        return sorted(
            name for name, identifier in container.networks.items() if identifier and identifier not in self._all
        )

    def duplicates(self, containers):
        """[(id, name)] of networks of ours to remove, because another of the same name has more of `containers`.

        Engines before 25 allow several networks of one name, and two runs at once make them; then nothing can be
        created any more.
        """
        attached = [identifier for container in containers for identifier in container.networks.values()]
        found = []
        for name, identifiers in sorted(self.ours.items()):
            ranked = sorted(identifiers, key=lambda identifier: (-attached.count(identifier), identifier))
            found += [(identifier, name) for identifier in ranked[1:]]
        return found


def read_networks(docker, project):
    """Networks of the engine; `project`: the name of ours."""
    form = '{{.ID}}\t{{.Label "%sproject"}}\t{{.Name}}' % COMPOSE
    return Networks(docker.run("network", "ls", "--no-trunc", "--format", form).out.splitlines(), project)


def log_tail(docker, container, lines=20):
    """The last lines that a container wrote, both streams, in order of arrival; a list of texts."""
    done = docker.run("logs", "--tail", lines, container.id, check=False, deadline=20)
    # Two pipes lose the order between the streams: what went to stderr comes last, that is where errors are.
    return [line.rstrip() for line in (done.out + done.err).splitlines() if line.strip()][-lines:]
