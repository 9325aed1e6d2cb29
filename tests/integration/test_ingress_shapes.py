# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reverse proxy in its other shapes: apps that share a host name, a certificate by ACME, and every app there is."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import stat

import pytest
import yaml
from acme_dns import Provider
from acme_server import AcmeServer
from ingress_lab import MIRROR, fetch
from sso_lab import Browser
from stack_harness import Stack, changed, free_ports, wait_for

from ansible_collections.homelab.mediastack.plugins.module_utils import certificate_terms
from ansible_collections.homelab.mediastack.plugins.plugin_utils import catalogue, certificates

DOMAIN = "home.mediastack.test"
# What is left of a small stack: nothing that a VPN would be needed for.
ALONE = dict.fromkeys(("bazarr", "flaresolverr", "unpackerr", "radarr", "prowlarr", "sabnzbd", "qbittorrent"), False)


@pytest.fixture
def make(tmp_path):
    """Makes stacks with routes; all of them are gone after the test."""
    made = []

    def stack(name, first, services, **variables):
        project = f"msingress-{name}-{os.getpid()}"
        one = Stack(
            tmp_path / name,
            project,
            first,
            mediastack_container_prefix=f"{project}-",
            mediastack_profiles=["proxy"],
            mediastack_domain=DOMAIN,
            mediastack_vpn_enabled=False,
            mediastack_services={**ALONE, **services},
            **variables,
        )
        one.variables["mediastack_ports"]["traefik"] = {"web": first + 10, "https": first + 11, "ping": first + 12}
        one.write()
        made.append(one)
        return one

    yield stack
    for one in made:
        one.remove()


@pytest.mark.long
def test_apps_share_a_host_name_by_path_and_part_again(make):
    first = free_ports(20)
    https = first + 11
    on = {"qbittorrent": True, "sabnzbd": True, "transmission": True}
    stack = make("path", first, on, mediastack_ingress_style="path")
    stack.variables["mediastack_ports"]["transmission"] = {"web": first + 13, "torrent": first + 14}
    stack.write()
    stack.play("site")
    authority = stack.base / "config" / "traefik" / "ca.crt"
    for path, word in (
        ("/sonarr/ping", '"status": "OK"'),
        ("/sabnzbd/api?mode=version&output=json", '"version"'),
        ("/qbittorrent/", "qBittorrent"),
        ("/transmission/web/", ""),
    ):
        answer = wait_for(lambda path=path: (a := fetch(DOMAIN, https, path, authority)).status != 404 and a, 30, path)
        assert answer.status == (401 if path.startswith("/transmission") else 200), (path, answer)
        assert word in answer.body
    # Relative addresses in its pages lead below its path.
    slash = fetch(DOMAIN, https, "/qbittorrent", authority)
    assert slash.status in (301, 302, 307, 308) and slash.headers["Location"].endswith("/qbittorrent/")
    for path in ("/", "/sonarrx/ping", "/ping", "/api"):
        assert fetch(DOMAIN, https, path, authority).status == 404, path
    assert "/sonarr" in fetch(DOMAIN, https, "/sonarr/", authority).headers.get("Location", "/sonarr")
    assert changed(stack.play("site")) == 0
    # `status` asks the apps below their paths, too.
    assert stack.play("status", "-e", "fail_on=unhealthy").returncode == 0
    stack.set(mediastack_ingress_style="host")
    stack.play("site")
    wait_for(lambda: fetch(f"sonarr.{DOMAIN}", https, "/ping", authority).status == 200, 30, "Sonarr's own name")
    assert fetch(DOMAIN, https, "/sonarr/ping", authority).status == 404
    assert "<UrlBase></UrlBase>" in (stack.base / "config" / "sonarr" / "config.xml").read_text().replace(" ", "")
    assert changed(stack.play("site")) == 0


def signed(server, tmp_path, host, port):
    """The answer of an app by TLS with the certificate that ACME brought; None while there is none."""
    (tmp_path / "acme.pem").write_bytes(server.pem)
    try:
        return fetch(host, port, "/ping", tmp_path / "acme.pem")
    except OSError:  # not yet with the new certificate
        return None


