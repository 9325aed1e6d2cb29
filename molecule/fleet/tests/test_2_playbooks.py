# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one does with the fleet, by the playbooks and ssh: status, plan, update, stop, start, one server alone."""

from __future__ import annotations

import json

import pytest
from user import SERVERS, User, containers, images, recap, shelf, untouched

#: It runs on every server.
EVERYWHERE = "prowlarr"
CHANGE = {"mediastack_overrides": {EVERYWHERE: {"labels": {"fleet.test": "changed"}}}}


@pytest.fixture
def user():
    """A user with the scenario's inventory, to which the fleet is brought back."""
    made = User()
    yield made
    made.set()
    made.play("site")


@pytest.fixture(scope="module", autouse=True)
def lock():
    """The lock file, which the first update writes: nothing is newer yet."""
    user = User()
    before = untouched(*SERVERS)
    user.play("update")
    assert untouched(*SERVERS) == before
    assert user.lock_file.exists()


def states(name):
    """service → (status, health) of a server."""
    return {service: (one["State"]["Status"], one["State"].get("Health")) for service, one in containers(name).items()}


def test_status_tells_of_every_service_on_every_server(user, tmp_path):
    user.play("status", "-e", f"output={tmp_path}/status.json")
    told = json.loads((tmp_path / "status.json").read_text())
    assert {(row["host"], row["name"]) for row in told["services"]} == {
        (name, service) for name in SERVERS for service in containers(name)
    }
    assert {row["status"] for row in told["services"]} == {"HEALTHY"}


def test_plan_says_what_would_change_on_each_server_and_changes_nothing(user):
    before = untouched(*SERVERS)
    assert user.play("plan", check=False).returncode == 0
    user.set(**CHANGE)
    done = user.play("plan", check=False)
    assert done.returncode != 0
    assert done.stdout.count("fleet.test") >= len(SERVERS), done.stdout
    assert untouched(*SERVERS) == before


def test_one_server_alone_gets_a_change_and_the_next_site_gives_it_to_the_rest(user):
    user.set(**CHANGE)
    others = untouched("cellar", "shed")
    user.play("site", "--limit", "attic")
    assert containers("attic")[EVERYWHERE]["Config"]["Labels"]["fleet.test"] == "changed"
    assert untouched("cellar", "shed") == others
    attic = untouched("attic")
    told = recap(user.play("site"))
    assert {name: one["changed"] for name, one in told.items()} == {"cellar": 1, "attic": 0, "shed": 1}
    assert untouched("attic") == attic


def test_what_is_stopped_everywhere_stays_so_until_it_is_started(user):
    user.play("stop", "-e", f"service={EVERYWHERE}")
    for name in SERVERS:
        assert {one for one, state in states(name).items() if state[0] != "running"} == {EVERYWHERE}
    told = recap(user.play("site"))
    assert all(one["changed"] == 0 for one in told.values()), told
    assert all(states(name)[EVERYWHERE][0] == "exited" for name in SERVERS)
    user.play("start", "-e", f"service={EVERYWHERE}")
    assert all(states(name)[EVERYWHERE] == ("running", "healthy") for name in SERVERS)


def test_a_new_release_comes_to_all_of_them_and_nothing_else_is_touched(user):
    before = {name: containers(name) for name in SERVERS}
    digest = shelf().publish(EVERYWHERE)
    user.play("update")
    assert digest in user.lock_file.read_text()
    now = {name: containers(name) for name in SERVERS}
    assert len({images(name)[EVERYWHERE] for name in SERVERS}) == 1
    for name in SERVERS:
        assert now[name][EVERYWHERE]["Image"] != before[name][EVERYWHERE]["Image"]
        assert states(name)[EVERYWHERE] == ("running", "healthy")
        assert {one: raw["Id"] for one, raw in now[name].items() if one != EVERYWHERE} == {
            one: raw["Id"] for one, raw in before[name].items() if one != EVERYWHERE
        }


def test_a_second_site_changes_nothing_anywhere(user):
    before = untouched(*SERVERS)
    told = recap(user.play("site"))
    assert {name: one["changed"] for name, one in told.items()} == dict.fromkeys(SERVERS, 0)
    assert untouched(*SERVERS) == before
