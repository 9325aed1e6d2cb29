# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be deleted with the configuration, and what stands against it."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import mounts, purge
from ansible_collections.homelab.mediastack.plugins.module_utils.purge import PurgeError


@pytest.fixture
def tree(tmp_path):
    """A stack's directories, with files in them."""
    for name in ("config/sonarr", "config/radarr", "config/theirs", "media/tv", "downloads", "compose"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    return tmp_path


def plan(tree, wanted=("sonarr",), made=(), table=(), others=None, **paths):
    places = {name: str(tree / name) for name in ("config", "media", "downloads")}
    places.update(base=str(tree), **paths)
    config = places["config"]
    return purge.plan(
        [name if name.startswith("/") else f"{config}/{name}" for name in wanted],
        list(made),
        places,
        str(tree / "compose"),
        others or {},
        list(table),
    )


def refused(*arguments, **named):
    with pytest.raises(PurgeError) as caught:
        plan(*arguments, **named)
    assert "nothing was touched" in str(caught.value)
    return str(caught.value)


def test_only_what_belongs_to_the_stack_goes(tree):
    config = tree / "config"
    made = [str(tree), str(config), str(config / "radarr"), str(config / "radarr/db"), str(tree / "media")]
    found = plan(tree, wanted=["sonarr", "absent"], made=made)
    assert found == [str(config / "radarr"), str(config / "sonarr")]
    for path in found:
        purge.remove(path)
    assert [path.name for path in config.iterdir()] == ["theirs"]
    assert (tree / "media/tv/file").exists() and (tree / "compose/file").exists()
    purge.remove(found[0])


def test_links_inside_are_removed_and_not_followed(tree):
    (tree / "config/sonarr/library").symlink_to(tree / "media")
    for path in plan(tree):
        purge.remove(path)
    assert (tree / "media/tv/file").exists()


def test_a_link_to_media_is_refused(tree):
    (tree / "config/lidarr").symlink_to(tree / "media")
    said = refused(tree, wanted=["sonarr", "lidarr"])
    assert str(tree / "config/lidarr") in said and str(tree / "media") in said
    assert (tree / "config/sonarr/file").exists()


def test_configuration_inside_of_media_is_refused(tree):
    (tree / "media/config/sonarr").mkdir(parents=True)
    assert "where the media are" in refused(tree, config=str(tree / "media/config"))


def test_one_path_for_configuration_and_media_is_refused(tree):
    (tree / "media/sonarr").mkdir()
    assert "where the media are" in refused(tree, config=str(tree / "media"))


def test_a_config_path_that_is_a_link_into_media_is_refused(tree):
    (tree / "media/sonarr").mkdir()
    (tree / "linked").symlink_to(tree / "media")
    assert "where the media are" in refused(tree, config=str(tree / "linked"))


@pytest.mark.parametrize("name", ["media", "downloads"])
def test_media_or_downloads_inside_of_configuration_are_refused(tree, name):
    (tree / "config/sonarr/mine").mkdir()
    said = refused(tree, **{name: str(tree / "config/sonarr/mine")})
    assert f"where the {name} are" in said


def test_the_project_inside_of_configuration_is_refused(tree):
    assert "project path" in refused(tree, wanted=["compose"], config=str(tree))


def test_with_the_base_path_for_configuration_what_we_made_beside_it_is_not_taken_for_configuration(tree):
    (tree / "sonarr").mkdir()
    made = [str(tree / name) for name in ("media", "media/tv", "downloads", "compose", "sonarr")]
    assert plan(tree, made=made, config=str(tree)) == [str(tree / "sonarr")]


def test_another_file_system_inside_is_refused(tree):
    table = [
        mounts.Mount("1:1", "/", "ext4", "x", []),
        mounts.Mount("1:2", str(tree / "config/sonarr/nas"), "nfs", "x", []),
    ]
    assert "unmount it first" in refused(tree, table=table)


def test_what_others_use_is_refused(tree):
    said = refused(tree, others={str(tree / "config/sonarr"): "yams-sonarr", str(tree): "backup"})
    assert "used by yams-sonarr" in said and "backup" not in said


def test_a_file_where_a_directory_should_be_is_refused(tree):
    (tree / "config/odd").write_text("x")
    assert "not a directory" in refused(tree, wanted=["odd"])


def test_the_config_path_itself_is_never_taken(tree):
    assert plan(tree, wanted=[str(tree / "config"), "/etc"]) == []
