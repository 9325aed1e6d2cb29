# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The routes of single sign-on in the real Traefik without a container: both styles, every way around that was thought
of. Behind it the lab's authentik and apps that say what they were asked, all of them in this process.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

import pytest
import yaml
from sso_lab import LOGIN, Browser
from stack_harness import ROOT, VENV, free_ports, wait_for

sys.path[:0] = [str(ROOT / "tests" / "unit"), str(ROOT / "tests" / "lab")]

import render_harness as h  # noqa: E402
from sim import authentik_model, authentik_outpost, core  # noqa: E402

from ansible_collections.homelab.mediastack.plugins.plugin_utils import certificates  # noqa: E402

DOMAIN = "home.example.org"
AUTHENTIK = f"authentik.{DOMAIN}"
USERS = {"alice": {"groups": ["admins"], "name": "Alice é"}, "bob": {"groups": ["users"]}}
GROUPS = {"admins": ["all"], "users": ["request"]}


class Proxy:
    """A running Traefik with the routes of a stack, and what stands behind it."""

    def __init__(self, directory, style, stack):
        self.directory, self.style = directory, style
        self.first = free_ports(30)
        world = h.World(directory / "world", shipped=h.SHIPPED)
        bundle = world.bundle(
            mediastack_profiles=["proxy", "auth", "jellyfin", "dashboard-alt"],
            mediastack_domain=DOMAIN,
            mediastack_ingress_style=style,
            mediastack_ports={"traefik": {"https": self.first}},
            mediastack_sso_users=USERS,
            mediastack_sso_groups=GROUPS,
            **h.NO_VPN,
        )
        self.pages = {
            pathlib.Path(one["path"]).name: one["content"] for one in bundle["files"] if "/ingress/" in one["path"]
        }
        self.model = self._applied(h.file(bundle, "sso/mediastack.yaml")["content"])
        self.outpost = authentik_outpost.Outpost(lambda: self.model, "2026.5.5")
        self.authority = directory / "ca.crt"
        document = self._document(bundle, stack)
        (directory / "routes.yml").write_text(yaml.safe_dump(document))
        log = stack.enter_context((directory / "log").open("w"))
        process = subprocess.Popen([str(VENV / "traefik"), *self._flags(bundle)], stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        wait_for(self._is_up, 20, "Traefik's routes")

    @staticmethod
    def _applied(text):
        model = authentik_model.new()
        authentik_model.add_user(model, "akadmin", "word-akadmin", [authentik_model.ADMINS])
        return authentik_model.apply(
            model, text, authentik_model.SYSTEM, lambda path: f"word-{path.rpartition('_')[2]}"
        )

    def _document(self, bundle, stack):
        """The rendered routes, with servers of this process and a certificate of this test."""
        document = yaml.safe_load(
            h.file(bundle, "dynamic/mediastack.yml")["content"].replace(":8086/", f":{self.asked}/")
        )
        for at, (name, service) in enumerate(document["http"]["services"].items()):
            port = self.first + 4 + at
            service["loadBalancer"]["servers"] = [{"url": f"http://127.0.0.1:{port}"}]
            service["loadBalancer"].pop("healthCheck", None)
            server = core.serve(("127.0.0.1", port), self._answers(name))
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        issued = certificates.issue(
            {
                "ca": {"spec": {"kind": "ca", "names": [DOMAIN]}, "ca": None},
                "own": {"spec": {"kind": "server", "ca": "ca", "names": [DOMAIN, f"*.{DOMAIN}"]}, "ca": None},
            }
        )
        (self.directory / "own.pem").write_text(issued["own"])
        text = issued["ca"]
        self.authority.write_text(text[text.index("-----BEGIN CERT") :].partition("-----BEGIN PRIVATE")[0])
        own = str(self.directory / "own.pem")
        document["tls"]["stores"]["default"]["defaultCertificate"] = {"certFile": own, "keyFile": own}
        return document

    @property
    def asked(self):
        """The port at which Traefik asks itself."""
        return self.first + 2

    def _flags(self, bundle):
        kept = ("--global", "--log", "--entrypoints.https", "--entrypoints.sso")
        flags = [flag for flag in h.service(bundle, "traefik")["command"] if flag.startswith(kept)]
        flags = [flag.replace("address=:443", f"address=127.0.0.1:{self.first}") for flag in flags]
        flags = [flag.replace(":8086", f":{self.asked}") for flag in flags]
        return [*flags, f"--providers.file.filename={self.directory}/routes.yml"]

    def _is_up(self):
        with contextlib.suppress(OSError):
            return Browser(self.first, self.authority).ask(AUTHENTIK, "/").status == 200
        return False

    def _answers(self, name):
        if name == "authentik-server":
            return self._authentik
        if name == "mediastack-pages":
            return lambda request: core.Response(200, self.pages[request.path[1:]], core.HTML)
        return lambda request: core.json_response(
            {"app": name, "target": request.target, "headers": dict(request.headers.items())}
        )

    def _authentik(self, request):
        if self.model is None:
            return core.Response(503, "authentik starting")
        if request.path.startswith(authentik_outpost.PREFIX):
            return self.outpost.handle(request)
        if request.path == "/application/o/authorize/":
            return self.outpost.authorize(request)
        if request.path == authentik_outpost.EXECUTOR:
            return self.outpost.execute(request)
        if request.path == "/flows/-/default/authentication/":
            return core.redirect(f"{authentik_outpost.LOGIN}?{request.raw_query}")
        return core.page("authentik - Login")

    def at(self, app):
        """Host name and path of an app."""
        shares = self.style == "path" and app != "homepage"
        return (DOMAIN, f"/{app}") if shares else (f"{app}.{DOMAIN}", "")

    def browser(self, user=None, app="sonarr"):
        """A browser; somebody's who has logged in on the way to an app."""
        browser = Browser(self.first, self.authority)
        if user:
            host, base = self.at(app)
            browser.page = browser.log_in(browser.open(host, f"{base}/?x=1"), user, f"word-{user}")
        return browser


@pytest.fixture(scope="module", params=["host", "path"])
def proxy(request):
    """Traefik with the routes of one style."""
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mssso-")))
        (directory / "world").mkdir()
        yield Proxy(directory, request.param, stack)


def test_the_login_comes_first_and_then_what_was_asked_for(proxy):
    host, base = proxy.at("sonarr")
    page = proxy.browser().open(host, f"{base}/series?x=1")
    assert page.host == AUTHENTIK and LOGIN in page.url and "authentik - Login" in page.body
    page = proxy.browser("alice").page
    assert page.url == f"https://{host}:{proxy.first}{base}/?x=1"
    assert json.loads(page.body)["app"] == "sonarr" and json.loads(page.body)["target"] == f"{base}/?x=1"


def test_who_may_not_see_an_app_does_not(proxy):
    page = proxy.browser("bob").page
    assert (page.host, page.status) == (AUTHENTIK, 403) and "Request has been denied" in page.body


# As an app might read them: as a page of its own.
ROUND = [
    "/api/../series", "/api/%2e%2e/series", "/api/..%2fseries", "/api/..%2Fseries", "/api/x%2f..%2f..%2fseries",
    "/api/v3/..%5c..%5cseries", "/api\\..\\series", "/api/..;/series", "/apix", "/api;/series", "/API/series",
    "/outpost.goauthentik.io/../series", "/outpost.goauthentik.io/%2e%2e/series", "/%61pi/../series", "/ping/../series",
    "/api%2f",
]  # fmt: skip


@pytest.mark.parametrize("path", ROUND)
def test_there_is_no_way_around_by_the_path(proxy, path):
    host, base = proxy.at("sonarr")
    for target in (base + path, base + path.replace("/", "//", 1)):
        answer = proxy.browser().ask(host, target)
        assert answer.status in (302, 400, 404), answer
        assert '"app"' not in answer.body, answer


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": f"jellyfin.{DOMAIN}"},
        {"X-Forwarded-Uri": "/api/x"},
        {"X-Forwarded-Uri": "/outpost.goauthentik.io/x", "X-Forwarded-Proto": "http"},
        {"X-Original-URL": "/api/x", "X-Rewrite-URL": "/api/x"},
        {"X-Forwarded-Prefix": "/api"},
        {"X-authentik-username": "akadmin", "X-authentik-groups": "authentik Admins", "X-authentik-uid": "1"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1"},
        {"Authorization": "Basic YWthZG1pbjp3b3JkLWFrYWRtaW4="},
        {"Cookie": "authentik_proxy_00000000=x; authentik_session=x"},
    ],
)
def test_there_is_no_way_around_by_a_header(proxy, headers):
    host, base = proxy.at("sonarr")
    answer = proxy.browser().ask(host, f"{base}/series", **headers)
    assert answer.status == 302 and answer.headers["Location"].startswith(f"https://{AUTHENTIK}:{proxy.first}/"), answer


