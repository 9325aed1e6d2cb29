# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the service files of the collection say: each is rendered as a run renders it, and held against the promises."""

from __future__ import annotations

import itertools
import json
import pathlib
import re

import jinja2
import pytest
import yaml

from ansible_collections.homelab.mediastack.plugins.filter import dotenv
from ansible_collections.homelab.mediastack.plugins.filter import port as port_filter
from ansible_collections.homelab.mediastack.plugins.module_utils import config_formats, presets, secret_store
from ansible_collections.homelab.mediastack.plugins.plugin_utils import render, service_files, service_meta
from ansible_collections.homelab.mediastack.plugins.plugin_utils import settings as setting_files

PROFILES = {
    "gluetun": ["always"],
    "qbittorrent": ["always"],
    "sabnzbd": ["always"],
    "prowlarr": ["always"],
    "sonarr": ["always"],
    "radarr": ["always"],
    "bazarr": ["always"],
    "flaresolverr": ["always"],
    "unpackerr": ["always"],
    "lidarr": ["music"],
    "readarr": ["books"],
    "jellyfin": ["jellyfin"],
    "seerr": ["jellyfin", "plex"],
    "plex": ["plex"],
    "tautulli": ["plex"],
    "traefik": ["proxy"],
    "heimdall": ["dashboard"],
    "homepage": ["dashboard-alt"],
    "authentik": ["auth"],
    "tdarr": ["transcoding"],
    "tdarr-node": ["transcoding"],
    "transmission": ["transmission"],
    "deluge": ["deluge"],
    "nzbget": ["nzbget"],
    "docker-socket-proxy": [],
}
ALL_PROFILES = sorted({profile for profiles in PROFILES.values() for profile in profiles} - {"always"})
# host port, as people know them
UI_PORTS = {
    "qbittorrent": 8080,
    "sabnzbd": 8081,
    "prowlarr": 9696,
    "sonarr": 8989,
    "radarr": 7878,
    "lidarr": 8686,
    "readarr": 8787,
    "seerr": 5055,
    "traefik": 80,
    "heimdall": 8082,
    "homepage": 3000,
    "authentik-server": 9000,
    "tdarr": 8265,
    "bazarr": 6767,
    "jellyfin": 8096,
    "plex": 32400,
    "tautulli": 8181,
    "transmission": 9091,
    "deluge": 8112,
    "nzbget": 6789,
}
# Whose image has a HEALTHCHECK of its own, and Unpackerr, whose image has no shell: it is probed from the host.
HEALTHCHECK_ELSEWHERE = {"gluetun", "tautulli", "homepage", "authentik-server", "authentik-worker", "unpackerr"}
VPN = {
    "mediastack_vpn_provider": "mullvad",
    "mediastack_vpn_wireguard_private_key": "wOEI9rqqbDwnN8/Bpp22sVz48T71vJ4fYmFWujulwUU=",
    "mediastack_vpn_wireguard_addresses": ["10.64.222.21/32", "fc00:bbbb::1/128"],
}
OFF = {"mediastack_vpn_enabled": False}


class Templar:
    """Renders as Ansible's templar does, with the filters that the files may use and no others."""

    def __init__(self, variables=None):
        self.variables = variables or {}
        self.environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
        self.environment.filters.update(
            {
                "to_json": json.dumps,
                "homelab.mediastack.port": port_filter.FilterModule().filters()["port"],
                "homelab.mediastack.dotenv": dotenv.FilterModule().filters()["dotenv"],
            }
        )

    def copy_with_new_env(self, available_variables):
        return Templar(available_variables)

    def template(self, value, **_options):
        return self.environment.from_string(value).render(**self.variables) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def bundles():
    """Render with the given settings; the same settings are rendered once."""
    done = {}

    def bundle(**given):
        key = repr(sorted(given.items()))
        if key not in done:
            templar = Templar()
            renderer = render.Renderer()
            resolved = setting_files.resolve(given, environ={}, config_file="/nonexistent").values
            done[key] = renderer.bundle(resolved, {}, templar, renderer.select(resolved))
        return done[key]

    return bundle


@pytest.fixture(scope="module")
def everything(bundles):
    """The bundle of the whole catalogue, VPN on."""
    return bundles(mediastack_profiles=ALL_PROFILES, **VPN)


