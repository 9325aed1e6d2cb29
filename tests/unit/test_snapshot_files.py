# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is taken of a config directory, and what comes back."""

from __future__ import annotations

import os
import socket
import stat

import pytest
from snapshot_world import Host, contents, tree

from ansible_collections.homelab.mediastack.plugins.module_utils import snapshot_files, snapshot_size
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_store import SnapshotError

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="owners can be changed by root only")


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_a_directory_comes_back_as_it_was(host):
    config = host.service("plex", "copy", ["Library/Application Support/Plex Media Server"])
    library = config / "Library/Application Support/Plex Media Server"
    (library / "empty").mkdir(parents=True)
    (library / "empty").chmod(0o700)
    names = [b"two\nlines", "Ünïcode 映画".encode(), b"not\xffutf8", b" spaces ", b"-dash", b"x" * 255]
    for name in names:
        path = os.path.join(os.fsencode(library), name)
        with open(path, "wb") as handle:
            handle.write(name)
    (library / "run me").write_text("#!/bin/sh")
    (library / "run me").chmod(0o751)
    os.symlink("/etc/passwd", library / "out")
    os.symlink("empty", library / "in")
    os.utime(library / "run me", ns=(1, 1234567890123456789))
    if os.geteuid() == 0:
        os.chown(library / "run me", 1234, 2345)
        os.chown(library / "empty", 1234, 2345)
        os.chown(library / "out", 77, 88, follow_symlinks=False)
    os.utime(library, ns=(1, 987654321000000000))
    before = tree(library)
    snapshot = host.take()
    assert snapshot.verify() == []

    for path in library.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    (library / "new").write_text("of a newer version")
    os.chmod(library, 0o755)
    host.put_back(snapshot)
    assert tree(library) == before
    kept = host.aside / "plex" / library.relative_to(config)
    assert contents(kept) == {"new": b"of a newer version"}


def test_what_is_outside_of_the_paths_is_never_touched(host):
    config = host.service("sonarr", "copy", ["config.xml", "deep/er"])
    (config / "deep/er").mkdir(parents=True)
    (config / "config.xml").write_text("old")
    snapshot = host.take()
    for name in ("logs.txt", "config.xml.bak", "deep/other"):
        (config / name).write_text("mine")
    (config / "deep").chmod(0o711)
    (config / "config.xml").write_text("new")
    host.put_back(snapshot)
    assert contents(config) == {
        "config.xml": b"old",
        "logs.txt": b"mine",
        "config.xml.bak": b"mine",
        "deep/other": b"mine",
    }
    assert stat.S_IMODE((config / "deep").stat().st_mode) == 0o711
    assert contents(host.aside) == {"sonarr/config.xml": b"new"}


def test_everything_in_a_snapshot_is_for_root_alone(host):
    config = host.service("a", "copy", ["."])
    (config / "open").mkdir()
    (config / "open").chmod(0o777)
    (config / "open/file").write_text("x")
    (config / "open/file").chmod(0o666)
    snapshot = host.take()
    for place, directories, files in os.walk(host.store.root):
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o700, place
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(place, name)).st_mode) == 0o600, name
        assert directories or files
    entries = {entry["path"]: entry["mode"] for entry in snapshot.services["a"]["files"]}
    assert entries == {"open/file": 0o666}


def test_what_was_not_there_is_not_there_afterwards(host):
    config = host.service("new", "copy", ["settings.json", "db/main.db", "data"])
    host.service("never", "copy", ["."], made=False)
    snapshot = host.take()
    assert snapshot.services["new"]["absent"] == ["settings.json", "db/main.db", "data"]
    assert snapshot.services["never"]["absent"] == ["."]
    (config / "settings.json").write_text("{}")
    (config / "db").mkdir()
    for name in ("main.db", "main.db-wal", "main.db-shm", "other.db"):
        (config / "db" / name).write_text(name)
    (config / "data/x").mkdir(parents=True)
    never = host.place / "config/never"
    (never / "y").mkdir(parents=True)
    (never / "y/z").write_text("z")
    host.put_back(snapshot)
    assert contents(config) == {"db/other.db": b"other.db"}
    assert list(never.iterdir()) == []
    assert (host.aside / "new/data/x").is_dir()
    assert contents(host.aside) == {
        "new/settings.json": b"{}",
        "new/db/main.db": b"main.db",
        "new/db/main.db-wal": b"main.db-wal",
        "new/db/main.db-shm": b"main.db-shm",
        "never/y/z": b"z",
    }


