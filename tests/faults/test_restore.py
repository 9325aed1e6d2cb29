# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can happen while `restore` puts the files of a backup back."""

from __future__ import annotations

import fault_acts as acts
import pytest
from fault_stack import TARGET

full = pytest.mark.full
PREPARED, SNAPSHOT, RECREATING, GATING, COMMITTING = "prepared", "snapshot", "recreating", "gating", "committing"
ONE = ("-e", f"service={TARGET}")
SHORT = {(acts.WHOLE, RECREATING)}
KILLED = [(acts.WHOLE, step) for step in (PREPARED, SNAPSHOT, RECREATING, GATING, COMMITTING)]
KILLED += [(acts.MODULE, step) for step in (RECREATING, GATING)]
KILLED += [(acts.TERM, step) for step in (SNAPSHOT, RECREATING, GATING)]
# No cell for a kill of Compose: `restore` stops and starts the containers that are there.


@pytest.fixture
def cells(stacks):
    """Cells on a stack of which there is a backup."""
    made = stacks(faults_stop="1.5")
    if not list(made.stack.backups.glob("*-backup-*")):
        made.stack.play("backup")
    return made


@pytest.mark.parametrize(
    ("fault", "step"), [pytest.param(*case, marks=() if case in SHORT else full) for case in KILLED]
)
def test_killed(cells, fault, step):
    cells.cell("restore", fault, step, acts.killed(acts.KILLS[fault], acts.at(step)), arguments=ONE)


@full
def test_registry_dead(cells):
    prepare = acts.broken("dead")
    cells.cell("restore", acts.REGISTRY["dead"], "all of it", acts.nothing, arguments=ONE, prepare=prepare, ok=True)


@full
def test_port_stolen(cells):
    row = cells.cell("restore", "port stolen", RECREATING, acts.steal(acts.at(SNAPSHOT)), arguments=ONE)
    assert row["rc"] != 0, row


@full
def test_second_run(cells):
    seen = []
    act = acts.second("site", acts.at(RECREATING), seen)
    cells.cell("restore", "site at once", RECREATING, act, arguments=ONE, ok=True)
    assert seen[0].returncode == 0, seen[0].stdout


@full
def test_backup_is_damaged(cells):
    """A byte of the newest backup is another one: nothing is touched."""

    def prepare(run):
        newest = sorted(run.stack.backups.glob("*-backup-*"))[-1]
        database = next(newest.rglob("app.db"))
        whole = database.read_bytes()
        database.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        run.after(lambda: database.write_bytes(whole))

    row = cells.cell(
        "restore", "a byte of the backup is wrong", "checking", acts.nothing, arguments=ONE, prepare=prepare
    )
    assert row["rc"] != 0 and row["gap"] == row["others"] == 0, row
