# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`rotate`, seen from outside: what opens an app before and after, which containers were touched, what a kill leaves.

qBittorrent and SABnzbd are the real ones, Sonarr and gluetun the lab's stand-ins; PostgreSQL, in the long form, is
real.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import urllib.error
import urllib.parse
import urllib.request

import pytest
import stack_harness as h

PROJECT = f"msrotate-{os.getpid()}"
PREFIX = f"{PROJECT}-"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer."""

    def redirect_request(self, *_words):
        return None


def ask(port, path, form=None, **headers):
    """(status, headers, text) of one request."""
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode(errors="replace")


class Place:
    """A converged stack and the ways into its apps."""

    def __init__(self, stack):
        self.stack = stack
        self.ports = stack.variables["mediastack_ports"]

    def stored(self):
        return json.loads((self.stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]

    def opens(self, name, value):
        """Whether a value of the secret opens its app: as a person or a program would find out."""
        web = self.ports
        if name == "sonarr_api_key":
            return ask(web["sonarr"], "/api/v3/system/status", X_Api_Key=value)[0] == 200
        if name == "sonarr_password":
            answer = ask(web["sonarr"], "/login", {"username": "admin", "password": value})
            return answer[0] == 302 and "loginFailed" not in answer[1]["Location"]
        if name == "qbittorrent_password":
            status, _headers, text = ask(
                web["qbittorrent"], "/api/v2/auth/login", {"username": "admin", "password": value}
            )
            return status in (200, 204) and text != "Fails."
        if name == "sabnzbd_api_key":
            query = urllib.parse.urlencode({"mode": "queue", "output": "json", "apikey": value})
            return '"queue"' in ask(web["sabnzbd"], f"/api?{query}")[2]
        if name == "sabnzbd_password":
            return ask(web["sabnzbd"], "/login/", {"username": "admin", "password": value})[0] in (302, 303)
        assert name == "gluetun_api_key"
        port = self.stack.variables["mediastack_vpn_control_port"]
        return ask(port, "/v1/publicip/ip", X_API_Key=value)[0] == 200

    def files(self):
        """Bytes of what a rotation of Sonarr's secrets changes; the real apps write their settings when they like."""
        found = [self.stack.base / "config" / "sonarr" / "config.xml", *(self.stack.project_path / "secrets").iterdir()]
        return {
            str(path): path.read_bytes() for path in [*found, self.stack.project_path / ".mediastack" / "secrets.json"]
        }

    def started(self):
        return {name: (c["Id"], c["State"]["StartedAt"]) for name, c in self.stack.containers().items()}

    def assert_as_before(self, secrets):
        """The old values are stored, and open everything again."""
        assert self.stored() == secrets
        assert not (self.stack.project_path / ".mediastack" / "rotation.json").exists()
        assert all(self.opens(name, secrets[name]) for name in ("sonarr_api_key", "sonarr_password"))
        mounted = self.stack.project_path / "secrets" / "unpackerr_sonarr_api_key"
        assert mounted.read_text() == secrets["sonarr_api_key"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    first = h.free_ports(10)
    made = h.Stack(
        tmp_path_factory.mktemp("rotate"),
        PROJECT,
        first,
        mediastack_container_prefix=PREFIX,
        mediastack_services={**h.SMALL, "unpackerr": True, "prowlarr": False},
        mediastack_pull="never",
    )
    made.set(mediastack_ports={**made.variables["mediastack_ports"], "unpackerr": {"metrics": first + 8}})
    made.remove()
    try:
        made.play("site")
        yield Place(made)
    finally:
        made.remove()


SOME = ("sonarr_api_key", "sonarr_password", "sabnzbd_api_key", "sabnzbd_password")


def test_check_mode_says_what_would_be_done_and_changes_nothing(place):
    files, started = place.files(), place.started()
    done = place.stack.play("rotate", "--check", "--diff", "-e", "secret=sonarr_api_key")
    assert "would rotate sonarr_api_key" in done.stdout and "unpackerr" in done.stdout
    assert place.files() == files and place.started() == started
    assert not any(value in done.stdout + done.stderr for value in place.stored().values())


def test_the_new_values_open_the_apps_the_old_ones_do_not_and_nobody_else_is_disturbed(place):
    old, started = place.stored(), place.started()
    assert all(place.opens(name, old[name]) for name in SOME)
    done = place.stack.play("rotate", "-e", f"secret={','.join(SOME)}")
    new = place.stored()
    assert {name for name in new if new[name] != old.get(name)} == set(SOME)
    for name in SOME:
        assert (place.opens(name, old[name]), place.opens(name, new[name])) == (False, True), name
    assert not any(value in done.stdout + done.stderr for value in [*old.values(), *new.values()])
    after = place.started()
    assert {name for name in after if after[name] != started[name]} == {"sonarr", "sabnzbd", "unpackerr"}
    # Whoever uses it has the new one, as a file of its own.
    path = place.stack.project_path / "secrets" / "unpackerr_sonarr_api_key"
    assert path.read_text() == new["sonarr_api_key"] and stat.S_IMODE(path.stat().st_mode) == 0o400
    assert not (place.stack.project_path / ".mediastack" / "rotation.json").exists()
    assert h.changed(place.stack.play("site")) == 0


@pytest.mark.long  # tests/unit/test_rotate_run.py has the shorter form, on files.
def test_a_rotation_that_does_not_keep_the_old_value_out_is_taken_back(place):
    """Sonarr takes its key from the variable that somebody set by an override, whatever config.xml says."""
    secrets = place.stored()
    stubborn = {"sonarr": {"environment": {"SONARR__AUTH__APIKEY": secrets["sonarr_api_key"]}}}
    place.stack.set(mediastack_overrides=stubborn)
    place.stack.play("site")
    done = place.stack.play("rotate", "-e", "secret=sonarr_api_key", check=False)
    said = " ".join(done.stdout.split())
    assert done.returncode == 2
    assert "the old sonarr_api_key still opens sonarr Everything is as it was before" in said
    place.assert_as_before(secrets)
    place.stack.set(mediastack_overrides={})
    place.stack.play("site")


def test_what_somebody_changed_in_the_app_is_not_touched(place):
    secrets, files = place.stored(), place.files()
    port, headers = place.ports["sonarr"], {"X_Api_Key": secrets["sonarr_api_key"]}
    host = json.loads(ask(port, "/api/v3/config/host", **headers)[2])
    host.update(password="their-own", passwordConfirmation="their-own")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v3/config/host/1",
        json.dumps(host).encode(),
        {"X-Api-Key": secrets["sonarr_api_key"], "Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=10).close()
    done = place.stack.play("rotate", "-e", "secret=sonarr_password", check=False)
    assert done.returncode == 2 and "somebody has changed it in the app" in " ".join(done.stdout.split())
    assert place.files() == files and place.opens("sonarr_password", "their-own")
    host.update(password=secrets["sonarr_password"], passwordConfirmation=secrets["sonarr_password"])
    request.data = json.dumps(host).encode()
    urllib.request.urlopen(request, timeout=10).close()


@pytest.mark.long  # The same.
def test_a_rotation_that_was_killed_is_taken_back_by_the_next_run(place):
    secrets = place.stored()
    journal = place.stack.project_path / ".mediastack" / "rotation.json"
    run = place.stack.start("rotate", "-e", "secret=sonarr_api_key,sonarr_password")
    path = place.stack.base / "config" / "sonarr" / "config.xml"
    h.wait_for(lambda: journal.exists() and secrets["sonarr_api_key"] not in path.read_text(), 60, "the new key")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    for number in h.processes_with(str(place.stack.directory / "xdg")):
        os.kill(number, signal.SIGKILL)
    run.communicate(timeout=60)
    done = place.stack.play("site")
    assert "was interrupted: it was taken back" in " ".join(done.stdout.split())
    place.assert_as_before(secrets)
    assert h.changed(place.stack.play("site")) == 0


@pytest.mark.long
def test_the_vpns_keys_and_the_torrent_client_behind_it(place):
    """gluetun is made to start again, and everything that lives in its network with it."""
    names = ("gluetun_api_key", "gluetun_control_key", "qbittorrent_password", "sabnzbd_nzb_key")
    old = place.stored()
    place.stack.play("rotate", "-e", f"secret={','.join(names)}")
    new = place.stored()
    assert {name for name in new if new[name] != old[name]} == set(names)
    for name in ("gluetun_api_key", "qbittorrent_password"):
        assert (place.opens(name, old[name]), place.opens(name, new[name])) == (False, True), name
    containers = place.stack.containers()
    assert {c["State"]["Health"]["Status"] for n, c in containers.items() if n != "unpackerr"} == {"healthy"}
    for name in ("qbittorrent", "sabnzbd"):
        assert containers[name]["HostConfig"]["NetworkMode"] == f"container:{containers['gluetun']['Id']}"
    assert h.changed(place.stack.play("site")) == 0


@pytest.fixture
def database(tmp_path):
    first = h.free_ports(20)
    made = h.Stack(
        tmp_path / "database",
        f"{PROJECT}-db",
        first,
        mediastack_container_prefix=f"{PREFIX}db-",
        mediastack_vpn_enabled=False,
        mediastack_profiles=["auth", "transmission", "deluge", "nzbget", "plex"],
        mediastack_services={**h.SMALL, "seerr": False, "plex": False, "sonarr": False, "prowlarr": False},
        mediastack_pull="never",
    )
    more = ("tautulli", "transmission", "deluge", "nzbget")
    ports = {**made.variables["mediastack_ports"], **{name: first + 8 + n for n, name in enumerate(more)}}
    ports["authentik-server"] = {"web": first + 14, "https": first + 15}
    ports["transmission"] = {"web": first + 9, "torrent": first + 16}
    ports["deluge"] = {"web": first + 10, "torrent": first + 17}
    ports["qbittorrent"] = {"web": first + 1, "torrent": first + 18}
    made.set(mediastack_ports=ports)
    made.remove()
    yield made
    made.remove()


@pytest.mark.long
def test_all_of_them_with_a_real_database_and_every_kind_of_login(database):
    database.play("site")
    place = Place(database)
    old = place.stored()
    done = database.play("rotate", "-e", "secret=all", check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    new = place.stored()
    stay = {"authentik_password", "authentik_token"}
    assert {name for name in new if new[name] == old[name]} == stay & set(new)
    postgresql = database.containers()["authentik-postgresql"]
    (network,) = postgresql["NetworkSettings"]["Networks"].values()
    for secrets, expected in ((old, 2), (new, 0)):
        script = (
            f"export PGPASSWORD; IFS= read -r PGPASSWORD; psql -h {network['IPAddress']} -U authentik -c 'SELECT 1'"
        )
        tried = h.subprocess.run(
            ["docker", "exec", "-i", postgresql["Id"], "sh", "-c", script],
            input=secrets["authentik_postgresql_password"] + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert tried.returncode == expected, tried.stderr
    for name, app, path in (
        ("nzbget", "nzbget", "/jsonrpc/version"),
        ("transmission", "transmission", "/transmission/rpc"),
    ):
        port = place.ports[app]["web"] if isinstance(place.ports[app], dict) else place.ports[app]
        codes = []
        for secrets in (old, new):
            pair = base64.b64encode(f"admin:{secrets[f'{name}_password']}".encode()).decode()
            codes.append(ask(port, path, Authorization=f"Basic {pair}")[0])
        assert codes[0] == 401 and codes[1] in (200, 409), (name, codes)
    assert h.changed(database.play("site")) == 0
