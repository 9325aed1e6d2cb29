# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kill switch of the lab's gluetun: what it lets pass, and nothing else (rules of gluetun v3.41)."""

import ipaddress
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from sim import gluetun_dns, gluetun_firewall, gluetun_rules, gluetun_tunnel, gluetun_vpn  # noqa: E402

ESTABLISHED = "ct state established,related accept"
KEY = "A" * 43 + "="


def firewall(**more):
    """The rules of a container on one network."""
    made = gluetun_firewall.Firewall(**more)
    made.links = [("eth0", ipaddress.ip_interface("172.18.0.5/16"))]
    made.defaults = [("eth0", "172.18.0.1")]
    return made


def test_without_a_tunnel_only_the_own_network_is_reached():
    arriving, leaving = firewall().rules()
    assert leaving == [
        "oifname lo accept",
        ESTABLISHED,
        gluetun_firewall.NEIGHBOURS,
        'oifname "eth0" ip saddr 172.18.0.5 ip daddr 172.18.0.0/16 accept',
    ]
    assert arriving == [
        "iifname lo accept",
        ESTABLISHED,
        gluetun_firewall.NEIGHBOURS,
        'iifname "eth0" ip daddr 172.18.0.0/16 accept',
    ]


def test_a_tunnel_adds_its_server_by_the_default_route_and_its_own_interface():
    made = firewall(outbound=[ipaddress.ip_network("192.168.1.0/24")], input_ports=["8000"], tunnel_ports=["51413"])
    made.endpoint = (ipaddress.ip_address("198.51.100.7"), "udp", 51820)
    made.forwarded = [40001]
    arriving, leaving = made.rules()
    assert leaving[3:] == [
        'oifname "eth0" ip daddr 198.51.100.7 udp dport 51820 accept',
        'oifname "tun0" accept',
        'oifname "eth0" ip saddr 172.18.0.5 ip daddr 172.18.0.0/16 accept',
        'oifname "eth0" ip saddr 172.18.0.5 ip daddr 192.168.1.0/24 accept',
    ]
    opened = {rule for rule in arriving if "dport" in rule}
    assert opened == {
        f'iifname "{interface}" {protocol} dport {port} accept'
        for interface, port in (("eth0", 8000), ("tun0", 51413), ("tun0", 40001))
        for protocol in ("tcp", "udp")
    }


def test_every_chain_drops_what_no_rule_names():
    text = firewall().text()
    assert text.count("policy drop;") == 3
    assert text.startswith("\ntable inet gluetun\ndelete table inet gluetun\n")  # replaced in one transaction


def test_routing_has_gluetuns_tables_and_priorities():
    made = firewall(outbound=[ipaddress.ip_network("192.168.1.0/24")])
    assert made.routing() == [
        "rule add to 172.18.0.0/16 lookup main priority 98",
        "route replace 0.0.0.0/0 via 172.18.0.1 dev eth0 table 200",
        "rule add from 172.18.0.5 lookup 200 priority 100",
        "route replace 192.168.1.0/24 via 172.18.0.1 dev eth0 table 199",
        "rule add to 192.168.1.0/24 lookup 199 priority 99",
    ]


@pytest.mark.parametrize(
    ("env", "provider", "real"),
    [
        ({"WIREGUARD_ENDPOINT_IP": "198.51.100.7"}, "custom", True),
        ({"OPENVPN_CUSTOM_CONFIG": "/run/secrets/custom.ovpn"}, "custom", True),
        ({"WIREGUARD_ENDPOINT_IP": "198.51.100.7"}, "mullvad", False),
        ({}, "mullvad", False),
    ],
)
def test_only_a_custom_provider_has_a_real_tunnel(env, provider, real):
    source = gluetun_rules.Source(env, "/nonexistent", "/nonexistent")
    assert gluetun_vpn.is_real(source, provider) is real


def test_wireguards_key_is_in_its_configuration_and_marks_its_packets():
    env = {
        "WIREGUARD_ENDPOINT_IP": "198.51.100.7",
        "WIREGUARD_ENDPOINT_PORT": "51820",
        "WIREGUARD_PUBLIC_KEY": "B" * 43 + "=",
        "WIREGUARD_PRIVATE_KEY": KEY,
        "WIREGUARD_ADDRESSES": "10.2.0.2/32,fd00:2::2/128",
    }
    made = gluetun_tunnel.Wireguard(gluetun_rules.Source(env, "/nonexistent", "/nonexistent"))
    assert made.endpoint == (ipaddress.ip_address("198.51.100.7"), "udp", 51820)
    assert made.gateway() == "10.2.0.1"
    assert made.families == [4, 6]
    assert f"PrivateKey = {KEY}\nFwMark = 51820\n" in made.configuration()
    assert made.rule("add") == "rule add not fwmark 0xca6c lookup 51820 priority 101"


def test_a_custom_openvpn_configuration_keeps_its_own_lines_and_gets_gluetuns(tmp_path):
    path = tmp_path / "custom.ovpn"
    path.write_text(
        "client\ndev tun\nproto udp\nremote 198.51.100.7 1195\npersist-tun\nverb 5\nremote-cert-tls server\n"
    )
    made = gluetun_tunnel.Openvpn(gluetun_rules.Source({}, "/nonexistent", "/nonexistent"), str(path), print)
    assert made.endpoint == (ipaddress.ip_address("198.51.100.7"), "udp", 1195)
    lines = made.configuration().splitlines()
    assert lines[:2] == ["client", "remote-cert-tls server"]
    for line in ("remote 198.51.100.7 1195", "dev tun0", "auth-retry nointeract", "verb 1"):
        assert lines.count(line) == 1
    assert "persist-tun" not in lines
    path.write_text("client\n")
    with pytest.raises(ValueError, match="remote line not found"):
        gluetun_tunnel.Openvpn(gluetun_rules.Source({}, "/nonexistent", "/nonexistent"), str(path), print)


def test_resolv_conf_is_rewritten_in_place(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.11\noptions ndots:0\n")
    before = path.stat().st_ino
    assert gluetun_dns.nameserver(str(path)) == "127.0.0.11"
    gluetun_dns.use_own(str(path))
    assert path.read_text() == "nameserver 127.0.0.1\noptions ndots:0\n"
    assert path.stat().st_ino == before


def test_a_command_keeps_its_quotes():
    """Surrounding quotes go from other settings only."""
    command = "/bin/sh -c 'echo {{PORT}}'"
    env = {"VPN_PORT_FORWARDING_UP_COMMAND": command, "VPN_TYPE": "'wireguard'"}
    source = gluetun_rules.Source(env, "/nonexistent", "/nonexistent")
    assert source.get("VPN_PORT_FORWARDING_UP_COMMAND") == command
    assert source.get("VPN_TYPE") == "wireguard"
