# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Room for images and snapshot, before an update touches anything."""

from __future__ import annotations

import os
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import update_space

MB = 10**6


@pytest.fixture
def free(monkeypatch):
    """Sets the free bytes of every disk."""

    def set_free(count):
        usage = types.SimpleNamespace(f_bavail=count // 4096, f_frsize=4096)
        monkeypatch.setattr(update_space.os, "statvfs", lambda _path: usage)

    return set_free


def test_images_are_needed_twice_while_they_are_unpacked(free, tmp_path):
    free(300 * MB)
    assert update_space.of_images(str(tmp_path), {"sonarr": 100 * MB}) == []
    (found,) = update_space.of_images(str(tmp_path), {"sonarr": 100 * MB, "radarr": 100 * MB})
    assert found["check"] == "image_space" and "sonarr, radarr: about 467 MB" in found["what"]
    assert str(tmp_path) in found["value"] and "300 MB free" in found["value"]


def test_an_engine_elsewhere_or_nothing_to_pull_is_not_looked_at(free, tmp_path):
    free(0)
    assert update_space.of_images("/there/is/none", {"sonarr": MB}) == []
    assert update_space.of_images(str(tmp_path), {}) == []


def test_a_snapshot_needs_room_where_the_backups_are_or_will_be(free, tmp_path, monkeypatch):
    monkeypatch.setattr(update_space.snapshot_size, "needed", lambda _services, _names, _store: 100 * MB)
    place = os.path.join(tmp_path, "not", "made", "yet")
    free(300 * MB)
    assert update_space.of_snapshot({"services": {}}, ["sonarr"], place) == []
    free(200 * MB)
    (found,) = update_space.of_snapshot({"services": {}}, ["sonarr"], place)
    assert found["where"] == "mediastack_backup_path" and "mediastack_backup_path" in found["remedy"]