def compose(bundle):
    """service → definition, over all groups."""
    services = {}
    for file in bundle["files"]:
        if re.search(r"/compose\.[a-z]+\.yml$", file["path"]):
            services.update(yaml.safe_load(file["content"])["services"])
    return services


def environment(bundle, service):
    return {name: str(value) for name, value in (compose(bundle)[service].get("environment") or {}).items()}


def preset(bundle, service, name):
    return next(entry for entry in bundle["presets"] if entry["service"] == service and entry["path"].endswith(name))


def published(bundle):
    """(address, host port, protocol) → service that serves it."""
    found = {}
    for holder in bundle["services"].values():
        for port in holder["ports"]:
            for address in port["addresses"] or ["lan"]:
                key = (address, port["port"], port["protocol"])
                assert key not in found, f"{key}: {found.get(key)} and {port['service']}"
                found[key] = port["service"]
    return found


# -- selection ---------------------------------------------------------------------------------------------------------


def test_profiles_are_those_of_the_readme():
    facts = service_files.scan(service_files.find())
    assert {app: list(fact.profiles) for app, fact in facts.items()} == PROFILES
    assert facts["seerr"].replaces == ("jellyseerr", "overseerr")
    assert facts["homepage"].requires == ("docker-socket-proxy",)
    assert list(facts["authentik"].services) == ["authentik-server", "authentik-worker", "authentik-postgresql"]
    assert not any("redis" in service for fact in facts.values() for service in fact.services)


def test_the_default_is_the_core_and_jellyfin(bundles):
    always = {app for app, profiles in PROFILES.items() if profiles == ["always"]}
    assert set(bundles(**VPN)["services"]) == always | {"jellyfin", "seerr"}


def test_without_the_vpn_there_is_no_gluetun_and_nobody_waits_for_it(bundles):
    bundle = bundles(mediastack_profiles=ALL_PROFILES, **OFF)
    assert "gluetun" not in bundle["services"]
    for name, definition in compose(bundle).items():
        assert "network_mode" not in definition, name
        assert "gluetun" not in (definition.get("depends_on") or {}), name


def test_readarr_says_that_it_is_retired_and_what_follows(bundles):
    messages = bundles(mediastack_profiles=["books"], **VPN)["messages"]
    assert any("Readarr was retired" in message and "bookshelf" in message for message in messages)


# -- every service -----------------------------------------------------------------------------------------------------


def test_every_service_says_what_all_parts_need(everything):
    for name, service in everything["services"].items():
        assert service["title"], name
        assert service["health"]["kind"] in ("http", "tcp", "container"), name
        assert service["login"]["kind"], name
        assert service["snapshot"]["method"], name
        assert service["wiring"]["kind"], name


def test_every_file_links_its_vendors_documentation():
    for app, file in service_files.find().items():
        assert re.search(r"links:\n +- https://", file.text), app


def test_every_image_is_pinned_by_a_tag(everything):
    for name, service in everything["services"].items():
        repository, _colon, tag = service["image"].rpartition(":")
        assert repository and "/" not in tag, name
        # A whole version: "latest", "v3" or "16-alpine" would move under the user.
        assert re.match(r"v?\d+(\.\d+)+([.-][A-Za-z0-9]+)*$", tag), service["image"]


def test_every_service_has_a_health_check(everything):
    for name, definition in compose(everything).items():
        check = definition.get("healthcheck")
        if name in HEALTHCHECK_ELSEWHERE:
            assert "test" not in (check or {}), f"{name}: its image's own health check is replaced"
            continue
        assert check["test"][0] in ("CMD", "CMD-SHELL"), name
        # Compose 2.20 on an engine before 25 refuses start_interval.
        assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}, name
    assert everything["services"]["unpackerr"]["health"]["kind"] == "http"


def test_no_service_publishes_by_itself_or_reaches_the_docker_socket(everything):
    for name, definition in compose(everything).items():
        sockets = [volume for volume in definition.get("volumes") or [] if "docker.sock" in str(volume)]
        assert bool(sockets) == (name == "docker-socket-proxy"), name
        assert "privileged" not in definition, name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
    socket = compose(everything)["docker-socket-proxy"]["volumes"][0]
    assert socket["read_only"] is True
    assert list(compose(everything)["docker-socket-proxy"]["networks"]) == ["socket"]
    assert environment(everything, "docker-socket-proxy") == {"CONTAINERS": "1", "POST": "0"}
    for app, file in service_files.find().items():
        assert not re.search(r"^ {4}ports:", file.text, re.M), app


