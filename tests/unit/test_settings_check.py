# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the check of the settings prints, in the several tasks of a run that make it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible import context
from ansible.utils.context_objects import CLIArgs

from ansible_collections.homelab.mediastack.plugins.plugin_utils import settings_check

HOSTS = ["nas", "attic"]


@pytest.fixture
def printed(monkeypatch, tmp_path):
    lines = []
    monkeypatch.setattr(settings_check.constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(settings_check.display, "display", lambda text, **_how: lines.append(text))
    return lines


def tell(host):
    task_vars = {"inventory_hostname": host, "ansible_play_hosts_all": HOSTS}
    settings_check._tell("settings from config.yml", task_vars, SimpleNamespace(values={}))


def test_the_notice_comes_once_a_run(printed):
    """The play that checks all hosts says it, and the one that changes them checks again."""
    for host in [*HOSTS, *HOSTS]:
        tell(host)
    assert printed == ["settings from config.yml"]


KEY = "mediastack_vpn_wireguard_private_key"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (f"{KEY}=x", [KEY]),
        (f'{{"{KEY}": "x", "mediastack_secrets": {{"a": "x"}}}}', ["mediastack_secrets", KEY]),
        ("service=sonarr", []),
        (f"{KEY}_2=x", []),
        (f"@{KEY}", []),
        ("mediastack_env={}", []),
    ],
)
def test_a_secret_on_the_command_line_is_told_by_its_name(monkeypatch, given, named):
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"extra_vars": (given,)}))
    resolved = SimpleNamespace(secret={KEY, "mediastack_secrets", "mediastack_env"})
    assert [sentence.partition(" ")[0] for sentence in settings_check._on_command_line(resolved)] == named


def test_files_of_extra_variables_are_found_as_ansible_finds_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    given = ("@keys.yml", "service=x", "@~/keys.yml", '@"/a b"', "@../x")
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"extra_vars": given}))
    above = str(tmp_path.parent / "x")
    assert settings_check.extra_vars_files() == [str(tmp_path / "keys.yml"), "/home/me/keys.yml", "/a b", above]
