# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single sign-on as people meet it: the real Traefik and PostgreSQL, an authority of the stack's own, and the lab's
authentik, which takes the blueprint and keeps the outpost's contract. What only the real one can show stands in
docs/single-sign-on.md.
"""

from __future__ import annotations

import json
import os
import pathlib
import stat

import pytest
from ingress_lab import MIRROR, fetch
from sso_lab import LOGIN, Browser
from stack_harness import Stack, changed, docker, free_ports, wait_for

PROJECT = f"mssso-{os.getpid()}"
DOMAIN = "home.mediastack.test"
FIRST = free_ports(20)
HTTP, HTTPS, PING = FIRST + 10, FIRST + 11, FIRST + 12
OFF = ("bazarr", "flaresolverr", "unpackerr", "radarr", "prowlarr", "qbittorrent", "sabnzbd")
USERS = {"alice": {"groups": ["admins"], "name": 'Alice: "A"'}, "bob": {"groups": ["users"]}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running stack with single sign-on, and what its first `site` said."""
    made = Stack(
        tmp_path_factory.mktemp("sso"),
        PROJECT,
        FIRST,
        mediastack_container_prefix=f"{PROJECT}-",
        mediastack_profiles=["proxy", "auth", "mirror"],
        mediastack_services=dict.fromkeys(OFF, False),
        mediastack_domain=DOMAIN,
        mediastack_vpn_enabled=False,
        # The image's own is asked every 30 seconds.
        mediastack_overrides={
            "authentik-server": {"healthcheck": {"test": ["CMD", "ak", "healthcheck"], "interval": "2s"}}
        },
        mediastack_sso_users=USERS,
        mediastack_sso_groups={"admins": ["all"], "users": ["services"]},
    )
    (made.directory / "services").mkdir()
    (made.directory / "services" / "mirror.yml.j2").write_text(MIRROR % (FIRST + 18))
    made.variables["mediastack_ports"].update(
        {
            "traefik": {"web": HTTP, "https": HTTPS, "ping": PING},
            "authentik-server": {"web": FIRST + 15, "https": FIRST + 16},
        }
    )
    made.write()
    try:
        made.first = made.play("site")
        made.authority = made.base / "config" / "traefik" / "ca.crt"
        wait_for(lambda: fetch(f"sonarr.{DOMAIN}", HTTPS, "/ping", made.authority).status == 200, 30, "Sonarr's route")
        yield made
    finally:
        made.remove()


def password(stack, user):
    store = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    return store["authentik_password" if user == "akadmin" else f"sso_user_{user}"]


@pytest.fixture
def stranger(stack):
    """A browser of nobody in particular."""
    return Browser(HTTPS, stack.authority)


@pytest.fixture(scope="module")
def alice(stack):
    """A browser in which Alice has logged in, on her way to Sonarr."""
    browser = Browser(HTTPS, stack.authority)
    page = browser.log_in(browser.open(f"sonarr.{DOMAIN}", "/?x=1"), "alice", password(stack, "alice"))
    # Its own login, behind the first one.
    assert page.host == f"sonarr.{DOMAIN}" and "returnUrl=%2F%3Fx%3D1" in page.url
    assert "<h1>Sonarr - Login</h1>" in page.body
    return browser


@pytest.mark.parametrize("path", ["/", "/initialize.json", "/api/../initialize.json", "/api/..%2finitialize.json"])
def test_who_has_not_logged_in_gets_the_login(stranger, path):
    page = stranger.open(f"sonarr.{DOMAIN}", path)
    assert (page.host, page.status) == (f"authentik.{DOMAIN}", 200) and LOGIN in page.url
    assert "authentik - Login" in page.body and "Sonarr" not in page.body


def test_who_has_logged_in_gets_every_app_without_being_asked_again(alice):
    assert json.loads(alice.open(f"mirror.{DOMAIN}", "/y").body)["path"] == "/y"
    assert "<h1>Sonarr - Login</h1>" in alice.open(f"sonarr.{DOMAIN}").body


def test_who_may_not_see_an_app_is_refused(stack, stranger):
    page = stranger.log_in(stranger.open(f"sonarr.{DOMAIN}"), "bob", password(stack, "bob"))
    assert (page.host, page.status) == (f"authentik.{DOMAIN}", 403) and "Request has been denied" in page.body
    assert '"headers"' in stranger.open(f"mirror.{DOMAIN}").body
    assert stranger.open(f"sonarr.{DOMAIN}").status == 403, "still"


def test_the_first_user_of_authentik_may_see_everything(stack, stranger):
    page = stranger.log_in(stranger.open(f"sonarr.{DOMAIN}"), "akadmin", password(stack, "akadmin"))
    assert page.host == f"sonarr.{DOMAIN}" and "<h1>Sonarr - Login</h1>" in page.body


def test_a_wrong_password_is_none(stack, stranger):
    page = stranger.open(f"sonarr.{DOMAIN}")
    with pytest.raises(AssertionError, match="Invalid password"):
        stranger.log_in(page, "alice", password(stack, "bob"))
    assert stranger.open(f"sonarr.{DOMAIN}").host == f"authentik.{DOMAIN}"