def test_a_missing_directory_is_never_made_up_by_docker(everything):
    for name, definition in compose(everything).items():
        for volume in definition.get("volumes") or []:
            assert volume["type"] == "bind" and volume["bind"]["create_host_path"] is False, name


def test_data_is_mounted_once_and_media_servers_see_the_library_only(everything):
    for name, definition in compose(everything).items():
        targets = [volume["target"] for volume in definition.get("volumes") or []]
        targets = [target for target in targets if target.startswith("/data")]
        # authentik calls its own directory /data
        if name.startswith("authentik"):
            continue
        assert len(targets) <= 1, name
        if name in ("jellyfin", "plex", "bazarr", "tdarr", "tdarr-node"):
            assert targets == ["/data/media"], name
        if name in ("sonarr", "radarr", "lidarr", "readarr", "qbittorrent", "sabnzbd", "unpackerr"):
            assert targets == ["/data"], name
        if name in ("prowlarr", "seerr", "tautulli", "traefik", "heimdall", "homepage", "flaresolverr", "gluetun"):
            assert targets == [], name


def test_ids_umask_and_time_zone_come_from_env(everything):
    services = compose(everything)
    for name, definition in services.items():
        values = definition.get("environment") or {}
        if name != "docker-socket-proxy":
            assert values.get("TZ") == "${TZ}", name
        if definition["image"].startswith("lscr.io/linuxserver/"):
            assert {key: values.get(key) for key in ("PUID", "PGID", "UMASK")} == {
                "PUID": "${PUID}",
                "PGID": "${PGID}",
                "UMASK": "${UMASK}",
            }, name
    for name in ("seerr", "unpackerr"):
        assert services[name]["user"] == "${PUID}:${PGID}"


def test_what_single_images_need(everything):
    services = compose(everything)
    assert services["seerr"]["init"] is True
    assert services["flaresolverr"]["shm_size"] == "1gb"
    assert "NET_ADMIN" in services["gluetun"]["cap_add"]
    assert services["gluetun"]["devices"] == ["/dev/net/tun:/dev/net/tun"]
    assert services["authentik-server"]["depends_on"] == {"authentik-postgresql": {"condition": "service_healthy"}}
    assert [volume["target"] for volume in services["tdarr"]["volumes"] if volume["target"] == "/temp"]
    shared = [
        {volume["target"]: volume["source"] for volume in services[name]["volumes"]}["/temp"]
        for name in ("tdarr", "tdarr-node")
    ]
    assert shared[0] == shared[1]


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_credentials_are_files_and_show_in_no_environment(bundles):
    # authentik takes these two from the environment only.
    documented = {
        ("authentik-worker", "AUTHENTIK_BOOTSTRAP_PASSWORD"),
        ("authentik-worker", "AUTHENTIK_BOOTSTRAP_TOKEN"),
    }
    bundle = bundles(mediastack_profiles=ALL_PROFILES, mediastack_plex_claim="claim-1234567890abcdefghij", **VPN)
    found = set()
    for name, definition in compose(bundle).items():
        for key, value in (definition.get("environment") or {}).items():
            assert VPN["mediastack_vpn_wireguard_private_key"] not in str(value)
            assert "claim-" not in str(value)
            if "@@mediastack:secret:" in str(value):
                found.add((name, key))
    assert found == documented
    files = {file["path"].rsplit("/", 1)[1]: file for file in bundle["files"] if "/secrets/" in file["path"]}
    assert all(file["mode"] == "0400" for file in files.values())
    assert files["wireguard_private_key"]["owner"] == 0
    assert files["unpackerr_sonarr_api_key"]["owner"] == 1000
    assert files["plex_claim"]["content"] == "@@mediastack:secret:plex_claim@@"
    assert "plex_claim" in compose(bundle)["plex"]["secrets"]
    assert environment(bundle, "plex")["FILE__PLEX_CLAIM"] == "/run/secrets/plex_claim"
    assert files["tdarr_api_key"]["content"] == "tapi_@@mediastack:secret:tdarr_api_key@@"
    assert environment(bundle, "tdarr")["FILE__seededApiKey"] == "/run/secrets/tdarr_api_key"
    assert environment(bundle, "tdarr-node")["FILE__apiKey"] == "/run/secrets/tdarr_api_key"


