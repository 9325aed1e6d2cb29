# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can happen while `site` makes a host match the inventory. (What must come of it: fault_cell.)"""

from __future__ import annotations

import fault_acts as acts
import fault_inject as inject
import pytest
from fault_stack import EXTRA, TARGET

full = pytest.mark.full
PULLING, RECREATING, GATING = inject.PULLING, inject.RECREATING, inject.GATING
STEPS = {
    PULLING: (acts.both(acts.selected, acts.broken("hang")), acts.pull_waits),
    RECREATING: (acts.changed, inject.compose_runs),
    GATING: (acts.changed, inject.gate_looks),
}
SHORT = {(acts.WHOLE, RECREATING)}
KILLED = [(fault, step) for fault in (acts.WHOLE, acts.MODULE, acts.TERM) for step in STEPS]
KILLED += [(acts.COMPOSE, RECREATING)]


@pytest.fixture
def extra(cells):
    """The stack, without the service that some cells bring up for the first time when they are over."""
    yield cells
    if EXTRA in cells.stack.services:
        cells.stack.deselect()


@pytest.mark.parametrize(
    ("fault", "step"), [pytest.param(*case, marks=() if case in SHORT else full) for case in KILLED]
)
def test_killed(extra, fault, step):
    prepare, wait = STEPS[step]
    extra.cell("site", fault, step, acts.killed(acts.KILLS[fault], wait), prepare=prepare)


@full
@pytest.mark.parametrize("kind", acts.REGISTRY)
def test_registry(extra, kind):
    act = acts.hung if kind == "hang" else acts.nothing
    prepare = acts.both(acts.selected, acts.broken(kind, "/blobs/" if kind == "truncated" else ""))
    row = extra.cell("site", acts.REGISTRY[kind], PULLING, act, prepare=prepare)
    assert row["rc"] != 0 and row["gap"] == row["others"] == 0, row


@full
def test_name_of_the_registry(extra):
    def elsewhere(run):
        run.stack.select()
        run.stack.set(mediastack_images={EXTRA: "registry.faults.invalid/faults/extra:1"})
        run.after(lambda: run.stack.set(mediastack_images=None))

    row = extra.cell("site", "DNS is dead", PULLING, acts.nothing, prepare=elsewhere)
    assert row["rc"] != 0 and row["gap"] == row["others"] == 0, row


@full
def test_port_that_somebody_has(cells):
    def prepare(run):
        run.stack.set(mediastack_ports={**run.stack.ports, TARGET: run.stack.spare})
        run.after(lambda: run.stack.set(mediastack_ports=run.stack.ports))
        inject.steal_port(run, run.stack.spare)

    row = cells.cell("site", "port is somebody's", "checking", acts.nothing, prepare=prepare)
    assert row["rc"] != 0 and row["gap"] == row["others"] == 0, row


@full
def test_port_stolen(stacks):
    # An app that takes a moment to stop leaves its port free for that long.
    slow = stacks("slow", faults_stop="1.5")
    row = slow.cell("site", "port stolen", RECREATING, acts.steal(inject.compose_runs), prepare=acts.changed)
    assert row["rc"] != 0, row


@full
def test_config_directory_gone(cells):
    cells.cell("site", "config directory gone", "checking", acts.nothing, prepare=acts.config_gone)


@full
@pytest.mark.parametrize("step", [RECREATING])
def test_second_run(cells, step):
    seen = []
    act = acts.second("site", STEPS[step][1], seen)
    cells.cell("site", acts.SECOND, step, act, prepare=STEPS[step][0], ok=True)
    assert seen[0].returncode == 0, seen[0].stdout


@pytest.mark.parametrize("fault", ["crash", pytest.param("never", marks=full), pytest.param("loop", marks=full)])
def test_first_release_is_bad(extra, fault):
    """A service that never ran: the run fails, says so, and the next good release comes up."""
    said = {"crash": "image crashes at once", "never": "image is never healthy", "loop": "image crash-loops"}[fault]

    def prepare(run):
        run.stack.select(fault=fault)
        run.after(lambda: run.stack.select(fault=""))

    row = extra.cell("site", said, GATING, acts.nothing, prepare=prepare)
    assert row["rc"] != 0 and not row["well"], row
