# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lab's stand-ins say and store, without a container."""

import base64
import hashlib
import importlib
import json
import pathlib
import sys
import urllib.parse

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from sim import core, faults, identity  # noqa: E402

KEY = "0123456789abcdef0123456789abcdef"


class Sim:
    """One stand-in on a directory of its own; ask() is an HTTP request."""

    def __init__(self, name, directory, args=(), **env):
        """Prepare it as its image would."""
        module = importlib.import_module(f"sim.apps.{name}")
        self.app = type("APP", (module.APP,), {"config_dir": str(directory)})(
            name, args, {"LAB_VERSION": "1.2.3", **env}
        )
        self.app.prepare()
        self.app.ready_at = 0

    def ask(self, method, target, body=None, client="203.0.113.9", **headers):
        """Return the answer; a dict body is JSON, a list of pairs a form."""
        data = json.dumps(body) if isinstance(body, dict) else urllib.parse.urlencode(body or [])
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.respond(core.Request(method, target, names, data.encode(), client))


def location(response):
    """Return where a redirection goes."""
    return dict(response.headers)["Location"]


# -- Sonarr and its kin ------------------------------------------------------------------------------------------------


@pytest.fixture
def sonarr(tmp_path):
    """Sonarr with a preset key and the forms login."""
    (tmp_path / "config.xml").write_text(
        f"<Config><ApiKey>{KEY}</ApiKey><AuthenticationMethod>Forms</AuthenticationMethod><Nonsense>1</Nonsense></Config>"
    )
    return Sim("sonarr", tmp_path)


def test_a_first_start_makes_a_key_of_32_hex_digits(tmp_path):
    """Without a config.xml the app writes one."""
    sim = Sim("radarr", tmp_path)
    text = (tmp_path / "config.xml").read_text()
    key = text.partition("<ApiKey>")[2].partition("<")[0]
    assert len(key) == 32
    int(key, 16)
    assert sim.ask("GET", "/api/v3/system/status", X_Api_Key=key).status == 200
    Sim("radarr", tmp_path)
    assert key in (tmp_path / "config.xml").read_text()


def test_a_preset_config_is_kept_and_unknown_elements_are_dropped(sonarr, tmp_path):
    """The key stays, the default port comes in, what Sonarr does not know goes."""
    text = (tmp_path / "config.xml").read_text()
    assert f"<ApiKey>{KEY}</ApiKey>" in text
    assert "<Port>8989</Port>" in text
    assert "Nonsense" not in text


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"X_Api_Key": "wrong"}, "", 401),
        ({"X_Api_Key": KEY}, "", 200),
        ({}, f"?apikey={KEY}", 200),
        ({"Authorization": f"Bearer {KEY}"}, "", 200),
    ],
)
def test_api_calls_need_the_key(sonarr, headers, query, status):
    """401 has no body; a reply carries the version header."""
    answer = sonarr.ask("GET", f"/api/v3/system/status{query}", **headers)
    assert answer.status == status
    if status == 401:
        assert answer.body == b""
    else:
        assert ("X-Application-Version", "1.2.3") in answer.headers


def test_ping_is_open_and_says_when_the_database_is_broken(sonarr, tmp_path):
    """200 {"status": "OK"}, indented; 500 {"status": "Error"}."""
    assert sonarr.ask("GET", "/ping").body == b'{\n  "status": "OK"\n}'
    (tmp_path / "sonarr.db").write_bytes(b"this is no database at all, whatever its name says")
    answer = sonarr.ask("GET", "/ping")
    assert (answer.status, json.loads(answer.body)) == (500, {"status": "Error"})


def test_while_it_starts_the_api_is_401_without_the_key_and_503_with_it(sonarr):
    """Authentication comes before the start-up answer."""
    sonarr.app.ready_at = float("inf")
    assert sonarr.ask("GET", "/ping").status == 503
    assert sonarr.ask("GET", "/api/v3/health").status == 401
    answer = sonarr.ask("GET", "/api/v3/health", X_Api_Key=KEY)
    assert (answer.status, json.loads(answer.body)["errorMessage"]) == (
        503,
        "Sonarr is starting up, please try again later",
    )


