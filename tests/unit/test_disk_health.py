# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rows of nearly full disks."""

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import disk_health


def disk(used, device=1, **more):
    known = {"path": "/srv", "total_bytes": 10**12, "free_bytes": 12 * 10**10, "inodes_used_percent": 5.0}
    return {**known, "used_percent": used, "device": device, **more}


def disk_rows(warn=90, critical=97, **disks):
    return [(row["name"], row["status"], row["message"]) for row in disk_health.rows(disks, "nas", warn, critical)]


def test_a_disk_with_room_has_no_row():
    assert disk_rows(base=disk(89.9)) == []


@pytest.mark.parametrize(
    ("used", "status"), [(90.0, "DEGRADED"), (93.4, "DEGRADED"), (97.0, "UNHEALTHY"), (100.0, "UNHEALTHY")]
)
def test_a_disk_over_a_threshold(used, status):
    assert disk_rows(media=disk(used)) == [("(disk media)", status, f"/srv: {int(used)} % full, 120 GB free")]


def test_one_file_system_is_told_once_and_another_for_itself():
    rows = disk_rows(
        base=disk(93.0),
        media=disk(93.0, path="/srv/media"),
        subvolume=disk(93.0, device=2, path="/srv/subvolume"),
        downloads=disk(98.0, device=3, free_bytes=2_400_000_000, path="/mnt/downloads"),
    )
    assert rows == [
        ("(disk base)", "DEGRADED", "/srv: 93 % full, 120 GB free"),
        ("(disk downloads)", "UNHEALTHY", "/mnt/downloads: 98 % full, 2.4 GB free"),
    ]


def test_inodes_count_too():
    full = disk(40.0, inodes_used_percent=99.2)
    assert disk_rows(media=full) == [("(disk media)", "UNHEALTHY", "/srv: 99 % of its inodes used")]
    assert disk_rows(media=disk(40.0, inodes_used_percent=None)) == []


def test_a_warning_threshold_above_the_critical_one_changes_nothing_there():
    assert disk_rows(warn=99, critical=95, media=disk(96.0))[0][1] == "UNHEALTHY"


def test_a_disk_that_cannot_be_looked_at_is_unknown():
    rows = disk_rows(media={"path": "/mnt/nas", "error": "/mnt/nas: timed out after 30 s"})
    assert rows == [("(disk media)", "UNKNOWN", "/mnt/nas: timed out after 30 s")]


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 kB"), (3_400_000, "3.4 MB"), (120 * 10**9, "120 GB"), (1_234_000_000_000, "1.2 TB")]
)
def test_sizes(number, words):
    assert disk_health.size(number) == words


@pytest.mark.parametrize(
    ("disks", "full"),
    [
        ({"base": disk(100.0, free_bytes=1 << 20), "config": disk(100.0, free_bytes=1 << 20)}, []),
        ({"base": disk(50.0), "config": disk(100.0, free_bytes=4096, path="/srv/config")}, ["(disk config)"]),
        ({"base": disk(100.0, free_bytes=0), "config": disk(100.0, free_bytes=0)}, ["(disk base)"]),
        ({"media": disk(100.0, free_bytes=0), "base": {"path": "/srv", "error": "no answer"}}, []),
        ({}, []),
    ],
)
def test_a_full_disk_of_configuration_is_told_whatever_the_thresholds_are(disks, full):
    rows = disk_health.full(disks, "nas")
    assert [row["name"] for row in rows] == full
    assert all(row["status"] == "UNHEALTHY" and "make room" in row["message"] for row in rows)
