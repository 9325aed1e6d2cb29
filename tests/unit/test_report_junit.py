# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The JUnit file, as a pipeline reads it."""

import xml.etree.ElementTree as ET

import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_junit, report_model


def parsed(fail_on="degraded", results=None):
    report = report_model.build(results or report_sample.results(), moment=report_sample.MOMENT)
    return ET.fromstring(report_junit.render(report, fail_on).encode())


def outcomes(root, suite):
    cases = root.find(f"testsuite[@name='{suite}']").findall("testcase")
    return {case.get("name"): [child.tag for child in case] for case in cases}


def test_a_suite_for_each_host_and_a_case_for_each_service():
    root = parsed()
    assert (root.tag, root.get("name")) == ("testsuites", "homelab.mediastack.status")
    assert [suite.get("name") for suite in root] == ["nas", "attic", "cellar", "far"]
    assert outcomes(root, "nas") == {
        "gluetun": [],
        "sonarr": ["failure"],
        "prowlarr": ["failure"],
        "bazarr": ["failure"],
        "(disk media)": ["failure"],
    }
    assert outcomes(root, "attic") == {"jellyfin": []}
    assert outcomes(root, "far") == {"(host)": ["error"]}


def test_the_counts_are_those_of_the_cases():
    root = parsed()
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "4",
        "errors": "2",
        "skipped": "0",
    }
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for plural, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(plural)) == len([case for case in cases if case.find(name) is not None])
        assert float(suite.get("time")) == pytest.approx(sum(float(case.get("time")) for case in cases))
        assert suite.get("timestamp") == "2026-11-22T20:35:12"
        assert [child.tag for child in suite] == sorted(child.tag for child in suite), "properties come first"


def test_a_failure_tells_what_and_why():
    case = parsed().find(".//testcase[@name='sonarr']")
    assert case.get("classname") == "homelab.mediastack.status.nas"
    failure = case.find("failure")
    assert failure.get("type") == "UNHEALTHY"
    assert failure.get("message") == "UNHEALTHY: HTTP 503 (starting), expected 200"
    assert "service: Sonarr on nas" in failure.text
    assert "url: http://192.168.1.10:8989" in failure.text


@pytest.mark.parametrize(("fail_on", "tag"), [("degraded", "failure"), ("unhealthy", "skipped"), ("never", "failure")])
def test_what_the_run_lets_pass_is_skipped_and_never_green(fail_on, tag):
    root = parsed(fail_on)
    assert outcomes(root, "nas")["prowlarr"] == [tag]
    assert outcomes(root, "nas")["sonarr"] == ["failure"]
    assert outcomes(root, "far") == {"(host)": ["error"]}


@pytest.mark.parametrize("status", report_model.STATUSES[1:])
@pytest.mark.parametrize("fail_on", list(report_model.PASSING))
def test_nothing_but_healthy_passes(status, fail_on):
    root = parsed(fail_on, {"nas": {"services": [report_sample.row("a", status), report_sample.row("b")]}})
    assert outcomes(root, "nas")["a"] != []
    assert outcomes(root, "nas")["b"] == []


def test_what_there_is_to_say_of_a_healthy_service_is_its_output():
    root = parsed(results={"nas": {"services": [report_sample.row("a", message="runs another image")]}})
    assert root.find(".//testcase/system-out").text == "runs another image"
    assert root.get("failures") == "0"


def test_properties_of_a_host():
    suite = parsed().find("testsuite[@name='nas']")
    found = {entry.get("name"): entry.get("value") for entry in suite.find("properties")}
    assert found["vpn.connected"] == "true"
    assert found["vpn.country"] == "Switzerland"
    assert found["vpn.forwarded_ports"] == "51820"
    assert found["disk.media.free_bytes"] == "280000000000"
    assert found["queue.qbittorrent.stalled"] == "1"
    assert found["queue.sabnzbd.error"] == "HTTP 403, wrong key"
    assert found["hold"].startswith("bazarr held stopped since")
    assert parsed().find("testsuite[@name='far']/properties") is None


def test_signs_that_xml_cannot_hold_are_left_out():
    results = {"nas": {"services": [report_sample.row("a", "UNHEALTHY", "x\x00\x0b\ufffe\udcff<&>\"'\x1by")]}}
    failure = parsed(results=results).find(".//failure")
    assert failure.get("message") == "UNHEALTHY: x \ufffd<&>\"' y"


def test_no_host_at_all():
    root = ET.fromstring(report_junit.render(report_model.build({})).encode())
    assert (root.get("tests"), list(root)) == ("0", [])
