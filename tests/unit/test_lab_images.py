# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which images the lab makes, from what, and which it leaves alone."""

import importlib
import json
import pathlib
import re
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from images import builder, names  # noqa: E402

FAKE_DOCKER = """#!/bin/sh
echo "$@" >>"{log}"
case "$1 $2" in
"image inspect") cat "{folder}/inspect" ;;
"image ls") cat "{folder}/ls" ;;
esac
"""


@pytest.fixture
def docker(tmp_path):
    """A docker command that answers from files and writes down how it was called."""
    script = tmp_path / "docker"
    script.write_text(FAKE_DOCKER.format(log=tmp_path / "calls", folder=tmp_path))
    script.chmod(0o755)
    for name in ("calls", "inspect", "ls"):
        (tmp_path / name).touch()
    return script


def write_service(folder, image):
    """Write a service file that names an image."""
    folder.mkdir(exist_ok=True)
    (folder / "x.yml.j2").write_text(f"services:\n  x:\n    image: {image}\n")
    return folder


def test_every_image_of_the_catalogue_has_something_to_run():
    """Each entry's app exists, and every catalogue image has an entry."""
    images = names.catalogue([ROOT / "compose_templates"])
    assert len(images) >= 20
    for image in images:
        if "entrypoint" in image.spec and "runs" in image.spec:
            continue  # the real program, started without a wrapper
        module = "sim.apps." + image.app
        assert importlib.util.find_spec(module), image


def test_the_real_ones_are_real():
    """Issue 2: qBittorrent, SABnzbd, PostgreSQL and Traefik are no stand-ins."""
    entries = names.table()["image"]
    assert {entry for entry, spec in entries.items() if "runs" in spec} >= {
        "qbittorrent",
        "sabnzbd",
        "postgres",
        "traefik",
    }


def test_an_image_that_nothing_stands_in_for_stops_the_lab(tmp_path):
    """With the file, the name and the closest one."""
    folder = write_service(tmp_path / "t", "lscr.io/linuxserver/sonar:1")
    with pytest.raises(names.LabError, match=r"x\.yml\.j2: .*sonar:1 \(the closest is .*sonarr\)"):
        names.catalogue([folder])


@pytest.mark.parametrize("image", ["{{ image }}", "lscr.io/linuxserver/sonarr", "x/y:1@sha256:abc"])
def test_an_image_that_cannot_be_read_stops_the_lab(tmp_path, image):
    """Names are repository:tag."""
    with pytest.raises(names.LabError, match="repository:tag"):
        names.catalogue([write_service(tmp_path / "t", image)])


def test_only_names_entries_that_exist(tmp_path):
    """A typo names the closest."""
    with pytest.raises(names.LabError, match="did you mean sonarr"):
        names.catalogue([ROOT / "compose_templates"], ["sonar"])


def test_a_stand_in_claims_the_version_of_its_tag():
    """LinuxServer's build numbers are no part of it."""
    spec = {"repositories": []}
    assert names.Image("a/sabnzbd:5.1.1-ls267", "sabnzbd", spec).version == "5.1.1"
    assert names.Image("a/gluetun:v3.41.3", "gluetun", spec).version == "v3.41.3"
    assert names.Image("a/x:latest", "x", spec).version == "latest"


def test_the_dockerfile_says_what_the_image_is():
    """Labels for the lab, for the RUNS column, and the image's own health check where the real one has one."""
    (gluetun,) = [image for image in names.catalogue([ROOT / "compose_templates"]) if image.entry == "gluetun"]
    text = builder.dockerfile(gluetun, "base", "abc", "stand-in")
    assert 'mediastack.lab=true mediastack.lab.fingerprint=abc mediastack.lab.runs="stand-in"' in text
    times = "--interval=5s --timeout=5s --start-period=10s --retries=3"
    assert f'HEALTHCHECK {times} CMD ["/gluetun-entrypoint", "healthcheck"]' in text
    (sonarr,) = [image for image in names.catalogue([ROOT / "compose_templates"]) if image.entry == "sonarr"]
    assert "HEALTHCHECK" not in builder.dockerfile(sonarr, "base", "abc", "stand-in")


def test_a_name_that_is_not_the_labs_stops_it_before_anything_is_built(tmp_path, docker):
    """P3: it stops and names it."""
    folder = write_service(tmp_path / "t", "lscr.io/linuxserver/sonarr:4.0.19")
    (tmp_path / "inspect").write_text(
        json.dumps({"tags": ["lscr.io/linuxserver/sonarr:4.0.19"], "labels": None}) + "\n"
    )
    with pytest.raises(names.LabError, match=r"not the lab's.*\n  lscr\.io/linuxserver/sonarr:4\.0\.19"):
        builder.Builder([str(docker)]).build(names.catalogue([folder]))
    assert [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()] == ["image"]


