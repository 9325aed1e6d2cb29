# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Misbehaviour on demand.

Faults come, in this order, from the environment (``LAB_FAULTS``), from ``/run/lab/faults`` (``docker exec APP lab-
fault …``, gone with the container) and from ``lab-faults`` in the app's config directory (outlives the container).
The later one wins.
"""

import difflib
import os
import time
import urllib.parse

RUNTIME_FILE = "/run/lab/faults"
CONFIG_FILE = "lab-faults"

#: name → what its value is; ``flag`` needs none.
KNOWN = {
    "refuse": "seconds",  # from the start: connection refused (also delays a real program)
    "starting": "seconds",  # after that: the app's own answer while it starts
    "exit": "code",  # leave at once with this code
    "crash": "seconds",  # be killed this long after the start: with a restart policy, a crash loop
    "hang": "flag",  # accept connections, never answer
    "slow": "seconds",  # answer late
    "status": "code",  # answer every request with this HTTP status
    "body": "text",  # answer 200 with this body (percent-encoded)
    "unhealthy": "flag",  # the app's own unhealthy answer
    "drop": "flag",  # close the connection in the middle of the answer
    "write_error": "flag",  # 500 for everything but GET and HEAD
    "hang_api": "flag",  # as hang, but only below /api/v…: the health page answers
    "other_key": "flag",  # *arr, Bazarr: whatever key is given, it is the wrong one
    "health": "text",  # *arr, Bazarr: a health message more, SOURCE:TYPE:MESSAGE (percent-encoded)
    "queue_warnings": "count",  # Sonarr and the like: so many downloads that wait for somebody
    "no_root_folder": "text",  # Sonarr and the like: a root folder at this path that is not there
    "failing_indexer": "text",  # Prowlarr: an indexer of this name that fails
    "throttled_providers": "count",  # Bazarr: so many subtitle providers are paused
    "disconnected": "flag",  # gluetun: "running", healthy, and no public address
    "for": "seconds",  # this source's faults end so long after the start, or after the file was written
}

#: What a value is → how it is read.
READ = {"seconds": float, "code": int, "count": int, "text": urllib.parse.unquote, "flag": lambda _value: True}


class FaultError(ValueError):
    """A fault that the lab does not know, or a value that it cannot read."""


def parse(text):
    """Return ``{name: value}`` of ``refuse=3 hang body=x``; words are parted by white space or commas.

    Raises FaultError naming the word and the closest known one.
    """
    faults = {}
    for word in text.replace(",", " ").split():
        name, _equals, value = word.partition("=")
        kind = KNOWN.get(name)
        if kind is None:
            near = difflib.get_close_matches(name, KNOWN, 1) or sorted(KNOWN)
            raise FaultError(f"unknown fault {name!r}: did you mean {', '.join(near)}?")
        try:
            faults[name] = READ[kind](value)
        except ValueError:
            raise FaultError(f"fault {name}={value!r}: its value must be {kind}") from None
    return faults


class Faults:
    """The faults in force now."""

    def __init__(self, config_dir, env=None, runtime_file=RUNTIME_FILE):
        """Read the environment's faults; raises FaultError when it cannot."""
        env = os.environ if env is None else env
        self.started = time.time()
        self.initial = parse(env.get("LAB_FAULTS", ""))
        self.files = [runtime_file, os.path.join(config_dir, CONFIG_FILE)]
        self.cache = {}

    def _of_file(self, path):
        try:
            stat = os.stat(path)
        except OSError:
            return {}, 0.0
        key = (stat.st_mtime_ns, stat.st_size)
        if self.cache.get(path, (None,))[0] != key:
            try:
                with open(path, encoding="utf-8") as stream:
                    faults = parse(stream.read())
            except (OSError, FaultError) as error:
                print(f"lab: {path}: {error}", flush=True)
                faults = {}
            self.cache[path] = (key, faults)
        return self.cache[path][1], stat.st_mtime

    def now(self):
        """Return the merged ``{name: value}`` that holds at this moment."""
        merged = {}
        for faults, since in [(self.initial, self.started), *map(self._of_file, self.files)]:
            if "for" not in faults or time.time() - since < faults["for"]:
                merged.update(faults)
        merged.pop("for", None)
        return merged
