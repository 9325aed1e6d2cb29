# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the catalogue that ships to how the host asks each app, and with which of its secrets."""

import pytest
import render_harness as h

from ansible_collections.homelab.mediastack.plugins.plugin_utils import app_access


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return h.World(tmp_path_factory.mktemp("access"), h.SHIPPED)


@pytest.fixture(scope="module")
def bundle(world):
    given = {
        "mediastack_profiles": ["music", "transmission", "deluge", "nzbget", "plex"],
        "mediastack_secrets": {"sonarr_api_key": "given"},
    }
    return world.bundle(**h.VPN, **given)


@pytest.fixture(scope="module")
def access(bundle):
    return app_access.of_bundle(bundle)


def test_apps_with_a_key(access):
    apps, secrets = access
    config = "/srv/mediastack/config/sonarr"
    assert apps["sonarr"] == {
        "kind": "servarr",
        "api": "/api/v3",
        "port": "web",
        "config_dir": config,
        "key": "sonarr_api_key",
    }
    assert apps["lidarr"]["api"] == apps["prowlarr"]["api"] == "/api/v1"
    assert secrets["sonarr_api_key"] == {
        "value": "given",
        "adopt": [{"path": f"{config}/config.xml", "format": "xml", "key": ["Config", "ApiKey"]}],
    }
    assert secrets["sabnzbd_api_key"]["value"] is None
    assert "sonarr_password" not in secrets


def test_apps_with_a_login(access):
    apps, secrets = access
    assert apps["qbittorrent"]["port"] == 8080
    users = {"qbittorrent": "admin", "transmission": "admin", "nzbget": "admin", "deluge": ""}
    for name, user in users.items():
        assert (apps[name]["kind"], apps[name]["username"], apps[name]["password"]) == (name, user, f"{name}_password")
        assert "key" not in apps[name]
        assert f"{name}_password" in secrets


def test_gluetun(access):
    apps, secrets = access
    assert apps["gluetun"]["key"] == "gluetun_api_key"
    assert (apps["gluetun"]["kind"], apps["gluetun"]["port"]) == ("gluetun", 8000)
    assert "wireguard_private_key" not in secrets


def test_what_is_not_read_gets_no_secret(bundle, access):
    apps, secrets = access
    assert "plex" in bundle["services"]
    assert "plex" not in apps
    assert h.KEY not in repr(access)
    assert all("generate" not in spec for spec in secrets.values())


def test_a_second_instance_has_its_own_key(world):
    world.write(
        "sonarr-4k",
        """services:
  sonarr-4k:
    x-mediastack:
      like: sonarr
      profiles: [always]
      ports: {web: 8990}
""",
    )
    apps, secrets = app_access.of_bundle(world.bundle(**h.VPN))
    (world.own / "sonarr-4k.yml.j2").unlink()
    assert apps["sonarr-4k"]["key"] == "sonarr-4k_api_key"
    assert secrets["sonarr-4k_api_key"]["adopt"][0]["path"] == "/srv/mediastack/config/sonarr-4k/config.xml"
