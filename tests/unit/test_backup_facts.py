# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `status` knows and says of backups; none of it makes a host unhealthy."""

from __future__ import annotations

import datetime
import json
import os

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_facts, backup_state
from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_backup, report_facts, report_model


@pytest.fixture
def host(tmp_path):
    """A project with a plan and no backup yet."""
    project, backups, config = tmp_path / "compose", tmp_path / "backups", tmp_path / "config"
    for path in (project / ".mediastack", backups, config):
        path.mkdir(parents=True)
    plan = {"schema": 1, "backup": str(backups), "config": str(config), "max_age": 50, "target": "", "services": {}}
    (project / ".mediastack/backup.json").write_text(json.dumps(plan))
    return project


def made(host, hours, kind="backup"):
    when = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours)
    identifier = f"{when:%Y%m%dT%H%M%SZ}-{kind}-0a1b"
    (host.parent / "backups" / identifier).mkdir()
    return identifier


def warnings(host):
    return report_backup.warnings(backup_facts.read(str(host)))


def test_without_a_plan_nothing_is_said(tmp_path):
    assert backup_facts.read(str(tmp_path)) == {}
    assert report_backup.warnings({}) == [] and report_backup.words({}, str) is None


def test_none_yet(host):
    facts = backup_facts.read(str(host))
    assert facts["count"] == 0 and facts["same_disk"]
    assert warnings(host)[0] == "there is no backup yet: the playbook backup makes one"


def test_a_good_one(host):
    identifier = made(host, 2)
    made(host, 30)
    made(host, 1, "partial")
    backup_state.update(
        str(host),
        last={"ok": True, "why": "", "target": {"ok": True}},
        good={"id": identifier, "bytes": 34_000_000},
        drill={"ok": True, "when": backup_state.now()},
    )
    facts = backup_facts.read(str(host))
    assert (facts["count"], facts["age_hours"], facts["bytes"], facts["copied"]) == (2, 2.0, 34_000_000, True)
    assert report_backup.warnings(facts) == []
    words = report_backup.words(dict(facts, target=True), report_facts.amount)
    assert words == "2 h ago, 34 MB, 2 kept · copied · drill today"


def test_too_old_failed_and_on_the_same_disk(host):
    made(host, 60)
    backup_state.update(str(host), last={"ok": False, "why": "the disk is full"}, drill={"ok": False, "why": "sonarr"})
    said = warnings(host)
    assert said == [
        "the last backup is 60 h old, more than 50 hours (mediastack_backup_max_age)",
        "the last backup failed: the disk is full",
        (
            "backups lie on the same disk as the configuration, and nowhere else: set mediastack_backup_target, or "
            "mediastack_backup_path to another disk"
        ),
        "the last restore drill failed: sonarr",
    ]
    words = report_backup.words(backup_facts.read(str(host)), report_facts.amount)
    assert "TOO OLD" in words and "last one FAILED: the disk is full" in words and "FAILED" in words.split(" · ")[-1]


def test_a_drill_never_and_long_ago(host):
    made(host, 2)
    assert "no backup was ever restored in a drill" in warnings(host)[-1]
    backup_state.update(str(host), drill={"ok": True, "when": "2020-01-01T00:00:00Z"})
    assert "days ago: restore -e drill=true tries one" in warnings(host)[-1]


def test_a_directory_that_does_not_answer_costs_little(host, monkeypatch):
    monkeypatch.setattr(backup_state, "ids", lambda *_given: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    facts = backup_facts.read(str(host))
    assert "Input/output error" in facts["error"]
    assert report_backup.warnings(facts) == [f"the backups cannot be looked at: {facts['error']}"]


def test_a_damaged_record_is_no_record(host):
    (host / ".mediastack/backup-state.json").write_text("{")
    assert "ok" not in backup_facts.read(str(host))


def test_a_missing_backup_leaves_a_host_healthy_and_is_a_warning(host):
    row = {"name": "sonarr", "status": "HEALTHY", "message": ""}
    report = report_model.build({"nas": {"services": [row], "backup": backup_facts.read(str(host))}})
    assert report["healthy"] is True
    assert report["warnings"][0] == {
        "host": "nas",
        "about": "backup",
        "message": "there is no backup yet: the playbook backup makes one",
    }
    fact = report_facts.backup(report["hosts"]["nas"]["backup"])
    assert (fact.what, fact.level) == ("backup", "bad") and fact.text.startswith("none yet")


def test_records_of_a_backup_and_of_a_drill_do_not_lose_each_other(host):
    backup_state.update(str(host), last={"ok": True})
    backup_state.update(str(host), drill={"ok": True})
    assert set(backup_state.read(str(host))) == {"schema", "last", "drill"}
    assert os.stat(host / ".mediastack/backup-state.json").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["20261123T064500Z-backup-4f1a", "20261123T064500Z-a_kind-0000"])
def test_ids(name):
    assert backup_state.iso(backup_state.taken(name)) == "2026-11-23T06:45:00Z"
    assert backup_state.taken("." + name) is None and backup_state.taken("20269999T064500Z-backup-4f1a") is None
