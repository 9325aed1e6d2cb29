# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stack linter: its verdict on the cases that a real engine is asked too, and its words."""

import lint_cases
import pytest
import render_harness as h

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    catalogue,
    compose_merge,
    lint_model,
    settings,
    stack_lint,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.errors import RenderError

QBITTORRENT = {"wiring": {"kind": "qbittorrent", "downloads": "/data/downloads/torrents"}}
QBITTORRENT["ports"] = {"web": 8080, "torrent": {"port": 6881, "protocol": "both", "expose": "vpn"}}
SONARR = {"wiring": {"kind": "servarr", "root_folder": "/data/media/tv"}}


def lint(*documents, **options):
    return stack_lint.lint(lint_model.of_documents(documents, **options))


def said(findings, level=None):
    return [finding.text for finding in findings if level in (None, finding.level)]


# -- the cases of the engine -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def all_services():
    return lint(lint_cases.services_document())


@pytest.mark.parametrize("name", lint_cases.SERVICES)
def test_verdict_on_a_service(all_services, name):
    # A clash of ports is said of the stack; the message names the service.
    mine = [each for each in all_services if each.service == name or f" {name} (" in each.message]
    assert bool(said(mine, "error")) == lint_cases.SERVICES[name][1], said(mine)


@pytest.mark.parametrize("name", lint_cases.PROJECTS)
def test_verdict_on_a_project(name):
    change, refused = lint_cases.PROJECTS[name]
    findings = lint(lint_cases.project_document(change))
    assert bool(said(findings, "error")) == refused, said(findings)


def test_every_finding_has_place_and_remedy():
    documents = [lint_cases.services_document()]
    documents += [lint_cases.project_document(change) for change, _refused in lint_cases.PROJECTS.values()]
    for document in documents:
        for finding in lint(document):
            assert finding.where and finding.message and finding.remedy, finding
            assert finding.level in ("error", "warning")


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"network_mode": "service:vpn", "networks": None, "hostname": "h"},
            "web: hostname: cannot be set: with network_mode service:vpn it has no network of its own; remove it, or",
        ),
        ({"cap_add": ["NET_ADMIM"]}, "web: cap_add: 'NET_ADMIM' is not a capability; Did you mean NET_ADMIN?"),
        ({"imagee": "x"}, "web: imagee: is not a key of Compose; Did you mean image?"),
        ({"restart": "allways"}, "web: restart: 'allways' is not a restart policy; Did you mean always?"),
        ({"networks": ["medai"]}, "web: networks.medai: is defined nowhere; Did you mean media?"),
        ({"depends_on": ["vpm"]}, "web: depends_on.vpm: there is no such service; Did you mean vpn?"),
        ({"volumes": ["./config:/config"]}, "web: volumes: ./config is relative to the project directory; "),
        ({"volumes": ["~/config:/config"]}, "web: volumes: ~/config is relative to the home of whoever runs Compose; "),
        ({"image": "nginx"}, "web: image: nginx is another image every day; write a version"),
        ({"image": "nginx:latest"}, "web: image: nginx:latest is another image every day; write a version"),
        ({"ports": ["127.0.0.1:26500:81"]}, "ports: port 26500/tcp is used by vpn (80) and by web (81); move one"),
        ({"volumes": ["/a:/x", "/b:/x"]}, "web: volumes: /x is mounted twice: /a is lost to /b; keep one of the two"),
        ({"restart": "on-failure:x"}, "web: restart: 'x' is not a number of tries and has no effect; "),
    ],
)
def test_words(keys, text):
    findings = lint(lint_cases.project_document(lambda document: document["services"]["web"].update(keys)))
    assert any(each.startswith(text) for each in said(findings)), said(findings)


def test_errors_come_first_and_nothing_twice():
    findings = lint(lint_cases.services_document())
    levels = [finding.level for finding in findings]
    assert levels == sorted(levels)
    assert len(set(findings)) == len(findings)


def test_variables_only_where_they_are_known():
    document = {"services": {"web": {"image": "a:1", "environment": {"A": "${TX}", "B": "${C:-x}", "D": "$$"}}}}
    assert said(lint(document)) == []
    assert said(lint(document, variables=["TZ"])) == [
        "web: ${TX}: is not set: Compose would put in nothing; did you mean ${TZ}?"
    ]


