# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can happen while `rollback` goes back to the images and the data of the generation before."""

from __future__ import annotations

import fault_acts as acts
import pytest

full = pytest.mark.full
PREPARED, SNAPSHOT, RECREATING, GATING, COMMITTING = "prepared", "snapshot", "recreating", "gating", "committing"
SHORT = {(acts.WHOLE, RECREATING)}
KILLED = [(acts.WHOLE, step) for step in (PREPARED, SNAPSHOT, RECREATING, GATING, COMMITTING)]
KILLED += [(acts.MODULE, step) for step in (RECREATING, GATING)]
KILLED += [(acts.TERM, step) for step in (SNAPSHOT, RECREATING, GATING)]
KILLED += [(acts.COMPOSE, RECREATING)]


@pytest.fixture
def cells(stacks):
    """Cells on a stack with a generation before; a rollback goes to and fro between two."""
    made = stacks(faults_stop="1.5")
    record = made.stack.state("generations")
    if not record or len(record["generations"]) < 2:
        made.stack.publish()
        made.stack.play("update")
    return made


@pytest.mark.parametrize(
    ("fault", "step"), [pytest.param(*case, marks=() if case in SHORT else full) for case in KILLED]
)
def test_killed(cells, fault, step):
    cells.cell(
        "rollback", fault, step, acts.killed(acts.KILLS[fault], acts.at(step)), arguments=acts.other_generation(cells)
    )


@full
def test_registry_dead(cells):
    old = cells.stack.images()
    prepare = acts.broken("dead")
    row = cells.cell(
        "rollback",
        acts.REGISTRY["dead"],
        "all of it",
        acts.nothing,
        arguments=acts.other_generation(cells),
        prepare=prepare,
        ok=True,
    )
    assert cells.stack.images() != old and row["by"] == "itself", row


@full
def test_port_stolen(cells):
    row = cells.cell(
        "rollback", "port stolen", RECREATING, acts.steal(acts.at(SNAPSHOT)), arguments=acts.other_generation(cells)
    )
    assert row["rc"] != 0, row


@full
def test_config_directory_gone(cells):
    cells.cell(
        "rollback",
        "config directory gone",
        "checking",
        acts.nothing,
        arguments=acts.other_generation(cells),
        prepare=acts.config_gone,
    )


@full
@pytest.mark.parametrize("verb", ["site"])
def test_second_run(cells, verb):
    seen = []
    act = acts.second(verb, acts.at(RECREATING), seen)
    cells.cell("rollback", f"{verb} at once", RECREATING, act, arguments=acts.other_generation(cells), ok=True)
    assert seen[0].returncode == 0, seen[0].stdout
