# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single sign-on as it is rendered: routes that ask authentik first, and the blueprint that tells it what to answer."""

import json

import pytest
import render_harness as h
import yaml

from ansible_collections.homelab.mediastack.plugins.plugin_utils import sso
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

DOMAIN = "home.example.org"
PROFILES = [
    *("jellyfin", "plex", "music", "books", "proxy", "dashboard", "dashboard-alt", "auth", "transcoding"),
    *("transmission", "deluge", "nzbget"),
]
# What asks for its own login only, because its own programs know no other one; authentik is where people log in.
OWN = {"jellyfin", "plex", "authentik-server"}
USERS = {"alice": {"groups": ["users"], "name": "Alice: \"A\" & 'B' #1", "email": "alice@example.org"}}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Renders the collection's own catalogue with all profiles."""
    world = h.World(tmp_path_factory.mktemp("sso"), shipped=h.SHIPPED)
    done = {}

    def render(**given):
        key = repr(sorted(given.items()))
        if key not in done:
            settings = {"mediastack_profiles": PROFILES, "mediastack_domain": DOMAIN, **h.VPN, **given}
            done[key] = world.bundle(**settings)
        return done[key]

    return render


def http(bundle):
    return yaml.safe_load(h.file(bundle, "dynamic/mediastack.yml")["content"])["http"]


def apps_of(found):
    """The routers of apps by name, without those that stand beside them."""
    return {name: one for name, one in found["routers"].items() if not name.startswith("mediastack-")}


class Tagged(str):
    """A text with one of authentik's tags."""

    tag = ""


class _Loader(yaml.SafeLoader):
    """Reads authentik's tags; everything else as plain YAML."""


def _tagged(loader, suffix, node):
    value = Tagged(loader.construct_scalar(node))
    value.tag = suffix
    return value


_Loader.add_multi_constructor("!", _tagged)


def blueprint(bundle):
    return yaml.load(h.file(bundle, "sso/mediastack.yaml")["content"], Loader=_Loader)  # noqa: S506 (a safe one)


def entries(bundle, model):
    return [entry for entry in blueprint(bundle)["entries"] if entry["model"] == model]


def allowed(bundle):
    """Slug of each door → names in the rule that decides."""
    rules = {
        entry["id"]: json.loads(entry["attrs"]["expression"].partition(" in ")[2].rpartition(")")[0])
        for entry in entries(bundle, "authentik_policies_expression.expressionpolicy")
    }
    found = {}
    for binding in entries(bundle, "authentik_policies.policybinding"):
        assert binding["identifiers"]["order"] == 0 and binding["attrs"]["enabled"] is True
        slug = binding["identifiers"]["target"].removeprefix("application-")
        assert slug not in found, "one binding a door"
        found[slug] = rules[binding["attrs"]["policy"]]
    return found


# -- the way to the apps ---------------------------------------------------------------------------------------------


def test_authentik_is_asked_in_front_of_every_app_but_those_with_programs_of_their_own(bundle):
    found = http(bundle())
    assert len(apps_of(found)) == 19
    for name, router in apps_of(found).items():
        expected = ["mediastack-headers", *([] if name in OWN else ["mediastack-sso"]), f"{name}-page"]
        assert router["middlewares"] == expected, name
    assert "mediastack-sign-in" not in found["middlewares"], "nobody is asked twice"


def test_the_question_stays_within_traefik_s_container(bundle):
    found = http(bundle())
    forward = found["middlewares"]["mediastack-sso"]["forwardAuth"]
    assert forward["address"] == "http://127.0.0.1:8086/outpost.goauthentik.io/auth/traefik"
    assert forward["trustForwardHeader"] is False, "who asks does not say which app is asked for"
    assert "--entrypoints.sso.address=127.0.0.1:8086" in h.service(bundle(), "traefik")["command"]
    router = found["routers"]["mediastack-sso"]
    assert router["entryPoints"] == ["sso"] and router["service"] == "authentik-server"
    assert router["rule"] == "Path(`/outpost.goauthentik.io/auth/traefik`)" and "tls" not in router
    assert [name for name, one in found["routers"].items() if "sso" in one["entryPoints"]] == ["mediastack-sso"]


