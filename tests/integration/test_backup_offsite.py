# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies of backups by the real rsync and the real age, of Debian; only ssh is a stand-in that runs its words."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess

import pytest
from compose_stack_lab import CACHE

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_target, snapshot_store
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError

PACKAGES = ("age", "rsync", "libpopt0", "libxxhash0")
# As sshd: the words after the host are one command line for the user's shell.
SSH = """\
#!/bin/sh
while [ "$1" != -- ]; do case $1 in -o) shift 2;; -l) shift 2;; *) break;; esac; done
[ "$1" = -- ] && shift
host=$1; shift
[ "$1" = -- ] && shift
[ ! -e "$0.refuse" ] || { echo "Host key verification failed." >&2; exit 255; }
echo "$host" >>"$0.hosts"
exec sh -c "$*"
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """age and rsync out of Debian's packages, and ssh; the directory of the latter."""
    place = CACHE / "offsite"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "offsite.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "usr/bin/rsync").exists():
            place.mkdir(exist_ok=True)
            subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=place, check=True, capture_output=True)
            for package in place.glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(package), str(place)], check=True)
    own = tmp_path / "bin"
    own.mkdir()
    (own / "ssh").write_text(SSH)
    (own / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{own}:{place}/usr/bin:{os.environ['PATH']}")
    libraries = sorted({str(path.parent) for path in place.glob("usr/lib/*/*.so.*")})
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(libraries))
    return own


@pytest.fixture
def backups(tmp_path):
    """Three backups; the function that makes a target of `where` for them, and their ids, the oldest first."""
    store = snapshot_store.Store(str(tmp_path / "my backups"))
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.xml").write_text("<Config><ApiKey>very secret</ApiKey></Config>")
    os.chown(config / "config.xml", 1000, 1000)
    services = {"sonarr": {"config_dir": str(config), "snapshot": {"method": "copy", "paths": ["."]}}}
    made = []
    for _turn in range(3):
        draft = store.begin("backup", {})
        draft.take_stopped(services, ["sonarr"])
        made.append(draft.finish())

    def target(where, **more):
        plan = {"backup": store.root, "target": str(where), "keep": 2, "recipients": [], **more}
        found = backup_target.Target(plan)
        found.check()
        return found

    return target, made


def names(place):
    return sorted(path.name for path in place.iterdir())


def test_by_rsync_every_copy_is_whole_and_the_oldest_goes(programs, backups, tmp_path):
    target, made = backups
    there = tmp_path / "far away" / "it's here"
    for snapshot in made:
        target(f"backup@nas.lan:{there}").copy(snapshot, "backup")
    assert names(there) == [snapshot.id for snapshot in made[1:]]
    # rsync gives the user's name to ssh as a word of its own.
    assert set((programs / "ssh.hosts").read_text().split()) == {"backup@nas.lan", "nas.lan"}
    copy = snapshot_store.Store(str(there)).get(made[2].id)
    assert copy.verify() == []
    info = os.stat(pathlib.Path(copy.data("sonarr"), "config.xml"))
    source = os.stat(pathlib.Path(made[2].data("sonarr"), "config.xml"))
    assert (info.st_uid, info.st_mode, info.st_mtime_ns // 10**9) == (
        source.st_uid,
        source.st_mode,
        source.st_mtime_ns // 10**9,
    )


def test_a_copy_that_broke_off_goes_on_and_what_does_not_belong_to_it_goes(programs, backups, tmp_path):
    target, made = backups
    there = tmp_path / "there"
    part = there / f".{made[0].id}.part"
    (part / "data/other").mkdir(parents=True)
    (part / "data/other/file").write_text("of an earlier attempt")
    (there / "photos").mkdir()
    target(f"nas:{there}").copy(made[0], "backup")
    assert names(there) == [made[0].id, "photos"]
    assert snapshot_store.Store(str(there)).get(made[0].id).verify() == []
    assert names(there / made[0].id / "data") == ["sonarr"]


def test_a_host_that_is_not_known_is_told(programs, backups, tmp_path):
    target, made = backups
    (programs / "ssh.refuse").write_text("")
    with pytest.raises(
        BackupError, match="nas cannot be reached by SSH: Host key verification failed.*add it to known"
    ):
        target(f"nas:{tmp_path}/there").copy(made[0], "backup")


@pytest.mark.parametrize("remote", [True, False])
def test_an_encrypted_copy_opens_with_the_key_and_is_a_backup_again(programs, backups, tmp_path, remote):
    target, made = backups
    key = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True)
    (tmp_path / "key.txt").write_text(key.stdout)
    recipient = key.stderr.split()[-1]
    there = tmp_path / "there"
    there.mkdir()
    for snapshot in made:
        target(f"nas:{there}" if remote else there, recipients=[recipient]).copy(snapshot, "backup")
    sealed = there / f"{made[2].id}.tar.age"
    kept = [name for name in names(there) if not name.startswith(".mediastack")]
    assert kept == [f"{one.id}.tar.age{end}" for one in made[1:] for end in ("", ".sha256")]
    assert sealed.stat().st_mode & 0o777 == 0o600 and b"very secret" not in sealed.read_bytes()
    subprocess.run(["sha256sum", "--check", "--status", f"{sealed.name}.sha256"], cwd=there, check=True)
    again = tmp_path / "again"
    again.mkdir()
    opened = subprocess.run(["age", "--decrypt", "-i", str(tmp_path / "key.txt"), str(sealed)], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-xpf", "-", "--numeric-owner", "-C", str(again)], input=opened.stdout, check=True)
    assert snapshot_store.Store(str(again)).get(made[2].id).verify() == []
    assert [name for name in os.listdir(tmp_path / "my backups") if name.endswith((".sealed", ".tmp"))] == []
