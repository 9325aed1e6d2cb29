# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The unit that runs a repair after every start of the engine: when it is there, what it says, how it goes."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import boot_unit
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

NAME = "mediastack-homelab-mediastack-repair.service"
UNIT = f"etc/systemd/system/{NAME}"
LINK = f"etc/systemd/system/docker.service.wants/{NAME}"


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with systemd that runs the engine, and a play with root."""
    for place in ("run/systemd/system", "etc/systemd/system", "usr/lib/systemd/system"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system/docker.service").write_text("")
    calls = tmp_path / "calls"
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "systemctl").write_text(
        f'#!/bin/sh\necho "$@" >>{calls}\n[ -z "$FAIL" ] || {{ echo no bus >&2; exit 1; }}\n'
    )
    (bin_ / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def unit(host, wish="auto", path="/srv/mediastack/compose"):
    bundle = {"project": {"name": "homelab-mediastack", "path": path}}
    return boot_unit.BootUnit(dict(bundle, boot_repair=wish) if wish else bundle, str(host))


def calls(host):
    path = host / "calls"
    return path.read_text().splitlines() if path.exists() else []


def written(host, made):
    """Write the file as a FileSet does; the changes that it made."""
    (host / UNIT).write_text(made.files[0]["content"])
    return [{"path": made.path, "action": "create"}]


def test_auto_is_there_where_systemd_runs_the_engine_and_the_play_has_root(host, monkeypatch):
    made = unit(host)
    assert made.wanted and made.changed and made.path == str(host / UNIT)
    entry = made.files[0]
    assert (entry["mode"], entry["owner"], entry["secret"], entry["encoding"]) == ("0644", 0, False, "raw")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not unit(host).wanted
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (host / "usr/lib/systemd/system/docker.service").unlink()
    assert not unit(host).wanted
    assert unit(host, "true").wanted
    (host / "run/systemd/system").rmdir()
    assert not unit(host).wanted and not unit(host).changed and unit(host).diff() == []


@pytest.mark.parametrize("wish", ["false", None])
def test_false_and_a_bundle_that_says_nothing(host, wish):
    assert not unit(host, wish).wanted and unit(host, wish).files == []


def test_true_is_an_error_where_it_cannot_be(host, monkeypatch):
    (host / "run/systemd/system").rmdir()
    with pytest.raises(FileError, match="mediastack_boot_repair is true, but systemd does not run here: set it to"):
        unit(host, "true")
    (host / "run/systemd/system").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(FileError, match="only root can install a unit"):
        unit(host, "true")


def test_it_is_enabled_once_and_systemd_is_told(host):
    made = unit(host)
    assert "enabled" in made.diff()[0]["after"]
    made.after(written(host, made))
    assert os.readlink(host / LINK) == f"/etc/systemd/system/{NAME}"
    assert calls(host) == ["daemon-reload"]
    again = unit(host)
    assert not again.changed and again.diff() == []
    again.before([])
    again.after([])
    assert calls(host) == ["daemon-reload"]
    again.after([{"path": again.path, "action": "change"}])
    assert calls(host) == ["daemon-reload"] * 2


def test_somebody_disabled_it(host):
    made = unit(host)
    made.after(written(host, made))
    (host / LINK).unlink()
    assert unit(host).changed
    unit(host).after([])
    assert (host / LINK).is_symlink() and len(calls(host)) == 2


def test_it_goes_with_the_setting(host):
    made = unit(host)
    made.after(written(host, made))
    off = unit(host, "false")
    off.before([{"path": off.path, "action": "remove"}])
    assert not (host / LINK).is_symlink()
    (host / UNIT).unlink()
    off.after([{"path": off.path, "action": "remove"}])
    assert calls(host) == ["daemon-reload"] * 2


def test_it_goes_with_the_stack_and_nobody_elses_unit_does(host):
    made = unit(host)
    made.after(written(host, made))
    other = host / "etc/systemd/system/docker.service.wants/other.service"
    other.symlink_to("/etc/systemd/system/other.service")
    paths = [str(host / UNIT), str(host / "etc/systemd/system/other.service"), "/srv/x/mediastack-a-repair.service"]
    boot_unit.disable(paths, str(host))
    boot_unit.disable(paths, str(host))
    boot_unit.reload(paths, str(host))
    boot_unit.reload(["/srv/compose/.env"], str(host))
    assert not (host / LINK).is_symlink() and other.is_symlink()
    assert len(calls(host)) == 2


def test_systemd_that_does_not_answer_is_told(host, monkeypatch):
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(FileError, match=r"'systemctl daemon-reload' failed: no bus"):
        unit(host).after([])


def test_awkward_paths_stay_one_word(host):
    text = unit(host, path='/vol 1/100%/$a"b').files[0]["content"]
    assert 'RequiresMountsFor="/vol 1/100%%/$a\\"b"\n' in text
    assert 'ExecStart=/usr/bin/env python3 -I -S "/vol 1/100%%/$$a\\"b/bin/mediastack-repair" --patience 900\n' in text


def test_systemd_itself_finds_nothing_wrong_with_it(host, tmp_path):
    try:
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    except OSError:
        pytest.skip("no systemd-analyze here; the nested host of the integration tests loads the unit for real")
    path = tmp_path / NAME
    path.write_text(unit(host).files[0]["content"])
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr
