# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every service of the catalogue may do, and every exception from "nothing" with its reason."""

from __future__ import annotations

import re

import pytest
import render_harness as h
from test_catalogue_content import ALL_PROFILES, VPN, bundles, compose, environment  # noqa: F401 (bundles: a fixture)

from ansible_collections.homelab.mediastack.plugins.plugin_utils import service_files
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

# s6 starts as root: it gives the config directory away (CHOWN, FOWNER) and writes into what is somebody else's
# (DAC_OVERRIDE), becomes PUID:PGID (SETUID, SETGID), and stops a process of another user (KILL).
S6 = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}
# service → capabilities. Whoever is not here has none at all.
CAPABILITIES = {
    **dict.fromkeys(
        [
            "bazarr", "deluge", "jellyfin", "lidarr", "nzbget", "plex", "prowlarr", "qbittorrent", "radarr", "readarr",
            "sabnzbd", "sonarr", "tdarr", "tdarr-node", "transmission",
        ],
        S6,
    ),
    "heimdall": S6 | {"NET_BIND_SERVICE"},  # nginx on port 80
    "gluetun": {"CHOWN", "DAC_OVERRIDE", "NET_ADMIN", "NET_RAW"},  # firewall, tunnel, pings, files of PUID:PGID
    "authentik-postgresql": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},  # docker-library/postgres #907
    "homepage": {"CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"},  # chown and su-exec
    "tautulli": {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},  # useradd, chown and su
    "traefik": {"DAC_OVERRIDE", "NET_BIND_SERVICE"},  # ports 80 and 443, files of PUID:PGID
}  # fmt: skip
# service → why its root is writable. Whoever is not here has a read-only one.
WRITABLE = {
    **dict.fromkeys(
        [
            "bazarr", "deluge", "heimdall", "jellyfin", "lidarr", "nzbget", "plex", "prowlarr", "qbittorrent", "radarr",
            "readarr", "sabnzbd", "sonarr", "transmission",
        ],
        "read-only, LinuxServer's images ignore PUID, PGID and UMASK",
    ),
    "gluetun": "writes /etc/resolv.conf, which is read-only with the root",
    "tautulli": "makes its user in /etc/passwd",
    "tdarr": "changes its user in /etc/passwd and owners in /app",
    "tdarr-node": "the same",
    "homepage": "a cache of pages in /app/.next",
    "seerr": "not documented",
    "flaresolverr": "not documented",
    "authentik-server": "not documented",
    "authentik-worker": "not documented",
    "authentik-postgresql": "makes /run/postgresql",
}  # fmt: skip
# service → user; everybody else starts as the image says, which is root where `run_as` is root.
USERS = {
    "authentik-server": "1000:1000",
    "authentik-worker": "1000:1000",
    "seerr": "${PUID}:${PGID}",
    "traefik-pages": "${PUID}:${PGID}",
    "unpackerr": "${PUID}:${PGID}",
}


@pytest.fixture(scope="module")
def everything(bundles):  # noqa: F811
    return bundles(mediastack_profiles=ALL_PROFILES, **VPN)


def test_no_service_has_a_capability_that_is_not_accounted_for(everything):
    found = compose(everything)
    assert {name: set(definition["cap_add"]) for name, definition in found.items() if "cap_add" in definition} == (
        CAPABILITIES
    )
    for name, definition in found.items():
        assert definition["cap_drop"] == ["ALL"], name
        assert definition.get("cap_add", []) == sorted(definition.get("cap_add", [])), name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "pid", "ipc", "userns_mode"} & set(definition), name
        assert definition["pids_limit"] == 4096, name
        assert "mem_limit" not in definition, name


def test_every_writable_root_has_a_reason(everything):
    found = compose(everything)
    assert {name for name, definition in found.items() if not definition.get("read_only")} == set(WRITABLE)
    for name, definition in found.items():
        assert definition.get("read_only") in (True, None), name


def test_users_are_those_that_the_images_can_have(everything):
    found = compose(everything)
    assert {name: definition["user"] for name, definition in found.items() if "user" in definition} == USERS


def test_every_service_says_why_in_one_line_and_links_it():
    for app, file in service_files.find().items():
        services = re.findall(r"^  (?:[a-z][a-z-]*|\{\{ .* \}\}):$", file.text, re.M)
        assert file.text.count("      privileges: ") == len(services), app
        assert file.text.count("    cap_drop: [ALL]\n") == len(services), app
        if "lscr.io/" in file.text:
            assert "        - https://docs.linuxserver.io/misc/read-only/\n" in file.text, app


