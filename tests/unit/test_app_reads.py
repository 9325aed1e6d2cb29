# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading apps over HTTP, in a sweep: the lab's stand-ins where there are some, else answers as recorded."""

import contextlib
import json
import pathlib
import urllib.parse

import pytest
from app_world import KEY, World, core, plain
from sim.apps import bazarr, prowlarr, sonarr

from ansible_collections.homelab.mediastack.plugins.module_utils import app_reads
from ansible_collections.homelab.mediastack.plugins.plugin_utils import app_access

PASSWORD = "a-pass-word"


@pytest.fixture
def world(tmp_path):
    with contextlib.ExitStack() as stack:
        yield World(tmp_path, stack)


def fault(app, text):
    pathlib.Path(app.faults.files[0]).write_text(text)


def test_the_controller_names_the_kinds_that_can_be_read():
    assert sorted(app_access.KINDS) == sorted(app_reads.KINDS)


# -- Sonarr and its kin


def test_a_fresh_sonarr_is_well_and_says_what_is_missing(world):
    world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    rows, _apps = world.look()
    assert rows["sonarr"] == ("HEALTHY", "not set up yet: no download client, no indexer")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("health=ProxyCheck:error:Failed%20to%20resolve", "DEGRADED", "Failed to resolve; not set up yet"),
        ("queue_warnings=2", "DEGRADED", "its queue: 2 downloads in need of attention (2 importPending)"),
        ("no_root_folder=/data/media/tv", "DEGRADED", "Missing root folder: /data/media/tv"),
        (
            "other_key",
            "UNKNOWN",
            "Sonarr refused the stack's key sonarr_api_key: run site, which sets it, or give the key that it has in ",
        ),
        ("status=503", "UNKNOWN", "HTTP 503 to GET /api/v3/health"),
        ("body=%3Chtml%3E", "UNKNOWN", "GET /api/v3/health was not answered with JSON"),
        ("body=%7B%7D", "UNKNOWN", "GET /health has another shape than known"),
        ("drop", "UNKNOWN", "the answer to GET /api/v3/health broke off"),
    ],
)
def test_what_is_wrong_with_sonarr(world, words, status, message):
    app = world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    fault(app, words)
    rows, _apps = world.look()
    assert rows["sonarr"][0] == status
    assert message in rows["sonarr"][1]
    assert "Private" not in rows["sonarr"][1]
    assert KEY not in json.dumps(rows)


def test_one_that_hangs_costs_the_timeout_and_the_others_nothing(world):
    hung = world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    world.stand_in(prowlarr, "prowlarr", kind="prowlarr", api="/api/v1")
    fault(hung, "hang_api")
    rows, _apps = world.look(timeout=1)
    fault(hung, "")
    assert rows["sonarr"][0] == "UNKNOWN"
    assert rows["sonarr"][1].endswith("timed out after 1 s while waiting for the answer to GET /api/v3/health")
    assert rows["prowlarr"][0] == "HEALTHY"


def test_below_a_url_base(world):
    app = world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    app.xml["UrlBase"] = "/tv"
    assert world.look()[0]["sonarr"][0] == "HEALTHY"


def test_an_app_that_starts_is_starting(world):
    app = world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    app.ready_at = float("inf")
    assert world.look(young=True)[0]["sonarr"][0] == "STARTING"
    assert world.look()[0]["sonarr"][0] == "UNKNOWN"


def test_what_the_probe_said_stays(world):
    app = world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    fault(app, "other_key")
    assert world.look(status="UNHEALTHY")[0]["sonarr"] == ("UNHEALTHY", "")


def test_the_key_may_stand_in_the_store_or_in_the_apps_own_file(world):
    app = world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    state = world.directory / "project" / ".mediastack"
    state.mkdir(parents=True)
    (state / "secrets.json").write_text(json.dumps({"secrets": {"sonarr_api_key": KEY}}))
    world.secrets = {}
    assert world.look()[0]["sonarr"][0] == "HEALTHY"
    (state / "secrets.json").unlink()
    place = {"path": f"{app.config_dir}/config.xml", "format": "xml", "key": ["Config", "ApiKey"]}
    world.secrets = {"sonarr_api_key": {"value": None, "adopt": [place]}}
    assert world.look()[0]["sonarr"][0] == "HEALTHY"
    world.secrets = {}
    rows, _apps = world.look()
    assert rows["sonarr"][0] == "UNKNOWN"
    assert rows["sonarr"][1].endswith("the stack has no sonarr_api_key on this host: run site")
    (state / "secrets.json").write_text("{")
    rows, _apps = world.look()
    assert "the stack's keys cannot be read" in rows["sonarr"][1]
    assert not (state / "run.lock").exists()