def test_no_password_is_handed_to_an_image_that_puts_it_on_a_command_line(everything):
    """NZBGET_PASS, from a file or not, becomes `-o ControlPassword=…`: everybody on the host reads it with ps."""
    assert not [name for name in environment(everything, "nzbget") if "NZBGET" in name]
    assert "secrets" not in compose(everything)["nzbget"]


def test_a_rotated_secret_leaves_no_trace_of_the_old_one_in_any_file_of_an_app(everything, tmp_path):
    """Each preset as it is written at the first start, then with other values, also where `replace` keeps site off."""
    specs = {name: spec for name, spec in everything["secrets"].items() if spec.get("generate")}
    (tmp_path / "project").mkdir()
    store = secret_store.SecretStore(str(tmp_path / "project"))
    old = {name: secret_store.generate(spec["generate"]) for name, spec in specs.items()}
    new = {name: secret_store.generate(spec["generate"]) for name, spec in specs.items()}
    was, tokens = store.tokens(old, "192.0.2.1"), store.tokens(new, "192.0.2.1")
    found = [
        dict(entry, path=f"{tmp_path}/{entry['service']}/{entry['path'].rsplit('/', 1)[1]}", owner=None, group=None)
        for entry in everything["presets"]
    ]
    presets.apply(presets.plan(found, was))
    assert presets.plan(found, was) == []
    presets.apply(presets.plan(found, tokens, was=was))
    holding = 0
    for entry in found:
        text = pathlib.Path(entry["path"]).read_text()
        names = re.findall(
            r"@@mediastack:([a-z0-9_]+):([A-Za-z0-9_.-]+)@@", json.dumps([entry["content"], entry["keys"]])
        )
        for kind, name in set(names):
            if kind not in ("salt", "certificate") and name in specs:
                token = f"@@mediastack:{kind}:{name}@@"
                assert was(token) not in text and tokens(token) in text.replace("\\\\", "\\"), (entry["path"], name)
                holding += 1
    assert holding >= 17


def test_every_generated_secret_has_128_bits(everything):
    weak = {
        name: service_meta.bits(spec["generate"])
        for name, spec in everything["secrets"].items()
        if spec.get("generate") and service_meta.bits(spec["generate"]) < 128
    }
    assert weak == {}


