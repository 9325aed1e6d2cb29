# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun is killed while the run changes a service that lives in its network. gluetun is the lab's stand-in."""

from __future__ import annotations

import fault_acts as acts
import fault_inject as inject
import pytest
from fault_stack import BEHIND, STEADY, TARGET

pytestmark = pytest.mark.full
KILLED = "gluetun killed"
ONE = ("-e", f"service={BEHIND}")


@pytest.fixture
def cells(stacks, gluetun_image):
    """Cells on a stack of four services with a VPN."""
    made = stacks(vpn=True, services=(TARGET, STEADY, BEHIND), faults_target=BEHIND, faults_stop="1.5")
    if not made.stack.state("generations") or not list(made.stack.backups.glob("*-backup-*")):
        made.stack.publish(BEHIND)
        made.stack.play("update", *ONE)
        made.stack.play("backup")
    return made


def kill(wait):
    """SIGKILL of gluetun at that step."""

    def act(run):
        wait(run)
        run.stack.docker("kill", run.stack.container("gluetun"), check=False)

    return act


@pytest.mark.parametrize("step", [inject.RECREATING, inject.GATING])
def test_site(cells, step):
    wait = {inject.RECREATING: inject.compose_runs, inject.GATING: inject.gate_looks}[step]
    cells.cell("site", KILLED, step, kill(wait), prepare=acts.changed, target=BEHIND)


@pytest.mark.parametrize("step", ["snapshot", "recreating", "gating"])
def test_update(cells, step):
    cells.cell("update", KILLED, step, kill(acts.at(step)), arguments=ONE, prepare=acts.released, target=BEHIND)


@pytest.mark.parametrize("verb", ["rollback", "restore"])
def test_back(cells, verb):
    arguments = acts.other_generation(cells) if verb == "rollback" else ONE
    cells.cell(verb, KILLED, "recreating", kill(acts.at("recreating")), arguments=arguments, target=BEHIND)