def test_what_a_variable_or_token_stands_for_is_not_judged():
    web = {"image": "${IMAGE}", "restart": "${RESTART}", "mem_limit": "$LIMIT", "ports": ["@@mediastack:bind@@:80:80"]}
    assert said(lint({"services": {"web": web}})) == []


# -- merging, as Compose does ------------------------------------------------------------------------------------------


def test_an_override_is_merged_by_the_rules_of_compose():
    base = {
        "command": ["a"],
        "environment": ["A=1", "B=2"],
        "volumes": ["/a:/x", {"type": "bind", "source": "/b", "target": "/y"}],
        "ports": ["1:1"],
        "cap_add": ["CHOWN"],
        "networks": ["media"],
        "healthcheck": {"test": ["CMD", "a"], "interval": "1s"},
        "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
        "depends_on": ["vpn"],
        "tmpfs": "/run",
    }
    over = {
        "command": ["b"],
        "environment": {"B": 3},
        "volumes": ["/c:/y/"],
        "ports": ["2:2"],
        "cap_add": ["CHOWN", "KILL"],
        "networks": {"other": {"aliases": ["x"]}},
        "healthcheck": {"test": ["CMD", "b"]},
        "logging": {"driver": "local"},
        "depends_on": {"db": {"condition": "service_started"}},
        "tmpfs": ["/tmp"],
    }
    merged = compose_merge.documents([{"services": {"web": base}}, {"services": {"web": over}}])["services"]["web"]
    assert merged == {
        "command": ["b"],
        "environment": {"A": "1", "B": 3},
        "volumes": ["/a:/x", "/c:/y/"],
        "ports": ["1:1", "2:2"],
        "cap_add": ["CHOWN", "KILL"],
        "networks": {"media": None, "other": {"aliases": ["x"]}},
        "healthcheck": {"test": ["CMD", "b"], "interval": "1s"},
        "logging": {"driver": "local"},
        "depends_on": {"vpn": None, "db": {"condition": "service_started"}},
        "tmpfs": ["/run", "/tmp"],
    }


# -- containment -------------------------------------------------------------------------------------------------------


def behind_vpn(gluetun=None, qbittorrent=None, **more):
    services = {
        "gluetun": {
            "image": "qmcgaw/gluetun:v3.41.3",
            "cap_add": ["NET_ADMIN"],
            "sysctls": {"net.ipv6.conf.all.disable_ipv6": "1"},
            **(gluetun or {}),
        },
        "qbittorrent": {
            "image": "a:1",
            "network_mode": "service:gluetun",
            "depends_on": {"gluetun": {"condition": "service_healthy", "restart": True}},
            "volumes": ["/srv/ms:/data"],
            **(qbittorrent or {}),
        },
        **more,
    }
    return said(lint({"services": services}, meta={"qbittorrent": QBITTORRENT}))


def test_contained():
    assert behind_vpn() == []


@pytest.mark.parametrize(
    ("gluetun", "qbittorrent", "text"),
    [
        ({"network_mode": "host"}, {}, "gluetun: network_mode: with network_mode host the VPN's namespace is not"),
        ({"privileged": True}, {}, "gluetun: privileged: it needs NET_ADMIN and /dev/net/tun, no more"),
        ({"ports": ["0.0.0.0:6881:6881/udp"]}, {}, "gluetun: ports: publishes the torrent port of qbittorrent"),
        ({"environment": {"FIREWALL_OUTBOUND_SUBNETS": "10.0.0.0/8,0.0.0.0/0"}}, {}, "gluetun: environment.FIREWALL_"),
        ({"sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"}}, {}, "gluetun: sysctls.net.ipv6.conf.all.disable_ipv6"),
        ({}, {"privileged": True}, "qbittorrent: privileged: could change the firewall of gluetun"),
        ({}, {"cap_add": ["CAP_NET_ADMIN"]}, "qbittorrent: cap_add: with NET_ADMIN it could change the firewall"),
        ({}, {"volumes": ["/var/run/docker.sock:/s"]}, "qbittorrent: volumes: with the engine's socket"),
        ({}, {"network_mode": "bridge"}, "qbittorrent: mediastack_vpn_services: is not behind the VPN"),
        ({}, {"depends_on": {"gluetun": {"condition": "service_healthy"}}}, "qbittorrent: depends_on.gluetun: without"),
    ],
)
def test_what_undoes_containment(gluetun, qbittorrent, text):
    assert any(each.startswith(text) for each in behind_vpn(gluetun, qbittorrent)), behind_vpn(gluetun, qbittorrent)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("WIREGUARD_PRIVATE_KEY", "${KEY}", "set mediastack_vpn_wireguard_private_key instead"),
        ("OPENVPN_PASSWORD", "s3cr3t", "set mediastack_vpn_openvpn_password instead"),
        ("HTTPPROXY_PASSWORD", "s3cr3t", "give it as the Compose secret httpproxy_password"),
        ("OPENVPN_USER", "", None),
        ("HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE", "{}", None),
    ],
)
def test_a_credential_in_a_variable_shows_to_whoever_may_ask_the_engine(name, value, remedy):
    words = f"gluetun: environment.{name}: as a variable it shows in docker inspect; {remedy}, which becomes a file"
    assert behind_vpn({"environment": {name: value, "TZ": "UTC"}}) == ([words] if remedy else [])


