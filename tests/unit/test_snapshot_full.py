# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks that are full: of the snapshots, of the configuration, of what is kept aside."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from snapshot_world import Host, contents, database, rows, tree

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_restore, snapshot_size
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError, Store

SIZE = 2 * 1024 * 1024


@pytest.fixture
def small(tmp_path):
    """A directory on a disk of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=%d" % SIZE, "mediastack-test", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no small disk can be mounted here: %s" % done.stderr.strip())
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def guess_nothing(monkeypatch):
    """Let everything begin, so that the disk is full in the middle."""
    real, first = snapshot_size.needed, [True]

    def needed(*words):
        return 0 if first and first.pop() else real(*words)

    monkeypatch.setattr(snapshot_size, "needed", needed)


def test_refused_before_anything_is_written(host, small):
    host.store = Store(str(small / "b"))
    config = host.service("plex", "copy", ["."])
    (config / "big").write_bytes(os.urandom(3 * 1024 * 1024))
    with pytest.raises(SnapshotError) as caught:
        host.take()
    text = str(caught.value)
    assert "a snapshot of plex does not fit on the disk of %s/b: 3.1" % small in text
    assert "MB are needed, 2.1 MB are free. Nothing of it was kept." in text and "mediastack_backup_path" in text
    assert os.listdir(small / "b") == []


@pytest.mark.parametrize("what", ["a file", "a database", "a database that is open", "the manifest"])
def test_full_in_the_middle_leaves_nothing(host, small, monkeypatch, what):
    host.store = Store(str(small / "b"))
    first = host.service("first", "copy", ["."])
    (first / "f").write_text("f")
    config = host.service("app", "sqlite", ["."])
    held = None
    if what == "a file":
        (config / "big").write_bytes(os.urandom(3 * 1024 * 1024))
    elif what == "the manifest":
        (small / "others").write_bytes(os.urandom(SIZE - 400_000))
        for number in range(3000):
            (config / ("f%d" % number)).touch()
    else:
        database(config / "app.db", ["x" * 1000] * 3000, "DELETE" if what == "a database" else "WAL")
        if what == "a database that is open":
            import sqlite3

            held = sqlite3.connect(config / "app.db", isolation_level=None)
            held.execute("INSERT INTO t VALUES ('open')")
    before = contents(config)
    guess_nothing(monkeypatch)
    draft = host.store.begin("backup", {})
    with pytest.raises(SnapshotError, match=r"does not fit on the disk of .*/b: .* needed, .* free\..*then run again"):
        draft.take_running(host.services, list(host.services), host.project, None)
        draft.take_stopped(host.services, ["first"])
        draft.finish()
    assert os.listdir(small / "b") == []
    # (What stands in the -shm is who reads at the moment.)
    after = contents(config)
    assert {name: after[name] for name in after if name != "app.db-shm"} == {
        name: before[name] for name in before if name != "app.db-shm"
    }
    if held:
        held.close()


def test_put_back_is_refused_before_anything_is_touched(host, small):
    host.services["app"] = {"config_dir": str(small / "app"), "snapshot": {"method": "copy", "paths": ["."]}}
    (small / "app").mkdir()
    (small / "app/f").write_bytes(b"o" * 1024 * 1024)
    snapshot = host.take()
    (small / "app/f").write_bytes(b"n" * 1500 * 1024)
    before = tree(small / "app")
    with pytest.raises(
        SnapshotError, match=r"app cannot be put back from .*: 1\.05 MB are needed on the disk of .*app, 5"
    ):
        host.put_back(snapshot)
    assert tree(small / "app") == before and not host.aside.exists()


def test_put_back_goes_on_when_there_is_room_again(host, small, monkeypatch):
    config = small / "app"
    host.services["app"] = {"config_dir": str(config), "snapshot": {"method": "sqlite", "paths": ["."]}}
    host.aside = small / "aside"
    config.mkdir()
    (config / "a").write_bytes(b"o" * 400_000)
    database(config / "b.db", ["old"])
    (config / "c").write_bytes(b"o" * 400_000)
    snapshot = host.take()
    old = {name: content for name, content in contents(config).items() if name != "b.db"}
    for name in ("a", "c"):
        (config / name).write_bytes(b"n" * 500_000)
    database(config / "b.db", ["newer"])
    newer = contents(config)
    (small / "others").write_bytes(b"x" * 500_000)
    monkeypatch.setattr(snapshot_restore, "check_room", lambda *_words: None)
    with pytest.raises(
        SnapshotError, match=r"is full: at most .* are needed, .* are free.*it goes on where it stopped"
    ):
        host.put_back(snapshot)
    # Whatever was replaced is kept, whatever was not is where it was.
    assert rows(config / "b.db") == ["old"]
    for path, content in newer.items():
        assert content in (contents(config).get(path), contents(host.aside / "app").get(path))
    (small / "others").unlink()
    host.put_back(snapshot)
    assert {name: content for name, content in contents(config).items() if name != "b.db"} == old
    assert rows(config / "b.db") == ["old"]
    assert contents(host.aside / "app") == newer


def test_the_disk_of_what_is_kept_aside_is_full(host, small):
    config = host.service("app", "copy", ["."])
    (config / "a").write_bytes(b"o")
    snapshot = host.take()
    (config / "a").write_bytes(b"n" * 3_000_000)
    host.aside = small / "aside"
    with pytest.raises(SnapshotError, match=r"\(or of .*small/aside\) is full"):
        host.put_back(snapshot)
    assert contents(config) == {"a": b"n" * 3_000_000}
    assert contents(host.aside) == {}
    host.aside = pathlib.Path(host.place, "aside")
    host.put_back(snapshot)
    assert contents(config) == {"a": b"o"}
