# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One backup of a host: what is missing in it is told, and costs no other app and no earlier backup anything."""

from __future__ import annotations

import datetime
import errno
import json
import os
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_drill, backup_run
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError


class Host:
    """A host whose containers are all down: files are copied as they lie, and what has to be dumped cannot be."""

    def __init__(self, place):
        self.project, self.backups = place / "compose", place / "backups"
        (self.project / ".mediastack").mkdir(parents=True)
        (self.project / "compose.yml").write_text("services: {}\n")
        self.services = {}
        for name in ("radarr", "sonarr"):
            self.add(name)
            (place / "config" / name).mkdir(parents=True)
            (place / "config" / name / "config.xml").write_text(name)
        self.config = place / "config"

    def add(self, name, method="copy"):
        self.services[name] = {
            "image": name,
            "config_dir": str(self.project.parent / "config" / name),
            "snapshot": {"method": method, "paths": ["."] if method == "copy" else ["db"]},
        }

    def backup(self, keep=2):
        plan = {
            "schema": 1,
            "project": "test",
            "services": self.services,
            "backup": str(self.backups),
            "config": str(self.config),
            "data": [],
            "keep": keep,
            "lock_timeout": 0,
        }
        (self.project / ".mediastack/backup.json").write_text(json.dumps(plan))
        return backup_run.Backup(str(self.project), types.SimpleNamespace(inherit=()), who="test")

    def ids(self):
        return sorted(path.name for path in self.backups.iterdir() if not path.name.startswith("."))


@pytest.fixture
def host(tmp_path, monkeypatch):
    project = types.SimpleNamespace(name="test", containers=[], of=lambda _name: [], sharing=lambda _container: [])
    monkeypatch.setattr(backup_run.engine_state, "read_project", lambda *_given: project)
    return Host(tmp_path)


def test_nights_of_which_something_is_missing_push_no_complete_backup_out(host):
    complete = []
    for _night in range(2):
        made = host.backup()
        made.run()
        complete.append(made.result()["id"])
    host.add("postgresql", "pg_dump")
    for _night in range(4):
        made = host.backup()
        with pytest.raises(BackupError, match="postgresql is not in the backup: it does not run"):
            made.run()
        assert list(made.snapshot.missing) == ["postgresql"]
    assert host.ids()[:2] == complete and len(host.ids()) == 4
    del host.services["postgresql"]
    made = host.backup()
    made.run()
    assert made.result()["removed"] == [complete[0]] and complete[1] in host.ids()


def test_an_app_whose_files_cannot_be_read_costs_no_other_its_backup(host, monkeypatch):
    take = backup_run.backup_take.take

    def broken(draft, services, name, *more):
        if name == "radarr":
            raise OSError(errno.EIO, "Input/output error", "films")
        return take(draft, services, name, *more)

    monkeypatch.setattr(backup_run.backup_take, "take", broken)
    made = host.backup()
    words = (
        f"radarr is not in the backup: its files in {host.config}/radarr cannot be taken .films.: Input/output error"
    )
    with pytest.raises(BackupError, match=words):
        made.run()
    assert sorted(made.snapshot.services) == ["_host", "sonarr"]


def test_files_of_the_host_that_cannot_be_read_cost_no_app_its_backup(host, monkeypatch):
    made = host.backup()

    def broken():
        raise OSError(errno.EIO, "Input/output error", "compose.yml")

    monkeypatch.setattr(made, "host_files", broken)
    with pytest.raises(BackupError, match="_host is not in the backup: .*compose.yml.: Input/output error"):
        made.run()
    assert sorted(made.snapshot.services) == ["radarr", "sonarr"] and list(made.snapshot.missing) == ["_host"]


def test_a_drill_says_what_is_missing_in_the_backup_that_it_tries(host):
    host.backup().run()
    drill = backup_drill.Drill(str(host.project), None, who="test")
    assert drill.result()["messages"] == []
    host.add("postgresql", "pg_dump")
    made = host.backup()
    with pytest.raises(BackupError):
        made.run()
    drill = backup_drill.Drill(str(host.project), None, who="test")
    (message,) = drill.result()["messages"]
    assert message.startswith(f"the backup {made.snapshot.id} lacks postgresql: it does not run")
    assert backup_drill.Drill(str(host.project), None, services=["sonarr"], who="test").messages == []


def test_where_the_clock_was_set_back_the_backup_just_taken_stays(host):
    year = datetime.datetime.now(datetime.UTC).year
    for number in (1, 2):
        made = host.backup(keep=1)
        made.run()
        name = made.result()["id"]
        later = f"{year + number}{name[4:]}"
        os.rename(host.backups / name, host.backups / later)
        manifest = host.backups / later / "manifest.json"
        manifest.write_text(manifest.read_text().replace(name, later))
    made = host.backup(keep=1)
    made.run()
    assert made.result()["id"] in host.ids()
