# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's authentik: what it takes of a blueprint, its outpost's contract; with the blueprint of a whole stack."""

import json
import pathlib
import sys
import urllib.parse

import pytest
import render_harness as h

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab"))

from sim import authentik_model, authentik_outpost, core  # noqa: E402

DOMAIN = "home.example.org"
HOST = f"sonarr.{DOMAIN}"
GROUPS = {"admins": ["all"], "users": ["request"], "quiet": []}
USERS = {"alice": {"groups": ["admins"]}, "bob": {"groups": ["users"]}}
WORDS = {"/run/secrets/sso_user_alice": "word-a", "/run/secrets/sso_user_bob": "word-b"}


@pytest.fixture(scope="module")
def blueprint(tmp_path_factory):
    """Of a stack with most apps."""
    world = h.World(tmp_path_factory.mktemp("lab"), shipped=h.SHIPPED)

    def render(**given):
        settings = {"mediastack_profiles": ["proxy", "auth", "jellyfin"], "mediastack_domain": DOMAIN, **h.NO_VPN}
        settings.update(mediastack_sso_groups=GROUPS, mediastack_sso_users=USERS)
        return h.file(world.bundle(**{**settings, **given}), "sso/mediastack.yaml")["content"]

    return render


def applied(text, model=None):
    first = model or authentik_model.new()
    authentik_model.add_user(first, "akadmin", "word", [authentik_model.ADMINS])
    return authentik_model.apply(first, text, authentik_model.SYSTEM, lambda path: WORDS[path])


class Browser:
    """A browser behind a proxy that asks the outpost before each request."""

    def __init__(self, outpost):
        self.outpost, self.cookies = outpost, {}

    def _send(self, respond, host, target, method="GET", body=None, **headers):
        jar = self.cookies.setdefault(host, {})
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        answer = respond(core.Request(method, target, headers, json.dumps(body or {}).encode()))
        for name, value in answer.headers:
            if name == "Set-Cookie":
                key, _equals, rest = value.partition("=")
                jar[key] = rest.partition(";")[0]
        self.last = dict(answer.headers)
        return answer

    def ask(self, uri="/", host=HOST):
        told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": host, "X-Forwarded-Uri": uri}
        return self._send(self.outpost.handle, host, authentik_outpost.PREFIX + "auth/traefik", **told)

    def authorize(self, url):
        place = urllib.parse.urlsplit(url)
        return self._send(self.outpost.authorize, place.netloc, f"{place.path}?{place.query}")

    def login(self, user, word):
        login = (self.outpost.execute, f"authentik.{DOMAIN}", authentik_outpost.EXECUTOR, "POST")
        self._send(*login, {"uid_field": user})
        return self._send(*login, {"password": word})

    def come_back(self, url):
        place = urllib.parse.urlsplit(url)
        return self._send(self.outpost.handle, place.netloc, f"{place.path}?{place.query}", Host=place.netloc)


@pytest.fixture
def browser(blueprint):
    model = applied(blueprint())
    return Browser(authentik_outpost.Outpost(lambda: model, "2026.5.5"))


def test_the_blueprint_of_a_stack_is_taken(blueprint):
    model = applied(blueprint())
    assert set(model["authentik_core.user"]) == {"akadmin", "alice", "bob"}
    assert model["authentik_core.user"]["bob"]["groups"] == ["users"]
    assert "word-b" not in json.dumps(model)
    providers = model["authentik_outposts.outpost"][authentik_model.EMBEDDED]["providers"]
    assert set(providers) == set(model["authentik_providers_proxy.proxyprovider"]) and len(providers) > 5


@pytest.mark.parametrize(
    ("user", "application", "passes"),
    [
        ("alice", "mediastack-sonarr", True),
        ("bob", "mediastack-sonarr", False),
        ("bob", "mediastack-seerr", True),
        ("akadmin", "mediastack-sonarr", True),
        ("mallory", "mediastack-sonarr", False),
    ],
)
def test_who_passes(blueprint, user, application, passes):
    assert authentik_model.may(applied(blueprint()), user, application) is passes