def test_an_authentik_that_is_down_or_not_ready_has_a_page(bundle):
    page = http(bundle())["middlewares"]["mediastack-sso-page"]["errors"]
    assert page["service"] == "mediastack-pages" and "500-504" in page["status"] and "400" in page["status"]
    assert "authentik does not answer" in h.file(bundle(), "ingress" + page["query"])["content"]


def test_who_somebody_is_comes_from_authentik_alone(bundle):
    """Whatever a client says of itself is taken out on every route, also where nobody is asked."""
    found = http(bundle())
    taken = found["middlewares"]["mediastack-headers"]["headers"]["customRequestHeaders"]
    assert set(taken) == set(sso.IDENTITY_HEADERS) and set(taken.values()) == {""}
    assert (
        found["middlewares"]["mediastack-sso"]["forwardAuth"]["authResponseHeadersRegex"] == "(?i)^X[-_.]Authentik[-_.]"
    )
    public = [one for one in found["routers"].values() if one["entryPoints"] != ["sso"]]
    assert all(one["middlewares"][0] == "mediastack-headers" for one in public)


def test_browsers_come_back_to_the_app_s_own_host_name(bundle):
    found = http(bundle())
    back = {name: one for name, one in found["routers"].items() if name.startswith("mediastack-sso-")}
    assert set(back) == {f"mediastack-sso-{name}" for name in set(apps_of(found)) - OWN}
    sonarr = back["mediastack-sso-sonarr"]
    assert sonarr["rule"] == f"Host(`sonarr.{DOMAIN}`) && PathPrefix(`/outpost.goauthentik.io/`)"
    assert sonarr["service"] == "authentik-server" and "mediastack-sso" not in sonarr["middlewares"]
    # Traefik looks at the longest rule first.
    assert len(sonarr["rule"]) > len(found["routers"]["sonarr"]["rule"])


def test_paths_for_programs_with_a_key_go_past_it(bundle):
    found = http(bundle())
    opened = {name.removeprefix("mediastack-open-"): one for name, one in found["routers"].items() if "-open-" in name}
    assert set(opened) == {"sonarr", "radarr", "lidarr", "readarr", "prowlarr", "sabnzbd", "bazarr", "tautulli"}
    rule = opened["sonarr"]["rule"]
    assert rule == (
        f"Host(`sonarr.{DOMAIN}`) && (Path(`/api`) || PathPrefix(`/api/`) || Path(`/ping`) || PathPrefix(`/ping/`))"
        " && !PathRegexp(`%|\\\\|\\.\\.`)"
    )
    assert opened["sonarr"]["middlewares"] == ["mediastack-headers", "sonarr-page"]
    assert all(len(one["rule"]) > len(found["routers"][name]["rule"]) for name, one in opened.items())


def test_what_is_excluded_asks_by_itself_or_is_asked_for_by_traefik(bundle):
    found = http(bundle(mediastack_sso_exclude=["sonarr", "heimdall"]))
    assert found["routers"]["sonarr"]["middlewares"] == ["mediastack-headers", "sonarr-page"]
    assert found["routers"]["heimdall"]["middlewares"] == ["mediastack-headers", "mediastack-sign-in", "heimdall-page"]
    assert "mediastack-open-sonarr" not in found["routers"] and "mediastack-sso-sonarr" not in found["routers"]
    assert "mediastack-sonarr" not in allowed(bundle(mediastack_sso_exclude=["sonarr", "heimdall"]))


def test_without_the_profile_there_is_nothing_of_it(bundle):
    found = bundle(mediastack_profiles=[name for name in PROFILES if name != "auth"])
    assert "sso" not in h.file(found, "dynamic/mediastack.yml")["content"].lower()
    assert "authentik" not in h.file(found, "dynamic/mediastack.yml")["content"].lower()
    assert not [entry["path"] for entry in found["files"] if "/sso/" in entry["path"]]
    assert not any("sso" in flag for flag in h.service(found, "traefik")["command"])


