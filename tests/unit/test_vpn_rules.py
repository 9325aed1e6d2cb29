# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The VPN rules against gluetun's recorded verdicts, and what they tell the user."""

import base64
import pathlib
import re

import pytest

from ansible_collections.homelab.mediastack.plugins.plugin_utils import settings, vpn_rules
from ansible_collections.homelab.mediastack.plugins.plugin_utils.vpn_providers import ENVIRONMENT, PROVIDERS

RECORDING = pathlib.Path(__file__).parents[1] / "fixtures" / "gluetun" / "env-validation-v3.41.3.txt"
KEY = base64.b64encode(bytes(range(32))).decode()
MULLVAD = {
    "vpn_provider": "mullvad",
    "vpn_wireguard_private_key": KEY,
    "vpn_wireguard_addresses": ["10.64.0.2/32"],
}
CUSTOM = {
    **MULLVAD,
    "vpn_provider": "custom",
    "vpn_wireguard_public_key": KEY,
    "vpn_wireguard_endpoint_ip": "203.0.113.1",
    "vpn_wireguard_endpoint_port": 51820,
}
# Files that the recording names by path; ours are given as text.
CONFIGS = {"/path/custom.conf": "client\nremote 1.2.3.4 1194 udp\n", "/path/noremote.conf": "client\n"}
# The image of gluetun has a default that the settings replace by "required", or a word for what we give as a list.
LISTS = re.compile(r"SERVER_[A-Z]+|WIREGUARD_ADDRESSES|FIREWALL_OUTBOUND_SUBNETS")


def values(**given):
    """Every setting: the defaults and what is given, names without prefix."""
    result = {name: option["default"] for name, option in settings.load_spec().items()}
    result.update({f"mediastack_{name}": value for name, value in given.items()})
    return vpn_rules.normalized(result)


def check(**given):
    return vpn_rules.check(values(**given))


def errors(**given):
    return check(**given)[0]


# -- gluetun's verdicts ----------------------------------------------------------------------------------------------


def recorded():
    """`(line, {variable: value}, accepted)` of every case."""
    cases, line = [], None
    for text in RECORDING.read_text(encoding="utf-8").splitlines():
        if text.startswith("   => "):
            names = list(re.finditer(r"(?:^|\s)([A-Z][A-Z_]+)=", line))
            ends = [match.start() for match in names[1:]] + [len(line)]
            environment = {match[1]: line[match.end() : end] for match, end in zip(names, ends, strict=True)}
            cases.append((line, environment, text == "   => OK"))
        elif not text.startswith("   "):
            line = text
    return cases


def ours(line, environment):
    """The case in our settings, or `None` when they cannot express it."""
    given = dict(MULLVAD) if line.startswith("[MULLVAD-WG]") else {}
    given.setdefault("vpn_type", "wireguard" if given else "openvpn")  # gluetun's own default
    if not given.get("vpn_provider") and "OPENVPN_CUSTOM_CONFIG" not in environment:
        given["vpn_provider"] = "pia"
    extra = {}
    for name, value in environment.items():
        value = value.replace("<32B-B64>", KEY)
        if name in ENVIRONMENT:
            setting = ENVIRONMENT[name]
            if name == "OPENVPN_CUSTOM_CONFIG":
                value = CONFIGS[value]
            elif name == "VPN_PORT_FORWARDING":
                value = value in ("on", "true")
            elif name == "WIREGUARD_ENDPOINT_PORT":
                value = int(value)
            elif LISTS.fullmatch(name):
                value = value.split(",")
            given[setting] = value
        elif name.endswith("_ONLY"):
            extra[name] = value
        else:
            return None
    if given["vpn_type"] not in settings.load_spec()["mediastack_vpn_type"]["choices"]:
        return None
    if extra:
        given["overrides"] = {"gluetun": {"environment": extra}}
    return given


EXPRESSIBLE = [(line, ours(line, env), ok) for line, env, ok in recorded() if ours(line, env) is not None]


def test_the_recording_is_read():
    assert len(recorded()) >= 70
    assert len(EXPRESSIBLE) >= 30
    assert {ok for _line, _given, ok in EXPRESSIBLE} == {True, False}


@pytest.mark.parametrize(("line", "given", "accepted"), EXPRESSIBLE, ids=[line for line, _given, _ok in EXPRESSIBLE])
def test_same_verdict_as_gluetun(line, given, accepted):
    assert (errors(**given) == []) is accepted, errors(**given)


# -- what the user reads -----------------------------------------------------------------------------------------------


def test_no_credentials_names_the_variables():
    (message,) = errors()
    assert message.startswith("mediastack_vpn_provider: no VPN provider is given.")
    assert "mediastack_vpn_wireguard_private_key" in message
    assert "mediastack_vpn_enabled: false in the inventory" in message


