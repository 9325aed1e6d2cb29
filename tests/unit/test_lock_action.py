# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action lock: from what hosts run and the inventory wants to targets, and to the file beside the inventory."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from unittest import mock

import pytest
import registry_world as w
import render_harness as h
import yaml

from ansible_collections.homelab.mediastack.plugins.action import lock as action
from ansible_collections.homelab.mediastack.plugins.plugin_utils import lock_file
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lock_file import Entry

OTHER = "sha256:" + "d" * 64


@pytest.fixture
def world(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker"))
    return w.World()


@pytest.fixture
def here(world):
    with w.serving(world) as address:
        yield address


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the action; its result. What it printed is in `run.printed`."""
    inventory = tmp_path / "inventory"
    inventory.mkdir()

    def execute(check=False, inventory_dir=inventory, task_vars=None, **arguments):
        execute.printed = []
        monkeypatch.setattr(action.display, "display", lambda text, **_style: execute.printed.append(text))
        task = SimpleNamespace(
            args=arguments, async_val=0, check_mode=check, diff=False, no_log=False, environment=None, action="lock"
        )
        module = action.ActionModule(
            task=task,
            connection=mock.Mock(),
            play_context=mock.Mock(),
            loader=mock.Mock(),
            templar=h.templar(),
            shared_loader_obj=mock.Mock(),
        )
        variables = {"inventory_dir": str(inventory_dir) if inventory_dir else None, "groups": {"mediastack": ["nas"]}}
        return module.run(task_vars={**variables, "ansible_play_hosts_all": ["nas"], **(task_vars or {})})

    execute.path = inventory / lock_file.NAME
    return execute


def wants(here, *names, tag="1.0"):
    return {"nas": {name: {"image": f"{here}/team/{name}:{tag}", "wiring_kind": None} for name in names}}


def runs(**services):
    return {"nas": {"services": {name: dict(one, platform="linux/amd64") for name, one in services.items()}}}


def test_resolving_says_what_would_be_and_writes_nothing(run, world, here):
    digest, children = world.index("team/sonarr", "1.0", ["linux/amd64", "linux/arm64"])
    result = run(images=wants(here, "sonarr"), surveys={})
    image = f"{here}/team/sonarr:1.0"
    assert result["targets"] == {
        "nas": {"sonarr": {"image": image, "digest": digest, "created": "2026-10-01T10:00:00Z"}}
    }
    assert (result["changed"], result["held"], result["source"]) == (False, [], "registry")
    assert result["lock"]["path"] == str(run.path)
    assert f"digest: {digest}\n    platforms: {{linux/amd64: {children['linux/amd64']}" in result["lock"]["text"]
    assert not run.path.exists()
    assert any(image in line for line in run.printed)


def test_what_was_resolved_is_written_by_the_next_task(run, world, here):
    world.image("team/sonarr", "1.0")
    resolved = run(images=wants(here, "sonarr"), surveys={})
    written = run(mode="write", lock=resolved["lock"])
    assert (written["changed"], written["path"]) == (True, str(run.path))
    assert run.path.read_text() == resolved["lock"]["text"]
    assert (written["diff"]["before"], written["diff"]["after"]) == ("", resolved["lock"]["text"])
    before = run.path.stat().st_mtime_ns
    again = run(mode="write", lock=resolved["lock"])
    assert (again["changed"], run.path.stat().st_mtime_ns) == (False, before)


def test_what_somebody_else_wrote_meanwhile_stays(run, world, here):
    world.image("team/sonarr", "1.0")
    resolved = run(images=wants(here, "sonarr"), surveys={})
    other = Entry("radarr", "a/radarr:1", OTHER)
    lock_file.write(str(run.path), lock_file.merged(lock_file.Lock(), [other]))
    run(mode="write", lock=resolved["lock"])
    assert [entry.service for entry in lock_file.read(str(run.path)).entries] == ["radarr", "sonarr"]


def test_only_what_a_host_has_passed_its_gate_with_is_written(run, world, here):
    for name in ("sonarr", "radarr"):
        world.image(f"team/{name}", "1.0")
    images = {"attic": wants(here, "sonarr")["nas"], "nas": wants(here, "radarr")["nas"]}
    resolved = run(images=images, surveys={})
    run(mode="write", lock=resolved["lock"], outcomes={"nas": {"changed": True}})
    assert [entry.service for entry in lock_file.read(str(run.path)).entries] == ["radarr"]
    run(mode="write", lock=resolved["lock"], outcomes={"nas": {"changed": True}, "attic": {"skipped": True}})
    assert [entry.service for entry in lock_file.read(str(run.path)).entries] == ["radarr", "sonarr"]


def test_lock_only_writes_at_once_and_a_second_time_nothing(run, world, here):
    world.image("team/sonarr", "1.0")
    first = run(images=wants(here, "sonarr"), surveys={}, lock_only=True)
    assert (first["changed"], run.path.read_text()) == (True, first["lock"]["text"])
    before = run.path.stat()
    asked = len(world.log)
    second = run(images=wants(here, "sonarr"), surveys={}, lock_only=True)
    assert second["changed"] is False
    assert run.path.stat().st_mtime_ns == before.st_mtime_ns
    # What has not changed costs one request.
    assert [path.split("/")[0] for path in world.paths()[asked:]] == ["HEAD "]


def test_a_tag_that_moved_is_a_change_of_its_entry_alone(run, world, here):
    for name in ("sonarr", "radarr"):
        world.image(f"team/{name}", "1.0")
    run(images=wants(here, "sonarr", "radarr"), surveys={}, lock_only=True)
    before = run.path.read_text().splitlines()
    moved = world.image("team/sonarr", "1.0", created="2026-11-01T00:00:00Z")
    result = run(images=wants(here, "sonarr", "radarr"), surveys={}, lock_only=True)
    assert result["changed"] is True
    after = run.path.read_text().splitlines()
    assert len(before) == len(after)
    changed = {line.split(":")[0].strip() for line in set(after) - set(before)}
    assert changed <= {"digest", "platforms", "created", "resolved"}
    assert f"    digest: {moved}" in after
    assert any("it was sha256:" in line for line in run.printed)


def test_check_mode_asks_and_writes_nothing(run, world, here):
    world.image("team/sonarr", "1.0")
    result = run(images=wants(here, "sonarr"), surveys={}, lock_only=True, check=True)
    assert result["changed"] is True
    assert result["diff"]["after"] == result["lock"]["text"]
    assert not run.path.exists()
    assert run(mode="write", lock=result["lock"], check=True)["changed"] is True
    assert not run.path.exists()


def test_without_an_inventory_there_is_nowhere_to_write(run, world, here):
    world.image("team/sonarr", "1.0")
    for options in ({"lock_only": True}, {"write": True}):
        result = run(images=wants(here, "sonarr"), surveys={}, inventory_dir=None, **options)
        assert result["failed"] is True
        assert "written beside the inventory" in result["msg"]
    assert world.log == []
    # The playbook writes later, when hosts have changed.
    result = run(images=wants(here, "sonarr"), surveys={}, inventory_dir=None)
    assert result["msg"].startswith("Nothing was touched: mediastack.lock.yml is written beside the inventory")
    resolved = run(images=wants(here, "sonarr"), surveys={}, inventory_dir=None, check=True)
    assert resolved["targets"]["nas"]["sonarr"]["digest"]
    for check in (False, True):
        assert run(mode="write", lock=resolved["lock"], inventory_dir=None, check=check)["failed"] is True


def test_a_place_where_no_file_can_be_made_is_told_before_a_host_changes(run, world, here, tmp_path):
    world.image("team/sonarr", "1.0")
    gone = tmp_path / "gone"
    result = run(images=wants(here, "sonarr"), surveys={}, inventory_dir=gone)
    assert result["msg"].startswith(f"Nothing was touched: cannot write {gone / lock_file.NAME}: No such file")
    resolved = run(images=wants(here, "sonarr"), surveys={}, inventory_dir=gone, check=True)
    assert resolved["targets"]["nas"]["sonarr"]["digest"]
    # In the task after the update, hosts were touched.
    late = run(mode="write", lock=resolved["lock"], inventory_dir=gone)
    assert late["failed"] is True
    assert late["msg"].startswith(f"cannot write {gone / lock_file.NAME}: No such file")
    assert "Nothing was touched" not in late["msg"]


def test_a_lock_that_could_not_be_read_again_is_told_before_a_host_changes(run, world, here, monkeypatch):
    world.image("team/sonarr", "1.0")
    text = lock_file.text
    monkeypatch.setattr(lock_file, "text", lambda lock: text(lock).replace("sha256:", "sha512:"))
    result = run(images=wants(here, "sonarr"), surveys={})
    assert result["msg"].startswith(f"Nothing was touched: cannot write {run.path}: what was to be written could not")


def test_where_there_is_nothing_to_write_no_place_is_needed(run, world, here, tmp_path):
    fixed = f"{here}/team/sonarr:1.0@{OTHER}"
    images = {"nas": {"sonarr": {"image": fixed, "wiring_kind": None}}}
    for place in (None, tmp_path / "gone"):
        assert run(images=images, surveys={}, inventory_dir=place)["targets"]["nas"]["sonarr"]["digest"] == OTHER


def test_a_host_behind_the_lock_is_brought_to_it_without_a_request(run, world, here):
    digest = world.image("team/sonarr", "1.0")
    run(images=wants(here, "sonarr"), surveys={}, lock_only=True)
    asked = len(world.log)
    survey = runs(sonarr={"image": f"{here}/team/sonarr:1.0", "digest": OTHER, "digests": [OTHER]})
    result = run(images=wants(here, "sonarr"), surveys=survey)
    assert (len(world.log), result["source"]) == (asked, "lock")
    assert result["targets"]["nas"]["sonarr"]["digest"] == digest


def test_what_is_held_back_is_printed_and_returned(run, world, here):
    world.image("team/sonarr", "2.0")
    survey = runs(sonarr={"image": f"{here}/team/sonarr:1.0", "digest": OTHER})
    result = run(images=wants(here, "sonarr", tag="2.0"), surveys=survey)
    assert result["targets"] == {"nas": {}}
    assert len(result["held"]) == 1
    assert result["held"] == result["refused"]
    assert result["held"][0] in run.printed
    assert "-e allow_major=true" in result["held"][0]
    young = run(images=wants(here, "sonarr", tag="2.0"), surveys={}, minimum_age=365)
    assert "held back for" in young["held"][0]
    assert young["refused"] == []


def test_everything_that_is_wrong_is_one_message(run, world, here):
    result = run(images=wants(here, "sonarr", "radarr"), surveys={})
    assert result["failed"] is True
    assert result["msg"].startswith("Nothing was touched: 2 problems.\n  - ")
    assert "has no team/sonarr:1.0" in result["msg"]
    assert not run.path.exists()


def test_a_lock_file_that_is_broken_stops_everything(run, world, here):
    run.path.write_text("schema: 9\nimages: []\n")
    result = run(images=wants(here, "sonarr"), surveys={})
    assert result["failed"] is True
    assert result["msg"].startswith(f"Nothing was touched: {run.path}, line 1: schema 9 is not known here")
    assert world.log == []


@pytest.mark.parametrize(
    ("task_vars", "pruned"),
    [
        ({}, True),
        ({"ansible_limit": "nas"}, False),
        ({"ansible_play_hosts_all": ["nas", "attic"]}, False),
        ({"groups": {"mediastack": ["nas", "attic"]}}, False),
    ],
)
def test_an_old_entry_goes_only_when_every_host_was_looked_at(run, world, here, task_vars, pruned):
    world.image("team/sonarr", "1.1")
    old = Entry("sonarr", f"{here}/team/sonarr:1.0", OTHER)
    lock_file.write(str(run.path), lock_file.merged(lock_file.Lock(), [old]))
    run(images=wants(here, "sonarr", tag="1.1"), surveys={}, lock_only=True, task_vars=task_vars)
    assert len(lock_file.read(str(run.path)).entries) == (1 if pruned else 2)


def test_an_old_entry_stays_where_another_inventory_has_the_lock_too(run, world, here):
    world.image("team/sonarr", "1.1")
    mine, other = run.path.with_name("hosts.yml"), run.path.with_name("test.ini")
    mine.write_text("mediastack:\n  hosts:\n    nas:\n")
    other.write_text("[mediastack]\nlab\n")
    old = Entry("sonarr", f"{here}/team/sonarr:1.0", OTHER)
    lock_file.write(str(run.path), lock_file.merged(lock_file.Lock(), [old]))
    sources = {"ansible_inventory_sources": [str(mine)]}
    run(images=wants(here, "sonarr", tag="1.1"), surveys={}, lock_only=True, task_vars=sources)
    assert len(lock_file.read(str(run.path)).entries) == 2
    other.unlink()
    run(images=wants(here, "sonarr", tag="1.1"), surveys={}, lock_only=True, task_vars=sources)
    assert len(lock_file.read(str(run.path)).entries) == 1


def test_hosts_of_two_inventories_have_no_lock_in_common(run, world, here, tmp_path):
    images = {host: wants(here, "sonarr")["nas"] for host in ("nas", "attic")}
    inventories = {"nas": str(tmp_path / "inventory"), "attic": str(tmp_path / "other")}
    known = {"hostvars": {host: {"inventory_dir": place} for host, place in inventories.items()}}
    result = run(images=images, surveys={}, task_vars=known)
    assert result["failed"] is True
    assert f"(nas: {inventories['nas']}; attic: {inventories['attic']})" in result["msg"]
    assert "with -i or --limit" in result["msg"]
    assert world.log == []
    world.image("team/sonarr", "1.0")
    assert run(images=wants(here, "sonarr"), surveys={}, task_vars=known)["targets"]["nas"]


def test_a_lock_by_itself_is_about_no_host():
    """Nothing in the play that changes hosts is done or judged with lock_only; what failed there is of another task."""
    plays = yaml.safe_load(pathlib.Path(action.__file__).parents[2].joinpath("playbooks/update.yml").read_text())
    (changes,) = [play for play in plays if "serial" in play]
    conditions = {task["name"]: str(task["when"]) for task in changes["tasks"]}
    skipped = [name for name, when in conditions.items() if "not update_survey.given.lock_only" in when]
    assert [name for name in conditions if name not in skipped] == ["Stop where a host had to go back"]
    # `a or b` is not to get round it.
    assert all(" or " not in when.split("lock_only")[1].split("(")[0] for when in map(conditions.get, skipped))


def test_its_options_are_documented():
    from ansible_collections.homelab.mediastack.plugins.modules import lock as module

    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    source = pathlib.Path(action.__file__).read_text()
    assert all(f'"{name}": {{"type"' in source for name in documented)
    assert len(documented) == source.count('": {"type"')
