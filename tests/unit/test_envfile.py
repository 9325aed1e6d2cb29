# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Quoting of `.env`, without Compose (tests/integration/test_env_roundtrip.py asks Compose itself)."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.homelab.mediastack.plugins.filter import dotenv, port
from ansible_collections.homelab.mediastack.plugins.module_utils import secret_store
from ansible_collections.homelab.mediastack.plugins.plugin_utils import envfile

ONE_LINE = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"))


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", '"plain"'),
        ('pa$$w"o\\rd #x', '"pa$$$$w\\"o\\\\rd #x"'),
        ("", '""'),
        (True, '"true"'),
        (7, '"7"'),
    ],
)
def test_quote(value, quoted):
    assert envfile.quote(value) == quoted
    assert envfile.line("A", value) == f"A={quoted}"


@given(ONE_LINE)
def test_the_host_quotes_what_it_puts_in_the_same_way(value):
    assert '"' + secret_store.encode(value, "env") + '"' == envfile.quote(value)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "\ud800", None, ["a"], {"a": 1}])
def test_what_an_environment_file_cannot_carry(value):
    with pytest.raises(envfile.EnvError):
        envfile.quote(value)
    with pytest.raises(AnsibleFilterError, match="dotenv: "):
        dotenv.dotenv(value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1A", "is not a name"),
        ("A-B", "is not a name"),
        ("", "is not a name"),
        ("A\n", "is not a name"),
        ("PUID", "mediastack_puid"),
        ("COMPOSE_FILE", "mediastack_compose_files"),
        ("COMPOSE_PROFILES", "Docker Compose itself"),
        ("DOCKER_HOST", "Docker Compose itself"),
    ],
)
def test_names_that_are_not_the_users(name, expected):
    with pytest.raises(envfile.EnvError, match=expected):
        envfile.check_name(name)


def test_names_that_are():
    for name in ("A", "_a1", "TZ_OFFSET"):
        envfile.check_name(name)


def test_the_port_filter():
    assert port.port({"sonarr": 9000}, "sonarr", "web", 8989) == 9000
    assert port.port({"sonarr": 9000}, "sonarr", "other", 1) == 1
    assert port.port({"traefik": {"https": 8443}}, "traefik", "https", 443) == 8443
    assert port.port({}, "sonarr", "web", 8989) == 8989
    assert port.port(None, "sonarr", "web", 8989) == 8989
    for wrong in ([1], {"sonarr": 70000}, {"sonarr": "9000"}):
        with pytest.raises(AnsibleFilterError, match="port: "):
            port.port(wrong, "sonarr", "web", 8989)
