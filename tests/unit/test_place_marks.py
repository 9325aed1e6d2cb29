# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An empty mount point is not taken for the directory whose disk is gone."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import place_marks


@pytest.fixture
def bundle(tmp_path):
    for name in ("compose/.mediastack", "config", "backups"):
        (tmp_path / name).mkdir(parents=True)
    paths = {"config": str(tmp_path / "config"), "backup": str(tmp_path / "backups")}
    return {"project": {"path": str(tmp_path / "compose")}, "paths": paths}


def test_a_new_host_has_no_marks_and_is_no_problem(bundle):
    assert place_marks.problems(bundle) == []


def test_a_directory_that_has_lost_its_mark_is_refused_and_named(bundle, tmp_path):
    place_marks.mark(bundle)
    assert place_marks.problems(bundle) == []
    (tmp_path / "config").rename(tmp_path / "unmounted")
    (tmp_path / "config").mkdir()
    (found,) = place_marks.problems(bundle)
    assert (found["where"], found["value"]) == ("mediastack_config_path", str(tmp_path / "config"))
    assert "mount its disk" in found["remedy"]
    # What is empty is never marked again by itself.
    place_marks.mark(bundle)
    assert len(place_marks.problems(bundle)) == 1
    (tmp_path / "config" / place_marks.MARK).touch()
    assert place_marks.problems(bundle) == []


def test_another_directory_in_the_inventory_is_a_new_one(bundle, tmp_path):
    place_marks.mark(bundle)
    other = {**bundle, "paths": {**bundle["paths"], "config": str(tmp_path / "other")}}
    (tmp_path / "other").mkdir()
    assert place_marks.problems(other) == []
    place_marks.mark(other)
    assert (tmp_path / "other" / place_marks.MARK).exists() and place_marks.problems(other) == []


def container(bundle, source):
    labels = {
        "com.docker.compose.project": "mine",
        "com.docker.compose.project.working_dir": bundle["project"]["path"],
    }
    return {"Name": "/sonarr", "Config": {"Labels": labels}, "Mounts": [{"Type": "bind", "Source": source}]}


def test_the_directory_of_an_app_whose_container_is_there_is_not_made_anew(bundle, tmp_path):
    directory = str(tmp_path / "config" / "sonarr")
    bundle["project"]["name"] = "mine"
    bundle["services"] = {"sonarr": {"config_dir": directory}, "radarr": {"config_dir": None}}
    ours = container(bundle, directory)
    (found,) = place_marks.gone(bundle, [ours])
    assert "the configuration of sonarr, is gone" in found["what"] and "docker rm -f sonarr" in found["remedy"]
    (tmp_path / "config" / "sonarr").mkdir()
    assert place_marks.gone(bundle, [ours]) == []
    # Somebody else's container, or one that was made on another directory, says nothing.
    (tmp_path / "config" / "sonarr").rmdir()
    stranger = container(bundle, directory)
    stranger["Config"]["Labels"]["com.docker.compose.project"] = "another"
    assert place_marks.gone(bundle, [stranger, container(bundle, "/elsewhere")]) == []
