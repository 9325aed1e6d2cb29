# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in the apps' files: a hash of what must not change, every row that was written, and which are gone.

A database is read as its app does, by its user: a reader of another one would leave files beside it that the app cannot
write.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pathlib
import shutil
import sqlite3
import tempfile
import time
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)


class Contents(NamedTuple):
    """What one service's files hold."""

    #: Version of the database.
    schema: int
    #: Hash of all that the app never changes after its first start: the library, and the user's own file.
    digest: str
    #: (id, text) of every row that it has written.
    beats: frozenset


class Lost(NamedTuple):
    """What was there, and is nowhere any more."""

    rows: int
    bytes: int


@contextlib.contextmanager
def as_user(uid):
    """Open files as that user, in this thread."""
    _libc.setfsgid(uid)
    _libc.setfsuid(uid)
    try:
        yield
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(0)


def read_database(path, uid=None):
    """(schema, rows of the library, rows of beats) of an app's database; None where it has none that can be read."""
    with contextlib.ExitStack() as stack:
        if uid is not None:
            stack.enter_context(as_user(uid))
        try:
            connection = stack.enter_context(contextlib.closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)))
            connection.execute("PRAGMA busy_timeout = 10000")
            connection.execute("BEGIN")
            schema = connection.execute("PRAGMA user_version").fetchone()[0]
            library = connection.execute("SELECT id, title FROM library ORDER BY id").fetchall()
            beats = connection.execute("SELECT id, note FROM beats").fetchall()
            # Every page is read: a damaged database does not look whole.
            told = connection.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.Error:
            return None
    return (schema, library, frozenset(beats)) if told == "ok" else None


def read_service(folder, uid):
    """The Contents of a config directory; None while its database cannot be read."""
    found = read_database(folder / "app.db", uid)
    if found is None:
        return None
    schema, library, beats = found
    text = "".join(f"{number} {title}\n" for number, title in library)
    with contextlib.suppress(FileNotFoundError):
        text += (folder / "settings.ini").read_text()
    return Contents(schema, hashlib.sha256(text.encode()).hexdigest(), beats)


def read_all(config, services, uid, seconds=5):
    """service → its Contents; one that cannot be read within so many seconds is None."""
    found = {}
    for service in services:
        deadline = time.monotonic() + seconds
        while True:
            found[service] = read_service(config / service, uid)
            if found[service] is not None or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    return found


def kept_aside(places):
    """Every row of every database below `places`: snapshots, backups, and what a rollback has put aside."""
    rows = set()
    for place in places:
        for path in pathlib.Path(place).rglob("app.db") if pathlib.Path(place).exists() else ():
            # A copy: reading brings what is in a write-ahead log into the database.
            with tempfile.TemporaryDirectory() as folder:
                for file in path.parent.glob("app.db*"):
                    shutil.copy(file, folder)
                found = read_database(os.path.join(folder, "app.db"))
            rows |= found[2] if found else set()
    return rows


def lost(before, after, places):
    """The rows of `before` that are neither in `after` nor kept aside below `places`. Both: service → Contents."""
    missing = set()
    for service, contents in before.items():
        now = after.get(service)
        missing |= contents.beats - (now.beats if now else frozenset())
    if missing:
        missing -= kept_aside(places)
    return Lost(len(missing), sum(len(note.encode()) for _number, note in missing))
