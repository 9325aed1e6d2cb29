# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun's verdict on its variables, told beforehand: the recorded ones, and every rule that has no recording."""

import base64
import pathlib
import re

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_providers, gluetun_settings

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "gluetun" / "env-validation-v3.41.3.txt"
RELEASE = "v3.41.3"
KEY = base64.b64encode(bytes(range(32))).decode()
MULLVAD = {
    "VPN_TYPE": "wireguard",
    "VPN_SERVICE_PROVIDER": "mullvad",
    "WIREGUARD_PRIVATE_KEY": KEY,
    "WIREGUARD_ADDRESSES": "10.64.0.2/32",
    "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH": "/gluetun/auth/mediastack.toml",
}
LOGIN = {"OPENVPN_USER": "anna", "OPENVPN_PASSWORD": "geheim"}
#: What the recorder had in its files.
FILES = {"/path/custom.conf": "client\nremote 1.2.3.4 1194 udp\n", "/path/noremote.conf": "client\n"}


def cases():
    """(case, environment, recorded verdict) of every recorded case."""
    found, case = [], None
    for line in FIXTURE.read_text(encoding="utf-8").splitlines():
        if line.startswith("   =>"):
            text = case.replace("<32B-B64>", KEY)
            env = dict(MULLVAD) if text.startswith("[MULLVAD-WG]") else {}
            words = re.split(r" (?=[A-Z_0-9]+=)", text.replace("[MULLVAD-WG]", "").strip())
            env.update(word.split("=", 1) for word in words if word)
            found.append((case, env, line.partition("=>")[2].strip()))
        elif not line.startswith("   "):
            case = line
    return found


@pytest.mark.parametrize("release", ["v3.41.3", "3.41.3", "v3.41", "v3"])
@pytest.mark.parametrize(("case", "env", "verdict"), cases(), ids=[case for case, _env, _verdict in cases()])
def test_the_verdict_is_the_recorded_one(case, env, verdict, release):
    problems = gluetun_settings.validate(env, release, FILES)
    assert bool(problems) == (verdict != "OK"), (problems, verdict)
    assert all(re.match(r"[A-Z0-9_]+: \S", problem) for problem in problems), problems
    if "default authentication role" not in verdict and verdict.endswith(
        ("missing", "missing value", "is empty", "is not set")
    ):
        assert any(": not given, and" in problem or ": not given. Give" in problem for problem in problems), problems
    elif problems:
        assert any(problem.partition(":")[0] in env for problem in problems), problems


def test_all_recorded_cases_are_looked_at():
    assert len(cases()) == 71
    assert sum(verdict == "OK" for _case, _env, verdict in cases()) == 28


def problems(release=RELEASE, base=None, **changes):
    env = {name: value for name, value in {**(base or MULLVAD), **changes}.items() if value is not None}
    return gluetun_settings.validate(env, release)


