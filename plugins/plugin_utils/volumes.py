# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Volumes: what `/data` is in a container, and the masks that hide other apps' secrets there."""

from __future__ import annotations

import posixpath

DATA = "/data"
# An empty directory that nobody can write to: one page, read-only.
MASK_OPTIONS = "ro,size=4k,mode=0555"


def escape(text):
    """*text* as a literal in a Compose file, where ``$`` starts a variable."""
    return text.replace("$", "$$")


def unescape(text):
    """The literal that Compose reads from *text*."""
    return text.replace("$$", "$")


def bind(source, target):
    """A long-form bind mount; Docker must not make up a missing source as root's."""
    return {"type": "bind", "source": escape(source), "target": target, "bind": {"create_host_path": False}}


def data_variables(paths):
    """The lists of volumes that service files use.

    Args:
        paths: the bundle's `paths`: base, media, downloads, split_mounts.
    """
    media = bind(paths["media"], f"{DATA}/media")
    downloads = bind(paths["downloads"], f"{DATA}/downloads")
    return {
        "mediastack_data_volumes": [media, downloads] if paths["split_mounts"] else [bind(paths["base"], DATA)],
        "mediastack_media_volumes": [media],
        "mediastack_downloads_volumes": [downloads],
    }


def binds(definition):
    """The host paths that a service mounts: `[(source, target)]`, literal, in the order of the file."""
    found = []
    for volume in definition.get("volumes") or []:
        if isinstance(volume, dict):
            if volume.get("type") == "bind" and volume.get("source") and volume.get("target"):
                found.append((unescape(str(volume["source"])), str(volume["target"])))
        elif isinstance(volume, str):
            source, _colon, rest = volume.partition(":")
            if rest and source.startswith(("/", "./", "../", "~")):
                found.append((unescape(source), rest.split(":")[0]))
    return found


def named(definition):
    """The names of the volumes (not host paths) that a service mounts."""
    names = []
    for volume in definition.get("volumes") or []:
        if isinstance(volume, dict):
            if volume.get("type", "volume") == "volume" and volume.get("source"):
                names.append(str(volume["source"]))
        elif isinstance(volume, str):
            source, _colon, rest = volume.partition(":")
            if rest and not source.startswith(("/", ".", "~")):
                names.append(source)
    return names


def below(path, ancestor):
    """Whether *path* is inside *ancestor*, and not the same."""
    return path != ancestor and posixpath.commonpath([path, ancestor]) == ancestor


def masks(definition, hidden):
    """The places inside the container that must be empty.

    Args:
        definition: the service.
        hidden: host directories that hold secrets (the config and the project directory).

    Returns:
        Container paths under `/data`, sorted: of each hidden directory that a mount on `/data` would show. A mount of
        the hidden directory itself is meant, and stays.
    """
    places = set()
    for source, target in binds(definition):
        if target != DATA and not target.startswith(DATA + "/"):
            continue
        source = posixpath.normpath(source)
        for directory in hidden:
            if source.startswith("/") and below(directory, source):
                places.add(posixpath.join(target, posixpath.relpath(directory, source)))
    return sorted(places)
