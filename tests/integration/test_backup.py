# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-backup`: what is in a backup, what is disturbed by it, what stays when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from backup_lab import BackupLab, rows_of, writing
from compose_stack_lab import docker, until

PROGRAM = [sys.executable, "-I", "-S"]
# Writes all the time, so that no copy beside it is whole.
RESTLESS = ["sh", "-c", "trap 'exit 0' TERM; n=0; while :; do n=$$((n+1)); echo $$n >/config/state; done"]


def restless(lab, service, **more):
    """`service` writes all the time, and has so much that no copy is over in between."""
    lab.keeps(service, "copy", ".", command=RESTLESS, **more)
    (lab.config(service) / "large").write_bytes(os.urandom(48 << 20))
    return lab


@pytest.fixture
def lab(box):
    """A project; gone after the test."""
    made = BackupLab()
    yield made
    made.clean()


def test_databases_under_constant_writes_are_whole_twenty_times_of_twenty(lab):
    lab.keeps("sonarr", "sqlite", "config.xml", "sonarr.db")
    (lab.config("sonarr") / "config.xml").write_text("<Config><ApiKey>0123</ApiKey></Config>")
    lab.run()
    lives = lab.lives()
    counts, ages = [], []
    with writing(lab.config("sonarr") / "sonarr.db"):
        for _turn in range(20):
            code, result = lab.backup()
            assert code == 0, result
            made = lab.store().get(result["id"])
            assert made.verify() == []
            rows, newest = rows_of(os.path.join(made.data("sonarr"), "sonarr.db"))
            counts.append(rows)
            ages.append(newest)
    assert len(counts) == 20 and counts[0] > 0
    assert len(set(ages)) == 20, "the writer stood still"
    assert lab.lives() == lives, "no container was touched"
    assert len(lab.store().all("backup")) == 3, "as many are kept as asked"


def test_what_a_backup_holds_and_says(lab):
    lab.keeps("sonarr", "sqlite", "config.xml").keeps("qbittorrent", "copy", "qBittorrent")
    lab.add("flaresolverr")
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    (lab.config("qbittorrent") / "qBittorrent").mkdir()
    (lab.config("qbittorrent") / "qBittorrent/qBittorrent.conf").write_text("[Preferences]\n")
    lab.secrets["sonarr_api_key"] = {"value": None, "generate": {"kind": "hex", "length": 32}, "adopt": []}
    lab.run()
    secrets = (lab.path / ".mediastack/secrets.json").read_text()
    code, result = lab.backup()
    assert code == 0 and result["failed"] is False
    made = lab.newest()
    assert result["services"] == {"sonarr": "while it runs", "qbittorrent": "while it runs, unchanged"}
    assert os.stat(made.path).st_mode & 0o777 == 0o700
    host = os.path.join(made.path, "data/_host")
    with open(os.path.join(host, ".mediastack/secrets.json"), encoding="utf-8") as handle:
        assert handle.read() == secrets
    assert sorted(os.listdir(host)) == [".env", ".mediastack", "compose.core.yml"]
    assert made.about["images"]["sonarr"]["image_id"].startswith("sha256:")
    state = lab.state()
    assert state["last"]["ok"] and state["good"]["id"] == made.id == state["last"]["id"]
    assert lab.audit()[-1]["verb"] == "backup" and lab.audit()[-1]["result"] == "committed"
    assert not any(value in json.dumps(lab.audit()) for value in json.loads(secrets).get("secrets", {}).values())


def test_an_app_that_never_stands_still_is_stopped_for_a_moment(lab):
    restless(lab, "homepage")
    lab.run()
    until((lab.config("homepage") / "state").exists, what="the first write")
    before = lab.one("homepage")
    code, result = lab.backup()
    assert code == 0 and result["services"] == {"homepage": "stopped for it"}
    after = lab.one("homepage")
    assert after["Id"] == before["Id"] and after["State"]["Running"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]
    assert not (lab.path / ".mediastack/backup-stops.json").exists()


