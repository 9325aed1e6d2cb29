# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rollout by ssh that stops in time: a canary that fails, one whose sshd is gone, one in the second batch."""

from __future__ import annotations

import contextlib

import pytest
from user import SERVERS, User, containers, images, shelf, untouched, world

EVERYWHERE = "prowlarr"
CANARY, SECOND, THIRD = SERVERS
CHANGE = {"mediastack_overrides": {EVERYWHERE: {"labels": {"fleet.wave": "new"}}}}
SICK = {
    "mediastack_overrides": {
        EVERYWHERE: {"healthcheck": {"test": ["CMD", "false"], "retries": 1, "start_period": "0s"}}
    }
}


@pytest.fixture
def user():
    """A user with the scenario's inventory, to which the fleet is brought back."""
    made = User()
    yield made
    made.set()
    made.play("site")


@contextlib.contextmanager
def unreachable(name):
    """The server's sshd is gone for the length of a ``with``."""
    world.stop_sshd(SERVERS[name])
    try:
        yield
    finally:
        world.start_sshd(SERVERS[name])


def refused(user, playbook, counts):
    """Run what has to stop; the lines below the one that counts the servers."""
    done = user.play(playbook, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode != 0 and f"3 hosts: {counts}" in said, "\n".join(said)
    return said[said.index(f"3 hosts: {counts}") + 1 :]


def wave(name):
    """The label that a server's app has."""
    return containers(name)[EVERYWHERE]["Config"]["Labels"].get("fleet.wave")


def test_a_canary_that_fails_leaves_the_others_as_they_were(user):
    before = untouched(SECOND, THIRD)
    user.set(**SICK)
    lines = refused(user, "site", "1 failed, 2 untouched")
    assert untouched(SECOND, THIRD) == before
    assert lines[0].startswith(f"  failed       {CANARY}: ")
    assert lines[1] == f"  untouched    {SECOND}, {THIRD}"


def test_a_canary_that_cannot_be_reached_leaves_the_others_as_they_were(user):
    before = untouched(*SERVERS)
    user.set(**CHANGE)
    with unreachable(CANARY):
        refused(user, "site", "1 not reached, 2 untouched")
    assert untouched(*SERVERS) == before


def test_one_of_the_second_batch_that_cannot_be_reached_leaves_the_third_as_it_was(user):
    before = untouched(SECOND, THIRD)
    user.set(**CHANGE)
    with unreachable(SECOND):
        lines = refused(user, "site", "1 done, 1 not reached, 1 untouched")
    assert wave(CANARY) == "new"
    assert untouched(SECOND, THIRD) == before
    assert lines[0] == f"  done         {CANARY}"


def test_a_budget_lets_it_go_on(user):
    before = untouched(SECOND)
    user.set(**CHANGE, mediastack_site_serial=["1", "100%"], mediastack_max_fail_percentage=50)
    with unreachable(SECOND):
        refused(user, "site", "2 done, 1 not reached")
    assert [wave(name) for name in SERVERS] == ["new", None, "new"]
    assert untouched(SECOND) == before


def test_an_update_touches_nobody_while_a_server_cannot_be_reached(user):
    before = untouched(*SERVERS)
    shelf().publish(EVERYWHERE)
    with unreachable(SECOND):
        refused(user, "update", "1 not reached, 2 untouched")
    assert untouched(*SERVERS) == before
    user.play("update")


def test_a_bad_release_stops_at_the_canary_which_is_back_on_the_old_one(user):
    before, old = untouched(SECOND, THIRD), images(CANARY)
    shelf().publish(EVERYWHERE, fault="unhealthy")
    refused(user, "update", "1 failed, 2 untouched")
    assert untouched(SECOND, THIRD) == before
    assert images(CANARY) == old
    shelf().publish(EVERYWHERE)
    user.play("update")
