# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Arguments for Compose, and which files a project consists of."""

from __future__ import annotations

import json

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import compose_cli
from ansible_collections.homelab.mediastack.plugins.module_utils.compose_cli import ComposeProject, project_files

PROJECT = ComposeProject("media", "/srv/media", ["/srv/media/a.yml", "/srv/media/b.yml"])
HEAD = [
    "compose",
    "--ansi",
    "never",
    "--project-directory",
    "/srv/media",
    "--project-name",
    "media",
    "--file",
    "/srv/media/a.yml",
    "--file",
    "/srv/media/b.yml",
]
UP = ["up", "--detach", "--no-deps", "--no-build", "--pull", "never"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [*HEAD, *UP, "--force-recreate", "sonarr", "radarr"]),
        ({"force": False}, [*HEAD, *UP, "sonarr", "radarr"]),
        ({"timeout": 5}, [*HEAD, *UP, "--force-recreate", "--timeout", "5", "sonarr", "radarr"]),
        ({"extra_files": ["/x.yml"]}, [*HEAD, "--file", "/x.yml", *UP, "--force-recreate", "sonarr", "radarr"]),
    ],
)
def test_up(options, expected):
    assert PROJECT.up(["sonarr", "radarr"], **options) == expected


def test_up_never_waits_nor_removes_orphans():
    arguments = PROJECT.up(["sonarr"])
    assert "--wait" not in arguments and "--remove-orphans" not in arguments


def test_profiles_and_no_name():
    assert ComposeProject(None, "/p", ["/p/c.yml"], ["a", "b"]).config() == [
        "compose",
        "--ansi",
        "never",
        "--project-directory",
        "/p",
        "--file",
        "/p/c.yml",
        "--profile",
        "a",
        "--profile",
        "b",
        "config",
        "--format",
        "json",
    ]


@pytest.mark.parametrize(
    ("files", "env", "expected"),
    [
        (["compose.yaml", "docker-compose.yml"], "", ["compose.yaml"]),
        (
            ["docker-compose.yml", "docker-compose.override.yml"],
            "",
            ["docker-compose.yml", "docker-compose.override.yml"],
        ),
        (["compose.override.yml"], "", []),
        ([], "", []),
        (
            ["compose.yaml"],
            'A=1\nCOMPOSE_FILE="compose.core.yml:compose.media.yml"\n',
            ["compose.core.yml", "compose.media.yml"],
        ),
        ([], "COMPOSE_PATH_SEPARATOR=,\nexport COMPOSE_FILE='a.yml,b.yml'\n", ["a.yml", "b.yml"]),
        ([], "COMPOSE_FILE=/etc/x.yml\n", ["/etc/x.yml"]),
        ([], "COMPOSE_FILE=first.yml\nCOMPOSE_FILE=last.yml\n", ["last.yml"]),
    ],
)
def test_files_as_compose_chooses_them(tmp_path, files, env, expected):
    for name in files:
        (tmp_path / name).write_text("services: {}")
    if env:
        (tmp_path / ".env").write_text(env)
    assert project_files(str(tmp_path)) == [str(tmp_path / name) for name in expected]


def test_overrides_pin_image_and_network():
    text = compose_cli.overrides(
        {"qbittorrent": ("sha256:abc", "lscr.io/x/qbittorrent:5")}, {"qbittorrent": "0123", "sabnzbd": "0123"}
    )
    assert json.loads(text)["services"] == {
        "qbittorrent": {
            "network_mode": "container:0123",
            "image": "sha256:abc",
            "labels": {"org.homelab.mediastack.image": "lscr.io/x/qbittorrent:5"},
        },
        "sabnzbd": {"network_mode": "container:0123"},
    }