@pytest.mark.parametrize("missing", ["proxy", "domain"])
def test_without_the_proxy_authentik_is_an_app_like_others(bundle, missing):
    without = {"mediastack_domain": ""} if missing == "domain" else {"mediastack_profiles": ["auth"]}
    found = bundle(**without)
    assert not [entry["path"] for entry in found["files"] if "/sso/" in entry["path"]]
    assert "configs" not in h.service(found, "authentik-worker")
    assert "healthcheck" not in h.service(found, "authentik-worker"), "the image's own"


def test_without_encryption_it_is_refused(bundle):
    with pytest.raises(RenderError, match="mediastack_tls is none, and the profile auth is on") as caught:
        bundle(mediastack_tls="none")
    assert "take auth out of mediastack_profiles" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  authentik-server:", "  authentik-web:", "there is no service authentik-server, which Traefik asks"),
        ("      media: {aliases: [authentik-server]}\n", "", "authentik-server is not in the stack's network"),
        ("route: {name: authentik,", "route: {enabled: false, name: authentik,", "but people log in there"),
    ],
)
def test_an_authentik_of_one_s_own_is_told_what_it_lacks(tmp_path, old, new, words):
    world = h.World(tmp_path, shipped=h.SHIPPED)
    text = (h.SHIPPED / "infrastructure" / "authentik.yml.j2").read_text(encoding="utf-8")
    assert old in text
    world.write("authentik", text.replace(old, new))
    with pytest.raises(RenderError, match=words):
        world.bundle(mediastack_profiles=["proxy", "auth"], mediastack_domain=DOMAIN, **h.VPN)


# -- by path ---------------------------------------------------------------------------------------------------------


def test_apps_that_share_a_host_name_share_one_door(bundle):
    found = bundle(mediastack_ingress_style="path")
    routers = http(found)["routers"]
    assert routers["sonarr"]["middlewares"][1] == "mediastack-sso"
    on_shared = [name for name, one in routers.items() if f"Host(`{DOMAIN}`) && PathPrefix(`/outpost" in one["rule"]]
    assert len(on_shared) == 1, "browsers come back to one place"
    assert routers["mediastack-open-sonarr"]["rule"].startswith(f"Host(`{DOMAIN}`) && (Path(`/sonarr/api`) || Path")
    doors = {one["name"]: one["attrs"]["external_host"] for one in map(_named, _providers(found))}
    assert doors["mediastack"] == f"https://{DOMAIN}"
    assert "mediastack-sonarr" not in doors and doors["mediastack-bazarr"] == f"https://bazarr.{DOMAIN}"


def test_who_may_see_some_of_them_only_does_not_pass_and_it_is_said(bundle):
    found = bundle(mediastack_ingress_style="path")
    assert allowed(found)["mediastack"] == ["authentik Admins", "admins"]
    (said,) = [message for message in found["messages"] if message.startswith(f"{DOMAIN} is one door for ")]
    assert "admins may pass; users, who may see some of them, may not" in said and "sonarr" in said
    everybody = {"mediastack_sso_groups": {"family": ["all"]}, "mediastack_ingress_style": "path"}
    assert allowed(bundle(**everybody))["mediastack"] == ["authentik Admins", "family"]
    assert not [message for message in bundle(**everybody)["messages"] if "one door" in message]


# -- the blueprint ---------------------------------------------------------------------------------------------------


def _providers(bundle):
    return entries(bundle, "authentik_providers_proxy.proxyprovider")


def _named(provider):
    return {"name": provider["identifiers"]["name"], "attrs": provider["attrs"]}