CONTROL = {"HTTP_CONTROL_SERVER_ADDRESS": ":8001"}


@pytest.mark.parametrize(
    ("gluetun", "address"),
    [
        ({"ports": ["8000:8000"]}, "0.0.0.0"),
        ({"ports": ["192.168.1.5:18000:8000/tcp"]}, "192.168.1.5"),
        ({"ports": [{"target": 8000, "published": "8000", "host_ip": "@@mediastack:bind@@"}]}, "@@mediastack:bind@@"),
        ({"ports": ["127.0.0.1:8000:8000", "[::]:8000:8000"]}, "::"),
        ({"ports": ["8001:8001"], "environment": CONTROL}, "0.0.0.0"),
        ({"ports": ["127.0.0.1:8000:8000", "[::1]:8000:8000"]}, None),
        ({"ports": ["8000:8000/udp", "8001:8001"]}, None),
        ({"ports": ["8000:8000"], "environment": CONTROL}, None),
    ],
)
def test_the_control_server_is_not_for_others(gluetun, address):
    """A warning: whoever publishes it for a dashboard elsewhere may do so, and is told."""
    words = f"gluetun: ports: publishes gluetun's control server on {address}: its keys travel there in the clear"
    assert [each for each in behind_vpn(gluetun) if "control server" in each] == (
        [f"{words}; publish it on 127.0.0.1 only, as it is without this"] if address else []
    )


def test_two_that_listen_on_one_port_behind_the_vpn():
    joined = {"image": "a:1", "network_mode": "service:gluetun"}
    services = {"gluetun": {"image": "g:1"}, "one": joined, "two": joined, "three": joined}
    meta = {name: {"ports": {"web": port}} for name, port in (("one", 9000), ("two", 9000), ("three", 8000))}
    texts = said(lint({"services": services}, meta=meta), "error")
    assert any(text.startswith("ports: one and two both listen on 9000/tcp in gluetun's") for text in texts), texts
    assert any(text.startswith("ports: three listens on 8000/tcp (web) in gluetun's") for text in texts), texts


# -- paths -------------------------------------------------------------------------------------------------------------


def paths(qbittorrent, sonarr, **options):
    services = {
        "qbittorrent": {"image": "a:1", "volumes": qbittorrent},
        "sonarr": {"image": "a:1", "volumes": sonarr},
    }
    findings = lint({"services": services}, meta={"qbittorrent": QBITTORRENT, "sonarr": SONARR}, **options)
    return [(finding.level, finding.text) for finding in findings]


def test_one_mount_for_all_is_well():
    assert paths(["/srv/ms:/data"], ["/srv/ms:/data"]) == []


def test_a_path_that_is_another_directory_there():
    ((level, text),) = paths(["/srv/ms/dl:/data/downloads/torrents"], ["/srv/ms:/data"])
    assert level == "warning"
    assert text == (
        "sonarr: volumes: qbittorrent reports its downloads at /data/downloads/torrents, which is /srv/ms/dl there and "
        "/srv/ms/downloads/torrents here; mount /srv/ms/dl at /data/downloads/torrents in both, or add a remote path "
        "mapping in sonarr"
    )


