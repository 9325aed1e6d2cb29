# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the Compose definition of a stack to that of a drill: the same apps on restored files, and no way out (pure).

No port is published, no network leads anywhere, no volume but the scratch directory is written to, nothing of the real
stack is mounted.
"""

from __future__ import annotations

import os
from typing import NamedTuple

# RFC 5737: belongs to nobody. Without it the engine's resolver might ask the internet on behalf of an app.
NO_RESOLVER = "192.0.2.1"
LABEL = "org.homelab.mediastack.drill"
SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
# An internal network keeps out of other networks, not off the host: seen on Engine 20.10, its containers reach whatever
# the host listens on, by any of its addresses. Without an address of the host on the bridge there is nobody to ask.
_NO_HOST = {"com.docker.network.bridge.inhibit_ipv4": "true"}
# What would tie a service to the host, to others or to the real network.
_DROPPED = ("ports", "depends_on", "network_mode", "networks", "container_name", "profiles", "build", "pid", "ipc")
_DROPPED += ("links", "external_links", "volumes_from", "mac_address", "dns_search", "uts", "cgroup")
# kind in `wiring` → why such a service cannot be tried on an isolated network.
NOT_DRILLED = {
    "gluetun": "it does nothing without the internet and its VPN",
    "docker-socket-proxy": "it would be given the engine of this host",
    "tdarr-node": "it does nothing without its server, which is drilled",
}


class NotDrilled(Exception):
    """A service that a drill leaves out; the text says why."""


class Place(NamedTuple):
    """Where things are on this host, and where they are in the drill."""

    project: str
    config: str
    #: base, media and downloads: apps see empty ones.
    data: tuple
    scratch: str

    @property
    def scratch_project(self):
        """The project directory of the drill."""
        return os.path.join(self.scratch, "project")

    @property
    def scratch_config(self):
        """The config path of the drill."""
        return os.path.join(self.scratch, "config")


def project_name(name):
    """Compose project of the drill of a project."""
    return "mediastack-drill-%s" % name


def container_name(name, service):
    """Name of a container of the drill."""
    return "%s-%s" % (project_name(name), service)


def service_definition(definition, service, place, name, image):
    """A service of `docker compose config --format json` as the drill runs it, and the directories that it needs.

    `place`: a Place; `name`: of the project; `image`: what it runs. Returns (definition, {scratch directory: the host's
    directory that it stands for}, {scratch file: the host's}). NotDrilled.
    """
    if definition.get("privileged"):
        raise NotDrilled("it asks for the whole host (privileged)")
    made = {key: value for key, value in definition.items() if key not in _DROPPED}
    directories, files, volumes = {}, {}, []
    for volume in definition.get("volumes") or []:
        volumes.append(_volume(volume, place, directories, files))
    made.update(
        image=image,
        pull_policy="never",
        container_name=container_name(name, service),
        restart="no",
        volumes=volumes,
        networks={"default": {"aliases": [service]}},
        dns=[NO_RESOLVER],
        labels=dict(_labels(definition.get("labels")), **{LABEL: name}),
    )
    return made, directories, files


def document(services, definitions, name):
    """The Compose document of the drill.

    `services`: name → of `service_definition`; `definitions`: the whole of `docker compose config`.
    """
    kept = {
        kind: {key: value for key, value in (definitions.get(kind) or {}).items() if not value.get("external")}
        for kind in ("secrets", "configs")
    }
    network = {"internal": True, "driver_opts": dict(_NO_HOST), "labels": {LABEL: name}}
    found = {"name": project_name(name), "services": services, "networks": {"default": network}}
    found.update({kind: entries for kind, entries in kept.items() if entries})
    return found


def _labels(labels):
    if isinstance(labels, dict):
        return labels
    return dict(entry.partition("=")[::2] for entry in labels or [])


def _volume(volume, place, directories, files):
    kind, source = volume.get("type"), volume.get("source")
    if kind != "bind":
        # A named one would be the stack's own; without its name it is empty and goes with the container.
        return {key: value for key, value in volume.items() if key != "source"} if kind == "volume" else volume
    source = os.path.normpath(source)
    if source in SOCKETS or os.path.realpath(source) in SOCKETS:
        raise NotDrilled("it would be given the engine of this host")
    target = moved(source, place)
    if target is None:
        if volume.get("read_only"):
            # A user's own, which the app only reads.
            return volume
        target = os.path.join(place.scratch, "elsewhere", source.strip("/").replace("/", "_"))
    if os.path.isfile(source):
        files[target] = source
    else:
        directories[target] = source
    return dict(volume, source=target, bind={"create_host_path": False})


def moved(source, place):
    """Where `source` is in the drill; None for what is neither the project's nor data."""
    for path, other in ((place.config, place.scratch_config), (place.project, place.scratch_project)):
        if _inside(source, path):
            return os.path.normpath(os.path.join(other, os.path.relpath(source, path)))
    # Compose has been told that the project is in the scratch directory already.
    if _inside(source, place.scratch):
        return source
    for path in place.data:
        if _inside(source, path):
            return os.path.join(place.scratch, "data", source.strip("/").replace("/", "_"))
    return None


def _inside(path, directory):
    return path == directory or path.startswith(directory.rstrip("/") + "/")
