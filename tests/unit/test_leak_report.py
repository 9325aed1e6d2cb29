# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of leak tests: table, sentence, JSON and JUnit."""

import re
import xml.etree.ElementTree as ET

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import extra_vars, leak_report, setting_rules


def row(app="qbittorrent", check="route", state="passed", evidence="by tun0", leak=False):
    return {"app": app, "check": check, "state": state, "evidence": evidence, "leak": leak}


def result(*rows, **more):
    leaking = sorted({entry["app"] for entry in rows if entry["leak"]})
    return {"checks": list(rows), "leaking": leaking, "messages": [], **more}


GOOD = result(row(), row(check="dns", evidence="gluetun answers"))
BAD = result(
    row(), row("sabnzbd", "dns", "failed", "Docker's \x1b[31mown", True), row("sabnzbd", "ipv6", "inconclusive")
)


def test_all_passed():
    report = leak_report.build({"nas": GOOD, "attic": GOOD})
    assert report["passed"] and leak_report.summary(report) == "4 of 4 checks passed"
    assert leak_report.lines(report)[:3] == [
        "HOST   APP          CHECK  RESULT  EVIDENCE",
        "nas    qbittorrent  route  passed  by tun0",
        "nas    qbittorrent  dns    passed  gluetun answers",
    ]


def test_what_did_not_pass_is_named_leaks_first():
    report = leak_report.build({"nas": BAD})
    assert not report["passed"] and report["hosts"]["nas"]["leaking"] == ["sabnzbd"]
    assert leak_report.summary(report) == (
        "LEAK: nas/sabnzbd; 1 of 3 checks failed: nas/sabnzbd dns; 1 of 3 checks inconclusive: nas/sabnzbd ipv6"
    )
    assert "\x1b" not in "".join(leak_report.lines(report))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "not looked at: the run failed for this host earlier"),
        ({"failed": True, "msg": "no route\nto host"}, "no route"),
        ({"checks": [], "trouble": {"state": "inconclusive", "evidence": "unreachable: x"}}, "unreachable: x"),
    ],
)
def test_a_host_without_a_result_is_inconclusive(given, words):
    report = leak_report.build({"nas": GOOD, "attic": given})
    assert not report["passed"]
    assert report["checks"][-1]["evidence"] == words
    assert leak_report.summary(report) == "1 of 3 checks inconclusive: attic/(host)"


def test_no_host_at_all_does_not_pass():
    assert not leak_report.build({})["passed"]


def test_a_narrow_terminal_cuts_what_passed_only():
    report = leak_report.build({"nas": result(row(evidence="x" * 90), row(state="failed", evidence="y" * 90))})
    shown = leak_report.lines(report, columns=60, paint=lambda text, _color: f"<{text}>")
    assert "x" * 90 not in shown[1] and "y" * 90 in shown[2]
    assert "<failed>" in shown[2]


def test_junit():
    root = ET.fromstring(leak_report.junit(leak_report.build({"nas": BAD})).encode())
    assert {key: root.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    assert root.find(".//failure").get("type") == "leak"
    assert root.find(".//testcase[@name='sabnzbd ipv6']/error") is not None


# What the schema of Jenkins' xUnit plugin allows: {element: (attributes that must be, that may be, children)}.
SCHEMA = {
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("time", "skipped", "timestamp", "hostname", "id", "package"),
        ("testcase",),
    ),
    "testcase": (("name",), ("time", "classname"), ("failure", "error", "system-out")),
    "failure": ((), ("type", "message"), ()),
    "error": ((), ("type", "message"), ()),
    "system-out": ((), (), ()),
}


def test_junit_is_what_the_schema_allows():
    evidence = "Docker's \x00\x1b[31mown\ufffe <&]]>"
    report = leak_report.build(
        {"nas": result(row(evidence=evidence), row(state="failed", evidence=evidence)), "x": None}
    )
    root = ET.fromstring(leak_report.junit(report).encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        required, optional, children = SCHEMA[element.tag]
        assert set(required) <= set(element.attrib) <= {*required, *optional}, element.tag
        assert {child.tag for child in element} <= set(children)
        for name in ("tests", "failures", "errors"):
            assert element.get(name, "0").isdigit()
    for suite in root:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))
        assert int(suite.get("tests")) == len(suite) > 0


def test_extra_vars():
    given = {"kill_switch": "true", "capture": "60", "on_leak": "stop"}
    assert extra_vars.check("leak_test", given).values == {
        "kill_switch": True,
        "capture": 60,
        "on_leak": "stop",
        "show_host_ip": False,
        "output": "",
    }


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("capture", "-1", "too small; give a number of seconds"),
        ("capture", "4000", "too long; give at most 3600 seconds"),
        ("on_leak", "kill", "report"),
        ("output", "leaks.prom", "ending in .json, .xml"),
        ("kil_switch", "true", "Did you mean kill_switch=?"),
    ],
)
def test_extra_vars_that_are_refused(name, value, words):
    with pytest.raises(extra_vars.ExtraVarsError, match=words.replace("?", r"\?")):
        extra_vars.check("leak_test", {name: value})


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("leak_test_ip_echo", "https://ipinfo.io/ip", True),
        ("leak_test_ip_echo", "http://192.0.2.1:8080", True),
        ("leak_test_ip_echo", "ipinfo.io", False),
        ("leak_test_ip_echo", "https://x/';reboot", False),
        ("leak_test_tracker", "", True),
        ("leak_test_tracker", "udp://tracker.example:1337/announce", True),
        ("leak_test_tracker", "http://tracker.example", False),
        ("leak_test_public_dns", ["1.1.1.1", "2606:4700::1"], True),
        ("leak_test_resolvers", ["pi.hole"], False),
    ],
)
def test_settings(name, value, good):
    errors = []
    setting_rules.Rules(None).check(name, value, errors)
    assert (errors == []) is good
