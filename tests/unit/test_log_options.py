# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be asked of the verb logs, and how its lines are printed."""

import datetime
import types

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import extra_vars, log_options, log_print
from ansible_collections.homelab.mediastack.plugins.plugin_utils.catalogue import Names

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC).timestamp()
NAMES = Names(
    apps=("sonarr", "authentik", "seerr"),
    services={"sonarr": "sonarr", "authentik-server": "authentik", "authentik-worker": "authentik", "seerr": "seerr"},
    profiles={},
    replaces={"overseerr": "seerr"},
    ports={},
    secrets=frozenset(),
)
FACTS = {
    "sonarr": types.SimpleNamespace(services=("sonarr",)),
    "authentik": types.SimpleNamespace(services=("authentik-server", "authentik-worker")),
    "seerr": types.SimpleNamespace(services=("seerr",)),
}


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("", ""),
        ("10m", "600s"),
        ("2h30m", "9000s"),
        (" 90s ", "90s"),
        ("3d", "259200s"),
        ("1w", "604800s"),
        ("2026-11-22T11:00:00Z", f"{NOW - 3600:.6f}"),
        ("2026-11-22T12:00:00+01:00", f"{NOW - 3600:.6f}"),
        ("2026-11-22 11:00:00.5Z", f"{NOW - 3599.5:.6f}"),
    ],
)
def test_since(text, since):
    assert log_options.since(text, lambda: NOW) == since


def test_a_date_is_midnight_of_this_machine():
    midnight = datetime.datetime(2026, 11, 21).timestamp()
    assert float(log_options.since("2026-11-21", lambda: NOW)) == midnight


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10", "Write 10s, 10m or 10h"),
        ("yesterday", "is no time. Write how long ago (10m, 2h30m, 3d) or when (2026-01-31"),
        ("10 m", "is no time"),
        ("10min", "is no time"),
        ("2026-13-01", "is no time"),
        ("2026-12-01", "lies in the future"),
        ("1969-01-01", "lies before 1970"),
        ("99999999999w", "longer ago than 1970"),
        ("-5m", "is no time"),
        ("10m; reboot", "is no time"),
        ("0001-01-01", ""),
    ],
)
def test_no_time(text, said):
    with pytest.raises(log_options.OptionError) as caught:
        log_options.since(text, lambda: NOW)
    assert said in str(caught.value)


def test_a_pattern():
    assert log_options.grep(r"(?i)error|\d+") == r"(?i)error|\d+"
    # What Ansible makes of -e grep=\berror\b.
    assert log_options.grep("\berror\b") == r"\berror\b"
    with pytest.raises(log_options.OptionError, match=r'"\[Error" is no regular expression: .* backslash'):
        log_options.grep("[Error")


def test_how_many_lines():
    assert log_options.tail(-1, "", False) == 50
    assert log_options.tail(-1, "600s", False) == 5000
    assert log_options.tail(7, "600s", False) == 7
    assert log_options.tail(0, "", True) == 0
    with pytest.raises(log_options.OptionError, match="0 is for follow=true"):
        log_options.tail(0, "", False)


def test_names():
    def services(*names, own=False):
        return log_options.services(names, FACTS, NAMES, own)

    assert services("authentik", "sonarr", "authentik-server") == (
        ["authentik-server", "authentik-worker", "sonarr"],
        [],
    )
    assert services("overseerr") == (["seerr"], ["overseerr became seerr, which is taken instead."])
    assert services("paperless", own=True) == (["paperless"], [])
    with pytest.raises(log_options.OptionError, match='"sonar" is not a service. Did you mean sonarr?'):
        services("sonar")


def test_extra_vars_are_checked_before_anything_is_asked():
    def check(**given):
        return extra_vars.check("logs", given, lambda: NAMES).values

    assert check() == {"service": [], "tail": -1, "since": "", "grep": "", "follow": False}
    assert check(service="paperless,sonarr", tail="5", follow="yes", since="10m", grep="x") == {
        "service": ["paperless", "sonarr"],
        "tail": 5,
        "since": "10m",
        "grep": "x",
        "follow": True,
    }
    with pytest.raises(extra_vars.ExtraVarsError) as caught:
        check(since="10", grep="[", tail="-3", service="")
    assert [error.split(":")[0] for error in caught.value.errors] == [
        "-e service=",
        "-e tail=",
        "-e since=",
        "-e grep=",
    ]


# Printing


def paint(text, color):
    return f"<{color}>{text}</>"


def test_prefixes_are_aligned():
    printer = log_print.Printer([("nas", "sonarr"), ("attic", "docker-socket-proxy")])
    assert printer.line("nas", "sonarr", "\x1b[31mx\x1b[0m") == "nas/sonarr                | x"
    assert printer.line("attic", "docker-socket-proxy", "y") == "attic/docker-socket-proxy | y"


def test_colours_are_those_of_the_service_each_time():
    first, second = (log_print.Printer([("nas", "sonarr")], paint) for _run in range(2))
    line = first.line("nas", "sonarr", "\x1b[31mx\x1b[0m")
    assert line == second.line("nas", "sonarr", "\x1b[31mx\x1b[0m")
    assert line.endswith(">nas/sonarr</> | \x1b[31mx\x1b[0m")
    assert line[1 : line.index(">")] in log_print.COLORS


def test_hosts_are_merged_by_time():
    results = {"nas": {"lines": [[1, "a", "x"], [3, "a", "z"]]}, "attic": {"lines": [[2, "b", "y"]]}}
    assert [line[3] for line in log_print.merged(results)] == ["x", "y", "z"]


def test_notes():
    result = {"missing": ["lidarr"], "services": ["sonarr"], "troubles": {"x": "cannot"}, "left_out": {"sonarr": 7}}
    assert log_print.notes(result, ["lidarr"], False) == [
        "lidarr has no container here: start it with site or start",
        "x: cannot",
        "sonarr: 7 earlier lines are left out, tail=NUMBER shows more",
    ]
    assert len(log_print.notes(result, ["lidarr"], True)) == 2
    nothing = {"missing": [], "services": [], "troubles": {}, "left_out": {}}
    assert log_print.notes(nothing, [], False) == ["there is no container of the stack here: run site"]
