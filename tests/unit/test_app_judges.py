# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the answers of apps make of a row: the judging alone, on answers as the apps give them."""

import base64
import hashlib
import json
import pathlib

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_reading,
    app_reads_downloaders,
    app_reads_servarr,
    app_reads_vpn,
    probes,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
OK = probes.Outcome(probes.OK)
NOW = 1_800_000_000


def sentences(reading):
    return [sentence for _status, sentence, _settles in reading.problems]


# -- Sonarr and its kin


def health(*messages, empty=()):
    reading = app_reading.Reading()
    entries = [dict(zip(("source", "type", "message"), message, strict=True)) for message in messages]
    app_reads_servarr.judge_health(entries, lambda path: path in empty, reading)
    return reading


FRESH = (
    ("DownloadClientCheck", "warning", "No download client is available"),
    ("IndexerRssCheck", "error", "No indexers available with RSS sync enabled, Sonarr will not grab new releases"),
    ("IndexerSearchCheck", "warning", "No indexers available with Automatic Search enabled"),
)


def test_an_app_that_nobody_set_up_yet_says_so_and_is_no_fault():
    reading = health(*FRESH, empty=("/downloadclient", "/indexer"))
    assert reading.problems == []
    assert reading.hints == ["not set up yet: no download client, no indexer"]


def test_the_same_words_are_faults_where_there_is_something_that_does_not_work():
    reading = health(*FRESH, empty=("/downloadclient",))
    assert reading.hints == ["not set up yet: no download client"]
    assert len(reading.problems) == 2
    assert {status for status, _sentence, _settles in reading.problems} == {"DEGRADED"}


@pytest.mark.parametrize("kind", ["notice", "warning", "error"])
def test_every_other_message_is_a_fault(kind):
    reading = health(("IndexerStatusCheck", kind, "Indexers unavailable due to failures: Foo"))
    assert reading.problems == [("DEGRADED", "Indexers unavailable due to failures: Foo", False)]


def test_a_newer_version_is_news_only():
    reading = health(("UpdateCheck", "warning", "New update is available: 4.0.99"))
    assert (reading.problems, reading.hints) == ([], ["New update is available: 4.0.99"])
    assert health(("UpdateCheck", "error", "Cannot install update")).problems


def test_a_message_without_words_is_not_lost():
    assert sentences(health(("MysteryCheck", "error", ""))) == ["MysteryCheck"]


@pytest.mark.parametrize(
    ("source", "text", "kept", "lost"),
    [
        ("RemovedSeriesCheck", "Series A Private Show (tvdbid 1) was removed", "removed from its source", "Private"),
        (
            "RemotePathMappingCheck",
            "File /data/downloads/torrents/A Private Show S01/a.mkv was removed",
            "File /data/downloads/torrents/…",
            "Private",
        ),
        ("RemotePathMappingCheck", "places downloads in /downloads/tv but this", "in /downloads/tv but this", "…"),
        ("RootFolderCheck", "Missing root folder: /volume1/data/media/tv", "/volume1/data/media/tv", "…"),
    ],
)
def test_no_message_tells_a_title(source, text, kept, lost):
    (sentence,) = sentences(health((source, "error", text)))
    assert kept in sentence
    assert lost not in sentence


def queue(records, **flags):
    reading = app_reading.Reading()
    app_reads_servarr.judge_queue({"totalCount": 9, **flags}, lambda: records, reading)
    return sentences(reading)


def test_a_queue_without_flags_is_not_read():
    assert queue(None, errors=False, warnings=False) == []


def test_downloads_that_wait_for_somebody_are_counted_by_state_and_not_named():
    records = [
        {"title": "Private.1", "trackedDownloadStatus": "warning", "trackedDownloadState": "importPending"},
        {"title": "Private.2", "trackedDownloadStatus": "warning", "trackedDownloadState": "importPending"},
        {"title": "Private.3", "trackedDownloadStatus": "error", "trackedDownloadState": "downloading"},
        {"title": "Private.4", "trackedDownloadStatus": "ok", "trackedDownloadState": "downloading"},
    ]
    (sentence,) = queue(records, warnings=True)
    assert sentence == "its queue: 3 downloads in need of attention (1 downloading, 2 importPending, 1 error)"


