# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bundle: what the host is given."""

from __future__ import annotations

import json

import pytest
import render_harness as h

from ansible_collections.homelab.mediastack.plugins.plugin_utils import bundle as bundle_utils
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

DOCUMENTED = {
    "schema", "project", "identity", "timezone", "paths", "bind_addresses", "lab_images", "vpn", "gpu", "secrets",
    "directories", "files", "presets", "services", "routes", "extra_compose_files", "boot_repair", "backup", "messages",
}  # fmt: skip


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path)


def problems(call, *arguments, **named):
    with pytest.raises(RenderError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_the_bundle_is_as_documented_and_plain_json(world):
    bundle = world.bundle(**h.VPN)
    assert set(bundle) == DOCUMENTED
    assert json.loads(json.dumps(bundle)) == bundle
    assert bundle["project"] == {"name": "homelab-mediastack", "path": "/srv/mediastack/compose"}
    assert bundle["identity"] == {"puid": 1000, "pgid": 1000, "umask": "002"}
    assert bundle["paths"]["config"] == "/srv/mediastack/config"


def test_the_same_settings_give_the_same_bytes(world):
    given = {"mediastack_profiles": ["extra"], "mediastack_env": {"B": "2", "A": "1"}, **h.VPN}
    assert json.dumps(world.bundle(**given)) == json.dumps(world.bundle(**given))


def test_env_sets_what_plain_compose_needs(world):
    bundle = world.bundle(
        mediastack_profiles=["extra"],
        mediastack_compose_files=["/opt/mine.yml"],
        mediastack_overrides={"sonarr": {"mem_limit": "1g"}},
        mediastack_timezone="Europe/Berlin",
    )
    entry = h.file(bundle, ".env")
    lines = entry["content"].splitlines()
    assert 'COMPOSE_PROJECT_NAME="homelab-mediastack"' in lines
    assert 'COMPOSE_FILE="compose.core.yml:compose.media.yml:/opt/mine.yml:compose.overrides.yml"' in lines
    assert 'TZ="Europe/Berlin"' in lines and 'PUID="1000"' in lines and 'UMASK="002"' in lines
    # a foreign container with our project name must not go when somebody types `docker compose up` here
    assert "COMPOSE_REMOVE_ORPHANS" not in entry["content"]
    assert (entry["mode"], entry["secret"]) == ("0600", True)


def test_values_of_mediastack_env_are_secrets_that_diffs_can_hide(world):
    bundle = world.bundle(mediastack_env={"TOKEN": "hunter2hunter2"})
    assert 'TOKEN="@@mediastack:secret:env.TOKEN@@"' in h.file(bundle, ".env")["content"].splitlines()
    assert bundle["secrets"]["env.TOKEN"] == {"value": "hunter2hunter2"}


def test_compose_files_with_secrets_are_for_root_alone_and_others_can_be_read(world):
    bundle = world.bundle()
    assert h.file(bundle, "compose.media.yml")["mode"] == "0600"
    assert h.file(bundle, "compose.core.yml")["mode"] == "0644"
    assert h.file(bundle, "compose.core.yml")["content"].startswith("# Rendered by homelab.mediastack")


# -- the hash


def hashes(bundle):
    return {name: service["config_hash"] for name, service in bundle["services"].items()}


def changed(before, after):
    return {name for name in hashes(before) if hashes(before)[name] != hashes(after).get(name)}


def test_the_hash_follows_definition_override_port_and_variables(world):
    world.write(
        "app",
        "services:\n  app: {image: 'a:1', environment: {X: '${MINE}'}, x-mediastack: {title: A, profiles: [always]}}\n",
    )
    base = {"mediastack_env": {"MINE": "1", "OTHER": "1"}}
    before = world.bundle(**base)
    assert changed(before, world.bundle(**base)) == set()
    # The image is not in it: the host mixes in the one that the service keeps (P8).
    assert changed(before, world.bundle(mediastack_images={"sonarr": "s:2"}, **base)) == set()
    assert changed(before, world.bundle(mediastack_ports={"sonarr": 9000}, **base)) == {"sonarr"}
    assert changed(before, world.bundle(mediastack_overrides={"sonarr": {"mem_limit": "1g"}}, **base)) == {"sonarr"}
    assert changed(before, world.bundle(mediastack_puid=1001, **base)) == {"sonarr", "qbittorrent"}
    assert changed(before, world.bundle(mediastack_env={"MINE": "2", "OTHER": "1"})) == {"app"}
    assert changed(before, world.bundle(mediastack_env={"MINE": "1", "OTHER": "2"})) == set()


def test_the_hash_of_a_neighbour_stays_when_a_profile_comes_or_goes(world):
    assert changed(world.bundle(), world.bundle(mediastack_profiles=["extra"])) == {"sonarr"}  # it depends on helper


def test_the_hash_follows_inline_configs_which_compose_does_not(world):
    text = (
        "services:\n  app: {image: 'a:1', configs: [c], x-mediastack: {title: A, profiles: [always]}}\n"
        "configs: {c: {content: 'VALUE'}}\n"
    )
    world.write("app", text)
    before = world.bundle()
    world.write("app", text.replace("VALUE", "OTHER"))
    assert changed(before, world.bundle()) == {"app"}


def test_tokens_of_a_definition_are_listed_for_the_host_to_mix_in(world):
    services = world.bundle()["services"]
    image = "@@mediastack:image:sonarr@@"
    assert services["sonarr"]["tokens"] == ["@@mediastack:bind@@", image, "@@mediastack:secret:sonarr_api_key@@"]
    bound = world.bundle(mediastack_bind_addresses=["127.0.0.1"])["services"]["qbittorrent"]
    assert bound["tokens"] == ["@@mediastack:image:qbittorrent@@"]


# -- secrets


def test_secrets_are_generated_adopted_or_given(world):
    bundle = world.bundle(**h.VPN)
    assert bundle["secrets"]["sonarr_api_key"] == {
        "value": None,
        "generate": {"kind": "hex", "length": 32},
        "adopt": [{"path": "/srv/mediastack/config/sonarr/config.xml", "format": "xml", "key": ["Config", "ApiKey"]}],
    }
    assert bundle["secrets"]["wireguard_private_key"]["value"] == h.KEY
    given = world.bundle(mediastack_secrets={"sonarr_api_key": "abc"}, **h.VPN)
    assert given["secrets"]["sonarr_api_key"]["value"] == "abc"


def test_secret_files_are_written_for_their_reader_and_change_their_service(world):
    bundle = world.bundle(**h.VPN)
    entry = h.file(bundle, "secrets/wireguard_private_key")
    assert entry["content"] == "@@mediastack:secret:wireguard_private_key@@"
    assert (entry["mode"], entry["owner"], entry["secret"]) == ("0400", 0, True)
    assert h.compose(bundle, "core")["secrets"] == {
        "wireguard_private_key": {"file": "./secrets/wireguard_private_key"}
    }
    assert h.service(bundle, "gluetun")["secrets"] == ["wireguard_private_key"]
    assert bundle["services"]["gluetun"]["inputs"] == ["/srv/mediastack/compose/secrets/wireguard_private_key"]
    assert {"path": "/srv/mediastack/compose/secrets", "mode": "0700", "owner": 0, "group": 0} in bundle["directories"]
    # the key itself is nowhere but in the secrets
    assert h.KEY not in json.dumps(bundle["files"] + bundle["presets"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("environment: {A: '@@mediastack:secret:sonar_api_key@@'}", "Did you mean sonarr_api_key?"),
        ("x-mediastack: {title: A, profiles: [always], secrets: {k: {from: mediastack_plex_clam}}}", "is no setting"),
        (
            "x-mediastack: {title: A, profiles: [always], secret_files: {k: {secret: nope}}}",
            "there is no secret 'nope'",
        ),
        (
            "x-mediastack: {title: A, profiles: [always], secrets: {sonarr_api_key: {generate: {kind: hex}}}}",
            "the secret sonarr_api_key is defined differently by another service",
        ),
    ],
)
def test_secrets_that_lead_nowhere(world, text, expected):
    meta = "" if text.startswith("x-") else "    x-mediastack: {title: A, profiles: [always]}\n"
    world.write("app", f"services:\n  app:\n    image: a:1\n    {text}\n{meta}")
    assert expected in problems(world.bundle)


# -- presets and directories


def test_presets_lie_in_the_services_own_config_directory(world):
    preset = world.bundle(mediastack_puid=1026)["presets"][0]
    assert preset["path"] == "/srv/mediastack/config/qbittorrent/qBittorrent/qBittorrent.conf"
    assert (preset["service"], preset["format"], preset["owner"], preset["group"]) == ("qbittorrent", "ini", 1026, 1000)
    assert "@@mediastack:pbkdf2_qbittorrent:qbittorrent_password@@" in preset["content"]


def test_directories(world):
    world.write(
        "app",
        "services:\n  app:\n    image: a:1\n    volumes: ['/srv/mediastack/config/app/db:/db']\n    x-mediastack:\n"
        "      title: A\n      profiles: [always]\n"
        "      directories: [{path: db, mode: '0700', owner: 70, group: 70}]\n",
    )
    found = {entry["path"]: entry for entry in world.bundle()["directories"]}
    assert found["/srv/mediastack/config/app/db"] == {
        "path": "/srv/mediastack/config/app/db", "mode": "0700", "owner": 70, "group": 70,
    }  # fmt: skip
    for path in (
        "config/app",
        "config/sonarr",
        "config/qbittorrent/qBittorrent",
        "media/tv",
        "downloads/usenet/complete",
    ):
        assert found[f"/srv/mediastack/{path}"]["mode"] == "2775"
    assert found["/srv/mediastack/compose"]["owner"] == 0
    assert list(found) == sorted(found)


# -- health


def test_health_services_say_where_to_knock(world):
    services = {entry["name"]: entry for entry in bundle_utils.health_services(world.bundle(**h.VPN))}
    member = services["qbittorrent"]
    assert member["holder"] == "gluetun"
    assert member["health"] == {"kind": "http", "port": "web", "path": "/"}
    assert [(port["name"], port["target"]) for port in member["ports"]] == [("web", 8080)]
    assert services["sonarr"]["holder"] == "sonarr"
    assert services["sonarr"]["title"] == "Sonarr"


def test_nothing_selected_is_still_a_project(world):
    bundle = world.bundle(mediastack_services={"sonarr": False, "qbittorrent": False})
    assert bundle["services"] == {}
    assert 'COMPOSE_FILE="compose.core.yml"' in h.file(bundle, ".env")["content"]


# -- what gluetun asks of the host


def test_the_host_is_told_what_gluetun_asks_of_its_kernel(world):
    usual = world.bundle(**h.VPN)["vpn"]
    assert usual == {"enabled": True, "members": ["qbittorrent"], "ipv6": None, "wireguard": None, "guard": True}
    override = {
        "sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"},
        "environment": {"WIREGUARD_IMPLEMENTATION": "kernelspace"},
    }
    own = world.bundle(mediastack_overrides={"gluetun": override}, mediastack_vpn_connection_guard=False, **h.VPN)
    assert (own["vpn"]["ipv6"], own["vpn"]["wireguard"], own["vpn"]["guard"]) == (True, "kernelspace", False)
    off = {"net.ipv6.conf.all.disable_ipv6": 1}
    assert world.bundle(mediastack_overrides={"gluetun": {"sysctls": off}}, **h.VPN)["vpn"]["ipv6"] is False
    assert world.bundle()["vpn"] == {"enabled": False, "members": [], "ipv6": None, "wireguard": None, "guard": False}
