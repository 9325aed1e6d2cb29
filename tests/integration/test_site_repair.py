# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long `site` needs to repair what hangs by gluetun, held against a clock."""

from __future__ import annotations

import datetime
import shutil

import pytest
import stack_harness as h
from site_seen import MEMBERS, assert_contained, site_json


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A converged stack of the core and sonarr, behind the VPN stand-in."""
    made = h.Stack(tmp_path_factory.mktemp("repair"), "ms-repair", 25020, mediastack_container_prefix="repair-")
    made.remove()
    made.play("site")
    yield made
    made.remove()
    shutil.rmtree(made.directory, ignore_errors=True)


@pytest.mark.alone
@pytest.mark.parametrize("fault", [pytest.param("restart", marks=pytest.mark.long), "rm -f", "kill"])
def test_a_broken_gluetun_is_repaired_within_ten_seconds_and_the_run_says_so(stack, fault):
    name = stack.containers()["gluetun"]["Name"].lstrip("/")
    h.docker(*fault.split(), name)
    tasks = site_json(stack)
    converged = next(r for r in tasks.values() if "services" in r and "actions" in r)
    assert converged["changed"]
    assert_contained(stack)
    began = converged["ended"] - datetime.timedelta(milliseconds=converged["duration_ms"])
    for member in MEMBERS:
        started = datetime.datetime.fromisoformat(stack.containers()[member]["State"]["StartedAt"][:26] + "+00:00")
        assert (started - began).total_seconds() <= 10, (member, fault)
    assert h.changed(stack.play("site")) == 0
