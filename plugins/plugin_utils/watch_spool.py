# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the workers of a watch, one for each host, leave what they saw for the one that paints.

A directory on the controller with one file for each host, which is replaced at every look: it does not grow. It lies
in the temporary directory of the run, which Ansible removes at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import NamedTuple


class Seen(NamedTuple):
    """The last look at a host.

    Attributes:
        moment: when, in the seconds of `time.monotonic`, which all processes of a machine share.
        result: as a `stack_health` task registers it.
    """

    moment: float
    result: dict


class Spool:
    """The directory, as one of the workers uses it."""

    def __init__(self, path, hosts):
        """`path`: of the directory; `hosts`: names of all hosts, in the same order for every worker."""
        self._path = path
        self._files = {host: os.path.join(path, str(number)) for number, host in enumerate(hosts)}
        self._known = {}

    def create(self):
        """Make the directory; the worker that paints does."""
        os.makedirs(self._path, mode=0o700)

    def exists(self):
        """Whether somebody paints."""
        return os.path.isdir(self._path)

    def remove(self):
        """End the watch: who finds no directory stops."""
        shutil.rmtree(self._path, ignore_errors=True)

    def put(self, host, result):
        """Leave the result of a look. False when nobody paints any more."""
        target = self._files[host]
        try:
            with open(f"{target}.new", "w", encoding="utf-8", errors="replace") as handle:
                json.dump([time.monotonic(), result], handle, default=str)
            os.replace(f"{target}.new", target)
        except FileNotFoundError:
            return False
        return True

    def read(self):
        """`{host: Seen}` of the hosts that have been looked at. What has not changed is not read again."""
        for host, path in self._files.items():
            try:
                stat = os.stat(path)
                mark = (stat.st_ino, stat.st_mtime_ns)
                if self._known.get(host, (None,))[0] != mark:
                    with open(path, encoding="utf-8") as handle:
                        self._known[host] = (mark, Seen(*json.load(handle)))
            except FileNotFoundError:
                continue
        return {host: seen for host, (_mark, seen) in self._known.items()}