def test_what_is_there_with_the_right_fingerprint_is_not_built_again(tmp_path, docker):
    """One docker call, whatever the number of images."""
    (image,) = names.catalogue([write_service(tmp_path / "t", "lscr.io/linuxserver/sonarr:4.0.19")])
    labels = {"mediastack.lab": "true", builder.FINGERPRINT: builder.Fingerprints().image(image)}
    (tmp_path / "inspect").write_text(json.dumps({"tags": [image.name, image.lab_name], "labels": labels}) + "\n")
    assert builder.Builder([str(docker)]).build([image]) == []
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_after_a_demo_down_the_names_come_back_without_a_build(tmp_path, docker):
    """The images are still there as mediastack-lab/…"""
    (image,) = names.catalogue([write_service(tmp_path / "t", "lscr.io/linuxserver/sonarr:4.0.19")])
    labels = {"mediastack.lab": "true", builder.FINGERPRINT: builder.Fingerprints().image(image)}
    (tmp_path / "inspect").write_text(json.dumps({"tags": [image.lab_name], "labels": labels}) + "\n")
    assert builder.Builder([str(docker)]).build([image]) == []
    assert (tmp_path / "calls").read_text().splitlines()[1:] == [f"tag {image.lab_name} {image.name}"]


def test_demo_down_takes_only_the_real_names_of_lab_images(tmp_path, docker):
    """What it asks for is labelled; what is called mediastack-lab/… stays."""
    (tmp_path / "ls").write_text("lscr.io/linuxserver/sonarr:4.0.19\nmediastack-lab/sonarr:4.0.19\n<none>:<none>\n")
    assert builder.Builder([str(docker)]).untag() == ["lscr.io/linuxserver/sonarr:4.0.19"]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "--filter label=mediastack.lab=true" in calls[0]
    assert calls[1] == "rmi lscr.io/linuxserver/sonarr:4.0.19"


def test_a_change_of_a_stand_in_is_a_change_of_every_image(monkeypatch, tmp_path):
    """The fingerprint follows the sources."""
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "core.py").write_text("1")
    monkeypatch.setattr(builder, "SIM", tmp_path / "sim")
    (image,) = [image for image in names.catalogue([ROOT / "compose_templates"]) if image.entry == "sonarr"]
    before = builder.Fingerprints().image(image)
    assert builder.Fingerprints().image(image) == before
    (tmp_path / "sim" / "core.py").write_text("2")
    assert builder.Fingerprints().image(image) != before


def demo_variables():
    """Return the demo inventory's variables, untemplated."""
    merged = {}
    for path in ("group_vars/mediastack/mediastack.yml", "host_vars/demo/mediastack.yml"):
        merged.update(yaml.safe_load((ROOT / "tests" / "lab" / "inventory" / path).read_text()))
    return merged


def test_the_demo_publishes_from_18000_up_and_on_loopback_only():
    """Every number that it sets; a missing one would fall back to a well-known port."""
    variables = demo_variables()
    assert variables["mediastack_bind_addresses"] == ["127.0.0.1"]
    assert variables["mediastack_lab_images"] is True
    numbers = [variables["mediastack_vpn_control_port"], variables["mediastack_vpn_torrent_port"]]
    for value in variables["mediastack_ports"].values():
        numbers += value.values() if isinstance(value, dict) else [value]
    assert all(18000 <= number < 20000 for number in numbers)


def test_the_demo_runs_every_profile_but_books():
    """As the catalogue's files name them."""
    profiles = set()
    for path in (ROOT / "compose_templates").rglob("*.yml.j2"):
        for line in path.read_text().splitlines():
            if line.strip().startswith("profiles: ["):
                profiles |= {
                    word.strip() for word in line.partition("[")[2].partition("]")[0].split(",") if word.strip()
                }
    assert set(demo_variables()["mediastack_profiles"]) == profiles - {"always", "books"}


def test_the_demo_names_every_port_that_the_catalogue_publishes():
    """A port that it forgets would be a well-known one of the machine."""
    chosen, forgotten = demo_variables()["mediastack_ports"], []
    call = re.compile(r"homelab\.mediastack\.port\((mediastack_service|'[\w-]+'), '(\w+)'")
    for path in (ROOT / "compose_templates").rglob("*.yml.j2"):
        for service, port in call.findall(path.read_text()):
            app = path.name.removesuffix(".yml.j2") if service == "mediastack_service" else service.strip("'")
            known = chosen.get(app)
            named = port in known if isinstance(known, dict) else known is not None and port == "web"
            if not named and app not in ("gluetun", "readarr"):  # one has a setting of its own, one is not in the demo
                forgotten.append((app, port))
    assert forgotten == []
