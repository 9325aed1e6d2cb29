# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `status` says of pull mode on a host: a look at one small file."""

from __future__ import annotations

import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, pull_report
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError


def read(directory):
    """`{ok, result, text, ended, wanted, live}`; `{}` where there is no pull mode, `error` where it is unreadable.

    `directory`: that of the project's pull mode, or an empty string.
    """
    if not directory or not os.path.isdir(directory):
        return {}
    try:
        last = atomic_files.read_json(os.path.join(directory, "last.json"), None)
        if last is None:
            return {}
        return {
            "ok": bool(last["ok"]),
            "result": str(last["result"]),
            "text": pull_report.sentence(last),
            "ended": str(last["ended"]),
            "wanted": last["commit"]["wanted"],
            "live": last["commit"]["live"],
        }
    except (FileError, KeyError, TypeError, AttributeError) as error:
        return {"error": str(error)}
