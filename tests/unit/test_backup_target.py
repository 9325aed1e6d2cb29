# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of backups elsewhere: never onto an unmounted share, never a half one under a whole one's name."""

from __future__ import annotations

import datetime
import hashlib
import os
import subprocess
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    backup_state,
    backup_target,
    backup_target_ssh,
    mounts,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_target_path import SENTINEL, DirectoryTarget

IDS = [f"202611{day:02d}T033000Z-backup-00{day:02d}" for day in range(1, 10)]
RECIPIENT = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"


@pytest.fixture
def places(tmp_path):
    """The directory of the backups with one in it, and the target."""
    backups, target = tmp_path / "backups", tmp_path / "share"
    target.mkdir()
    for identifier in IDS:
        (backups / identifier / "data/sonarr").mkdir(parents=True)
        (backups / identifier / "data/sonarr/config.xml").write_text("<Config/>" + identifier)
        (backups / identifier / "manifest.json").write_text("{}")
    return backups, target


def snapshot(backups, identifier=IDS[0], missing=None):
    return types.SimpleNamespace(path=str(backups / identifier), id=identifier, missing=missing or {})


def plan(backups, target, **more):
    return {"backup": str(backups), "target": str(target), "keep": 3, "recipients": [], **more}


def test_a_copy_is_whole_and_as_many_stay_as_are_kept_here(places):
    backups, target = places
    for identifier in IDS:
        made = backup_target.Target(plan(backups, target))
        made.check()
        made.copy(snapshot(backups, identifier), "backup")
    (target / "family photos").mkdir(exist_ok=True)
    names = sorted(path.name for path in target.iterdir())
    assert names == [SENTINEL, *IDS[-3:], "family photos"]
    copied = target / IDS[-1] / "data/sonarr/config.xml"
    assert copied.read_text() == "<Config/>" + IDS[-1]
    source = os.stat(backups / IDS[-1] / "data/sonarr/config.xml")
    assert os.stat(copied).st_mtime_ns == source.st_mtime_ns and os.stat(copied).st_uid == source.st_uid


def test_an_incomplete_copy_takes_no_complete_ones_place_and_there_are_not_more_of_them(places):
    backups, target = places
    for number, identifier in enumerate(IDS):
        lacks = {"sonarr": "cannot be read"} if 2 < number < 8 else None
        backup_target.Target(plan(backups, target)).copy(snapshot(backups, identifier, lacks), "backup")
    names = sorted(path.name for path in target.iterdir())
    incomplete = [name for one in IDS[5:8] for name in (one, one + ".incomplete")]
    assert names == [SENTINEL, *IDS[1:3], *incomplete, IDS[8]]


def test_the_mark_of_a_copy_that_never_came_about_goes_after_a_day(places):
    backups, target = places
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    for name in ("20200101T033000Z-backup-0001", f"{now}-backup-0002", "photos"):
        (target / f"{name}.incomplete").touch()
    backup_target.Target(plan(backups, target)).copy(snapshot(backups), "backup")
    assert sorted(path.name for path in target.glob("*.incomplete")) == sorted(
        [f"{now}-backup-0002.incomplete", "photos.incomplete"]
    )


def test_where_the_clock_was_set_back_the_copy_just_made_stays(places):
    backups, target = places
    for identifier in IDS[1:5] + IDS[:1]:
        done = backup_target.Target(plan(backups, target)).copy(snapshot(backups, identifier), "backup")
    assert (target / IDS[0]).is_dir() and done["removed"] == []


def test_of_another_kind_nothing_goes(places):
    backups, target = places
    (target / "20261001T033000Z-partial-0001").mkdir()
    made = backup_target.Target(plan(backups, target, keep=1))
    made.copy(snapshot(backups), "backup")
    assert (target / "20261001T033000Z-partial-0001").is_dir()


def test_a_share_that_is_not_mounted_gets_nothing(places):
    backups, target = places
    backup_target.Target(plan(backups, target)).copy(snapshot(backups), "backup")
    for path in target.iterdir():
        subprocess.run(["rm", "-r", path], check=True)
    with pytest.raises(BackupError, match="its share is not mounted, or another one is"):
        backup_target.Target(plan(backups, target)).copy(snapshot(backups, IDS[1]), "backup")
    assert list(target.iterdir()) == []
    (target / SENTINEL).write_text("")
    backup_target.Target(plan(backups, target)).copy(snapshot(backups, IDS[1]), "backup")
    assert (target / IDS[1]).is_dir()


