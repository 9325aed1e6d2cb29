# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What host_info tells of a host: platform, disks, owner, time zone, engine, and whether directories will do."""

from __future__ import annotations

import collections
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    docker_cli,
    host_disks,
    host_engine,
    host_identity,
    host_platform,
    host_storage,
    mounts,
    preflight_paths,
    write_probe,
)

COLLECTIONS = pathlib.Path(__file__).resolve().parents[2] / ".ansible" / "collections"


def tree(root, **files):
    for path, text in files.items():
        target = root / path.replace("__", "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(root)


DEBIAN = 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"etc__os-release": DEBIAN}, ("generic", "debian", "12", "Debian GNU/Linux 12 (bookworm)", False)),
        (
            {"etc__os-release": DEBIAN, "etc__openmediavault__config.xml": ""},
            ("generic", "openmediavault", "12", "OpenMediaVault on Debian GNU/Linux 12 (bookworm)", False),
        ),
        (
            {"etc__os-release": DEBIAN, "proc__sys__kernel__osrelease": "5.15.153.1-microsoft-standard-WSL2\n"},
            ("generic", "debian", "12", "Debian GNU/Linux 12 (bookworm) in WSL2", True),
        ),
        (
            {"etc__synoinfo.conf": "", "etc.defaults__VERSION": 'majorversion="7"\nproductversion="7.2.1"\n'},
            ("synology", "synology", "7.2.1", "Synology DSM 7.2.1", False),
        ),
        (
            {"etc__config__qpkg.conf": "", "etc__config__uLinux.conf": "[System]\nVersion = 5.1.0\n"},
            ("qnap", "qnap", "5.1.0", "QNAP QTS/QuTS 5.1.0", False),
        ),
        ({"etc__unraid-version": 'version="6.12.10"\n'}, ("unraid", "unraid", "6.12.10", "Unraid 6.12.10", False)),
        (
            {"usr__bin__midclt": "", "etc__version": "24.10.2\n"},
            ("truenas", "truenas", "24.10.2", "TrueNAS 24.10.2", False),
        ),
        ({}, ("generic", "linux", "", "Linux", False)),
    ],
)
def test_platforms(tmp_path, files, expected):
    found = host_platform.describe(tree(tmp_path, **files), "Linux")
    assert tuple(found[key] for key in ("family", "distribution", "version", "name", "wsl")) == expected


def test_macos(tmp_path):
    found = host_platform.describe(str(tmp_path), "Darwin")
    assert (found["distribution"], found["family"]) == ("macos", "generic") and found["name"].startswith("macOS")