def test_what_shares_gluetuns_network_is_never_stopped_and_the_others_are_taken(lab):
    lab.vpn()
    restless(lab, "qbittorrent", behind="gluetun").keeps("sonarr", "sqlite", "config.xml")
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    lab.run()
    lives = lab.lives()
    code, result = lab.backup()
    assert code == 1 and lab.lives() == lives
    assert "qbittorrent is not in the backup: its files changed during each of 3 copies" in result["msg"]
    made = lab.newest()
    assert "sonarr" in made.services and "qbittorrent" not in made.services
    assert list(made.about["left_out"]) == ["qbittorrent"] and not os.path.exists(made.data("qbittorrent"))
    assert lab.state()["last"]["ok"] is False and "good" not in lab.state()


def test_an_incomplete_backup_takes_no_complete_ones_place(lab):
    lab.keeps("qbittorrent", "copy", "qBittorrent.conf")
    lab.settings["mediastack_backup_keep"] = 1
    lab.vpn().keeps("sabnzbd", "copy", ".", behind="gluetun")
    (lab.config("qbittorrent") / "qBittorrent.conf").write_text("a")
    (lab.config("sabnzbd") / "sabnzbd.ini").write_bytes(os.urandom(48 << 20))
    lab.run()
    whole = lab.backup()[1]["id"]
    lab.services["sabnzbd"]["command"] = RESTLESS
    lab.run()
    assert lab.backup()[0] == 1
    assert whole in [snapshot.id for snapshot in lab.store().all("backup")]


def test_a_backup_that_is_killed_while_an_app_is_stopped_is_undone_by_the_next(lab):
    restless(lab, "homepage", stop_grace_period="1s")
    lab.run()
    process = subprocess.Popen([*PROGRAM, str(lab.path / "bin/mediastack-backup")], stdout=subprocess.PIPE)
    stops = lab.path / ".mediastack/backup-stops.json"
    until(stops.exists, what="the stop")
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    process.stdout.close()
    docker("stop", "-t", 0, lab.one("homepage")["Id"])
    code, result = lab.backup()
    assert code == 0 and "had left homepage stopped: started" in " ".join(result["messages"])
    assert lab.one("homepage")["State"]["Running"] and not stops.exists()
    assert not [path for path in lab.backups.iterdir() if path.name.endswith(".tmp")]


def test_a_backup_that_is_ended_while_an_app_is_stopped_starts_it_first(lab):
    restless(lab, "homepage")
    lab.run()
    process = subprocess.Popen(
        [*PROGRAM, str(lab.path / "bin/mediastack-backup")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until((lab.path / ".mediastack/backup-stops.json").exists, what="the stop")
    process.send_signal(signal.SIGTERM)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "interrupted (SIGTERM)" in err
    assert lab.one("homepage")["State"]["Running"]
    assert lab.store().all() == [] and lab.state()["last"]["ok"] is False


def test_a_service_that_is_stopped_is_taken_as_it_lies(lab):
    lab.keeps("sonarr", "sqlite", "sonarr.db")
    lab.run()
    with writing(lab.config("sonarr") / "sonarr.db"):
        pass
    docker("stop", "-t", 1, lab.one("sonarr")["Id"])
    code, result = lab.backup()
    assert code == 0 and result["services"] == {"sonarr": "it is stopped"}
    assert not lab.one("sonarr")["State"]["Running"]
    assert rows_of(os.path.join(lab.newest().data("sonarr"), "sonarr.db"))[0] >= 40


def test_the_program_without_ansible(lab):
    lab.keeps("sonarr", "sqlite", "config.xml")
    (lab.config("sonarr") / "config.xml").write_text("<Config/>")
    lab.run()
    command = ["/usr/bin/python3", "-I", "-S", str(lab.path / "bin/mediastack-backup")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=60)
    assert done.returncode == 0, done.stderr
    identifier = lab.newest().id
    assert f"backed up sonarr as {identifier}" in done.stdout
    listed = subprocess.run([*command, "--list"], capture_output=True, text=True, check=True, timeout=60)
    assert listed.stdout.startswith(identifier) and "1 services" in listed.stdout


def test_without_a_plan_it_says_what_to_do(tmp_path):
    from ansible_collections.homelab.mediastack.plugins.plugin_utils import backup_program

    program = tmp_path / "bin/mediastack-backup"
    program.parent.mkdir()
    program.write_bytes(backup_program.program())
    done = subprocess.run([*PROGRAM, str(program)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1 and "so nobody knows what to back up: run site" in done.stderr
