# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQLite databases of apps that run: taken by SQLite's online backup, and checked.

The file is opened read-only (mode=ro), so it is never written to, checkpointed or rolled back by us; locks are SQLite's
own, which hold across containers because all see the same file. Measured with SQLite 3.40:

* WAL with a -wal left by an app that was killed: recovery writes to the -shm only, the rows of the -wal are there.
* WAL without -wal: nobody has it open. Opening it would leave an empty -wal and a -shm behind, so it is copied as a
  file.
* A journal left by an app that was killed ("hot"): rolling it back would write to the database, so mode=ro refuses. It
  is copied together with its journal, while the app is down, and the copy is rolled back.
* All pages in one step: with several, every write of the app starts the copy anew, for ever if it writes often.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from urllib.parse import quote

try:
    import sqlite3
except ImportError:
    sqlite3 = None

HEADER = b"SQLite format 3\0"
COMPANIONS = ("-wal", "-shm", "-journal")
# For a lock of the app, in seconds; a writer holds it for milliseconds.
BUSY_SECONDS = 20.0
# For finding out whether a database can be opened at all.
PROBE_SECONDS = 5.0
_LOOK_SECONDS = 0.0005
# Collations and functions of an app for which a stand-in is made.
_FOREIGN_MOST = 20
# SQLITE_DONE: the copy is whole.
_DONE = 101
AVAILABLE = sqlite3 is not None


class DatabaseError(Exception):
    """A database cannot be taken, or is damaged. `online` tells which: True when it may be taken with the app down."""

    def __init__(self, message, online=False):
        super().__init__(message)
        self.online = online


def is_database(head):
    """Whether a file that begins with these bytes is a database of SQLite."""
    return head.startswith(HEADER)


def uses_wal(head):
    """Whether the database that begins with these bytes was written with a write-ahead log."""
    return len(head) > 18 and head[18] == 2


def companion_of(name):
    """The name of the database beside which SQLite keeps a file `name`; None when it is no such name."""
    for ending in COMPANIONS:
        if name.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return None


def address(path, query):
    """The URI of a database, whatever bytes its name has."""
    return "file:%s?%s" % (quote(os.fsencode(os.path.abspath(path))), query)


def try_open(path):
    """DatabaseError when the database cannot be read beside a running app."""
    with _reading(path, PROBE_SECONDS):
        pass


def backup(path, target):
    """Copy the database at `path` to the existing empty file `target` as it is at one moment.

    DatabaseError, OSError.
    """
    with _reading(path, BUSY_SECONDS) as source:
        copy = sqlite3.connect(address(target, "mode=rw"), uri=True, isolation_level=None)
        try:
            # Nobody sees the copy before it is whole and synced.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            source.backup(copy, pages=-1, progress=_patience(path))
        finally:
            copy.close()
    _drop_companions(target)


def settle(path):
    """Bring into the copy at `path` what its -wal or -journal beside it holds, so that it is one file.

    DatabaseError, OSError.
    """
    try:
        copy = sqlite3.connect(address(path, "mode=rw"), uri=True, isolation_level=None, timeout=0)
        try:
            copy.execute("PRAGMA schema_version").fetchone()
            if os.path.lexists(path + "-wal"):
                copy.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            copy.close()
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    if os.path.lexists(path + "-wal") and os.path.getsize(path + "-wal"):
        raise DatabaseError("what %s-wal holds could not be brought into the database" % path)
    # A journal that is still there was none to roll back: some apps keep it, emptied, for the next time.
    _drop_companions(path)


def check(path):
    """(problems, note) of a copy that nobody else has open, by PRAGMA integrity_check; nothing is written beside it.

    `problems`: what is damaged, at most a few lines. `note`: why not all of it could be checked, or None: an app may
    bring functions of its own that are needed to read an index, or a newer SQLite than this host's.
    """
    if sqlite3 is None:
        return [], "not checked: this Python has no sqlite3 module"
    try:
        connection = sqlite3.connect(address(path, "mode=ro&immutable=1"), uri=True, isolation_level=None)
    except sqlite3.Error as error:
        return [str(error)], None
    try:
        return _check(connection)
    finally:
        connection.close()


def _check(connection):
    note = None
    for _turn in range(_FOREIGN_MOST):
        pragma = "quick_check(5)" if note else "integrity_check(5)"
        try:
            rows = [str(row[0]) for row in connection.execute("PRAGMA " + pragma)]
        except sqlite3.Error as error:
            if not _is_foreign(str(error)):
                return [str(error)], None
            note = "%s (the SQLite of this host is %s)" % (error, sqlite3.sqlite_version)
            if not _stand_in(connection, str(error)):
                return [], "not checked: %s" % note
            continue
        damage = [row for row in rows if row != "ok" and not _is_foreign(row)]
        if damage:
            return damage, None
        note = note or next((row for row in rows if row != "ok"), None)
        return [], "checked in part: %s" % note if note else None
    return [], "not checked: %s" % note


def _stand_in(connection, text):
    """Give a connection something in place of what only the app has; True when it makes sense to try again.

    What is checked then (quick_check) looks at all pages and rows, and compares nothing.
    """
    match = re.search(r"no such (collation sequence|function): (\w+)$", text)
    if not match:
        return False
    try:
        if match.group(1) == "function":
            connection.create_function(match.group(2), -1, lambda *_values: None)
        else:
            connection.create_collation(match.group(2), lambda left, right: (left > right) - (left < right))
    except sqlite3.Error:
        return False
    return True


def _drop_companions(path):
    for ending in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + ending)


@contextlib.contextmanager
def _reading(path, seconds):
    """A read-only connection to a database of an app that may be running, inside a read transaction.

    `seconds`: longest wait for a lock. SQLite itself looks every 0.1 s in the end, and meets an app that writes without
    a pause hardly ever between two writes; so we look ourselves.
    """
    if sqlite3 is None:
        raise DatabaseError("this Python has no sqlite3 module", online=True)
    end = time.monotonic() + seconds
    try:
        source = sqlite3.connect(address(path, "mode=ro"), uri=True, isolation_level=None, timeout=0)
        try:
            source.execute("BEGIN")
            while True:
                try:
                    # Takes the lock, and looks for a journal to roll back; reads no schema.
                    source.execute("PRAGMA schema_version").fetchone()
                    break
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or time.monotonic() > end:
                        raise
                time.sleep(_LOOK_SECONDS)
            yield source
        finally:
            source.close()
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _patience(path):
    """What `Connection.backup` calls after each turn: it would wait for a lock for ever by itself."""
    end = time.monotonic() + BUSY_SECONDS

    def turn(status, _remaining, _total):
        if status != _DONE and time.monotonic() > end:
            raise DatabaseError("%s: locked by its app for more than %g s" % (path, BUSY_SECONDS), online=True)

    return turn


def _explained(path, error):
    text = str(error)
    if "disk is full" in text:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    damaged = "malformed" in text or "not a database" in text
    return DatabaseError("%s: %s" % (path, text), online=not damaged)


def _is_foreign(text):
    """Whether SQLite only lacks something that the app brings along, or is older than the app's."""
    if "malformed database schema" in text:
        return any(sign in text for sign in ('near "', "no such", "unknown", "unrecognized"))
    return any(
        sign in text
        for sign in (
            "no such collation",
            "no such module",
            "no such tokenizer",
            "unknown tokenizer",
            "no such function",
            "unknown function",
            "unsupported file format",
            "unable to validate the inverted index",
        )
    )
