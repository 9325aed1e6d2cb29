# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is to say about the files of a project, for people: why each one changes, and which are not ours."""

from __future__ import annotations

import contextlib
import os
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files

# What `atomic_files.dated` has named.
_KEPT = re.compile(r"\.kept-\d{8}-\d{6}(-\d+)?$")


def reasons(changes):
    """path → why, for the changes of `FileSet.plan`, in words."""
    found = {}
    for change in changes:
        path, action = change["path"], change["action"]
        if action == "keep_aside":
            found[path] = "somebody edited it; what it is now is kept as %s" % os.path.basename(change["to"])
        elif path not in found:
            found[path] = {
                "create": "it was deleted" if change.get("known") else "it is not there yet",
                "change": "what is rendered for it is another text now",
                "mode": "it has another mode or owner",
                "remove": "nothing needs it any more",
            }[action]
    return found


def unknown(files, project_path):
    """Paths of files in the directories of `files` that are not among them, sorted; all below `project_path`.

    `files`: paths of all that is ours. What an earlier run has kept aside is none, directories are none, nor is what
    we remember in `.mediastack`.
    """
    found = []
    for directory in sorted({os.path.dirname(path) for path in files} - {os.path.join(project_path, ".mediastack")}):
        if not (directory + os.sep).startswith(project_path.rstrip(os.sep) + os.sep):
            continue
        with contextlib.suppress(OSError), os.scandir(directory) as entries:
            found += [
                entry.path
                for entry in entries
                if entry.path not in files
                and not entry.is_dir(follow_symlinks=False)
                and not _KEPT.search(entry.name)
                and not atomic_files.TEMPORARY.match(entry.name)
            ]
    return sorted(found)