def test_a_flag_without_a_record_still_counts():
    assert queue([], unknownWarnings=True) == ["its queue has warnings"]


@pytest.mark.parametrize("status", [{}, {"errors": None, "warnings": False}, {"errors": False}])
def test_a_queue_status_of_another_shape_is_no_quiet_queue(status):
    with pytest.raises(probes.ProbeFailed, match="another shape"):
        app_reads_servarr.judge_queue(status, list, app_reading.Reading())


def test_a_root_folder_is_not_taken_for_said_because_of_a_longer_name():
    reading = health(("RootFolderCheck", "error", "Missing root folder: /data/media/tv-4k, /data/media/tv/old"))
    app_reads_servarr.judge_root_folders([{"path": "/data/media/tv", "accessible": False}], reading)
    assert sentences(reading)[1:] == ["missing root folder: /data/media/tv"]
    reading = health(("RootFolderCheck", "error", "Missing root folder: /data/media/tv/"))
    app_reads_servarr.judge_root_folders([{"path": "/data/media/tv", "accessible": False}], reading)
    assert len(reading.problems) == 1


def test_a_missing_root_folder_is_said_once():
    folders = [{"path": "/data/media/tv", "accessible": False}, {"path": "/data/media/kids", "accessible": True}]
    reading = app_reading.Reading()
    app_reads_servarr.judge_root_folders(folders, reading)
    app_reads_servarr.judge_root_folders(folders, reading)
    assert sentences(reading) == ["missing root folder: /data/media/tv"]


def test_failing_indexers_are_named_and_counted():
    reading = health(("IndexerStatusCheck", "warning", "Indexers unavailable due to failures: Foo"))
    failing = [{"indexerId": number} for number in range(1, 8)]
    names = {1: "Foo", 2: "Bar"}

    def name_of(identifier):
        if identifier > 2:
            raise probes.ProbeFailed("HTTP 404")
        return names[identifier]

    app_reads_servarr.judge_indexers(failing, name_of, reading)
    assert sentences(reading)[1] == "7 indexers fail: Bar, number 3, number 4, number 5 and 2 more"
    app_reads_servarr.judge_indexers([], name_of, reading)
    assert len(reading.problems) == 2


def test_bazarr():
    reading = app_reading.Reading()
    issues = {"data": [{"object": "/data/media/tv", "issue": "This path does not exist"}]}
    app_reads_servarr.judge_bazarr(issues, {"providers": 2, "status": 1}, reading)
    assert sentences(reading) == [
        "/data/media/tv: This path does not exist",
        "2 subtitle providers are paused after failures",
    ]
    clean = app_reading.Reading()
    app_reads_servarr.judge_bazarr({"data": []}, {"providers": 0}, clean)
    assert clean.problems == []


@pytest.mark.parametrize(
    ("health_given", "badges"),
    [
        ({}, {"providers": 0}),
        ({"data": None}, {"providers": 0}),
        ({"data": []}, {}),
        ({"data": ["x"]}, {"providers": 0}),
    ],
)
def test_a_bazarr_that_answers_otherwise_is_not_well(health_given, badges):
    with pytest.raises(probes.ProbeFailed, match="another shape"):
        app_reads_servarr.judge_bazarr(health_given, badges, app_reading.Reading())


BOTH = {"use_sonarr": True, "use_radarr": True}


