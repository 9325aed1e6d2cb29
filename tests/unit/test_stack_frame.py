# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that comes to nothing leaves it to the next one to know that an earlier one was interrupted."""

from __future__ import annotations

import json
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import stack_run
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import DockerError

KILLED = {
    "what": "compose_stack state=present",
    "who": "anna",
    "pid": 1,
    "host": "x",
    "started": "then",
    "finished": None,
}


class Run(stack_run.Run):
    """Does what it is told."""

    def work(self, _lock):
        self.job(self)


def run(place, job):
    (place / ".mediastack").mkdir(exist_ok=True)
    record = place / ".mediastack" / "run.json"
    record.write_text(json.dumps(KILLED))
    source = types.SimpleNamespace(project_name="stack", rendered=None, graph=dict)
    made = Run(stack_run.Request("present", str(place)), types.SimpleNamespace(), source)
    made.job = job
    error = None
    try:
        made.run()
    except (stack_run.Differs, DockerError) as raised:
        error = raised
    return error, json.loads(record.read_text())


def fails(made, touched=False):
    made.touched = touched
    raise DockerError("the engine is down")


@pytest.mark.parametrize("job", [lambda made: made.act, fails])
def test_what_was_interrupted_is_still_so_after_a_run_that_did_nothing(tmp_path, job):
    """At a boot the first run meets an engine that is not up yet; the second one is to repair."""
    error, record = run(tmp_path, job)
    assert error is not None
    assert record == KILLED


@pytest.mark.parametrize("job", [lambda _made: None, lambda made: fails(made, touched=True)])
def test_and_not_after_one_that_came_far_enough(tmp_path, job):
    _error, record = run(tmp_path, job)
    assert record["finished"] and record != KILLED
