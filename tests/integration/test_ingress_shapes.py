# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reverse proxy in its other shapes: apps that share a host name, a certificate by ACME, and every app there is."""

from __future__ import annotations

import json
import os
import stat

import pytest
from acme_server import AcmeServer
from ingress_lab import fetch
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


@pytest.mark.long
def test_a_certificate_by_acme_and_the_http_challenge(make, tmp_path):
    first = free_ports(20)
    server = AcmeServer(first + 10, "0.0.0.0")
    # The first address of a network of its own is this machine.
    net = f"10.231.{os.getpid() % 250}"
    try:
        stack = make(
            "acme",
            first,
            {},
            mediastack_network_subnet=f"{net}.0/24",
            mediastack_tls="acme_http",
            mediastack_acme_email="me@example.org",
            mediastack_acme_server=f"http://{net}.1:{server.port}/directory",
        )
        stack.play("site")
        wait_for(lambda: server.issued or server.refused, 60, "a certificate")
        assert not server.refused and server.issued == [f"sonarr.{DOMAIN}"]
        assert server.mails == ["mailto:me@example.org"]
        (tmp_path / "acme.pem").write_bytes(server.pem)

        def answered():
            try:
                return fetch(f"sonarr.{DOMAIN}", first + 11, "/ping", tmp_path / "acme.pem")
            except OSError:  # not yet with the new certificate
                return None

        assert wait_for(answered, 30, "the new certificate").status == 200
        assert stat.S_IMODE((stack.base / "config" / "traefik" / "acme.json").stat().st_mode) == 0o600
        assert changed(stack.play("site")) == 0
    finally:
        server.close()


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