@pytest.mark.parametrize("kind", ["wireguard", "openvpn"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_missing_credential_is_named(provider, kind):
    needed = getattr(PROVIDERS[provider], kind)
    found = errors(vpn_provider=provider, vpn_type=kind)
    if needed is None:
        assert found[0].startswith("mediastack_vpn_type: gluetun does not offer wireguard")
    else:
        assert [message.partition(":")[0] for message in found] == [f"mediastack_{field}" for field in needed]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("private-internet-access", "Did you mean private internet access?"),
        ("mulvad", "Did you mean mullvad?"),
        ("proton", "Did you mean protonvpn?"),
        ("wevpn", "gluetun removed it"),
    ],
)
def test_unknown_provider(name, hint):
    (message,) = errors(vpn_provider=name)
    assert message.startswith(f'mediastack_vpn_provider: "{name}" is not a provider of gluetun')
    assert hint in message


def test_alias_and_case_of_a_provider():
    assert values(vpn_provider="PIA")["mediastack_vpn_provider"] == "private internet access"
    assert values(vpn_provider=" Mullvad ")["mediastack_vpn_provider"] == "mullvad"


def test_addresses_get_a_prefix_length():
    found = values(vpn_wireguard_addresses=["10.64.0.2", "fc00::2", "10.1.0.0/16"])
    assert found["mediastack_vpn_wireguard_addresses"] == ["10.64.0.2/32", "fc00::2/128", "10.1.0.0/16"]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("your_private_key_here", "not base64"),
        (base64.b64encode(bytes(31)).decode(), "holds 31 bytes, not 32"),
        ("ab" * 32, "access token of NordVPN"),
    ],
)
def test_keys(key, why):
    (message,) = errors(**{**MULLVAD, "vpn_wireguard_private_key": key})
    assert why in message
    assert key not in message


@pytest.mark.parametrize(
    ("given", "start"),
    [
        (
            {**CUSTOM, "vpn_wireguard_endpoint_ip": "vpn.example.org"},
            'mediastack_vpn_wireguard_endpoint_ip: "vpn.example',
        ),
        ({**CUSTOM, "vpn_wireguard_endpoint_port": 70000}, "mediastack_vpn_wireguard_endpoint_port: 70000"),
        ({**CUSTOM, "vpn_server_names": ["a", "b"]}, "mediastack_vpn_server_names: takes one name"),
        ({**CUSTOM, "vpn_port_forwarding": True}, "mediastack_vpn_port_forwarding_provider: name whose"),
        ({**MULLVAD, "vpn_port_forwarding_provider": "protonvpn"}, "mediastack_vpn_port_forwarding_provider: is for"),
        ({**MULLVAD, "vpn_port_forwarding_provider": "proton"}, 'mediastack_vpn_port_forwarding_provider: "proton"'),
        (
            {**MULLVAD, "vpn_wireguard_addresses": ["10.64.0.2/33"]},
            'mediastack_vpn_wireguard_addresses: "10.64.0.2/33"',
        ),
        ({**MULLVAD, "vpn_server_regions": ["Europe"]}, 'mediastack_vpn_server_regions: "mullvad" cannot be filtered'),
        ({**MULLVAD, "vpn_server_cities": ["Malmö, Oslo"]}, "mediastack_vpn_server_cities: "),
        (
            {**MULLVAD, "vpn_local_subnets": ["192.168.1.5"]},
            'mediastack_vpn_local_subnets: "192.168.1.5" is not a network',
        ),
        (
            {**MULLVAD, "vpn_local_subnets": ["0.0.0.0/1"]},
            'mediastack_vpn_local_subnets: "0.0.0.0/1" is the whole internet',
        ),
        ({**MULLVAD, "vpn_local_subnets": ["::/0"]}, 'mediastack_vpn_local_subnets: "::/0" is the whole internet'),
    ],
)
def test_one_mistake_one_message(given, start):
    (message,) = errors(**given)
    assert message.startswith(start)


OPENVPN = {"vpn_type": "openvpn", "vpn_openvpn_custom_config": "remote 1.2.3.4 1194\n"}