def test_every_door_has_provider_application_and_one_rule(bundle):
    found = bundle()
    behind = set(apps_of(http(found))) - OWN
    assert {one["identifiers"]["name"] for one in _providers(found)} == {f"mediastack-{name}" for name in behind}
    for provider in _providers(found):
        attrs = provider["attrs"]
        assert attrs["mode"] == "forward_single" and attrs["cookie_domain"] == ""
        assert attrs["intercept_header_auth"] is False
    applications = {one["identifiers"]["slug"]: one for one in entries(found, "authentik_core.application")}
    assert applications["mediastack-sonarr"]["attrs"]["provider"] == "provider-mediastack-sonarr"
    assert applications["mediastack-sonarr"]["attrs"]["name"] == "Sonarr"
    assert set(allowed(found)) == set(applications), "nothing is open to whoever has an account"


def test_the_outpost_keeps_all_of_them_and_knows_where_people_log_in(bundle):
    (outpost,) = entries(bundle(), "authentik_outposts.outpost")
    assert outpost["identifiers"] == {"managed": "goauthentik.io/outposts/embedded"}
    assert outpost["attrs"]["type"] == "proxy", "what authentik checks the providers against"
    assert set(outpost["attrs"]["providers"]) == {one["id"] for one in _providers(bundle())}
    assert outpost["attrs"]["config"]["authentik_host"] == f"https://authentik.{DOMAIN}"
    moved = bundle(mediastack_ports={"traefik": {"https": 8443}})
    (outpost,) = entries(moved, "authentik_outposts.outpost")
    assert outpost["attrs"]["config"]["authentik_host"] == f"https://authentik.{DOMAIN}:8443"
    assert all(one["attrs"]["external_host"].endswith(f".{DOMAIN}:8443") for one in _providers(moved))


def test_what_an_entry_points_at_stands_before_it(bundle):
    """authentik takes them in order."""
    made = set()
    for entry in blueprint(bundle(mediastack_sso_users=USERS))["entries"]:
        for value in _leaves([entry.get("identifiers"), entry["attrs"]]):
            if getattr(value, "tag", "") == "KeyOf":
                assert str(value) in made
        made.add(entry.get("id"))


def _leaves(value):
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def test_admins_may_see_everything_users_what_is_for_them(bundle):
    found = allowed(bundle())
    for name in ("prowlarr", "qbittorrent", "homepage"):
        assert found[f"mediastack-{name}"] == ["authentik Admins", "admins"], name
    for name in ("seerr", "sonarr", "tautulli"):
        assert found[f"mediastack-{name}"] == ["authentik Admins", "admins", "users"], name


def test_a_rule_for_each_group_of_apps_and_one_for_an_app_that_is_named(bundle):
    def names(found):
        return {one["identifiers"]["name"] for one in entries(found, "authentik_policies_expression.expressionpolicy")}

    usual = {f"mediastack apps {group}" for group in ("core", "media", "request", "infrastructure")}
    assert names(bundle()) == usual
    given = bundle(mediastack_sso_groups={"staff": ["all"], "kids": ["homepage"]})
    assert names(given) == {*usual, "mediastack app homepage"}
    assert allowed(given)["mediastack-homepage"] == ["authentik Admins", "staff", "kids"]
    assert allowed(given)["mediastack-heimdall"] == ["authentik Admins", "staff"]
    assert allowed(bundle(mediastack_sso_groups={}))["mediastack-sonarr"] == ["authentik Admins"]


def test_a_user_s_password_is_read_from_a_secret_file_once(bundle):
    found = bundle(mediastack_sso_users=USERS)
    first, kept = entries(found, "authentik_core.user")
    assert first["state"] == "created" and kept["state"] == "present"
    assert first["attrs"]["password"] == "/run/secrets/sso_user_alice" and first["attrs"]["password"].tag == "File"
    assert "password" not in kept["attrs"], "it is the user's own after the first time"
    assert kept["attrs"]["groups"] == ["group-users"] and kept["attrs"]["name"] == USERS["alice"]["name"]
    assert found["secrets"]["sso_user_alice"]["generate"]["length"] >= 22
    secret = h.file(found, "secrets/sso_user_alice")
    assert (secret["mode"], secret["owner"]) == ("0400", 1000)
    assert "sso_user_alice" in str(h.service(found, "authentik-worker")["secrets"])
    assert "sso_user_alice" not in str(h.service(found, "authentik-server").get("secrets"))