def test_special_files_are_left_out_and_named(host):
    config = host.service("a", "copy", ["."])
    os.mkfifo(config / "fifo")
    os.chdir(config)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    (config / "file").write_text("x")
    snapshot = host.take()
    listener.close()
    assert sorted(snapshot.services["a"]["notes"]) == [
        "fifo is not in it: it is neither file nor directory",
        "socket is not in it: it is neither file nor directory",
    ]
    assert [entry["path"] for entry in snapshot.services["a"]["files"]] == ["file"]


def test_a_link_on_the_way_is_not_followed(host):
    outside = host.place / "outside"
    outside.mkdir()
    (outside / "secret").write_text("s")
    config = host.service("a", "copy", ["data/secret", "dir"])
    os.symlink(outside, config / "data")
    os.symlink(outside, config / "dir")
    snapshot = host.take()
    record = snapshot.services["a"]
    assert record["notes"] == ["data/secret is not in it: data is a symbolic link"]
    assert record["files"] == [] and [entry["target"] for entry in record["links"]] == [str(outside)]
    host.put_back(snapshot)
    assert contents(outside) == {"secret": b"s"}


def test_put_back_does_not_write_through_a_link(host):
    config = host.service("a", "copy", ["data", "file"])
    (config / "data").mkdir()
    (config / "data/file").write_text("old")
    (config / "file").write_text("old")
    snapshot = host.take()
    outside = host.place / "outside"
    outside.mkdir()
    (outside / "file").write_text("of the host")
    (config / "data/file").unlink()
    (config / "data").rmdir()
    (config / "file").unlink()
    os.symlink(outside, config / "data")
    os.symlink(outside / "file", config / "file")
    host.put_back(snapshot)
    assert contents(outside) == {"file": b"of the host"}
    assert contents(config) == {"data/file": b"old", "file": b"old"}
    assert not (config / "data").is_symlink() and (host.aside / "a/data").is_symlink()


def test_a_link_that_appears_at_the_last_moment_is_not_followed(host, monkeypatch):
    """An app that is up, in another container, may put it there between our look and our step."""
    outside = host.place / "outside"
    outside.mkdir()
    (outside / "file").write_text("of the host")
    config = host.service("a", "copy", ["above/data"])
    (config / "above/data").mkdir(parents=True)
    (config / "above/data/file").write_text("old")
    snapshot = host.take()
    (config / "above/data/file").write_text("new")
    look = snapshot_files.look

    def late(parent, name):
        info = look(parent, name)
        if name == swapped and not (config / "above").is_symlink() and not (config / "above/data").is_symlink():
            path = config / ("above" if swapped == "above" else "above/data")
            path.rename(host.place / ("was-" + swapped))
            os.symlink(outside, path)
        return info

    for swapped in ("data", "above"):
        monkeypatch.setattr(snapshot_files, "look", late)
        with pytest.raises(SnapshotError, match="cannot put a back from .*: Not a directory"):
            host.put_back(snapshot)
        assert contents(outside) == {"file": b"of the host"}
        (config / ("above" if swapped == "above" else "above/data")).unlink()
        (host.place / ("was-" + swapped)).rename(config / ("above" if swapped == "above" else "above/data"))
        taken = host.take()
        assert taken.services["a"]["files"] == []
        (config / ("above" if swapped == "above" else "above/data")).unlink()
        (host.place / ("was-" + swapped)).rename(config / ("above" if swapped == "above" else "above/data"))
        monkeypatch.undo()


@AS_ROOT
def test_a_file_with_another_name_elsewhere_keeps_its_owner(host):
    config = host.service("a", "copy", ["file"])
    (config / "file").write_text("same")
    (config / "file").chmod(0o644)
    os.chown(config / "file", 1234, 1234)
    snapshot = host.take()
    other = host.place / "other"
    other.write_text("same")
    other.chmod(0o600)
    (config / "file").unlink()
    os.link(other, config / "file")
    host.put_back(snapshot)
    assert (other.stat().st_uid, stat.S_IMODE(other.stat().st_mode)) == (0, 0o600)
    assert ((config / "file").stat().st_uid, (config / "file").read_text()) == (1234, "same")


