# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deleting configuration directories, and refusing to where that could reach anything else.

Media and downloads are never deleted: not when configuration lies inside them, is the same path, or leads there by a
link.
"""

from __future__ import annotations

import os
import shutil

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, mounts
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError


class PurgeError(FileError):
    """Configuration is not deleted, because more than that might go; the text lists every reason."""


def plan(wanted, made, paths, project_path, others, table=None):
    """The directories that go, sorted: of the services (`wanted`), and those of earlier services that we made (`made`).

    `paths`: {base, config, media, downloads}; `others`: {path: container of others that has it mounted}; `table`:
    mounts, as `mounts.read` gives them. Directly below the config path only, so that what others keep there stays.
    PurgeError with everything that stands against it.
    """
    config = os.path.normpath(paths["config"])
    kept = dict({name: paths[name] for name in ("media", "downloads", "base")}, project=project_path)
    # With one path for everything, what we made there is more than configuration.
    made = [path for path in made if not any(mounts.inside(path, kept[name]) for name in ("media", "downloads"))]
    # Backups stay, wherever they are.
    ours = [project_path, *filter(None, [paths.get("backup")])]
    made = [path for path in made if not any(mounts.inside(path, place) for place in ours)]
    names = {_first(path, config) for path in list(wanted) + made} - {None}
    found = [path for path in (os.path.join(config, name) for name in sorted(names)) if os.path.lexists(path)]
    table = mounts.read() if table is None else table
    problems = [problem for path in found for problem in _problems(path, kept, others, table)]
    if problems:
        raise PurgeError(
            "configuration is not deleted, and nothing was touched:\n%s" % "\n".join("- %s" % one for one in problems)
        )
    return found


def remove(directory):
    """Delete a directory that `plan` gave; links in it are removed, not followed. FileError when it cannot be."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        # An app's last moments, or another's hand.
        if os.path.lexists(directory):
            remove(directory)
    except OSError as error:
        raise FileError("cannot remove %s: %s" % (error.filename or directory, atomic_files.reason(error))) from error


def _first(path, config):
    """The name directly below `config` on the way to `path`; None when it is not below."""
    path = os.path.normpath(path)
    return os.path.relpath(path, config).split(os.sep)[0] if path != config and mounts.inside(path, config) else None


def _problems(path, kept, others, table):
    if os.path.islink(path):
        return [
            "%s is a symbolic link to %s: remove the link, and what it leads to, yourself"
            % (path, os.path.realpath(path))
        ]
    if not os.path.isdir(path):
        return ["%s is not a directory: remove it yourself" % path]
    real = os.path.realpath(path)
    problems = []
    for name in ("media", "downloads"):
        other = mounts.resolved(kept[name])
        if mounts.inside(real, other):
            problems.append("%s lies in %s, where the %s are: delete it yourself" % (path, kept[name], name))
        elif mounts.inside(other, real):
            problems.append("%s holds %s, where the %s are: delete it yourself" % (path, kept[name], name))
    for name in ("base", "project"):
        if mounts.inside(mounts.resolved(kept[name]), real):
            problems.append("%s holds the %s path %s: delete it yourself" % (path, name, kept[name]))
    users = {name for place, name in others.items() if mounts.inside(mounts.resolved(place), real)}
    if users:
        problems.append("%s is used by %s, which is not ours: remove that one first" % (path, ", ".join(sorted(users))))
    inner = sorted({mount.point for mount in table if mounts.inside(mount.point, real)})
    if inner:
        problems.append("%s holds another file system, on %s: unmount it first" % (path, ", ".join(inner)))
    return problems
