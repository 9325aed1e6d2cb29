# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reverse proxy in its other shapes: apps that share a host name, a certificate by ACME, and every app there is."""

from __future__ import annotations

import json
import os
import stat

import pytest
from acme_dns import Provider
from acme_server import AcmeServer
from ingress_lab import MIRROR, fetch
from sso_lab import Browser
from stack_harness import Stack, changed, free_ports, wait_for

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


def trusting(server, tmp_path):
    """What lets Traefik trust the tests' ACME authority, as overrides: it knows the public ones only."""
    (tmp_path / "acme.pem").write_bytes(server.pem)
    return {
        "environment": {"LEGO_CA_CERTIFICATES": "/acme.pem"},
        "volumes": [{"type": "bind", "source": str(tmp_path / "acme.pem"), "target": "/acme.pem", "read_only": True}],
    }


def signed(stack, tmp_path, host, port):
    """The answer of an app by TLS with the certificate that ACME brought; None while there is none."""
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
            mediastack_overrides={"traefik": trusting(server, tmp_path)},
        )
        stack.play("site")
        wait_for(lambda: server.issued or server.refused, 60, "a certificate")
        assert not server.refused and server.issued == [f"sonarr.{DOMAIN}"]
        assert server.mails == ["mailto:me@example.org"]
        answer = wait_for(lambda: signed(stack, tmp_path, f"sonarr.{DOMAIN}", first + 11), 30, "the new certificate")
        assert answer.status == 200 and '"status": "OK"' in answer.body
        assert answer.peer["subjectAltName"] == (("DNS", f"sonarr.{DOMAIN}"),)
        assert_kept(stack, [f"sonarr.{DOMAIN}"])
        assert changed(stack.play("site")) == 0
        # Another one is not asked for after a restart.
        stack.play("restart", "-e", "service=traefik")
        assert wait_for(lambda: signed(stack, tmp_path, f"sonarr.{DOMAIN}", first + 11), 30, "Traefik").status == 200
        assert len(server.issued) == 1
    finally:
        server.close()


@pytest.mark.long
def test_a_certificate_by_acme_and_the_dns_challenge(make, tmp_path):
    first = free_ports(20)
    net = f"10.232.{os.getpid() % 250}"
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
                "HTTPREQ_PASSWORD": "letters-of-the-lab",
            },
            mediastack_overrides={"traefik": {**trusting(server, tmp_path), "dns": [f"{net}.1"]}},
        )
        stack.play("site")
        wait_for(lambda: server.issued or server.refused, 120, "a certificate")
        names = [DOMAIN, f"*.{DOMAIN}"]
        assert not server.refused and sorted(server.issued) == sorted(names)
        # The credentials came from their files, and nobody sees them.
        assert set(provider.given) == {"me:letters-of-the-lab"}
        assert "letters-of-the-lab" not in json.dumps(stack.containers())
        answer = wait_for(lambda: signed(stack, tmp_path, f"sonarr.{DOMAIN}", first + 11), 30, "the new certificate")
        assert answer.status == 200 and ("DNS", f"*.{DOMAIN}") in answer.peer["subjectAltName"]
        assert_kept(stack, names)
    finally:
        server.close()
        provider.close()


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


# service → where it says something that no other app says
EVERY = {
    "authentik": ("/-/health/ready/", ""),
    "bazarr": ("/api/system/ping", "OK"),
    "deluge": ("/", "Deluge"),
    "heimdall": ("/", "Heimdall"),
    "homepage": ("/api/healthcheck", "up"),
    "jellyfin": ("/health", "Healthy"),
    "lidarr": ("/ping", "OK"),
    "nzbget": ("/", ""),
    "plex": ("/identity", "machineIdentifier"),
    "prowlarr": ("/ping", "OK"),
    "qbittorrent": ("/", "qBittorrent"),
    "radarr": ("/ping", "OK"),
    "sabnzbd": ("/api?mode=version&output=json", '"version"'),
    "seerr": ("/api/v1/settings/public", "applicationTitle"),
    "sonarr": ("/ping", "OK"),
    "tautulli": ("/status", "success"),
    "tdarr": ("/api/v2/status", ""),
    "transmission": ("/transmission/web/", ""),
}


def _door(port, authority, name):
    """Where a stranger comes to at an app's front page; None while the proxy does not have it yet."""
    page = Browser(port, authority).open(f"{name}.{DOMAIN}")
    return page if page.status < 500 else None


@pytest.mark.long
def test_every_app_there_is_has_its_route(make):
    first = free_ports(39)
    names = [name for name in EVERY if name not in ("qbittorrent", "sabnzbd", "prowlarr", "sonarr", "lidarr", "radarr")]
    ports = {("authentik-server" if name == "authentik" else name): first + 20 + at for at, name in enumerate(names)}
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
    stack.set(
        mediastack_profiles=[
            *("jellyfin", "plex", "music", "proxy", "dashboard", "dashboard-alt", "auth", "transcoding"),
            *("transmission", "deluge", "nzbget"),
        ],
        mediastack_open_uis=["heimdall", "homepage", "seerr", "tdarr"],
        mediastack_vpn_enabled=True,
    )
    stack.play("site", timeout=590)
    authority = stack.base / "config" / "traefik" / "ca.crt"
    for name in set(EVERY) - {"authentik", "jellyfin", "plex"}:
        page = wait_for(lambda name=name: _door(first + 11, authority, name), 60, f"the login in front of {name}")
        assert page.host == f"authentik.{DOMAIN}" and "authentik - Login" in page.body, (name, page)
    browser = Browser(first + 11, authority)
    secrets = json.loads((stack.project_path / ".mediastack" / "secrets.json").read_text())["secrets"]
    browser.log_in(browser.open(f"homepage.{DOMAIN}"), "akadmin", secrets["authentik_password"])
    for name, (path, word) in EVERY.items():
        host = f"{name}.{DOMAIN}"
        # What authentik keeps for itself is asked for by somebody who has logged in.
        answer = wait_for(lambda host=host, path=path: (a := browser.open(host, path)).status < 500 and a, 60, name)
        assert answer.host == host, (name, answer)
        assert answer.status in (200, 204, 401), (name, answer)
        assert word in answer.body, (name, answer)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert fetch(host, first + 10, path).headers["Location"] == f"https://{host}:{first + 11}{path}"
        assert fetch(host, first + 11, path, authority, told="evil.example").status == 404
    routes = json.dumps((stack.base / "config" / "traefik" / "dynamic" / "mediastack.yml").read_text())
    assert routes.count("service: authentik-server") == len(EVERY) - 1, "its own, the question, and each way back"
    assert changed(stack.play("site", timeout=590)) == 0