def test_who_somebody_is_comes_from_authentik_alone(proxy):
    host, base = proxy.at("sonarr")
    forged = {
        "X-authentik-username": "akadmin",
        "X-Authentik-Jwt": "x",
        "X_authentik_uid": "1",
        "X.authentik.name": "y",
    }
    told = json.loads(proxy.browser("alice").open(host, f"{base}/", **forged).body)["headers"]
    assert told["X-Authentik-Username"] == "alice" and told["X-Authentik-Groups"] == "admins"
    assert told["X-Authentik-Name"].encode("latin-1").decode() == "Alice é"
    assert not {"X-Authentik-Jwt", "X_authentik_uid", "X.authentik.name"} & set(told)
    # Where nobody is asked, nobody is named.
    told = json.loads(proxy.browser().ask(host, f"{base}/api/v3/x", **forged).body)["headers"]
    assert not [name for name in told if name.lower().startswith("x-authentik")]


def test_paths_with_a_key_and_apps_with_programs_of_their_own_are_not_asked_for(proxy):
    host, base = proxy.at("sonarr")
    for path in ("/api", "/api/v3/x?y=%2F..", "/ping"):
        assert json.loads(proxy.browser().ask(host, base + path).body)["target"] == base + path
    assert json.loads(proxy.browser().ask(f"jellyfin.{DOMAIN}", "/web/").body)["app"] == "jellyfin"