def test_nothing_is_given_that_the_engine_does_not_give_by_itself_but_to_gluetun(everything):
    usual = {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }  # fmt: skip
    for name, definition in compose(everything).items():
        assert set(definition.get("cap_add", [])) - usual == ({"NET_ADMIN"} if name == "gluetun" else set()), name


def test_the_database_is_on_a_network_without_a_way_out(everything):
    found = compose(everything)
    text = h.file(everything, "compose.infrastructure.yml")["content"]
    assert h.compose_yaml.load(text)["networks"]["database"] == {"internal": True}
    assert list(found["authentik-postgresql"]["networks"]) == ["database"]
    users = {name for name, one in found.items() if "database" in (one.get("networks") or {})}
    assert users == {"authentik-postgresql", "authentik-server", "authentik-worker"}


def test_only_who_asks_for_it_reaches_the_socket_proxy(everything):
    found = compose(everything)
    assert {name for name, one in found.items() if "socket" in (one.get("networks") or {})} == {
        "docker-socket-proxy",
        "homepage",
    }
    assert environment(everything, "docker-socket-proxy") == {"CONTAINERS": "1", "POST": "0"}


# -- the settings ------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path)


def test_the_process_limit_is_the_setting_and_zero_is_none(world):
    assert h.service(world.bundle(mediastack_pids_limit=300), "sonarr")["pids_limit"] == 300
    assert "pids_limit" not in h.service(world.bundle(mediastack_pids_limit=0), "sonarr")


def test_memory_limits_are_by_service(world):
    bundle = world.bundle(mediastack_memory_limits={"sonarr": "512m"})
    assert h.service(bundle, "sonarr")["mem_limit"] == "512m"
    assert "mem_limit" not in h.service(bundle, "qbittorrent")
    assert bundle["services"]["sonarr"]["config_hash"] != world.bundle()["services"]["sonarr"]["config_hash"]


def test_a_file_that_limits_by_deploy_is_not_limited_twice(world):
    limits = "    deploy: {resources: {limits: {pids: 50, memory: 1g}}}\n"
    meta = "    x-mediastack: {title: App, profiles: [always], login: {kind: no_ui}}\n"
    world.write("app", "services:\n  app:\n    image: example/app:1\n" + limits + meta)
    assert "pids_limit" not in h.service(world.bundle(), "app")
    with pytest.raises(RenderError, match=r"mediastack_memory_limits\.app is 2g, but deploy\.resources"):
        world.bundle(mediastack_memory_limits={"app": "2g"})
    override = {"sonarr": {"deploy": {"resources": {"limits": {"pids": 50}}}}}
    assert "pids_limit" not in h.service(world.bundle(mediastack_overrides=override), "sonarr")


def test_null_in_an_override_takes_a_protection_back(world):
    world.write(
        "app",
        "services:\n  app:\n    image: example/app:1\n    cap_drop: [ALL]\n    cap_add: [KILL]\n    read_only: true\n"
        "    tmpfs: [/tmp]\n    x-mediastack: {title: App, profiles: [always], login: {kind: no_ui}}\n",
    )
    keys = ("security_opt", "cap_add", "cap_drop", "read_only", "tmpfs", "pids_limit", "mem_limit")
    plain = world.bundle(mediastack_memory_limits={"app": "1g"})
    assert set(keys) <= set(h.service(plain, "app"))
    bundle = world.bundle(
        mediastack_memory_limits={"app": "1g"}, mediastack_overrides={"app": {**dict.fromkeys(keys), "tty": True}}
    )
    assert not set(keys) & set(h.service(bundle, "app"))
    assert h.compose(bundle, "overrides") == {"services": {"app": {"tty": True}}}
    alone = world.bundle(mediastack_overrides={"app": {"cap_drop": None}})
    assert "cap_drop" not in h.service(alone, "app") and h.service(alone, "app")["read_only"] is True
    assert not any(entry["path"].endswith("compose.overrides.yml") for entry in alone["files"])


def test_values_in_an_override_are_merged_by_compose(world):
    override = {"sonarr": {"cap_add": ["SYS_NICE"], "pids_limit": 8192, "read_only": False}}
    assert h.compose(world.bundle(mediastack_overrides=override), "overrides")["services"] == override
