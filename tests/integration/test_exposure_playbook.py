# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ansible-playbook homelab.mediastack.exposure` as a user runs it, on stacks of the lab's images."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import urllib.request

import pytest
import stack_harness as h

from ansible_collections.homelab.mediastack.plugins.module_utils import bind_address

PROJECT = f"msexposure-{os.getpid()}"
FIRST = h.free_ports(38)
WEB = [
    "bazarr",
    "deluge",
    "heimdall",
    "homepage",
    "jellyfin",
    "lidarr",
    "nzbget",
    "plex",
    "prowlarr",
    "qbittorrent",
    "radarr",
    "sabnzbd",
    "seerr",
    "sonarr",
    "tautulli",
    "transmission",
]
PORTS = {name: FIRST + 1 + number for number, name in enumerate(WEB)}
PORTS.update(
    {
        "traefik": {"web": FIRST + 20, "https": FIRST + 21, "ping": FIRST + 22},
        "authentik-server": {"web": FIRST + 23, "https": FIRST + 24},
        "tdarr": {"web": FIRST + 25, "server": FIRST + 26},
        "unpackerr": {"metrics": FIRST + 27},
        "qbittorrent": {"web": PORTS["qbittorrent"], "torrent": FIRST + 28},
        "transmission": {"web": PORTS["transmission"], "torrent": FIRST + 29},
        "deluge": {"web": PORTS["deluge"], "torrent": FIRST + 30},
    }
)
ALWAYS = ("bazarr", "flaresolverr", "prowlarr", "qbittorrent", "radarr", "sabnzbd", "sonarr", "unpackerr")


DOMAIN = "home.example.org"
ROUTES = """
http:
  routers:
    sonarr: {rule: "Host(`sonarr.home.example.org`)", service: sonarr}
    seerr: {rule: "Host(`seerr.home.example.org`)", service: seerr}
  services:
    sonarr: {loadBalancer: {servers: [{url: "http://sonarr:8989"}]}}
    seerr: {loadBalancer: {servers: [{url: "http://seerr:5055"}]}}
"""


def by_name(service, address):
    """The page that Traefik has for a name; empty while it has none."""
    request = urllib.request.Request(f"http://{address}:{PORTS['traefik']['web']}/login")
    request.add_header("Host", f"{service}.home.example.org")
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read()
    return b""


def make(directory, **variables):
    """A stack whose web interfaces are on the network, as a user's are."""
    given = {"mediastack_bind_addresses": [], "mediastack_vpn_control_port": FIRST, "mediastack_ports": PORTS}
    given.update(mediastack_container_prefix=f"{PROJECT}-", mediastack_vpn_torrent_port=FIRST + 28, **variables)
    return h.Stack(directory, PROJECT, FIRST, **given)


@pytest.fixture
def directory(tmp_path):
    made = []

    def stack(**variables):
        made.append(make(tmp_path, **variables))
        return made[-1]

    yield stack
    for one in made:
        one.remove()
    shutil.rmtree(tmp_path, ignore_errors=True)