def test_a_foreign_host_is_not_found(proxy):
    for told in ("evil.example", f"nothing.{DOMAIN}", "127.0.0.1"):
        for path in ("/", "/api/x", "/outpost.goauthentik.io/auth/traefik", "/outpost.goauthentik.io/ping"):
            assert proxy.browser().ask(f"sonarr.{DOMAIN}", path, Host=f"{told}:{proxy.first}").status == 404


def test_a_cookie_of_one_app_opens_no_other(proxy):
    """Homepage has a host name of its own in both styles."""
    browser = proxy.browser("alice")
    host, _base = proxy.at("sonarr")
    stolen = "; ".join(f"{name}={value}" for name, value in browser.cookies[host].items())
    assert proxy.browser().ask(f"homepage.{DOMAIN}", "/", Cookie=stolen).status == 302


def test_an_authentik_that_is_not_ready_is_a_page_and_no_way_in(proxy):
    browser = proxy.browser("alice")
    host, base = proxy.at("sonarr")
    kept, proxy.model = proxy.model, None
    try:
        page = browser.open(host, f"{base}/")
        assert page.status == 503 and "<h1>authentik does not answer</h1>" in page.body
        assert page.headers["X-Frame-Options"] == "SAMEORIGIN" and '"app"' not in page.body
        assert browser.ask(host, f"{base}/api/x").status == 200
    finally:
        proxy.model = kept
    assert browser.open(host, f"{base}/").status == 200


def test_a_host_name_that_authentik_does_not_know_yet_is_a_page_too(proxy):
    kept, proxy.model = proxy.model, authentik_model.new()
    try:
        host, base = proxy.at("sonarr")
        page = proxy.browser().open(host, f"{base}/")
        assert page.status == 400 and "authentik does not answer" in page.body and "no app for" not in page.body
    finally:
        proxy.model = kept
