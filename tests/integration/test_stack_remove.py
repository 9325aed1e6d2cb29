# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`remove` on the real engine (P4): what is ours goes, everything else on the host is as it was."""

from __future__ import annotations

import hashlib
import json

import pytest
from compose_stack_lab import IMAGE, docker

from ansible_collections.homelab.mediastack.plugins.module_utils import stack, stack_remove
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker


def remove(lab, check=False, **wish):
    """(result, error) of a removal."""
    paths = {name: str(lab.base / name) for name in ("config", "media", "downloads")}
    request = lab.request("absent", plain=True, check=check)
    made = stack_remove.kind(stack_remove.Wish(dict(paths, base=str(lab.base), **wish.pop("paths", {})), **wish))
    return stack.run(request, Docker(environ=lab.environ), made)


def removed(lab, **wish):
    """The result of a removal that does exactly what its check mode said."""
    before = host(lab)
    said, error = remove(lab, check=True, **wish)
    assert error is None and host(lab) == before
    result, error = remove(lab, **wish)
    assert error is None, error
    for key in ("changed", "actions", "gone", "stays", "diff"):
        assert result[key] == said[key], key
    return result


def tree(path):
    """path → digest, or what else it is, of everything below a directory."""
    found = {}
    for one in sorted(path.rglob("*")):
        # The run itself notes who holds the lock.
        if one.name not in ("run.json", "run.lock"):
            kind = "link" if one.is_symlink() else "directory" if one.is_dir() else None
            found[str(one.relative_to(path))] = kind or hashlib.sha256(one.read_bytes()).hexdigest()
    return found


def host(lab):
    """What `docker` and the disks show of this host, as far as no other test has a hand in it."""

    def lines(*command):
        return {line for line in docker(*command).splitlines() if lab.name in line}

    return {
        "containers": lines("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"),
        "networks": lines("network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}"),
        "volumes": lines("volume", "ls", "--format", "{{.Name}}"),
        "images": docker("image", "inspect", "--format", "{{.Id}}", IMAGE),
        "files": tree(lab.base),
    }


@pytest.fixture
def whole(lab):
    """A stack with everything that one has, beside a stranger's."""
    config = lab.base / "config" / "sonarr"
    lab.project["volumes"] = {"db": {}}
    lab.files[lab.path / "secrets" / "key"] = "k"
    bind = {"type": "bind", "source": str(config), "target": "/config", "bind": {"create_host_path": True}}
    lab.add("radarr").add("sonarr", volumes=["db:/db", bind])
    lab.run(stable_for=0.1)
    (config / "sonarr.db").write_text("years of work")
    (lab.base / "media" / "film.mkv").write_text("film")
    (lab.base / "config" / "theirs").mkdir()
    (lab.base / "config" / "theirs" / "file").write_text("x")
    state = lab.path / ".mediastack"
    (state / "secrets.json").write_text(json.dumps({"schema": 1, "secrets": {}}))
    (state / "holds.json").write_text(json.dumps({"schema": 1, "holds": {}}))
    docker("run", "-d", "--name", f"{lab.name}-theirs", "-v", f"{lab.name}-theirs:/data", IMAGE, "sleep", "600")
    yield lab
    lab.clean()
    docker("volume", "rm", "-f", f"{lab.name}_db", f"{lab.name}-theirs", check=False)


def test_what_is_ours_goes_and_nothing_else_on_the_host_changes(whole):
    before = host(whole)
    result = removed(whole)
    after = host(whole)
    assert result["gone"] == {
        "containers": [f"{whole.name}-{name}" for name in ("radarr", "sonarr")],
        "networks": [f"{whole.name}_default"],
        "files": [
            str(whole.path / name)
            for name in (".env", "compose.core.yml", "secrets/key", ".mediastack/holds.json", ".mediastack/made.json")
        ],
    }
    assert {line.split()[1] for line in before["containers"] - after["containers"]} == set(result["gone"]["containers"])
    assert after["containers"] and after["containers"] <= before["containers"], "the stranger's runs on"
    assert {line.split()[1] for line in before["networks"] - after["networks"]} == set(result["gone"]["networks"])
    assert (after["volumes"], after["images"]) == (before["volumes"], before["images"])
    ours = {
        f"compose/{name}"
        for name in (
            ".env",
            "compose.core.yml",
            "secrets",
            "secrets/key",
            ".mediastack/holds.json",
            ".mediastack/made.json",
        )
    }
    assert set(before["files"]) - set(after["files"]) == ours
    changed = {path for path, digest in after["files"].items() if before["files"].get(path) != digest}
    assert changed == {"compose/.mediastack/manifest.json"}

    stays = result["stays"]
    assert stays["volumes"] == [f"{whole.name}_db"]
    assert [stays[name] for name in ("config", "media", "downloads")] == [
        [str(whole.base / name)] for name in ("config", "media", "downloads")
    ]
    assert str(whole.path / ".mediastack" / "secrets.json") in stays["records"]

    again = removed(whole)
    assert again["changed"] is False and again["actions"] == []
    assert host(whole) == after
    assert again["stays"]["volumes"] == stays["volumes"], "it is not forgotten with its container"


