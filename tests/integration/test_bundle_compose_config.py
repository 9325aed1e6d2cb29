# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plain `docker compose` accepts every bundle of the shipped catalogue; what it lets pass wrongly is not there."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit"))

import render_harness as h  # noqa: E402

from ansible_collections.homelab.mediastack.plugins.module_utils import secret_store  # noqa: E402
from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, service_files  # noqa: E402

PROFILES = sorted(catalogue.names_of(service_files.scan(service_files.find())).profiles)
OFF = {"mediastack_vpn_enabled": False}
ALONE = {"ports", "hostname", "dns", "extra_hosts", "mac_address", "networks"}


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path, shipped=h.SHIPPED)


def compose(bundle, directory):
    """Write the bundle's files as the host does, and read them back through `docker compose config`."""
    directory.mkdir()
    store = secret_store.SecretStore(str(directory))
    images = {name: service["image"] for name, service in bundle["services"].items()}
    tokens = store.tokens(store.resolve(bundle["secrets"], check_mode=True), "127.0.0.1", images)
    hashes = dict.fromkeys(bundle["services"], "0" * 64)
    for entry in bundle["files"]:
        place = pathlib.PurePath(entry["path"])
        # Traefik's routes lie in its configuration, of which Compose knows nothing.
        if not place.is_relative_to(bundle["project"]["path"]):
            continue
        path = directory / place.relative_to(bundle["project"]["path"])
        path.parent.mkdir(exist_ok=True)
        path.write_text(tokens(entry["content"], entry.get("encoding") or secret_store.encoding_for(path.name), hashes))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no warnings, such as of variables that are not set"
    return json.loads(done.stdout)


def sound(project, bundle):
    """What `docker compose config` does not check (facts of the engine), and what the bundle promises."""
    services = project.get("services") or {}
    assert set(services) == set(bundle["services"])
    assert "@@mediastack:" not in json.dumps(project) and "x-mediastack" not in json.dumps(project)
    seen = {}
    made = {entry["path"] for entry in bundle["directories"]}
    # A file's directory is made with it.
    made |= {str(pathlib.PurePath(entry["path"]).parent) for entry in bundle["files"]}
    for name, service in services.items():
        entry = bundle["services"][name]
        assert service["image"] == entry["image"]
        assert service["container_name"] == entry["container_name"]
        if name in bundle["vpn"]["members"]:
            assert not ALONE & set(service)
            assert service["network_mode"] == "service:gluetun"
            assert service["depends_on"]["gluetun"]["restart"] is True
        for port in service.get("ports", []):
            key = (port["host_ip"], port["published"], port["protocol"])
            assert seen.setdefault(key, name) == name, f"{key} published by {seen[key]} and {name}"
        assert len(service.get("ports", [])) == len(entry["ports"])
        for need in service.get("depends_on", {}):
            assert need in services
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and volume["source"].startswith("/srv/mediastack"):
                assert volume["source"] in made, f"{name} mounts {volume['source']}, which nobody makes"
    for network, definition in (project.get("networks") or {}).items():
        expected = bundle["project"]["name"] + ("" if network == "media" else f"_{network}")
        assert definition["name"] == expected and not definition.get("external")
    return services


@pytest.mark.parametrize("vpn", [OFF, h.VPN], ids=["vpn-off", "vpn-on"])
@pytest.mark.parametrize(
    "profiles", [PROFILES, [], *([profile] for profile in PROFILES)], ids=lambda names: ",".join(names)[:20]
)
def test_every_profile_with_and_without_vpn(world, tmp_path, profiles, vpn):
    bundle = world.bundle(mediastack_profiles=profiles, **vpn)
    services = sound(compose(bundle, tmp_path / "project"), bundle)
    assert "sonarr" in services
    assert ("gluetun" in services) == (vpn is h.VPN)


def test_nothing_at_all(world, tmp_path):
    apps = [app for app, fact in world.renderer().facts.items() if "always" in fact.profiles and app != "gluetun"]
    bundle = world.bundle(mediastack_services=dict.fromkeys(apps, False), **OFF)
    assert sound(compose(bundle, tmp_path / "project"), bundle) == {}


def test_split_mounts(world, tmp_path):
    bundle = world.bundle(
        mediastack_profiles=PROFILES, mediastack_split_mounts=True, mediastack_media_path="/mnt/a/media",
        mediastack_downloads_path="/mnt/b/downloads", **OFF,
    )  # fmt: skip
    services = sound(compose(bundle, tmp_path / "project"), bundle)
    targets = {volume["target"]: volume["source"] for volume in services["sonarr"]["volumes"]}
    assert targets["/data/media"] == "/mnt/a/media" and "/data" not in targets


def test_overrides_are_merged_by_composes_own_rules(world, tmp_path):
    override = {
        "environment": {"EXTRA": "${MINE}"},
        "labels": {"a": "b"},
        "mem_limit": "1g",
        "ports": ["127.0.0.1:21001:8989"],
    }
    bundle = world.bundle(mediastack_overrides={"sonarr": override}, mediastack_env={"MINE": "pa$$w'o\"rd"}, **OFF)
    services = sound(compose(bundle, tmp_path / "project"), bundle)
    sonarr = services["sonarr"]
    assert sonarr["environment"]["EXTRA"].replace("$$", "$") == "pa$$w'o\"rd"
    assert sonarr["environment"]["PUID"] == "1000", "the rest stays"
    assert {port["published"] for port in sonarr["ports"]} == {"8989", "21001"}
    assert sonarr["labels"]["a"] == "b" and "org.homelab.mediastack.content" in sonarr["labels"]


def test_a_users_own_file_and_a_second_instance(world, tmp_path):
    world.write(
        "paperless",
        "services:\n  paperless:\n    image: example/paperless:1\n    volumes: [data:/data]\n"
        "    x-mediastack: {title: P, profiles: [papers], ports: {web: 21002}, health: {kind: tcp, port: web}}\n"
        "volumes: {data: {}}\n",
    )
    second = (
        "services:\n  sonarr-4k:\n    x-mediastack:\n      like: sonarr\n      title: Sonarr 4K\n"
        "      profiles: []\n      ports: {web: 8990}\n"
    )
    assert len(second.splitlines()) <= 10
    world.write("sonarr-4k", second)
    bundle = world.bundle(
        mediastack_profiles=["papers"],
        mediastack_services={"sonarr-4k": True},
        mediastack_vpn_services=["paperless"],
        **h.VPN,
    )
    project = compose(bundle, tmp_path / "project")
    services = sound(project, bundle)
    assert services["sonarr-4k"]["ports"][0]["published"] == "8990"
    assert services["paperless"]["network_mode"] == "service:gluetun"
    assert "data" in project["volumes"]