def test_kinds_that_changed(host):
    config = host.service("a", "copy", ["."])
    (config / "was-dir").mkdir()
    (config / "was-dir/x").write_text("x")
    (config / "was-file").write_text("f")
    os.symlink("was-file", config / "was-link")
    before = tree(config)
    snapshot = host.take()
    (config / "was-dir/x").unlink()
    (config / "was-dir").rmdir()
    (config / "was-dir").write_text("now a file")
    (config / "was-file").unlink()
    (config / "was-file").mkdir()
    (config / "was-file/y").write_text("y")
    (config / "was-link").unlink()
    (config / "was-link").write_text("now a file")
    host.put_back(snapshot)
    assert tree(config) == before
    assert contents(host.aside / "a") == {
        "was-dir": b"now a file",
        "was-file/y": b"y",
        "was-link": b"now a file",
    }


def test_put_back_twice_moves_nothing_twice(host):
    config = host.service("a", "copy", ["."])
    (config / "keep").write_text("k")
    snapshot = host.take()
    (config / "extra").mkdir()
    (config / "extra/1").write_text("1")
    host.put_back(snapshot)
    first = contents(host.aside)
    inode = (config / "keep").stat().st_ino
    host.put_back(snapshot)
    assert contents(host.aside) == first == {"a/extra/1": b"1"}
    assert (config / "keep").stat().st_ino == inode


def test_what_came_between_two_restores_is_kept_beside_the_first(host):
    config = host.service("a", "copy", ["."])
    (config / "f").write_text("old")
    snapshot = host.take()
    for turn in ("first", "second", "third"):
        (config / "f").write_text(turn)
        (config / "d").mkdir()
        (config / "d/g").write_text(turn)
        host.put_back(snapshot)
    assert contents(host.aside / "a") == {
        "f": b"first",
        "f~2": b"second",
        "f~3": b"third",
        "d/g": b"first",
        "d/g~2": b"second",
        "d/g~3": b"third",
    }


def test_the_store_and_what_is_kept_aside_may_lie_in_the_config_directory(host):
    config = host.service("a", "copy", ["."])
    (config / "f").write_text("old")
    host.store.root = str(config / "backups")
    host.aside = config / "kept" / "here"
    snapshot = host.take()
    assert [entry["path"] for entry in snapshot.services["a"]["files"]] == ["f"]
    (config / "f").write_text("new")
    (config / "g").write_text("new")
    for _turn in range(2):
        host.put_back(snapshot)
    assert (config / "f").read_text() == "old"
    assert contents(host.aside / "a") == {"f": b"new", "g": b"new"}
    assert snapshot.verify() == []


@pytest.mark.parametrize("path", ["/etc", "../other", "a/../../b", "", ".."])
def test_a_path_that_leads_out_is_refused(host, path):
    host.service("a", "copy", [path])
    with pytest.raises(SnapshotError, match=r"snapshot\.paths of a names .*below its config directory"):
        host.take()
    with pytest.raises(SnapshotError):
        snapshot_size.needed(host.services, ["a"])


def test_paths_inside_another_are_taken_once():
    assert snapshot_files.normal(["a/b", "a", "./a/", "c//d", "ab"], "x") == ["a", "c/d", "ab"]
    assert snapshot_files.normal(["a", "."], "x") == ["."]


def test_a_config_directory_that_is_gone_is_made_as_it_was(host):
    config = host.service("a", "copy", ["f"])
    (config / "f").write_text("f")
    config.chmod(0o2775)
    if os.geteuid() == 0:
        os.chown(config, 1234, 2345)
        config.chmod(0o2775)
    about = config.stat()
    snapshot = host.take()
    (config / "f").unlink()
    config.rmdir()
    host.put_back(snapshot)
    after = config.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (about.st_mode, about.st_uid, about.st_gid)
    assert contents(config) == {"f": b"f"}


def test_a_damaged_copy_replaces_nothing(host):
    config = host.service("a", "copy", ["f"])
    (config / "f").write_text("good")
    snapshot = host.take()
    (config / "f").write_text("newer")
    with open(os.path.join(snapshot.data("a"), "f"), "w", encoding="utf-8") as handle:
        handle.write("rott")
    assert [line.split(": ", 1)[1] for line in snapshot.verify()] == ["f of a is damaged: its checksum is another one"]
    with pytest.raises(SnapshotError, match="f is damaged: its checksum is another one.*use another snapshot"):
        host.put_back(snapshot)
    assert contents(config) == {"f": b"newer"} and contents(host.aside) == {}


