# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Databases of apps that run, that were killed, and that are damaged."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import shutil
import sqlite3
import subprocess
import threading
import time

import pytest
from snapshot_world import Host, Project, contents, database, python, rows, tree

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_sqlite
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError

# Writes rows of 2 kB, one a transaction, and says each number when it is committed.
WRITER = """
import sqlite3, sys
path, mode, options = sys.argv[1:4]
connection = sqlite3.connect(path, isolation_level=None, timeout=60)
connection.execute("PRAGMA journal_mode = " + mode)
for option in options.split(";"):
    connection.execute("PRAGMA " + option)
connection.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, filler)")
number = 0
while True:
    number += 1
    connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 2000))
    print(number, flush=True)
"""
CRASHED = """
import os, signal, sqlite3, sys
path, mode = sys.argv[1:3]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = " + mode)
connection.execute("PRAGMA cache_size = 5")
connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
connection.executemany("INSERT INTO t VALUES (?)", [("committed %d" % n,) for n in range(200)])
connection.execute("BEGIN")
connection.execute("UPDATE t SET x = zeroblob(4000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextlib.contextmanager
def writing(path, mode, options="synchronous = NORMAL"):
    """A process that writes to a database; yields a function that gives the last row that is surely in it."""
    process = python(WRITER, path, mode, options, stdout=subprocess.PIPE)
    said = bytearray(b"0\n")

    def committed():
        while select.select([process.stdout], [], [], 0)[0]:
            said.extend(os.read(process.stdout.fileno(), 1 << 20))
            assert process.poll() is None, "the writer failed"
        # The last line may be one that is still being written.
        return int(said.split(b"\n")[-2])

    try:
        assert select.select([process.stdout], [], [], 60)[0], "the writer does not write"
        yield committed
        assert process.poll() is None, "the writer failed"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.mark.parametrize("mode", ["WAL", "DELETE", "TRUNCATE", "PERSIST"])
def test_under_constant_writes(host, mode):
    config = host.service("sonarr", "sqlite", ["."])
    path = config / "sonarr.db"
    with writing(path, mode) as committed:
        for _turn in range(5):
            goal, deadline = committed() + 20, time.monotonic() + 60
            while committed() < goal:
                assert time.monotonic() < deadline, "the writer is stuck"
            before = committed()
            snapshot = host.take()
            copy = pathlib.Path(snapshot.data("sonarr"))
            assert list(contents(copy)) == ["sonarr.db"]
            assert snapshot.services["sonarr"]["databases"] == [{"path": "sonarr.db", "check": "ok"}]
            assert snapshot.verify() == []
            scratch = host.place / "scratch.db"
            shutil.copy(copy / "sonarr.db", scratch)
            found = rows(scratch)
            assert found == list(range(1, len(found) + 1)) and len(found) >= before
    # The app's own database was not hurt.
    assert len(rows(path)) >= before


def test_a_writer_in_wal_mode_is_not_held_up(host):
    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    path = config / "sonarr.db"
    database(path, (), "WAL")
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    # With a log beside it, so that it counts as open.
    connection.execute("INSERT INTO t VALUES (1)")
    with snapshot_sqlite._reading(str(path), 1) as reading:
        assert reading.execute("SELECT count(*) FROM t").fetchone() == (1,)
        connection.execute("INSERT INTO t VALUES (2)")
    connection.close()


@pytest.mark.parametrize("down", [True, False])
def test_wal_left_by_a_killed_app(host, down):
    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    python(CRASHED, config / "sonarr.db", "WAL").wait()
    assert (config / "sonarr.db-wal").stat().st_size > 0
    before = contents(config)
    snapshot = host.take(project=Project(running=[] if down else None))
    after = contents(config)
    # The database and its log are as they were; the -shm is only memory.
    for name in ("sonarr.db", "sonarr.db-wal"):
        assert after[name] == before[name]
    assert list(contents(snapshot.data("sonarr"))) == ["sonarr.db"] and snapshot.verify() == []
    host.put_back(snapshot)
    assert sorted(contents(host.aside / "sonarr")) == ["sonarr.db", "sonarr.db-shm", "sonarr.db-wal"]
    assert list(contents(config)) == ["sonarr.db"]
    assert rows(config / "sonarr.db") == ["committed %d" % number for number in range(200)]


def test_hot_journal_left_by_a_killed_app(host):
    config = host.service("seerr", "sqlite", ["db.sqlite3"])
    python(CRASHED, config / "db.sqlite3", "DELETE").wait()
    before = tree(config)
    assert "db.sqlite3-journal" in before
    with host.store.begin("backup", {}) as draft:
        # Reading it would mean rolling it back, in the app's own file.
        assert draft.needs_stop(host.services, ["seerr"]) == ["seerr"]
        draft.take_running(host.services, ["seerr"], host.project, None)
        assert "readonly database" in draft.refused["seerr"]
        assert draft.needs_stop(host.services, ["seerr"]) == ["seerr"]
        draft.take_stopped(host.services, ["seerr"])
        snapshot = draft.finish()
    assert tree(config) == before
    assert list(contents(snapshot.data("seerr"))) == ["db.sqlite3"]
    host.put_back(snapshot)
    assert rows(config / "db.sqlite3") == ["committed %d" % number for number in range(200)]


def test_without_the_module_the_log_is_kept_beside(host, monkeypatch):
    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    python(CRASHED, config / "sonarr.db", "WAL").wait()
    monkeypatch.setattr(snapshot_sqlite, "sqlite3", None)
    monkeypatch.setattr(snapshot_sqlite, "AVAILABLE", False)
    snapshot = host.take()
    monkeypatch.undo()
    assert sorted(contents(snapshot.data("sonarr"))) == ["sonarr.db", "sonarr.db-wal"]
    assert snapshot.verify() == []
    for path in config.iterdir():
        path.unlink()
    database(config / "sonarr.db", ["newer"], "WAL")
    for _turn in range(2):
        host.put_back(snapshot)
    assert rows(config / "sonarr.db") == ["committed %d" % number for number in range(200)]


def test_wal_that_nobody_has_open_is_left_without_a_trace(host):
    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    database(config / "sonarr.db", ["a"], "WAL")
    before = tree(config)
    with host.store.begin("backup", {}) as draft:
        assert draft.needs_stop(host.services, ["sonarr"]) == []
        draft.take_running(host.services, ["sonarr"], host.project, None)
        snapshot = draft.finish()
    assert tree(config) == before
    assert snapshot.services["sonarr"]["databases"] == [{"path": "sonarr.db", "check": "ok"}]


def test_wal_that_is_opened_meanwhile_is_taken_as_open(host, monkeypatch):
    from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_files

    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    path = config / "sonarr.db"
    database(path, ["a"], "WAL")
    copy_out, opened = snapshot_files.copy_out, []

    def late(parent, name, target):
        done = copy_out(parent, name, target)
        if not opened:
            opened.append(sqlite3.connect(path, isolation_level=None))
            opened[0].execute("INSERT INTO t VALUES ('b')")
        return done

    monkeypatch.setattr(snapshot_files, "copy_out", late)
    snapshot = host.take()
    opened[0].close()
    assert rows(pathlib.Path(snapshot.data("sonarr"), "sonarr.db")) == ["a", "b"]


def test_every_database_is_found_whatever_its_name(host):
    config = host.service("jellyfin", "sqlite", ["data"])
    (config / "data/plugins").mkdir(parents=True)
    for name in ("library.db", "no ending", "quoted '?#%41 name.db", "plugins/deep.sqlite"):
        database(config / "data" / name, [name], "WAL")
    odd = os.path.join(os.fsencode(config), b"data/odd\xff.db")
    connection = sqlite3.connect(b"file:" + odd.replace(b"\xff", b"%FF"), uri=True)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    (config / "data/empty.db").touch()
    (config / "data/empty.db-journal").write_bytes(b"j")
    (config / "data/text-wal").write_text("no database's")
    (config / "data/short").write_bytes(b"SQLite format")
    # All are open.
    held = []
    for name in ("library.db", "no ending", "quoted '?#%41 name.db", "plugins/deep.sqlite"):
        held.append(sqlite3.connect(config / "data" / name, isolation_level=None))
        held[-1].execute("INSERT INTO t VALUES ('second')")
        assert os.path.exists(str(config / "data" / name) + "-wal")
    snapshot = host.take()
    record = snapshot.services["jellyfin"]
    assert sorted(entry["path"] for entry in record["databases"]) == [
        "data/library.db",
        "data/no ending",
        "data/odd\udcff.db",
        "data/plugins/deep.sqlite",
        "data/quoted '?#%41 name.db",
    ]
    others = {entry["path"] for entry in record["files"]} - {entry["path"] for entry in record["databases"]}
    assert others == {"data/empty.db", "data/text-wal", "data/short"}
    for connection in held:
        connection.close()
    assert snapshot.verify() == []
    shutil.rmtree(config / "data")
    host.put_back(snapshot)
    assert rows(config / "data/no ending") == ["no ending", "second"]
    assert os.path.exists(odd)


def test_a_database_that_its_app_locks_for_itself_needs_a_stop(host, monkeypatch):
    monkeypatch.setattr(snapshot_sqlite, "BUSY_SECONDS", 0.2)
    monkeypatch.setattr(snapshot_sqlite, "PROBE_SECONDS", 0.2)
    config = host.service("tautulli", "sqlite", ["tautulli.db"])
    database(config / "tautulli.db", ["a"])
    connection = sqlite3.connect(config / "tautulli.db", isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with host.store.begin("backup", {}) as draft:
        assert draft.needs_stop(host.services, ["tautulli"]) == ["tautulli"]
        draft.take_running(host.services, ["tautulli"], host.project, None)
        assert "locked" in draft.refused["tautulli"] and draft.services == {}
        connection.close()
        draft.take_stopped(host.services, ["tautulli"])
        snapshot = draft.finish()
    assert rows(pathlib.Path(snapshot.data("tautulli"), "tautulli.db")) == ["a"]


def test_a_copy_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(snapshot_sqlite, "BUSY_SECONDS", -1)
    turn = snapshot_sqlite._patience("/x/app.db")
    turn(101, 0, 10)
    with pytest.raises(snapshot_sqlite.DatabaseError, match="/x/app.db: locked by its app") as caught:
        turn(sqlite3.SQLITE_BUSY, 10, 10)
    assert caught.value.online


def test_a_lock_that_goes_is_waited_for(host):
    config = host.service("seerr", "sqlite", ["db"])
    database(config / "db", ["a"])
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE');"
    code += "print('locked', flush=True); sys.stdin.readline(); c.execute('COMMIT')"
    process = python(code, config / "db", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "locked\n"
    draft = host.store.begin("backup", {})

    def let_go():
        process.stdin.write("go\n")
        process.stdin.flush()

    threading.Timer(0.5, let_go).start()
    began = time.monotonic()
    draft.take_running(host.services, ["seerr"], host.project, None)
    assert list(draft.services) == ["seerr"] and time.monotonic() - began >= 0.4
    draft.drop()
    process.communicate()


def test_a_damaged_database_is_told_and_not_taken(host):
    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    database(config / "sonarr.db", ["row %d" % number for number in range(5000)])
    with open(config / "sonarr.db", "r+b") as handle:
        handle.seek(3 * 4096)
        handle.write(b"\xff" * 4096)
    for project in (Project(), Project(running=[])):
        with pytest.raises(
            SnapshotError, match=r"sonarr: a database cannot be taken: .*sonarr\.db.*repair it, or rest"
        ):
            host.take(project=project)
    assert host.store.all() == [] and os.listdir(host.store.root) == []


@pytest.mark.parametrize("kind", ["collation", "module", "newer"])
def test_what_only_its_app_understands_is_taken_all_the_same(host, kind):
    """Plex sorts by a collation of its own, and a newer SQLite than the host's may know more of a schema."""
    config = host.service("plex", "sqlite", ["db"])
    path = config / "db"
    connection = sqlite3.connect(path)
    connection.create_collation("icu_root", lambda left, right: (left < right) - (left > right))
    connection.execute("CREATE TABLE t (x COLLATE icu_root)" if kind == "collation" else "CREATE TABLE t (x)")
    connection.execute("CREATE INDEX i ON t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [(str(number),) for number in range(3000)])
    connection.execute("CREATE TABLE u (x)")
    connection.commit()
    if kind != "collation":
        text = {"module": "CREATE VIRTUAL TABLE u USING plexfts(x)", "newer": "CREATE TABLE u (x TEXTURE) SHINY NEW"}
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'u'", [text[kind]])
        if kind == "module":
            connection.execute("UPDATE sqlite_master SET rootpage = 0 WHERE name = 'u'")
        connection.commit()
    connection.close()
    snapshot = host.take()
    (entry,) = snapshot.services["plex"]["databases"]
    assert entry["check"] == "ok" or "checked" in entry["check"], entry
    if kind == "newer":
        assert "near" in entry["check"]
    assert snapshot.verify() == []
    # Damage is found even so, as far as it can be seen without them.
    if kind == "collation":
        assert "icu_root" in entry["check"] and "in part" in entry["check"]
        with open(path, "r+b") as handle:
            handle.seek(3 * 4096)
            handle.write(b"\xff" * 4096)
        with pytest.raises(SnapshotError, match="a database cannot be taken"):
            host.take()


def test_owner_mode_and_time_of_a_database(host):
    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    path = config / "sonarr.db"
    database(path, ["a"])
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    os.utime(path, ns=(1, 1234567890123456789))
    before = tree(config)
    snapshot = host.take()
    database(path, ["b"])
    path.chmod(0o600)
    host.put_back(snapshot)
    after = tree(config)
    assert after["sonarr.db"][:5] == before["sonarr.db"][:5]


def test_a_stale_log_never_meets_another_database(host):
    config = host.service("sonarr", "sqlite", ["."])
    database(config / "sonarr.db", ["old"], "WAL")
    snapshot = host.take()
    # The database file is byte for byte the same, and all that is newer is in its log.
    connection = sqlite3.connect(config / "sonarr.db", isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("INSERT INTO t VALUES ('newer')")
    for name in ("sonarr.db", "sonarr.db-wal", "sonarr.db-shm"):
        shutil.copy(config / name, host.place / name)
    connection.close()
    for name in ("sonarr.db", "sonarr.db-wal", "sonarr.db-shm"):
        shutil.copy(host.place / name, config / name)
    host.put_back(snapshot)
    assert rows(config / "sonarr.db") == ["old"]
    # What was replaced is whole, too.
    assert rows(host.aside / "sonarr/sonarr.db") == ["old", "newer"]
