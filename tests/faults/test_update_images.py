# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Good and bad releases: `update` keeps a good one, and undoes a bad one, image and data."""

from __future__ import annotations

import fault_acts as acts
import pytest
from fault_stack import PLAIN, TARGET

full = pytest.mark.full
GATE = "gating"
# (what is wrong, the service, what it is called)
BAD = {
    "crash": (TARGET, "image crashes at once"),
    "bad": (TARGET, "image migrates its database, then fails"),
    "never": (TARGET, "image is never healthy"),
    "loop": (PLAIN, "image crash-loops, without a health check"),
    "exit=8": (TARGET, "image ends after 8 s"),
    "sick=8": (TARGET, "image is unhealthy after 8 s"),
    "exit=8 plain": (PLAIN, "image ends after 8 s, without a health check"),
    "bad plain": (PLAIN, "image migrates its database, then fails, without a health check"),
}
SHORT = {"bad"}


@pytest.fixture
def cells(stacks):
    """Cells with the real time that an update must be well for."""
    return stacks(mediastack_update_stable_for=20)


@pytest.mark.parametrize("fault", [pytest.param(fault, marks=() if fault in SHORT else full) for fault in BAD])
def test_bad_release(cells, fault):
    service, name = BAD[fault]
    old = cells.stack.images()[service]

    refused = []

    def prepare(run):
        refused.append(acts.released(run, fault.split()[0]))

    row = cells.cell("update", name, GATE, acts.nothing, prepare=prepare, target=service)
    assert row["rc"] != 0 and row["well"], row
    assert cells.stack.images()[service] == old
    assert cells.stack.state("refused")["services"][service]["digest"] == refused[0]
    assert row["others"] == 0, "a service was touched that nothing was changed for"


def test_good_release(cells):
    """The control: the same way, and it stays. Of one service, for another's last release may be a bad one still."""
    old = cells.stack.images()[TARGET]
    only = ("-e", f"service={TARGET}")
    row = cells.cell("update", "nothing", GATE, acts.nothing, arguments=only, prepare=acts.released, ok=True)
    assert cells.stack.images()[TARGET] != old and row["by"] == "itself", row
