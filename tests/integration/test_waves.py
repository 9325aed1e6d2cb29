# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rollout in waves: what fails or cannot be reached stops it, and the hosts after it are as they were."""

from __future__ import annotations

import itertools

import pytest
from fleet_lab import HOSTS, STEADY, TARGET, Fleet

FIRST, SECOND, THIRD = HOSTS
#: No app ever becomes healthy with this health check, and one knows soon.
SICK = {TARGET: {"healthcheck": {"test": ["CMD", "busybox", "false"], "retries": 1, "start_period": "0s"}}}
words = itertools.count(1)


@pytest.fixture(scope="module")
def made():
    """Three hosts on the first release."""
    fleet = Fleet(services=(TARGET, STEADY))
    try:
        fleet.play("site")
        yield fleet
    finally:
        fleet.close()


@pytest.fixture
def fleet(made):
    """The same, and all of it is well again afterwards."""
    yield made
    made.unreachable()
    made.set(mediastack_overrides=None, mediastack_site_serial=None, mediastack_update_serial=None)
    made.set(mediastack_max_fail_percentage=None)
    made.play("site")


@pytest.fixture
def locked(fleet):
    """The same, with a lock: `update` has nothing to do."""
    fleet.play("update")
    return fleet


def change(fleet):
    """Change every host's target by the inventory; the word that it then has."""
    word = f"word-{next(words)}"
    fleet.set(faults_word=word)
    return word


def word_of(fleet, host):
    """The word that a host's target has."""
    environment = dict(one.partition("=")[::2] for one in fleet.on(host)[TARGET]["Config"]["Env"])
    return environment["WORD"]


def told(done, counts):
    """The lines below the one that counts the hosts of a stopped rollout."""
    said = (done.stdout + done.stderr).splitlines()
    assert f"3 hosts: {counts}" in said, "\n".join(said)
    return said[said.index(f"3 hosts: {counts}") + 1 :]


def test_a_canary_that_never_becomes_healthy_stops_site(fleet):
    before = fleet.bytes(SECOND, THIRD)
    fleet.set(mediastack_overrides=SICK)
    done = fleet.play("site", check=False)
    assert done.returncode != 0, done.stdout
    assert fleet.on(FIRST)[TARGET]["State"]["Health"]["Status"] == "unhealthy"
    assert fleet.bytes(SECOND, THIRD) == before
    lines = told(done, "1 failed, 2 untouched")
    assert lines[0].startswith(f"  failed       {FIRST}: "), lines[0]
    assert f"{TARGET} is unhealthy" in done.stdout
    assert lines[1] == f"  untouched    {SECOND}, {THIRD}"


@pytest.mark.long
def test_a_host_that_cannot_be_reached_stops_site_wherever_it_is(fleet):
    before = fleet.bytes(*HOSTS)
    word = change(fleet)
    fleet.unreachable(FIRST)
    done = fleet.play("site", check=False)
    assert done.returncode != 0, done.stdout
    assert fleet.bytes(*HOSTS) == before
    assert told(done, "1 not reached, 2 untouched")[1] == f"  untouched    {SECOND}, {THIRD}"

    fleet.unreachable(SECOND)
    done = fleet.play("site", check=False)
    assert done.returncode != 0, done.stdout
    assert word_of(fleet, FIRST) == word
    assert fleet.bytes(SECOND, THIRD) == {host: before[host] for host in (SECOND, THIRD)}
    lines = told(done, "1 done, 1 not reached, 1 untouched")
    assert lines[0] == f"  done         {FIRST}"
    assert lines[1].startswith(f"  not reached  {SECOND}: "), lines[1]
    assert lines[2] == f"  untouched    {THIRD}"


@pytest.mark.long
def test_a_budget_lets_site_go_on_and_the_run_still_fails(fleet):
    word = change(fleet)
    before = fleet.bytes(SECOND)
    fleet.set(mediastack_site_serial=["1", "100%"], mediastack_max_fail_percentage=50)
    fleet.unreachable(SECOND)
    done = fleet.play("site", check=False)
    assert done.returncode != 0, done.stdout
    assert [word_of(fleet, host) for host in (FIRST, THIRD)] == [word, word]
    assert fleet.bytes(SECOND) == before
    assert told(done, "2 done, 1 not reached")[0] == f"  done         {FIRST}, {THIRD}"


@pytest.mark.long
def test_the_first_batch_may_be_as_large_as_the_inventory_says(fleet):
    before = fleet.bytes(*HOSTS)
    fleet.set(mediastack_site_serial=["2", "100%"], mediastack_overrides=SICK)
    done = fleet.play("site", check=False)
    assert done.returncode != 0, done.stdout
    assert fleet.bytes(THIRD) == {THIRD: before[THIRD]}
    told(done, "2 failed, 1 untouched")


@pytest.mark.long
@pytest.mark.parametrize("host", [FIRST, SECOND])
def test_a_host_that_cannot_be_reached_stops_update_before_anything_is_changed(locked, host):
    before, lock = locked.bytes(*HOSTS), locked.lock_file.read_bytes()
    locked.publish(TARGET)
    locked.unreachable(host)
    done = locked.play("update", check=False)
    assert done.returncode != 0, done.stdout
    assert locked.bytes(*HOSTS) == before
    assert locked.lock_file.read_bytes() == lock
    told(done, "1 not reached, 2 untouched")


@pytest.mark.long
def test_a_budget_lets_update_go_on_and_the_host_gets_the_release_when_it_is_back(locked):
    before = locked.bytes(SECOND)
    digest = locked.publish(TARGET)
    locked.set(mediastack_max_fail_percentage=50)
    locked.unreachable(SECOND)
    done = locked.play("update", check=False)
    assert done.returncode != 0, done.stdout
    assert digest in locked.lock_file.read_text()
    assert locked.bytes(SECOND) == before
    assert locked.on(FIRST)[TARGET]["Image"] == locked.on(THIRD)[TARGET]["Image"]
    told(done, "2 done, 1 not reached")
    locked.unreachable()
    locked.play("update")
    assert len({locked.on(host)[TARGET]["Image"] for host in HOSTS}) == 1