def test_environment_wins_and_enum_values_are_case_sensitive(tmp_path):
    """SONARR__AUTH__METHOD=forms is ignored without a word; the key is taken."""
    sim = Sim("sonarr", tmp_path, SONARR__AUTH__APIKEY=KEY, SONARR__AUTH__METHOD="forms")
    host = json.loads(sim.ask("GET", "/api/v3/config/host", X_Api_Key=KEY).body)
    assert host["authenticationMethod"] == "none"
    assert KEY not in (tmp_path / "config.xml").read_text()


def test_requests_outside_the_url_base_are_sent_there(tmp_path):
    """307, the health path too."""
    (tmp_path / "config.xml").write_text("<Config><UrlBase>/tv</UrlBase></Config>")
    sim = Sim("sonarr", tmp_path)
    assert location(sim.ask("GET", "/ping?x=1")) == "/tv/ping?x=1"
    assert sim.ask("GET", "/tv/ping").status == 200


def put_host(sim, **changes):
    """Read the host settings, change some, store them."""
    host = json.loads(sim.ask("GET", "/api/v3/config/host", X_Api_Key=KEY).body)
    return sim.ask("PUT", "/api/v3/config/host/1", {**host, **changes}, X_Api_Key=KEY)


def test_the_first_login_is_set_through_the_api_and_then_works(sonarr):
    """202; the user name is lowered, the password is stored as a hash, the form logs in."""
    answer = put_host(
        sonarr, username="Admin", password="s3cret", passwordConfirmation="s3cret", authenticationMethod="forms"
    )
    assert answer.status == 202
    stored = json.loads(answer.body)
    assert stored["username"] == "admin"
    assert stored["password"] not in ("", "s3cret")
    good = sonarr.ask("POST", "/login", [("username", "admin"), ("password", "s3cret")])
    assert (good.status, location(good)) == (302, "/")
    bad = sonarr.ask("POST", "/login", [("username", "admin"), ("password", "wrong")])
    assert "loginFailed=true" in location(bad)
    cookie = dict(good.headers)["Set-Cookie"].partition(";")[0]
    assert sonarr.ask("GET", "/", Cookie=cookie).status == 200
    assert location(sonarr.ask("GET", "/")).startswith("/login?")


def test_the_stored_hash_sent_back_leaves_the_password_alone(sonarr):
    """The way to change something else without knowing the password."""
    put_host(sonarr, username="admin", password="s3cret", passwordConfirmation="s3cret")
    assert put_host(sonarr, logLevel="info").status == 202
    assert "loginFailed" not in location(sonarr.ask("POST", "/login", [("username", "admin"), ("password", "s3cret")]))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"authenticationMethod": "forms", "username": "", "password": "x", "passwordConfirmation": "x"}, "Username"),
        ({"authenticationMethod": "forms", "username": "a", "password": ""}, "Password"),
        ({"username": "a", "password": "x", "passwordConfirmation": "y"}, "PasswordConfirmation"),
        ({"authenticationMethod": "nonsense"}, "AuthenticationMethod"),
        ({"instanceName": "Radarr"}, "InstanceName"),
        ({"authenticationMethod": "none", "branch": ""}, "Branch"),
    ],
)
def test_wrong_host_settings_are_refused_with_a_list(sonarr, changes, name):
    """400 and FluentValidation's shape; nothing is stored."""
    answer = put_host(sonarr, **changes)
    assert answer.status == 400
    assert name in [entry["propertyName"] for entry in json.loads(answer.body)]
    assert sonarr.app.user() == ("", "")


def test_basic_becomes_forms_where_the_app_has_dropped_it(tmp_path):
    """Radarr from 6; Sonarr keeps it."""
    for name, method in (("radarr", "Forms"), ("sonarr", "Basic")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.xml").write_text(
            "<Config><AuthenticationMethod>basic</AuthenticationMethod></Config>"
        )
        assert Sim(name, tmp_path / name).app.setting("AuthenticationMethod") == method


