# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether another inventory in the directory shares the lock file."""

from __future__ import annotations

import os

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import lock_file, lock_place


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "hosts.yml"
    path.write_text("mediastack:\n  hosts:\n    nas:\n")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("test.yml", "all:\n  children:\n    mediastack:\n      hosts: {lab: }\n"),
        ("test.yml", "all: {children: {mediastack: {hosts: {lab: }}}}\n"),
        ("hosts", "nas\n[mediastack]\nlab\n"),
        ("hosts.ini", "[mediastack:children]\nlabs\n"),
        ("inventory.py", '#!/usr/bin/python3\nprint(\'{"mediastack": ["lab"]}\')\n'),
    ],
)
def test_an_inventory_beside_that_of_the_run_shares_the_lock(tmp_path, mine, name, text):
    assert lock_place.is_shared(tmp_path, [str(mine)]) is False
    other = tmp_path / name
    other.write_text(text)
    assert lock_place.is_shared(tmp_path, [str(mine)]) is True
    # One of this run's is no other, by what name ever, nor is one in a directory that was given as a whole.
    (tmp_path / "link").symlink_to(other)
    assert lock_place.is_shared(tmp_path, [str(mine), str(tmp_path / "link")]) is False
    assert lock_place.is_shared(tmp_path, [str(tmp_path)]) is False


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("site.yml", "- hosts: mediastack\n  tasks: []\n- import_playbook: homelab.mediastack.site\n"),
        ("requirements.yml", "collections:\n  - name: homelab.mediastack\n"),
        ("vars.yml", "mediastack_images:\n  sonarr: a/b:1\n"),
        ("README.md", "The group mediastack: all servers.\n"),
        ("hosts.yml~", "mediastack:\n  hosts:\n    nas:\n"),
        (".hidden.yml", "mediastack:\n  hosts:\n    nas:\n"),
        (lock_file.NAME, "schema: 1\nimages: []\n# mediastack:\n"),
    ],
)
def test_what_else_lies_beside_an_inventory_is_none(tmp_path, mine, name, text):
    (tmp_path / name).write_text(text)
    (tmp_path / "group_vars").mkdir()
    assert lock_place.is_shared(tmp_path, [str(mine)]) is False


def test_what_cannot_be_read_may_be_one(tmp_path, mine, monkeypatch):
    assert lock_place.is_shared(tmp_path / "gone", [str(mine)]) is True
    (tmp_path / "other.yml").write_text("")

    def refuse(path, *_arguments):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(lock_place, "open", refuse, raising=False)
    assert lock_place.is_shared(tmp_path, [str(mine)]) is True
