# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can happen to the run, the registry and the host while `update` moves a service to a new release."""

from __future__ import annotations

import fault_acts as acts
import fault_inject as inject
import pytest

full = pytest.mark.full
RESOLVING, PULLING = "resolving", inject.PULLING
PREPARED, SNAPSHOT, RECREATING = "prepared", "snapshot", "recreating"
GATING, COMMITTING, ROLLING_BACK = "gating", "committing", "rolling_back"


def bad(run):
    """A release that ends after it has migrated its database."""
    acts.released(run, "bad")


STEPS = {
    RESOLVING: (acts.both(acts.released, acts.broken("hang", "/manifests/")), acts.pull_waits),
    PULLING: (acts.both(acts.released, acts.broken("hang", "/blobs/")), acts.pull_waits),
    **{step: (acts.released, acts.at(step)) for step in (PREPARED, SNAPSHOT, RECREATING, GATING, COMMITTING)},
    ROLLING_BACK: (bad, acts.at(ROLLING_BACK)),
}
SHORT = {(acts.WHOLE, RECREATING)}
KILLED = [(acts.WHOLE, step) for step in STEPS]
KILLED += [(acts.MODULE, step) for step in (SNAPSHOT, RECREATING, GATING, ROLLING_BACK)]
KILLED += [(acts.TERM, step) for step in (PULLING, SNAPSHOT, RECREATING, GATING, ROLLING_BACK)]
KILLED += [(acts.COMPOSE, step) for step in (RECREATING, ROLLING_BACK)]


@pytest.fixture
def cells(stacks):
    """Cells on a stack whose apps take a second and a half to stop, so that there is a step of making anew."""
    return stacks(faults_stop="1.5")


@pytest.mark.parametrize(
    ("fault", "step"), [pytest.param(*case, marks=() if case in SHORT else full) for case in KILLED]
)
def test_killed(cells, fault, step):
    prepare, wait = STEPS[step]
    cells.cell("update", fault, step, acts.killed(acts.KILLS[fault], wait), prepare=prepare)


@full
@pytest.mark.parametrize("step", [RESOLVING, PULLING])
@pytest.mark.parametrize("kind", acts.REGISTRY)
def test_registry(cells, kind, step):
    if (kind, step) in {("truncated", RESOLVING), ("dead", PULLING)}:
        pytest.skip("that cannot be")
    act = acts.hung if kind == "hang" else acts.nothing
    prepare = acts.both(acts.released, acts.broken(kind, "/manifests/|^/v2/$" if step == RESOLVING else "/blobs/"))
    row = cells.cell("update", acts.REGISTRY[kind], step, act, prepare=prepare)
    if kind == "hang" and row["rc"] == 0:
        # It was asked again, and answered by then.
        assert row["image"] == "new" and row["by"] == "itself", row
    else:
        assert row["rc"] != 0 and row["gap"] == row["others"] == 0, row


@full
def test_name_of_the_registry(cells):
    def elsewhere(run):
        run.stack.set(mediastack_images={run.target: f"registry.faults.invalid/faults/{run.target}:1"})
        run.after(lambda: run.stack.set(mediastack_images=None))

    row = cells.cell("update", "DNS is dead", RESOLVING, acts.nothing, prepare=elsewhere)
    assert row["rc"] != 0 and row["gap"] == row["others"] == 0, row


@full
def test_port_stolen(cells):
    row = cells.cell("update", "port stolen", RECREATING, acts.steal(acts.at(RECREATING)), prepare=acts.released)
    assert row["rc"] != 0, row


@full
def test_config_directory_gone(cells):
    prepare = acts.both(acts.released, acts.config_gone)
    cells.cell("update", "config directory gone", "checking", acts.nothing, prepare=prepare)


@full
@pytest.mark.parametrize("verb", ["update", "site"])
def test_second_run(cells, verb):
    seen = []
    act = acts.second(verb, acts.at(RECREATING), seen)
    cells.cell("update", f"{verb} at once", RECREATING, act, prepare=acts.released, ok=True)
    assert seen[0].returncode == 0, seen[0].stdout
