# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The timer of backups: when it is there, what it says, how it is enabled, started and taken away."""

from __future__ import annotations

import os

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import systemd_unit
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.backup_unit import BackupUnit
from ansible_collections.homelab.mediastack.plugins.module_utils.host_units import HostUnits

TIMER = "mediastack-homelab-mediastack-backup.timer"
SERVICE = "mediastack-homelab-mediastack-backup.service"
UNITS = "etc/systemd/system"
LINK = f"{UNITS}/timers.target.wants/{TIMER}"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with systemd that runs the engine, and a play with root."""
    for place in ("run/systemd/system", UNITS, "usr/lib/systemd/system", "bin"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system/docker.service").write_text("")
    (tmp_path / "bin/systemctl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n')
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def bundle(timer="auto", time="03:30"):
    return {
        "project": {"name": "homelab-mediastack", "path": "/srv/media stack/compose"},
        "paths": {"backup": "/mnt/backups"},
        "backup": {"timer": timer, "time": time},
    }


def calls(host):
    path = host / "calls"
    return path.read_text().splitlines() if path.exists() else []


def write(host, unit):
    """Write its files as a FileSet does; the changes."""
    for entry in unit.files:
        with open(entry["path"], "w", encoding="utf-8") as handle:
            handle.write(entry["content"])
    return [{"path": entry["path"], "action": "create"} for entry in unit.files]


def test_it_says_when_and_what(host):
    unit = BackupUnit(bundle(time="04:05"), str(host))
    service, timer = (entry["content"] for entry in unit.files)
    assert [os.path.basename(entry["path"]) for entry in unit.files] == [SERVICE, TIMER]
    assert "OnCalendar=*-*-* 04:05:00\n" in timer and "Persistent=true\n" in timer
    assert "RandomizedDelaySec=15min\n" in timer and "WantedBy=timers.target\n" in timer
    program = '"/srv/media stack/compose/bin/mediastack-backup"'
    assert f"ExecStart=/usr/bin/env python3 -I -S {program} --who timer --lock-timeout 3600\n" in service
    assert 'RequiresMountsFor="/srv/media stack/compose" "/mnt/backups"\n' in service


def test_it_is_enabled_and_started_once(host):
    unit = BackupUnit(bundle(), str(host))
    assert unit.wanted and unit.changed
    unit.after(write(host, unit))
    assert os.readlink(host / LINK) == f"/etc/systemd/system/{TIMER}"
    assert calls(host) == ["daemon-reload", f"restart {TIMER}"]
    again = BackupUnit(bundle(), str(host))
    assert not again.changed and again.diff() == []
    again.after([])
    assert len(calls(host)) == 2


def test_another_time_is_taken_up(host):
    BackupUnit(bundle(), str(host)).after(write(host, BackupUnit(bundle(), str(host))))
    unit = BackupUnit(bundle(time="05:00"), str(host))
    unit.after(write(host, unit))
    assert calls(host)[2:] == ["daemon-reload", f"restart {TIMER}"]


def test_false_takes_it_away_and_stops_it(host):
    unit = BackupUnit(bundle(), str(host))
    unit.after(write(host, unit))
    off = BackupUnit(bundle("false"), str(host))
    assert not off.wanted and off.files == []
    off.before([{"path": off.path, "action": "remove"}])
    assert not os.path.lexists(host / LINK) and calls(host)[-1] == f"stop {TIMER}"


def test_remove_knows_it(host):
    unit = BackupUnit(bundle(), str(host))
    unit.after(write(host, unit))
    paths = [str(host / UNITS / name) for name in (SERVICE, TIMER, "docker.service")]
    systemd_unit.disable(paths, str(host))
    assert not os.path.lexists(host / LINK)
    systemd_unit.reload(paths, str(host))
    assert calls(host)[-2:] == [f"stop {TIMER}", "daemon-reload"]


def test_true_is_an_error_where_it_cannot_be(host):
    (host / "run/systemd/system").rmdir()
    with pytest.raises(
        FileError, match="mediastack_backup_timer is true, but systemd does not run here.*docs/backup.md"
    ):
        BackupUnit(bundle("true"), str(host))
    assert not BackupUnit(bundle(), str(host)).wanted


def test_both_units_of_a_bundle_are_one(host):
    units = HostUnits(dict(bundle(), boot_repair="auto"), str(host))
    assert len(units.files) == 3 and len(units.enabling) == 2 and len(units.diff()) == 2
    units.leave()
    assert units.files == [] and not units.changed
    assert HostUnits({"project": bundle()["project"]}, str(host)).files == []
