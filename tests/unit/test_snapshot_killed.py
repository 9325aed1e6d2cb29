# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A restore that is killed with SIGKILL at every single change that it makes, and then called again."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile

import pytest
from snapshot_world import Host, contents, database, rows, tree

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_files

CHANGES = ("mkdir", "rename", "unlink", "rmdir", "symlink", "write", "fchown", "fchmod", "utime", "fsync", "chown")


def scene(place):
    """A host with a snapshot, and everything different from it; (host, snapshot, how it was)."""
    host = Host(place)
    config = host.service("app", "sqlite", ["data", "app.db", "settings.xml", "Library/App Support", "later"])
    (config / "data/sub/empty").mkdir(parents=True)
    (config / "Library/App Support/x").mkdir(parents=True)
    database(config / "app.db", ["old"], "WAL")
    database(config / "data/deep.db", ["old"])
    (config / "settings.xml").write_text("old")
    (config / "data/same").write_text("same")
    (config / "data/gone").write_text("gone")
    (config / "data/sub/was-dir").mkdir()
    (config / "data/sub/was-dir/f").write_text("f")
    (config / "Library/App Support/x/f").write_text("x")
    os.symlink("same", config / "data/link")
    (config / "beside").write_text("never touched")
    if os.geteuid() == 0:
        for path in sorted(config.rglob("*")):
            os.chown(path, 1234, 2345, follow_symlinks=False)
        os.chown(config, 1234, 2345)
    snapshot, before = host.take(), tree(config)
    (config / "data/gone").unlink()
    (config / "data/link").unlink()
    (config / "data/link").write_text("a file now")
    shutil.rmtree(config / "data/sub/was-dir")
    (config / "data/sub/was-dir").write_text("a file now")
    shutil.rmtree(config / "Library")
    (config / "settings.xml").write_text("newer settings")
    (config / "later").mkdir()
    (config / "later/f").write_text("later")
    (config / "data/new/er").mkdir(parents=True)
    (config / "data/new/er/f").write_text("newer")
    (config / "data/new-fifo-less").write_text("newer too")
    database(config / "data/deep.db", ["newer"])
    # As an app leaves it that was killed: a log beside the database.
    connection = sqlite3.connect(config / "app.db", isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("INSERT INTO t VALUES ('newer')")
    for ending in ("", "-wal", "-shm"):
        shutil.copy(config / ("app.db" + ending), host.place / ("app.db" + ending))
    connection.close()
    for ending in ("", "-wal", "-shm"):
        shutil.copy(host.place / ("app.db" + ending), config / ("app.db" + ending))
    return host, snapshot, before


def put_back_and_die(host, snapshot, number):
    """Call put_back in a process of its own that is killed before its change `number`; whether it was."""
    child = os.fork()
    if child == 0:
        try:
            left = [number]

            def deadly(function):
                def call(*arguments, **options):
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return function(*arguments, **options)

                return call

            for name in CHANGES:
                setattr(os, name, deadly(getattr(os, name)))
            host.put_back(snapshot)
        finally:
            os._exit(0)
    _pid, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["kept on the same file system", "kept on another"])
def test_killed_anywhere(tmp_path, monkeypatch, elsewhere):
    if elsewhere:
        # As with very many files, which are synced at once at the end.
        monkeypatch.setattr(snapshot_files, "SYNCED_SINGLY", 0)
    # Syncing to a disk costs time there: one of three, all of them in `make test-long`.
    step = 3 if elsewhere and os.environ.get("MEDIASTACK_TEST_LONG") != "1" else 1
    # In memory, where syncing costs nothing.
    work = pathlib.Path(tempfile.mkdtemp(prefix="mediastack-killed-", dir="/dev/shm"))
    try:
        if elsewhere and work.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no file system of its own here")
        template, snapshot, before = scene(work / "template")
        before = {path: about[:5] if path.endswith(".db") else about for path, about in before.items()}
        present = contents(work / "template/config/app")
        # What it is to be in the end, by a run that nobody disturbs.
        place, host = work / "run", None
        expected, number, points = None, 10**9, 0
        while True:
            subprocess.run(["cp", "-a", work / "template", place], check=True)
            host = Host(place)
            host.services = {
                "app": dict(template.services["app"], config_dir=str(place / "config/app")),
            }
            if elsewhere:
                host.aside = tmp_path / "aside"
            same = host.store.get(snapshot.id)
            killed = put_back_and_die(host, same, number)
            if expected is None:
                assert not killed
            else:
                host.put_back(same)
            after = tree(place / "config/app")
            # The time of what is not in the snapshot is nobody's.
            for each in (after, before):
                for path in (".", "Library"):
                    each[path] = each[path][:4]
            assert sorted(after) == sorted(before)
            # A database is the same one, not the same bytes.
            for path, about in before.items():
                assert after[path][: 5 if path.endswith(".db") else 6] == about, (number, path)
            kept = contents(host.aside / "app")
            expected = expected or (after, kept)
            assert after == expected[0], f"killed at change {number}"
            # Nothing is lost: what was there is there still, or kept.
            for path, content in present.items():
                assert content in (contents(place / "config/app").get(path), kept.get(path)), (number, path)
            assert sorted(kept) == sorted(expected[1]), f"killed at change {number}"
            assert not [path for path in [*after, *kept] if snapshot_files.TEMPORARY_PREFIX in path]
            assert rows(place / "config/app/app.db") == ["old"]
            assert rows(host.aside / "app/app.db") == ["old", "newer"]
            assert same.verify() == []
            shutil.rmtree(host.aside)
            shutil.rmtree(place)
            if number == 10**9:
                number = 0
            elif not killed:
                break
            else:
                number, points = number + step, points + 1
        assert points > 60, points
        print(f"killed at {points} points")
    finally:
        shutil.rmtree(work, ignore_errors=True)