def test_nothing_in_it_is_secret(bundle):
    file = h.file(bundle(mediastack_sso_users=USERS), "sso/mediastack.yaml")
    assert "@@mediastack" not in file["content"] and file["mode"] == "0644"


def test_the_worker_applies_it_and_is_not_well_before(bundle):
    found = bundle()
    worker = h.service(found, "authentik-worker")
    assert worker["configs"] == [{"source": "authentik_blueprint", "target": "/blueprints/mediastack/mediastack.yaml"}]
    assert "ak apply_blueprint mediastack/mediastack.yaml" in worker["healthcheck"]["test"][1]
    path = h.file(found, "sso/mediastack.yaml")["path"]
    # So a container is made anew for other bytes.
    assert path in found["services"]["authentik-worker"]["inputs"]
    assert path not in found["services"]["authentik-server"]["inputs"]


# -- service files ---------------------------------------------------------------------------------------------------


UI = (
    "services:\n  {{ mediastack_service }}:\n    image: a/b:1.0\n    healthcheck: {test: [CMD, x]}\n    x-mediastack: "
    "{title: 'Mine: ''it'' #1', profiles: [always], ports: {web: 7000}, health: {kind: tcp, port: web}, "
    "login: {kind: %s}, route: %s}\n"
)


def mine(tmp_path, route, login="env", **given):
    world = h.World(tmp_path, shipped=h.SHIPPED)
    world.write("mine", UI % (login, route))
    settings = {"mediastack_profiles": ["proxy", "auth"], "mediastack_domain": DOMAIN, **h.VPN, **given}
    return world.bundle(**settings)


def test_a_service_file_of_one_s_own_may_say_the_same(tmp_path):
    found = mine(tmp_path, "{open: [/api/v1, /health]}", mediastack_sso_groups={"us": ["services"]})
    rule = http(found)["routers"]["mediastack-open-mine"]["rule"]
    assert "PathPrefix(`/api/v1/`)" in rule and "Path(`/health`)" in rule
    assert allowed(found)["mediastack-mine"] == ["authentik Admins", "us"]
    (application,) = [
        one for one in entries(found, "authentik_core.application") if one["identifiers"]["slug"] == "mediastack-mine"
    ]
    assert application["attrs"]["name"] == "Mine: 'it' #1"


def test_it_may_keep_authentik_out(tmp_path):
    assert "mediastack-sso" not in http(mine(tmp_path, "{sso: false}"))["routers"]["mine"]["middlewares"]


@pytest.mark.parametrize(
    ("route", "login", "words"),
    [
        ("{sso: 1}", "env", "x-mediastack.route.sso is 1: it must be true or false"),
        ("{open: /api}", "env", "x-mediastack.route.open is '/api': it must be a list of paths"),
        ("{open: [/]}", "env", "x-mediastack.route.open is ['/']"),
        ("{open: [api]}", "env", "x-mediastack.route.open is ['api']"),
        ("{open: [/api/]}", "env", "x-mediastack.route.open is ['/api/']"),
        ("{open: [/a/../b]}", "env", "x-mediastack.route.open is ['/a/../b']"),
        ('{open: ["/a`) || Host(`x"]}', "env", "x-mediastack.route.open is ['/a`) || Host(`x']"),
        ("{open: [/api]}", "none", "x-mediastack.route.open: with login.kind none there is nobody to ask for a key"),
    ],
)
def test_a_service_file_is_told_what_is_wrong(tmp_path, route, login, words):
    with pytest.raises(RenderError) as caught:
        mine(tmp_path, route, login)
    assert words in str(caught.value)