def only(found, *words):
    """The one problem, which holds these words."""
    assert len(found) == 1, found
    for word in words:
        assert word in found[0], found[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"VPN_SERVICE_PROVIDER": "mulvad"}, ('"mulvad" is not a provider', "Did you mean mullvad?")),
        ({"VPN_TYPE": "wiregard"}, ('VPN_TYPE: "wiregard" is unknown', "Did you mean wireguard?")),
        ({"WIREGUARD_PRIVATE_KEY": None}, ("WIREGUARD_PRIVATE_KEY: not given, and wireguard with mullvad needs it",)),
        ({"WIREGUARD_PRIVATE_KEY": KEY[4:]}, ("it holds 29 bytes, not 32 (the value is not shown)",)),
        ({"WIREGUARD_PRIVATE_KEY": "A" * 64}, ("it holds 48 bytes", "access token of NordVPN")),
        ({"WIREGUARD_PRESHARED_KEY": "abc"}, ("WIREGUARD_PRESHARED_KEY: it is not a WireGuard key: it is not base64",)),
        ({"WIREGUARD_PUBLIC_KEY": "bad"}, ("WIREGUARD_PUBLIC_KEY: it is not a WireGuard key",)),
        ({"WIREGUARD_ADDRESSES": "10.64.0.2/33"}, ('"10.64.0.2/33" is not an address with its prefix length',)),
        ({"WIREGUARD_ADDRESSES": "fe80::1/64x"}, ("is not an address",)),
        ({"WIREGUARD_ENDPOINT_IP": "vpn.example"}, ('"vpn.example" is not an IP address',)),
        ({"WIREGUARD_ENDPOINT_PORT": "70000"}, ("is not a whole number from 0 to 65535",)),
        ({"WIREGUARD_MTU": "1,320"}, ("WIREGUARD_MTU",)),
        ({"WIREGUARD_PERSISTENT_KEEPALIVE_INTERVAL": "-5s"}, ("must not be negative",)),
        ({"VPN_PORT_FORWARDING": "1"}, ('"1" is not a switch. Write on or off',)),
        ({"OWNED_ONLY": "perhaps"}, ("OWNED_ONLY", "is not a switch")),
        ({"SERVER_REGIONS": "Europe"}, ("servers of mullvad cannot be chosen by it", "SERVER_COUNTRIES")),
        ({"SERVER_NUMBER": "12, 13"}, ("SERVER_NUMBER", "no space")),
        ({"FIREWALL_INPUT_PORTS": "80,"}, ("FIREWALL_INPUT_PORTS", "nothing empty")),
        ({"FIREWALL_VPN_INPUT_PORTS": "0"}, ("0 is not a port from 1",)),
        ({"FIREWALL_OUTBOUND_SUBNETS": "192.168.1.1"}, ("is not a network",)),
        ({"FIREWALL_OUTBOUND_SUBNETS": "10.0.0.0/8, 192.168.0.0/16"}, ("no space",)),
        ({"FIREWALL_OUTBOUND_SUBNETS": "10.0.0.0/255.0.0.0"}, ("is not a network",)),
        ({"DNS_UPSTREAM_RESOLVER_TYPE": "udp"}, ("DNS_UPSTREAM_RESOLVER_TYPE", "dot")),
        ({"DNS_UPSTREAM_RESOLVERS": "quad8"}, ("Did you mean quad9?",)),
        ({"DNS_UPDATE_PERIOD": "10s"}, ("30s at least",)),
        ({"DNS_ADDRESS": "cloudflare"}, ("is not an IP address",)),
        ({"DNS_BLOCK_IPS": "1.1.1.1/32"}, ("is not an IP address",)),
        ({"BLOCK_ADS": "0"}, ("is not a switch",)),
        ({"HEALTH_SMALL_CHECK_TYPE": "tcp"}, ("icmp",)),
        ({"HTTP_CONTROL_SERVER_ADDRESS": "8000"}, ("is not host:port",)),
        ({"UPDATER_PERIOD": "10s"}, ("1m at least",)),
        ({"UPDATER_MIN_RATIO": "1.5"}, ("above 0 and at most 1",)),
        ({"PUID": "-1"}, ("whole number from 0",)),
        ({"LOG_LEVEL": "inof"}, ("Did you mean info?",)),
        ({"PUBLICIP_API": "ipinfo,ipinf"}, ("Did you mean ipinfo?", "echoip#")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_mistake_is_named_with_its_remedy(changes, words):
    only(problems(**changes), *words)


@pytest.mark.parametrize(
    "changes",
    [
        {"WIREGUARD_ADDRESSES": "10.64.0.2/32, 10.64.0.3"},
        {"WIREGUARD_ADDRESSES": " '10.64.0.2/32' "},
        {"VPN_SERVICE_PROVIDER": "MULLVAD"},
        {"SERVER_COUNTRIES": "Netherlands, Canada"},
        {"VPN_PORT_FORWARDING": ""},
        {"VPN_PORT_FORWARDING": False},
        {"WIREGUARD_MTU": 1280},
        {"NO_SUCH_VARIABLE": "x"},
        {"DNS_UPDATE_PERIOD": "1h30m"},
        {"HTTP_CONTROL_SERVER_ADDRESS": "127.0.0.1:8000"},
        {"FIREWALL_INPUT_PORTS": "80,443"},
        {"PUBLICIP_PERIOD": "12h"},
        {"OPENVPN_VERSION": "2.4"},
        {"UPDATER_PROTONVPN_EMAIL": "a@b"},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_gluetun_accepts_is_accepted(changes):
    assert problems(**changes) == []


def test_every_mistake_at_once():
    found = problems(WIREGUARD_PRIVATE_KEY="abc", FIREWALL_INPUT_PORTS="x", LOG_LEVEL="loud", SERVER_REGIONS="a")
    assert [problem.split(":")[0] for problem in found] == [
        "SERVER_REGIONS",
        "WIREGUARD_PRIVATE_KEY",
        "LOG_LEVEL",
        "FIREWALL_INPUT_PORTS",
    ]


def test_an_old_name_wins_over_the_present_one():
    found = problems(base={**LOGIN, "VPN_SERVICE_PROVIDER": "pia"}, PROTOCOL="icmp", OPENVPN_PROTOCOL="udp")
    only(found, "PROTOCOL: ", '"icmp" is unknown')


def test_no_message_shows_a_secret():
    secrets = {
        "OPENVPN_USER": "anna-0815",
        "OPENVPN_PASSWORD": "geheim-1",
        "OPENVPN_CERT": "geheim-2!",
        "OPENVPN_KEY": "geheim-3!",
        "OPENVPN_ENCRYPTED_KEY": "geheim-4!",
        "WIREGUARD_PRIVATE_KEY": "geheim-5",
        "WIREGUARD_PRESHARED_KEY": "geheim-6",
        "HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE": '{"auth":"geheim-7","apikey":"geheim-8"}',
        "UPDATER_PROTONVPN_PASSWORD": "Geheim-9",
        "USER": "anna-0816",
    }
    for kind in ("openvpn", "wireguard"):
        for provider in ("vpnsecure", "cyberghost", "mullvad", "protonvpn"):
            env = {"VPN_TYPE": kind, "VPN_SERVICE_PROVIDER": provider, **secrets}
            said = "\n".join(gluetun_settings.validate(env, RELEASE) + gluetun_settings.warnings(env, RELEASE))
            assert said
            assert "eheim-" not in said
            assert "anna-" not in said


# -- providers -----------------------------------------------------------------


GIVEN = {
    **LOGIN,
    "OPENVPN_CERT": "AAAA",
    "OPENVPN_KEY": "AAAA",
    "OPENVPN_ENCRYPTED_KEY": "AAAA",
    "OPENVPN_KEY_PASSPHRASE": "p",
    "OPENVPN_CUSTOM_CONFIG": "/nowhere/custom.conf",
    "WIREGUARD_PRIVATE_KEY": KEY,
    "WIREGUARD_PRESHARED_KEY": KEY,
    "WIREGUARD_PUBLIC_KEY": KEY,
    "WIREGUARD_ADDRESSES": "10.64.0.2/32",
    "WIREGUARD_ENDPOINT_IP": "192.0.2.1",
    "WIREGUARD_ENDPOINT_PORT": "51820",
}
PAIRS = [
    (name, kind)
    for name, provider in gluetun_providers.providers((3, 41, 3)).items()
    for kind in ("openvpn", "wireguard")
    if getattr(provider, kind) is not None
]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_every_provider_wants_what_it_needs_and_no_more(name, kind):
    needed = getattr(gluetun_providers.PROVIDERS[name], kind)
    env = {"VPN_SERVICE_PROVIDER": name, "VPN_TYPE": kind, **{each: GIVEN[each] for each in needed}}
    assert gluetun_settings.validate(env, RELEASE) == []
    for missing in needed:
        if name == gluetun_providers.CUSTOM and missing == "OPENVPN_CUSTOM_CONFIG":
            continue
        found = gluetun_settings.validate({**env, missing: ""}, RELEASE)
        assert any(problem.startswith(f"{missing}: not given") for problem in found), (missing, found)


@pytest.mark.parametrize(
    ("release", "provider", "changes", "accepted"),
    [
        ("v3.40.4", "wevpn", {"OPENVPN_CERT": "AAAA", "OPENVPN_KEY": "AAAA"}, True),
        ("v3.41.0", "wevpn", {"OPENVPN_CERT": "AAAA", "OPENVPN_KEY": "AAAA"}, False),
        ("v3.41.3", "perfect privacy", {}, True),
        ("latest", "perfect privacy", {}, False),
        ("v3.41.3", "mullvad", {}, True),
        ("latest", "mullvad", {}, False),
        ("v3.41.1", "privado", {"OPENVPN_PROTOCOL": "tcp"}, False),
        ("v3.41.2", "privado", {"OPENVPN_PROTOCOL": "tcp"}, True),
        ("v3.41.2", "privado", {"OPENVPN_PROTOCOL": "tcp", "OPENVPN_ENDPOINT_PORT": "8443"}, True),
        ("v3.41.1", "pia", {"OPENVPN_ENDPOINT_PORT": "8080"}, False),
        ("v3.41.2", "pia", {"OPENVPN_ENDPOINT_PORT": "8080"}, True),
        ("v3.41.1", "pia", {"PRIVATE_INTERNET_ACCESS_OPENVPN_ENCRYPTION_PRESET": "none"}, True),
        ("v3.41.3", "vyprvpn", {"OPENVPN_PROTOCOL": "tcp"}, False),
        ("v3.41.3", "nordvpn", {"OPENVPN_ENDPOINT_PORT": "1194"}, False),
        ("v3.41.3", "torguard", {"OPENVPN_ENDPOINT_PORT": "12345"}, True),
        ("v3.41.3", "ivpn", {"OPENVPN_PROTOCOL": "tcp", "OPENVPN_ENDPOINT_PORT": "1194"}, False),
        ("v3.41.3", "pia", {"VPN_PORT_FORWARDING": "on"}, True),
        ("latest", "protonvpn", {"VPN_PORT_FORWARDING": "on", "VPN_PORT_FORWARDING_PORTS_COUNT": "6"}, False),
        ("latest", "protonvpn", {"VPN_PORT_FORWARDING_LISTENING_PORTS": "1000,2000"}, False),
        (
            "latest",
            "protonvpn",
            {"VPN_PORT_FORWARDING_LISTENING_PORTS": "1000,2000", "VPN_PORT_FORWARDING_PORTS_COUNT": "2"},
            True,
        ),
        ("v3.40.4", "pia", {"DOT": "perhaps"}, False),
        ("v3.40.4", "pia", {"DNS_SERVER": "perhaps"}, True),
        ("v3.40.4", "pia", {"HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE": '{"auth":"apikey"}'}, True),
    ],
)
def test_what_differs_by_release(release, provider, changes, accepted):
    found = problems(release, {"VPN_SERVICE_PROVIDER": provider, **LOGIN}, **changes)
    assert (found == []) is accepted, found


def test_port_forwarding_of_pia_behind_custom():
    env = {**{name: GIVEN[name] for name in gluetun_providers.PROVIDERS["custom"].wireguard}, "VPN_TYPE": "wireguard"}
    env.update(VPN_SERVICE_PROVIDER="custom", VPN_PORT_FORWARDING="on")
    only(gluetun_settings.validate(env, RELEASE), "gluetun cannot have", "custom")
    env.update(VPN_PORT_FORWARDING_PROVIDER="private internet access")
    found = gluetun_settings.validate(env, RELEASE)
    assert [problem.split(":")[0] for problem in found] == [
        "VPN_PORT_FORWARDING_USERNAME",
        "VPN_PORT_FORWARDING_PASSWORD",
    ]
    assert gluetun_settings.validate({**env, **LOGIN, "SERVER_NAMES": "panama408"}, RELEASE) == []
    only(gluetun_settings.validate({**env, **LOGIN, "SERVER_NAMES": "a,b"}, RELEASE), "it takes one name")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("remote 1.2.3.4 1194\n", None),
        ("remote 2001:db8::1 1194 udp6\n", None),
        ("client\nremote vpn.example.com 1194\n", "/c.conf, line 2: remote must be followed by an IP address"),
        ("remote 1.2.3.4 0\n", "line 1: the port of remote"),
        ("remote 1.2.3.4 1194 icmp\n", "neither udp nor tcp"),
        ("client\n", "has no line `remote"),
    ],
)
def test_a_custom_file_is_looked_into(text, words):
    env = {"VPN_SERVICE_PROVIDER": "custom", "OPENVPN_CUSTOM_CONFIG": "/c.conf"}
    found = gluetun_settings.validate(env, RELEASE, {"/c.conf": text})
    if words:
        only(found, "OPENVPN_CUSTOM_CONFIG: ", words)
    else:
        assert found == []


def test_a_custom_file_that_is_here_is_read(tmp_path):
    (tmp_path / "c.conf").write_text("client\n")
    env = {"OPENVPN_CUSTOM_CONFIG": str(tmp_path / "c.conf")}
    only(gluetun_settings.validate(env, RELEASE), "has no line `remote")


def test_secrets_win_over_variables_and_lose_their_armour():
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"
    secrets = {"openvpn_clientcrt": pem, "openvpn_clientkey": "CCCC\n", "openvpn_user": "anna"}
    env = gluetun_settings.with_secrets({"OPENVPN_USER": "otto", "VPN_SERVICE_PROVIDER": "airvpn"}, secrets)
    assert env == {
        "OPENVPN_USER": "anna",
        "VPN_SERVICE_PROVIDER": "airvpn",
        "OPENVPN_CERT": "AAAABBBB",
        "OPENVPN_KEY": "CCCC",
    }
    assert gluetun_settings.validate(env, RELEASE) == []


# -- warnings ------------------------------------------------------------------


def warned(release=RELEASE, base=None, **changes):
    env = {name: value for name, value in {**(base or MULLVAD), **changes}.items() if value is not None}
    assert gluetun_settings.validate(env, release) == []
    return gluetun_settings.warnings(env, release)


def test_nothing_to_warn_of():
    assert warned() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SERVER_COUNTRIES": "Netherlands"}, 'whether mullvad has "netherlands" is known to gluetun\'s own list only'),
        ({"DOT": "on"}, "DOT: an old name, which wins over DNS_SERVER without a word. Write DNS_SERVER."),
        ({"UID": "1000"}, "wins over PUID"),
        (
            {"SERVER_COUNTRYS": "x"},
            "SERVER_COUNTRYS: gluetun knows no such variable and ignores it. Did you mean SERVER_COU",
        ),
        ({"WIREGUARD_PORT_RANGE": "x"}, "WIREGUARD_PORT_RANGE: gluetun knows no such variable and ignores it."),
        ({"VPN_PORT_FORWARDING_PORTS_COUNT": "2"}, "this release does not know it and ignores it"),
        ({"DOT_VERBOSITY": "1"}, "has no effect any more"),
        ({"FIREWALL_ENABLED_DISABLING_IT_SHOOTS_YOU_IN_YOUR_FOOT": "off"}, "the kill switch is off"),
        ({"FIREWALL_OUTBOUND_SUBNETS": "10.64.0.0/16"}, "10.64.0.0/16 overlaps WIREGUARD_ADDRESSES"),
        ({"DNS_UPSTREAM_RESOLVER_TYPE": "plain"}, "in plain text"),
        ({"DNS_ADDRESS": "192.168.1.1"}, "outside of the tunnel"),
        ({"DNS_SERVER": "off"}, "outside of the tunnel"),
        ({"DNS_KEEP_NAMESERVER": "on"}, "outside of the tunnel"),
        ({"HEALTH_RESTART_VPN": "off"}, "stays dead"),
        ({"UPDATER_PERIOD": "24h"}, "asks for 360h at least"),
        ({"PUBLICIP_ENABLED": "off"}, "nothing can tell whether the VPN is connected"),
        ({"HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE": '{"auth":"none"}'}, "whoever reaches port 8000 stops the VPN"),
        ({"HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE": "bad"}, "gluetun drops it without a word"),
        (
            {"HTTP_CONTROL_SERVER_AUTH_DEFAULT_ROLE": '{"auth":"apikey","apikey":"k","routes":[]}'},
            "ignores routes in it",
        ),
        (
            {"HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH": None},
            "no role for the control server: Unless /gluetun/auth/config",
        ),
        ({"HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH": "/gluetun/My.toml"}, "in lower case: /gluetun/my.toml"),
        ({"WIREGUARD_PRIVATE_KEY": KEY[:-2] + "9="}, "is it copied right? (the value is not shown)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_gluetun_accepts_and_its_user_should_know(changes, words):
    only(warned(**changes), words)


def test_an_address_of_ipv6():
    found = warned(WIREGUARD_ADDRESSES="10.64.0.2/32,fd00::2")
    assert any("gluetun appends /32 to fd00::2, although it is IPv6. Write fd00::2/128." in each for each in found)
    assert any("does not start with fd00::2/128 where" in each for each in warned(WIREGUARD_ADDRESSES="fd00::2/128"))


def test_a_space_after_a_comma():
    found = warned(SERVER_COUNTRIES="Netherlands, Canada")
    assert any("a space after a comma is part of the name" in each for each in found)


def test_the_development_version():
    found = warned("latest", HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH=None, DNS_KEEP_NAMESERVER="on")
    assert any("the image's tag latest moves" in each for each in found)
    assert any("gluetun then refuses every request" in each for each in found)
    assert any("DNS_KEEP_NAMESERVER: has no effect any more" in each for each in found)
    assert any("the image has no tag" in each for each in warned(""))


def test_providers_that_end():
    base = {"VPN_SERVICE_PROVIDER": "mullvad", "OPENVPN_USER": "1234", "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH": "/a"}
    only(warned(base=base), "Mullvad ended OpenVPN")
    only(warned(base={**base, **LOGIN, "VPN_SERVICE_PROVIDER": "perfect privacy"}), "do not have perfect privacy")


def test_proton_by_openvpn_forwards_only_with_a_suffix():
    base = {**LOGIN, "VPN_SERVICE_PROVIDER": "protonvpn", "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH": "/a"}
    only(warned(base=base, VPN_PORT_FORWARDING="on"), "ends in +pmp")
    assert warned(base=base, VPN_PORT_FORWARDING="on", OPENVPN_USER="anna+pmp") == []
    only(
        warned(base=base, VPN_PORT_FORWARDING="on", OPENVPN_USER="a+pmp", VPN_PORT_FORWARDING_LISTENING_PORT="8999"),
        "not for torrent clients",
    )


def test_v3_40_ignores_the_names_of_v3_41():
    found = warned("v3.40.4", DNS_UPSTREAM_RESOLVERS="quad9")
    assert "DNS_UPSTREAM_RESOLVERS: this release does not know it and ignores it. Write DOT_PROVIDERS." in found
    assert warned("v3.40.4", DOT_PROVIDERS="quad9") == []
    assert any(
        "fills in {{PORTS}} only" in each
        for each in warned(
            "v3.40.4",
            {**LOGIN, "VPN_SERVICE_PROVIDER": "pia"},
            VPN_PORT_FORWARDING="on",
            VPN_PORT_FORWARDING_UP_COMMAND="echo {{PORT}}",
        )
    )


def test_a_file_that_is_not_here_is_a_warning():
    base = {"OPENVPN_CUSTOM_CONFIG": "/nowhere/c.conf", "HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH": "/a"}
    only(warned(base=base), "/nowhere/c.conf is a path in the container and cannot be looked into from here")


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("v3.41.3", (3, 41, 3)),
        ("3.40.4", (3, 40, 4)),
        ("v3", (3, 41, 3)),
        ("v3.41", (3, 41, 3)),
        ("v3.40", (3, 40, 4)),
        ("v3.42.0", gluetun_providers.MASTER),
        ("v4", gluetun_providers.MASTER),
        ("latest", gluetun_providers.MASTER),
        ("pr-2987", gluetun_providers.MASTER),
        ("", gluetun_providers.MASTER),
    ],
)
def test_releases(release, version):
    from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_settings_reader import version_of

    assert version_of(release) == version
