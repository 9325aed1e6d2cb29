# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sending by Apprise to servers on loopback, and addresses that stay secret."""

from __future__ import annotations

import logging
import pathlib
import re

import notify_servers
import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import notify_rules, notify_send, settings

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECRET = "hunter2hunter2"  # noqa: S105 (made up)
TEXT = ("failure", "nas: Sonarr", "Sonarr: STOPPED\n    *indented* {{ not_a_template }} <b>")


@pytest.fixture
def hooks():
    made = notify_servers.Hooks()
    yield made
    made.down()


def test_a_webhook_ntfy_and_mail_get_what_was_said(hooks):
    mails = notify_servers.Mails()
    urls = {
        "hook": f"json://anna:{SECRET}@127.0.0.1:{hooks.port}/hook",
        "ntfy": f"ntfy://anna:{SECRET}@127.0.0.1:{hooks.port}/topic",
        "mail": f"mailto://127.0.0.1:{mails.port}?from=nas@lab.test&to=anna@lab.test",
    }
    try:
        assert set(notify_send.send(dict.fromkeys(urls.values(), TEXT)).values()) == {None}
        got = {one["path"]: one for one in hooks.got}
        assert got["/hook"]["body"]["message"] == TEXT[2] and got["/hook"]["body"]["type"] == "failure"
        assert got["/hook"]["authorization"].startswith("Basic ")
        assert got["/"]["body"]["topic"] == "topic" and got["/"]["body"]["message"] == TEXT[2]
        [mail] = mails.got
        assert mail["subject"] == TEXT[1] and mail["to"] == "anna@lab.test"
        assert mail.get_body(("plain",)).get_content().split() == TEXT[2].split()
    finally:
        mails.down()


def test_what_went_wrong_is_told_without_the_address(hooks, caplog, capfd):
    hooks.answer = 401
    refusing = f"json://anna:{SECRET}@127.0.0.1:{hooks.port}/hook"
    hooks_down = notify_servers.Hooks()
    hooks_down.down()
    dead = f"ntfy://anna:{SECRET}@127.0.0.1:{hooks_down.port}/topic"
    with caplog.at_level(logging.DEBUG):
        [said] = notify_send.send({refusing: TEXT}).values()
        assert said == "the server answered 401"
        outcome = notify_send.send({refusing: TEXT, dead: TEXT})
    assert "could not be reached" in outcome[dead]
    shown = "".join([said, *map(str, outcome.values()), caplog.text, *capfd.readouterr()])
    assert SECRET not in shown and "anna" not in shown


def test_one_dead_server_keeps_nothing_from_the_others(hooks):
    alive = f"json://127.0.0.1:{hooks.port}/"
    outcome = notify_send.send({alive: TEXT, "nonsense://x": TEXT})
    assert outcome[alive] is None and outcome["nonsense://x"]
    assert len(hooks.got) == 1


def test_without_the_library_nothing_is_sent_and_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(notify_send.importlib.util, "find_spec", lambda _name: None)
    said = notify_send.send({"json://127.0.0.1": TEXT})["json://127.0.0.1"]
    assert "pip install apprise==" in said
    errors = []
    notify_rules.NotifyRules._check_notify_urls(["json://127.0.0.1"], errors)
    assert len(errors) == 1 and "pip install apprise==" in errors[0]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"ntfys://anna:{SECRET}@ntfy.example/topic", "ntfys to ntfy.example"),
        (f"ntfy://{SECRET}", "ntfy"),
        (f"json://u:{SECRET}@hook.example:8443/{SECRET}", "json to hook.example"),
        (f"mailtos://u:{SECRET}@mail.example?to=x", "mailtos to mail.example"),
        (f"tgram://{SECRET}/123", "tgram"),
        (f"discord://1/{SECRET}", "discord"),
        # What stands where others have a host is a token.
        (f"matrixs://{SECRET}", "matrixs"),
        (f"rocket://{SECRET}/b@chat.example/room", "rocket"),
        (SECRET, "an address without a scheme"),
        (f"json://[{SECRET}", "json"),
    ],
)
def test_only_scheme_and_host_are_shown(url, said):
    assert notify_send.label(url) == said


def test_a_malformed_address_is_refused_without_its_secrets():
    values = {"mediastack_notify_urls": ["json://hook.example/", f"tgram://{SECRET}", f"nosuch://{SECRET}@x"]}
    problems = notify_rules.slow_problems(values)
    assert [problem.split(" is not")[0] for problem in problems] == [
        "mediastack_notify_urls: entry 2 (tgram://…)",
        "mediastack_notify_urls: entry 3 (nosuch://…)",
    ]
    assert SECRET not in "".join(problems)


def test_the_answer_is_kept_for_the_other_hosts_of_a_run(tmp_path, monkeypatch):
    values = {"mediastack_notify_urls": [f"tgram://{SECRET}"]}
    first = notify_rules.slow_problems(values, tmp_path)
    assert len(first) == 1
    monkeypatch.setattr(notify_send, "problems", None)
    assert notify_rules.slow_problems(values, tmp_path) == first
    [kept] = tmp_path.iterdir()
    assert SECRET not in kept.name + kept.read_text()


def test_settings_refuse_what_is_no_address_and_show_nothing_of_it():
    vpn = {"mediastack_vpn_enabled": False}
    with pytest.raises(settings.SettingsError) as caught:
        settings.resolve(
            {**vpn, "mediastack_notify_urls": [SECRET], "mediastack_notify_events": ["unhelthy"]}, environ={}
        )
    said = "\n".join(caught.value.errors)
    assert SECRET not in said and "entry 1" in said and "unhealthy" in said
    right = settings.resolve({**vpn, "mediastack_notify_urls": [f"ntfy://{SECRET}"]}, environ={})
    assert "mediastack_notify_urls" not in right.shown()
    assert len(right.values["mediastack_notify_events"]) == 8


def test_the_id_of_a_channel_says_nothing_and_is_the_same_everywhere():
    one = notify_send.channel_id(f"json://{SECRET}", "nas")
    assert re.fullmatch("[0-9a-f]{24}", one) and one == notify_send.channel_id(f"json://{SECRET}", "nas")
    assert one != notify_send.channel_id(f"json://{SECRET}", "attic")


def test_the_remedy_names_the_version_that_is_pinned():
    pinned = re.search(r"^apprise==(\S+)$", (ROOT / "requirements" / "python.txt").read_text(), re.MULTILINE)
    assert pinned[1] == notify_send.VERSION
