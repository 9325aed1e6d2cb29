# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a secret opens an app, asked of the lab's stand-ins, and how an app's own password is changed."""

from __future__ import annotations

import hashlib
import http.client
import time

import pytest
from test_lab_apps import Sim, core

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    app_login,
    rotate_change,
    rotate_database,
    rotate_doors,
)

OLD, NEW = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
CONFIG = "<Config><ApiKey>%s</ApiKey><AuthenticationMethod>Forms</AuthenticationMethod>%s</Config>"


def service(kind, login="preset", **wiring):
    return {
        "title": kind.capitalize(),
        "login": {"kind": login, "username": "admin", "password": f"{kind}_password"},
        "wiring": {"kind": kind, "api": "/api", **wiring},
        "ports": [],
    }


@pytest.fixture
def world(monkeypatch):
    """Make a stand-in answer what the Doors ask."""

    def made(sim, **services):
        def call(_place, method, path, headers, body):
            request = core.Request(method, path, headers, (body or "").encode(), "203.0.113.9")
            answer = sim.app.respond(request)
            found = {name.lower(): value for name, value in answer.headers}
            body = answer.body if isinstance(answer.body, str) else answer.body.decode()
            return rotate_doors.Reply(answer.status, found, body)

        monkeypatch.setattr(rotate_doors, "_call", call)
        monkeypatch.setattr(app_login, "address", lambda *_words: ("127.0.0.1", 1))
        return rotate_doors.Doors(services, [], time.monotonic() + 2)

    return made


def door(name, services):
    (found,) = rotate_doors.find(name, services)
    return found


@pytest.mark.parametrize("base", ["", "/sonarr"])
def test_sonarr_by_its_key_and_by_its_login(world, tmp_path, base):
    (tmp_path / "config.xml").write_text(CONFIG % (OLD, f"<UrlBase>{base}</UrlBase>"))
    sim = Sim("sonarr", tmp_path)
    services = {"sonarr": dict(service("servarr", "servarr", api=f"{base}/api/v3"))}
    services["sonarr"]["login"]["password"] = "sonarr_password"
    doors = world(sim, **services)
    key, password = door("sonarr_api_key", services), door("sonarr_password", services)
    assert (doors.opens(key, OLD), doors.opens(key, NEW)) == (True, False)
    assert doors.opens(password, OLD) is False
    values = {"sonarr_api_key": OLD}
    rotate_change.after(doors, [key, password], {"sonarr_api_key": NEW, "sonarr_password": NEW}, {}, values)
    assert (doors.opens(password, OLD), doors.opens(password, NEW)) == (False, True)


def test_a_url_base_that_somebody_set_in_the_app_is_followed(world, tmp_path):
    (tmp_path / "config.xml").write_text(CONFIG % (OLD, "<UrlBase>/tv</UrlBase>"))
    services = {"sonarr": service("servarr", "servarr", api="/api/v3")}
    doors = world(Sim("sonarr", tmp_path), **services)
    key = door("sonarr_api_key", services)
    assert (doors.opens(key, OLD), doors.opens(key, NEW)) == (True, False)


def test_bazarr(world, tmp_path):
    (tmp_path / "config").mkdir()
    sum_of = hashlib.md5(OLD.encode()).hexdigest()
    (tmp_path / "config" / "config.yaml").write_text(
        f"auth: {{apikey: '{OLD}', type: form, username: admin, password: '{sum_of}'}}\n"
    )
    services = {"bazarr": service("bazarr")}
    doors = world(Sim("bazarr", tmp_path), **services)
    for name in ("bazarr_api_key", "bazarr_password"):
        assert (doors.opens(door(name, services), OLD), doors.opens(door(name, services), NEW)) == (True, False)


def test_tautulli(world, tmp_path):
    (tmp_path / "config.ini").write_text(
        f"[General]\napi_key = {OLD}\nhttp_username = admin\nhttp_password = {OLD}\n"
        "http_hash_password = 1\nhttp_hashed_password = 0\n"
    )
    services = {"tautulli": service("tautulli")}
    doors = world(Sim("tautulli", tmp_path), **services)
    for name in ("tautulli_api_key", "tautulli_password"):
        assert (doors.opens(door(name, services), OLD), doors.opens(door(name, services), NEW)) == (True, False)


def test_nzbget(world, tmp_path):
    (tmp_path / "nzbget.conf").write_text(f"ControlUsername=admin\nControlPassword={OLD}\nControlPort=6789\n")
    services = {"nzbget": service("nzbget")}
    doors = world(Sim("nzbget", tmp_path), **services)
    password = door("nzbget_password", services)
    assert (doors.opens(password, OLD), doors.opens(password, NEW)) == (True, False)


def test_jellyfin_takes_a_new_password_from_its_user(world, tmp_path):
    directories = {f"JELLYFIN_{name}_DIR": str(tmp_path / name) for name in ("DATA", "CONFIG", "CACHE")}
    sim = Sim("jellyfin", tmp_path, **directories)
    sim.ask("GET", "/Startup/User")
    sim.ask("POST", "/Startup/User", {"Name": "admin", "Password": OLD})
    sim.ask("POST", "/Startup/Complete")
    services = {"jellyfin": service("jellyfin", "jellyfin")}
    doors = world(sim, **services)
    password = door("jellyfin_password", services)
    assert (doors.opens(password, OLD), doors.opens(password, NEW)) == (True, False)
    for _twice in range(2):
        rotate_change.after(doors, [password], {"jellyfin_password": NEW}, {"jellyfin_password": OLD}, {})
        assert (doors.opens(password, OLD), doors.opens(password, NEW)) == (False, True)


def test_an_app_that_does_not_answer_is_named_and_no_secret_is(monkeypatch):
    services = {"sonarr": service("servarr", "servarr")}
    monkeypatch.setattr(app_login, "address", lambda *_words: ("127.0.0.1", 1))
    doors = rotate_doors.Doors(services, [], time.monotonic())
    with pytest.raises(rotate_doors.DoorError, match="Servarr: GET /api: no answer") as caught:
        doors.opens(door("sonarr_api_key", services), OLD)
    assert OLD not in str(caught.value)


def test_a_value_that_cannot_be_sent_is_no_part_of_an_error(monkeypatch):
    class Connection(http.client.HTTPConnection):
        def connect(self):
            raise AssertionError("never asked")

    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    with pytest.raises(http.client.HTTPException, match="it cannot be sent"):
        rotate_doors._call(("127.0.0.1", 1), "GET", "/", {"X-Api-Key": "a\nb"}, None)


def test_a_database_is_given_what_it_would_store_itself():
    """The example of RFC 7677, as PostgreSQL writes it."""
    salt = bytes.fromhex("5b6d99689d12358eeca04b141236fa81")
    assert rotate_database.verifier("pencil", salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