MOUNTINFO = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:5 / /dev rw - devtmpfs udev rw
24 22 0:20 / /run rw - tmpfs tmpfs rw
25 22 8:2 / /boot rw - ext4 /dev/sda2 rw
26 22 8:17 / /mnt/data rw - xfs /dev/sdb1 rw
27 22 8:17 /sub /var/lib/docker rw - xfs /dev/sdb1 rw
28 22 8:17 /x /mnt/data/again rw - xfs /dev/sdb1 rw
29 22 0:50 / /mnt/nfs rw - nfs4 nas:/export rw
30 22 0:51 / /mnt/gone rw - ext4 /dev/sdz rw
31 22 0:52 / /snap/core rw - squashfs /dev/loop0 ro
"""
Room = collections.namedtuple("Room", "f_blocks f_frsize f_bavail")


def test_disks(monkeypatch):
    monkeypatch.setattr(os.path, "isdir", lambda path: True)
    rooms = {"/": 50, "/mnt/data": 900, "/mnt/data/again": 900, "/mnt/nfs": 7000}

    def statvfs(path):
        if path == "/mnt/gone":
            raise OSError(5, "Input/output error")
        return Room(rooms[path] * 2, 1, rooms[path])

    found = host_disks.listing(mounts.parse(MOUNTINFO), statvfs)
    assert [(entry["mount"], entry["kind"], entry["free_bytes"]) for entry in found] == [
        ("/", "local", 50),
        ("/mnt/nfs", "network", 7000),
        ("/mnt/data", "local", 900),
    ]


Account = collections.namedtuple("Account", "pw_name pw_uid pw_gid")
NOBODY = {"login": None}


def test_who_owns_the_data(tmp_path):
    accounts = [Account("root", 0, 0), Account("nobody", 65534, 65534), Account("anna", 1000, 1000)]
    missing = str(tmp_path / "not" / "yet")
    owner = host_identity.data_owner

    def ids(found):
        return found["puid"], found["pgid"], found["from"]

    theirs = tmp_path / "media"
    theirs.mkdir()
    if os.geteuid() == 0:
        os.chown(theirs, 1026, 100)
        assert ids(owner([missing, str(theirs)], "generic", NOBODY, accounts)) == (1026, 100, f"the owner of {theirs}")
        assert ids(owner([missing], "unraid", NOBODY, accounts))[:2] == (99, 100)
        assert ids(owner([missing], "truenas", NOBODY, accounts))[:2] == (568, 568)
        login = {"login": {"name": "bea", "uid": 1001, "gid": 1001}}
        assert ids(owner([missing], "generic", login, accounts)) == (1001, 1001, "the user bea")
        assert ids(owner([], "generic", NOBODY, accounts)) == (1000, 1000, "the user anna")
        assert ids(owner([], "generic", NOBODY, []))[:2] == (1000, 1000)
    else:
        assert ids(owner([str(theirs)], "generic", NOBODY, accounts))[0] == os.geteuid()


def test_the_person_behind_sudo():
    assert host_identity.user({"SUDO_USER": "nobody-of-that-name"})["login"] == (
        None if os.geteuid() == 0 else host_identity.user({})["login"]
    )
    assert host_identity.user({"SUDO_USER": "nobody"})["login"]["uid"] == 65534


def test_time_zones(tmp_path):
    zone = host_identity.time_zone
    assert zone(str(tmp_path), {}) is None
    assert zone(str(tmp_path), {"TZ": ":Europe/Rome"}) == "Europe/Rome"
    assert zone(str(tmp_path), {"TZ": "CET-1CEST"}) is None
    tree(tmp_path, **{"boot__config__ident.cfg": 'NAME="tower"\ntimeZone="America/New_York"\n'})
    assert zone(str(tmp_path), {}) == "America/New_York"
    tree(tmp_path, etc__timezone="Europe/Berlin\n")
    assert zone(str(tmp_path), {}) == "Europe/Berlin"
    (tmp_path / "etc" / "localtime").symlink_to("../usr/share/zoneinfo/Asia/Tokyo")
    assert zone(str(tmp_path), {}) == "Asia/Tokyo"


class Docker:
    """Answers of the docker program, by first word; an exception is raised."""

    executable = "/opt/docker"

    def __init__(self, **answers):
        self.answers = answers

    def run(self, *arguments, **_more):
        answer = self.answers[arguments[0]]
        if isinstance(answer, Exception):
            raise answer
        return docker_cli.Completed(0, answer, "")


def test_engines():
    version = '{"Server": {"Version": "28.1.0"}}'
    info = '{"OperatingSystem": "Docker Desktop", "DockerRootDir": "/var/lib/docker"}'
    found = host_engine.describe(Docker(version=version, info=info, compose="2.40.3\n"))
    assert (found["version"], found["compose"], found["system"], found["missing"]) == (
        "28.1.0",
        "2.40.3",
        "Docker Desktop",
        None,
    )
    for error, missing in (
        (docker_cli.EngineMissing("none", "cli"), "cli"),
        (docker_cli.EngineRefused("not you"), "refused"),
        (docker_cli.DockerError("odd"), "unknown"),
    ):
        found = host_engine.describe(Docker(version=error))
        assert (found["missing"], found["problem"], found["version"]) == (missing, str(error), None)
    assert host_engine.describe(Docker(version="no json", info=info, compose="1"))["version"] is None


# -- storage ----------------------------------------


def request(base, **more):
    uid = os.geteuid() or 1000
    return {
        "paths": {"base": base, **{name: f"{base}/{name}" for name in ("config", "media", "downloads")}, **more},
        "project": f"{base}/compose",
        "puid": uid,
        "pgid": os.getegid() or 1000,
        "timezone": "Etc/UTC",
        "split_mounts": False,
    }


@pytest.fixture
def place(monkeypatch):
    """A directory that counts as one on a disk: the temporary ones may be on a tmpfs, which is refused."""
    monkeypatch.setattr(preflight_paths, "_VOLATILE", ())
    # Not pytest's own: whoever has PUID could not come so far.
    with tempfile.TemporaryDirectory(prefix="host-info-test-") as directory:
        pathlib.Path(directory).chmod(0o755)
        yield pathlib.Path(directory)


def test_directories_that_are_still_to_be_made_are_tried_and_nothing_stays(place):
    tried = []
    probe = write_probe.probe

    def spy(directory, uid, gid, check=False, other=None):
        tried.append((uid, other is not None, os.stat(directory).st_uid))
        return probe(directory, uid, gid, check, other)

    write_probe.probe = spy
    try:
        problems, _warnings = host_storage.check(request(str(place / "new" / "stack")))
    finally:
        write_probe.probe = probe
    assert problems == []
    uid = os.geteuid() or 1000
    assert [each for each in tried if each[1]] == [(uid, True, uid)], "one link, as PUID, in a directory of PUID's"
    assert list(place.iterdir()) == []


def test_without_probing_nothing_is_made(place, monkeypatch):
    monkeypatch.setattr(host_storage.tempfile, "mkdtemp", lambda **_more: pytest.fail("made something"))
    assert host_storage.check(request(str(place / "new")), probe=False)[0] == []


def test_a_link_that_fails_is_named(place, monkeypatch):
    probe = write_probe.probe
    monkeypatch.setattr(
        write_probe,
        "probe",
        lambda *a, **more: "link: Invalid cross-device link" if more.get("other") else probe(*a, **more),
    )
    (problem,), _warnings = host_storage.check(request(str(place / "new")))
    assert problem["check"] == "hardlinks" and "Invalid cross-device link" in problem["what"]
    assert list(place.iterdir()) == []
    split = {**request(str(place / "new")), "split_mounts": True}
    assert host_storage.check(split)[0] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_share_that_forbids_to_give_files_away(place, monkeypatch):
    def forbid(path, _uid, _gid):
        raise OSError(1, "Operation not permitted", path)

    monkeypatch.setattr(os, "chown", forbid)
    (problem,), _warnings = host_storage.check(request(str(place / "new")))
    assert problem["check"] == "write" and "Operation not permitted" in problem["what"]
    assert list(place.iterdir()) == []


def test_an_empty_mount_point_on_the_systems_disk(monkeypatch):
    present = {"/mnt/tank": [], "/mnt/full": ["x"], "/mnt/mounted": [], "/media/usb": []}
    monkeypatch.setattr(os.path, "isdir", lambda path: path in present)
    monkeypatch.setattr(os, "listdir", lambda path: present[path])
    table = mounts.parse("1 1 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /mnt/mounted rw - ext4 /dev/sdb1 rw\n")

    def found(path):
        problems = host_storage.bare_mount_points({"base": path}, table, device=lambda _path: 1)
        return [problem["value"] for problem in problems]

    assert found("/mnt/tank/mediastack") == ["/mnt/tank"]
    assert found("/media/usb/stack/deep") == ["/media/usb"]
    assert found("/mnt/full/mediastack") == found("/mnt/mounted/mediastack") == found("/srv/mediastack") == []


HANGING = """
import sys, time
sys.path.insert(0, {collections!r})
from ansible_collections.homelab.mediastack.plugins.module_utils import host_storage, write_probe

def hang(*_arguments, **_more):
    print("trying", flush=True)
    time.sleep(60)

write_probe.probe = hang
host_storage.check({request!r})
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_trial_that_is_interrupted_leaves_nothing(place, number):
    script = HANGING.format(collections=str(COLLECTIONS), request=request(str(place / "new")))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"trying\n" and list(place.iterdir()) != []
        process.send_signal(number)
        assert process.wait(timeout=20) != 0
    assert list(place.iterdir()) == []
