# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who finishes an interrupted transaction may do all that a run may do."""

from __future__ import annotations

import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import acting, journal, update_resume
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request

BUNDLE = {
    "project": {"name": "stack", "path": "/nowhere"},
    "services": {"sonarr": {"image": "sonarr:1", "snapshot": {"method": "copy", "paths": ["."]}}},
}


def entry(step):
    image = {"image": "sonarr:1", "image_id": "id1", "digest": None}
    return {
        "id": "t1",
        "verb": "update",
        "who": "anna@laptop",
        "step": step,
        "stable_for": 1,
        "keep": 3,
        "health": None,
        "backup_path": "/nowhere/backups",
        "services": {"sonarr": {"from": image, "to": image}},
        "data": [],
    }


@pytest.mark.parametrize("step", [journal.RECREATING, journal.GATING, journal.ROLLING_BACK, journal.COMMITTING])
def test_it_may_act_and_does_not_only_look(monkeypatch, step):
    """A run that is made by hand lacked what makes containers: every run after a kill ended in a traceback."""
    made = []
    monkeypatch.setattr(update_resume, "_go_on", made.append)
    monkeypatch.setattr(update_resume, "_ended", lambda _other: "it is finished")
    run = types.SimpleNamespace(
        request=Request("present", "/nowhere", bundle=BUNDLE),
        docker=None,
        source=types.SimpleNamespace(),
        acting=acting,
        messages=[],
        actions=[],
    )
    run.source = type("Source", (), {"__init__": lambda self, *_a: None, "rendered": None, "project_name": "stack"})()
    update_resume.finish(run, entry(step))
    assert made[0].act is acting
    assert made[0].act.carrier
