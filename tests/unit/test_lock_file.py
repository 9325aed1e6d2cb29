# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock file: what is in it, what is wrong with one, and that writing it changes no more than it has to."""

from __future__ import annotations

import os
import pathlib

import pytest
import yaml

from ansible_collections.homelab.mediastack.plugins.plugin_utils import lock_file
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lock_file import Entry, Lock, LockFileError

A, B, C, D = ("sha256:" + letter * 64 for letter in "abcd")
SONARR = Entry(
    "sonarr",
    "lscr.io/linuxserver/sonarr:4.0.19",
    A,
    {"linux/arm64": C, "linux/amd64": B},
    "2026-10-01T10:00:00Z",
    "2026-11-23T07:00:00Z",
    "0.1.0",
)
GLUETUN = Entry("gluetun", "qmcgaw/gluetun:v3.41.3", B, {}, None, "2026-11-23T07:00:00Z", "0.1.0")
WRITTEN = f"""\
schema: 1
images:
  - service: gluetun
    image: qmcgaw/gluetun:v3.41.3
    digest: {B}
    resolved: 2026-11-23T07:00:00Z
    by: 0.1.0
  - service: sonarr
    image: lscr.io/linuxserver/sonarr:4.0.19
    digest: {A}
    platforms: {{linux/amd64: {B}, linux/arm64: {C}}}
    created: 2026-10-01T10:00:00Z
    resolved: 2026-11-23T07:00:00Z
    by: 0.1.0
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / lock_file.NAME)


def put(path, text):
    pathlib.Path(path).write_text(text)
    return path


def both(path):
    return lock_file.merged(Lock(path), [SONARR, GLUETUN])


def test_the_file_is_as_documented(path):
    assert lock_file.write(path, both(path)) is True
    text = pathlib.Path(path).read_text()
    assert text.endswith(WRITTEN)
    head = text.removesuffix(WRITTEN)
    assert head.startswith("---\n#")
    assert "docs/updates.md" in head
    assert yaml.safe_load(text)["images"][1]["platforms"] == {"linux/amd64": B, "linux/arm64": C}


def test_what_is_written_is_read_again(path):
    lock_file.write(path, both(path))
    read = lock_file.read(path)
    assert read == both(path)
    assert read.entry("sonarr", SONARR.image) == SONARR
    assert read.entry("sonarr", "lscr.io/linuxserver/sonarr:4.0.18") is None
    assert read.of("gluetun") == [GLUETUN]
    assert read.of("radarr") == []


def test_no_file_is_an_empty_lock(path):
    read = lock_file.read(path)
    assert (read.entries, bool(read)) == ((), False)
    assert lock_file.read(None) == Lock()


def test_a_service_may_stand_there_with_two_images(path):
    other = Entry("sonarr", "lscr.io/linuxserver/sonarr:4.0.18", D)
    lock_file.write(path, lock_file.merged(both(path), [other]))
    assert [entry.image[-6:] for entry in lock_file.read(path).of("sonarr")] == ["4.0.18", "4.0.19"]


def test_the_same_digest_resolved_again_changes_no_byte(path):
    lock_file.write(path, both(path))
    before = pathlib.Path(path).stat()
    again = Entry(**{**SONARR.__dict__, "resolved": "2027-01-01T00:00:00Z", "by": "9.9.9"})
    assert lock_file.write(path, lock_file.merged(lock_file.read(path), [again])) is False
    after = pathlib.Path(path).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_another_digest_takes_the_place_of_its_entry(path):
    moved = Entry("sonarr", SONARR.image, D, {}, None, "2026-12-01T00:00:00Z", "0.2.0")
    merged = lock_file.merged(both(path), [moved])
    assert merged.entries == (GLUETUN, moved)
    assert lock_file.merged(both(path), [], drop=[SONARR.key]).entries == (GLUETUN,)


def test_platforms_are_added_to_an_entry_that_a_bot_wrote_without(path):
    bare = Entry("sonarr", SONARR.image, A)
    assert lock_file.merged(Lock(path, (bare,)), [SONARR]).entries == (SONARR,)


def test_an_entry_covers_its_index_and_its_platforms():
    assert [SONARR.covers(digest) for digest in (A, B, D, None)] == [True, True, False, False]
    assert GLUETUN.covers(None) is False


def test_the_file_keeps_its_mode_and_its_link(tmp_path):
    target = tmp_path / "elsewhere.yml"
    target.write_text("")
    target.chmod(0o640)
    link = tmp_path / lock_file.NAME
    link.symlink_to(target)
    lock_file.write(str(link), both(str(link)))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert lock_file.read(str(link)).entries == (GLUETUN, SONARR)
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".tmp")] == []


def test_a_new_file_is_nothing_to_execute(path):
    lock_file.write(path, both(path))
    assert os.stat(path).st_mode & 0o111 == 0


def test_without_an_inventory_nothing_is_written():
    with pytest.raises(LockFileError, match="written beside the inventory"):
        lock_file.write(None, Lock())


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LockFileError, match="gone/mediastack.lock.yml"):
        lock_file.write(str(tmp_path / "gone" / lock_file.NAME), both(None))


def test_an_address_in_brackets_is_written_so_that_it_is_read_again(path):
    mine = Entry("sonarr", "[::1]:5000/a:1", A)
    lock_file.write(path, lock_file.merged(both(path), [mine]))
    assert lock_file.read(path).entry("sonarr", "[::1]:5000/a:1") == mine
    assert len(lock_file.read(path).entries) == 3


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Entry("sonarr", "a/b:1", A, {"linux/AMD64": B}), "'linux/AMD64' is not a platform"),
        (Entry("sonarr", "a/b:1", "sha256:1"), "is not sha256: and 64 hexadecimal digits"),
        (Entry("sonarr", "a/b:1 # of mine", A), "sonarr with a/b:1 is another after that"),
    ],
)
def test_a_file_that_could_not_be_read_again_is_not_written(path, entry, words):
    lock_file.write(path, both(path))
    before = pathlib.Path(path).read_bytes()
    with pytest.raises(LockFileError) as error:
        lock_file.write(path, lock_file.merged(both(path), [entry]))
    assert words in str(error.value)
    assert "It was left as it is." in str(error.value)
    assert pathlib.Path(path).read_bytes() == before


def test_whether_it_can_be_written_is_found_out_without_a_trace(tmp_path, path, monkeypatch):
    lock_file.check_writable(path)
    assert list(tmp_path.iterdir()) == []
    link = tmp_path / "link.yml"
    link.symlink_to(tmp_path / "gone" / "elsewhere.yml")
    with pytest.raises(LockFileError, match="cannot write .*link.yml: No such file"):
        lock_file.check_writable(str(link))
    with pytest.raises(LockFileError, match="a directory is in the way"):
        lock_file.check_writable(str(tmp_path))

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lock_file.os, "write", full)
    with pytest.raises(LockFileError, match="free some space"):
        lock_file.check_writable(path)
    assert list(tmp_path.iterdir()) == [link]


ENTRY = f"  - service: sonarr\n    image: a/b:1\n    digest: {A}\n"
HEAD = "---\nschema: 1\nimages:\n"
MARKS = ("<" * 7, "=" * 7, ">" * 7)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "it is empty"),
        ("--- [", 2, "not YAML"),
        ("schema: 1\nimages: {}\n", 2, "images is not a list"),
        ("images: []\n", 1, "schema is missing"),
        ("schema: one\nimages: []\n", 1, "'one', not a number"),
        ("schema: 2\nimages: []\n", 1, "A newer release of the collection wrote it"),
        ("schema: 1\nimage: []\n", 2, "Did you mean images?"),
        (HEAD + "  - sonarr\n", 4, "not a map"),
        (HEAD + ENTRY.replace("digest:", "diggest:"), 6, "Did you mean digest?"),
        (HEAD + ENTRY + ENTRY, 7, "stands twice, first in line 4"),
        (HEAD + "  - service: sonarr\n    image: a/b:1\n", 4, "an entry has no digest"),
        (HEAD + ENTRY.replace(A, A[:-1]), 6, "64 hexadecimal digits"),
        (HEAD + ENTRY.replace("a/b:1", "A B"), 5, "not the name of an image"),
        (HEAD + ENTRY.replace("a/b:1", f"a/b:1@{A}"), 5, "which belongs to digest:"),
        (HEAD + ENTRY + "    created: yesterday\n", 7, "'yesterday' is not a time"),
        (HEAD + ENTRY + f"    platforms: {{amd64: {A}}}\n", 7, "not a platform such as linux/amd64"),
        (HEAD + ENTRY + "    platforms: {linux/amd64: 1}\n", 7, "platforms: linux/amd64: '1'"),
        (HEAD + ENTRY + "    by: [1]\n", 7, "by is not one word"),
        (HEAD + ENTRY + "    image: a/b:2\n", 7, "image stands twice"),
        (HEAD + f"{MARKS[0]} HEAD\n{ENTRY}{MARKS[1]}\n{ENTRY}{MARKS[2]} branch\n", 4, "two branches have changed it"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_remedy(path, text, line, words):
    put(path, text)
    with pytest.raises(LockFileError) as error:
        lock_file.read(path)
    said = str(error.value)
    assert said.startswith(f"{path}, line {line}: ")
    assert words in said


def test_bytes_that_are_no_text_are_told(path):
    pathlib.Path(path).write_bytes(b"schema: \xff\n")
    with pytest.raises(LockFileError, match="not UTF-8"):
        lock_file.read(path)


def test_an_empty_list_is_an_empty_lock(path):
    assert lock_file.read(put(path, "schema: 1\nimages: []\n")).entries == ()
    assert lock_file.read(put(path, "schema: 1\nimages:\n")).entries == ()
    assert lock_file.text(Lock()).endswith("schema: 1\nimages: []\n")


def test_the_bundle_is_told_what_is_locked(tmp_path):
    lock_file.write(str(tmp_path / lock_file.NAME), both(None))
    services = {
        "sonarr": {"image": SONARR.image},
        "gluetun": {"image": GLUETUN.image},
        "radarr": {"image": "a/radarr:1"},
        "bazarr": {"image": f"a/bazarr:1@{D}"},
    }
    lock_file.for_bundle(tmp_path, services)
    assert {name: service["locked"] for name, service in services.items()} == {
        "sonarr": {"image": SONARR.image, "digest": A, "created": "2026-10-01T10:00:00Z"},
        "gluetun": {"image": GLUETUN.image, "digest": B, "created": None},
        "radarr": None,
        "bazarr": {"image": f"a/bazarr:1@{D}", "digest": D, "created": None},
    }


def test_until_an_update_the_lock_counts_and_not_another_tag(tmp_path):
    lock_file.write(str(tmp_path / lock_file.NAME), both(None))
    services = {"sonarr": {"image": "lscr.io/linuxserver/sonarr:4.0.20"}}
    lock_file.for_bundle(tmp_path, services)
    assert services["sonarr"]["locked"]["image"] == SONARR.image


def test_a_file_by_hand_is_read_as_well(path):
    """Spaces, order and comments are the user's own; what `write` wrote is read without a YAML parser."""
    ours = lock_file.text(both(None))
    lines = ours.replace("images:", "# by hand\nimages:").replace("    by:", "    by:   ").splitlines()
    assert lock_file.read(put(path, "\n".join(lines))).entries == (GLUETUN, SONARR)
    assert lock_file._as_we_write_it("\n".join(lines)) is None
    assert lock_file._as_we_write_it(ours) == [GLUETUN, SONARR]


@pytest.mark.parametrize("directory", [None, "nowhere"])
def test_without_a_file_nothing_is_locked(tmp_path, directory):
    services = {"sonarr": {"image": "a/b:1"}}
    lock_file.for_bundle(directory and tmp_path / directory, services)
    assert services["sonarr"]["locked"] is None
