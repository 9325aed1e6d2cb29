# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NZBGet and Transmission as `status` reads them: answers as the real programs gave them."""

import contextlib
import json
import time

import pytest
from app_world import RECORDED_PASSWORD, World, core, given, plain, recorded, value
from sim.apps import nzbget

BASIC = "Basic YWRtaW46czNjcmV0"  # admin:s3cret
DELUGE = {"kind": "deluge", "api": "/json", "username": "", "password": "deluge_password"}
NZBGET = {"kind": "nzbget", "api": "/jsonrpc", "username": "admin", "password": "nzbget_password"}
TRANSMISSION = {
    "kind": "transmission",
    "api": "/transmission/rpc",
    "username": "admin",
    "password": "transmission_password",
}


@pytest.fixture
def world(tmp_path):
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


# -- NZBGet


class NZBGet:
    """/jsonrpc in one recorded state."""

    def __init__(self, note, later=None):
        self.notes, self.calls = [note, later or note], []

    def __call__(self, request):
        if request.headers.get("Authorization") != BASIC:
            return recorded("nzbget", "a wrong password")
        method = request.json()["method"]
        self.calls.append(method)
        note = self.notes[self.calls.count(method) > 1]
        if method == "listgroups" and note in ("no news server, empty", "a news server, empty"):
            note = "nothing queued"
        return recorded("nzbget", note, method)


SILENT = "a news server that is silent"


@pytest.mark.parametrize(
    ("notes", "row", "queue"),
    [
        (["a news server, empty"], ("HEALTHY", ""), (0, 0, 0, 0, False)),
        (["no news server, empty"], ("HEALTHY", "not set up yet: no news server"), (0, 0, 0, 0, False)),
        (["downloading"], ("HEALTHY", ""), (1, 47012, 0, 2, False)),
        ([SILENT], ("DEGRADED", "2 jobs stalled: nothing comes in"), (0, 0, 2, 3, False)),
        ([SILENT, "downloading"], ("HEALTHY", ""), (1, 47012, 0, 2, False)),
        (
            ["a job and no news server"],
            ("DEGRADED", "1 job stalled: no news server is active"),
            (0, 0, 1, 1, False),
        ),
        (["paused"], ("HEALTHY", "paused with 3 jobs in the queue"), (0, 0, 0, 3, True)),
        (["the disk is full"], ("HEALTHY", "paused with 1 job in the queue"), (0, 48787, 0, 1, True)),
    ],
)
def test_nzbget(world, notes, row, queue):
    app = NZBGet(*notes)
    given(world, NZBGET, app)
    rows, apps = world.look()
    assert rows["nzbget"] == row
    found = apps.queues["nzbget"]
    assert tuple(found[key] for key in ("active", "speed_bytes", "stalled", "total", "paused")) == queue
    if notes[0] != SILENT and not row[1].endswith("is active"):
        assert app.calls == ["status", "listgroups"]


def changed(note, method, **fields):
    answer = json.loads(recorded("nzbget", note, method).body)
    for entry in answer["result"] if method == "listgroups" else [answer["result"]]:
        entry.update(fields)
    return core.json_response(answer)


def test_nzbget_whose_quota_is_reached(world):
    def respond(request):
        if request.json()["method"] == "status":
            return changed(SILENT, "status", QuotaReached=True, ServerStandBy=True)
        return recorded("nzbget", SILENT, "listgroups")

    given(world, NZBGET, respond)
    assert world.look()[0]["nzbget"] == ("DEGRADED", "2 jobs stalled: the quota of its settings is reached")


def test_a_job_of_nzbget_of_which_too_much_is_missing_has_failed(world):
    def respond(request):
        if request.json()["method"] == "listgroups":
            return changed("downloading", "listgroups", Health=700, CriticalHealth=900)
        return recorded("nzbget", "downloading", "status")

    given(world, NZBGET, respond)
    rows, apps = world.look()
    assert rows["nzbget"] == ("DEGRADED", "2 jobs have failed: too much of them is missing on the news servers")
    assert apps.queues["nzbget"]["failed"] == 2


def test_a_large_speed_of_nzbget_is_read_from_its_two_halves(world):
    def respond(request):
        if request.json()["method"] == "status":
            return changed("downloading", "status", DownloadRate=-1, DownloadRateLo=7, DownloadRateHi=1)
        return recorded("nzbget", "downloading", "listgroups")

    given(world, NZBGET, respond)
    assert world.look()[1].queues["nzbget"]["speed_bytes"] == 2**32 + 7


def test_nzbget_whose_password_is_another_is_not_known(world):
    app = NZBGet("downloading")
    given(world, NZBGET, app, "another")
    rows, apps = world.look()
    assert rows["nzbget"][0] == "UNKNOWN"
    assert "Nzbget refused the stack's password" in rows["nzbget"][1]
    assert rows["nzbget"][1].endswith("(HTTP 401)")
    assert list(apps.queues["nzbget"]) == ["error"]
    assert app.calls == []


@pytest.mark.parametrize(
    ("status", "groups"),
    [
        ("[]", "[]"),
        ("{}", "[]"),
        ('{"DownloadPaused": false}', "[]"),
        ('{"DownloadPaused": false, "NewsServers": [], "DownloadRate": 0}', "null"),
        ('{"DownloadPaused": false, "NewsServers": [], "DownloadRate": 0}', '[{"NZBName": "A.Private.Title"}]'),
    ],
)
def test_an_nzbget_that_answers_otherwise_is_not_known(world, status, groups):
    def respond(request):
        result = {"status": status, "listgroups": groups}[request.json()["method"]]
        return plain('{"version": "1.1", "id": 1, "result": %s}' % result)

    given(world, NZBGET, respond)
    found, message = world.look()[0]["nzbget"]
    assert found == "UNKNOWN"
    assert "has another shape than known" in message
    assert "Private" not in message


