# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The extra vars of a verb: from the command line only, cast and checked."""

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.utils import vars as ansible_vars

from ansible_collections.homelab.mediastack.plugins.plugin_utils import extra_vars
from ansible_collections.homelab.mediastack.plugins.plugin_utils.catalogue import Names

NAMES = Names(
    apps=("sonarr", "authentik", "seerr"),
    services={"sonarr": "sonarr", "authentik-server": "authentik", "authentik-worker": "authentik", "seerr": "seerr"},
    profiles={"music": ["lidarr"], "auth": ["authentik"]},
    replaces={"overseerr": "seerr"},
    ports={},
    secrets=frozenset(),
)


def check(verb, **given):
    return extra_vars.check(verb, given, lambda: NAMES)


def errors(verb, **given):
    with pytest.raises(extra_vars.ExtraVarsError) as caught:
        check(verb, **given)
    return caught.value.errors


def test_defaults():
    assert check("start").values == {"service": [], "profiles": [], "release_holds": False, "retry_failed": False}
    assert check("status").values == {"output": "", "fail_on": "degraded", "watch": 0}
    assert check("stop").values == {"service": [], "profiles": []}


def test_lists_by_comma_and_as_lists():
    assert check("start", service="sonarr, authentik-server").values["service"] == ["sonarr", "authentik-server"]
    assert check("stop", service=["sonarr", "sonarr"], profiles="music,auth").values == {
        "service": ["sonarr"],
        "profiles": ["music", "auth"],
    }


def test_an_app_of_several_services_is_a_service():
    assert check("restart", service="authentik").values["service"] == ["authentik"]


def test_a_retired_name_selects_its_successor():
    found = check("start", service="overseerr")
    assert found.values["service"] == ["seerr"]
    assert found.messages == ["-e service=: overseerr became seerr, which is taken instead."]


@pytest.mark.parametrize(
    ("verb", "given", "message"),
    [
        ("start", {"servcie": "sonarr"}, "-e servcie=: start knows no such name. Did you mean service=?"),
        ("start", {"profile": "music"}, "-e profile=: start knows no such name. Did you mean profiles=?"),
        ("start", {"service": ""}, "-e service=: is empty."),
        ("start", {"service": " , "}, "-e service=: is empty."),
        ("start", {"service": None}, "-e service=: is empty."),
        ("start", {"service": "sonar"}, '-e service=: "sonar" is not a service. Did you mean sonarr?'),
        # Whoever is far off sees what there is.
        ("start", {"service": "zzz"}, '-e service=: "zzz" is not a service. Valid: authentik, authentik-server,'),
        ("start", {"service": {"a": 1}}, "-e service=: {'a': 1} is a map, not a list."),
        ("start", {"service": [8]}, "-e service=: 8 is a number, not a text."),
        ("stop", {"profiles": "musik"}, '-e profiles=: "musik" is not a profile. Did you mean music?'),
        (
            "status",
            {"fail_on": "unhealty"},
            '-e fail_on=: "unhealty" is not one of degraded, unhealthy, never. Did you mean',
        ),
        ("status", {"output": "report.txt"}, '-e output=: "report.txt" is neither -'),
        ("status", {"output": ""}, "-e output=: is empty."),
        ("strat", {}, "verb: 'strat' is not a verb. Did you mean start?"),
    ],
)
def test_mistakes(verb, given, message):
    (found,) = errors(verb, **given)
    assert found.startswith(message)


def test_all_mistakes_at_once():
    assert len(errors("start", servcie="x", service="sonar", profiles="")) == 3


def test_what_is_not_ours_is_left_alone():
    found = check("start", mediastack_profiles=["x"], ansible_user="root", my_flag="1", mail="me")
    assert found.values == {"service": [], "profiles": [], "release_holds": False, "retry_failed": False}
    assert found.messages == []


def test_an_extra_var_of_another_verb_is_pointed_out():
    verbs = "start, stop, restart, logs, credentials, update, backup, restore, rollback"
    assert check("site", service="sonarr").messages == [f"-e service= has no effect on site; it is for {verbs}."]


def test_a_misspelt_extra_var_of_another_verb_is_pointed_out_and_stops_remove():
    """`remove -e servcie=sonarr` took the whole stack away."""
    told = "-e servcie=: service=, if that is meant, has no effect on {}; it is for start, stop, "
    (message,) = check("site", servcie="sonarr").messages
    assert message.startswith(told.format("site"))
    (message,) = errors("remove", servcie="sonarr")
    assert message.startswith(told.format("remove"))


@pytest.fixture
def command_line(monkeypatch):
    def give(*extra):
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(extra_vars=extra))
        monkeypatch.delattr(ansible_vars.load_extra_vars, "extra_vars", raising=False)
        return extra_vars.parse("start", context.CLIARGS, DataLoader(), lambda: NAMES)

    yield give
    # Ansible keeps what it has read on the function.
    if hasattr(ansible_vars.load_extra_vars, "extra_vars"):
        del ansible_vars.load_extra_vars.extra_vars


def test_from_the_command_line(command_line, tmp_path):
    assert command_line("service=sonarr").values["service"] == ["sonarr"]
    assert command_line('{"service": ["sonarr"]}').values["service"] == ["sonarr"]
    file = tmp_path / "answers.yml"
    file.write_text("profiles: [music]\n", encoding="utf-8")
    assert command_line(f"@{file}").values["profiles"] == ["music"]
    assert command_line().values == {"service": [], "profiles": [], "release_holds": False, "retry_failed": False}


@pytest.mark.parametrize(
    ("given", "cut_off"), [("service=sonarr, authentik", "authentik"), ("service=sonarr my profiles=music", "my")]
)
def test_words_that_ansible_cuts_off_are_an_error(command_line, given, cut_off):
    """`stop -e "service=sonarr, radarr"` stopped sonarr only."""
    with pytest.raises(extra_vars.ExtraVarsError) as caught:
        command_line(given)
    (message,) = caught.value.errors
    assert message.startswith(f'-e: "{cut_off}" is cut off')
    assert "service=sonarr,radarr" in message
