# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The extra vars of `credentials` and `remove`, and what these two print and ask."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive

from ansible_collections.homelab.mediastack.plugins.action import confirm_hosts, credentials
from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    credentials_text,
    extra_vars,
    removal_report,
    terminal,
)

KNOWN = SimpleNamespace(
    services={"sonarr": "sonarr", "authentik-server": "authentik"},
    apps=["sonarr", "authentik"],
    profiles={},
    replaces={"jellyseerr": "seerr"},
)


def values(verb, given):
    return extra_vars.check(verb, given, lambda: KNOWN).values


def errors(verb, given):
    with pytest.raises(extra_vars.ExtraVarsError) as caught:
        values(verb, given)
    return str(caught.value)


def test_credentials_takes_services_and_apps():
    assert values("credentials", {}) == {"service": []}
    assert values("credentials", {"service": "sonarr,authentik"}) == {"service": ["sonarr", "authentik"]}


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"servcie": "sonarr"}, "Did you mean service=?"),
        ({"service": "sonar"}, "Did you mean sonarr?"),
        ({"service": ""}, "-e service=: is empty"),
    ],
)
def test_a_near_miss_of_credentials_is_an_error(given, hint):
    assert hint in errors("credentials", given)


def test_remove_casts_its_flag():
    assert values("remove", {}) == {"purge_config": False, "confirm": ""}
    assert values("remove", {"purge_config": "true", "confirm": "nas,attic"}) == {
        "purge_config": True,
        "confirm": "nas,attic",
    }


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"purge_confg": "true"}, "Did you mean purge_config=?"),
        ({"confrim": "nas"}, "Did you mean confirm=?"),
        ({"purge_config": "maybe"}, "purge_config"),
        ({"purge_config": ""}, "purge_config"),
        ({"confirm": ""}, "-e confirm=: is empty"),
        ({"service": "sonarr"}, "-e service= has no effect on remove"),
        ({"profiles": "music"}, "-e profiles= has no effect on remove"),
    ],
)
def test_remove_refuses_what_it_would_not_heed(given, hint):
    assert hint in errors("remove", given)


# -- the report of remove


RESULT = {
    "gone": {
        "containers": ["gluetun", "sonarr"],
        "networks": ["ms"],
        "files": ["/srv/c/.env", "/srv/c/compose.core.yml", "/srv/c/secrets/key"],
    },
    "stays": {"media": ["/srv/media"], "config": ["/srv/config"], "volumes": []},
}


def test_the_report_says_what_went_and_what_stays():
    assert removal_report.removal_report("nas", RESULT, False, False).splitlines() == [
        "nas: removed",
        "  containers    gluetun, sonarr",
        "  networks      ms",
        "  files         /srv/c: .env, compose.core.yml; /srv/c/secrets/key",
        "nas: stays",
        "  media         /srv/media",
        "  config        /srv/config (-e purge_config=true removes the stack's part of it)",
        "  engine        Docker Engine and Compose",
    ]


def test_the_report_of_check_mode_and_of_a_second_run():
    assert removal_report.removal_report("nas", RESULT, True, False).startswith("nas: would be removed\n")
    nothing = {"gone": {"containers": []}, "stays": {}}
    assert removal_report.removal_report("nas", nothing, False, True).startswith("nas: nothing of the stack is there")


# -- asking


def confirm(monkeypatch, answers=(), check=False, hosts=("nas", "attic"), confirmed=""):
    """(result, questions) of the action on two hosts."""
    asked = []
    left = list(answers)

    def prompt(text):
        asked.append(text)
        if not left:
            raise AnsiblePromptNoninteractive("stdin is not interactive")
        return left.pop(0).encode()

    monkeypatch.setattr(confirm_hosts.display, "prompt_until", prompt, raising=False)
    task = SimpleNamespace(
        args={"hosts": list(hosts), "what": "delete it", "confirmed": confirmed}, async_val=0, check_mode=check
    )
    action = confirm_hosts.ActionModule(task, mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock())
    return action.run(task_vars={"groups": {"all": ["nas", "attic", "box"]}}), asked


def test_each_host_is_asked_for_and_each_answer_counts(monkeypatch):
    result, asked = confirm(monkeypatch, ["nas\r", "attic"])
    assert not result.get("failed") and [text.split(":")[0] for text in asked] == ["nas", "attic"]
    result, _asked = confirm(monkeypatch, ["nas", "yes"])
    assert result["failed"] and "'yes' is not 'attic'" in result["msg"]


def test_without_a_terminal_the_line_to_write_is_named(monkeypatch):
    result, _asked = confirm(monkeypatch)
    assert result["failed"] and "-e confirm=nas,attic" in result["msg"] and "Nothing was touched" in result["msg"]


def test_ctrl_c_at_the_question_touches_nothing_and_says_so(monkeypatch):
    def interrupted(_text):
        raise AnsiblePromptInterrupt("user interrupt")

    monkeypatch.setattr(confirm_hosts, "display", SimpleNamespace(prompt_until=interrupted))
    assert confirm_hosts._ask("nas", "delete it", ["nas"]) == "interrupted"


@pytest.mark.parametrize(
    ("confirmed", "hint"),
    [("nas", "on attic needs -e confirm=nas,attic"), ("nas,atic", "Did you mean attic?")],
)
def test_names_that_were_written_must_be_all_and_right(monkeypatch, confirmed, hint):
    result, asked = confirm(monkeypatch, ["nas", "attic"], confirmed=confirmed)
    assert result["failed"] and hint in result["msg"] and asked == []


def test_with_every_name_or_in_check_mode_nothing_is_asked(monkeypatch):
    for more in ({"confirmed": "attic, nas, box"}, {"check": True}):
        result, asked = confirm(monkeypatch, **more)
        assert not result.get("failed") and asked == []


# -- credentials


def entry(**more):
    return {
        "name": "sonarr",
        "title": "Sonarr",
        "urls": ["http://127.0.0.1:8989"],
        "user": "admin",
        "password": "p\x1bw",
        "api_key": "k",
        "note": "",
        "missing": False,
        **more,
    }


def test_a_block_for_each_app_without_signs_that_move_the_cursor():
    assert credentials_text.text("nas", [entry()], True).splitlines() == [
        "",
        "nas: Sonarr",
        "  URL       http://127.0.0.1:8989",
        "  user      admin",
        "  password  p\\x1bw",
        "  API key   k",
    ]
    far = credentials_text.text("nas", [entry(password=None, user=None, note="its own", api_key=None)], False)
    assert "http://127.0.0.1:8989  (on the server itself)" in far and "  login     its own" in far
    assert "password only" in credentials_text.text("nas", [entry(user="")], True)


def test_without_a_terminal_nothing_is_read(monkeypatch):
    monkeypatch.setattr(terminal, "DEVICE", None)
    task = SimpleNamespace(args={}, async_val=0, check_mode=False, no_log=False)
    action = credentials.ActionModule(task, mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock(), mock.Mock())
    action._execute_module = mock.Mock()
    result = action.run(task_vars={})
    assert result["failed"] and "on a terminal only" in result["msg"]
    action._execute_module.assert_not_called()
    monkeypatch.setattr(terminal, "DEVICE", "/dev/null")
    monkeypatch.setattr(credentials.constants, "DEFAULT_DEBUG", True)
    assert "ANSIBLE_DEBUG" in action.run(task_vars={})["msg"]
