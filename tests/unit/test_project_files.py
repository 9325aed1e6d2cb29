# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written, left alone, kept aside and removed; exact in check mode; sound after an interruption."""

import contextlib
import json
import os
import stat

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, file_findings
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.project_files import FileSet, load_manifest
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import SecretStore

UID, GID = os.geteuid(), os.getegid()


class Stack:
    """A project on a disk, and the bundle for it."""

    def __init__(self, root):
        self.root = root
        self.project = root / "compose"
        self.bundle = {
            "project": {"name": "p", "path": str(self.project)},
            "identity": {"puid": UID, "pgid": GID, "umask": "002"},
            "paths": {
                "base": str(root),
                "config": str(root / "config"),
                "media": str(root / "media"),
                "downloads": str(root / "downloads"),
            },
            "directories": [],
            "files": [],
            "services": {},
        }
        self.secrets = {"pw": "top-secret-value"}

    def file(self, name, content, secret=False, mode="0644", **more):
        self.bundle["files"] = [entry for entry in self.bundle["files"] if entry["path"] != str(self.project / name)]
        self.bundle["files"].append(
            dict(
                {
                    "path": str(self.project / name),
                    "content": content,
                    "mode": mode,
                    "owner": UID,
                    "group": GID,
                    "secret": secret,
                },
                **more,
            )
        )
        return self.project / name

    def directory(self, name, mode="2775"):
        self.bundle["directories"].append({"path": str(self.root / name), "mode": mode, "owner": UID, "group": GID})
        return self.root / name

    def files(self):
        return FileSet(self.bundle, str(self.project))

    def plan(self, files=None):
        files = files or self.files()
        return files.plan(SecretStore(str(self.project)).tokens(self.secrets, "10.0.0.1"))

    def run(self):
        files = self.files()
        changes = self.plan(files)
        files.apply(changes)
        return summary(changes)

    def snapshot(self):
        found = {}
        for folder, _names, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as handle:
                    found[path] = (handle.read(), os.lstat(path).st_ino)
        return found


def summary(changes):
    return [(os.path.basename(change["path"]), change["action"]) for change in changes]


@pytest.fixture
def stack(tmp_path):
    return Stack(tmp_path)


def test_first_run_creates_and_the_second_changes_nothing(stack):
    stack.directory("config")
    stack.directory("config/sonarr")
    path = stack.file("compose.core.yml", "services: {}\n")
    env = stack.file(".env", 'P="@@mediastack:secret:pw@@"\n', secret=True, mode="0600")
    before = stack.snapshot()
    planned = summary(stack.plan())
    assert stack.snapshot() == before, "planning touched something"
    assert (
        stack.run()
        == planned
        == [
            ("config", "create"),
            ("sonarr", "create"),
            ("compose", "create"),
            (".env", "create"),
            ("compose.core.yml", "create"),
        ]
    )
    assert path.read_text() == "services: {}\n"
    assert env.read_text() == 'P="top-secret-value"\n'
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert stat.S_IMODE((stack.root / "config" / "sonarr").stat().st_mode) == 0o2775
    after = stack.snapshot()
    assert stack.run() == []
    assert stack.snapshot() == after, "the second run touched something"