def test_disabled_for_local_addresses_opens_the_ui_to_the_bridge(sonarr):
    """Behind Docker's bridge every client looks local."""
    sonarr.app.xml["AuthenticationRequired"] = "DisabledForLocalAddresses"
    assert sonarr.ask("GET", "/", client="172.18.0.1").status == 200
    assert sonarr.ask("GET", "/", client="203.0.113.9").status == 302


# -- the others --------------------------------------------------------------------------------------------------------


def test_jellyfin_is_degraded_with_200_and_its_wizard_has_an_order(tmp_path):
    """The body decides; POST /Startup/User is 404 before GET; afterwards the wizard is closed and the login works."""
    dirs = {
        "JELLYFIN_DATA_DIR": str(tmp_path),
        "JELLYFIN_CONFIG_DIR": str(tmp_path / "c"),
        "JELLYFIN_CACHE_DIR": str(tmp_path / "k"),
    }
    sim = Sim("jellyfin", tmp_path, LAB_VERSION="12.1", **dirs)
    sim.app.ready_at = float("inf")
    assert (sim.ask("GET", "/health").status, sim.ask("GET", "/health").body) == (200, b"Degraded")
    assert sim.ask("GET", "/System/Ping").status == 503
    sim.app.ready_at = 0
    assert sim.ask("GET", "/health").body == b"Healthy"
    user = {"Name": "admin", "Password": "s3cret"}
    assert sim.ask("POST", "/Startup/User", user).status == 404
    assert sim.ask("GET", "/Startup/User").status == 200
    assert sim.ask("POST", "/Startup/User", {"Name": "admin", "Password": ""}).status == 400
    assert sim.ask("POST", "/Startup/User", user).status == 204
    assert sim.ask("POST", "/Startup/Complete").status == 204
    assert sim.ask("GET", "/Startup/User").status == 401
    assert json.loads(sim.ask("GET", "/System/Info/Public").body)["StartupWizardCompleted"] is True
    client = 'MediaBrowser Client="x", Device="x", DeviceId="x", Version="1"'
    assert (
        sim.ask("POST", "/Users/AuthenticateByName", {"Username": "admin", "Pw": "no"}, Authorization=client).status
        == 401
    )
    login = sim.ask("POST", "/Users/AuthenticateByName", {"Username": "admin", "Pw": "s3cret"}, Authorization=client)
    token = json.loads(login.body)["AccessToken"]
    assert sim.ask("GET", "/Auth/Keys", Authorization=f'MediaBrowser Token="{token}"').status == 200
    assert sim.ask("GET", "/Auth/Keys", X_Emby_Token=token).status == 401
    sim.app.version = "10.11.11"
    assert sim.ask("GET", "/Auth/Keys", X_Emby_Token=token).status == 200


def test_bazarr_keeps_its_key_from_strangers(tmp_path):
    """The page holds the key only after a login; the API needs it."""
    (tmp_path / "config").mkdir()
    md5 = hashlib.md5(b"s3cret").hexdigest()
    (tmp_path / "config" / "config.yaml").write_text(
        f'auth:\n  apikey: "{KEY}"\n  type: form\n  username: admin\n  password: "{md5}"\n'
    )
    sim = Sim("bazarr", tmp_path)
    assert json.loads(sim.ask("GET", "/api/system/ping").body) == {"status": "OK"}
    assert sim.ask("GET", "/api/system/status").status == 401
    assert sim.ask("GET", "/api/system/status", X_API_KEY=KEY).status == 200
    assert KEY.encode() not in sim.ask("GET", "/").body
    assert sim.ask("POST", "/api/system/account?action=login", [("username", "admin"), ("password", "x")]).status == 403
    good = sim.ask("POST", "/api/system/account?action=login", [("username", "admin"), ("password", "s3cret")])
    assert good.status == 204
    assert KEY.encode() in sim.ask("GET", "/", Cookie=dict(good.headers)["Set-Cookie"].partition(";")[0]).body


