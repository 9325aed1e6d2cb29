# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is pulled from a registry, when, and which image a service runs afterwards."""

from __future__ import annotations

import json
import pathlib
import tempfile
import urllib.request

import pytest
from compose_stack_lab import build_image, docker
from registry import running_registry

REGISTRY = "127.0.0.1:21990"
SONARR, RADARR = f"{REGISTRY}/mscs/sonarr:4", f"{REGISTRY}/mscs/radarr:6"


def publish(image, mark):
    """Push an image that this engine then does not have; its digest in the registry."""
    build_image(image, mark)
    docker("push", "--quiet", image)
    docker("image", "rm", "-f", image)
    name, tag = image.removeprefix(f"{REGISTRY}/").split(":")
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    request = urllib.request.Request(f"http://{REGISTRY}/v2/{name}/manifests/{tag}", headers=accept)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.headers["Docker-Content-Digest"], json.load(answer)["config"]["digest"]


@pytest.fixture
def registry(box):
    """A registry; the engine has none of its images before and after."""
    with tempfile.TemporaryDirectory(prefix="mscs-registry-", dir="/var/tmp") as place:
        try:
            with running_registry(pathlib.Path(place), REGISTRY):
                yield
        finally:
            docker("image", "rm", "-f", SONARR, RADARR, check=False)


@pytest.fixture
def moved(registry, lab):
    """A stack on images that the registry has renewed since: (lab, old ids, new id of sonarr)."""
    publish(SONARR, "first")
    publish(RADARR, "first")
    lab.add("sonarr", image=SONARR).add("radarr", image=RADARR)
    lab.run()
    old = {name: lab.one(name)["Image"] for name in ("sonarr", "radarr")}
    running = docker("image", "inspect", "--format", "{{.Id}}", SONARR)
    # The tag moves in the registry; this engine keeps what it has, as a host does that does not pull.
    build_image(SONARR, "second")
    docker("push", "--quiet", SONARR)
    new = docker("image", "inspect", "--format", "{{.Id}}", SONARR)
    docker("tag", running, SONARR)
    return lab, old, new


def test_missing_images_are_pulled_before_anything_starts(registry, lab):
    digest, identifier = publish(SONARR, "first")
    lab.add("sonarr", image=SONARR).add("radarr")
    forecast = lab.run(check=True)
    assert f"pull {SONARR} for sonarr" in forecast["actions"]
    assert lab.all() == []
    result = lab.run()
    assert lab.one("sonarr")["Image"] == identifier
    assert result["services"]["sonarr"]["digest"] == digest
    assert f"pull {SONARR} for sonarr" in result["actions"]
    assert lab.run()["changed"] is False


def test_one_image_that_is_not_there_keeps_all_from_starting(registry, lab):
    publish(SONARR, "first")
    lab.add("sonarr", image=SONARR).add("radarr", image=RADARR)
    _result, error = lab.attempt()
    assert "1 of 2 images could not be pulled" in error and f"{RADARR} (for radarr)" in error
    assert "manifest unknown" in error or "not found" in error
    assert lab.all() == []
    publish(RADARR, "first")
    lab.run()
    assert lab.states() == {"sonarr": "running", "radarr": "running"}


def test_an_image_that_moved_is_left_alone_unless_asked_for(moved):
    lab, old, _new = moved
    assert lab.run()["changed"] is False
    assert lab.one("sonarr")["Image"] == old["sonarr"]


def test_pull_always_moves_the_service_whose_image_moved_and_no_other(moved):
    lab, old, new = moved
    radarr = lab.lives()["radarr"]
    result = lab.run(pull="always")
    assert lab.one("sonarr")["Image"] == new != old["sonarr"]
    assert lab.lives()["radarr"] == radarr
    assert result["services"]["sonarr"]["action"] == "recreate"
    assert result["services"]["radarr"]["action"] == "none"
    again = lab.run(pull="always")
    assert (again["changed"], again["actions"]) == (False, [])


def test_pulled_fetches_what_moved_and_the_next_run_keeps_what_runs(moved):
    lab, old, new = moved
    lives = lab.lives()
    result = lab.run("pulled", pull="always")
    assert (result["changed"], result["actions"]) == (True, [f"pull {SONARR} for sonarr"])
    assert docker("image", "inspect", "--format", "{{.Id}}", SONARR) == new
    assert lab.lives() == lives
    assert lab.run()["changed"] is False
    assert lab.one("sonarr")["Image"] == old["sonarr"]
