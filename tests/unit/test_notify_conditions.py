# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a run saw to what is told: status, site, update, backup, leak test, plan."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state
from ansible_collections.homelab.mediastack.plugins.plugin_utils import notify_conditions as conditions
from ansible_collections.homelab.mediastack.plugins.plugin_utils import notify_drift, plan_model

HOLD = {"verb": "stop", "who": "anna@laptop", "when": "2026-11-22T20:39:00+00:00", "why": "moving"}


def row(name, status="HEALTHY", message=""):
    return {"name": name, "title": name.capitalize(), "status": status, "message": message}


def status(*rows, **more):
    return conditions.of_status({"services": [row("radarr"), *rows], **more})


@pytest.mark.parametrize("word", ["UNHEALTHY", "STOPPED", "MISSING", "UNKNOWN"])
def test_what_does_not_work_is_a_failure(word):
    [(key, one)] = status(row("sonarr", word, "why"))["bad"].items()
    assert key == "unhealthy/sonarr"
    assert (one["event"], one["severity"], one["words"]) == ("unhealthy", "failure", f"{word}: why")


def test_from_stopped_to_missing_is_the_same_trouble_and_to_degraded_another():
    marks = [
        status(row("sonarr", word))["bad"]["unhealthy/sonarr"]["mark"] for word in ("STOPPED", "MISSING", "DEGRADED")
    ]
    assert marks[0] == marks[1] != marks[2]


def test_numbers_in_the_words_make_no_other_trouble():
    marks = {
        status(row("qbittorrent", "DEGRADED", f"{n} stalled"))["bad"]["unhealthy/qbittorrent"]["mark"] for n in (1, 2)
    }
    assert len(marks) == 1


def test_starting_says_nothing():
    found = status(row("sonarr", "STARTING"))
    assert found["bad"] == {} and found["keep"] == ["unhealthy/sonarr"] and "unhealthy/sonarr" not in found["good"]


def test_what_somebody_stopped_on_purpose_is_no_trouble():
    message = "held stopped since 2026-11-22 20:39 +0000 by anna@laptop; run start"
    found = status(row("sonarr", "STOPPED", message), holds={"sonarr": HOLD})
    assert found["bad"] == {} and found["quiet"] == ["unhealthy/sonarr"]


def test_an_engine_that_does_not_answer_is_one_trouble_and_says_nothing_of_the_rest():
    rows = [row(name, "UNKNOWN", "the Docker Engine does not answer") for name in ("sonarr", "radarr", "lidarr")]
    found = conditions.of_status({"services": rows})
    assert list(found["bad"]) == ["host/engine"] and found["gone"] == []
    assert "host/engine" in status()["good"]


def test_a_look_without_an_answer_forgets_nothing():
    assert conditions.of_status({"failed": True, "msg": "x"}) == conditions.findings()


def test_disks():
    disks = {"media": {"free_bytes": 1, "total_bytes": 2}, "config": {"free_bytes": 1, "total_bytes": 2}}
    found = status(row("(disk media)", "DEGRADED", "93 % full"), disks=disks)
    assert found["bad"]["disk/media"]["event"] == "disk" and found["good"]["disk/config"] == []


@pytest.mark.parametrize(
    ("vpn", "holds", "bad", "quiet", "good"),
    [
        ({"enabled": True, "connected": False, "message": "AUTH_FAILED"}, {}, True, False, False),
        ({"enabled": True, "connected": True}, {}, False, False, True),
        ({"enabled": True}, {}, False, False, False),
        ({"enabled": False}, {}, False, True, False),
        ({"enabled": True, "connected": False}, {"vpn": HOLD}, False, True, False),
    ],
)
def test_vpn(vpn, holds, bad, quiet, good):
    found = status(vpn=vpn, holds=holds)
    assert ("vpn/down" in found["bad"], "vpn/down" in found["quiet"], "vpn/down" in found["good"]) == (bad, quiet, good)


def test_a_vpn_that_comes_up_says_nothing():
    assert "vpn/down" not in status(row("gluetun", "STARTING"), vpn={"enabled": True, "connected": False})["bad"]


@pytest.mark.parametrize(
    ("facts", "bad"),
    [
        ({}, set()),
        ({"count": 3, "age_hours": 60.0, "max_age_hours": 50, "ok": True}, {"backup/old"}),
        ({"count": 3, "age_hours": 6.0, "max_age_hours": 50, "ok": False, "why": "full"}, {"backup/failed"}),
        ({"count": 3, "age_hours": 6.0, "max_age_hours": 50, "ok": True, "copied": False}, {"backup/copy"}),
        ({"count": 0, "max_age_hours": 50}, {"backup/old"}),
        ({"error": "does not answer"}, {"backup/unreadable"}),
        ({"count": 3, "age_hours": 6.0, "max_age_hours": 50, "ok": True, "drill_ok": False}, {"backup/drill"}),
    ],
)
def test_backups(facts, bad):
    assert set(status(backup={"path": "/b", **facts} if facts else {})["bad"]) == bad


