# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How one service gets into a backup: which way is chosen, and when a copy beside a running app counts."""

from __future__ import annotations

import errno
import os
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_take
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_state import BackupError
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import SILENT
from ansible_collections.homelab.mediastack.plugins.module_utils.snapshot_files import SnapshotError


class Container(types.SimpleNamespace):
    id, status, parent_id, active, raw = "0123", "running", None, True, {}


class Project:
    def __init__(self, *containers):
        self.containers = list(containers)

    def of(self, _service):
        return self.containers

    def sharing(self, _container):
        return []


class Draft:
    """Says what it is asked; `during` happens while it copies."""

    def __init__(self, path, needs_stop=True, during=None, online=True):
        self.path, self.services, self.calls = str(path), {}, []
        self._needs, self._during, self._online = needs_stop, during, online

    def needs_stop(self, _services, names):
        return names if self._needs else []

    def take_running(self, _services, names, *_more):
        self.calls.append("running")
        if self._online:
            self.services[names[0]] = {}

    def take_stopped(self, services, names):
        self.calls.append("copy")
        if self._during:
            self._during(len(self.calls))
        self.services[names[0]] = {"method": "copy", "files": []}

    def leave_out(self, name):
        self.services.pop(name, None)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "app.conf").write_text("a")
    return tmp_path


def take(draft, config, method="copy", parent=None, running=True, docker=None):
    services = {
        "app": {"config_dir": str(config), "snapshot": {"method": method, "paths": ["."]}, "network_parent": parent}
    }
    project = Project(Container()) if running else Project()
    return backup_take.take(draft, services, "app", project, docker, str(config), SILENT, sleep=lambda _seconds: None)


def test_what_can_be_taken_while_it_runs_is(config):
    assert take(Draft(config, needs_stop=False), config, "sqlite") == backup_take.RUNNING


def test_a_database_that_cannot_be_opened_any_more_goes_the_other_way(config):
    draft = Draft(config, needs_stop=False, online=False)
    assert take(draft, config, "sqlite") == backup_take.QUIET and draft.calls == ["running", "copy"]


def test_what_is_stopped_is_copied_and_a_stopped_postgres_cannot_be(config):
    assert take(Draft(config), config, running=False) == backup_take.STOPPED
    with pytest.raises(BackupError, match="can be dumped only while it does: start it"):
        take(Draft(config), config, "pg_dump", running=False)


def test_a_file_that_changes_during_the_copy_makes_another_one(config):
    def once(turn):
        if turn == 1:
            (config / "app.conf").write_text("b")

    draft = Draft(config, during=once)
    assert take(draft, config) == backup_take.QUIET and draft.calls == ["copy", "copy"]


@pytest.mark.parametrize("change", ["new", "gone", "same size"])
def test_every_kind_of_change_counts(config, change):
    def always(turn):
        if change == "new":
            (config / f"n{turn}").write_text("")
        elif change == "gone" and turn == 1:
            (config / "app.conf").unlink()
        elif change == "same size":
            (config / "app.conf").write_text(chr(96 + turn % 2))

    draft = Draft(config, during=always)
    if change == "gone":
        assert take(draft, config) == backup_take.QUIET and draft.calls == ["copy", "copy"]
        return
    with pytest.raises(BackupError, match="its files changed during each of 3 copies"):
        take(draft, config, parent="gluetun")
    assert draft.services == {}


def test_a_log_that_grows_does_not_count(config):
    def always(turn):
        (config / "logs/app.txt").write_text("x" * turn)
        (config / "app.log").write_text("x" * turn)

    draft = Draft(config, during=always)
    assert take(draft, config) == backup_take.QUIET and draft.calls == ["copy"]


def test_a_database_in_the_middle_of_a_write_is_tried_again(config):
    def torn(turn):
        if turn == 1:
            raise SnapshotError("malformed", "app")

    assert take(Draft(config, during=torn), config, "sqlite") == backup_take.QUIET


def test_a_full_disk_is_not_tried_again(config, tmp_path):
    draft = Draft(tmp_path / "gone", during=lambda _turn: (_ for _ in ()).throw(SnapshotError("full")))
    with pytest.raises(SnapshotError, match="full"):
        take(draft, config)
    assert draft.calls == ["copy"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN])
def test_a_file_that_cannot_be_read_is_named_and_its_app_is_not_stopped_for_it(config, monkeypatch, number):
    def broken(_descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(backup_take.snapshot_files, "pour", broken)
    with pytest.raises(BackupError, match=f"{config}/app.conf cannot be read: {os.strerror(number)}. Look after"):
        take(Draft(config), config)


def test_a_directory_that_cannot_be_listed_is_named(config, monkeypatch):
    def broken(_root, _paths):
        raise OSError(errno.EIO, "Input/output error", "films")
        yield

    monkeypatch.setattr(backup_take.snapshot_files, "walk", broken)
    with pytest.raises(BackupError, match=f"{config}/films cannot be read: Input/output error"):
        take(Draft(config), config)


def test_a_log_that_cannot_be_read_stops_no_app(config):
    def broken(_turn):
        raise SnapshotError("app.log cannot be read", "app") from OSError(errno.EIO, "Input/output error")

    draft = Draft(config, during=broken)
    with pytest.raises(SnapshotError, match="app.log cannot be read"):
        take(draft, config)
    assert draft.calls == ["copy"]


def test_an_app_that_never_rests_is_stopped_and_started_whatever_happens(config):
    (config / ".mediastack").mkdir()
    said = []
    docker = types.SimpleNamespace(run=lambda *words, **_more: said.append(words[0]))

    def restless(turn):
        if "stop" not in said:
            (config / "app.conf").write_text("x" * turn)
        elif turn > 3:
            raise KeyboardInterrupt

    draft = Draft(config, during=restless)
    with pytest.raises(KeyboardInterrupt):
        take(draft, config, docker=docker)
    assert said == ["stop", "start"]
    assert not (config / ".mediastack/backup-stops.json").exists()
