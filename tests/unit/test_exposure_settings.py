# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the bundle tells exposure to ask for: the very routes that Traefik is given, whatever makes their names."""

import re

import pytest
import render_harness as h
import yaml

DOMAIN = "home.example.org"
OWN = """services:
  {{ mediastack_service }}:
    image: a/b:1.0
    healthcheck: {test: [CMD, x]}
    x-mediastack:
      title: Mine
      profiles: [always]
      ports: {web: 7000, admin: 7001}
      health: {kind: tcp, port: web}
      login: {kind: env}
      route: %s
"""


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path, shipped=h.SHIPPED)


def bundle_of(world, profiles=("proxy", "jellyfin", "dashboard"), **given):
    return world.bundle(mediastack_profiles=list(profiles), mediastack_domain=DOMAIN, **given)


def told(bundle):
    """Service → host name and path, as exposure is told."""
    return {name: (route["host"], route["path"]) for name, route in bundle["routes"].items()}


def served(bundle):
    """The same of Traefik's own file, read from its rules."""
    routers = yaml.safe_load(h.file(bundle, "dynamic/mediastack.yml")["content"])["http"]["routers"]
    found = {}
    for name, router in routers.items():
        if not name.startswith("mediastack-"):
            host, path = re.fullmatch(r"Host\(`(.*?)`\)(?: && \(Path\(`(.*?)`\).*)?", router["rule"]).groups()
            found[name] = (host, path or "")
    return found


@pytest.mark.parametrize(
    "given",
    [{}, {"mediastack_tls": "none"}, {"mediastack_ingress_style": "path"}, {"profiles": ["proxy", "auth", "jellyfin"]}],
    ids=["host", "no tls", "path", "auth"],
)
def test_exposure_asks_for_what_traefik_is_given(world, given):
    bundle = bundle_of(world, **given)
    assert told(bundle) == served(bundle)
    assert len(told(bundle)) > 5


def test_authentik_is_asked_for_where_people_log_in(world):
    assert told(bundle_of(world, ["proxy", "auth"]))["authentik-server"] == (f"authentik.{DOMAIN}", "")


@pytest.mark.parametrize(
    ("route", "given", "place"),
    [
        ("{name: cinema}", {}, (f"cinema.{DOMAIN}", "")),
        ("{name: cinema, path: strip}", {"mediastack_ingress_style": "path"}, (DOMAIN, "/cinema")),
        ("{port: admin}", {}, (f"mine.{DOMAIN}", "")),
        ("{enabled: false}", {}, None),
    ],
)
def test_an_app_of_one_s_own_is_asked_for_where_its_service_file_says(world, route, given, place):
    world.write("mine", OWN % route)
    assert told(bundle_of(world, **given)).get("mine") == place


def test_without_a_proxy_or_a_domain_there_is_nothing_to_ask_by_name(world):
    assert bundle_of(world, ["jellyfin"])["routes"] == {}
    assert world.bundle(mediastack_profiles=["proxy"])["routes"] == {}