def test_a_site_clears_failures_but_no_warning_of_an_app_that_it_did_not_ask():
    found = conditions.of_converge({"health": {"services": [row("sonarr"), row("radarr", "DEGRADED")]}}, "site")
    assert found["good"]["unhealthy/sonarr"] == ["failure"] and found["keep"] == ["unhealthy/radarr"]
    assert found["good"]["site/failed"] == found["good"]["start/failed"] == [] and found["gone"] == ["start/"]


def test_what_an_app_said_is_over_when_it_is_asked_again():
    """Sonarr refuses the stack's key, and its probe passes: every no-op site said `recovered`, every status told it."""
    said = {**row("sonarr", "UNKNOWN", "it refuses the key"), "asked": True}
    channels, now = ["one"], datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
    record = notify_state.empty()

    def told(findings):
        nonlocal record
        record, due = notify_state.compare(record, findings, channels, notify_state.EVENTS, "run", now)
        record = notify_state.commit(record, due, "run")
        return [one["what"] for one in due.get("one", [])]

    assert told(status(said)) == [notify_state.NEW]
    assert told(conditions.of_converge({"health": {"services": [row("sonarr")]}}, "site")) == []
    assert told(status(said)) == []
    assert told(status(row("sonarr"))) == [notify_state.RECOVERED]
    assert told(status(row("sonarr", "STOPPED"))) == [notify_state.NEW]
    assert told(conditions.of_converge({"health": {"services": [row("sonarr")]}}, "site")) == [notify_state.RECOVERED]


def test_a_start_of_something_else_ends_no_trouble():
    failed = conditions.of_converge({"failed": True, "msg": "x"}, "start", ("sonarr",))
    assert list(failed["bad"]) == ["start/sonarr"]
    found = conditions.of_converge({}, "start", ("radarr",))
    assert list(found["good"]) == ["start/radarr"] and found["gone"] == []


def test_lines_of_logs_stay_where_they_are():
    """They name downloads."""
    failures = [{"service": "sonarr", "what": "crash loop", "log": ["Some.Show.S01E01 imported"]}]
    result = {"failed": True, "msg": "sonarr crash loop | last line of its log: Some.Show", "failures": failures}
    for found in (conditions.of_converge(result, "site"), conditions.of_change(result, "update")):
        [one] = found["bad"].values()
        assert one["words"] == "failed: sonarr crash loop"


def test_a_site_that_fails_is_told_once_for_the_same_reason():
    marks = [
        conditions.of_converge({"failed": True, "msg": text}, "site")["bad"]["site/failed"]["mark"]
        for text in ("sonarr fell over after 12 s", "sonarr fell over after 14 s", "the port 8989 is taken")
    ]
    assert marks[0] == marks[1] != marks[2]


MOVED = {
    "txn": "20261123T030000Z-1",
    "result": "committed",
    "services": {"sonarr": {"from": {"image": "r/sonarr:4.0.18"}, "to": {"image": "r/sonarr:4.0.19"}}},
}


def test_an_update_is_an_event_and_ends_what_an_earlier_one_left():
    found = conditions.of_change({"transaction": MOVED}, "update")
    [event] = found["events"]
    assert event["title"] == "update done" and event["words"] == "sonarr 4.0.18 → 4.0.19"
    assert "update/rolled-back" in found["quiet"]
    assert conditions.of_change({"transaction": None}, "update")["events"] == []


def test_an_update_that_was_rolled_back_is_a_trouble():
    failed = {"failed": True, "msg": "sonarr: the gate", "transaction": {**MOVED, "result": "rolled_back"}}
    found = conditions.of_change(failed, "update")
    assert list(found["bad"]) == ["update/rolled-back"] and found["events"] == []
    assert list(conditions.of_change({"failed": True, "msg": "no image"}, "update")["bad"]) == ["update/update"]


def test_backup_and_drill():
    assert list(conditions.of_backup({"failed": True, "msg": "disk full"})["bad"]) == ["backup/failed"]
    assert set(conditions.of_backup({"id": "x"})["good"]) == {"backup/partial", "backup/failed", "backup/old"}
    # `status` knows only of those of everything: it would say that this one is over.
    assert list(conditions.of_backup({"failed": True}, partial=True)["bad"]) == ["backup/partial"]
    assert list(conditions.of_backup({"id": "x"}, partial=True)["good"]) == ["backup/partial"]
    assert list(conditions.of_drill({"failed": True, "msg": "sonarr"})["bad"]) == ["backup/drill"]
    assert list(conditions.of_drill({"passed": True})["good"]) == ["backup/drill"]