def test_bazarr_refuses_a_key_that_yaml_reads_as_a_number(tmp_path):
    """Why the preset stands in quotes."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("auth:\n  apikey: 12345678\n")
    with pytest.raises(SystemExit, match="auth.apikey"):
        Sim("bazarr", tmp_path)


def test_tautulli_hashes_its_preset_password_at_its_first_start(tmp_path):
    """And knows it afterwards; a second start changes nothing."""
    (tmp_path / "config.ini").write_text(
        "[General]\nhttp_username = admin\nhttp_password = s3cret\nhttp_hash_password = 1\nhttp_hashed_password = 0\n"
    )
    Sim("tautulli", tmp_path)
    text = (tmp_path / "config.ini").read_text()
    assert "s3cret" not in text
    sim = Sim("tautulli", tmp_path)
    assert (tmp_path / "config.ini").read_text() == text
    assert json.loads(sim.ask("GET", "/status").body) == {"result": "success", "message": "Ok"}
    assert sim.ask("GET", "/home").status == 303
    assert sim.ask("POST", "/auth/signin", [("username", "admin"), ("password", "s3cret")]).status == 200
    assert sim.ask("POST", "/auth/signin", [("username", "admin"), ("password", "x")]).status == 401


def test_homepage_answers_only_the_hosts_that_it_is_told(tmp_path):
    """400 for any other Host header of an API call."""
    sim = Sim("homepage", tmp_path, HOMEPAGE_ALLOWED_HOSTS="home.example.org,127.0.0.1:18030")
    assert sim.ask("GET", "/api/healthcheck", Host="127.0.0.1:18030").body == b"up"
    assert sim.ask("GET", "/api/healthcheck", Host="localhost:3000").body == b"up"
    assert sim.ask("GET", "/api/healthcheck", Host="evil.example.org").status == 400
    assert (tmp_path / "services.yaml").exists()


def test_seerr_answers_403_to_its_own_key_until_somebody_has_signed_in(tmp_path):
    """Public settings are open."""
    sim = Sim("seerr", tmp_path, API_KEY="k")
    assert json.loads(sim.ask("GET", "/api/v1/settings/public").body)["initialized"] is False
    assert sim.ask("GET", "/api/v1/settings/main", X_Api_Key="k").status == 403
    assert json.loads((tmp_path / "settings.json").read_text())["main"]["apiKey"] == "k"


def test_plex_shows_its_identity_and_little_else(tmp_path):
    """Unclaimed: only from itself; the identity survives a restart."""
    sim = Sim("plex", tmp_path)
    identity_page = sim.ask("GET", "/identity").body
    assert b'claimed="0"' in identity_page
    assert sim.ask("GET", "/library/sections").status == 401
    assert sim.ask("GET", "/library/sections", client="127.0.0.1").status == 200
    assert Sim("plex", tmp_path).ask("GET", "/identity").body == identity_page


def test_nzbget_asks_everybody_for_the_password_of_its_environment(tmp_path):
    """Which wins over nzbget.conf."""
    (tmp_path / "nzbget.conf").write_text("ControlUsername=old\nControlPassword=old\n")
    sim = Sim("nzbget", tmp_path, NZBGET_USER="admin", NZBGET_PASS="s3cret")
    assert sim.ask("GET", "/").status == 401
    assert sim.ask("GET", "/", Authorization="Basic " + base64.b64encode(b"old:old").decode()).status == 401
    assert sim.ask("GET", "/", Authorization="Basic " + base64.b64encode(b"admin:s3cret").decode()).status == 200


def test_tdarr_lists_nodes_that_report_and_wants_the_key_when_auth_is_on(tmp_path):
    """A node that is silent for 15 s is gone."""
    sim = Sim("tdarr", tmp_path, auth="true", seededApiKey="tapi_x")
    assert json.loads(sim.ask("GET", "/api/v2/status").body)["status"] == "good"
    assert sim.ask("GET", "/api/v2/get-nodes").status == 401
    sim.ask("POST", "/api/v2/lab-node", {"nodeName": "n1"}, x_api_key="tapi_x")
    assert "n1" in json.loads(sim.ask("GET", "/api/v2/get-nodes", x_api_key="tapi_x").body)
    sim.app.nodes["n1"]["seen"] -= 20
    assert json.loads(sim.ask("GET", "/api/v2/get-nodes", x_api_key="tapi_x").body) == {}


def test_unpackerr_reads_keys_from_files_and_stops_at_a_missing_one(tmp_path):
    """filepath: must be readable; metrics only when asked for."""
    (tmp_path / "key").write_text(KEY)
    env = {"UN_SONARR_0_URL": "http://sonarr:8989", "UN_SONARR_0_API_KEY": f"filepath:{tmp_path}/key"}
    assert Sim("unpackerr", tmp_path, **env).app.ports == ()
    assert Sim("unpackerr", tmp_path, UN_WEBSERVER_METRICS="true", **env).app.ports == (5656,)
    env["UN_SONARR_0_API_KEY"] = "filepath:/nonexistent"
    with pytest.raises(identity.StartError, match="UN_SONARR_0_API_KEY.*/nonexistent"):
        Sim("unpackerr", tmp_path, **env)


def test_authentik_refuses_to_start_without_its_secret_key():
    """And follows file:// to one."""
    module = importlib.import_module("sim.apps.authentik")
    with pytest.raises(identity.StartError, match="Secret key missing"):
        module.APP("authentik", ["server"], {}).check()
    with pytest.raises(identity.StartError, match="/nonexistent"):
        module.APP("authentik", ["server"], {"AUTHENTIK_SECRET_KEY": "file:///nonexistent"}).check()
    with pytest.raises(identity.StartError, match="unknown command"):
        module.APP("authentik", ["sever"], {}).check()


