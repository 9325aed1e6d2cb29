# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disk of the configuration or of the snapshots is full, or is not there."""

from __future__ import annotations

import fault_acts as acts
import fault_inject as inject
import pytest
from fault_disks import BACKUPS, CONFIG, DiskStack, full, gone

pytestmark = pytest.mark.full
CHECKING, SNAPSHOT, RECREATING, GATING = "checking", "snapshot", inject.RECREATING, "gating"
FULL = {CONFIG: "config disk full", BACKUPS: "snapshot disk full"}
GONE = {CONFIG: "config disk gone", BACKUPS: "snapshot disk gone"}


@pytest.fixture
def cells(stacks):
    """Cells on a stack with disks that can be filled."""
    return stacks(kind=DiskStack, faults_stop="1.5")


def two_generations(cells):
    """There is something to go back to, and something to restore."""
    record = cells.stack.state("generations")
    if not record or len(record["generations"]) < 2:
        cells.stack.publish()
        cells.stack.play("update")
    if not list(cells.stack.backups.glob("*-backup-*")):
        cells.stack.play("backup")


@pytest.mark.parametrize("step", [CHECKING, RECREATING])
def test_site_config_full(cells, step):
    prepare = acts.both(acts.changed, full(CONFIG)) if step == CHECKING else acts.changed
    act = acts.nothing if step == CHECKING else full(CONFIG, inject.compose_runs)
    cells.cell("site", FULL[CONFIG], step, act, prepare=prepare)


@pytest.mark.parametrize(
    ("disk", "step"),
    [(CONFIG, CHECKING), (CONFIG, RECREATING), (CONFIG, GATING), (BACKUPS, CHECKING), (BACKUPS, SNAPSHOT)],
)
def test_update_full(cells, disk, step):
    if step == CHECKING:
        row = cells.cell("update", FULL[disk], step, acts.nothing, prepare=acts.both(acts.released, full(disk)))
        assert disk == CONFIG or row["rc"] != 0, row
    else:
        cells.cell("update", FULL[disk], step, full(disk, acts.at(step)), prepare=acts.released)


@pytest.mark.parametrize("verb", ["rollback", "restore"])
@pytest.mark.parametrize(("disk", "step"), [(CONFIG, CHECKING), (BACKUPS, CHECKING), (CONFIG, RECREATING)])
def test_back_full(cells, verb, disk, step):
    two_generations(cells)
    prepare = full(disk) if step == CHECKING else None
    act = acts.nothing if step == CHECKING else full(disk, acts.at(step))
    arguments = acts.other_generation(cells) if verb == "rollback" else ()
    cells.cell(verb, FULL[disk], step, act, arguments=arguments, prepare=prepare)


@pytest.mark.parametrize("verb", ["site", "update", "rollback", "restore"])
@pytest.mark.parametrize("disk", [CONFIG, BACKUPS])
def test_gone(cells, verb, disk):
    two_generations(cells)
    change = {"site": [acts.changed], "update": [acts.released]}.get(verb, [])
    arguments = acts.other_generation(cells) if verb == "rollback" else ()
    cells.cell(verb, GONE[disk], CHECKING, acts.nothing, arguments=arguments, prepare=acts.both(*change, gone(disk)))
