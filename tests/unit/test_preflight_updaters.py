# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that update containers by themselves: an error where they would touch ours, else a warning or nothing."""

from __future__ import annotations

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import preflight_updaters

BUNDLE = {
    "project": {"name": "homelab-mediastack", "path": "/srv/mediastack/compose"},
    "services": {"sonarr": {"container_name": "sonarr"}},
}
ENABLE = "com.centurylinklabs.watchtower.enable"


def container(image, env=(), args=(), labels=None, name="updater", running=True):
    return {
        "Name": f"/{name}",
        "State": {"Running": running},
        "Args": list(args),
        "Config": {"Image": image, "Env": [f"{key}={value}" for key, value in dict(env).items()], "Labels": labels},
    }


def ours(**labels):
    own = {
        "com.docker.compose.project": "homelab-mediastack",
        "com.docker.compose.project.working_dir": "/srv/mediastack/compose",
    }
    return container("lscr.io/linuxserver/sonarr:4", labels={**own, **labels}, name="sonarr")


def found(*containers):
    warnings = []
    problems = preflight_updaters.check(BUNDLE, containers, warnings)
    return problems, warnings


@pytest.mark.parametrize(
    "image",
    [
        "containrrr/watchtower",
        "containrrr/watchtower:latest",
        "ghcr.io/nicholas-fedor/watchtower:1.12",
        "nickfedor/watchtower@sha256:0123",
        "beatkind/watchtower",
        "localhost:5000/my/watchtower:1",
    ],
)
def test_watchtower_is_named_and_leaves_ours_alone_by_their_label(image):
    problems, warnings = found(container(image), ours(**{ENABLE: "false"}))
    assert problems == []
    assert len(warnings) == 1 and "Watchtower runs on this host (container updater)" in warnings[0]


def test_a_fork_by_another_name_is_known_by_its_own_label():
    _problems, warnings = found(container("me/updates:1", labels={"com.centurylinklabs.watchtower": "true"}))
    assert len(warnings) == 1


def test_a_label_that_asks_watchtower_for_ours_is_an_error():
    problems, warnings = found(container("containrrr/watchtower"), ours(**{ENABLE: "true"}))
    assert warnings == []
    assert "would update sonarr" in problems[0]["what"] and "mediastack_overrides" in problems[0]["remedy"]


@pytest.mark.parametrize(
    ("env", "args"),
    [
        ({"WATCHTOWER_MONITOR_ONLY": "true"}, ()),
        ({}, ("--monitor-only",)),
        ({"WATCHTOWER_LABEL_ENABLE": "1"}, ()),
        ({}, ("--interval", "30", "--label-enable")),
        ({"WATCHTOWER_SCOPE": "photos"}, ()),
        ({}, ("--scope", "photos")),
        ({}, ("nginx", "redis")),
        ({}, ("--interval", "3600", "nginx")),
    ],
)
def test_one_that_watches_others_alone_is_no_matter(env, args):
    assert found(container("containrrr/watchtower", env, args), ours(**{ENABLE: "false"})) == ([], [])


def test_a_value_of_a_flag_is_no_name_of_a_container():
    assert len(found(container("containrrr/watchtower", args=("--interval", "3600", "--cleanup")))[1]) == 1


def test_one_that_does_not_run_is_no_matter():
    assert found(container("containrrr/watchtower", running=False)) == ([], [])


@pytest.mark.parametrize(
    ("image", "env"),
    [
        ("pyouroboros/ouroboros", {"INTERVAL": "300"}),
        ("getwud/wud:8", {"WUD_TRIGGER_DOCKER_LOCAL_PRUNE": "true"}),
        ("ghcr.io/fmartinou/whats-up-docker", {"WUD_TRIGGER_DOCKERCOMPOSE_X_FILE": "/x.yml"}),
    ],
)
def test_others_that_would_touch_ours_are_an_error(image, env):
    problems, _warnings = found(container(image, env), ours())
    assert len(problems) == 1 and problems[0]["check"] == "updaters" and "updater" in problems[0]["what"]
    assert "the playbook update" in problems[0]["remedy"]


@pytest.mark.parametrize(
    ("image", "env"),
    [
        ("pyouroboros/ouroboros", {"MONITOR": "nginx redis"}),
        ("pyouroboros/ouroboros", {"IGNORE": "sonarr"}),
        ("pyouroboros/ouroboros", {"LABEL_ENABLE": "true", "LABELS_ONLY": "true"}),
        ("getwud/wud", {}),
        ("getwud/wud", {"WUD_TRIGGER_SMTP_X_HOST": "mail"}),
        ("getwud/wud", {"WUD_TRIGGER_DOCKER_X_DRYRUN": "true"}),
        ("getwud/wud", {"WUD_TRIGGER_DOCKER_X_PRUNE": "1", "WUD_WATCHER_LOCAL_WATCHBYDEFAULT": "false"}),
        ("crazymax/diun", {}),
        ("louislam/dockge:1", {}),
        ("portainer/portainer-ce", {}),
        ("ghcr.io/moghtech/komodo-periphery", {}),
        ("nginx", {"WATCHTOWER_SCOPE": "x"}),
    ],
)
def test_what_only_tells_or_acts_on_its_own_is_no_matter(image, env):
    assert found(container(image, env), ours()) == ([], [])


def test_one_whose_settings_cannot_be_seen_is_a_warning():
    problems, warnings = found(container("fnsys/dockhand:latest"))
    assert problems == [] and "Leave the project homelab-mediastack out" in warnings[0]
