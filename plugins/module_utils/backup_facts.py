# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How it stands with the backups of a host, for `status`: a few looks at files, no question to the engine."""

from __future__ import annotations

import datetime
import functools
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_state, probes
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError

# The share that backups lie on may be gone, and then blocks whoever asks it.
PATIENCE = 3.0


def read(project_path, patience=PATIENCE):
    """`{path, count, max_age_hours, target, …}`; `{}` where no converge has left a plan yet.

    `taken` and `age_hours` of the newest whole backup, `bytes`; `ok` and `why` of the last attempt; `copied` whether it
    is at the target; `same_disk` as the configuration; `drill_when`, `drill_age_days`, `drill_ok`. What is not known is
    left out; `error` says why.
    """
    try:
        plan = backup_state.read_plan(project_path)
    except (BackupError, FileError):
        return {}
    facts = {"path": plan["backup"], "max_age_hours": plan["max_age"], "target": bool(plan.get("target"))}
    now = datetime.datetime.now(datetime.timezone.utc)
    state = backup_state.read(project_path)
    _add_attempt(facts, state)
    _add_drill(facts, state.get("drill"), now)
    looked = {}
    job = functools.partial(_look, plan, looked)
    outcome = probes.sweep({"backup": (plan["backup"], job)}, patience)["backup"]
    if outcome.verdict != probes.OK:
        return dict(facts, error=outcome.message)
    ids = looked.pop("ids")
    facts.update(looked, count=len(ids))
    if ids:
        taken = backup_state.taken(ids[0])
        facts.update(taken=backup_state.iso(taken), age_hours=round((now - taken).total_seconds() / 3600, 1))
        good = state.get("good") or {}
        if good.get("id") == ids[0] and isinstance(good.get("bytes"), int):
            facts["bytes"] = good["bytes"]
    return facts


def _look(plan, found, _attempt):
    """Job of a sweep."""
    try:
        found["ids"] = backup_state.ids(plan["backup"], backup_state.WHOLE)
        device = os.stat(plan["backup"]).st_dev
    except FileNotFoundError:
        found["ids"] = []
        return
    if os.path.isdir(plan["config"]):
        found["same_disk"] = device == os.stat(plan["config"]).st_dev


def _add_attempt(facts, state):
    last = state.get("last") or {}
    if isinstance(last.get("ok"), bool):
        facts.update(ok=last["ok"], why=str(last.get("why") or ""))
    target = last.get("target")
    if isinstance(target, dict):
        facts["copied"] = bool(target.get("ok"))


def _add_drill(facts, drill, now):
    if not isinstance(drill, dict) or not isinstance(drill.get("ok"), bool):
        return
    facts.update(drill_ok=drill["ok"], drill_why=str(drill.get("why") or ""))
    try:
        when = datetime.datetime.strptime(str(drill.get("when")), "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return
    when = when.replace(tzinfo=datetime.timezone.utc)
    facts.update(drill_when=backup_state.iso(when), drill_age_days=max(0, (now - when).days))
