# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report holds, and that it keeps to its schema."""

import copy
import json
import pathlib
import re

import jsonschema
import pytest
import report_sample

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "status.schema.json").read_text())
KEYS = ["host", "name", "title", "status", "message", "latency_ms", "container", "image", "url"]


def result(*statuses, **more):
    return {"services": [report_sample.row(f"s{n}", status) for n, status in enumerate(statuses)], **more}


def test_the_report_of_several_hosts():
    report = report_model.build(
        {
            "nas": result("HEALTHY", "HEALTHY", vpn={"enabled": True}, disks={"base": {"free_bytes": 1}}),
            "attic": result("HEALTHY"),
        },
        moment=report_sample.MOMENT,
    )
    assert list(report) == ["schema", "healthy", "generated", "services", "hosts", "warnings"]
    assert (report["schema"], report["healthy"], report["generated"]) == (1, True, "2026-11-22T20:35:12Z")
    assert [(row["host"], row["name"]) for row in report["services"]] == [("nas", "s0"), ("nas", "s1"), ("attic", "s0")]
    assert report["hosts"] == {
        "nas": {
            "vpn": {"enabled": True},
            "disks": {"base": {"free_bytes": 1}},
            "queues": {},
            "holds": {},
            "backup": {},
        },
        "attic": {"vpn": {}, "disks": {}, "queues": {}, "holds": {}, "backup": {}},
    }


@pytest.mark.parametrize("status", report_model.STATUSES[1:])
def test_one_service_that_is_not_healthy_is_enough(status):
    assert report_model.build({"nas": result("HEALTHY", status)})["healthy"] is False


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
    report = report_model.build({"nas": result("HEALTHY"), "far": registered})
    assert report["healthy"] is False
    row = report["services"][1]
    assert list(row) == KEYS
    assert (row["host"], row["name"], row["status"], row["message"]) == ("far", "(host)", "UNKNOWN", words)
    assert report["hosts"]["far"] == {"vpn": {}, "disks": {}, "queues": {}, "holds": {}, "backup": {}}


def test_no_host_at_all_is_not_healthy():
    assert report_model.build({})["healthy"] is False


def test_names_of_downloads_and_the_hosts_own_address_get_nowhere():
    text = json.dumps(report_model.build(report_sample.results()))
    assert report_sample.DOWNLOAD not in text
    assert report_sample.OWN_ADDRESS not in text
    assert "193.32.126.66" in text


@pytest.mark.parametrize("connected", [False, None, "yes", 1])
def test_the_exit_is_told_only_while_there_is_a_tunnel(connected):
    vpn = {"enabled": True, "connected": connected, "public_ip": "198.51.100.77", "country": "X", "message": "why"}
    shown = report_model.build({"nas": result("HEALTHY", vpn=vpn)})["hosts"]["nas"]["vpn"]
    assert "public_ip" not in shown
    assert "country" not in shown
    assert shown["message"] == "why"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8096", "http://localhost:1", "http://[::1]:8096/", "https://127.8.8.8"]
)
def test_a_loopback_address_is_one_of_this_machine_only(url):
    results = {"nas": {"services": [report_sample.row(url=url)]}}
    assert report_model.build(results)["services"][0]["url"] is None
    assert report_model.build(results, local={"nas"})["services"][0]["url"] == url


@pytest.mark.parametrize("url", ["http://192.168.1.10:8989", "http://nas.lan", None, "http://[bad"])
def test_other_addresses_stay(url):
    assert report_model.build({"nas": {"services": [report_sample.row(url=url)]}})["services"][0]["url"] == url


def test_a_row_of_a_users_own_is_completed():
    report = report_model.build({"nas": {"services": [{"name": "sonarr", "status": "HEALTHY"}]}})
    assert report["services"] == [
        {**report_model.unknown("nas", "sonarr", "", ""), "status": "HEALTHY"},
    ]


@pytest.mark.parametrize("wrong", [None, [], "text", {"base": None}, {"base": {"free_bytes": "many"}}])
def test_what_is_of_the_wrong_type_is_left_out(wrong):
    report = report_model.build(
        {"nas": result("HEALTHY", vpn=wrong, disks=wrong, queues=wrong, holds=wrong, backup=wrong)}
    )
    assert report["hosts"]["nas"] == {"vpn": {}, "disks": {}, "queues": {}, "holds": {}, "backup": {}}


def closed(schema):
    """The schema, with every map that lists its keys refusing others: what the code writes must be documented."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [closed(value) for value in schema]
    return schema


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("results", [{}, report_sample.results(), {"nas": result(*report_model.STATUSES)}])
def test_every_report_keeps_to_the_schema_and_every_key_is_in_it(results):
    report = json.loads(json.dumps(report_model.build(results)))
    jsonschema.Draft202012Validator(closed(SCHEMA)).validate(report)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.update(schema=2),
        lambda report: report.pop("generated"),
        lambda report: report["services"][0].update(status="FINE"),
        lambda report: report["services"][0].pop("url"),
        lambda report: report["hosts"]["attic"]["vpn"].update(public_ip="198.51.100.77"),
        lambda report: report["hosts"]["nas"]["queues"]["qbittorrent"].update(active="3"),
    ],
)
def test_the_schema_refuses_what_is_wrong(spoil):
    report = copy.deepcopy(report_model.build(report_sample.results()))
    spoil(report)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(report)


def test_every_key_of_the_schema_is_explained_in_the_docs():
    text = (ROOT / "docs" / "status.md").read_text()
    for part in SCHEMA["$defs"].values():
        for key in part["properties"]:
            assert re.search(rf"[`.]{key}`", text), f"docs/status.md does not tell of {key}"


def test_now_is_utc():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", report_model.now())
