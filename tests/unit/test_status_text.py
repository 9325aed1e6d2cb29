# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole picture as lines: for one host, for many, on a small terminal."""

import re

import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_model, status_text, table

Style = status_text.Style


def fleet(hosts=5, services=20, bad=()):
    return report_model.build(
        {
            f"nas{n}": {
                "services": [
                    report_sample.row(f"s{i}", "UNHEALTHY" if (n, i) in bad else "HEALTHY") for i in range(services)
                ],
                "vpn": {"enabled": True, "connected": True, "provider": "mullvad"},
                "disks": {"base": {"path": "/", "total_bytes": 10**12, "free_bytes": 10**11, "device": 1}},
            }
            for n in range(hosts)
        }
    )


def test_everything_below_each_other():
    results = report_sample.results()
    report = report_model.build(results)
    lines = status_text.picture(report, [*status_text.notes(results), "the end"])
    assert lines[0].split() == ["HOST", "SERVICE", "STATUS", "MESSAGE", "LATENCY", "IMAGE"]
    assert [line.split()[:2] for line in lines if line.startswith(("nas ", "attic "))] == [
        ["nas", "gluetun"],
        ["nas", "sonarr"],
        ["nas", "prowlarr"],
        ["nas", "bazarr"],
        ["nas", "(disk"],
        ["attic", "jellyfin"],
        ["nas", "VPN"],
        ["nas", "disks"],
        ["nas", "downloads"],
        ["nas", "backup"],
        ["nas", "holds"],
        ["attic", "VPN"],
        ["attic", "disks"],
    ]
    assert "nas    VPN        connected · mullvad · Switzerland · 193.32.126.66 · forwarded port 51820" in lines
    assert lines[-2:] == ["nas: split mounts: imports are copies, no hardlinks", "the end"]
    assert all(line.isprintable() for line in lines)


def test_five_hosts_of_twenty_services_are_apart_and_aligned():
    report = fleet(bad={(3, 7)})
    lines = status_text.picture(report, [status_text.summary(report["services"])])
    table_lines = lines[: lines.index("", lines.index("") + 21 * 4)]
    assert table_lines.count("") == 4
    rows = [line for line in table_lines[1:] if line]
    assert len(rows) == 100
    start = lines[0].index("STATUS")
    assert {line[start:].split()[0] for line in rows} == {"HEALTHY", "UNHEALTHY"}
    assert {line[lines[0].index("IMAGE") :] for line in rows} == {"4.0.16"}
    assert lines[-1] == "1 of 100 not healthy: nas3/s7"


def test_one_row_a_host_needs_no_gaps():
    lines = status_text.table_lines(fleet(3, 1), fleet(3, 1)["services"])
    assert "" not in lines


@pytest.mark.parametrize("height", [3, 6, 10, 24, 40, 70])
@pytest.mark.parametrize("hosts", [1, 5])
def test_a_picture_fits_the_terminal_and_keeps_what_is_not_well(height, hosts):
    report = fleet(hosts, 30, bad={(0, 29)})
    lines = status_text.picture(report, ["the result"], Style(80), height)
    assert len(lines) <= height
    assert lines[-1] == "the result"
    if height >= 10:
        assert any("s29" in line and "UNHEALTHY" in line for line in lines)
        [more] = [line for line in lines if line.startswith("… and")] or [""]
        shown = len([line for line in lines if re.match(r"nas\d +s\d+ ", line)])
        if shown < 30 * hosts:
            assert more == f"… and {30 * hosts - shown} more, all HEALTHY"


def test_what_is_left_out_is_told_truly():
    report = fleet(1, 30, bad={(0, i) for i in range(20)})
    lines = status_text.picture(report, ["the result"], Style(80), 12)
    shown = len([line for line in lines if "UNHEALTHY" in line])
    assert f"… and {30 - shown} more, {20 - shown} of them not HEALTHY" in lines


def test_with_little_room_only_hosts_with_trouble_have_their_facts():
    report = fleet(5, 20)
    report["hosts"]["nas2"]["vpn"]["connected"] = False
    lines = status_text.picture(report, ["the result"], Style(80), 24)
    assert [line for line in lines if "VPN" in line] == ["nas2  VPN  not connected · mullvad"]


def test_facts_are_wrapped_under_themselves():
    results = report_sample.results()
    report = report_model.build(results)
    lines = status_text.facts_lines(report, style=Style(60))
    assert all(table.width(line) <= 60 for line in lines)
    first = next(i for i, line in enumerate(lines) if "holds" in line)
    assert lines[first].startswith("nas    holds      bazarr held")
    assert lines[first + 1].startswith(" " * 18)
    assert len(status_text.facts_lines(report)) == 7, "in a pipe a fact is a line"


def test_only_what_needs_attention():
    report = report_model.build(report_sample.results())
    lines = status_text.facts_lines(report, only_bad=True)
    assert [line.split()[:2] for line in lines] == [
        ["nas", "disks"],
        ["nas", "downloads"],
        ["attic", "VPN"],
        ["attic", "disks"],
    ]


def test_colours_and_links_take_no_room():
    report = report_model.build(report_sample.results())
    plain = status_text.picture(report, style=Style(100))
    dressed = status_text.picture(
        report,
        style=Style(100, lambda text, color: f"‹{color}›{text}‹›", lambda text, url: f"[{url}|{text}]"),
    )
    assert any("‹red›UNHEALTHY‹›" in line for line in dressed)
    assert any("‹green›VPN      ‹›" in line for line in dressed)
    assert any("[http://192.168.1.10:8989|sonarr]" in line for line in dressed)
    undressed = [re.sub(r"‹[a-z ]*›|\[http[^|]*\||\](?= )", "", line).rstrip() for line in dressed]
    assert undressed == plain


def test_notes_of_all_hosts_stand_without_their_names():
    both = {"a": {"messages": ["VPN OFF", "own"]}, "b": {"messages": ["VPN OFF", "VPN OFF"]}}
    assert status_text.notes(both) == ["VPN OFF", "a: own"]
    assert status_text.notes({**both, "c": None}) == ["a, b: VPN OFF", "a: own"]


@pytest.mark.parametrize(
    ("fail_on", "failed", "sentence"),
    [
        ("degraded", True, "2 of 3 not healthy: nas/b, nas/c"),
        ("unhealthy", True, "1 of 3 not healthy: nas/c"),
        ("never", False, "3 of 3 healthy"),
    ],
)
def test_the_verdict(fail_on, failed, sentence):
    rows = [report_sample.row("a"), report_sample.row("b", "DEGRADED"), report_sample.row("c", "MISSING")]
    assert status_text.verdict(report_model.build({"nas": {"services": rows}}), fail_on) == (failed, sentence)


def test_nothing_to_judge_is_a_failure_whatever_passes():
    assert status_text.verdict(report_model.build({}), "never") == (True, "no service to look at")


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one two three", None, ["one two three"]),
        ("one two three", 7, ["one two", "three"]),
        ("averyverylongword x", 5, ["averyverylongword", "x"]),
        ("", 5, [""]),
        ("影音 影音", 4, ["影音", "影音"]),
    ],
)
def test_wrap(text, columns, lines):
    assert status_text.wrap(text, columns) == lines