def check(state, leak=False, app="qbittorrent"):
    return {"app": app, "check": "dns", "state": state, "leak": leak, "evidence": "x"}


@pytest.mark.parametrize(
    ("result", "severity", "mark"),
    [
        ({"passed": False, "checks": [check("failed", leak=True)]}, "failure", "leak:qbittorrent"),
        ({"passed": False, "checks": [check("failed"), check("passed")]}, "failure", "failed"),
        ({"passed": False, "checks": [check("inconclusive")]}, "warning", "inconclusive"),
        (
            {"passed": False, "checks": [], "trouble": {"state": "inconclusive", "evidence": "x"}},
            "warning",
            "inconclusive",
        ),
    ],
)
def test_leaks(result, severity, mark):
    one = conditions.of_leak_test(result)["bad"]["leak/test"]
    assert (one["event"], one["severity"], one["mark"]) == ("leak", severity, mark)


def test_no_leak():
    assert conditions.of_leak_test({"passed": True, "checks": [check("passed")]})["good"] == {"leak/test": []}


def plan(*changes, diff=""):
    return {"result": "drift" if changes else "in_sync", "changes": list(changes), "messages": [], "diff": diff}


EDITED = plan_model.change(
    "file", "change", "somebody edited it; what it is now is kept as a.kept-20261123-071821", path="/a"
)
NEWS = plan_model.change("file", "change", "what is rendered for it is another text now", path="/b")
DIFF = "--- /a\n+++ /a (kept as a.kept-20261123-071821)\n-x\n+y\n--- /b\n+++ /b\n-1\n+2\n"


def test_by_hand_and_pending_are_told_apart_each_with_its_diff():
    found = conditions.of_plan(plan(EDITED, NEWS, diff=DIFF))["bad"]
    by_hand, pending = found[notify_drift.BY_HAND]["words"], found[notify_drift.PENDING]["words"]
    assert "+y" in by_hand and "+2" not in by_hand
    assert "+2" in pending and "+y" not in pending


def test_the_same_drift_has_the_same_mark_the_next_night_and_another_one_has_not():
    def mark(text):
        why = f"somebody edited it; what it is now is kept as a.kept-{text}"
        one = plan_model.change("file", "change", why, path="/a")
        image = plan_model.change("image", "update", "", after=f"x:1, built {text[-1]} days ago", service="x")
        found = conditions.of_plan(plan(one, image, diff=DIFF.replace("20261123-071821", text)))["bad"]
        return {key: condition["mark"] for key, condition in found.items()}

    assert mark("20261123-071821") == mark("20261124-071822")
    other = conditions.of_plan(plan(EDITED, diff=DIFF.replace("+y", "+z")))["bad"][notify_drift.BY_HAND]["mark"]
    assert other != conditions.of_plan(plan(EDITED, diff=DIFF))["bad"][notify_drift.BY_HAND]["mark"]


def test_a_missing_container_is_by_hand_unless_something_new_is_rendered():
    gone = plan_model.change("container", "create", "there is no container", service="sonarr")
    assert list(conditions.of_plan(plan(gone))["bad"]) == [notify_drift.BY_HAND]
    assert list(conditions.of_plan(plan(gone, NEWS))["bad"]) == [notify_drift.PENDING]


def test_no_drift_ends_both_and_an_error_neither():
    assert set(conditions.of_plan(plan())["good"]) == {notify_drift.BY_HAND, notify_drift.PENDING, "drift/unknown"}
    wrong = conditions.of_plan(plan_model.trouble("the engine does not answer"))
    assert list(wrong["bad"]) == ["drift/unknown"] and wrong["good"] == {}


def test_a_long_diff_is_cut():
    words = conditions.of_plan(plan(EDITED, diff="--- /a\n+++ /a\n" + "+line\n" * 500))["bad"][notify_drift.BY_HAND][
        "words"
    ]
    assert len(words.splitlines()) < 40 and "more lines" in words


def test_from_outside():
    [(key, one)] = conditions.from_outside("pull", True, "commit 1 is not signed")["bad"].items()
    assert (key, one["event"], one["words"]) == ("reported/pull", "pull", "commit 1 is not signed")
    assert conditions.from_outside("pull", False, "")["good"] == {"reported/pull": []}