def test_apps_are_told_who_asks_by_authentik_alone(stack, stranger):
    forged = {"X-authentik-username": "akadmin", "X_authentik_groups": "authentik Admins", "X-Authentik-Jwt": "x"}
    forged["X-Forwarded-Host"] = f"jellyfin.{DOMAIN}"
    host = f"mirror.{DOMAIN}"
    assert stranger.open(host, "/", **forged).host == f"authentik.{DOMAIN}"
    told = json.loads(stranger.open(host, "/api/x", **forged).body)["headers"]
    assert not [name for name in told if name.lower().startswith("x-authentik")]
    stranger.log_in(stranger.open(host), "bob", password(stack, "bob"))
    told = json.loads(stranger.open(host, "/", **forged).body)["headers"]
    names = {name.lower(): value for name, value in told.items()}
    assert (names["x-authentik-username"], names["x-authentik-groups"]) == ("bob", "users")
    assert "x-authentik-jwt" not in names and "x_authentik_groups" not in names


def test_programs_with_a_key_go_past_it_and_without_one_no_further(stack):
    store = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    program = Browser(HTTPS, stack.authority)
    answer = program.ask(f"sonarr.{DOMAIN}", "/api/v3/system/status", **{"X-Api-Key": store["sonarr_api_key"]})
    assert answer.status == 200 and '"Sonarr"' in answer.body
    assert program.ask(f"sonarr.{DOMAIN}", "/api/v3/system/status").status == 401
    assert '"status": "OK"' in program.ask(f"sonarr.{DOMAIN}", "/ping").body


@pytest.mark.parametrize("path", ["/", "/api/v3/system/status", "/outpost.goauthentik.io/auth/traefik"])
def test_a_foreign_host_is_not_found(stack, path):
    for told in ("evil.example", f"127.0.0.1:{HTTPS}"):
        assert fetch(f"sonarr.{DOMAIN}", HTTPS, path, stack.authority, told=told).status == 404
    assert fetch(f"nothing.{DOMAIN}", HTTPS, path, stack.authority).status == 404


@pytest.mark.long
def test_while_authentik_is_down_nobody_gets_in_and_is_told_why(stack, alice):
    stack.play("stop", "-e", "service=authentik-server")
    # Who has a session too.
    page = wait_for(lambda: (p := alice.open(f"mirror.{DOMAIN}")).status in (502, 503) and p, 30, "the page")
    assert "<h1>authentik does not answer</h1>" in page.body and '"headers"' not in page.body
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert fetch(f"sonarr.{DOMAIN}", HTTPS, "/ping", stack.authority).status == 200
    stack.play("start", "-e", "service=authentik-server")
    page = wait_for(lambda: (p := alice.open(f"mirror.{DOMAIN}")).status == 200 and p, 60, "the login")
    # A session of the outpost outlives it in the real one's database; the lab's forgets.
    assert page.host == f"authentik.{DOMAIN}"


def test_the_second_site_changes_nothing(stack):
    before = {name: one["State"]["StartedAt"] for name, one in stack.containers().items()}
    assert changed(stack.play("site")) == 0
    assert before == {name: one["State"]["StartedAt"] for name, one in stack.containers().items()}


def test_no_password_is_readable_or_shown(stack):
    words = [password(stack, user) for user in USERS]
    assert len(set(words)) == 2 and all(len(word) >= 22 for word in words)
    told = stack.first.stdout + stack.first.stderr + json.dumps(stack.containers())
    assert not any(word in told for word in words)
    holders = set()
    for path in pathlib.Path(stack.base).rglob("*"):
        if path.is_file() and not path.is_symlink() and any(word.encode() in path.read_bytes() for word in words):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            holders.add(path.name)
    assert holders == {"secrets.json", "sso_user_alice", "sso_user_bob"}


@pytest.mark.long
def test_who_is_taken_out_of_the_inventory_is_out(stack, stranger):
    stack.set(mediastack_sso_users={**USERS, "bob": {"groups": ["guests"]}})
    stack.set(mediastack_sso_groups={"admins": ["all"], "users": ["services"], "guests": []})
    worker, server = (stack.containers()[name]["Id"] for name in ("authentik-worker", "authentik-server"))
    stack.play("site")
    after = stack.containers()
    assert after["authentik-worker"]["Id"] != worker and after["authentik-server"]["Id"] == server
    page = stranger.log_in(stranger.open(f"mirror.{DOMAIN}"), "bob", password(stack, "bob"))
    assert page.status == 403


@pytest.mark.long
def test_a_blueprint_that_authentik_refuses_stops_the_run_with_its_words(stack):
    """Made by hand: what the collection renders is taken."""
    path = stack.project_path / "sso" / "mediastack.yaml"
    kept = path.read_text()
    name = f"{PROJECT}-authentik-worker"
    try:
        path.write_text(kept.replace("authentik_core.application", "authentik_core.app"))
        docker("exec", name, "rm", "/tmp/mediastack-applied")
        log = wait_for(lambda: _last_health(name), 60, "the health check")
        assert "Blueprint invalid" in log and "model does not exist" in log
    finally:
        path.write_text(kept)
    wait_for(lambda: docker("inspect", "-f", "{{.State.Health.Status}}", name) == "healthy", 60, "a healthy worker")


def _last_health(name):
    health = json.loads(docker("inspect", "-f", "{{json .State.Health}}", name))
    return next((one["Output"] for one in health["Log"] or () if "Blueprint invalid" in one["Output"]), "")