@pytest.mark.parametrize("kind", [{}, OPENVPN], ids=["wireguard", "openvpn"])
def test_pia_port_forwarding_over_custom_needs_login_and_server(kind):
    given = {**CUSTOM, **kind, "vpn_port_forwarding": True, "vpn_port_forwarding_provider": "pia"}
    assert [message.partition(":")[0] for message in errors(**given)] == [
        "mediastack_vpn_openvpn_user",
        "mediastack_vpn_openvpn_password",
        "mediastack_vpn_server_names",
    ]
    login = {"vpn_openvpn_user": "p1234567", "vpn_openvpn_password": "x", "vpn_server_names": ["panama408"]}
    assert errors(**given, **login) == []


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if not provider.forwards])
def test_a_provider_that_forwards_no_port_is_refused_by_name(name):
    found = errors(vpn_provider=name, vpn_type="openvpn", vpn_port_forwarding=True)
    (message,) = [each for each in found if "port_forwarding" in each]
    setting, _colon, words = message.partition(": ")
    if name == "custom":
        assert setting == "mediastack_vpn_port_forwarding_provider"
    else:
        assert setting == "mediastack_vpn_port_forwarding" and f'"{name}"' in words
    for other in ("perfect privacy", "private internet access", "privatevpn", "protonvpn"):
        assert other in words
    # Such as AirVPN's and Windscribe's, which are chosen on a web page and stay.
    assert ("mediastack_vpn_torrent_port" in words) is (name != "custom")


def test_pia_by_wireguard_is_told_how_its_port_is_forwarded():
    (message,) = errors(**{**MULLVAD, "vpn_provider": "pia"}, vpn_port_forwarding=True)
    assert message.startswith("mediastack_vpn_type: gluetun does not offer wireguard")
    assert "mediastack_vpn_port_forwarding_provider: private internet access" in message


def test_openvpn_configuration_with_a_host_name():
    text = "client\nremote vpn.example.org 1194\nremote 1.2.3.4 99999\n"
    found = errors(vpn_provider="custom", vpn_type="openvpn", vpn_openvpn_custom_config=text)
    assert [message.partition(": ")[2].partition(":")[0] for message in found] == ["line 2", "line 3"]
    assert not any("example.org" in message for message in found)


def test_certificates_may_be_pem():
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"
    given = {"vpn_provider": "airvpn", "vpn_type": "openvpn", "vpn_openvpn_cert": pem, "vpn_openvpn_key": "CCCC"}
    assert errors(**given) == []
    assert vpn_rules.pem_body(pem) == "AAAABBBB"
    (message,) = errors(**{**given, "vpn_openvpn_key": "/path/to/client.key"})
    assert message.startswith("mediastack_vpn_openvpn_key: is neither PEM")


def test_warnings():
    def warned(**given):
        found, warnings = check(**given)
        assert found == []
        return " ".join(warnings)

    assert "9.9.9.0/24 is a part of the internet" in warned(**MULLVAD, vpn_local_subnets=["9.9.9.0/24"])
    assert "10.64.0.0/10 overlaps" in warned(**MULLVAD, vpn_local_subnets=["10.64.0.0/10"])
    login = {"vpn_type": "openvpn", "vpn_openvpn_user": "u", "vpn_openvpn_password": "p"}
    assert "Mullvad ended OpenVPN" in warned(**login, vpn_provider="mullvad")
    assert "+pmp" in warned(**login, vpn_provider="protonvpn", vpn_port_forwarding=True)
    custom = {**CUSTOM, **OPENVPN, "vpn_port_forwarding": True, "vpn_port_forwarding_provider": "protonvpn"}
    assert "+pmp" in warned(**custom, vpn_openvpn_user="u")
    assert warned(**custom) == warned(**custom, vpn_openvpn_user="u+pmp") == ""
    forwards = {**CUSTOM, "vpn_port_forwarding": True, "vpn_port_forwarding_provider": "privatevpn"}
    assert "mediastack_vpn_type: PrivateVPN forwards a port with openvpn only" in warned(**forwards)
    any_server = {"gluetun": {"environment": {"PORT_FORWARD_ONLY": "off"}}}
    proton = {**MULLVAD, "vpn_provider": "protonvpn", "overrides": any_server}
    assert "PORT_FORWARD_ONLY: off" in warned(**proton, vpn_port_forwarding=True)
    assert warned(**proton) == ""
    assert "Windscribe" in warned(**{**MULLVAD, "vpn_provider": "windscribe"})
    assert warned(**MULLVAD) == ""


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"REGION": "Europe"}, "set mediastack_vpn_server_regions instead"),
        ({"SERVER_COUNTRIES": "Sweden"}, "set mediastack_vpn_server_countries instead"),
        ({"PROXY": "on"}, "Write HTTPPROXY"),
        ({"FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT": "off"}, "turns the kill switch off"),
        (["FREE_ONLY=1"], '"1" is not on or off'),
    ],
)
def test_overrides_of_gluetun_do_not_go_past_the_rules(environment, text):
    (message,) = errors(**MULLVAD, overrides={"gluetun": {"environment": environment}})
    assert message.startswith("mediastack_overrides: gluetun: environment ")
    assert text in message
