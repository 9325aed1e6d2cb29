# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of what an update and its way back do to a host, on recorded containers and a run that only notes."""

from __future__ import annotations

import types

import pytest
from test_convergence import as_it_is
from test_engine_state import recorded

from ansible_collections.homelab.mediastack.plugins.module_utils import convergence, journal, update_rollback
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import StackError
from ansible_collections.homelab.mediastack.plugins.module_utils.update_run import Update

SERVICES = {name: {"snapshot": {"method": "copy", "paths": ["."]}} for name in ("sonarr", "radarr")}


class Run:
    """As `Update`, as far as the way back goes: what is asked of it is noted."""

    def __init__(self, **entry):
        self.did = []
        image = {"image": "x:1", "image_id": "id1", "digest": None}
        self.txn = types.SimpleNamespace(at=self.at, entry={"snapshot": "s", "verb": "update", "why": "bad", **entry})
        self.txn.entry["services"] = {name: {"from": image, "to": image} for name in SERVICES}
        self.request = types.SimpleNamespace(bundle={"services": SERVICES})
        self.progress = types.SimpleNamespace(say=lambda _what: None)
        self.source = types.SimpleNamespace(rendered=types.SimpleNamespace(write=lambda: self.did.append("files")))
        self.supply = types.SimpleNamespace(name_images=lambda names: list(names))
        self.project = recorded("well")
        self.wanted = as_it_is(self.project)
        self.holding = types.SimpleNamespace(left={})

    def at(self, step, **more):
        self.txn.entry.update(more, step=step)

    def pinned_targets(self, _targets):
        pass

    def look(self):
        pass

    def new_containers(self):
        return []

    def goals(self):
        return {}

    def probe(self, _names):
        pass

    def stop_and_put_back(self, data, _before, _word):
        self.did += [f"data of {', '.join(names)}" for names in data.values()]

    def converge(self, _plan):
        self.did.append("containers")


def test_the_files_name_the_old_images_before_any_data_goes_back():
    """PostgreSQL comes up for its data: by files that name the release that does not start it never would."""
    run = Run(back=["sonarr"], data=["sonarr"])
    update_rollback._restore(run, ["sonarr"])
    assert run.did == ["files", "data of sonarr", "containers"]


def test_what_shows_late_goes_back_too_and_no_data_twice():
    run = Run(back=["sonarr"], refuse=["sonarr"], data=["sonarr", "radarr"], data_is_back=["sonarr"])
    error = StackError("radarr is bad", failures=[{"service": "radarr", "what": "bad"}])
    assert [one["service"] for one in update_rollback._widen(run, error)] == ["radarr"]
    assert run.txn.entry["step"] == journal.ROLLING_BACK
    assert run.txn.entry["back"] == run.txn.entry["refuse"] == ["sonarr", "radarr"]
    update_rollback._restore(run, run.txn.entry["back"])
    assert run.did == ["files", "data of radarr", "containers"]


@pytest.mark.parametrize("failures", [[], [{"service": "stranger", "what": "bad"}]])
def test_an_error_that_blames_nothing_that_was_moved_takes_nothing_more_back(failures):
    run = Run(back=["sonarr"], data=[])
    assert update_rollback._widen(run, StackError("the engine is gone", failures=failures)) == []


@pytest.mark.parametrize(("held", "action"), [({}, "restart"), ({"sonarr": "held"}, "none")])
def test_what_is_copied_while_it_is_down_stops_and_starts_although_nothing_else_is_to_be_done(held, action):
    run = Update.__new__(Update)
    run.project, run.holding = recorded("well"), types.SimpleNamespace(left=held)
    plan = convergence.plan_present(as_it_is(run.project), run.project)
    assert run._with_stops(plan, {"sonarr"}).decisions["sonarr"].action == action
