# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One obstacle that a check before the run has found."""

from __future__ import annotations

import os.path


def problem(check, what, where, value, remedy):
    """`check`: the check's name; `what` is wrong, as a sentence; `where` (variable, path, port …); its `value`; the
    `remedy`."""
    return {"check": check, "what": what, "where": where, "value": value, "remedy": remedy}


def is_ours(container, bundle):
    """Whether a container (docker inspect) is of our project by name and by Compose's working directory (P1)."""
    labels = (container.get("Config") or {}).get("Labels") or {}
    if labels.get("com.docker.compose.project") != bundle["project"]["name"]:
        return False
    directory = labels.get("com.docker.compose.project.working_dir", "")
    return os.path.realpath(directory) == os.path.realpath(bundle["project"]["path"])


def name_of(container):
    """The container's name without the slash in front."""
    return container.get("Name", "").lstrip("/")


def origin(container):
    """Words for where a container comes from: its Compose project and file, or by hand."""
    labels = (container.get("Config") or {}).get("Labels") or {}
    project = labels.get("com.docker.compose.project")
    if not project:
        return "started without Compose, image %s" % (container.get("Config") or {}).get("Image", "unknown")
    file = (
        labels.get("com.docker.compose.project.config_files")
        or labels.get("com.docker.compose.project.working_dir")
        or "unknown file"
    )
    return "Compose project %s, file %s" % (project, file)