def test_the_first_time_fstab_tells_that_a_share_is_missing(places, tmp_path):
    backups, target = places
    fstab = tmp_path / "fstab"
    fstab.write_text(f"# shares\n//nas/backup {target} cifs credentials=/etc/nas.cred 0 0\n")
    made = DirectoryTarget(str(target), str(backups), str(fstab), table=[])
    with pytest.raises(BackupError, match=f"{target} is not mounted, as /etc/fstab says it should be: mount {target}"):
        made.prepare()
    assert list(target.iterdir()) == []
    mounted = [mounts.Mount("1", str(target), "cifs", "//nas/backup", [])]
    DirectoryTarget(str(target), str(backups), str(fstab), table=mounted).prepare()
    assert (target / SENTINEL).exists()


def test_the_same_disk_is_told(places):
    backups, target = places
    made = backup_target.Target(plan(backups, target))
    made.copy(snapshot(backups), "backup")
    assert made.messages == [f"the copies in {target} lie on the same disk as the backups: one broken disk takes both"]


def test_a_copy_that_broke_off_has_no_name_and_goes_after_a_day(places):
    backups, target = places
    part = target / f".{IDS[0]}.part"
    part.mkdir()
    fresh = target / f".{IDS[1]}.part"
    fresh.mkdir()
    os.utime(part, (1, 1))
    backup_target.Target(plan(backups, target)).copy(snapshot(backups, IDS[2]), "backup")
    assert not part.exists() and fresh.exists()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Stand-ins: age turns bytes around, so that a test can turn them back."""
    place = tmp_path / "programs"
    place.mkdir()

    def add(name, text):
        (place / name).write_text(text)
        (place / name).chmod(0o755)

    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    add("age", '#!/bin/sh\necho "$@" >"$0.called"\nexec tr "\\000-\\377" "\\001-\\377\\000"\n')
    return types.SimpleNamespace(add=add, place=place)


def test_an_encrypted_copy_is_one_file_with_its_checksum(places, programs):
    backups, target = places
    made = backup_target.Target(plan(backups, target, recipients=[RECIPIENT]))
    made.check()
    done = made.copy(snapshot(backups), "backup")
    sealed = target / f"{IDS[0]}.tar.age"
    data = sealed.read_bytes()
    assert sealed.stat().st_mode & 0o777 == 0o600 and done["bytes"] == len(data)
    assert (target / f"{IDS[0]}.tar.age.sha256").read_text() == (
        f"{hashlib.sha256(data).hexdigest()}  {IDS[0]}.tar.age\n"
    )
    assert (programs.place / "age.called").read_text() == f"--encrypt -r {RECIPIENT}\n"
    opened = subprocess.run(["tar", "-t"], input=bytes((b - 1) % 256 for b in data), capture_output=True, check=True)
    assert f"{IDS[0]}/data/sonarr/config.xml" in opened.stdout.decode()
    assert b"<Config/>" not in data
    assert sorted(path.name for path in target.iterdir()) == [
        SENTINEL,
        f"{IDS[0]}.tar.age",
        f"{IDS[0]}.tar.age.sha256",
    ]
    for identifier in IDS[1:4]:
        backup_target.Target(plan(backups, target, recipients=[RECIPIENT])).copy(
            snapshot(backups, identifier), "backup"
        )
    assert not sealed.exists() and not (target / f"{IDS[0]}.tar.age.sha256").exists()


def test_a_failing_age_leaves_nothing(places, programs):
    backups, target = places
    programs.add("age", '#!/bin/sh\ncat >/dev/null\necho "age: error: malformed recipient" >&2\nexit 1\n')
    made = backup_target.Target(plan(backups, target, recipients=["age1no"]))
    with pytest.raises(BackupError, match="could not be encrypted: age: error: malformed recipient"):
        made.copy(snapshot(backups), "backup")
    assert [path.name for path in target.iterdir()] == [SENTINEL]


def test_a_program_that_is_missing_is_named_with_its_package(places, monkeypatch):
    backups, target = places
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackupError, match="mediastack_backup_recipients needs the program age.*install age"):
        backup_target.Target(plan(backups, target, recipients=[RECIPIENT])).check()
    with pytest.raises(BackupError, match="mediastack_backup_target needs the program rsync.*install rsync"):
        backup_target.Target(plan(backups, "me@nas:/backup")).check()
    backup_target.Target(plan(backups, target)).check()


class Remote:
    """Takes the place of `subprocess.run`: remembers commands, and answers."""

    def __init__(self, *answers):
        self.commands, self.answers = [], list(answers)

    def __call__(self, command, **_more):
        self.commands.append(command)
        code, out, err = self.answers.pop(0) if self.answers else (0, "", "")
        return types.SimpleNamespace(returncode=code, stdout=out.encode(), stderr=err.encode())


def test_over_ssh_a_copy_gets_its_name_at_the_end_and_nothing_is_asked(places):
    backups, _target = places
    remote = Remote()
    made = backup_target_ssh.RemoteTarget("backup@nas.lan:/volume1/my backups/", remote)
    made.prepare()
    made.put_directory(str(backups / IDS[0]), IDS[0])
    make, copy, rename = remote.commands
    assert make[:5] == ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    there = "'/volume1/my backups'"
    assert make[-3:] == ["--", "backup@nas.lan", f"mkdir -p -m 700 -- {there} && cd -- {there} && ls -a"]
    assert copy[0] == "rsync" and "--partial" in copy and "--delete" in copy
    assert copy[-2:] == [f"{backups / IDS[0]}/", f"backup@nas.lan:/volume1/my backups/.{IDS[0]}.part/"]
    assert rename[-1] == f"cd -- '/volume1/my backups' && mv -- .{IDS[0]}.part {IDS[0]} && sync"


def test_over_ssh_what_a_broken_copy_left_goes_after_a_day():
    old = "20200101T033000Z-backup-0001"
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    gone = [f".{old}.part", f".{old}.tar.age.part", f"..{old}.tar.age.part.x3Yz0A"]
    stay = [".", "..", old, f"{old}.tar.age", f".{now}-backup-0002.part", ".photos.part", f".{old}.part; reboot"]
    remote = Remote((0, "\n".join([*stay, *gone]) + "\n", ""))
    made = backup_target_ssh.RemoteTarget("nas:/backup", remote)
    made.prepare()
    assert [command[-1] for command in remote.commands[1:]] == [f"cd -- /backup && rm -rf -- {' '.join(gone)}"]
    made = backup_target_ssh.RemoteTarget("nas:/b", Remote((0, gone[0], ""), (1, "", "rm: Read-only file system")))
    made.prepare()
    (message,) = made.messages
    assert message == (
        f"what broken copies have left could not be removed, remove it by hand ({gone[0]}): "
        "nas:/b: rm: Read-only file system"
    )


def test_over_ssh_only_ids_of_ours_are_listed_and_removed():
    remote = Remote((0, f"{IDS[0]}\nphotos\n{IDS[1]}.tar.age\n{IDS[1]}.tar.age.sha256\n", ""))
    made = backup_target_ssh.RemoteTarget("nas:/backup", remote)
    assert backup_state.identifiers(made.names(), "backup") == [IDS[1], IDS[0]]
    made.mark(f"{IDS[0]}.incomplete")
    assert remote.commands[-1][-1] == f"cd -- /backup && umask 077 && : > {IDS[0]}.incomplete"
    made.remove(IDS[0])
    assert remote.commands[-1][-1].startswith(f"cd -- /backup && rm -rf -- {IDS[0]} ")
    assert remote.commands[-1][-1].endswith(f" {IDS[0]}.incomplete")
    with pytest.raises(BackupError, match="is no id of a backup"):
        made.remove("..")


@pytest.mark.parametrize(
    ("err", "words"),
    [
        ("Host key verification failed.", "add it to known_hosts"),
        ("me@nas: Permission denied (publickey).", "must be among the authorized_keys there"),
    ],
)
def test_over_ssh_what_fails_comes_with_what_to_do(err, words):
    made = backup_target_ssh.RemoteTarget("me@nas:/backup", Remote((255, "", err)))
    with pytest.raises(BackupError, match=words):
        made.prepare()


@pytest.mark.parametrize("target", ["/mnt/usb", "/mnt/a:b/c"])
def test_a_path_is_not_another_host(target):
    assert not backup_target_ssh.is_remote(target)
