# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reverse proxy as a browser meets it: the real Traefik, an authority of the stack's own, apps behind and beside
the VPN.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import ssl
import urllib.parse

import pytest
from ingress_lab import fetch
from stack_harness import Stack, changed, docker, free_ports, wait_for

PROJECT = f"msingress-{os.getpid()}"
DOMAIN = "home.mediastack.test"
FIRST = free_ports(20)
HTTP, HTTPS, PING = FIRST + 10, FIRST + 11, FIRST + 12
# What each app says on its own, and says of no other.
SAYS = {
    "sonarr": ("/ping", '"status": "OK"'),
    "qbittorrent": ("/", "qBittorrent"),
    "sabnzbd": ("/api?mode=version&output=json", '"version"'),
    "homepage": ("/api/healthcheck", "up"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running stack with routes, and what its first `site` said."""
    made = Stack(
        tmp_path_factory.mktemp("ingress"),
        PROJECT,
        FIRST,
        mediastack_container_prefix=f"{PROJECT}-",
        mediastack_profiles=["proxy", "dashboard-alt"],
        mediastack_domain=DOMAIN,
        # One downloader behind the VPN, the other one beside it.
        mediastack_vpn_services=["qbittorrent"],
    )
    made.variables["mediastack_services"]["prowlarr"] = False
    made.variables["mediastack_ports"].update(traefik={"web": HTTP, "https": HTTPS, "ping": PING}, homepage=FIRST + 13)
    made.write()
    try:
        made.first = made.play("site")
        made.authority = made.base / "config" / "traefik" / "ca.crt"
        yield made
    finally:
        made.remove()


def ask(stack, app, path="/", **more):
    """A request to an app's own host name by TLS."""
    return fetch(f"{app}.{DOMAIN}", HTTPS, path, stack.authority, **more)


def patient(stack, app):
    """The answer for an app that hangs; None where there is none yet, for Traefik has not noticed."""
    with contextlib.suppress(TimeoutError):
        return ask(stack, app)
    return None


def basic(stack):
    """The header of the proxy's own sign-in."""
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    pair = base64.b64encode(f"admin:{secrets['ingress_password']}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@pytest.mark.parametrize("app", SAYS)
def test_every_app_is_behind_its_own_name_with_the_right_certificate(stack, app):
    path, word = SAYS[app]
    headers = basic(stack) if app == "homepage" else {}
    answer = wait_for(lambda: (a := ask(stack, app, path, headers=headers)).status == 200 and a, 30, f"{app}'s route")
    assert word in answer.body
    assert ("DNS", f"*.{DOMAIN}") in answer.peer["subjectAltName"]
    assert answer.headers["Strict-Transport-Security"] and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN" and answer.headers["Referrer-Policy"] == "same-origin"
    assert "Server" not in answer.headers and "X-Powered-By" not in answer.headers


def test_plain_http_leads_to_https(stack):
    answer = fetch(f"sonarr.{DOMAIN}", HTTP, "/series?x=1")
    assert answer.status in (301, 308)
    assert answer.headers["Location"] == f"https://sonarr.{DOMAIN}:{HTTPS}/series?x=1"


@pytest.mark.parametrize("host", ["radarr." + DOMAIN, DOMAIN, "traefik." + DOMAIN, "traefik-pages." + DOMAIN])
def test_a_name_that_nothing_has_is_not_found(stack, host):
    assert fetch(host, HTTPS, "/", stack.authority).status == 404


@pytest.mark.parametrize("path", ["/", "/ping", "/dashboard/", "/api/rawdata", "/sonarr.html"])
def test_a_foreign_host_is_not_found_nor_is_the_dashboard(stack, path):
    """Asked by an address, or by a name that somebody made point here."""
    for told in ("evil.example", f"127.0.0.1:{HTTPS}"):
        assert fetch(f"sonarr.{DOMAIN}", HTTPS, path, stack.authority, told=told).status == 404


def test_an_app_without_a_login_is_not_open(stack):
    assert ask(stack, "homepage", "/api/healthcheck").status == 401
    wrong = {"Authorization": "Basic " + base64.b64encode(b"admin:admin").decode()}
    assert ask(stack, "homepage", "/api/healthcheck", headers=wrong).status == 401


def test_one_can_log_in_through_the_proxy(stack):
    """qBittorrent compares names and ports of every request, and the browser's names the proxy."""
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    origin = f"https://qbittorrent.{DOMAIN}:{HTTPS}"
    form = urllib.parse.urlencode({"username": "admin", "password": secrets["qbittorrent_password"]})
    headers = {"Origin": origin, "Referer": origin + "/", "Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(stack, "qbittorrent", "/api/v2/auth/login", method="POST", body=form, headers=headers)
    assert (answer.status, answer.body) in ((200, "Ok."), (204, ""))
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    version = ask(stack, "qbittorrent", "/api/v2/app/version", headers={"Cookie": cookie, "Referer": origin + "/"})
    assert version.status == 200 and version.body.startswith("v")
    # A page elsewhere still cannot act in the user's name.
    foreign = {**headers, "Origin": "https://evil.example", "Referer": "https://evil.example/", "Cookie": cookie}
    assert ask(stack, "qbittorrent", "/api/v2/app/version", headers=foreign).status == 401


def test_where_sabnzbd_leads_to_is_still_the_proxy(stack):
    """It redirects to its login or its wizard."""
    answer = ask(stack, "sabnzbd", "/")
    assert answer.status in (301, 302, 303, 307)
    place = urllib.parse.urljoin(f"https://sabnzbd.{DOMAIN}:{HTTPS}/", answer.headers["Location"])
    target = urllib.parse.urlsplit(place)
    assert target.netloc == f"sabnzbd.{DOMAIN}:{HTTPS}"
    port = HTTPS if target.scheme == "https" else HTTP
    assert fetch(f"sabnzbd.{DOMAIN}", port, target.path, stack.authority if port == HTTPS else None).status < 400


def test_a_stopped_app_has_a_page_that_says_so_and_comes_back(stack):
    stack.play("stop", "-e", "service=sonarr")
    answer = wait_for(lambda: (a := ask(stack, "sonarr", "/ping")).status in (502, 503) and a, 30, "the page")
    assert "<h1>Sonarr does not answer</h1>" in answer.body
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    stack.play("start", "-e", "service=sonarr")
    wait_for(lambda: ask(stack, "sonarr", "/ping").status == 200, 30, "Sonarr's route")


def test_an_app_that_hangs_has_the_page_too(stack):
    name = f"{PROJECT}-qbittorrent"
    docker("pause", name)
    try:
        answer = wait_for(lambda: patient(stack, "qbittorrent"), 45, "the page")
        assert answer.status == 503
        assert "qBittorrent does not answer" in answer.body
    finally:
        docker("unpause", name)
    wait_for(lambda: ask(stack, "qbittorrent").status == 200, 30, "qBittorrent's route")


def test_the_second_site_changes_nothing(stack):
    certificate = stack.project_path / "secrets" / "ingress_certificate"
    before = (stack.authority.read_bytes(), certificate.read_bytes())
    started = stack.containers()["traefik"]["State"]["StartedAt"]
    again = stack.play("site")
    assert changed(again) == 0
    assert "certificate" not in again.stdout
    assert started == stack.containers()["traefik"]["State"]["StartedAt"]
    assert before == (stack.authority.read_bytes(), certificate.read_bytes())


def test_no_private_key_is_readable_or_shown(stack):
    """Not in the containers' settings, not in what the run said, not in a file that another user can read."""
    store = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    names = ("ingress_ca", "ingress_certificate")
    # The second line of each: the first one is much the same in all keys.
    private = [store[name].partition("PRIVATE KEY-----\n")[2].splitlines()[1] for name in names]
    assert len(set(private)) == 2 and all(len(line) == 64 for line in private)
    told = stack.first.stdout + stack.first.stderr + json.dumps(stack.containers())
    holders = set()
    for path in pathlib.Path(stack.base).rglob("*"):
        if path.is_file() and not path.is_symlink() and any(key.encode() in path.read_bytes() for key in private):
            assert path.stat().st_mode & 0o077 == 0, path
            holders.add(path.name)
    assert holders == {"secrets.json", "ingress_certificate"}
    assert not any(key in told for key in private)
    assert "PRIVATE" not in stack.authority.read_text()


def test_the_authority_can_sign_for_nobody_else(stack):
    """Its key stays on the host, and a thief of it gains this domain only."""
    der = ssl.PEM_cert_to_DER_cert(stack.authority.read_text())
    from cryptography import x509

    constraints = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical and [name.value for name in constraints.value.permitted_subtrees] == [DOMAIN]