def test_a_path_that_is_not_there_but_elsewhere():
    found = paths(["/srv/ms:/data"], ["/srv/ms/downloads:/downloads", "/srv/ms/media:/data/media"])
    assert [level for level, _text in found] == ["warning"]
    assert "a path that is not mounted here" in found[0][1] and "remote path mapping" in found[0][1]


def test_a_path_that_is_nowhere():
    found = paths(["/srv/ms:/data"], ["/srv/ms/media:/data/media"])
    assert [level for level, _text in found] == ["error"]
    assert found[0][1].endswith("; mount /srv/ms/downloads/torrents at /data/downloads/torrents in both")


def test_downloads_or_library_in_the_container_alone():
    found = paths(["/srv/ms/config:/config"], ["/srv/ms:/data"])
    assert any("/data/downloads/torrents lies in the container alone" in text for _level, text in found)
    found = paths(["/srv/ms:/data"], ["/srv/ms/downloads:/data/downloads"])
    assert any("its root folder /data/media/tv lies in the container alone" in text for _level, text in found)


def test_two_mounts_break_hard_links():
    mounts = ["/srv/ms/downloads:/data/downloads", "/srv/ms/media:/data/media"]
    ((level, text),) = paths(mounts, mounts)
    assert level == "warning"
    assert text == (
        "sonarr: volumes: /data/downloads/torrents (qbittorrent) and /data/media/tv are two mounts, so imports are "
        "copies, not hard links; mount one directory above both, as /data is"
    )


def test_a_mount_inside_of_data_breaks_hard_links():
    found = paths(["/srv/ms:/data"], ["/srv/ms:/data", "/mnt/tv:/data/media/tv"])
    assert [level for level, _text in found] == ["warning"]


def test_split_mounts_are_said_once():
    mounts = ["/srv/ms/downloads:/data/downloads", "/srv/ms/media:/data/media"]
    ((level, text),) = paths(mounts, mounts, split_mounts=True)
    assert level == "warning" and text.startswith("mediastack_split_mounts: imports of sonarr are copies")


# -- what ships, and what rendering refuses ----------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path):
    return h.World(tmp_path, shipped=h.SHIPPED)


@pytest.mark.parametrize("vpn", [h.VPN, h.NO_VPN])
@pytest.mark.parametrize("without", ["dashboard", "dashboard-alt"])
def test_nothing_is_wrong_with_what_ships(world, vpn, without):
    renderer = world.renderer()
    known = catalogue.names_of(renderer.facts)
    profiles = [profile for profile in known.profiles if profile != without]
    given = {"mediastack_profiles": profiles, **vpn}
    values = settings.resolve(given, h.templar(), {}, "", lambda: known).values
    rendered = renderer.render(values, {}, h.templar(), renderer.select(values))
    findings = stack_lint.lint(stack_lint.model_of(rendered.catalogue, rendered.stack, values))
    assert said(findings) == []


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            {"sonarr": {"restart": "allways"}},
            "sonarr: restart: 'allways' is not a restart policy; Did you mean always?",
        ),
        ({"sonarr": {"hostnam": "x"}}, "sonarr: hostnam: is not a key of Compose; Did you mean hostname?"),
        ({"sonarr": {"networks": {"medai": {}}}}, "sonarr: networks.medai: is defined nowhere; Did you mean media?"),
        ({"qbittorrent": {"cap_add": ["NET_ADMIN"]}}, "qbittorrent: cap_add: with NET_ADMIN it could change"),
        ({"gluetun": {"ports": ["6881:6881"]}}, "gluetun: ports: publishes the torrent port of qbittorrent"),
        ({"sonarr": {"network_mode": "service:gluetun", "hostname": "x"}}, "sonarr: hostname: cannot be set"),
    ],
)
def test_rendering_refuses_what_the_engine_would(world, overrides, text):
    with pytest.raises(RenderError) as caught:
        world.bundle(**h.VPN, mediastack_overrides=overrides)
    text = f"mediastack_overrides: {text}"
    assert any(problem.startswith(text) for problem in caught.value.problems), caught.value.problems


def test_rendering_does_not_refuse_what_is_only_a_warning(world):
    overrides = {"sonarr": {"volumes": ["./x:/x"], "restart": "on-failure:x"}}
    assert world.bundle(**h.VPN, mediastack_overrides=overrides)["services"]["sonarr"]