@pytest.mark.parametrize("key", ["abc\r\nX-Evil: 1", "Evil\udc80", "Evil 日本"])
def test_a_key_that_cannot_be_sent_is_not_shown(world, key):
    world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    world.listen("gluetun", Gluetun(), **GLUETUN)
    world.listen("qbittorrent", QBittorrent(), **QBITTORRENT)
    world.secrets = dict.fromkeys(("sonarr_api_key", "gluetun_api_key", "qbittorrent_password"), {"value": key})
    rows, _apps = world.look()
    assert {status for status, _message in rows.values()} == {"UNKNOWN"}
    assert "Evil" not in json.dumps(rows)


def test_an_indexer_that_fails_is_named(world):
    app = world.stand_in(prowlarr, "prowlarr", kind="prowlarr", api="/api/v1")
    fault(app, "failing_indexer=Foo")
    assert world.look()[0]["prowlarr"] == ("DEGRADED", "Indexers unavailable due to failures: Foo")


def test_bazarr(world):
    app = world.stand_in(bazarr, "bazarr", kind="bazarr", api="/api")
    assert world.look()[0]["bazarr"] == ("HEALTHY", "")
    fault(app, "throttled_providers=1 health=x:y:no%20such%20path")
    assert world.look()[0]["bazarr"] == (
        "DEGRADED",
        "/data/media: no such path; 1 subtitle provider is paused after failures",
    )
    fault(app, "other_key ")
    assert world.look()[0]["bazarr"][0] == "UNKNOWN"
    fault(app, "")
    app.settings["general"]["use_sonarr"] = True
    assert world.look()[0]["bazarr"] == ("DEGRADED", "it is not connected to Sonarr")


# -- download clients


class QBittorrent:
    """Answers as recorded from 4.5.2 and 5.1.0; `modern`: as 5.2 answers a login."""

    def __init__(self, modern=False, bypass=False, banned=False):
        self.modern, self.bypass, self.banned = modern, bypass, banned
        self.attempts = 0

    def __call__(self, request):
        cookie = "QBT_SID_8080" if self.modern else "SID"
        if request.path == "/api/v2/auth/login":
            self.attempts += 1
            return self.login(request.form(), cookie)
        if not self.bypass and request.cookie(cookie) != "abc":
            return plain("Forbidden", 403)
        if request.path == "/api/v2/transfer/info":
            return core.json_response({"connection_status": "firewalled", "dl_info_speed": 42})
        if request.path == "/api/v2/torrents/info":
            found = [{"hash": "1", "name": "A.Private.Title", "state": "stalledDL", "added_on": 1}]
            return core.json_response(found if request.query["filter"] == "downloading" else [])
        return plain("")

    def login(self, form, cookie):
        if self.banned:
            return plain("Your IP address has been banned after too many failed authentication attempts.", 403)
        if form != {"username": "admin", "password": PASSWORD}:
            return plain("Unauthorized", 401) if self.modern else plain("Fails.")
        session = [("Set-Cookie", f"{cookie}=abc; HttpOnly; path=/; SameSite=Strict")]
        return core.Response(204, b"", None, session) if self.modern else plain("Ok.", headers=session)


QBITTORRENT = {"kind": "qbittorrent", "api": "/api/v2", "username": "admin", "password": "qbittorrent_password"}


@pytest.mark.parametrize("modern", [False, True])
def test_qbittorrent_of_both_eras(world, modern):
    world.listen("qbittorrent", QBittorrent(modern), **QBITTORRENT)
    world.secrets["qbittorrent_password"] = {"value": PASSWORD}
    rows, apps = world.look()
    assert rows["qbittorrent"] == ("DEGRADED", "1 of 1 unfinished torrent stalled")
    assert apps.queues["qbittorrent"] == {"active": 0, "speed_bytes": 42, "stalled": 1, "total": 1, "failed": 0}
    assert world.log[-1] == ("POST", "/api/v2/auth/logout")
    assert "Private" not in json.dumps([rows, apps.queues])
    assert world.look(young=True)[0]["qbittorrent"][0] == "STARTING"