@pytest.mark.parametrize(
    ("method", "path", "env", "allowed"),
    [
        ("GET", "/v1.41/containers/json", {"CONTAINERS": "1"}, True),
        ("GET", "/containers/json", {}, False),
        ("GET", "/images/json", {"CONTAINERS": "1"}, False),
        ("POST", "/containers/x/start", {"CONTAINERS": "1"}, False),
        ("POST", "/containers/x/start", {"ALLOW_START": "1"}, True),
        ("POST", "/containers/create", {"CONTAINERS": "1", "POST": "1"}, True),
        ("GET", "/_ping", {}, True),
        ("GET", "/events?filters=x", {}, True),
        ("GET", "/version", {"VERSION": "0"}, False),
        ("GET", "/containersx", {"CONTAINERS": "1"}, False),
    ],
)
def test_the_socket_proxy_lets_through_what_is_switched_on(method, path, env, allowed):
    """Sections by path, writing only with POST or ALLOW_…."""
    module = importlib.import_module("sim.apps.docker_socket_proxy")
    assert module.APP("docker_socket_proxy", (), env).allowed(method, path) is allowed


# -- faults ------------------------------------------------------------------------------------------------------------


def test_faults_are_parsed_and_misspelt_ones_refused():
    """The closest name is named."""
    assert faults.parse("refuse=3 hang, status=503 body=a%20b") == {
        "refuse": 3.0,
        "hang": True,
        "status": 503,
        "body": "a b",
    }
    with pytest.raises(faults.FaultError, match="unhealthy"):
        faults.parse("unhelthy")
    with pytest.raises(faults.FaultError, match="seconds"):
        faults.parse("crash=soon")


def test_a_file_turns_faults_on_and_off_while_the_app_runs(sonarr, tmp_path):
    """The app's own unhealthy answer, any status, any body; gone with the file, or after `for` seconds."""
    knob = tmp_path / "lab-faults"
    knob.write_text("unhealthy")
    assert json.loads(sonarr.ask("GET", "/ping").body) == {"status": "Error"}
    knob.write_text("status=418")
    assert sonarr.ask("GET", "/ping").status == 418
    knob.write_text("body=Degraded")
    assert sonarr.ask("GET", "/ping").body == b"Degraded"
    knob.write_text("write_error")
    assert sonarr.ask("GET", "/ping").status == 200
    assert sonarr.ask("POST", "/login").status == 500
    knob.write_text("status=418 for=0")
    assert sonarr.ask("GET", "/ping").status == 200
    knob.unlink()
    assert sonarr.ask("GET", "/ping").status == 200