@pytest.mark.parametrize(
    ("sonarr", "radarr", "general", "words"),
    [
        # Until 1.5: LIVE or nothing. Later DOWN, and nothing where the badge LIVE is switched off.
        ("LIVE", "LIVE", BOTH, []),
        ("LIVE", "", BOTH, ["it is not connected to Radarr"]),
        ("DOWN", "LIVE", BOTH, ["it is not connected to Sonarr"]),
        ("DOWN", "DOWN", BOTH, ["it is not connected to Sonarr", "it is not connected to Radarr"]),
        ("DOWN", "DOWN", {"use_sonarr": False, "use_radarr": False}, []),
        ("", "", {}, []),
        ("", "", {**BOTH, "show_live_badge": False}, []),
        ("DOWN", "", {**BOTH, "show_live_badge": False}, ["it is not connected to Sonarr"]),
        (None, None, BOTH, []),
    ],
)
def test_a_bazarr_that_lost_sonarr_or_radarr(sonarr, radarr, general, words):
    reading = app_reading.Reading()
    badges = {"sonarr_signalr": sonarr, "radarr_signalr": radarr}
    app_reads_servarr.judge_connections(badges, lambda: general, reading)
    assert sentences(reading) == words
    assert all(settles for _status, _sentence, settles in reading.problems)


def test_the_settings_of_bazarr_are_read_only_where_something_is_not_connected():
    def settings():
        raise AssertionError("read")

    app_reads_servarr.judge_connections(
        {"sonarr_signalr": "LIVE", "radarr_signalr": "LIVE"}, settings, app_reading.Reading()
    )


# -- downloads


LISTENING = {"connection_status": "firewalled", "dl_info_speed": 0}


def torrent(state, number, added=NOW - 9):
    return {"hash": str(number), "name": "A.Private.Title", "state": state, "added_on": added}


def test_qbittorrent():
    reading = app_reading.Reading()
    torrents = [
        torrent("downloading", 1),
        torrent("forcedDL", 2),
        torrent("stalledDL", 3),
        torrent("metaDL", 4),
        torrent("metaDL", 5, NOW - 3600),
        torrent("queuedDL", 6),
        torrent("error", 7),
        torrent("error", 7),
    ]
    app_reads_downloaders.judge_qbittorrent({**LISTENING, "dl_info_speed": 5000}, torrents, NOW, reading)
    assert reading.queue == {"active": 2, "speed_bytes": 5000, "stalled": 2, "total": 7, "failed": 1}
    assert reading.problems == [
        ("DEGRADED", "2 of 7 unfinished torrents stalled", True),
        ("DEGRADED", "1 torrent has failed", False),
    ]


def test_an_idle_qbittorrent_is_well():
    reading = app_reading.Reading()
    app_reads_downloaders.judge_qbittorrent(LISTENING, [torrent("stoppedDL", 1)], NOW, reading)
    assert reading.queue == {"active": 0, "speed_bytes": 0, "stalled": 0, "total": 1, "failed": 0}
    assert reading.problems == []


def test_a_qbittorrent_that_cannot_listen():
    """Bound to a tunnel that went away it reaches nobody, whether or not there is something to load (5.1.0)."""
    lines = (ROOT / "tests/fixtures/downloaders/qbittorrent.jsonl").read_text().splitlines()
    well, bound = (json.loads(json.loads(line)["body"]) for line in lines)
    reading = app_reading.Reading()
    app_reads_downloaders.judge_qbittorrent(well, [], NOW, reading)
    assert reading.problems == []
    app_reads_downloaders.judge_qbittorrent(bound, [], NOW, reading)
    words = "it listens on no address and reaches nobody: restart it once the interface it is bound to is there"
    assert reading.problems == [("DEGRADED", words, True)]


@pytest.mark.parametrize(
    ("transfer", "torrents"),
    [
        ({}, []),
        ({"connection_status": "firewalled"}, []),
        ({"dl_info_speed": 0}, []),
        (LISTENING, [{"hash": "1"}]),
        (LISTENING, ["x"]),
    ],
)
def test_a_qbittorrent_that_answers_otherwise_is_not_well(transfer, torrents):
    with pytest.raises(probes.ProbeFailed, match="another shape"):
        app_reads_downloaders.judge_qbittorrent(transfer, torrents, NOW, app_reading.Reading())


