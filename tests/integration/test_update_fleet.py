# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bad release on a fleet: `update` stops at the first host, which is back on the old image and data."""

from __future__ import annotations

import json

import pytest
from fleet_lab import HOSTS, STEADY, TARGET, Fleet, fault_data
from stack_harness import docker


@pytest.fixture(scope="module")
def fleet():
    """Three hosts on the first release, with a lock."""
    made = Fleet(services=(TARGET, STEADY))
    try:
        made.play("site")
        made.play("update")
        yield made
    finally:
        made.close()


@pytest.mark.long
def test_a_bad_release_stops_at_the_first_host_which_is_back_on_the_old_image_and_data(fleet):
    lives, data = {host: fleet.lives(host) for host in HOSTS}, fleet.data("box")
    lock = fleet.lock_file.read_bytes()
    digest = fleet.publish(TARGET, "bad")
    done = fleet.play("update", check=False)
    assert done.returncode != 0, done.stdout
    assert "rolled back" in done.stdout, done.stdout
    # The others never changed: same containers, not even restarted.
    assert {host: fleet.lives(host) for host in HOSTS[1:]} == {host: lives[host] for host in HOSTS[1:]}
    # The first one is back, image and data, and remembers why.
    first = fleet.on("box")
    assert {name: one["Image"] for name, one in first.items()} == {name: life[2] for name, life in lives["box"].items()}
    assert all(one["State"]["Running"] for one in first.values())
    assert fleet.lives("box")[STEADY] == lives["box"][STEADY]
    now = fleet.data("box")
    assert {name: (one.schema, one.digest) for name, one in now.items()} == {
        name: (one.schema, one.digest) for name, one in data.items()
    }
    assert fault_data.lost(data, now, [fleet.base / "backups"]).rows == 0
    refused = json.loads((fleet.project_path / ".mediastack" / "refused.json").read_text())
    assert refused["services"][TARGET]["digest"] == digest
    assert not list(fleet.base_on("second").glob("compose/.mediastack/refused.json"))
    # Nobody else may get what the first host refused.
    assert fleet.lock_file.read_bytes() == lock
    fleet.play("site")
    fleet.play("status")


@pytest.mark.long
def test_a_good_release_then_goes_to_all_of_them(fleet):
    digest = fleet.publish(TARGET)
    fleet.play("update")
    images = {host: fleet.on(host)[TARGET]["Image"] for host in HOSTS}
    assert len(set(images.values())) == 1
    assert digest in fleet.lock_file.read_text()
    repository = fleet.on("box")[TARGET]["Image"]
    assert any(digest in one for one in json.loads(docker("image", "inspect", repository))[0]["RepoDigests"])
    fleet.play("status")
