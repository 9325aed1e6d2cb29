# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks, mounts, room, permissions and the time zone, on made-up mount tables and a real directory."""

import os
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import mounts, preflight_paths, write_probe

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="acts as another user, which only root can")


def line(number, point, fstype="ext4", source="/dev/sda1", options="rw"):
    return "%d 1 8:1 / %s rw,relatime shared:1 - %s %s %s" % (number, point, fstype, source, options)


class Host:
    """A bundle below tmp_path, a mount table and an /etc."""

    def __init__(self, path):
        self.path, self.warnings = path, []
        self.table = [line(1, "/")]
        base = str(path / "data")
        self.bundle = {
            "project": {"name": "p", "path": base + "/compose"},
            "identity": {"puid": os.geteuid(), "pgid": os.getegid()},
            "paths": {
                "base": base,
                "config": base + "/config",
                "media": base + "/media",
                "downloads": base + "/downloads",
                "split_mounts": False,
            },
            "timezone": "Europe/Berlin",
        }
        zones = path / "root" / "usr" / "share" / "zoneinfo" / "Europe"
        zones.mkdir(parents=True)
        (zones / "Berlin").write_text("TZif2")
        (path / "root" / "etc").mkdir()

    def etc(self, name, text=""):
        file = self.path / "root" / "etc" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def check(self, check_mode=False, facts=None):
        table = self.path / "mountinfo"
        table.write_text("\n".join(self.table) + "\n")
        return preflight_paths.check(
            self.bundle, facts or {}, check_mode, self.warnings, str(self.path / "root"), str(table)
        )

    def make(self, *names, mode=0o2775):
        for name in names:
            path = os.path.join(self.bundle["paths"]["base"], name)
            os.makedirs(path)
            os.chmod(path, mode)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def checks(problems):
    return [problem["check"] for problem in problems]


def test_a_good_host_and_nothing_is_left(host):
    assert host.check() == []
    host.make("config", "media", "downloads")
    assert host.check() == []
    assert host.check(check_mode=True) == []
    assert [names for _folder, _names, names in os.walk(host.bundle["paths"]["base"]) if names] == []


def test_octal_escapes_and_parts_of_names():
    table = mounts.parse(
        "\n".join(
            [
                line(1, "/"),
                line(2, "/mnt/My\\040Disk", "nfs4"),
                line(3, "/mnt/disk1", "btrfs"),
                line(4, "/mnt/disk1", "xfs"),
                line(5, "/mnt/disk1/deep", "zfs"),
                "6 1 8:1 / /opt rw shared:1 master:2 - ext4 /dev/x rw",
                "garbage",
            ]
        )
    )
    for path, number in (
        ("/mnt/My Disk/config", "2"),
        ("/mnt/My", "1"),
        ("/mnt/disk10/x", "1"),
        ("/mnt/disk1", "4"),
        ("/mnt/disk1/deep/er", "5"),
        ("/mnt/disk1/deeper", "4"),
        ("/opt/x", "6"),
    ):
        assert mounts.of(path, table).number == number


@pytest.mark.parametrize(
    "fstype", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.mergerfs", "fuse.sshfs", "fuseblk", "glusterfs"]
)
def test_databases_not_on_shares(host, fstype):
    host.make("config")
    host.table.append(line(2, host.bundle["paths"]["config"], fstype, "nas:/export"))
    (problem,) = host.check()
    assert problem["check"] == "config"
    assert fstype in problem["what"]
    assert "nas:/export" in problem["what"]
    assert "mediastack_config_path" in problem["remedy"]


def test_media_on_a_share_is_fine(host):
    host.make("media", "downloads")
    host.table.append(line(2, host.bundle["paths"]["base"], "nfs4", "nas:/x"))
    host.table.append(line(3, host.bundle["paths"]["config"], "ext4"))
    os.makedirs(host.bundle["paths"]["config"])
    assert host.check() == []