def test_the_password_of_qbittorrent_is_checked_without_a_login():
    salt, password = b"0123456789abcdef", "s3cret"
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 100000, 64)
    stored = f"@ByteArray({base64.b64encode(salt).decode()}:{base64.b64encode(key).decode()})"
    assert app_reads_downloaders.matches(stored, password)
    assert not app_reads_downloaders.matches(stored, "other")
    assert not app_reads_downloaders.matches("@ByteArray(nonsense)", password)


def test_transmission():
    reading = app_reading.Reading()
    common = {"error": 0, "leftUntilDone": 100, "addedDate": NOW - 9, "metadataPercentComplete": 1}
    torrents = [
        {**common, "status": 4, "rateDownload": 700, "isStalled": False},
        {**common, "status": 4, "rateDownload": 0, "isStalled": True},
        {**common, "status": 4, "rateDownload": 0, "isStalled": False},
        {**common, "status": 4, "rateDownload": 0, "isStalled": False, "addedDate": NOW - 3600},
        {**common, "status": 0, "rateDownload": 0, "isStalled": True},
        {**common, "status": 0, "rateDownload": 0, "error": 3},
        {**common, "status": 6, "leftUntilDone": 0, "rateDownload": 0, "isStalled": True},
    ]
    app_reads_downloaders.judge_transmission(torrents, NOW, reading)
    assert reading.queue == {"active": 1, "speed_bytes": 700, "stalled": 2, "total": 6, "failed": 1}
    assert sentences(reading) == ["2 of 6 unfinished torrents stalled", "1 torrent has failed"]


def usenet(speed="0.00", left="0.00", paused=False, *statuses):
    slots = [{"status": status, "filename": "A.Private.Title"} for status in statuses]
    total = {"noofslots_total": len(slots), "noofslots": len(slots)}
    return {**total, "kbpersec": speed, "mbleft": left, "paused": paused, "slots": slots}


JOBS = ("Downloading", "Queued", "Paused")
STILL = usenet("0.00", "0.48", False, *JOBS)


@pytest.mark.parametrize(
    ("queue_given", "later", "expected", "problems", "hints"),
    [
        (usenet(), None, (0, 0, 0, 0), [], []),
        (usenet("10.5", "1.00", False, *JOBS), None, (2, 10752, 0, 3), [], []),
        (STILL, STILL, (0, 0, 2, 3), ["2 jobs stalled: nothing comes in"], []),
        (STILL, usenet("0.00", "0.40", False, *JOBS), (2, 0, 0, 3), [], []),
        (STILL, usenet("99.00", "0.48", False, *JOBS), (2, 101376, 0, 3), [], []),
        (STILL, usenet(), (0, 0, 0, 0), [], []),
        (usenet("0.00", "0.48", True, *JOBS), None, (0, 0, 0, 3), [], ["paused with 3 jobs in the queue"]),
        (usenet("rubbish", None, False, "Paused"), None, (0, 0, 0, 1), [], []),
    ],
)
def test_sabnzbd(queue_given, later, expected, problems, hints):
    reading = app_reading.Reading()
    app_reads_downloaders.judge_sabnzbd(queue_given, later, reading)
    assert tuple(reading.queue[key] for key in ("active", "speed_bytes", "stalled", "total")) == expected
    assert (sentences(reading), reading.hints) == (problems, hints)


def test_a_job_that_fetches_more_of_its_parity_can_stall_too():
    reading = app_reading.Reading()
    queue_given = usenet("0.00", "0.48", False, "Fetching")
    app_reads_downloaders.judge_sabnzbd(queue_given, queue_given, reading)
    assert sentences(reading) == ["1 job stalled: nothing comes in"]


@pytest.mark.parametrize(("warnings", "hints"), [("0", []), ("2", ["2 warnings on its status page"]), (None, [])])
def test_what_sabnzbd_warns_of_is_said(warnings, hints):
    """They stay there until somebody clears them, whatever became of their cause: no fault."""
    reading = app_reading.Reading()
    app_reads_downloaders.judge_sabnzbd({**usenet(), "have_warnings": warnings}, None, reading)
    assert (reading.problems, reading.hints) == ([], hints)


