# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose the lock file is: the hosts' one inventory directory, and whether another inventory there shares it."""

from __future__ import annotations

import os
import re

from .lock_file import NAME, LockFileError

#: The group `mediastack` as an inventory has it: in YAML or the output of a script, or a section.
_GROUP = re.compile(rb"^\[mediastack[\]:]|(?<![\w.-])[\"']?mediastack[\"']?[ \t]*:", re.MULTILINE)
_IGNORED = (".bak", ".cfg", ".md", ".orig", ".pyc", ".retry", ".rst", ".swp", "~")
_MOST = 1024 * 1024


def directory_of(hosts, task_vars):
    """The inventory directory of `hosts`; None without one.

    Raises:
        LockFileError: they are of several: each has a lock of its own, and this is one run with one lock.
    """
    known = task_vars.get("hostvars") or {}
    own = task_vars.get("inventory_dir")
    places = {}
    for host in hosts:
        place = known[host].get("inventory_dir") if host in known else own
        places.setdefault(str(place) if place else None, []).append(host)
    if len(places) > 1:
        words = "; ".join(f"{', '.join(names)}: {place or 'no file'}" for place, names in places.items())
        raise LockFileError(
            f"{NAME} is written beside the inventory, and these hosts are of several ({words}). Update those of each "
            "by themselves, with -i or --limit, or put the inventories into one directory."
        )
    return next(iter(places), own)


def is_shared(directory, sources):
    """Whether another inventory than `sources` (of this run) is in the directory and has the lock file with them.

    What nobody of this run asks for may be that one's. A file counts that names the group; one that cannot be read
    may be one.
    """
    given = {os.path.realpath(str(source)) for source in sources or ()}
    if directory is None or os.path.realpath(directory) in given:
        return False
    try:
        names = [name for name in os.listdir(directory) if not name.startswith(".") and name != NAME]
    except OSError:
        return True
    for name in names:
        path = os.path.realpath(os.path.join(directory, name))
        if path in given or name.lower().endswith(_IGNORED) or not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as stream:
                if _GROUP.search(stream.read(_MOST)):
                    return True
        except OSError:
            return True
    return False
