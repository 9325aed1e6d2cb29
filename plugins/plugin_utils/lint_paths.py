# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths: whether an *arr finds what a downloader has finished, and can link it into the library.

An *arr imports from the path that the downloader tells it. Where this path is another directory in the *arr's
container, imports need a remote path mapping; where it is none, they fail. A hard link works within one mount only,
also when two mounts lie on the same file system (the kernel compares mounts): else the *arr copies, silently.
"""

from __future__ import annotations

import posixpath

from .lint_model import ERROR, WARNING, Finding, mounts

DOWNLOADERS = ("qbittorrent", "transmission", "deluge", "sabnzbd", "nzbget")
SPLIT_MOUNTS = "mediastack_split_mounts"


def check(model):
    """The findings of a `lint_model.Model` about paths."""
    return [*_downloads(model), *_hardlinks(model), *_sources(model)]


def on_host(definition, path):
    """What a path in a container is outside of it: `(Mount, place)`; None when it is in the container only.

    The place of a named volume begins with its name.
    """
    best = None
    for mount in mounts(definition):
        target = "/" + mount.target.strip("/")
        inside = path == target or path.startswith(target.rstrip("/") + "/")
        if inside and (best is None or len(target) >= len(best[0])):
            best = (target, mount)
    if best is None or best[1].kind not in ("bind", "volume"):
        return None
    target, mount = best
    source = mount.source or f"(volume of {target})"
    return mount, posixpath.normpath(posixpath.join(source, posixpath.relpath(path, target)))


def _arrs(model):
    return [name for name in model.services if model.wiring(name).get("kind") == "servarr"]


def _downloaders(model):
    """Downloaders and where they put what is finished."""
    for name in model.services:
        wiring = model.wiring(name)
        if wiring.get("kind") in DOWNLOADERS and wiring.get("downloads"):
            yield name, wiring["downloads"]


def _downloads(model):
    for downloader, path in _downloaders(model):
        theirs = on_host(model.services[downloader], path)
        if theirs is None:
            message = f"{path} lies in the container alone: what is downloaded is gone with it"
            yield Finding(ERROR, downloader, "volumes", message, f"mount a host directory on {path} or above it")
            continue
        for arr in _arrs(model):
            mine = on_host(model.services[arr], path)
            if mine is not None and mine[1] == theirs[1]:
                continue
            message = f"{downloader} reports its downloads at {path}"
            if mine is not None:
                message += f", which is {theirs[1]} there and {mine[1]} here"
                elsewhere = True
            else:
                elsewhere = _sees(model.services[arr], theirs[1])
                message += ", a path that is not mounted here"
            remedy = f"mount {theirs[1]} at {path} in both"
            if elsewhere:
                remedy += f", or add a remote path mapping in {arr}"
            yield Finding(WARNING if elsewhere else ERROR, arr, "volumes", message, remedy)


def _sees(definition, place):
    """Whether a host directory is mounted anywhere in a service."""
    return any(
        mount.kind == "bind" and (place + "/").startswith(posixpath.normpath(mount.source) + "/")
        for mount in mounts(definition)
    )


def _hardlinks(model):
    apart = {}
    for arr in _arrs(model):
        library = model.wiring(arr).get("root_folder")
        root = on_host(model.services[arr], library) if library else None
        if library and root is None:
            message = f"its root folder {library} lies in the container alone"
            yield Finding(ERROR, arr, "volumes", message, f"mount a host directory on {library} or above it")
        if root is None:
            continue
        for downloader, path in _downloaders(model):
            from_here = on_host(model.services[arr], path)
            if from_here is not None and from_here[0] != root[0]:
                apart.setdefault(arr, []).append((downloader, path, library))
    if model.split_mounts and apart:
        message = f"imports of {', '.join(apart)} are copies, not hard links: library and downloads are mounted apart"
        yield Finding(
            WARNING, "", SPLIT_MOUNTS, message, f"set {SPLIT_MOUNTS}: false where both fit on one file system"
        )
        return
    for arr, places in apart.items():
        for downloader, path, library in places:
            message = f"{path} ({downloader}) and {library} are two mounts, so imports are copies, not hard links"
            yield Finding(WARNING, arr, "volumes", message, "mount one directory above both, as /data is")


def _sources(model):
    """Binds of paths that are not absolute: they mean another directory than most think."""
    for name, definition in model.services.items():
        for mount in mounts(definition):
            if mount.kind != "bind" or not mount.source or mount.source.startswith(("/", "$", "@@")):
                continue
            what = "the home of whoever runs Compose" if mount.source.startswith("~") else "the project directory"
            message = f"{mount.source} is relative to {what}"
            yield Finding(WARNING, name, "volumes", message, "write an absolute path of the host")
