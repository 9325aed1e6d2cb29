# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The app that the faults happen to: a web page, and an SQLite database with a version, as the real ones have.

It writes a row every 100 ms (WAL), answers /ping, brings an older database to its own version and refuses a newer one.
Environment: APP_SCHEMA (its version), APP_FAULT (what is wrong with this release), APP_STOP (s that it takes to stop).
"""

import http.server
import json
import os
import signal
import sqlite3
import sys
import threading
import time

SCHEMA = int(os.environ.get("APP_SCHEMA", "1"))
FAULT, _, SECONDS = os.environ.get("APP_FAULT", "").partition("=")
STOP = float(os.environ.get("APP_STOP", "0"))
DATABASE = "/config/app.db"
TITLES = 200
BEGAN = time.monotonic()
ended = threading.Event()


def say(text):
    """A line of the container's log."""
    print(text, flush=True)


def leave(code, why):
    """End the process."""
    say(why)
    os._exit(code)


def migrate(connection, version):
    """Bring the database from `version` to ours, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    if version == 0:
        connection.execute("CREATE TABLE library (id INTEGER PRIMARY KEY, title TEXT NOT NULL)")
        rows = [(f"Title {number:04d} with its notes, which nobody else has",) for number in range(TITLES)]
        connection.executemany("INSERT INTO library (title) VALUES (?)", rows)
        connection.execute("CREATE TABLE beats (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, version INT, note TEXT)")
    else:
        connection.execute(f"ALTER TABLE library ADD COLUMN since_{SCHEMA} TEXT")
        connection.execute(f"UPDATE library SET since_{SCHEMA} = 'new in {SCHEMA}'")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")
    say(f"database migrated from {version} to {SCHEMA}")


def work():
    """Write rows until the app is told to stop."""
    connection = sqlite3.connect(DATABASE, isolation_level=None, timeout=30)
    while not ended.wait(0.1):
        now = time.time()
        try:
            connection.execute(
                "INSERT INTO beats (at, version, note) VALUES (?, ?, ?)", (now, SCHEMA, f"beat of {now:.3f}")
            )
        except sqlite3.Error as error:
            leave(1, f"cannot write: {error}")
    connection.close()


class Page(http.server.BaseHTTPRequestHandler):
    """/ping."""

    def do_GET(self):
        """Say how it is."""
        sick = FAULT == "never" or (FAULT == "sick" and time.monotonic() - BEGAN > float(SECONDS))
        body = json.dumps({"status": "Error" if sick else "OK", "schema": SCHEMA}).encode()
        self.send_response(500 if sick else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        """Nothing: the log is for what happens."""


def main():
    """Start, or fail as this release does."""
    if FAULT == "crash":
        leave(1, "this release ends at once")
    if FAULT == "loop":
        time.sleep(0.3)
        leave(3, "this release ends again and again")
    connection = sqlite3.connect(DATABASE, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode=WAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        leave(1, f"the database is of version {version}, and this is {SCHEMA}: it cannot be used any more")
    if version < SCHEMA:
        migrate(connection, version)
    if FAULT == "bad":
        leave(1, "this release fails after it has migrated its database")
    connection.close()
    writer = threading.Thread(target=work)
    writer.start()
    if FAULT == "exit":
        threading.Timer(float(SECONDS), leave, (1, "this release ends after a while")).start()
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Page)

    def stop(_signal, _frame):
        ended.set()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ended.wait()
    writer.join()
    time.sleep(STOP)
    sys.exit(0)


if __name__ == "__main__":
    main()
