# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody took out of the inventory's hands for a while: `<project>/.mediastack/holds.json` (0600).

`stop` holds a service stopped, `start` of something that the inventory does not select holds it started, `vpn_stop`
holds `vpn`. A hold stays until the opposite verb or `-e release_holds=true` clears it. Call what writes under the run
lock.
"""

from __future__ import annotations

import datetime
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

SCHEMA = 1
HOLDS_FILE = "holds.json"
#: The verbs of holds on services; the VPN verbs have `VPN_STOP`, on the name `VPN`.
STOP = "stop"
START = "start"
VPN_STOP = "vpn_stop"
VPN = "vpn"
_KEYS = ("verb", "who", "when", "why")
_WORDS = {STOP: "held stopped", START: "held started", VPN_STOP: "held stopped"}


def path_of(project_path):
    """Where the holds of the project at `project_path` are kept."""
    return os.path.join(project_path, ".mediastack", HOLDS_FILE)


def read(project_path):
    """name → {verb, who, when, why}, all texts; `when` in ISO 8601 with its offset. Empty where there is no record.

    FileError when the file is damaged: guessing would start what somebody stopped.
    """
    path = path_of(project_path)
    try:
        stored = atomic_files.read_json(path, {})
    except FileError as error:
        raise FileError("%s (then nothing is held any more)" % error) from error
    found = stored.get("holds", {})
    whole = isinstance(found, dict) and all(
        isinstance(record, dict) and all(isinstance(record.get(key), str) for key in _KEYS) for record in found.values()
    )
    if not whole or stored.get("schema", SCHEMA) != SCHEMA:
        raise FileError(
            "%s is not a record of holds: restore it from a backup, or move it away (then nothing is held any more)"
            % path
        )
    return {name: {key: record[key] for key in _KEYS} for name, record in found.items()}


def new_names(held, names, verb):
    """Those of `names` for which `record` would change something: not held by the same verb already."""
    return [name for name in names if held.get(name, {}).get("verb") != verb]


def record(project_path, names, verb, who, why, now=None):
    """Hold `names`; the names that were not held by the same verb already (these keep their earlier record).

    `verb`: one of the constants; `who`: for people, `user@controller`; `why`: the words that were asked with; `now`:
    seconds since 1970, None: now. FileError when the file is damaged or cannot be written.
    """
    held = read(project_path)
    fresh = new_names(held, names, verb)
    if fresh:
        entry = {"verb": verb, "who": who, "when": _text(now), "why": why}
        _write(project_path, dict(held, **dict.fromkeys(fresh, entry)))
    return fresh


def clear(project_path, names):
    """Hold `names` no longer; those that were held. FileError as for `record`."""
    held = read(project_path)
    gone = [name for name in names if name in held]
    if gone:
        _write(project_path, {name: entry for name, entry in held.items() if name not in gone})
    return gone


def since(entry):
    """A record in words: `held stopped since 2026-11-22 20:39 +0000 by anna@laptop`."""
    return "%s since %s by %s" % (_WORDS.get(entry["verb"], "held"), _short(entry["when"]), entry["who"])


def _write(project_path, held):
    atomic_files.state_directory(project_path)
    atomic_files.write_json(path_of(project_path), {"schema": SCHEMA, "holds": held})


def _text(now):
    moment = datetime.datetime.now() if now is None else datetime.datetime.fromtimestamp(now)
    return moment.astimezone().isoformat(timespec="seconds")


def _short(when):
    try:
        return datetime.datetime.fromisoformat(when).strftime("%Y-%m-%d %H:%M %z").strip()
    except ValueError:
        return when