@pytest.mark.parametrize("modern", [False, True])
def test_a_password_that_qbittorrent_refuses(world, modern):
    world.listen("qbittorrent", QBittorrent(modern), **QBITTORRENT)
    world.secrets["qbittorrent_password"] = {"value": "another"}
    rows, apps = world.look()
    assert rows["qbittorrent"][0] == "UNKNOWN"
    assert "refused the stack's password" in rows["qbittorrent"][1]
    assert "mediastack_secrets: {qbittorrent_password: …}" in rows["qbittorrent"][1]
    assert list(apps.queues["qbittorrent"]) == ["error"]
    assert "another" not in rows["qbittorrent"][1]


def test_a_ban_says_so(world):
    world.listen("qbittorrent", QBittorrent(banned=True), **QBITTORRENT)
    world.secrets["qbittorrent_password"] = {"value": PASSWORD}
    assert "too many wrong passwords" in world.look()[0]["qbittorrent"][1]


@pytest.mark.parametrize(("bypass", "status"), [(False, "UNKNOWN"), (True, "DEGRADED")])
def test_a_password_that_is_known_to_be_wrong_is_not_tried(world, bypass, status):
    """Five wrong ones would lock this host's address out."""
    app = QBittorrent(bypass=bypass)
    (world.directory / "qBittorrent").mkdir()
    (world.directory / "qBittorrent" / "qBittorrent.conf").write_text(
        '[Preferences]\nWebUI\\Username=admin\nWebUI\\Password_PBKDF2="@ByteArray(MDEyMw==:MDEyMw==)"\n'
    )
    world.listen("qbittorrent", app, config_dir=str(world.directory), **QBITTORRENT)
    world.secrets["qbittorrent_password"] = {"value": PASSWORD}
    assert world.look()[0]["qbittorrent"][0] == status
    assert app.attempts == 0


def test_sabnzbd(world):
    def respond(request):
        assert request.raw_query == ""
        if request.form().get("apikey") != KEY:
            return plain("API Key Incorrect", 403)
        return core.json_response({"queue": queue})

    queue = {"noofslots_total": 0, "kbpersec": "0.00", "mbleft": "0.00", "paused": False, "slots": [], "status": "Idle"}
    world.listen("sabnzbd", respond, kind="sabnzbd", api="/api", key="sabnzbd_api_key")
    world.secrets["sabnzbd_api_key"] = {"value": KEY}
    rows, apps = world.look()
    assert rows["sabnzbd"] == ("HEALTHY", "")
    assert apps.queues["sabnzbd"] == {"active": 0, "speed_bytes": 0, "stalled": 0, "total": 0, "paused": False}
    queue.update(slots=[{"status": "Downloading", "filename": "A.Private.Title"}], noofslots_total=1, mbleft="0.48")
    assert world.look()[0]["sabnzbd"] == ("DEGRADED", "1 job stalled: nothing comes in")
    world.secrets["sabnzbd_api_key"] = {"value": "another"}
    rows, _apps = world.look()
    assert rows["sabnzbd"][0] == "UNKNOWN"
    assert "refused the stack's key sabnzbd_api_key" in rows["sabnzbd"][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Access denied - Hostname verification failed: https://sabnzbd.org/hostname-check", "host_whitelist"),
        ("External internet access denied - https://sabnzbd.org/access-denied", "local_ranges"),
    ],
)
def test_sabnzbd_that_does_not_know_the_address(world, text, words):
    world.listen("sabnzbd", lambda _request: plain(text, 403), kind="sabnzbd", api="/api", key="sabnzbd_api_key")
    world.secrets["sabnzbd_api_key"] = {"value": KEY}
    status, message = world.look()[0]["sabnzbd"]
    assert status == "UNKNOWN"
    assert words in message
    assert "refused the stack's key" not in message


@pytest.mark.parametrize("answer", ["{}", '{"slots": []}', '{"paused": false}', '{"paused": "False", "slots": []}'])
def test_a_sabnzbd_that_answers_otherwise_is_not_known(world, answer):
    world.listen("sabnzbd", lambda _request: plain('{"queue": %s}' % answer), kind="sabnzbd", key="sabnzbd_api_key")
    world.secrets["sabnzbd_api_key"] = {"value": KEY}
    assert world.look()[0]["sabnzbd"][0] == "UNKNOWN"