def test_the_documented_exceptions_are_those_that_the_catalogue_has(everything):
    """docs/secrets.md, "Where a file is not enough": every secret that a container shows in its environment."""
    page = (pathlib.Path(service_files.__file__).resolve().parents[2] / "docs" / "secrets.md").read_text()
    table = page.partition("## Where a file is not enough")[2].partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z-]+)` \| `(\w+)` \|", table, re.M))
    shown = {
        (name, key)
        for name, definition in compose(everything).items()
        for key, value in (definition.get("environment") or {}).items()
        if "@@mediastack:secret:" in str(value)
    }
    assert documented == shown and len(shown) == 2


def test_without_a_claim_token_plex_has_no_trace_of_one(everything):
    assert "FILE__PLEX_CLAIM" not in environment(everything, "plex")
    assert "plex_claim" not in everything["secrets"]


def test_every_login_has_its_secret(everything):
    for name, service in everything["services"].items():
        login = service["login"]
        if login["kind"] in ("preset", "env", "servarr", "jellyfin"):
            assert login["password"] in everything["secrets"], name
            assert everything["secrets"][login["password"]]["generate"], name


def test_what_has_no_login_is_published_on_loopback_only(bundles, everything):
    for (address, _port, _protocol), name in published(everything).items():
        if everything["services"][name]["login"]["kind"] in ("none", "wizard") and name != "plex":
            assert address == "127.0.0.1", name
    # Behind the reverse proxy they stay there: it is the way in.
    beside = [profile for profile in ALL_PROFILES if profile != "proxy"]
    opened = bundles(mediastack_profiles=beside, mediastack_open_uis=["seerr", "tdarr", "homepage"], **VPN)
    assert published(opened)[("lan", 5055, "tcp")] == "seerr"
    assert published(opened)[("lan", 8265, "tcp")] == "tdarr"
    assert published(opened)[("lan", 3000, "tcp")] == "homepage"


def test_presets_can_be_read_in_their_format_and_hold_every_key_that_is_ours(everything, tmp_path):
    store = secret_store.SecretStore(str(tmp_path))
    values = store.resolve(everything["secrets"])
    tokens = store.tokens(values, "192.0.2.1")
    seen = 0
    for entry in everything["presets"]:
        content = tokens(entry["content"], "raw", None, entry["path"]).encode("utf-8")
        if entry["format"] not in ("xml", "text"):
            config_formats.get_value(content, entry["format"], ["nothing"])
        for key in entry["keys"]:
            wanted = tokens(str(key["value"]), "raw", None, entry["path"])
            found = config_formats.get_value(content, entry["format"], key["key"])
            assert config_formats.same(found, wanted), (entry["path"], key["key"], found)
            seen += 1
    assert seen > 20


# -- ports and the VPN -------------------------------------------------------------------------------------------------


def test_the_ports_are_those_that_people_know_and_none_twice(everything):
    ports = published(everything)
    ui = {name: port for (_address, port, _protocol), name in ports.items() if UI_PORTS.get(name) == port}
    assert ui == UI_PORTS
    assert ("127.0.0.1", 8000, "tcp") in ports and ("lan", 8000, "tcp") not in ports
    assert "flaresolverr" not in ports.values() and "docker-socket-proxy" not in ports.values()
    assert ("lan", 443, "tcp") in ports


@pytest.mark.parametrize("vpn", [VPN, OFF], ids=["vpn", "no vpn"])
def test_torrent_ports_are_published_only_without_the_vpn(bundles, vpn):
    ports = published(bundles(mediastack_profiles=ALL_PROFILES, **vpn))
    torrents = {("lan", port, protocol) for port, protocol in itertools.product((6881, 51413, 58946), ("tcp", "udp"))}
    assert torrents & set(ports) == (set() if vpn is VPN else torrents)


def test_downloaders_share_gluetuns_namespace_on_different_ports(bundles):
    bundle = bundles(
        mediastack_profiles=ALL_PROFILES, mediastack_ports={"qbittorrent": 8090, "sabnzbd": {"web": 9191}}, **VPN
    )
    members = {"qbittorrent", "sabnzbd", "transmission", "deluge", "nzbget"}
    assert set(bundle["vpn"]["members"]) == members
    assert bundle["vpn"]["ipv6"] is False and bundle["vpn"]["guard"] is True
    targets = [(port["target"], port["protocol"]) for port in bundle["services"]["gluetun"]["ports"]]
    assert len(targets) == len(set(targets))
    # qBittorrent refuses a Host header with another port than its own; SABnzbd's port is in its ini.
    assert environment(bundle, "qbittorrent")["WEBUI_PORT"] == "8090"
    assert (8090, "tcp") in targets and (9191, "tcp") in targets
    assert "port = 9191\n" in preset(bundle, "sabnzbd", "sabnzbd.ini")["content"]
    assert "9191/api" in str(compose(bundle)["sabnzbd"]["healthcheck"]["test"])
    for name in members:
        assert compose(bundle)[name]["network_mode"] == "service:gluetun"


def test_gluetun_gets_values_as_it_reads_them(bundles):
    bundle = bundles(
        mediastack_vpn_server_countries=["Netherlands", "Sweden"],
        mediastack_vpn_local_subnets=["192.168.1.0/24", "192.168.2.0/24"],
        mediastack_profiles=["transmission"],
        **VPN,
    )
    values = environment(bundle, "gluetun")
    assert values["SERVER_COUNTRIES"] == "Netherlands,Sweden"
    assert values["FIREWALL_OUTBOUND_SUBNETS"] == "192.168.1.0/24,192.168.2.0/24"
    assert values["FIREWALL_VPN_INPUT_PORTS"] == "6881,51413"
    assert values["WIREGUARD_ADDRESSES"] == "10.64.222.21/32"
    assert values["DNS_SERVER"] == "on"
    assert not {"USER", "PASSWORD", "PORT", "REGION", "COUNTRY", "DOT", "VPN_PORT_FORWARDING"} & set(values)
    toml = preset(bundle, "gluetun", "mediastack.toml")["content"]
    routes = re.search(r"routes = \[(.*)\]", toml)[1].split(", ")
    assert routes and all(route.startswith('"GET /v1/') for route in routes)
    assert "vpn/settings" not in toml and "openvpn/settings" not in toml


def test_gluetun_opens_nothing_at_home_unless_told(everything):
    assert "FIREWALL_OUTBOUND_SUBNETS" not in environment(everything, "gluetun")


def test_a_forwarded_port_is_handed_to_qbittorrent(bundles):
    bundle = bundles(
        mediastack_vpn_provider="private internet access",
        mediastack_vpn_type="openvpn",
        mediastack_vpn_openvpn_user="p1234567",
        mediastack_vpn_openvpn_password="it's $ecret",
        mediastack_vpn_port_forwarding=True,
        mediastack_ports={"qbittorrent": 8090},
    )
    values = environment(bundle, "gluetun")
    assert values["VPN_PORT_FORWARDING"] == "on"
    assert '\\"listen_port\\":{{PORT}}' in values["VPN_PORT_FORWARDING_UP_COMMAND"]
    assert "http://127.0.0.1:8090/api/v2/app/setPreferences" in values["VPN_PORT_FORWARDING_UP_COMMAND"]
    assert "FIREWALL_VPN_INPUT_PORTS" not in values
    assert set(compose(bundle)["gluetun"]["secrets"]) == {"openvpn_user", "openvpn_password"}
    assert bundle["secrets"]["openvpn_password"]["value"] == "it's $ecret"
    # It comes without a password, from the same namespace; and nothing may undo it at the next start.
    conf = preset(bundle, "qbittorrent", "qBittorrent.conf")
    assert "WebUI\\LocalHostAuth=false" in conf["content"]
    assert {"key": ["Preferences", "WebUI\\LocalHostAuth"], "value": "false", "replace": None} in conf["keys"]
    assert "TORRENTING_PORT" not in environment(bundle, "qbittorrent")


def test_pias_port_forwarding_behind_custom_wireguard_gets_its_login(bundles):
    bundle = bundles(
        mediastack_vpn_provider="custom",
        mediastack_vpn_port_forwarding=True,
        mediastack_vpn_port_forwarding_provider="private internet access",
        mediastack_vpn_server_names=["panama408"],
        mediastack_vpn_openvpn_user="p1234567",
        mediastack_vpn_openvpn_password="it's $ecret",
        mediastack_profiles=["transmission"],
        mediastack_vpn_wireguard_private_key=VPN["mediastack_vpn_wireguard_private_key"],
        mediastack_vpn_wireguard_addresses=["10.64.222.21/32"],
        mediastack_vpn_wireguard_public_key=VPN["mediastack_vpn_wireguard_private_key"],
        mediastack_vpn_wireguard_endpoint_ip="203.0.113.1",
        mediastack_vpn_wireguard_endpoint_port=1337,
    )
    # gluetun takes them for VPN_PORT_FORWARDING_USERNAME and _PASSWORD.
    assert set(compose(bundle)["gluetun"]["secrets"]) == {"wireguard_private_key", "openvpn_user", "openvpn_password"}
    assert "ecret" not in json.dumps(environment(bundle, "gluetun"))
    # The image would set Transmission's own port again at every start.
    assert "PEERPORT" not in environment(bundle, "transmission")


def test_without_port_forwarding_qbittorrent_asks_everybody_for_the_password(everything):
    conf = preset(everything, "qbittorrent", "qBittorrent.conf")
    assert "WebUI\\LocalHostAuth=true" in conf["content"]
    assert environment(everything, "qbittorrent")["TORRENTING_PORT"] == "6881"
    assert environment(everything, "transmission")["PEERPORT"] == "51413"


# -- lived-in configurations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["sonarr", "radarr", "lidarr", "readarr", "prowlarr"])
def test_an_existing_arr_keeps_its_key_and_its_way_of_login(everything, app):
    entry = preset(everything, app, "config.xml")
    replace = {key["key"][1]: key["replace"] for key in entry["keys"]}
    assert set(replace) == {"Port", "ApiKey", "AuthenticationMethod", "AuthenticationRequired"}
    assert "External" not in replace["AuthenticationMethod"] and "Basic" not in replace["AuthenticationMethod"]
    assert everything["secrets"][f"{app}_api_key"]["adopt"] == [
        {"path": f"/srv/mediastack/config/{app}/config.xml", "format": "xml", "key": ["Config", "ApiKey"]}
    ]


def test_a_password_that_is_there_is_never_replaced(everything):
    for service in ("qbittorrent", "sabnzbd", "bazarr", "deluge", "transmission", "nzbget", "tautulli"):
        for entry in everything["presets"]:
            if entry["service"] != service:
                continue
            for key in entry["keys"]:
                if "_password@@" in str(key["value"]):
                    assert key["replace"] is not None, (entry["path"], key["key"])
                    assert set(key["replace"]) <= {
                        None,
                        "",
                        "2ce1a410bcdcc53064129b6d950f2e9fee4edc1e",
                        "c26ab3bbd8b137f99cd83c2c1c0963bcc1a35cad",
                        "tegbzn6789",
                    }


# -- hardware and your own ---------------------------------------------------------------------------------------------


def test_a_gpu_is_for_those_that_transcode(bundles):
    """What they get of it only the host knows: test_gpu.py."""
    given = {"mediastack_profiles": ALL_PROFILES, **VPN}
    assert bundles(mediastack_gpu="vaapi", **given)["gpu"] == {
        "wanted": "vaapi",
        "services": ["jellyfin", "plex", "tdarr-node", "tdarr"],
    }
    assert bundles(**given)["gpu"] == {"wanted": "none", "services": []}
    for definition in compose(bundles(mediastack_gpu="nvidia", **given)).values():
        assert not {"devices", "deploy", "group_add"} & set(definition) or "/dev/net/tun" in str(definition)


@pytest.fixture
def own_services(tmp_path):
    """Render with the examples of docs/service-file.md as the user's own service files."""
    reference = pathlib.Path(service_files.__file__).resolve().parents[2] / "docs" / "service-file.md"
    text = reference.read_text(encoding="utf-8")
    examples = re.findall(r"`services/([a-z0-9-]+\.yml\.j2)`.*?```yaml\n(.*?)```", text, re.S)
    for name, example in examples:
        (tmp_path / name).write_text(example, encoding="utf-8")

    def bundle(**given):
        renderer = render.Renderer(user_dir=tmp_path)
        resolved = setting_files.resolve(given, environ={}, config_file="/nonexistent").values
        return renderer.bundle(resolved, {}, Templar(), renderer.select(resolved))

    return dict(examples), bundle


def test_a_second_sonarr_is_a_file_of_ten_lines(own_services):
    examples, bundle = own_services
    assert len(examples["sonarr-4k.yml.j2"].splitlines()) <= 10
    built = bundle(mediastack_services={"sonarr-4k": True}, **VPN)
    assert published(built)[("lan", 8990, "tcp")] == "sonarr-4k"
    assert [(port["port"], port["target"]) for port in built["services"]["sonarr-4k"]["ports"]] == [(8990, 8989)]
    assert built["services"]["sonarr-4k"]["config_dir"] == "/srv/mediastack/config/sonarr-4k"
    assert built["services"]["sonarr-4k"]["wiring"]["api"] == "/api/v3"
    assert "sonarr-4k_api_key" in preset(built, "sonarr-4k", "config.xml")["content"]
    assert "/srv/mediastack/media/tv-4k" in [entry["path"] for entry in built["directories"]]
    assert built["services"]["sonarr-4k"]["image"] == built["services"]["sonarr"]["image"]


def test_the_complete_example_of_the_reference_works(own_services):
    _examples, bundle = own_services
    built = bundle(mediastack_profiles=["audiobooks"], mediastack_ports={"audiobookshelf": 13379}, **VPN)
    assert published(built)[("127.0.0.1", 13379, "tcp")] == "audiobookshelf"
    assert compose(built)["audiobookshelf"]["networks"] == {"media": {"aliases": ["audiobookshelf"]}}
    assert "/srv/mediastack/config/audiobookshelf/metadata" in [entry["path"] for entry in built["directories"]]
