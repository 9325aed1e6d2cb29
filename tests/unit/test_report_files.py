# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report: what it holds, and where it may go."""

import json
import os
import stat

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_files

KEYS = ["host", "name", "title", "status", "message", "latency_ms", "container", "image", "url"]


def result(*statuses, **more):
    services = [
        dict(zip(KEYS, ["inside", f"s{n}", f"S{n}", status, "", 1.0, f"s{n}", "i:1", None], strict=True))
        for n, status in enumerate(statuses)
    ]
    return {"changed": False, "services": services, **more}


def test_the_report_of_several_hosts():
    report = report_files.build(
        {
            "nas": result("HEALTHY", "HEALTHY", vpn={"enabled": True}, disks={"base": {"free_bytes": 1}}),
            "attic": result("HEALTHY"),
        }
    )
    assert list(report) == ["schema", "healthy", "services", "hosts"]
    assert report["schema"] == 1
    assert report["healthy"] is True
    assert [(row["host"], row["name"]) for row in report["services"]] == [("nas", "s0"), ("nas", "s1"), ("attic", "s0")]
    assert report["hosts"] == {
        "nas": {"vpn": {"enabled": True}, "disks": {"base": {"free_bytes": 1}}, "queues": {}},
        "attic": {"vpn": {}, "disks": {}, "queues": {}},
    }


@pytest.mark.parametrize("status", ["DEGRADED", "STARTING", "UNHEALTHY", "STOPPED", "MISSING", "UNKNOWN"])
def test_one_service_that_is_not_healthy_is_enough(status):
    assert report_files.build({"nas": result("HEALTHY", status)})["healthy"] is False


@pytest.mark.parametrize(
    ("registered", "words"),
    [
        (None, "its health was not read: the run failed for this host earlier"),
        ({"unreachable": True, "msg": "ssh: no route\nmore"}, "unreachable: ssh: no route"),
        ({"failed": True, "msg": "no python\ntraceback"}, "no python"),
        ({"failed": True}, "no reason given"),
        ({"changed": False, "services": []}, "no service to look at"),
        ("something else", "its health was not read: the run failed for this host earlier"),
    ],
)
def test_a_host_without_a_result_is_a_row_of_its_own(registered, words):
    report = report_files.build({"nas": result("HEALTHY"), "far": registered})
    assert report["healthy"] is False
    row = report["services"][1]
    assert list(row) == KEYS
    assert (row["host"], row["status"], row["message"]) == ("far", "UNKNOWN", words)
    assert report["hosts"]["far"] == {"vpn": {}, "disks": {}, "queues": {}}


def test_no_host_at_all_is_not_healthy():
    assert report_files.build({})["healthy"] is False


def test_json_keeps_every_sign():
    report = report_files.build(
        {"nas": {"services": [{"name": "影音", "status": "HEALTHY", "message": "\u201ca\u201d\n"}]}}
    )
    text = report_files.as_json(report)
    assert "影音" in text
    assert text.startswith("{")
    assert text.endswith("}\n")
    assert json.loads(text) == report


def test_where_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert report_files.check_output("") is None
    assert report_files.check_output("-") == "-"
    assert report_files.check_output("status.json") == str(tmp_path / "status.json")
    assert report_files.check_output("~/status.JSON") == str(tmp_path / "status.JSON")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "report.html",
            "the format '.html' is not there; write to a file that ends in .json, or - for standard output",
        ),
        ("report.prom", "the format '.prom' is not there"),
        ("report", "it names no format"),
        ("nowhere/report.json", "there is no directory"),
        ("folder.json", "that is a directory"),
    ],
)
def test_where_not_to_write(tmp_path, monkeypatch, output, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(report_files.OutputError) as raised:
        report_files.check_output(output)
    assert words in str(raised.value)
    assert f"output={output}: " in str(raised.value)


def test_a_report_takes_the_place_of_the_old_one_at_once(tmp_path):
    path = tmp_path / "status.json"
    path.write_text("old")
    before = path.stat().st_ino
    umask = os.umask(0o027)
    try:
        report_files.write(str(path), "new")
    finally:
        os.umask(umask)
    assert path.read_text() == "new"
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "status.json").mkdir()
    with pytest.raises(report_files.OutputError, match="cannot be written"):
        report_files.write(str(tmp_path / "status.json"), "new")
    assert os.listdir(tmp_path) == ["status.json"]
