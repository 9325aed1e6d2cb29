# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deluge as `status` reads it: answers as the real one gave them (tests/fixtures/downloaders)."""

import contextlib
import json
import time

import pytest
from app_world import RECORDED_PASSWORD, World, core, given, recorded, value

DELUGE = {"kind": "deluge", "api": "/json", "username": "", "password": "deluge_password"}
LOCAL = ["558316ce2ab048b987d8b22807a4e7af", "127.0.0.1", 58846, "localclient"]


@pytest.fixture
def world(tmp_path):
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


class Deluge:
    """The web UI's /json: its sessions, and a daemon that it is connected to or not."""

    def __init__(self, connected=True, host="Online", note="torrents of every kind", hosts=(LOCAL,)):
        self.connected, self.host, self.hosts = connected, host, list(hosts)
        self.results = {
            "core.get_torrents_status": value("deluge", note, "core.get_torrents_status"),
            "core.get_session_status": value("deluge", "session while downloading"),
            "core.get_listen_port": 58946,
        }
        self.calls, self.open_sessions = [], 0

    def __call__(self, request):
        assert request.headers.get("Content-Type") == "application/json"
        call = request.json()
        method, params = call["method"], call["params"]
        self.calls.append(method)
        if method == "auth.login":
            return self.login(params)
        if request.cookie("_session_id") != "abc4711":
            return recorded("deluge", "without a session")
        if method == "auth.delete_session":
            self.open_sessions -= 1
        if method == "web.connect":
            self.connected = self.host == "Online"
        own = {
            "auth.delete_session": True,
            "web.connected": self.connected,
            "web.get_hosts": self.hosts,
            "web.get_host_status": [params[0] if params else "", self.host, ""],
            "web.connect": ["core.get_torrents_status"] if self.connected else None,
        }
        if method in own:
            return self.answer(own[method])
        return self.answer(self.results[method]) if self.connected else recorded("deluge", "asked while not connected")

    def login(self, params):
        if params != [RECORDED_PASSWORD]:
            return recorded("deluge", "a wrong password")
        self.open_sessions += 1
        session = [("Set-Cookie", "_session_id=abc4711; Expires=Mon, 23 Nov 2026 01:32:20 GMT; Path=/")]
        return core.Response(200, json.dumps({"result": True, "error": None, "id": 1}), core.JSON, session)

    @staticmethod
    def answer(result):
        return core.json_response({"result": result, "error": None, "id": 1})


def test_deluge(world, monkeypatch):
    app = Deluge()
    given(world, DELUGE, app)
    # One that nobody has and a magnet link that nobody knows have waited for long; a paused one does not count.
    added = next(iter(app.results["core.get_torrents_status"].values()))["time_added"]
    monkeypatch.setattr(time, "time", lambda: added + 301)
    rows, apps = world.look()
    assert rows["deluge"] == ("DEGRADED", "2 of 5 unfinished torrents stalled; 1 torrent has failed")
    assert apps.queues["deluge"] == {"active": 1, "speed_bytes": 9948728, "stalled": 2, "total": 5, "failed": 1}
    assert app.open_sessions == 0
    # They may still find somebody.
    monkeypatch.setattr(time, "time", lambda: added + 20)
    assert world.look()[1].queues["deluge"]["stalled"] == 0


def test_an_idle_deluge_is_well(world):
    given(world, DELUGE, Deluge(note="no torrents"))
    rows, apps = world.look()
    assert rows["deluge"] == ("HEALTHY", "")
    assert apps.queues["deluge"]["total"] == 0


def test_deluge_that_has_not_loaded_a_byte_for_long_is_stalled_and_one_that_has_is_not(world, monkeypatch):
    app = Deluge()
    given(world, DELUGE, app)
    (torrent,) = [
        entry
        for entry in app.results["core.get_torrents_status"].values()
        if entry["state"] == "Downloading" and entry["time_since_download"] >= 0
    ]
    app.results["core.get_torrents_status"] = {"1": torrent}
    monkeypatch.setattr(time, "time", lambda: torrent["time_added"] + 9999)
    torrent.update(download_payload_rate=0, time_since_download=2)
    assert world.look()[1].queues["deluge"]["stalled"] == 0
    torrent.update(time_since_download=301)
    assert world.look()[1].queues["deluge"]["stalled"] == 1


def test_a_deluge_whose_password_is_another_is_not_known(world):
    app = Deluge()
    given(world, DELUGE, app, "another")
    rows, apps = world.look()
    assert rows["deluge"][0] == "UNKNOWN"
    assert "Deluge refused the stack's password" in rows["deluge"][1]
    assert "mediastack_secrets: {deluge_password: …}" in rows["deluge"][1]
    assert list(apps.queues["deluge"]) == ["error"]
    assert app.calls == ["auth.login"]
    assert "another" not in rows["deluge"][1]


def test_a_web_ui_that_nobody_connected_yet_is_connected(world):
    """As it is after every start: `default_daemon` is empty until somebody chooses one."""
    app = Deluge(connected=False, note="no torrents")
    given(world, DELUGE, app)
    assert world.look()[0]["deluge"] == ("HEALTHY", "")
    assert "web.connect" in app.calls
    assert app.open_sessions == 0


@pytest.mark.parametrize(("young", "status"), [(False, "UNHEALTHY"), (True, "STARTING")])
def test_a_web_ui_without_its_daemon_is_not_well(world, young, status):
    assert value("deluge", "the daemon is not up yet")[1] == "Offline"
    app = Deluge(connected=False, host="Offline")
    given(world, DELUGE, app)
    found, message = world.look(young=young)[0]["deluge"]
    assert (found, message) == (
        status,
        "its daemon does not answer its web UI, so nothing is downloaded; docker logs deluge",
    )
    assert app.open_sessions == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda app: app.hosts.clear(), "its web UI knows no daemon"),
        (lambda app: app.results.update({"core.get_torrents_status": []}), "has another shape than known"),
        (lambda app: app.results.update({"core.get_torrents_status": {"1": {}}}), "has another shape than known"),
        (lambda app: app.results.update({"core.get_session_status": None}), "has another shape than known"),
        (lambda app: app.results.update({"core.get_listen_port": None}), "has another shape than known"),
    ],
)
def test_a_deluge_that_answers_otherwise_is_not_known(world, change, words):
    app = Deluge(connected=False)
    change(app)
    given(world, DELUGE, app)
    status, message = world.look()[0]["deluge"]
    assert status == "UNKNOWN"
    assert words in message
    assert app.open_sessions == 0


def test_what_deluge_complains_of_is_not_repeated(world):
    def respond(request):
        if request.json()["method"] == "core.get_torrents_status":
            text = {"result": None, "error": {"message": "KeyError: A.Private.Title", "code": 4}, "id": 1}
            return core.json_response(text)
        return app(request)

    app = Deluge()
    given(world, DELUGE, respond)
    status, message = world.look()[0]["deluge"]
    assert (status, "Private" in message) == ("UNKNOWN", False)
    assert message.endswith("error 4 to core.get_torrents_status")


def test_deluge_that_cannot_listen(world):
    """Bound to an interface that went away, as a tunnel does: the daemon runs, and nobody is reached."""
    app = Deluge(note="no torrents")
    app.results["core.get_listen_port"] = value("deluge", "the interface to listen on is not there")
    given(world, DELUGE, app)
    assert world.look()[0]["deluge"] == ("DEGRADED", "it listens on no port: restart -e service=deluge")
