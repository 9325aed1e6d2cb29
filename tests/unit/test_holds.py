# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of holds: what it keeps, what it says, and what it refuses."""

from __future__ import annotations

import json
import re
import stat

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import holds
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError


def test_nothing_is_held_where_there_is_no_record(tmp_path):
    assert holds.read(str(tmp_path / "none")) == {}
    assert holds.clear(str(tmp_path), ["sonarr"]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_hold_says_who_when_and_why(tmp_path):
    path = str(tmp_path)
    assert holds.record(path, ["sonarr", "radarr"], holds.STOP, "anna@laptop", "stop service=sonarr", 0) == [
        "sonarr",
        "radarr",
    ]
    entry = holds.read(path)["sonarr"]
    assert (entry["verb"], entry["who"], entry["why"]) == ("stop", "anna@laptop", "stop service=sonarr")
    assert re.match(r"^19(69|70)-\d\d-\d\dT\d\d:\d\d:00[+-]\d\d:\d\d$", entry["when"])
    assert re.match(r"^held stopped since 19\d\d-\d\d-\d\d \d\d:\d\d [+-]\d{4} by anna@laptop$", holds.since(entry))
    file = tmp_path / ".mediastack" / "holds.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_first_of_two_equal_holds_is_kept_and_another_verb_replaces(tmp_path):
    path = str(tmp_path)
    holds.record(path, ["sonarr"], holds.STOP, "anna@laptop", "first")
    assert holds.record(path, ["sonarr", "radarr"], holds.STOP, "ben@pc", "second") == ["radarr"]
    assert holds.read(path)["sonarr"]["why"] == "first"
    assert holds.record(path, ["sonarr"], holds.START, "ben@pc", "third") == ["sonarr"]
    assert holds.read(path)["sonarr"]["verb"] == "start"


def test_clearing_leaves_the_others(tmp_path):
    path = str(tmp_path)
    holds.record(path, ["sonarr", holds.VPN], holds.STOP, "a", "b")
    assert holds.clear(path, ["sonarr", "lidarr"]) == ["sonarr"]
    assert list(holds.read(path)) == ["vpn"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"holds": []}',
        '{"holds": {"sonarr": "stop"}}',
        '{"holds": {"sonarr": {"verb": "stop"}}}',
        json.dumps({"schema": 2, "holds": {}}),
    ],
)
def test_a_damaged_record_is_an_error_with_file_and_remedy_and_is_not_overwritten(tmp_path, content):
    file = tmp_path / ".mediastack" / "holds.json"
    file.parent.mkdir()
    file.write_text(content)
    for attempt in (
        lambda: holds.read(str(tmp_path)),
        lambda: holds.record(str(tmp_path), ["sonarr"], holds.STOP, "a", "b"),
        lambda: holds.clear(str(tmp_path), ["sonarr"]),
    ):
        with pytest.raises(FileError) as caught:
            attempt()
        assert str(file) in str(caught.value) and "move it away" in str(caught.value)
    assert file.read_text() == content