def assert_kept(stack, names):
    """The certificate lies where backups find it, written by a container that may hardly do a thing."""
    path = stack.base / "config" / "traefik" / "acme.json"
    kept = json.loads(path.read_text())["mediastack"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == 0
    (one,) = [[held["domain"]["main"], *held["domain"].get("sans", [])] for held in kept["Certificates"]]
    assert sorted(one) == sorted(names)
    rights = stack.containers()["traefik"]["HostConfig"]
    assert rights["CapDrop"] == ["ALL"] and rights["ReadonlyRootfs"]
    assert "no-new-privileges:true" in rights["SecurityOpt"]


@pytest.mark.long
def test_a_certificate_by_acme_and_the_http_challenge(make, tmp_path):
    first = free_ports(20)
    # The first address of a network of its own is this machine.
    net = f"10.231.{os.getpid() % 250}"
    server = AcmeServer(first + 10, f"{net}.1")
    try:
        stack = make(
            "acme",
            first,
            {},
            mediastack_network_subnet=f"{net}.0/24",
            mediastack_tls="acme_http",
            mediastack_acme_email="me@example.org",
            mediastack_acme_server=server.directory,
            mediastack_acme_credentials={"LEGO_CA_CERTIFICATES": server.pem.decode()},
        )
        stack.play("site")
        wait_for(lambda: server.issued or server.refused, 60, "a certificate")
        assert not server.refused and server.issued == [f"sonarr.{DOMAIN}"]
        assert server.mails == ["mailto:me@example.org"]
        answer = wait_for(lambda: signed(server, tmp_path, f"sonarr.{DOMAIN}", first + 11), 30, "the new certificate")
        assert answer.status == 200 and '"status": "OK"' in answer.body
        assert answer.peer["subjectAltName"] == (("DNS", f"sonarr.{DOMAIN}"),)
        assert_kept(stack, [f"sonarr.{DOMAIN}"])
        assert changed(stack.play("site")) == 0
        # Another one is not asked for after a restart.
        stack.play("restart", "-e", "service=traefik")
        assert wait_for(lambda: signed(server, tmp_path, f"sonarr.{DOMAIN}", first + 11), 30, "Traefik").status == 200
        assert len(server.issued) == 1
    finally:
        server.close()


@pytest.mark.long
def test_a_certificate_by_acme_and_the_dns_challenge(make, tmp_path):
    first = free_ports(20)
    net = f"10.232.{os.getpid() % 250}"
    word = secrets.token_hex(16)
    provider = Provider(DOMAIN, f"{net}.1")
    server = AcmeServer(address=f"{net}.1", records=provider.texts)
    try:
        stack = make(
            "dns",
            first,
            {},
            mediastack_network_subnet=f"{net}.0/24",
            mediastack_tls="acme_dns",
            mediastack_acme_email="me@example.org",
            mediastack_acme_server=server.directory,
            mediastack_acme_provider="httpreq",
            mediastack_acme_credentials={
                "HTTPREQ_ENDPOINT": f"http://{net}.1:{provider.port}",
                "HTTPREQ_USERNAME": "me",
                "HTTPREQ_PASSWORD": word,
                "LEGO_CA_CERTIFICATES": server.pem.decode(),
            },
            mediastack_overrides={"traefik": {"dns": [f"{net}.1"]}},
        )
        stack.play("site")
        wait_for(lambda: server.issued or server.refused, 120, "a certificate")
        names = [DOMAIN, f"*.{DOMAIN}"]
        assert not server.refused and sorted(server.issued) == sorted(names)
        # The credentials came from their files, and nobody sees them.
        assert set(provider.given) == {f"me:{word}"}
        assert word not in json.dumps(stack.containers())
        answer = wait_for(lambda: signed(server, tmp_path, f"sonarr.{DOMAIN}", first + 11), 30, "the new certificate")
        assert answer.status == 200 and ("DNS", f"*.{DOMAIN}") in answer.peer["subjectAltName"]
        assert_kept(stack, names)
    finally:
        server.close()
        provider.close()


def _given(*names):
    """A certificate that a user has from elsewhere, as settings, and its authority."""
    spec, server = {"kind": "ca", "names": [DOMAIN]}, {"kind": "server", "ca": "ca", "names": list(names)}
    made = certificates.issue({"ca": {"spec": spec, "ca": None}, "own": {"spec": server, "ca": None}})
    cut = made["own"].index("-----BEGIN PRIVATE KEY-----")
    return {"mediastack_tls_cert": made["own"][:cut], "mediastack_tls_key": made["own"][cut:]}, made["ca"]


@pytest.mark.long
def test_given_certificates_are_served_and_so_are_others_in_their_place(make, tmp_path):
    first = free_ports(20)
    given, authority = _given(f"sonarr.{DOMAIN}")
    (tmp_path / "ca.pem").write_text(certificate_terms.public(authority))
    stack = make("files", first, {}, mediastack_tls="files", **given)
    stack.play("site")

    def served():
        try:
            return fetch(f"sonarr.{DOMAIN}", first + 11, "/ping", tmp_path / "ca.pem")
        except OSError:  # still the other one
            return None

    answer = wait_for(served, 30, "the given certificate")
    assert answer.status == 200 and answer.peer["subjectAltName"] == (("DNS", f"sonarr.{DOMAIN}"),)
    # One that leaves the app out is refused, and the one before stays.
    stack.set(**_given(f"radarr.{DOMAIN}")[0])
    refused = stack.play("site", check=False)
    assert refused.returncode and f"is for radarr.{DOMAIN}, and not for sonarr.{DOMAIN}" in refused.stdout
    assert served().peer == answer.peer
    given, authority = _given(f"*.{DOMAIN}")
    (tmp_path / "ca.pem").write_text(certificate_terms.public(authority))
    stack.set(**given)
    stack.play("site")
    assert wait_for(served, 30, "the new certificate").peer["subjectAltName"] == (("DNS", f"*.{DOMAIN}"),)
    assert changed(stack.play("site")) == 0


@pytest.mark.long
def test_behind_another_proxy_an_app_is_told_that_it_was_https(make):
    """The tests stand where that proxy would: what comes from this machine has the first address of the network."""
    first = free_ports(20)
    net = f"10.233.{os.getpid() % 250}"
    stack = make("behind", first, {"sonarr": False}, mediastack_network_subnet=f"{net}.0/24", mediastack_tls="none")
    (stack.directory / "services").mkdir()
    (stack.directory / "services" / "mirror.yml.j2").write_text(MIRROR % (first + 18))
    stack.set(mediastack_profiles=["proxy", "mirror"], mediastack_trusted_proxies=[f"{net}.1"])
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9"}

    def told():
        answer = fetch(f"mirror.{DOMAIN}", first + 10, "/", headers=said)
        return (
            {name.lower(): text for name, text in json.loads(answer.body)["headers"].items()}
            if (answer.status == 200)
            else None
        )

    stack.play("site")
    headers = wait_for(told, 30, "the route")
    assert headers["x-forwarded-proto"] == "https" and headers["x-forwarded-for"].startswith("203.0.113.9, ")
    # From whom nothing is believed, there is nothing of what he said.
    stack.set(mediastack_trusted_proxies=["192.0.2.1"])
    stack.play("site")
    headers = wait_for(lambda: (h := told()) and h["x-forwarded-proto"] == "http" and h, 30, "the route")
    assert "203.0.113.9" not in json.dumps(headers)


# The first part of a host name → where the app says something that no other one says, which a stranger is not told, and
# what that is.
EVERY = {
    "authentik": ("/if/flow/default-authentication-flow/", "authentik - Login"),
    "bazarr": ("/", "<title>Bazarr</title>"),
    "deluge": ("/", "<title>Deluge"),
    "heimdall": ("/", "<h1>Heimdall</h1>"),
    "homepage": ("/", "<h1>Homepage</h1>"),
    "jellyfin": ("/System/Info/Public", "Jellyfin Server"),
    "lidarr": ("/", "<h1>Lidarr - Login</h1>"),
    "nzbget": ("/", "<h1>NZBGet</h1>"),
    "plex": ("/identity", "machineIdentifier"),
    "prowlarr": ("/", "<h1>Prowlarr - Login</h1>"),
    "qbittorrent": ("/", "qBittorrent"),
    "radarr": ("/", "<h1>Radarr - Login</h1>"),
    "readarr": ("/", "<h1>Readarr - Login</h1>"),
    "sabnzbd": ("/", "SABnzbd"),
    "seerr": ("/api/v1/settings/public", "applicationTitle"),
    "sonarr": ("/", "<h1>Sonarr - Login</h1>"),
    "tautulli": ("/", "<h1>Tautulli - Login</h1>"),
    "tdarr": ("/", "<h1>Tdarr</h1>"),
    "transmission": ("/transmission/rpc", "X-Transmission-Session-Id"),
}
# Their own programs know no other login than their own; authentik is where people log in.
OWN_LOGIN = {"authentik", "jellyfin", "plex"}
# They ask for a password in the browser's own window, so that there is no page without one.
ASKING = {"nzbget": "nzbget_password", "transmission": "transmission_password"}


def _everything(make, first):
    """A stack of all profiles that there are."""
    ports = [name for name in EVERY if name not in ("qbittorrent", "sabnzbd", "prowlarr", "sonarr", "lidarr", "radarr")]
    ports = {("authentik-server" if name == "authentik" else name): first + 20 + at for at, name in enumerate(ports)}
    stack = make("every", first, {"unpackerr": False, **dict.fromkeys(ALONE, True)})
    stack.variables["mediastack_ports"].update(ports)
    for name, more in (
        ("authentik-server", {"https": first + 33}),
        ("deluge", {"torrent": first + 34}),
        ("transmission", {"torrent": first + 35}),
        ("tdarr", {"server": first + 36}),
        ("qbittorrent", {"torrent": first + 37}),
    ):
        web = stack.variables["mediastack_ports"][name]
        stack.variables["mediastack_ports"][name] = {"web": web, **more}
    stack.variables["mediastack_ports"]["unpackerr"] = {"metrics": first + 38}
    known = catalogue.names()
    stack.set(
        mediastack_profiles=sorted(known.profiles),
        mediastack_services=dict.fromkeys(ALONE, True),
        mediastack_vpn_enabled=True,
    )
    return stack


def _page(browser, name, path, headers):
    """What somebody sees at an app; None while the proxy says that it does not answer."""
    page = browser.open(f"{name}.{DOMAIN}", path, **headers)
    return page if page.status < 500 else None


@pytest.mark.long
def test_every_app_there_is_has_its_route(make):
    first = free_ports(39)
    http, https = first + 10, first + 11
    stack = _everything(make, first)
    stack.play("site", timeout=590)
    authority = stack.base / "config" / "traefik" / "ca.crt"
    routes = yaml.safe_load((stack.base / "config" / "traefik" / "dynamic" / "mediastack.yml").read_text())["http"]
    rules = [router["rule"] for router in routes["routers"].values() if router["entryPoints"] == ["https"]]
    assert {host for rule in rules for host in re.findall(r"Host\(`([^`]*)`\)", rule)} == {
        f"{name}.{DOMAIN}" for name in EVERY
    }, "every route is asked below, and no other one is there"
    store = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    stranger, browser, bodies = Browser(https, authority), Browser(https, authority), {}
    page = wait_for(lambda: _page(browser, "homepage", "/", {}), 60, "the login")
    browser.log_in(page, "akadmin", store["authentik_password"])
    for name, (path, word) in EVERY.items():
        host = f"{name}.{DOMAIN}"
        pair = base64.b64encode(f"admin:{store.get(ASKING.get(name), '')}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"} if name in ASKING else {}
        # By https, verified against the stack's authority and for this name.
        page = wait_for(lambda name=name, ask=(path, headers): _page(browser, name, *ask), 60, name)
        assert page.host == host and word in page.body, (name, page)
        bodies[name] = page.body
        assert page.headers["X-Content-Type-Options"] == "nosniff" and "Server" not in page.headers, name
        page = _page(stranger, name, path, headers)
        if name in OWN_LOGIN:
            assert page.host == host and word in page.body, (name, page)
        else:
            assert page.host == f"authentik.{DOMAIN}" and "authentik - Login" in page.body, (name, page)
            assert word not in page.body, name
        answer = fetch(host, http, path)
        assert answer.status in (301, 308), (name, answer)
        assert answer.headers["Location"] == f"https://{host}:{https}{path}"
        for told in ("evil.example", f"evil.{DOMAIN}", f"127.0.0.1:{https}"):
            answer = fetch(host, https, path, authority, told=told)
            assert answer.status == 404 and word not in answer.body, (name, told, answer)
            assert answer.peer["subjectAltName"] == (("DNS", DOMAIN), ("DNS", f"*.{DOMAIN}")), name
    for name, (_path, word) in EVERY.items():
        assert [other for other, body in bodies.items() if word in body] == [name]
    assert changed(stack.play("site", timeout=590)) == 0
