# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`backup` and its drill as a user runs them, on the apps of the lab; what `status` says before and after."""

from __future__ import annotations

import json
import os

import pytest
import stack_harness
import yaml
from stack_harness import ROOT, Stack, docker, free_ports

DRILL = [
    {
        "hosts": "mediastack",
        "gather_facts": False,
        "tasks": [{"name": "Try the newest backup", "homelab.mediastack.stack_drill": {"timeout": 90}}],
    }
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A small stack with authentik, for its PostgreSQL; gone afterwards."""
    made = Stack(
        tmp_path_factory.mktemp("backup"),
        f"mediastack-backup-{os.getpid()}",
        free_ports(12),
        mediastack_container_prefix=f"bk{os.getpid()}-",
        mediastack_services={**stack_harness.SMALL, "prowlarr": False, "lidarr": False},
        mediastack_profiles=["auth"],
    )
    first = made.variables["mediastack_vpn_control_port"]
    made.variables["mediastack_ports"]["authentik-server"] = {"web": first + 8, "https": first + 9}
    made.write()
    made.play("site")
    yield made
    made.remove()


def status(stack):
    """(completed process, report)."""
    path = stack.directory / "status.json"
    done = stack.play("status", "-e", f"output={path}")
    return done, json.loads(path.read_text())


def test_a_new_stack_is_healthy_and_told_to_have_no_backup(stack):
    if list((stack.base / "backups").glob("2*")):
        pytest.fail("this test comes first")
    done, report = status(stack)
    assert report["healthy"] and report["hosts"]["box"]["backup"]["count"] == 0
    assert {"host": "box", "about": "backup", "message": "there is no backup yet: the playbook backup makes one"} in (
        report["warnings"]
    )
    assert "backup" in done.stdout and "none yet" in done.stdout


def test_backup_takes_everything_and_a_drill_brings_it_up(stack):
    predicted = stack.play("backup", "--check")
    assert "box: would back up " in predicted.stdout and not list((stack.base / "backups").glob("2*"))
    before = {name: (one["Id"], one["State"]["StartedAt"]) for name, one in stack.containers().items()}
    done = stack.play("backup")
    assert "box: backed up " in done.stdout and "Traceback" not in done.stdout + done.stderr
    backup = sorted((stack.base / "backups").glob("2*"))[-1]
    manifest = json.loads((backup / "manifest.json").read_text())
    assert {"gluetun", "qbittorrent", "sabnzbd", "sonarr", "authentik-postgresql", "_host"} <= set(manifest["services"])
    assert manifest["services"]["authentik-postgresql"]["databases"]
    play = stack.directory / "drill.yml"
    play.write_text(yaml.safe_dump(DRILL))
    command = [*stack.command("x")[:-1], str(play)]
    drilled = stack_harness.subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=ROOT, env=stack.environment, check=False
    )
    assert drilled.returncode == 0, drilled.stdout + drilled.stderr
    state = json.loads((stack.project_path / ".mediastack/backup-state.json").read_text())
    passed = {name for name, word in state["drill"]["services"].items() if word == "passed"}
    assert {"sonarr", "qbittorrent", "sabnzbd", "authentik-server", "authentik-postgresql"} <= passed
    assert state["drill"]["services"]["gluetun"] == "skipped"
    after = {name: (one["Id"], one["State"]["StartedAt"]) for name, one in stack.containers().items()}
    assert after == before, "the stack was not touched"
    assert docker("ps", "-aq", "--filter", f"label=org.homelab.mediastack.drill={stack.project}") == ""
    _done, report = status(stack)
    facts = report["hosts"]["box"]["backup"]
    assert report["healthy"] and facts["ok"] and facts["drill_ok"] and facts["count"] == 1


@pytest.mark.long
def test_one_service_by_name_and_a_name_that_nothing_has(stack):
    count = len(list((stack.base / "backups").glob("2*")))
    done = stack.play("backup", "-e", "service=sonarr")
    assert "box: backed up 1 service, " in done.stdout
    assert len(list((stack.base / "backups").glob("2*-partial-*"))) == 1
    wrong = stack.play("backup", "-e", "service=sonar", check=False)
    assert wrong.returncode != 0 and "sonarr" in wrong.stdout
    assert len(list((stack.base / "backups").glob("2*"))) == count + 1


def test_site_has_nothing_to_do_after_a_backup(stack):
    assert stack_harness.changed(stack.play("site")) == 0


@pytest.mark.long
def test_remove_leaves_the_backups_and_says_so(stack):
    done = stack.play("remove", "-e", "purge_config=true", "-e", "confirm=box")
    assert "backups" in done.stdout.split("stays")[1]
    assert list((stack.base / "backups").glob("2*-backup-*"))
