# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `exposure`: table, sentence, JSON and JUnit."""

import json
import xml.etree.ElementTree as ET

from ansible_collections.homelab.mediastack.plugins.plugin_utils import exposure_report


def row(service="sonarr", state="passed", address="192.168.1.10", **more):
    found = {"service": service, "name": "web", "protocol": "tcp", "address": address, "port": 8989, "kernel": True}
    found.update(reached="network", login="asked", state=state, evidence="/: 401", open=False, remedy="")
    return {**found, **more}


OPEN = row("heimdall", "failed", login="not asked", open=True, evidence="/: 200", remedy="take heimdall out")
GOOD = {"ports": [row(), row(address="fd00::1")], "open": [], "messages": []}
BAD = {"ports": [row(), OPEN], "open": ["heimdall"], "messages": ["ufw is on"]}


def test_all_passed():
    report = exposure_report.build({"nas": GOOD})
    assert report["passed"] and exposure_report.summary(report) == "2 of 2 ports passed"
    assert exposure_report.lines(report) == [
        "HOST  SERVICE  LISTENS                      REACHED  LOGIN  RESULT  EVIDENCE",
        "nas   sonarr   192.168.1.10:8989/tcp (web)  network  asked  passed  /: 401",
        "nas   sonarr   [fd00::1]:8989/tcp (web)     network  asked  passed  /: 401",
    ]


def test_an_open_one_is_named_with_host_service_address_and_remedy():
    report = exposure_report.build({"nas": BAD, "attic": GOOD})
    assert not report["passed"] and report["hosts"]["nas"]["open"] == ["heimdall"]
    assert exposure_report.summary(report) == (
        "1 of 4 ports did not pass; OPEN: nas/heimdall at 192.168.1.10:8989/tcp (take heimdall out)"
    )
    rude = exposure_report.build({"nas": {"ports": [{**OPEN, "evidence": "\x1b[31m"}]}})
    assert "\x1b" not in "".join(exposure_report.lines(rude)) + exposure_report.summary(rude)
    assert report["hosts"]["attic"]["passed"]


def test_open_ones_come_first_and_a_long_list_ends():
    rows = [row(f"s{number}", "inconclusive", evidence="no answer") for number in range(10)]
    words = exposure_report.summary(exposure_report.build({"nas": {"ports": [*rows, OPEN]}}))
    assert words.index("OPEN: nas/heimdall") < words.index("inconclusive: nas/s0")
    assert words.endswith("and 3 more")


def test_what_is_open_and_allowed_is_counted():
    allowed = row("heimdall", login="not asked", open=True)
    report = exposure_report.build({"nas": {"ports": [row(), allowed]}})
    assert exposure_report.summary(report) == "2 of 2 ports passed, 1 of them open and allowed"


def test_a_host_without_a_result_is_inconclusive():
    report = exposure_report.build({"nas": GOOD, "attic": None, "shed": {"trouble": "unreachable: x"}})
    assert not report["passed"]
    assert [one["evidence"] for one in report["ports"][-2:]] == [
        "not looked at: the run failed for this host earlier",
        "unreachable: x",
    ]
    assert "inconclusive: shed/(host) (unreachable: x)" in exposure_report.summary(report)


def test_files():
    report = exposure_report.build({"nas": BAD})
    assert json.loads(exposure_report.render("x.json", report))["hosts"]["nas"]["messages"] == ["ufw is on"]
    root = ET.fromstring(exposure_report.render("x.xml", report))
    assert (root.get("name"), root.get("failures"), root.get("tests")) == ("homelab.mediastack.exposure", "1", "2")
    assert [one.get("type") for one in root.iter("failure")] == ["open"]
    assert {one.get("name") for one in root.iter("testcase")} == {
        "sonarr 192.168.1.10:8989/tcp",
        "heimdall 192.168.1.10:8989/tcp",
    }