def expose(stack, *arguments):
    """(exit code, report, standard error) of the playbook that prints nothing but JSON."""
    done = stack.play("exposure", "-e", "output=-", *arguments, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def named(report):
    return {(row["service"], row["name"]): row for row in report["ports"]}


def assert_clean(stack):
    code, report, errors = expose(stack)
    assert code == 0, (errors, [row for row in report["ports"] if row["state"] != "passed"])
    return named(report)


def test_an_open_one_is_red_and_named_and_one_that_is_meant_passes(directory):
    lan = bind_address.default_address()
    off = {name: False for name in ALWAYS if name != "sonarr"}
    stack = directory(
        mediastack_vpn_enabled=False,
        mediastack_services={**off, "heimdall": True},
        mediastack_open_uis=["heimdall"],
    )
    stack.play("site")
    done = stack.play("exposure", check=False)
    assert done.returncode != 0
    place = f"{lan}:{PORTS['heimdall']}/tcp"
    fatal = next(line for line in (done.stdout + done.stderr).splitlines() if line.startswith("fatal: [box]"))
    assert f"OPEN: box/heimdall at {place}" in fatal and "take heimdall out of mediastack_open_uis" in fatal
    assert "Traceback" not in done.stdout + done.stderr
    sonarr = next(line for line in done.stdout.splitlines() if line.split()[:2] == ["box", "sonarr"])
    assert sonarr.split()[2:7] == [f"{lan}:{PORTS['sonarr']}/tcp", "(web)", "network", "asked", "passed"]

    code, report, _errors = expose(stack, "-e", "allow_open=true", "--check")
    assert code == 0 and named(report)["heimdall", "web"]["open"] is True

    # An app whose own configuration was brought along without a login.
    config = stack.base / "config" / "sonarr" / "config.xml"
    h.docker("stop", "-t", "1", f"{PROJECT}-sonarr")
    text = config.read_text()
    without, times = re.subn("(<AuthenticationMethod>)[^<]*", r"\1External", text)
    assert times == 1
    config.write_text(without)
    h.docker("start", f"{PROJECT}-sonarr")
    h.wait_for(lambda: h.get(f"http://{lan}:{PORTS['sonarr']}/ping")[0] == 200, 60, "sonarr")
    code, report, errors = expose(stack, "-e", "allow_open=true")
    assert code != 0 and "OPEN: box/sonarr at" in errors
    assert "/initialize.json: 200" in named(report)["sonarr", "web"]["evidence"]


@pytest.mark.long
def test_the_default_stack_is_clean_in_three_shapes(directory):
    lan = bind_address.default_address()
    stack = directory(mediastack_profiles=["jellyfin"], mediastack_services={})
    stack.play("site")
    seen = assert_clean(stack)
    for service in (*ALWAYS, "jellyfin"):
        if service not in ("flaresolverr", "unpackerr"):
            row = seen[service, "web"]
            assert (row["address"], row["reached"], row["login"]) == (lan, "network", "asked"), row
    assert seen["seerr", "web"]["reached"] == "this host"
    assert seen["gluetun", "control"]["reached"] == "this host"
    assert ("qbittorrent", "torrent") not in seen

    stack.set(mediastack_profiles=["jellyfin", "proxy"])
    stack.play("site")
    seen = assert_clean(stack)
    reached = {key for key, row in seen.items() if row["reached"] == "network"}
    assert reached == {("traefik", "web"), ("traefik", "https")}
    assert {row["address"] for key, row in seen.items() if key not in reached} == {"127.0.0.1"}
    # A way in by the proxy is a way in.
    dynamic = stack.base / "config" / "traefik" / "dynamic"
    (dynamic / "lab.yml").write_text(ROUTES)
    h.wait_for(lambda: b"Sonarr" in by_name("sonarr", lan), 30, "Traefik's routes")
    code, report, errors = expose(stack, "-e", "mediastack_domain=home.example.org")
    assert code != 0 and "OPEN: box/seerr at" in errors
    seen = named(report)
    assert seen["seerr", "seerr.home.example.org"]["port"] == PORTS["traefik"]["web"]
    assert seen["sonarr", "sonarr.home.example.org"]["login"] == "asked"
    (dynamic / "lab.yml").unlink()
    # Nobody answers there to a neighbour; the health of all of it is seen where it is.
    assert "healthy" in stack.play("status").stdout

    stack.set(mediastack_profiles=["jellyfin"], mediastack_vpn_enabled=False)
    stack.play("site")
    seen = assert_clean(stack)
    assert seen["qbittorrent", "web"]["login"] == "asked"
    assert (seen["qbittorrent", "torrent"]["state"], seen["qbittorrent", "torrent"]["login"]) == ("passed", "-")


@pytest.mark.long
def test_every_app_asks_for_its_login(directory):
    profiles = [
        "jellyfin",
        "plex",
        "music",
        "transcoding",
        "transmission",
        "deluge",
        "nzbget",
        "dashboard",
        "dashboard-alt",
        "auth",
    ]
    stack = directory(mediastack_profiles=profiles, mediastack_services={})
    stack.play("site", timeout=900)
    code, report, errors = expose(stack)
    # The lab's authentik has no 9443, and what does not answer has not been seen to ask.
    silent = [(row["service"], row["name"], row["state"]) for row in report["ports"] if row["state"] != "passed"]
    assert (code != 0, silent) == (True, [("authentik-server", "https", "inconclusive")]), errors
    seen = named(report)
    here = {"heimdall", "homepage", "seerr", "tdarr"}
    for (service, name), row in seen.items():
        if name == "web":
            expected = ("this host", "-") if service in here else ("network", "asked")
            assert (row["reached"], row["login"]) == expected, row


@pytest.mark.long
def test_every_route_of_the_proxy_asks_for_a_login(directory):
    lan = bind_address.default_address()
    apps = [*(name for name in ALWAYS if name not in ("flaresolverr", "unpackerr")), "jellyfin", "seerr", "homepage"]
    stack = directory(
        mediastack_profiles=["jellyfin", "proxy", "dashboard-alt", "auth"],
        mediastack_services={},
        mediastack_vpn_enabled=False,
        mediastack_domain=DOMAIN,
    )
    stack.play("site", timeout=900)
    assert_asked(assert_clean(stack), lan, "https", {name: f"{name}.{DOMAIN}" for name in apps})

    # Those that know no path keep a name; without authentik it is Traefik who asks for the apps that have no login.
    stack.set(mediastack_profiles=["jellyfin", "proxy", "dashboard-alt"], mediastack_ingress_style="path")
    stack.play("site")
    named_ones = ("bazarr", "jellyfin", "seerr", "homepage")
    places = {name: f"{name}.{DOMAIN}" if name in named_ones else f"{DOMAIN}/{name}" for name in apps}
    assert_asked(assert_clean(stack), lan, "https", places)

    stack.set(mediastack_ingress_style="host", mediastack_tls="none")
    stack.play("site")
    assert_asked(assert_clean(stack), lan, "web", {name: f"{name}.{DOMAIN}" for name in apps})


def assert_asked(seen, address, entry, places):
    """Every route of the collection was asked for at the port that serves it, and asks for a login."""
    routes = {key: row for key, row in seen.items() if DOMAIN in row["name"]}
    assert routes.keys() - {("authentik-server", f"authentik.{DOMAIN}")} == set(places.items())
    for row in routes.values():
        found = (row["address"], row["port"], row["reached"], row["login"])
        assert found == (address, PORTS["traefik"][entry], "network", "asked"), row