def test_unraid_shares_are_a_warning(host):
    host.etc("unraid-version")
    host.table.append(line(2, str(host.path), "fuse.shfs", "shfs"))
    assert host.check() == []
    assert "/mnt/cache" in host.warnings[0]


@pytest.mark.parametrize(
    ("fstype", "options", "refused"),
    [
        ("tmpfs", "rw", True),
        ("ramfs", "rw", True),
        ("overlay", "rw,upperdir=/run/live/upper", True),
        ("overlay", "rw,lowerdir=/a,upperdir=/var/lib/docker/x/diff", False),
        ("btrfs", "rw", False),
    ],
)
def test_not_on_memory(host, fstype, options, refused):
    host.table = [line(1, "/", fstype, "x", options), line(2, "/run", "tmpfs", "tmpfs")]
    problems = host.check()
    assert checks(problems) == (["base"] if refused else [])
    if refused:
        assert "empty after a restart" in problems[0]["what"]


@pytest.mark.parametrize(
    ("file", "example"),
    [
        ("synoinfo.conf", "/volume1/mediastack"),
        ("unraid-version", "/mnt/user/mediastack"),
        ("config/qpkg.conf", "/share/Container/mediastack"),
    ],
)
def test_a_nas_has_no_default_base_path(host, file, example):
    host.etc(file)
    (problem,) = host.check()
    assert "system partition" in problem["what"]
    assert example in problem["remedy"]
    host.table.append(line(2, str(host.path), "btrfs"))
    assert host.check() == []
    host.bundle["paths"]["base"] = "/srv/mediastack"
    problem = host.check()[0]
    assert "no usual place" in problem["what"]
    assert example in problem["remedy"]


def test_a_mount_of_fstab_that_is_not_there(host):
    point = str(host.path / "my disk")
    os.makedirs(point)
    host.etc(
        "fstab",
        "# comment\nUUID=1 / ext4 defaults 0 1\nnas:/media %s nfs defaults 0 0\nswap none swap sw 0 0\n"
        % point.replace(" ", "\\040"),
    )
    host.bundle["paths"]["split_mounts"] = True
    assert host.check() == []
    host.bundle["paths"]["media"] = point + "/media"
    (problem,) = host.check()
    assert problem["check"] == "mount"
    assert "nas:/media" in problem["what"]
    assert problem["where"] == "mediastack_media_path"
    assert "mount it: mount %s" % point in problem["remedy"]
    host.table.append(line(2, point.replace(" ", "\\040"), "nfs4", "nas:/media"))
    assert host.check() == []
    host.bundle["paths"]["media"] = point + "2/media"
    host.table.pop()
    assert host.check() == []


def statvfs(free, inodes=10**6, files=10**7):
    return types.SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_favail=inodes, f_files=files)


def test_room_and_inodes(host, monkeypatch):
    monkeypatch.setattr(preflight_paths.os, "statvfs", lambda _path: statvfs(100 << 20))
    (problem,) = host.check()
    assert "only 100 MiB are free for" in problem["what"]
    assert "256 MiB are needed" in problem["what"]
    (problem,) = host.check(facts={"root_dir": "/"})
    assert "1024 MiB are needed" in problem["what"]
    monkeypatch.setattr(preflight_paths.os, "statvfs", lambda _path: statvfs(10 << 30, inodes=4999))
    (problem,) = host.check()
    assert problem["check"] == "inodes"
    monkeypatch.setattr(preflight_paths.os, "statvfs", lambda _path: statvfs(10 << 30, inodes=0, files=0))
    assert host.check() == []
    monkeypatch.setattr(preflight_paths.os, "statvfs", lambda _path: statvfs(1 << 30))
    assert host.check() == []
    assert "only 1024 MiB" in host.warnings[-1]


def test_links_between_mounts(host):
    host.make("media", "downloads")
    host.table.append(line(2, host.bundle["paths"]["media"]))
    (problem,) = host.check()
    assert problem["check"] == "hardlinks"
    assert "mediastack_split_mounts: true" in problem["remedy"]
    host.bundle["paths"]["split_mounts"] = True
    assert host.check() == []


