# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `config_validate` says of a host, and how it is printed for all."""

import config_world
import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    gluetun_environment,
    host_check,
    lint_model,
    play_results,
)
from ansible_collections.homelab.mediastack.plugins.plugin_utils.lint_model import ERROR, WARNING, Finding

VPN = f"""
mediastack_vpn_provider: mullvad
mediastack_vpn_wireguard_private_key: {config_world.KEY}
mediastack_vpn_wireguard_addresses: [10.64.0.2/32]
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    return config_world.World(tmp_path)


@pytest.fixture
def check(world):
    def findings(settings, group=config_world.VPN_OFF):
        world.write("group_vars/mediastack/mediastack.yml", group)
        world.write("host_vars/nas/mediastack.yml", settings)
        return host_check.check(world.variables(), world.templar())

    return findings


def errors(findings):
    return [each.text for each in findings if each.level == ERROR]


def test_nothing_is_wrong(check):
    assert check("mediastack_puid: 1001\n") == ([], [])


def test_nothing_is_wrong_with_a_vpn(check):
    findings, notes = check("mediastack_puid: 1001\n", VPN)
    assert (errors(findings), notes) == ([], [])


def test_all_settings_that_are_wrong_with_file_and_line(check, world):
    findings, _notes = check("mediastack_puid: many\nmediastack_umask: '999'\nmediastack_profile: [music]\n")
    file = world.path("host_vars/nas/mediastack.yml")
    assert [(each.level, each.where) for each in findings] == [
        ("error", f"mediastack_profile ({file}:3)"),
        ("error", f"mediastack_puid ({file}:1)"),
        ("error", f"mediastack_umask ({file}:2)"),
    ]
    assert '"many" is not a whole number' in findings[1].message


def test_warnings_of_settings(check):
    findings, _notes = check("mediastack_puid: 0\n")
    assert [(each.level, each.where) for each in findings] == [("warning", "mediastack_puid")]


def test_the_linter_and_its_warnings(check):
    overrides = "mediastack_overrides:\n  sonarr: {restart: allways, volumes: ['./x:/x']}\n  radarr: {hostnam: x}\n"
    findings, _notes = check(overrides)
    assert [each.text for each in findings] == [
        "radarr: hostnam: is not a key of Compose; Did you mean hostname?",
        "sonarr: restart: 'allways' is not a restart policy; Did you mean always?",
        "sonarr: volumes: ./x is relative to the project directory; write an absolute path of the host",
    ]
    assert [each.level for each in findings] == ["error", "error", "warning"]


def test_what_rendering_refuses(check):
    findings, _notes = check("mediastack_overrides: {sonarr: {environment: {A: '${NOSUCH}'}}}\n")
    assert any("${NOSUCH}, which is not set" in text for text in errors(findings))


def test_a_service_file_that_cannot_be_read(check, world):
    world.write("services/mine.yml.j2", "services: [")
    findings, _notes = check("mediastack_puid: many\n")
    texts = errors(findings)
    assert any("services/mine.yml.j2" in text for text in texts), texts
    assert any("mediastack_puid" in text for text in texts), texts


def test_what_gluetun_refuses(check):
    overrides = "mediastack_overrides: {gluetun: {environment: {DNS_UPSTREAM_RESOLVERS: nosuchresolver}}}\n"
    findings, _notes = check(overrides, VPN)
    assert [(each.level, each.service) for each in findings if each.where == "gluetun v3.41.3"] == [
        ("error", "gluetun")
    ]
    assert "nosuchresolver" in errors(findings)[0]


def test_what_gluetun_ignores(check):
    overrides = "mediastack_overrides: {gluetun: {environment: {SERVER_COUNTRY: Germany}}}\n"
    findings, _notes = check(overrides, VPN)
    found = [each for each in findings if "SERVER_COUNTRY" in each.message]
    assert found and all(each.level == WARNING for each in found), findings


def test_no_secret_in_what_is_said(check):
    key = config_world.KEY
    findings, _notes = check("mediastack_vpn_server_cities: [x]\n", VPN.replace("mullvad", "nordvpn"))
    assert findings
    assert not any(key in each.text for each in findings)


def test_files_on_the_host_are_named_as_not_looked_at(check):
    _findings, notes = check("mediastack_compose_files: [/srv/mine.yml]\n")
    assert notes == ["not looked at, for they are on the host (mediastack_compose_files): /srv/mine.yml"]


# -- the environment of gluetun ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${TZ}", "Europe/Berlin"),
        ("$TZ!", "Europe/Berlin!"),
        ("$$TZ", "$TZ"),
        ("${NO}", ""),
        ("${NO:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${TZ:+x}", "x"),
        ("${NO+x}", ""),
        ("plain", "plain"),
    ],
)
def test_variables_are_put_in_as_compose_does(text, expected):
    assert gluetun_environment.fill(text, {"TZ": "Europe/Berlin", "EMPTY": ""}) == expected


def gluetun(environment, secrets=None, files=None):
    service = {"image": "qmcgaw/gluetun:v3.41.3", "environment": environment}
    model = lint_model.of_documents([{"services": {"gluetun": service}}])
    meta = {"secret_files": {name: {"secret": name} for name in files or ()}}
    return gluetun_environment.check(model, meta, secrets or {}, {})


def test_secrets_count_as_gluetun_reads_them():
    environment = {"VPN_SERVICE_PROVIDER": "mullvad", "VPN_TYPE": "wireguard", "WIREGUARD_ADDRESSES": "10.64.0.2/32"}
    missing = errors(gluetun(environment))
    assert any("private key" in text.lower() or "PRIVATE_KEY" in text for text in missing), missing
    given = {"wireguard_private_key": config_world.KEY}
    assert errors(gluetun(environment, given, given)) == []


@pytest.mark.parametrize(
    ("name", "text", "fine"),
    [
        ("openvpn_file", "remote 1.2.3.4 1194\nproto udp\n", True),
        ("openvpn_file", "proto udp\n", False),
        # A file of the variable's own name would be taken for its value: the text for a path.
        ("openvpn_custom_config", "remote 1.2.3.4 1194\nproto udp\n", False),
    ],
)
def test_the_custom_configuration_is_a_file(name, text, fine):
    environment = {
        "VPN_SERVICE_PROVIDER": "custom",
        "VPN_TYPE": "openvpn",
        "OPENVPN_CUSTOM_CONFIG": f"/run/secrets/{name}",
    }
    given = {name: text}
    assert (errors(gluetun(environment, given, given)) == []) is fine


def test_without_gluetun_there_is_nothing_to_say():
    assert gluetun_environment.check(lint_model.of_documents([{"services": {}}]), {}, {}, {}) == []


# -- printing ----------------------------------------------------------------------------------------------------------

BAD = Finding(ERROR, "sonarr", "restart", "is wrong", "mend it")
SO_SO = Finding(WARNING, "", "mediastack_puid", "is odd")


def test_findings_stand_under_their_hosts():
    lines, sentence = host_check.lines({"nas": [SO_SO, BAD], "attic": [SO_SO], "shed": []})
    assert lines == [
        "nas",
        "  error    sonarr: restart: is wrong; mend it",
        "nas, attic",
        "  warning  mediastack_puid: is odd",
    ]
    assert sentence == "2 problems: 1 error, 1 warning"


def test_levels_are_coloured():
    lines, _sentence = host_check.lines({"nas": [BAD, SO_SO]}, lambda text, color: f"<{color}>{text}")
    assert lines[1].startswith("  <red>error") and lines[2].startswith("  <yellow>warning")


@pytest.mark.parametrize(
    ("findings", "sentence"),
    [
        ([], "no problems"),
        ([BAD], "1 problem: 1 error"),
        ([SO_SO], "1 problem: 1 warning"),
        ([BAD, BAD, SO_SO], "3 problems: 2 errors, 1 warning"),
    ],
)
def test_the_count(findings, sentence):
    assert host_check.count(findings) == sentence


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, "not looked at: the run failed for this host earlier"),
        ({"failed": True, "msg": "one\ntwo"}, "one"),
        ({}, "no message"),
    ],
)
def test_why_a_host_has_no_result(result, expected):
    assert play_results.reason(result) == expected