def test_an_nzbget_that_does_not_know_the_question_is_not_known(world):
    given(world, NZBGET, lambda _request: recorded("nzbget", "no_such"))
    assert world.look()[0]["nzbget"][0] == "UNKNOWN"


def test_the_stand_in_answers_as_the_real_nzbget(world):
    """No field that the real one lacks, and the reader finds what it needs."""
    app = world.stand_in(nzbget, "nzbget", **{**NZBGET, "username": "nzbget"})
    world.secrets["nzbget_password"] = {"value": "tegbzn6789"}
    assert world.look()[0]["nzbget"] == ("HEALTHY", "not set up yet: no news server")
    assert set(app.rpc("status")["result"]) <= set(value("nzbget", "no news server, empty"))
    assert app.rpc("no_such") == {"error": json.loads(recorded("nzbget", "no_such").body)["error"]}


# -- Transmission


class Transmission:
    """/transmission/rpc as recorded; the session id is that of the recording."""

    def __init__(self, note="torrents of every kind"):
        self.note = note
        self.conflict = recorded("transmission", "without a session id")
        self.session = dict(self.conflict.headers)["X-Transmission-Session-Id"]

    def __call__(self, request):
        if request.headers.get("Authorization") != BASIC:
            return recorded("transmission", "a wrong password")
        if request.headers.get("X-Transmission-Session-Id") != self.session:
            return self.conflict
        return recorded("transmission", self.note)


def test_transmission(world, monkeypatch):
    given(world, TRANSMISSION, Transmission())
    added = json.loads(recorded("transmission", "torrents of every kind").body)["arguments"]["torrents"][0]["addedDate"]
    monkeypatch.setattr(time, "time", lambda: added + 301)
    rows, apps = world.look()
    assert rows["transmission"] == ("DEGRADED", "3 of 5 unfinished torrents stalled")
    assert apps.queues["transmission"] == {"active": 1, "speed_bytes": 8192, "stalled": 3, "total": 5, "failed": 0}
    monkeypatch.setattr(time, "time", lambda: added + 20)
    assert world.look()[0]["transmission"] == ("HEALTHY", "")


def test_transmission_whose_password_is_another_is_not_known(world):
    given(world, TRANSMISSION, Transmission(), "another")
    status, message = world.look()[0]["transmission"]
    assert (status, message.endswith("(HTTP 401)")) == ("UNKNOWN", True)
    assert "refused the stack's password" in message


@pytest.mark.parametrize(
    "note", ["locked after wrong passwords, asked with the right one", "an address that is not in rpc-whitelist"]
)
def test_transmission_that_refuses_the_address_does_not_blame_the_password(world, note):
    given(world, TRANSMISSION, lambda _request: recorded("transmission", note))
    status, message = world.look()[0]["transmission"]
    assert status == "UNKNOWN"
    assert "password: give" not in message
    assert "rpc-whitelist" in message
    assert "too many wrong passwords" in message


@pytest.mark.parametrize("torrents", ['[{"leftUntilDone": 9}]', '["x"]', "{}"])
def test_torrents_of_another_shape_are_not_known(world, torrents):
    body = '{"arguments": {"torrents": %s}, "result": "success"}' % torrents
    given(world, TRANSMISSION, lambda _request: plain(body))
    status, message = world.look()[0]["transmission"]
    assert status == "UNKNOWN"
    assert "has another shape than known" in message


# -- all of them


def test_one_that_hangs_costs_its_timeout_at_most_and_the_others_nothing(world):
    """The look at a queue that stands still a second time included."""
    given(world, NZBGET, NZBGet(SILENT))
    hang = {}
    world.listen("transmission", Transmission("no torrents"), lambda: hang, **TRANSMISSION)
    world.secrets["transmission_password"] = {"value": RECORDED_PASSWORD}
    hang["hang"] = True
    began = time.monotonic()
    rows, apps = world.look(timeout=2)
    took = time.monotonic() - began
    hang.clear()
    assert took <= 2.5
    assert rows["transmission"][0] == "UNKNOWN"
    assert "timed out after 2 s" in rows["transmission"][1]
    assert rows["nzbget"][0] == "DEGRADED"
    assert list(apps.queues["transmission"]) == ["error"]


@pytest.mark.parametrize("app", [DELUGE, NZBGET, TRANSMISSION])
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda: plain("Bad Gateway", 502), "UNKNOWN"),
        (lambda: plain("<html>another app</html>"), "UNKNOWN"),
        (lambda: plain("not here", 404), "UNKNOWN"),
        (lambda: plain("null"), "UNKNOWN"),
        (lambda: plain("{}"), "UNKNOWN"),
    ],
)
def test_what_is_not_the_app_is_never_well(world, app, answer, status):
    given(world, app, lambda _request: answer())
    assert world.look()[0][app["kind"]][0] == status


@pytest.mark.parametrize("app", [DELUGE, NZBGET, TRANSMISSION])
def test_without_the_password_it_is_not_known(world, app):
    world.listen(app["kind"], lambda _request: plain("{}"), **app)
    status, message = world.look()[0][app["kind"]]
    assert status == "UNKNOWN"
    assert message.endswith(f"the stack has no {app['password']} on this host: run site")
    assert world.log == []