def test_transmission(world):
    def respond(request):
        if request.headers.get("Authorization") != "Basic YWRtaW46YS1wYXNzLXdvcmQ=":
            return plain("401: Unauthorized", 401)
        if request.headers.get("X-Transmission-Session-Id") != "abc":
            return plain("409: Conflict", 409, [("X-Transmission-Session-Id", "abc")])
        assert request.json()["method"] == "torrent-get"
        found = {"status": 4, "isStalled": True, "rateDownload": 0, "error": 0, "leftUntilDone": 9, "addedDate": 1}
        return core.json_response({"arguments": {"torrents": [found]}, "result": "success"})

    app = {"kind": "transmission", "api": "/transmission/rpc", "username": "admin", "password": "transmission_password"}
    world.listen("transmission", respond, **app)
    world.secrets["transmission_password"] = {"value": PASSWORD}
    rows, apps = world.look()
    assert rows["transmission"] == ("DEGRADED", "1 of 1 unfinished torrent stalled")
    assert apps.queues["transmission"]["stalled"] == 1
    world.secrets["transmission_password"] = {"value": "another"}
    assert "refused the stack's password" in world.look()[0]["transmission"][1]


# -- VPN


class Gluetun:
    """The routes of the stack's role."""

    def __init__(self, address="198.51.100.7", status="running"):
        self.address, self.status = address, status

    def __call__(self, request):
        if request.headers.get("X-API-Key") != KEY:
            return plain("Unauthorized\n", 401)
        bodies = {
            "/v1/vpn/status": {"status": self.status},
            "/v1/publicip/ip": {"public_ip": self.address, "country": "Netherlands"},
            "/v1/portforward": {"port": 5914, "ports": [5914]},
            "/v1/dns/status": {"status": "running"},
            "/v1/version": {"version": "v3.41.3", "commit": "x"},
        }
        body = bodies.get(request.path)
        return plain(json.dumps(body) + "\n") if body else plain("Unauthorized\n", 401)


GLUETUN = {"kind": "gluetun", "api": "/v1", "key": "gluetun_api_key", "config_dir": "/srv/config/gluetun"}


def test_the_vpn(world):
    app = Gluetun()
    world.listen("gluetun", app, **GLUETUN)
    world.secrets["gluetun_api_key"] = {"value": KEY}
    rows, apps = world.look()
    assert rows["gluetun"] == ("HEALTHY", "")
    assert (apps.vpn["connected"], apps.vpn["country"], apps.vpn["forwarded_ports"]) == (True, "Netherlands", [5914])
    app.address = ""
    rows, apps = world.look()
    assert rows["gluetun"][0] == "UNHEALTHY"
    assert "running, but not connected" in rows["gluetun"][1]
    assert apps.vpn["connected"] is False
    # Its own health check noticed as well: the row keeps its status and says why.
    rows, _apps = world.look(status="UNHEALTHY")
    assert "not connected" in rows["gluetun"][1]


def test_gluetun_that_refuses_the_key(world):
    world.listen("gluetun", Gluetun(), **GLUETUN)
    world.secrets["gluetun_api_key"] = {"value": "another"}
    rows, apps = world.look()
    assert rows["gluetun"][0] == "UNKNOWN"
    assert "refused the stack's key gluetun_api_key: delete /srv/config/gluetun/auth" in rows["gluetun"][1]
    assert apps.vpn["connected"] is None
    assert apps.vpn["message"]


def test_something_else_on_gluetuns_port(world):
    world.listen("gluetun", lambda _request: core.page("A router"), **GLUETUN)
    world.secrets["gluetun_api_key"] = {"value": KEY}
    status, message = world.look()[0]["gluetun"]
    assert status == "UNKNOWN"
    assert message.count("http://127.0.0.1") == 1, message


# -- what cannot be asked


def test_what_is_not_reachable_is_unknown(world):
    world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    world.services[0]["app"]["port"] = "web"
    assert world.look()[0]["sonarr"][0] == "UNKNOWN"


def test_what_does_not_run_or_has_no_reader_is_not_asked(world):
    world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    world.examined[0].container.status = "paused"
    world.listen("homepage", lambda _request: plain(""), kind="homepage")
    assert set(world.look()[0].values()) == {("HEALTHY", "")}
    assert world.log == []


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', "{"])
def test_secrets_of_another_shape_are_refused(text):
    with pytest.raises(ValueError, match="."):
        app_reads.specs_of(text)


def test_no_request_carries_a_key_in_its_address(world):
    seen = []
    world.stand_in(sonarr, "sonarr", kind="servarr", api="/api/v3")
    world.look()
    seen += [urllib.parse.unquote(path) for _method, path in world.log]
    assert seen
    assert not any(KEY in path for path in seen)