def test_a_file_that_changes_while_it_is_read_is_read_again(host, monkeypatch):
    config = host.service("a", "copy", ["f"])
    (config / "f").write_text("one")
    pour, turns = snapshot_files.pour, []

    def busy(source, target=None):
        result = pour(source, target)
        if target is not None:
            turns.append(1)
            if len(turns) <= changes:
                (config / "f").write_text("changed %d" % len(turns))
        return result

    monkeypatch.setattr(snapshot_files, "pour", busy)
    changes = 1
    snapshot = host.take()
    assert len(turns) == 2 and snapshot.services["a"]["notes"] == []
    assert contents(snapshot.data("a")) == {"f": b"changed 1"}
    turns.clear()
    changes = 9
    snapshot = host.take()
    assert len(turns) == 2 and snapshot.services["a"]["notes"] == ["f changed while it was read"]
    assert snapshot.verify() == []


def test_files_that_vanish_meanwhile_are_fine(host, monkeypatch):
    config = host.service("a", "copy", ["."])
    for name in ("1", "2", "3"):
        (config / name).write_text(name)
    (config / "d").mkdir()
    listed = os.listdir

    def late(where):
        names = listed(where)
        if "2" in names:
            (config / "2").unlink()
            (config / "d").rmdir()
        return names

    monkeypatch.setattr(snapshot_files.os, "listdir", late)
    snapshot = host.take()
    monkeypatch.undo()
    assert contents(snapshot.data("a")) == {"1": b"1", "3": b"3"}


def test_unchanged_files_of_two_snapshots_take_room_once(host):
    config = host.service("a", "copy", ["."])
    big, other = os.urandom(100_000), os.urandom(50_000)
    (config / "big").write_bytes(big)
    (config / "changes").write_bytes(other)
    (config / "small").write_text("s")
    first = host.take()
    assert snapshot_size.needed(host.services, ["a"]) > 150_000
    assert snapshot_size.needed(host.services, ["a"], host.store) < 20_000
    (config / "changes").write_bytes(os.urandom(50_000))
    second = host.take()

    def inode(snapshot, name):
        return os.stat(os.path.join(snapshot.data("a"), name)).st_ino

    assert inode(first, "big") == inode(second, "big")
    assert inode(first, "changes") != inode(second, "changes")
    assert inode(first, "small") != inode(second, "small")
    host.store.prune("backup", 1)
    assert second.verify() == [] and contents(second.data("a"))["big"] == big
    (config / "big").write_bytes(b"gone")
    host.put_back(second)
    assert (config / "big").read_bytes() == big
    assert (config / "big").stat().st_nlink == 1


def test_a_damaged_copy_is_not_shared(host):
    config = host.service("a", "copy", ["big"])
    (config / "big").write_bytes(b"x" * 100_000)
    first = host.take()
    copy = os.path.join(first.data("a"), "big")
    with open(copy, "r+b") as handle:
        handle.write(b"y")
    second = host.take()
    assert first.verify() and second.verify() == []


def test_same_size_and_time_but_other_bytes_is_not_shared(host):
    config = host.service("a", "copy", ["big"])
    (config / "big").write_bytes(b"x" * 100_000)
    os.utime(config / "big", ns=(5, 5))
    host.take()
    (config / "big").write_bytes(b"y" * 100_000)
    os.utime(config / "big", ns=(5, 5))
    second = host.take()
    assert contents(second.data("a")) == {"big": b"y" * 100_000}


def test_needed_is_not_less_than_what_is_taken(host):
    config = host.service("a", "copy", ["."])
    for number in range(50):
        (config / ("f%d" % number)).write_bytes(os.urandom(number * 997))
    needed = snapshot_size.needed(host.services, ["a", "unknown"])
    snapshot = host.take()
    used = sum(
        os.lstat(os.path.join(place, name)).st_blocks * 512
        for place, directories, files in os.walk(snapshot.path)
        for name in directories + files
    )
    assert used <= needed <= used * 2
    assert snapshot.size == sum(number * 997 for number in range(50))
