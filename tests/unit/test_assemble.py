# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What assembly adds to services, what the VPN changes, and what it refuses."""

from __future__ import annotations

import pytest
import render_harness as h
import yaml

from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

HERE = {"mediastack_bind_addresses": ["127.0.0.1"]}


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path)


def problems(call, *arguments, **named):
    with pytest.raises(RenderError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def app(extra="", meta="", **keys):
    """The text of a service file named app."""
    return (
        "services:\n  app:\n    image: example/app:1\n"
        + extra
        + f"    x-mediastack: {{title: App, profiles: [always], login: {{kind: preset}}{meta}}}\n"
    )


# -- what every service gets


def test_every_service_gets_the_common_keys(world):
    definition = h.service(world.bundle(), "sonarr")
    assert definition["container_name"] == "sonarr"
    assert definition["restart"] == "unless-stopped"
    assert definition["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert definition["stop_grace_period"] == "30s"
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert definition["networks"] == {"media": {"aliases": ["sonarr"]}}
    assert definition["labels"]["org.homelab.mediastack.content"] == "@@mediastack:hash:sonarr@@"
    assert "x-mediastack" not in definition


def test_a_second_stack_on_the_engine_has_other_container_names_and_the_same_aliases(world):
    bundle = world.bundle(mediastack_container_prefix="demo-", **h.VPN)
    assert h.service(bundle, "sonarr")["container_name"] == "demo-sonarr"
    assert bundle["services"]["gluetun"]["container_name"] == "demo-gluetun"
    assert h.service(bundle, "gluetun")["networks"]["media"]["aliases"] == ["gluetun", "qbittorrent"]


def test_what_the_file_says_itself_stays(world):
    world.write(
        "app",
        app(
            "    restart: 'no'\n    stop_grace_period: 2m\n    logging: {driver: none}\n    container_name: mine\n"
            "    networks: [front]\n    labels: [a=b]\n    security_opt: ['label:disable']\n"
        )
        + "networks: {front: {external: true}}\n",
    )
    definition = h.service(world.bundle(), "app")
    assert (definition["restart"], definition["stop_grace_period"], definition["container_name"]) == (
        "no",
        "2m",
        "mine",
    )
    assert definition["logging"] == {"driver": "none"}
    assert definition["networks"] == ["front"]
    assert definition["labels"]["a"] == "b"
    assert definition["security_opt"] == ["label:disable", "no-new-privileges:true"]


def test_new_privileges_where_the_vendor_needs_them(world):
    world.write("app", app(meta=", new_privileges: true"))
    assert "security_opt" not in h.service(world.bundle(), "app")


def test_the_network_is_named_and_the_same_in_every_file(world):
    bundle = world.bundle(mediastack_project_name="films", mediastack_network_subnet="172.28.0.0/24")
    expected = {"media": {"name": "films", "ipam": {"config": [{"subnet": "172.28.0.0/24"}]}}}
    assert h.compose(bundle, "core")["networks"] == expected
    assert h.compose(bundle, "media")["networks"] == expected


def test_network_mode_of_the_file_or_of_an_override_needs_no_network(world):
    world.write("app", app("    network_mode: host\n"))
    assert "networks" not in h.service(world.bundle(), "app")
    bundle = world.bundle(mediastack_overrides={"sonarr": {"network_mode": "host"}})
    definition = h.service(bundle, "sonarr")
    assert "networks" not in definition and "ports" not in definition
    assert bundle["services"]["sonarr"]["ports"] == []


def test_images_are_exceptions(world):
    bundle = world.bundle(mediastack_images={"sonarr": "example/sonarr:9"})
    assert bundle["services"]["sonarr"]["image"] == "example/sonarr:9"
    # The host writes the one that the service keeps (P8).
    assert h.service(bundle, "sonarr")["image"] == "@@mediastack:image:sonarr@@"
    assert bundle["services"]["qbittorrent"]["image"] == "lscr.io/linuxserver/qbittorrent:5.2.3"


# -- ports


def test_ports_on_every_bind_address_and_on_the_saved_one_without(world):
    bundle = world.bundle(mediastack_bind_addresses=["127.0.0.1", "192.168.1.5"], mediastack_ports={"sonarr": 9000})
    assert h.published(h.service(bundle, "sonarr")) == {
        ("127.0.0.1", 9000, 8989, "tcp"),
        ("192.168.1.5", 9000, 8989, "tcp"),
    }
    bundle = world.bundle()
    assert h.published(h.service(bundle, "sonarr")) == {("@@mediastack:bind@@", 8989, 8989, "tcp")}
    assert bundle["services"]["sonarr"]["ports"][0]["addresses"] == []


def test_a_ui_without_login_is_on_loopback_unless_opened(world):
    given = {"mediastack_profiles": ["extra"], "mediastack_bind_addresses": ["192.168.1.5"]}
    closed = h.published(h.service(world.bundle(**given), "helper"))
    assert closed == {("127.0.0.1", 7000, 7000, "tcp"), ("192.168.1.5", 7001, 7001, "tcp")}
    opened = h.published(h.service(world.bundle(mediastack_open_uis=["helper"], **given), "helper"))
    assert opened == {("192.168.1.5", 7000, 7000, "tcp"), ("192.168.1.5", 7001, 7001, "tcp")}


PROXY = (
    "services:\n  front:\n    image: example/front:1\n    x-mediastack: {title: Front, profiles: [proxy], "
    "login: {kind: no_ui}, ports: {web: {port: 80, expose: lan}, ping: {port: 8085, expose: loopback}}}\n"
)


def test_behind_the_reverse_proxy_uis_are_on_loopback_and_the_proxy_is_where_they_were(world):
    world.write("front", PROXY)
    bundle = world.bundle(mediastack_profiles=["proxy"])
    assert h.published(h.service(bundle, "sonarr")) == {("127.0.0.1", 8989, 8989, "tcp")}
    assert bundle["services"]["sonarr"]["ports"][0]["addresses"] == ["127.0.0.1"]
    assert h.published(h.service(bundle, "front")) == {
        ("@@mediastack:bind@@", 80, 80, "tcp"),
        ("127.0.0.1", 8085, 8085, "tcp"),
    }
    # A proxy that is there and not selected changes nothing.
    assert h.published(h.service(world.bundle(), "sonarr")) == {("@@mediastack:bind@@", 8989, 8989, "tcp")}
    assert h.published(h.service(world.bundle(mediastack_services={"front": True}), "sonarr")) == {
        ("127.0.0.1", 8989, 8989, "tcp")
    }


def test_behind_the_reverse_proxy_the_vpn_s_members_are_on_loopback_too(world):
    world.write("front", PROXY)
    bundle = world.bundle(mediastack_profiles=["proxy"], **h.VPN)
    web = [port for port in bundle["services"]["gluetun"]["ports"] if port["name"] == "web"]
    assert [(port["service"], port["addresses"]) for port in web] == [("qbittorrent", ["127.0.0.1"])]


def test_addresses_written_by_hand_count_behind_the_reverse_proxy_too(world):
    world.write("front", PROXY)
    bundle = world.bundle(mediastack_profiles=["proxy"], mediastack_bind_addresses=["192.168.1.5"])
    assert h.published(h.service(bundle, "sonarr")) == {("192.168.1.5", 8989, 8989, "tcp")}
    assert ("192.168.1.5", 80, 80, "tcp") in h.published(h.service(bundle, "front"))


def test_exposures(world):
    world.write(
        "app",
        app(
            meta=", ports: {a: {port: 1001, expose: loopback}, b: {port: 1002, expose: none}, "
            "c: {port: 1003, protocol: both}}"
        ),
    )
    definition = h.service(world.bundle(mediastack_bind_addresses=["192.168.1.5"]), "app")
    assert h.published(definition) == {
        ("127.0.0.1", 1001, 1001, "tcp"),
        ("192.168.1.5", 1003, 1003, "tcp"),
        ("192.168.1.5", 1003, 1003, "udp"),
    }


def test_a_port_for_a_service_that_has_none(world):
    world.write("app", app())
    assert "mediastack_ports" in problems(world.bundle, mediastack_ports={"app": 5})


def test_two_services_on_one_port_are_named_with_the_line_to_set(world):
    message = problems(world.bundle, mediastack_ports={"sonarr": 8080}, **HERE)
    assert "port 8080/tcp is used by qbittorrent (web) and by sonarr (web)" in message
    assert "mediastack_ports: {sonarr: 8081}" in message


@pytest.mark.parametrize("ports", ["['8989:80']", "['127.0.0.1:8980-8990:80-90']", "[{target: 80, published: 8989}]"])
def test_ports_in_composes_own_words_clash_too(world, ports):
    world.write("app", app(f"    ports: {ports}\n"))
    assert "8989/tcp is used by" in problems(world.bundle, **HERE)


def test_a_port_that_an_override_adds_clashes_too(world):
    message = problems(world.bundle, mediastack_overrides={"qbittorrent": {"ports": ["8989:1"]}}, **HERE)
    assert "8989/tcp is used by qbittorrent" in message


@pytest.mark.parametrize(
    "ports", ["['127.0.0.1:8989:80/udp']", "['127.0.0.2:8989:80']", "['192.168.1.9:8989:80']", "[{target: 8989}]"]
)
def test_another_protocol_or_address_is_no_clash(world, ports):
    world.write("app", app(f"    ports: {ports}\n"))
    assert "app" in world.bundle(**HERE)["services"]


# -- VPN


def test_members_live_in_gluetuns_namespace_with_their_ports_on_it(world):
    bundle = world.bundle(**h.VPN, **HERE)
    member, parent = h.service(bundle, "qbittorrent"), h.service(bundle, "gluetun")
    assert member["network_mode"] == "service:gluetun"
    assert member["depends_on"] == {"gluetun": {"condition": "service_healthy", "restart": True}}
    assert "ports" not in member and "networks" not in member
    # the torrent port is not published while the VPN is on
    assert h.published(parent) == {("127.0.0.1", 8000, 8000, "tcp"), ("127.0.0.1", 8080, 8080, "tcp")}
    assert parent["networks"]["media"]["aliases"] == ["gluetun", "qbittorrent"]
    assert (bundle["vpn"]["enabled"], bundle["vpn"]["members"]) == (True, ["qbittorrent"])
    assert bundle["services"]["qbittorrent"]["network_parent"] == "gluetun"
    assert bundle["services"]["qbittorrent"]["ports"] == []
    assert [(port["service"], port["port"]) for port in bundle["services"]["gluetun"]["ports"]] == [
        ("gluetun", 8000),
        ("qbittorrent", 8080),
    ]
    assert not any("VPN OFF" in message for message in bundle["messages"])


def test_with_the_vpn_off_the_same_app_has_its_own_network_and_ports(world):
    bundle = world.bundle(**HERE)
    definition = h.service(bundle, "qbittorrent")
    assert "gluetun" not in bundle["services"]
    assert definition["networks"] == {"media": {"aliases": ["qbittorrent"]}}
    assert h.published(definition) == {
        ("127.0.0.1", 8080, 8080, "tcp"),
        ("127.0.0.1", 6881, 6881, "tcp"),
        ("127.0.0.1", 6881, 6881, "udp"),
    }
    assert "depends_on" not in definition
    assert bundle["messages"][0] == "VPN OFF: torrents use your own address"


def test_gluetun_runs_without_members_too(world):
    bundle = world.bundle(mediastack_vpn_services=[], **h.VPN)
    assert (bundle["vpn"]["enabled"], bundle["vpn"]["members"]) == (True, [])
    assert h.service(bundle, "gluetun")["networks"]["media"]["aliases"] == ["gluetun"]


def test_a_users_own_service_can_live_behind_the_vpn(world):
    world.write("app", app(meta=", ports: {web: 7777}"))
    bundle = world.bundle(mediastack_vpn_services=["app"], **h.VPN)
    assert h.service(bundle, "app")["network_mode"] == "service:gluetun"
    assert 7777 in {port[1] for port in h.published(h.service(bundle, "gluetun"))}
    assert "network_mode" not in h.service(bundle, "qbittorrent")


@pytest.mark.parametrize(
    "key",
    [
        "ports: ['1:1']",
        "hostname: x",
        "dns: 1.1.1.1",
        "extra_hosts: ['a:1.1.1.1']",
        "mac_address: 02:42:ac:11:65:43",
        "networks: [media]",
        "network_mode: host",
    ],
)
def test_members_cannot_have_a_network_of_their_own(world, key):
    world.write("app", app(f"    {key}\n"))
    message = problems(world.bundle, mediastack_vpn_services=["app"], **h.VPN)
    assert f"cannot have {key.partition(':')[0]}" in message
    name, _colon, value = key.partition(": ")
    message = problems(world.bundle, mediastack_overrides={"qbittorrent": {name: yaml.safe_load(value)}}, **h.VPN)
    assert f"mediastack_overrides.qbittorrent.{name}: qbittorrent lives in gluetun's network namespace" in message


def test_two_members_on_one_port_are_refused(world):
    world.write("app", app(meta=", ports: {web: {port: 9090, target: 8080}}"))
    message = problems(world.bundle, mediastack_vpn_services=["app", "qbittorrent"], **h.VPN)
    assert "qbittorrent and app both listen on 8080/tcp in gluetun's network namespace" in message


@pytest.mark.parametrize("target", [53, 1080, 8000, 8388, 8888, 9999])
def test_members_keep_off_gluetuns_own_ports(world, target):
    world.write("app", app(meta=f", ports: {{web: {{port: 9090, target: {target}, expose: none}}}}"))
    message = problems(world.bundle, mediastack_vpn_services=["app"], **h.VPN)
    assert f"app listens on {target}/tcp (web) in gluetun's network namespace" in message


# -- dependencies


def test_dependencies_that_are_not_selected_are_dropped_when_optional_and_refused_when_not(world):
    assert "depends_on" not in h.service(world.bundle(), "sonarr")
    selected = h.service(world.bundle(mediastack_profiles=["extra"]), "sonarr")
    assert selected["depends_on"] == {"helper": {"condition": "service_started", "required": False}}
    world.write("app", app("    depends_on: [helper]\n"))
    assert "app depends on helper, which is not selected" in problems(world.bundle)


def test_circles_are_refused(world):
    world.write("app", app("    depends_on: [bpp]\n"))
    world.write("bpp", app("    depends_on: [app]\n").replace("  app:", "  bpp:"))
    assert "depends_on goes in a circle: app → bpp → app" in problems(world.bundle)


# -- data


def test_config_and_project_are_hidden_from_everybody_who_sees_data(world):
    definition = h.service(world.bundle(), "sonarr")
    assert definition["tmpfs"] == [f"/data/{name}:ro,size=4k,mode=0555" for name in ("backups", "compose", "config")]


def test_only_what_lies_below_the_base_path_needs_hiding(world):
    elsewhere = {f"mediastack_{name}_path": f"/opt/{name}" for name in ("config", "project", "backup")}
    bundle = world.bundle(**elsewhere)
    assert "tmpfs" not in h.service(bundle, "sonarr")
    bundle = world.bundle(mediastack_config_path="/srv/mediastack/apps/config")
    assert "/data/apps/config:ro,size=4k,mode=0555" in h.service(bundle, "sonarr")["tmpfs"]


def test_a_mount_that_an_override_adds_is_masked_too(world):
    world.write("app", app())
    bundle = world.bundle(mediastack_overrides={"app": {"volumes": ["/srv/mediastack:/data:ro"]}})
    assert h.service(bundle, "app")["tmpfs"][2].startswith("/data/config:")


def test_split_mounts(world):
    bundle = world.bundle(
        mediastack_split_mounts=True, mediastack_media_path="/mnt/a/media", mediastack_downloads_path="/mnt/b/downloads"
    )
    binds = {volume["target"]: volume["source"] for volume in h.service(bundle, "sonarr")["volumes"]}
    assert binds == {
        "/config": "/srv/mediastack/config/sonarr",
        "/data/media": "/mnt/a/media",
        "/data/downloads": "/mnt/b/downloads",
    }
    assert "tmpfs" not in h.service(bundle, "sonarr")
    assert bundle["paths"]["split_mounts"] is True


# -- overrides and checks of the whole


def test_overrides_are_a_file_of_their_own_the_last_one(world):
    override = {"environment": {"A": "1"}, "mem_limit": "1g"}
    bundle = world.bundle(mediastack_overrides={"sonarr": override})
    assert h.compose(bundle, "overrides") == {"services": {"sonarr": override}}
    assert h.file(bundle, ".env")["content"].count(':compose.overrides.yml"\n') == 1
    assert h.file(bundle, "compose.overrides.yml")["secret"] is False


def test_an_override_of_what_is_not_selected_is_left_out(world):
    bundle = world.bundle(mediastack_overrides={"helper": {"mem_limit": "1g"}})
    assert not any(entry["path"].endswith("overrides.yml") for entry in bundle["files"])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"container_name": "x"}, "mediastack_overrides.sonarr.container_name cannot be set"),
        ({"profiles": ["x"]}, "use mediastack_services"),
        ({"build": "."}, "use mediastack_images"),
    ],
)
def test_overrides_that_would_break_the_rest(world, override, expected):
    assert expected in problems(world.bundle, mediastack_overrides={"sonarr": override})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("    volumes: ['data:/x']\n", "app uses volumes.data, which no service file defines"),
        ("    secrets: [key]\n", "app uses secrets.key"),
        ("    networks: [meida]\n", "app uses networks.meida, which no service file defines. Did you mean media?"),
        ("    networks: [media]\n    network_mode: host\n", "has both network_mode and networks"),
        ("    container_name: sonarr\n", "have the same container_name sonarr"),
        ("    command: 'echo $(id)'\n", "a dollar sign that Compose cannot read in 'echo $(id)'"),
        ("    environment: {A: '${NO_SUCH}'}\n", "app uses ${NO_SUCH}, which is not set; add it to mediastack_env"),
        ("    environment: {A: '${PUDI}'}\n", "did you mean ${PUID}?"),
    ],
)
def test_what_compose_would_let_pass_or_find_only_on_the_host(world, text, expected):
    world.write("app", app(text))
    assert expected in problems(world.bundle)


def test_variables_with_a_default_and_escaped_dollars_are_fine(world):
    world.write("app", app("    environment: {A: '${NO_SUCH:-x}', B: '$$HOME', C: '${MINE}'}\n"))
    assert world.bundle(mediastack_env={"MINE": "1"})
