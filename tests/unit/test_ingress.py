# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Routes of the reverse proxy as they are rendered from service files and settings."""

import pytest
import render_harness as h
import yaml

from ansible_collections.homelab.mediastack.plugins.plugin_utils.bundle import health_services
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

DOMAIN = "home.example.org"
PROFILES = [
    *("jellyfin", "plex", "music", "books", "proxy", "dashboard", "dashboard-alt", "transcoding"),
    *("transmission", "deluge", "nzbget"),
]
# Every app with a web interface, by the name of its route; authentik and what it changes are in test_sso.py.
UIS = {
    *("prowlarr", "qbittorrent", "sabnzbd", "bazarr", "radarr", "sonarr", "lidarr", "readarr", "jellyfin", "plex"),
    *("tautulli", "tdarr", "seerr", "heimdall", "homepage", "deluge", "nzbget", "transmission"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Renders the collection's own catalogue with all profiles."""
    world = h.World(tmp_path_factory.mktemp("ingress"), shipped=h.SHIPPED)
    done = {}

    def render(vpn=True, **given):
        key = repr((vpn, sorted(given.items())))
        if key not in done:
            settings = {
                "mediastack_profiles": PROFILES,
                "mediastack_domain": DOMAIN,
                **(h.VPN if vpn else h.NO_VPN),
                **given,
            }
            done[key] = world.bundle(**settings)
        return done[key]

    return render


def routes(bundle):
    return yaml.safe_load(h.file(bundle, "dynamic/mediastack.yml")["content"])


def hosts(bundle):
    """Service → rule."""
    return {name: router["rule"] for name, router in routes(bundle)["http"]["routers"].items()}


def command(bundle):
    return h.service(bundle, "traefik")["command"]


def world_of(tmp_path, **services):
    """A world with the collection's Traefik and services of a user's own, as YAML of their `x-mediastack`."""
    world = h.World(tmp_path)
    infrastructure = world.templates / "infrastructure"
    infrastructure.mkdir()
    (infrastructure / "traefik.yml.j2").write_text(
        (h.SHIPPED / "infrastructure" / "traefik.yml.j2").read_text(encoding="utf-8")
    )
    for name, text in services.items():
        world.write(
            name.replace("_", "-"),
            f"services:\n  {{{{ mediastack_service }}}}:\n    image: a/b:1.0\n    healthcheck: {{test: [CMD, x]}}\n"
            f"    x-mediastack: {text}\n",
        )
    return world


UI = "{title: Mine, profiles: [always], ports: {web: 7000}, health: {kind: tcp, port: web}, login: {kind: env}%s}"


def test_every_web_interface_has_a_route_of_its_own(bundle):
    assert set(hosts(bundle()).values()) == {f"Host(`{name}.{DOMAIN}`)" for name in UIS}
    for name, router in routes(bundle())["http"]["routers"].items():
        assert router["entryPoints"] == ["https"] and router["tls"] == {}, name
        assert router["middlewares"][0] == "mediastack-headers", name
        assert router["middlewares"][-1] == f"{name}-page", name


def test_an_app_behind_the_vpn_is_reached_at_gluetun(bundle):
    with_vpn, without = routes(bundle())["http"]["services"], routes(bundle(vpn=False))["http"]["services"]
    assert with_vpn["qbittorrent"]["loadBalancer"]["servers"] == [{"url": "http://gluetun:8080"}]
    assert without["qbittorrent"]["loadBalancer"]["servers"] == [{"url": "http://qbittorrent:8080"}]
    for services in (with_vpn, without):
        assert services["heimdall"]["loadBalancer"]["servers"] == [{"url": "http://heimdall:80"}]
        # It compares the port in the Host header with its own.
        assert services["qbittorrent"]["loadBalancer"]["passHostHeader"] is False


def test_an_app_is_asked_how_it_is_by_the_name_that_it_takes(bundle):
    """Homepage refuses every other one, and would be taken for ill."""
    services = routes(bundle())["http"]["services"]
    assert services["homepage"]["loadBalancer"]["healthCheck"]["hostname"] == f"homepage.{DOMAIN}"
    assert "hostname" not in services["qbittorrent"]["loadBalancer"]["healthCheck"], "it takes its own only"
    allowed = h.service(bundle(), "homepage")["environment"]["HOMEPAGE_ALLOWED_HOSTS"].split(",")
    assert f"homepage.{DOMAIN}" in allowed


@pytest.mark.parametrize(
    ("tls", "ports", "shown"),
    [
        ("internal", {}, "https://{}/"),
        ("internal", {"https": 8443}, "https://{}:8443/"),
        ("none", {"https": 8443}, "http://{}/"),
        ("none", {"web": 8081}, "http://{}:8081/"),
    ],
)
def test_where_people_open_it(bundle, tls, ports, shown):
    """`status` and `credentials` show it, `exposure` asks there, and Homepage takes the port in the Host header."""
    made = bundle(mediastack_tls=tls, mediastack_ports={"traefik": ports})
    name = f"homepage.{DOMAIN}"
    assert made["routes"]["homepage"] == {"host": name, "path": "", "strip": False, "url": shown.format(name)}
    assert {route["host"] for route in made["routes"].values()} == {rule.split("`")[1] for rule in hosts(made).values()}
    allowed = h.service(made, "homepage")["environment"]["HOMEPAGE_ALLOWED_HOSTS"].split(",")
    assert shown.format(name).split("/")[2] in allowed
    urls = {service["name"]: service["url"] for service in health_services(made)}
    assert urls["homepage"] == shown.format(name) and urls["gluetun"] == ""


def test_by_path_it_is_below_it(bundle):
    made = bundle(mediastack_ingress_style="path")["routes"]
    assert made["sonarr"] == {
        "host": DOMAIN,
        "path": "/sonarr",
        "strip": False,
        "url": f"https://{DOMAIN}/sonarr/",
    }
    assert made["qbittorrent"]["strip"]


def test_every_app_has_a_page_that_names_it(bundle):
    found = routes(bundle())["http"]
    for name, router in found["routers"].items():
        errors = found["middlewares"][router["middlewares"][-1]]["errors"]
        assert errors["service"] == "mediastack-pages" and errors["status"] == ["502-504"]
        page = h.file(bundle(), "ingress" + errors["query"])
        assert page["content"].count(" does not answer</h1>") == 1 and f"service={name}<" in page["content"]
        assert page["mode"] == "0644"


def test_what_asks_for_no_login_is_behind_one(bundle):
    def guarded(found):
        return {name for name, one in found["http"]["routers"].items() if "mediastack-sign-in" in one["middlewares"]}

    assert guarded(routes(bundle())) == {"heimdall", "homepage", "seerr", "tdarr"}
    opened = routes(bundle(mediastack_open_uis=["heimdall", "homepage", "seerr", "tdarr"]))
    assert guarded(opened) == set()
    assert "mediastack-sign-in" not in opened["http"]["middlewares"]


def test_the_dashboard_and_the_parts_of_other_apps_have_no_route(bundle):
    text = h.file(bundle(), "dynamic/mediastack.yml")["content"]
    assert "@internal" not in text
    assert not {"traefik", "traefik-pages", "gluetun", "flaresolverr", "authentik-worker"} & set(hosts(bundle()))
    assert not any("api" in flag or "docker" in flag for flag in command(bundle()))


def test_plain_http_is_redirected_to_the_port_that_is_published(bundle):
    flag = "--entrypoints.web.http.redirections.entrypoint.to="
    assert flag + "https" in command(bundle())
    assert flag + ":8443" in command(bundle(mediastack_ports={"traefik": {"https": 8443}}))


def test_without_tls_the_routes_are_on_plain_http_and_it_is_said(bundle):
    plain = bundle(mediastack_tls="none")
    assert not any("redirections" in flag for flag in command(plain))
    assert all(one["entryPoints"] == ["web"] and "tls" not in one for one in routes(plain)["http"]["routers"].values())
    assert "stsSeconds" not in routes(plain)["http"]["middlewares"]["mediastack-headers"]["headers"]
    assert "tls" not in routes(plain)
    assert any("in the clear" in message for message in plain["messages"])


def test_without_a_domain_traefik_has_no_routes_and_it_is_said(bundle):
    found = bundle(mediastack_domain="")
    assert routes(found) == {}
    assert not [name for name in found["secrets"] if name.startswith("ingress")]
    assert not any("redirections" in flag for flag in command(found))
    (said,) = [message for message in found["messages"] if message.startswith("Traefik has no routes")]
    assert "web interfaces listen on 127.0.0.1" in said and "set mediastack_domain" in said


def test_without_the_proxy_there_is_nothing_of_it(bundle):
    found = bundle(mediastack_profiles=["jellyfin"])
    assert not [entry["path"] for entry in found["files"] if "traefik" in entry["path"] or "/ingress/" in entry["path"]]
    assert not [name for name in found["secrets"] if name.startswith("ingress")]


def test_the_stacks_own_authority_is_for_the_domain(bundle):
    secrets = bundle()["secrets"]
    assert secrets["ingress_ca"]["issue"]["names"] == [DOMAIN]
    assert secrets["ingress_certificate"]["issue"]["names"] == [DOMAIN, f"*.{DOMAIN}"]
    assert h.file(bundle(), "traefik/ca.crt")["content"] == "@@mediastack:certificate:ingress_ca@@"
    key = h.file(bundle(), "secrets/ingress_certificate")
    assert key["mode"] == "0400" and key["owner"] == 0 and key["secret"]
    store = routes(bundle())["tls"]["stores"]["default"]["defaultCertificate"]
    assert store == dict.fromkeys(("certFile", "keyFile"), "/run/secrets/ingress_certificate")


def test_given_certificates_reach_traefik_as_files(tmp_path_factory, bundle):
    from ansible_collections.homelab.mediastack.plugins.plugin_utils import certificates

    spec = {"kind": "ca", "names": [DOMAIN]}
    server = {"kind": "server", "ca": "ca", "names": [f"*.{DOMAIN}"]}
    text = certificates.issue({"ca": {"spec": spec, "ca": None}, "own": {"spec": server, "ca": None}})["own"]
    chain, _mark, key = text.partition("-----BEGIN PRIVATE KEY-----")
    key = "-----BEGIN PRIVATE KEY-----" + key
    found = bundle(mediastack_tls="files", mediastack_tls_cert=chain, mediastack_tls_key=key)
    assert found["secrets"]["ingress_key"]["value"] == key
    assert found["secrets"]["ingress_certificate"]["value"] == chain
    assert "issue" not in found["secrets"]["ingress_certificate"] and "ingress_ca" not in found["secrets"]
    store = routes(found)["tls"]["stores"]["default"]["defaultCertificate"]
    assert store == {"certFile": "/run/secrets/ingress_certificate", "keyFile": "/run/secrets/ingress_key"}
    assert {"ingress_certificate", "ingress_key"} <= set(h.service(found, "traefik")["secrets"])
    assert not [entry for entry in found["files"] if key.splitlines()[1] in entry["content"]]


def given_for(*names):
    from ansible_collections.homelab.mediastack.plugins.plugin_utils import certificates

    spec, server = {"kind": "ca", "names": [DOMAIN]}, {"kind": "server", "ca": "ca", "names": list(names)}
    text = certificates.issue({"ca": {"spec": spec, "ca": None}, "own": {"spec": server, "ca": None}})["own"]
    cut = text.index("-----BEGIN PRIVATE KEY-----")
    return {"mediastack_tls": "files", "mediastack_tls_cert": text[:cut], "mediastack_tls_key": text[cut:]}


def test_a_given_certificate_that_leaves_a_route_out_is_refused(tmp_path):
    world = world_of(tmp_path, mine=UI % "", moved=UI.replace("7000", "7001") % ", route: {name: other}")
    given = {"mediastack_services": {"traefik": True}, "mediastack_domain": DOMAIN}
    with pytest.raises(RenderError) as caught:
        world.bundle(**given, **given_for(f"mine.{DOMAIN}"))
    (said,) = [one for one in caught.value.problems if one.startswith("mediastack_tls_cert: ")]
    assert f"is for mine.{DOMAIN}, and not for " in said and f"other.{DOMAIN}" in said and f"mine.{DOMAIN}," in said
    everything = world.bundle(**given, **given_for(f"*.{DOMAIN}"))
    names = [f"{rule.split('`')[1]}" for rule in hosts(everything).values()]
    assert hosts(world.bundle(**given, **given_for(*names))) == hosts(everything)


def test_proxies_in_front_are_trusted_only_where_they_are_named(bundle):
    found = bundle(mediastack_tls="none", mediastack_trusted_proxies=["192.168.1.5", "172.28.0.0/24"])
    assert [flag for flag in command(found) if "trustedips" in flag] == [
        f"--entrypoints.{name}.forwardedheaders.trustedips=192.168.1.5/32,172.28.0.0/24" for name in ("web", "https")
    ]
    assert not [flag for flag in command(bundle()) if "forwardedheaders" in flag]


def test_no_secret_of_the_inventory_takes_the_place_of_a_certificate(tmp_path):
    issued = ", secrets: {own_ca: {issue: {kind: ca, names: [a.example], shown: /x}}}"
    world = world_of(tmp_path, mine=UI % issued)
    with pytest.raises(RenderError, match="mediastack_secrets: own_ca: is a certificate that the stack makes"):
        world.bundle(mediastack_secrets={"own_ca": "x"})


def test_acme_by_dns_gets_its_credentials_as_files(bundle):
    found = bundle(
        mediastack_tls="acme_dns",
        mediastack_acme_email="me@example.org",
        mediastack_acme_provider="cloudflare",
        mediastack_acme_credentials={
            "CF_DNS_API_TOKEN": "t0ken$x",
            "AWS_SHARED_CREDENTIALS_FILE": "[default]\na = b",
            "TRANSIP_PRIVATE_KEY_PATH": "a\nb",
            "ACME_DNS_STORAGE_PATH": "/etc/traefik/mediastack/acme-dns.json",
        },
    )
    begin = "--certificatesresolvers.mediastack.acme."
    assert {flag for flag in command(found) if flag.startswith(begin)} == {
        f"{begin}email=me@example.org",
        f"{begin}storage=/etc/traefik/mediastack/acme.json",
        f"{begin}dnschallenge.provider=cloudflare",
    }
    environment = h.service(found, "traefik")["environment"]
    assert environment["CF_DNS_API_TOKEN_FILE"] == "/run/secrets/acme_cf_dns_api_token"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/run/secrets/acme_aws_shared_credentials_file"
    assert environment["TRANSIP_PRIVATE_KEY_PATH"] == "/run/secrets/acme_transip_private_key_path"
    assert environment["ACME_DNS_STORAGE_PATH_FILE"] == "/run/secrets/acme_acme_dns_storage_path"
    assert found["secrets"]["acme_cf_dns_api_token"]["value"] == "t0ken$x"
    assert h.file(found, "secrets/acme_cf_dns_api_token")["mode"] == "0400"
    assert not [entry for entry in found["files"] if "t0ken" in entry["content"]]
    for router in routes(found)["http"]["routers"].values():
        assert router["tls"] == {
            "certResolver": "mediastack",
            "domains": [{"main": DOMAIN, "sans": [f"*.{DOMAIN}"]}],
        }
    assert "stores" not in routes(found)["tls"]


def test_acme_by_http_asks_for_each_name(bundle):
    found = bundle(
        mediastack_tls="acme_http",
        mediastack_acme_email="me@example.org",
        mediastack_acme_server="https://acme.example/directory",
        # One's own authority is trusted by its certificate; a DNS provider's credentials have no business here.
        mediastack_acme_credentials={"LEGO_CA_CERTIFICATES": "a\nb\n", "CF_DNS_API_TOKEN": "x"},
    )
    environment = h.service(found, "traefik")["environment"]
    assert environment["LEGO_CA_CERTIFICATES"] == "/run/secrets/acme_lego_ca_certificates"
    assert found["secrets"]["acme_lego_ca_certificates"]["value"] == "a\nb\n"
    assert not [name for name in (*environment, *found["secrets"]) if "cf_dns" in name.lower()]
    assert "--certificatesresolvers.mediastack.acme.httpchallenge.entrypoint=web" in command(found)
    assert "--certificatesresolvers.mediastack.acme.caserver=https://acme.example/directory" in command(found)
    assert all(one["tls"] == {"certResolver": "mediastack"} for one in routes(found)["http"]["routers"].values())


def test_a_service_of_a_users_own_has_a_route_without_a_word(tmp_path):
    world = world_of(tmp_path, mine=UI % "", moved=UI.replace("7000", "7001") % ", route: {name: other, scheme: https}")
    found = world.bundle(mediastack_services={"traefik": True}, mediastack_domain=DOMAIN)
    assert hosts(found)["mine"] == f"Host(`mine.{DOMAIN}`)"
    assert hosts(found)["moved"] == f"Host(`other.{DOMAIN}`)"
    assert routes(found)["http"]["services"]["moved"]["loadBalancer"]["servers"] == [{"url": "https://moved:7001"}]


def test_a_service_can_do_without_a_route_or_have_one_for_another_port(tmp_path):
    world = world_of(
        tmp_path,
        off=UI % ", route: {enabled: false}",
        api="{title: Api, profiles: [always], ports: {api: {port: 7005, expose: none}}, health: {kind: tcp, port: api},"
        " login: {kind: no_ui}, route: {port: api}}",
    )
    found = world.bundle(mediastack_services={"traefik": True}, mediastack_domain=DOMAIN)
    assert "off" not in hosts(found)
    assert routes(found)["http"]["services"]["api"]["loadBalancer"]["servers"] == [{"url": "http://api:7005"}]


def test_two_routes_of_one_name_are_refused(tmp_path):
    world = world_of(tmp_path, mine=UI % "", yours=UI.replace("7000", "7001") % ", route: {name: mine}")
    with pytest.raises(RenderError, match=rf"yours: mine\.{DOMAIN} is the address of mine already; .*route\.name"):
        world.bundle(mediastack_services={"traefik": True}, mediastack_domain=DOMAIN)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ("{name: 'a`) || Host(`b'}", "x-mediastack.route.name is"),
        ("{name: UPPER}", "x-mediastack.route.name is 'UPPER'"),
        ("{prot: web}", "x-mediastack.route.prot is unknown. Did you mean port?"),
        ("{port: wbe}", "x-mediastack.route.port: there is no port 'wbe'. Did you mean web?"),
        ("{path: stirp}", "x-mediastack.route.path is 'stirp'. Did you mean strip?"),
        ("{enabled: 1}", "x-mediastack.route.enabled is 1: it must be true or false"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused(tmp_path, route, message):
    world = world_of(tmp_path, mine=UI % f", route: {route}")
    with pytest.raises(RenderError) as caught:
        world.bundle(mediastack_services={"traefik": True}, mediastack_domain=DOMAIN)
    assert any(message in problem for problem in caught.value.problems), caught.value.problems


def test_a_service_outside_the_stacks_network_has_no_route_and_it_is_said(tmp_path):
    world = world_of(tmp_path, mine=UI % "")
    found = world.bundle(
        mediastack_services={"traefik": True},
        mediastack_domain=DOMAIN,
        mediastack_overrides={"mine": {"network_mode": "host"}},
    )
    assert "mine" not in hosts(found)
    assert any(message.startswith("mine: no route") for message in found["messages"])


def test_by_path_the_apps_that_can_share_a_host_name_and_are_told_their_path(bundle):
    found = bundle(mediastack_ingress_style="path")
    shared = {"sonarr", "radarr", "lidarr", "readarr", "prowlarr", "sabnzbd", "qbittorrent", "transmission"}
    assert {name for name, rule in hosts(found).items() if rule.startswith(f"Host(`{DOMAIN}`)")} == shared
    assert hosts(found)["sonarr"] == f"Host(`{DOMAIN}`) && (Path(`/sonarr`) || PathPrefix(`/sonarr/`))"
    assert hosts(found)["jellyfin"] == f"Host(`jellyfin.{DOMAIN}`)"
    for name in ("sonarr", "radarr", "lidarr", "readarr", "prowlarr"):
        keys = next(one for one in found["presets"] if one["service"] == name)["keys"]
        assert {"key": ["Config", "UrlBase"], "value": f"/{name}", "replace": None} in keys
        assert found["services"][name]["health"]["path"] == f"/{name}/ping"
        assert found["services"][name]["wiring"]["api"].startswith(f"/{name}/api/v")
        assert f"/{name}/ping" in h.service(found, name)["healthcheck"]["test"][-1]
        assert routes(found)["http"]["services"][name]["loadBalancer"]["healthCheck"]["path"] == f"/{name}/ping"
    assert h.service(found, "unpackerr")["environment"]["UN_SONARR_0_URL"] == "http://sonarr:8989/sonarr"


def test_by_path_what_knows_no_path_has_it_taken_off(bundle):
    found = routes(bundle(mediastack_ingress_style="path"))["http"]
    router = found["routers"]["qbittorrent"]
    assert router["middlewares"][-2:] == ["qbittorrent-slash", "qbittorrent-strip"]
    assert found["middlewares"]["qbittorrent-strip"] == {"stripPrefix": {"prefixes": ["/qbittorrent"]}}


def test_by_host_name_a_path_of_ours_is_taken_back_and_no_other(bundle):
    keys = next(one for one in bundle()["presets"] if one["service"] == "sonarr")["keys"]
    assert {"key": ["Config", "UrlBase"], "value": "", "replace": ["/sonarr"]} in keys
    without = next(one for one in bundle(mediastack_profiles=[])["presets"] if one["service"] == "sonarr")["keys"]
    assert not [key for key in without if key["key"] == ["Config", "UrlBase"]]


def test_an_app_is_asked_for_the_code_of_its_own_probe(bundle):
    services = routes(bundle())["http"]["services"]
    assert services["transmission"]["loadBalancer"]["healthCheck"]["status"] == 401
    assert "status" not in services["sonarr"]["loadBalancer"]["healthCheck"]
    # It may say one thing or another.
    assert "healthCheck" not in services["tdarr"]["loadBalancer"]