def test_who_is_taken_out_of_the_inventory_is_out(blueprint):
    model = applied(blueprint())
    moved = {**GROUPS, "admins": ["core"]}
    after = applied(blueprint(mediastack_sso_groups=moved), model)
    assert authentik_model.may(model, "alice", "mediastack-sonarr")
    assert not authentik_model.may(after, "alice", "mediastack-sonarr")
    demoted = {**USERS, "alice": {"groups": ["quiet"]}}
    assert not authentik_model.may(
        applied(blueprint(mediastack_sso_users=demoted), model), "alice", "mediastack-prowlarr"
    )


def test_a_password_that_somebody_changed_stays(blueprint):
    model = applied(blueprint())
    model["authentik_core.user"]["bob"]["password"] = "changed"
    assert applied(blueprint(), model)["authentik_core.user"]["bob"]["password"] == "changed"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("forward_single", "proxy", "Internal host cannot be empty"),
        ("authorization_flow:", "autorization_flow:", "autorization_flow"),
        ("authentik_core.application", "authentik_core.app", "model does not exist"),
        ("!KeyOf 'authorization'", "!KeyOf 'nothing'", "KeyOf: failed to find entry"),
        ("System - OAuth2 Provider - Scopes", "System - X", "Required blueprint does not exist"),
    ],
)
def test_a_blueprint_that_authentik_would_refuse_is_refused(blueprint, old, new, words):
    text = blueprint()
    assert old in text
    with pytest.raises(authentik_model.BlueprintError, match=words):
        applied(text.replace(old, new))


# -- the outpost -----------------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_the_login_and_comes_back_to_where_he_was(browser):
    answer = browser.ask("/series?x=1")
    assert answer.status == 302 and "X-Authentik-Username" not in browser.last
    login = urllib.parse.urlsplit(browser.last["Location"])
    assert (login.netloc, login.path) == (f"authentik.{DOMAIN}", "/application/o/authorize/")
    assert browser.authorize(browser.last["Location"]).status == 302
    assert browser.last["Location"].startswith("/flows/-/default/authentication/?next=%2Fapplication")
    assert browser.login("alice", "wrong").status == 200 and browser.authorize(login.geturl()).status == 302
    assert browser.last["Location"].startswith("/flows/")
    browser.login("alice", "word-a")
    browser.authorize(login.geturl())
    back = urllib.parse.urlsplit(browser.last["Location"])
    assert (back.netloc, back.path) == (HOST, "/outpost.goauthentik.io/callback")
    browser.come_back(back.geturl())
    assert browser.last["Location"] == f"https://{HOST}/series?x=1"
    assert browser.ask("/series?x=1").status == 200
    assert browser.last["X-Authentik-Username"] == "alice" and browser.last["X-Authentik-Groups"] == "admins"
    # Once only.
    browser.come_back(back.geturl())
    assert browser.last["Location"] == f"https://{HOST}"


def test_who_may_not_see_an_app_is_told_so(browser):
    browser.ask()
    login = browser.last["Location"]
    browser.login("bob", "word-b")
    answer = browser.authorize(login)
    assert answer.status == 403 and b"Request has been denied" in answer.body
    assert browser.ask().status == 302


def test_one_app_s_session_is_none_of_another_s(browser):
    browser.ask()
    login = browser.last["Location"]
    browser.login("alice", "word-a")
    browser.authorize(login)
    browser.come_back(browser.last["Location"])
    assert browser.ask().status == 200
    browser.cookies[f"prowlarr.{DOMAIN}"] = dict(browser.cookies[HOST])
    assert browser.ask("/", f"prowlarr.{DOMAIN}").status == 302


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Forwarded-Host": HOST}, 500),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": f"nothing.{DOMAIN}"}, 400),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": HOST, "X-authentik-username": "akadmin"}, 302),
    ],
)
def test_what_else_is_asked(browser, headers, status):
    request = core.Request("GET", authentik_outpost.PREFIX + "auth/traefik", headers, b"")
    assert browser.outpost.handle(request).status == status