def test_content_and_mode_changes_are_told_apart(stack):
    path = stack.file("a.txt", "one")
    stack.run()
    stack.file("a.txt", "two")
    assert stack.run() == [("a.txt", "change")]
    inode = path.stat().st_ino
    stack.file("a.txt", "two", mode="0600")
    assert stack.run() == [("a.txt", "mode")]
    assert path.stat().st_ino == inode, "a container that has it mounted would keep the old one"
    path.chmod(0o666)
    assert stack.run() == [("a.txt", "mode")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_longer_wanted_goes(stack):
    path = stack.file("compose.books.yml", "x")
    stack.file("keep", "y")
    stack.run()
    stack.bundle["files"] = stack.bundle["files"][1:]
    assert summary(stack.plan()) == [("compose.books.yml", "remove")]
    assert path.exists()
    stack.run()
    assert not path.exists()
    assert stack.run() == []


def test_an_edited_file_that_is_no_longer_wanted_is_kept_aside(stack):
    path = stack.file("compose.books.yml", "x")
    stack.run()
    path.write_text("x and my edit")
    stack.bundle["files"] = []
    assert stack.run() == [("compose.books.yml", "keep_aside")]
    assert not path.exists()
    (kept,) = stack.project.glob("compose.books.yml.kept-*")
    assert kept.read_text() == "x and my edit"
    assert stack.run() == []


def test_an_edit_of_a_wanted_file_is_kept_aside_too(stack):
    path = stack.file("a", "ours")
    stack.run()
    path.write_text("edited")
    assert stack.run() == [("a", "keep_aside"), ("a", "change")]
    assert path.read_text() == "ours"
    (kept,) = stack.project.glob("a.kept-*")
    assert kept.read_text() == "edited"


def test_a_file_of_somebody_else_is_kept_aside(stack):
    path = stack.file("compose.core.yml", "ours")
    stack.project.mkdir()
    path.write_text("by hand")
    assert stack.run() == [("compose.core.yml", "keep_aside"), ("compose.core.yml", "change")]
    (kept,) = stack.project.glob("*.kept-*")
    assert kept.read_text() == "by hand"


def test_an_equal_file_of_somebody_else_is_taken_over(stack):
    path = stack.file("a", "same")
    stack.project.mkdir()
    path.write_text("same")
    path.chmod(0o644)
    assert stack.run() == []
    assert str(path) in load_manifest(str(stack.project))["files"]


def test_a_link_in_the_way_is_kept_and_its_target_untouched(stack):
    target = stack.root / "elsewhere"
    target.write_text("not yours")
    path = stack.file("a", "ours")
    stack.project.mkdir()
    path.symlink_to(target)
    stack.run()
    assert target.read_text() == "not yours"
    assert not path.is_symlink()
    assert path.read_text() == "ours"
    (kept,) = stack.project.glob("a.kept-*")
    assert kept.is_symlink()


def test_nothing_below_config_or_media_is_ever_removed(stack):
    path = stack.root / "config" / "app" / "file"
    stack.bundle["files"] = [{"path": str(path), "content": "x", "mode": "0644", "owner": UID, "group": GID}]
    stack.run()
    stack.bundle["files"] = []
    assert stack.run() == []
    assert path.exists()


def test_an_existing_directory_keeps_its_owner_and_mode(stack):
    existing = stack.directory("media")
    existing.mkdir(mode=0o700)
    existing.chmod(0o700)
    assert stack.run() == []
    assert stat.S_IMODE(existing.stat().st_mode) == 0o700


def test_a_directory_that_we_made_follows_the_inventory_but_not_against_the_app(stack):
    path = stack.directory("config")
    stack.run()
    path.chmod(0o700)  # as PostgreSQL does to its data directory
    assert stack.run() == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    stack.bundle["directories"] = []
    stack.directory("config", "2770")
    assert stack.run() == []
    path.chmod(0o2775)
    assert stack.run() == [("config", "mode")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o2770


@pytest.mark.parametrize("name", ["compose", "compose/secrets", "compose/bin", "compose/.mediastack"])
def test_directories_of_the_project_get_their_mode_back(stack, name):
    stack.directory("compose", "0750")
    stack.directory("compose/secrets", "0700")
    stack.file("bin/tool", "x")
    stack.run()
    path = stack.root / name
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o777)
    [change] = stack.plan()
    assert (change["path"], change["action"]) == (str(path), "mode") and change["before"].startswith("mode 0777 ")
    stack.run()
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stack.plan() == []


def test_why_each_file_changes(stack):
    paths = {name: stack.file(name, name) for name in ("edited", "deleted", "mode", "other", "gone")}
    stack.run()
    paths["edited"].write_text("by hand")
    paths["deleted"].unlink()
    paths["mode"].chmod(0o600)
    stack.file("other", "another text")
    stack.bundle["files"] = [entry for entry in stack.bundle["files"] if entry["path"] != str(paths["gone"])]
    new = stack.file("new", "new")
    why = file_findings.reasons(stack.plan())
    assert why[str(paths["edited"])].startswith("somebody edited it; what it is now is kept as edited.kept-")
    assert {path: words for path, words in why.items() if path != str(paths["edited"])} == {
        str(paths["deleted"]): "it was deleted",
        str(paths["mode"]): "it has another mode or owner",
        str(paths["other"]): "what is rendered for it is another text now",
        str(paths["gone"]): "nothing needs it any more",
        str(new): "it is not there yet",
    }


def test_files_of_somebody_else_are_found_and_what_was_kept_aside_is_not(stack):
    first = stack.file("compose.yml", "x")
    stack.file("bin/tool", "x")
    stack.run()
    first.write_text("by hand")
    stack.run()
    assert [path.name for path in stack.project.iterdir() if ".kept-" in path.name]
    for name in ("compose.mine.yml", "bin/mine"):
        (stack.project / name).write_text("mine")
    (stack.project / "mine").mkdir()
    files = stack.files()
    assert file_findings.unknown(files.known, str(stack.project)) == [
        str(stack.project / "bin" / "mine"),
        str(stack.project / "compose.mine.yml"),
    ]


def test_missing_parents_are_made_for_the_apps(stack):
    stack.directory("media/tv/new")
    stack.run()
    assert stat.S_IMODE((stack.root / "media" / "tv").stat().st_mode) == 0o2775


@pytest.mark.parametrize("name", ["a", "b/c"])
def test_what_is_in_the_way_is_named(stack, name):
    stack.file(name, "x")
    stack.project.mkdir()
    if name == "a":
        (stack.project / "a").mkdir()
    else:
        (stack.project / "b").write_text("a file")
    with pytest.raises(FileError, match="compose/%s is (not )?a directory" % name[0]):
        stack.plan()


def test_a_file_where_a_directory_is_needed_is_named(stack):
    stack.directory("media").write_text("")
    with pytest.raises(FileError, match="media is not a directory"):
        stack.plan()


def test_a_damaged_manifest_is_an_error(stack):
    (stack.project / ".mediastack").mkdir(parents=True)
    (stack.project / ".mediastack" / "manifest.json").write_text("{")
    with pytest.raises(FileError, match="manifest.json"):
        stack.files()


def test_diffs_show_changes_without_secrets(stack):
    stack.file(".env", 'TZ="UTC"\nP="@@mediastack:secret:pw@@"\n', secret=True, mode="0600")
    stack.file("secrets/token", "@@mediastack:secret:pw@@", secret=True, mode="0400")
    stack.file("compose.core.yml", "image: a\n")
    stack.run()
    stack.secrets["pw"] = "another-secret-value"
    stack.file("compose.core.yml", "image: b\n")
    stack.file(".env", 'TZ="Europe/Berlin"\nP="@@mediastack:secret:pw@@"\n', secret=True, mode="0600")
    changes = stack.plan()
    text = json.dumps(FileSet.diff(changes))
    assert "top-secret-value" not in text
    assert "another-secret-value" not in text
    shown = {os.path.basename(entry["before_header"]): entry for entry in FileSet.diff(changes)}
    assert shown["compose.core.yml"]["before"] == "image: a\n"
    assert shown["compose.core.yml"]["after"] == "image: b\n"
    assert shown[".env"]["before"] == 'TZ="UTC"\nP="********\n'
    assert shown[".env"]["after"] == 'TZ="Europe/Berlin"\nP="********\n'
    assert shown["token"]["after"] == "(secret, not shown)\n"


def test_labels_follow_files_and_secrets(stack):
    path = stack.file("secrets/token", "@@mediastack:secret:pw@@", secret=True, mode="0400")
    own = stack.root / "own.conf"
    own.write_text("1")
    stack.bundle["services"] = {
        "a": {"config_hash": "1", "inputs": [str(path)]},
        "b": {"config_hash": "1", "inputs": [str(own)]},
        "c": {"config_hash": "1", "tokens": ["@@mediastack:secret:pw@@"]},
        "d": {"config_hash": "1"},
    }
    stack.file("compose.core.yml", "x: '@@mediastack:hash:a@@'\n")

    def labels():
        files = stack.files()
        stack.plan(files)
        return files.labels

    first = labels()
    assert len(set(first.values())) == 4
    stack.run()
    assert labels() == first
    assert first["a"] in (stack.project / "compose.core.yml").read_text()
    own.write_text("2")
    second = labels()
    assert [name for name in first if first[name] != second[name]] == ["b"]
    stack.secrets["pw"] = "changed-secret"
    third = labels()
    assert [name for name in first if third[name] != second[name]] == ["a", "c"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize("moment", range(12))
def test_interrupted_anywhere_the_next_run_repairs(stack, monkeypatch, moment):
    stack.directory("config")
    stack.file("gone", "x")
    stack.file("a", "old a")
    stack.file("b", "old b")
    stack.run()
    stack.bundle["files"] = stack.bundle["files"][1:]
    stack.file("a", "new a")
    stack.file("b", "new b")
    stack.file("c", "new c")
    calls = {"left": moment}

    def dying(name):
        real = getattr(os, name)

        def call(*arguments, **named):
            if calls["left"] == 0:
                calls["left"] = -1
                raise Killed
            calls["left"] -= 1
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        # Not `unlink`: a killed process cleans nothing up.
        patch.setattr(atomic_files.os, "rename", dying("rename"))
        patch.setattr(atomic_files.os, "fsync", dying("fsync"))
        real_unlink = os.unlink
        patch.setattr(
            atomic_files.os, "unlink", lambda path, **named: None if calls["left"] < 0 else real_unlink(path, **named)
        )
        with contextlib.suppress(Killed):
            stack.run()
    for name, texts in (("a", ("old a", "new a")), ("b", ("old b", "new b"))):
        assert (stack.project / name).read_text() in texts, "half written"
    stack.run()
    assert {path.name: path.read_text() for path in stack.project.iterdir() if path.is_file()} == {
        "a": "new a",
        "b": "new b",
        "c": "new c",
    }
    assert stack.run() == []
    assert [path.name for path in (stack.project / ".mediastack").iterdir()] == ["manifest.json"]


def test_what_an_interrupted_run_wrote_is_not_somebodys_edit(stack, monkeypatch):
    path = stack.file("a", "first")
    stack.file("b", "first")
    stack.run()
    stack.file("a", "second")
    stack.file("b", "second")
    real = os.rename

    def killed_at_b(source, target, **named):
        if target.endswith("/b"):
            raise Killed
        return real(source, target, **named)

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(atomic_files.os, "rename", killed_at_b)
        stack.run()
    assert path.read_text() == "second"
    stack.file("a", "third")
    assert stack.run() == [("a", "change"), ("b", "change")]
    assert not list(stack.project.glob("*.kept-*"))


def test_a_part_of_the_plan_first(stack):
    """The directories down to the project come before the run lock, the rest after it."""
    stack.directory("")
    stack.directory("compose", "0750")
    stack.file("a", "x")
    stack.file("gone", "y")
    files = stack.files()
    changes = stack.plan(files)
    files.apply(changes[:1])
    assert load_manifest(str(stack.project))["files"] == {}
    files.apply(changes[1:])
    assert stat.S_IMODE(stack.project.stat().st_mode) == 0o750
    assert set(load_manifest(str(stack.project))["files"]) == {str(stack.project / "a"), str(stack.project / "gone")}
    assert stack.run() == []


def test_a_full_disk_is_named_and_leaves_the_old_file(stack, monkeypatch):
    path = stack.file("a", "old")
    stack.run()
    stack.file("a", "new")
    files = stack.files()
    changes = stack.plan(files)
    real = os.fsync

    def full(descriptor):
        if "a.mediastack" in os.readlink("/proc/self/fd/%d" % descriptor):
            raise OSError(28, "No space left on device")
        return real(descriptor)

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    with pytest.raises(FileError, match="compose/a: No space left on device .free some space"):
        files.apply(changes)
    assert path.read_text() == "old"
    assert [item.name for item in stack.project.iterdir() if item.is_file()] == ["a"]
