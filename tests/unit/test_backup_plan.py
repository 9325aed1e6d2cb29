# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of backups in the bundle, and the program that follows it on the host."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import render_harness

from ansible_collections.homelab.mediastack.plugins.plugin_utils import backup_program, host_program

ALL = {"mediastack_profiles": ["jellyfin", "auth", "transmission"], **render_harness.VPN}
SECRET = render_harness.KEY


def shipped(tmp_path, **more):
    """The bundle of the apps that ship."""
    return render_harness.World(tmp_path, render_harness.SHIPPED).bundle(**ALL, **more)


def file_of(bundle, name):
    return next(entry for entry in bundle["files"] if entry["path"].endswith(name))


def test_the_plan_tells_the_host_all_that_a_timer_needs_and_no_secret(tmp_path):
    bundle = shipped(tmp_path, mediastack_backup_target="me@nas:/backup", mediastack_backup_keep=3)
    entry = file_of(bundle, "/.mediastack/backup.json")
    assert entry["path"] == "/srv/mediastack/compose/.mediastack/backup.json" and entry["mode"] == "0600"
    plan = json.loads(entry["content"])
    assert (plan["schema"], plan["keep"], plan["target"], plan["max_age"]) == (1, 3, "me@nas:/backup", 50)
    assert plan["backup"] == bundle["paths"]["backup"] and plan["path"] == bundle["project"]["path"]
    assert set(plan["services"]) == set(bundle["services"])
    assert SECRET not in entry["content"] and "@@mediastack:" not in entry["content"]


def test_a_service_of_the_plan(tmp_path):
    services = json.loads(file_of(shipped(tmp_path), "backup.json")["content"])["services"]
    assert services["sonarr"]["snapshot"] == {"method": "sqlite", "paths": ["config.xml", "sonarr.db"]}
    assert services["sonarr"]["wiring"] is None and services["sonarr"]["kind"] == "servarr"
    assert services["qbittorrent"]["network_parent"] == "gluetun"
    assert {"name": "web", "protocol": "tcp", "target": 8080} in services["qbittorrent"]["ports"]
    assert services["authentik-postgresql"]["wiring"] == {
        "kind": "postgresql",
        "database": "authentik",
        "username": "authentik",
    }


def test_the_same_settings_give_the_same_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert file_of(shipped(tmp_path / "a"), "backup.json") == file_of(shipped(tmp_path / "b"), "backup.json")


def test_every_service_says_to_watchtower_that_it_is_not_its_business(tmp_path):
    bundle = shipped(tmp_path)
    text = "".join(entry["content"] for entry in bundle["files"] if "/compose." in entry["path"])
    assert text.count("com.centurylinklabs.watchtower.enable: 'false'") + text.count(
        'com.centurylinklabs.watchtower.enable: "false"'
    ) == len(bundle["services"])


def test_the_program_is_whole_and_needs_nothing_but_python(tmp_path):
    program = tmp_path / "stack" / "bin" / "mediastack-backup"
    program.parent.mkdir(parents=True)
    program.write_bytes(backup_program.program())
    for command in ([sys.executable, "-S", "-I", str(program), "--help"],):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin"})
        assert done.returncode == 0, done.stderr
        assert "usage: mediastack-backup" in done.stdout and str(tmp_path / "stack") in done.stdout
    with zipfile.ZipFile(io.BytesIO(backup_program.program())) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    assert {"backup_cli.py", "snapshot_store.py", "snapshot_sqlite.py", "backup_target_ssh.py"} <= names
    assert "backup_drill.py" not in names, "a timer drills nothing"


def test_programs_do_not_mix():
    repair = host_program.program("bin/mediastack-repair", "repair_cli")
    assert repair != backup_program.program()
    assert host_program.entry("/p", "bin/x", "backup_cli")["path"] == "/p/bin/x"
