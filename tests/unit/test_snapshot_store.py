# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory of all snapshots: what is whole, what goes, what is told of damage."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import subprocess

import pytest
from snapshot_world import Host, Project, contents, database, python, rows

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_files
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError, Store


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    config = host.service("app", "copy", ["f"])
    (config / "f").write_text("f")
    return host


def test_before_the_first_one(tmp_path):
    store = Store(str(tmp_path / "none"))
    assert store.all() == [] and store.prune("backup", 3) == []
    with pytest.raises(SnapshotError, match="no snapshot 'x' in .*none: there is none"):
        store.get("x")
    assert not (tmp_path / "none").exists()


def test_names_and_what_is_told(host):
    began = datetime.datetime.now(datetime.UTC)
    snapshot = host.take(kind="update")
    assert re.fullmatch(r"\d{8}T\d{6}Z-update-[0-9a-f]{4}", snapshot.id)
    assert abs(snapshot.taken - began) < datetime.timedelta(seconds=30)
    again = host.store.get(snapshot.id)
    assert (again.kind, again.about, list(again.services)) == ("update", {"why": "test"}, ["app"])
    manifest = json.loads(pathlib.Path(snapshot.path, "manifest.json").read_text())
    assert set(manifest) == {"schema", "id", "kind", "taken", "project", "host", "about", "services"}
    assert set(manifest["services"]["app"]["files"][0]) == {"path", "size", "mode", "uid", "gid", "mtime", "sha256"}
    assert manifest["project"] == "mediastack-test"
    with pytest.raises(SnapshotError, match="no snapshot 'other'.*there are " + snapshot.id):
        host.store.get("other")


def test_newest_first_also_within_a_second(host):
    taken = [host.take(kind=kind) for kind in ("backup", "update", "backup", "backup")]
    assert [one.id for one in host.store.all()] == [one.id for one in reversed(taken)]
    assert [one.id for one in host.store.all("update")] == [taken[1].id]


def test_a_clock_that_was_put_back_is_told_as_it_is(host):
    future = host.take()
    renamed = "20991231T235959Z" + future.id[16:]
    os.rename(future.path, os.path.join(host.store.root, renamed))
    assert abs(host.take().taken - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=30)


def test_prune_keeps_the_newest_of_a_kind_and_the_protected(host):
    backups = [host.take().id for _turn in range(5)]
    update = host.take(kind="update").id
    assert host.store.prune("backup", 2, protected=(backups[0],)) == [backups[2], backups[1]]
    assert [one.id for one in host.store.all()] == [update, backups[4], backups[3], backups[0]]
    assert host.store.prune("update", 0) == [update]
    assert sorted(os.listdir(host.store.root)) == sorted([backups[4], backups[3], backups[0]])


def lacking(host, **about):
    """A backup as a run writes it of which something is missing."""
    with host.store.begin("backup", about) as draft:
        draft.take_stopped(host.services, ["app"])
        return draft.finish()


def test_nights_that_lack_something_push_no_complete_backup_out(host):
    complete = [host.take().id for _night in range(3)]
    nights = []
    for _night in range(6):
        nights.append(lacking(host, left_out={"sonarr": "it broke"}, missing={"sonarr": "it broke"}).id)
        host.store.prune("backup", 3)
    assert [one.id for one in host.store.all()] == [*nights[:2:-1], *complete[::-1]]
    last = host.take().id
    assert host.store.prune("backup", 3) == [complete[0]]
    for _night in range(2):
        last = host.take().id
        host.store.prune("backup", 3)
    # Those older than the oldest complete one are of no use any more.
    assert len(host.store.all()) == 3 and host.store.all()[0].id == last


def test_with_too_few_complete_ones_older_ones_that_lack_something_stay(host):
    nights = [lacking(host, left_out={"sonarr": "it broke"}).id for _night in range(4)]
    complete = host.take().id
    assert host.store.prune("backup", 2) == nights[1::-1]
    assert [one.id for one in host.store.all()] == [complete, nights[3], nights[2]]


def test_what_a_backup_lacks_is_told_and_what_was_held_stopped_is_not_missed(host):
    left_out = {"postgresql": "it does not run", "sonarr": "it broke"}
    one = lacking(host, left_out=left_out, missing={"sonarr": "it broke"})
    assert (one.left_out, one.missing) == (left_out, {"sonarr": "it broke"})
    held = lacking(host, left_out={"postgresql": "it does not run"}, missing={})
    assert held.left_out and held.missing == {}
    # A backup of before this was recorded, and a snapshot of an update.
    assert lacking(host, left_out={"sonarr": "it broke"}).missing == {"sonarr": "it broke"}
    assert host.take().missing == {}


