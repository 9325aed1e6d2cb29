# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine ends in the middle of a run, or its disk is full. On a nested host with an engine of its own."""

from __future__ import annotations

import fault_acts as acts
import fault_inject as inject
import pytest
from fault_engine import GRAPH, EngineStack
from fault_stack import TARGET

pytestmark = pytest.mark.full
RESTARTED, KILLED, FULL = "engine restarted", "engine killed", "engine disk full"
FILL = """
import os
handle = open(%r, "wb")
for size in (1 << 26, 1 << 22, 1 << 16, 1 << 12):
    try:
        while True:
            os.posix_fallocate(handle.fileno(), handle.seek(0, 2), size)
    except OSError:
        pass
"""
ONE = ("-e", f"service={TARGET}")


@pytest.fixture
def cells(stacks):
    """Cells on a nested host."""
    made = stacks(kind=EngineStack, faults_stop="1.5")
    if not made.stack.state("generations") or not made.stack.host.sh("ls /srv/mediastack/backups", check=False):
        made.stack.publish()
        made.stack.play("update")
        made.stack.play("backup")
    return made


def new_container(run):
    """Wait until the target's container is being made anew."""
    before = run.before_ids[run.target]
    inject.until(run, lambda: (run.stack.containers().get(run.target) or {}).get("Id") != before, "a new container")


def restart(wait, signal="TERM"):
    """End the engine at that step, and start it again."""

    def act(run):
        wait(run)
        run.stack.restart_engine(signal)

    return act


def fill_graph(run):
    """The engine's disk is full until the run is over."""
    run.after(lambda: run.stack.host.sh(f"rm -f {GRAPH}/filler"))
    run.stack.host.sh("python3 -", stdin=FILL % f"{GRAPH}/filler")


def test_site_engine_restarts(cells):
    cells.cell("site", RESTARTED, inject.RECREATING, restart(new_container), prepare=acts.changed)


@pytest.mark.parametrize("step", ["snapshot", "recreating", "gating"])
def test_update_engine_restarts(cells, step):
    cells.cell("update", RESTARTED, step, restart(acts.at(step)), prepare=acts.released)


def test_update_engine_killed(cells):
    cells.cell("update", KILLED, "recreating", restart(acts.at("recreating"), "KILL"), prepare=acts.released)


@pytest.mark.parametrize("verb", ["rollback", "restore"])
def test_back_engine_restarts(cells, verb):
    arguments = acts.other_generation(cells) if verb == "rollback" else ONE
    cells.cell(verb, RESTARTED, "recreating", restart(acts.at("recreating")), arguments=arguments)


@pytest.mark.parametrize("step", ["pulling", "recreating"])
def test_update_engine_full(cells, step):
    def released(run):
        run.stack.publish(run.target, size=30_000_000)

    if step == "pulling":
        row = cells.cell("update", FULL, step, acts.nothing, prepare=acts.both(released, fill_graph))
        assert row["rc"] != 0, row
    else:

        def act(run):
            acts.at(step)(run)
            fill_graph(run)

        cells.cell("update", FULL, step, act, prepare=acts.released)


def test_site_engine_full(cells):
    cells.cell("site", FULL, inject.RECREATING, acts.nothing, prepare=acts.both(acts.changed, fill_graph))
