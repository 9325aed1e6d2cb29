# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether directories can hold a stack: preflight's checks, and a real write() and link() as PUID:PGID where preflight
has nothing to try them on, because the directories are still to be made.

Whatever is made for a trial is gone afterwards, also when the run is interrupted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import tempfile

from ansible_collections.homelab.mediastack.plugins.module_utils import mounts, preflight_paths, write_probe
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem

# Where disks are mounted: an empty directory there on the system's own disk is a disk that is not.
_MOUNT_POINT = re.compile(r"(/mnt|/media|/media/[^/]+|/run/media/[^/]+)/[^/]+|/srv/dev-disk-[^/]+|/volume\d+")
_PREFIX = ".mediastack-probe-"


def check(request, probe=True, root="/", mountinfo="/proc/self/mountinfo"):
    """(problems, warnings) of the directories in `request`.

    `request`: {paths: {base, config, media, downloads}, project, puid, pgid, timezone, split_mounts}.
    `probe`: whether anything may be made for a trial; without, it is only looked.
    """
    warnings = []
    puid, pgid = request["puid"], request["pgid"]
    bundle = {
        "paths": dict(request["paths"], split_mounts=request["split_mounts"]),
        "project": {"path": request["project"]},
        "identity": {"puid": puid, "pgid": pgid},
        "timezone": request["timezone"],
        "directories": [{"owner": puid, "group": pgid}],
    }
    table = mountinfo if os.path.exists(mountinfo) else os.devnull
    problems = preflight_paths.check(bundle, {}, not probe, warnings, root, table)
    problems += bare_mount_points(dict(request["paths"], project=request["project"]), mounts.read(table))
    if probe and not problems and write_probe.can_become(puid, pgid):
        with _tidy_when_killed():
            problems += _new_directories(request["paths"], puid, pgid, request["split_mounts"])
    return problems, warnings


def bare_mount_points(paths, table, device=lambda path: os.stat(path).st_dev, root="/"):
    """Paths below an empty directory on the system's disk where a disk is usually mounted."""
    found, mounted = {}, {mount.point for mount in table}
    for name, path in sorted(paths.items()):
        for point in _above(path):
            if not _MOUNT_POINT.fullmatch(point) or point in mounted or not os.path.isdir(point):
                continue
            with contextlib.suppress(OSError):
                if not os.listdir(point) and device(point) == device(root):
                    found.setdefault(point, []).append("mediastack_%s_path" % name)
    return [
        problem(
            "mount",
            "%s is an empty directory on the system's own disk: the disk that belongs there is not mounted" % point,
            ", ".join(names),
            point,
            "mount it; or, if this directory is meant, make a directory in it first",
        )
        for point, names in found.items()
    ]


def _above(path):
    """The directories above `path`, the highest first."""
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[:count]) for count in range(1, len(parts))]


def _new_directories(paths, puid, pgid, split_mounts):
    """Try what does not exist yet in directories made for it beside where it will be."""
    with contextlib.ExitStack() as stack:
        try:
            stand_ins = {name: _stand_in(stack, paths[name], puid, pgid) for name in ("config", "media", "downloads")}
        except OSError as error:
            where = error.filename or paths["base"]
            return [
                problem(
                    "write",
                    "no directory for %d:%d can be made for %s: %s" % (puid, pgid, where, error.strerror),
                    "mediastack_base_path",
                    paths["base"],
                    "allow it there (a network share may forbid root to give files away), or choose another path",
                )
            ]
        return _try_all(stand_ins, paths, puid, pgid, split_mounts)


def _stand_in(stack, path, puid, pgid):
    """The directory itself where it exists, else one made beside where it will be, for PUID:PGID."""
    if os.path.isdir(path):
        return path
    made = tempfile.mkdtemp(prefix=_PREFIX, dir=mounts.existing(path))
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    if os.geteuid() == 0:
        os.chown(made, puid, pgid)
    return made


def _try_all(places, paths, puid, pgid, split_mounts):
    problems = []
    for name, place in places.items():
        failure = write_probe.probe(place, puid, pgid)
        if failure:
            problems.append(
                problem(
                    "write",
                    "PUID:PGID %d:%d cannot write to %s: %s" % (puid, pgid, paths[name], failure),
                    "mediastack_%s_path" % name,
                    paths[name],
                    "choose another path, or other ids",
                )
            )
    if problems or split_mounts:
        return problems
    failure = write_probe.probe(places["downloads"], puid, pgid, other=places["media"])
    if not failure:
        return []
    why = failure[len("link: ") :] if failure.startswith("link: ") else failure
    return [
        problem(
            "hardlinks",
            "files cannot be linked from %s to %s: %s" % (paths["downloads"], paths["media"], why),
            "mediastack_base_path",
            paths["base"],
            "put both below one directory of one file system (one dataset or share), or accept copies: "
            "mediastack_split_mounts: true",
        )
    ]


@contextlib.contextmanager
def _tidy_when_killed():
    """Let SIGTERM and SIGHUP end the run as an exception does, so that trial directories go."""

    def leave(_signal, _frame):
        raise SystemExit(1)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