def test_one_that_cannot_be_read_takes_no_complete_ones_place(host):
    taken = [host.take() for _night in range(3)]
    pathlib.Path(taken[2].path, "manifest.json").write_text("[]")
    assert host.store.prune("backup", 2) == []
    assert host.store.prune("backup", 1) == [taken[0].id]


def test_a_draft_is_no_snapshot_and_dropped_leaves_nothing(host):
    draft = host.store.begin("backup", {})
    draft.take_running(host.services, ["app"], host.project, None)
    draft.take_stopped(host.services, ["app"])
    assert host.store.all() == []
    # Prune leaves a living one alone.
    host.store.prune("backup", 0)
    assert os.path.isdir(draft.path)
    draft.drop()
    draft.drop()
    assert os.listdir(host.store.root) == []
    with host.store.begin("backup", {}):
        pass
    assert os.listdir(host.store.root) == []


KILLED = """
import os, signal, sys
from snapshot_world import Host
host = Host(sys.argv[1])
host.service("app", "copy", ["f"])
draft = host.store.begin("backup", {})
draft.take_stopped(host.services, ["app"])
print("taken", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("by", ["prune", "begin"])
def test_what_a_killed_run_left_goes_with_the_next_one(host, by):
    assert python(KILLED, host.place, stdout=subprocess.PIPE).communicate()[0] == "taken\n"
    (left,) = os.listdir(host.store.root)
    assert left.startswith(".") and left.endswith(".tmp") and host.store.all() == []
    if by == "prune":
        host.store.prune("backup", 3)
    else:
        host.store.begin("backup", {}).drop()
    assert os.listdir(host.store.root) == []


def test_an_encrypted_copy_that_a_killed_run_left_goes_after_a_day(host):
    fresh = f".{host.take().id}.tar.age.sealed"
    root = pathlib.Path(host.store.root)
    for name in (fresh, ".20200101T000000Z-backup-0000.tar.age.sealed", ".mine.sealed"):
        (root / name).write_text("x")
    host.store.prune("backup", 3)
    assert sorted(path.name for path in root.glob(".*")) == sorted([fresh, ".mine.sealed"])


def test_a_directory_without_a_manifest_is_no_snapshot(host):
    one = host.take()
    os.mkdir(os.path.join(host.store.root, "20200101T000000Z-backup-0000"))
    os.mkdir(os.path.join(host.store.root, "something"))
    # Nor is one whose name tells no time.
    no_time = pathlib.Path(host.store.root, "20201399T000000Z-backup-0000")
    no_time.mkdir()
    (no_time / "manifest.json").write_text("{}")
    assert [snapshot.id for snapshot in host.store.all()] == [one.id]


def test_a_damaged_manifest_is_told(host):
    one = host.take()
    path = pathlib.Path(one.path, "manifest.json")
    whole = path.read_text()
    for text in (whole[:-20], "[]", whole.replace(one.id, "20200101T000000Z-backup-0000"), '{"schema": 1}'):
        path.write_text(text)
        (problem,) = host.store.get(one.id).verify()
        assert "manifest.json is damaged" in problem and "use another snapshot" in problem
    path.write_text(whole.replace('"schema": 1', '"schema": 2'))
    assert "use the version of the collection that took it" in host.store.get(one.id).verify()[0]


def test_verify_names_what_is_wrong(host):
    config = host.service("sonarr", "sqlite", ["."])
    database(config / "sonarr.db", ["row %d" % number for number in range(5000)])
    for name in ("gone", "shorter", "other"):
        (config / name).write_text("12345")
    snapshot = host.take()
    data = pathlib.Path(snapshot.data("sonarr"))
    assert snapshot.verify() == []
    (data / "gone").unlink()
    (data / "shorter").write_text("1234")
    (data / "other").write_text("54321")
    # A page of the database is lost, and whoever did that was careful with the checksum.
    with open(data / "sonarr.db", "r+b") as handle:
        handle.seek(3 * 4096)
        handle.write(b"\xff" * 4096)
    manifest = pathlib.Path(snapshot.path, "manifest.json")
    content = json.loads(manifest.read_text())
    for entry in content["services"]["sonarr"]["files"]:
        if entry["path"] == "sonarr.db":
            entry["sha256"] = snapshot_files.checksum(str(data / "sonarr.db"))[1]
    manifest.write_text(json.dumps(content))
    found = host.store.get(snapshot.id).verify()
    assert len(found) == 4
    text = "\n".join(found)
    assert "gone of sonarr is missing" in text
    assert "shorter of sonarr has 4 bytes instead of 5" in text
    assert "other of sonarr is damaged" in text
    assert re.search(r"sonarr\.db of sonarr: .*(malformed|btree|Tree|page)", text), text


def test_what_a_draft_says_it_needs_a_stop_for(host):
    for name, method, paths in (
        ("sonarr", "sqlite", ["sonarr.db"]),
        ("gluetun", "copy", ["auth"]),
        ("flaresolverr", "copy", []),
        ("postgresql", "pg_dump", ["db"]),
    ):
        config = host.service(name, method, paths)
    host.services["bare"] = {"snapshot": None, "config_dir": None}
    host.services["nowhere"] = {"snapshot": {"method": "copy", "paths": ["."]}, "config_dir": None}
    database(host.place / "config/sonarr/sonarr.db")
    names = list(host.services)
    with host.store.begin("backup", {}) as draft:
        assert draft.needs_stop(host.services, names) == ["app", "gluetun"]
        some = [name for name in names if name != "postgresql"]
        draft.take_running(host.services, some, Project(running=["sonarr", "gluetun"]), None)
        # What does not run anyway is in it already.
        assert draft.needs_stop(host.services, names) == ["gluetun"]
        assert set(draft.services) == {"sonarr", "flaresolverr", "bare", "nowhere", "app"}
        with pytest.raises(SnapshotError, match="postgresql: its databases are dumped while it runs"):
            draft.take_stopped(host.services, ["postgresql"])
        with pytest.raises(SnapshotError, match="no service 'sonar' in this stack: there are app, "):
            draft.take_stopped(host.services, ["sonar"])
        draft.take_stopped(host.services, ["gluetun", "sonarr"])
        snapshot = draft.finish()
    assert snapshot.services["flaresolverr"]["files"] == []
    assert config.name == "postgresql"


def test_without_the_sqlite3_module_the_app_is_stopped(host, monkeypatch):
    from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_sqlite

    config = host.service("sonarr", "sqlite", ["sonarr.db"])
    database(config / "sonarr.db", ["a", "b"])
    monkeypatch.setattr(snapshot_sqlite, "sqlite3", None)
    monkeypatch.setattr(snapshot_sqlite, "AVAILABLE", False)
    with host.store.begin("backup", {}) as draft:
        draft.take_running(host.services, ["sonarr"], host.project, None)
        assert draft.needs_stop(host.services, ["sonarr"]) == ["sonarr"]
        draft.take_stopped(host.services, ["sonarr"])
        snapshot = draft.finish()
    assert snapshot.services["sonarr"]["databases"] == [
        {"path": "sonarr.db", "check": "not checked: this Python has no sqlite3 module"}
    ]
    monkeypatch.undo()
    assert snapshot.verify() == []
    (config / "sonarr.db").unlink()
    host.put_back(snapshot, "sonarr")
    assert rows(config / "sonarr.db") == ["a", "b"]


def test_one_service_that_fails_takes_none_with_it(host):
    config = host.service("bad", "sqlite", ["bad.db"])
    (config / "bad.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4080)
    with host.store.begin("backup", {}) as draft:
        with pytest.raises(SnapshotError, match="bad: a database cannot be taken: .*bad.db") as caught:
            draft.take_stopped(host.services, ["app", "bad"])
        assert caught.value.service == "bad"
        assert list(draft.services) == ["app"]
        snapshot = draft.finish()
    assert os.listdir(os.path.join(snapshot.path, "data")) == ["app"] and snapshot.verify() == []
    with pytest.raises(SnapshotError, match="does not hold bad: it holds app") as caught:
        host.put_back(snapshot, "app", "bad")


def test_leave_out(host):
    with host.store.begin("backup", {}) as draft:
        draft.take_stopped(host.services, ["app"])
        draft.leave_out("app")
        draft.leave_out("never there")
        assert draft.services == {} and os.listdir(os.path.join(draft.path, "data")) == []
        draft.take_stopped(host.services, ["app"])
        assert contents(draft.finish().data("app")) == {"f": b"f"}


def test_a_service_that_is_not_selected_any_more(host):
    snapshot = host.take()
    with pytest.raises(SnapshotError, match="app has no config directory in this stack"):
        snapshot.put_back({}, ["app"], str(host.aside))


def test_a_store_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(SnapshotError, match="cannot begin a snapshot in .*file/b.*move it away"):
        Store(str(tmp_path / "file" / "b")).begin("backup", {})
    with pytest.raises(SnapshotError, match="no kind of snapshot"):
        Store(str(tmp_path)).begin("../x", {})