def test_a_stack_that_was_taken_away_comes_back_with_its_data(whole):
    secrets = (whole.path / ".mediastack" / "secrets.json").read_bytes()
    removed(whole)
    whole.run()
    assert set(whole.states().values()) == {"running"}
    assert (whole.base / "config" / "sonarr" / "sonarr.db").read_text() == "years of work"
    assert (whole.path / ".mediastack" / "secrets.json").read_bytes() == secrets


def test_with_the_configuration_its_volumes_and_secrets_go_and_media_stays(whole):
    config = whole.base / "config"
    result = removed(whole, purge_config=True, config_dirs=[str(config / "sonarr"), str(config / "radarr")])
    assert result["gone"]["config"] == [str(config / "sonarr")]
    assert result["gone"]["volumes"] == [f"{whole.name}_db"]
    after = host(whole)
    assert after["volumes"] == {f"{whole.name}-theirs"}
    assert set(after["files"]) == {
        "config",
        "config/theirs",
        "config/theirs/file",
        "downloads",
        "media",
        "media/film.mkv",
    }
    assert result["stays"]["config"] == [str(config)]
    again = removed(whole, purge_config=True, config_dirs=[str(config / "sonarr")])
    assert again["changed"] is False and host(whole) == after


def test_what_was_left_by_a_first_removal_can_go_with_a_second(whole):
    removed(whole)
    result = removed(whole, purge_config=True, config_dirs=[str(whole.base / "config" / "sonarr")])
    assert result["gone"]["volumes"] == [f"{whole.name}_db"] and not result["gone"]["containers"]
    assert not whole.path.exists()


def test_a_link_into_media_stops_it_before_anything_is_touched(whole):
    (whole.base / "config" / "radarr").symlink_to(whole.base / "media")
    before = host(whole)
    wanted = [str(whole.base / "config" / name) for name in ("sonarr", "radarr")]
    result, error = remove(whole, purge_config=True, config_dirs=wanted)
    assert "symbolic link" in error and "nothing was touched" in error and str(whole.base / "media") in error
    assert result["changed"] is False and host(whole) == before


def test_configuration_that_a_strangers_container_uses_stays(whole):
    sonarr = whole.base / "config" / "sonarr"
    docker("run", "-d", "--name", f"{whole.name}-reader", "-v", f"{sonarr}:/c", IMAGE, "sleep", "600")
    before = host(whole)
    _result, error = remove(whole, purge_config=True, config_dirs=[str(sonarr)])
    assert f"used by {whole.name}-reader" in error and host(whole) == before


def test_an_edited_file_stays_and_is_named(whole):
    edited = whole.path / "compose.core.yml"
    edited.write_text(edited.read_text() + "# mine\n")
    result = removed(whole)
    assert result["stays"]["edited files"] == [str(edited)] and edited.exists()
    assert removed(whole, purge_config=True)["stays"]["edited files"] == [str(edited)]


def test_a_foreign_stack_of_the_same_name_is_left_alone(whole):
    theirs = whole.base / "theirs"
    theirs.mkdir()
    document = {"name": whole.name, "services": {"mine": dict(whole.services["sonarr"], volumes=[])}}
    document["services"]["mine"]["container_name"] = f"{whole.name}-mine"
    (theirs / "compose.yaml").write_text(json.dumps(document))
    docker("compose", "up", "-d", "mine", cwd=theirs)
    before = docker("inspect", f"{whole.name}-mine")
    result = removed(whole)
    assert docker("inspect", f"{whole.name}-mine") == before
    assert result["stays"]["others' containers"] == [f"{whole.name}-mine"] and not result["gone"]["networks"]


def test_where_nothing_ever_was_nothing_is_made(lab):
    before = host(lab)
    result = removed(lab, purge_config=True)
    assert result["changed"] is False and host(lab) == before
    assert not lab.path.exists()
