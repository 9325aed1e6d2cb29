# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the check of the settings prints, in the several tasks of a run that make it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

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