# -- VPN


def vpn(has_address=True, **state):
    reading = app_reading.Reading()
    known = {
        "status": "running",
        "connected": False,
        "public_ip": "",
        "country": "",
        "forwarded_ports": [],
        "dns_status": "running",
    }
    app_reads_vpn.judge({**known, **state}, has_address, reading)
    return reading


def test_a_connected_vpn():
    reading = vpn(connected=True, public_ip="198.51.100.7", country="Netherlands", forwarded_ports=[5914])
    assert reading.problems == []
    assert reading.vpn["connected"] is True
    assert (reading.vpn["public_ip"], reading.vpn["forwarded_ports"]) == ("198.51.100.7", [5914])


@pytest.mark.parametrize(
    ("status", "row", "words"),
    [
        ("running", "UNHEALTHY", "running, but not connected"),
        ("stopped", "STOPPED", "run vpn_start"),
        ("crashed", "UNHEALTHY", "crashed, not connected"),
        (None, "UNHEALTHY", "in no known state, not connected"),
    ],
)
def test_a_vpn_that_is_not_connected_never_shows_an_address(status, row, words):
    reading = vpn(status=status, public_ip="203.0.113.9")
    assert [(found, settles) for found, _sentence, settles in reading.problems] == [(row, True)]
    assert words in sentences(reading)[0]
    assert reading.vpn["public_ip"] == ""
    assert reading.vpn["connected"] is False
    assert reading.vpn["message"]


def test_without_a_look_up_the_connection_cannot_be_told():
    reading = vpn(has_address=False)
    assert reading.problems == []
    assert reading.vpn["connected"] is None
    assert "PUBLICIP_ENABLED" in reading.vpn["message"]


# -- rows


def judged(status="HEALTHY", message="", outcome=OK, young=False, problems=(), hints=()):
    row = {"status": status, "message": message}
    reading = app_reading.Reading()
    for problem in problems:
        reading.problem(*problem)
    for hint in hints:
        reading.hint(hint)
    app_reading.judge(row, reading, outcome, young)
    return row["status"], row["message"]


DEAF = probes.Outcome(probes.FAILED, "http://x: timed out after 3 s")
REFUSED = probes.Outcome(probes.INCONCLUSIVE, "http://x: Sonarr refused the stack's key")


def test_what_the_probe_found_comes_first():
    assert judged("UNHEALTHY", "HTTP 503", DEAF, problems=[("a",)]) == ("UNHEALTHY", "HTTP 503")


def test_all_well_leaves_the_row():
    assert judged(message="runs another image") == ("HEALTHY", "runs another image")
    assert judged(hints=["not set up yet"]) == ("HEALTHY", "not set up yet")


def test_what_cannot_be_read_is_unknown_and_what_was_read_is_kept():
    assert judged(outcome=DEAF, problems=[("no indexer",)]) == (
        "UNKNOWN",
        "http://x: timed out after 3 s; no indexer",
    )
    assert judged(outcome=REFUSED, young=True)[0] == "UNKNOWN"
    assert judged(outcome=DEAF, young=True)[0] == "STARTING"


def test_what_settles_is_no_fault_of_a_young_container():
    stalled = ("2 stalled", "DEGRADED", True)
    assert judged(problems=[stalled])[0] == "DEGRADED"
    assert judged(problems=[stalled], young=True)[0] == "STARTING"
    assert judged(problems=[("missing root folder",)], young=True)[0] == "DEGRADED"


def test_the_worst_wins_and_the_rest_is_counted():
    problems = [(f"problem {number}",) for number in range(5)]
    status, message = judged(problems=[*problems, ("no VPN", "UNHEALTHY")], message="note")
    assert status == "UNHEALTHY"
    assert message == "no VPN; problem 0; problem 1; and 3 more; note"