def test_links_are_really_tried(host, monkeypatch):
    host.make("media", "downloads")

    def cross_device(*_arguments, **_named):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(write_probe.os, "link", cross_device)
    (problem,) = host.check()
    assert "Invalid cross-device link" in problem["what"]
    assert host.check(check_mode=True) == []


@needs_root
@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("mode", [0o755, 0o775])
def test_an_owner_that_keeps_the_apps_out_is_named(host, check_mode, mode):
    host.make("config", "media", "downloads", mode=mode)
    host.bundle["identity"] = {"puid": 12345, "pgid": 12345}
    problems = host.check(check_mode)
    assert checks(problems) == ["write"] * 3
    assert "PUID:PGID 12345:12345 cannot write to" in problems[0]["what"]
    assert "root:root (0:0), mode %04o" % mode in problems[0]["what"]
    assert problems[0]["remedy"] == "chown 12345:12345 %s" % host.bundle["paths"]["config"]
    os.chown(host.bundle["paths"]["config"], 1000, 1000)
    assert "set mediastack_puid: 1000 and mediastack_pgid: 1000" in host.check(check_mode)[0]["remedy"]
    for name in ("config", "media", "downloads"):
        os.chown(host.bundle["paths"][name], 0, 12345)
        os.chmod(host.bundle["paths"][name], 0o2775)
    assert host.check(check_mode) == []


@needs_root
def test_groups_of_root_do_not_help_the_apps(tmp_path):
    before = os.getgroups()
    os.chown(tmp_path, 0, 4321)
    os.chmod(tmp_path, 0o775)
    os.setgroups([4321])
    try:
        assert write_probe.probe(str(tmp_path), 12345, 12345) == "Permission denied"
        assert write_probe.probe(str(tmp_path), 12345, 4321) is None
    finally:
        os.setgroups(before)


@needs_root
def test_only_the_directory_itself_counts_not_the_way_to_it(host):
    host.make("config", "media", "downloads", mode=0o777)
    os.chmod(host.path, 0o700)
    host.bundle["identity"] = {"puid": 12345, "pgid": 12345}
    assert host.check() == []


def test_a_file_in_the_way(host):
    host.make("config")
    (host.path / "data" / "media").write_text("")
    problems = host.check()
    assert "media is not a directory" in problems[0]["what"]


def test_without_root_the_ids_must_be_ones_own(host, monkeypatch):
    host.bundle["identity"] = {"puid": 12345, "pgid": 12345}
    host.bundle["directories"] = [{"path": "/x", "owner": 12345, "group": 12345}]
    host.make("config", "media", "downloads")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    problems = host.check()
    assert checks(problems) == ["owner"]
    assert "become: true" in problems[0]["remedy"]
    assert "12345:12345 can write" in host.warnings[0]


def test_time_zones(host):
    assert preflight_paths.time_zone("Europe/Berlin", [], str(host.path / "root")) == []
    (problem,) = preflight_paths.time_zone("Europe/Berlim", [], str(host.path / "root"))
    assert problem["remedy"] == "set mediastack_timezone: Europe/Berlin"
    assert preflight_paths.time_zone("../../../etc/passwd", [], str(host.path / "root"))
    assert preflight_paths.time_zone("", [], str(host.path / "root"))
    zi = host.path / "root" / "usr" / "share" / "zoneinfo" / "tzdata.zi"
    zi.write_text("# version 2025a\nL America/New_York US/Eastern\n")
    assert preflight_paths.time_zone("US/Eastern", [], str(host.path / "root")) == []
    warnings = []
    assert preflight_paths.time_zone("Mars/Olympus", warnings, str(host.path / "nowhere")) == []
    assert "Mars/Olympus was not checked" in warnings[0]


def test_a_share_that_hangs_does_not_hang_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(write_probe, "DEADLINE", 0.2)
    monkeypatch.setattr(write_probe, "_try", lambda *_arguments: __import__("time").sleep(30))
    assert "did not answer" in write_probe.probe(str(tmp_path), os.geteuid(), os.getegid())
