# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a leak test reads: DNS and route answers, packets, gluetun's log, what busybox prints."""

import contextlib
import ipaddress
import socket
import struct
import threading
from types import SimpleNamespace

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    leak_around,
    leak_capture,
    leak_dns,
    leak_exec,
    leak_judge,
    leak_probe,
    leak_routes,
    leak_space,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_capture import TCP, UDP, Endpoint

# -- DNS


def test_a_question_and_its_answer():
    asked = leak_dns.query("echo.example", identifier=7)
    assert asked == b"\0\7\1\0\0\1\0\0\0\0\0\0\4echo\7example\0\0\1\0\1"
    records = b"\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c" + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"
    packet = b"\0\7\x81\x80\0\1\0\2\0\0\0\0" + asked[12:] + records
    assert leak_dns.parse(packet, asked) == leak_dns.Answer(0, ("192.0.2.1",))
    six = leak_dns.query("echo.example", leak_dns.AAAA, 7)
    assert leak_dns.parse(packet, six).addresses == ()


@pytest.mark.parametrize(
    "packet", [b"", b"\0\x08\x81\x80" + b"\0" * 8, b"\0\7\1\0" + b"\0" * 8, b"\0\7\x81\x80\0\1\0\0" + b"\0" * 4]
)
def test_what_is_no_answer(packet):
    with pytest.raises(leak_dns.BadAnswer):
        leak_dns.parse(packet, leak_dns.query("a", identifier=7))


@pytest.mark.parametrize(("code", "knows"), [(0, True), (3, True), (2, False), (5, False)])
def test_who_knows(code, knows):
    assert leak_dns.Answer(code, ()).knows is knows


def test_nobody_at_home():
    assert leak_dns.ask("127.0.0.254", "a.example", timeout=0.2)[0] is None


# -- routes


def test_the_kernels_own_lookup():
    assert leak_routes.interface_to("127.0.0.1") == "lo"
    assert leak_routes.interface_to("::1") in ("lo", None)


def test_a_route_to_nowhere():
    head = struct.pack("=IHHII", 36, leak_routes.RTM_NEWROUTE, 0, 1, 0)
    assert leak_routes.output_interface(head + bytes([2, 32, 0, 0, 0, 0, 0, 7]) + b"\0" * 12) is None
    attribute = struct.pack("=HHI", 8, leak_routes.RTA_OIF, 4)
    assert leak_routes.output_interface(head + bytes([2, 32, 0, 0, 0, 0, 0, 1]) + b"\0" * 4 + attribute) == 4
    assert leak_routes.output_interface(struct.pack("=IHHII", 36, 2, 0, 1, 0) + b"\0" * 20) is None


# -- packets


def packet(source="172.18.0.2", target="192.0.2.1", protocol=UDP, ports=(5000, 6969), flags=0):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, protocol, 0, *map(socket.inet_aton, (source, target)))
    return head + struct.pack("!HHIIBB", *ports, 0, 0, 0x50, flags)


def test_flows():
    flow = leak_capture.parse(packet())
    assert flow == ("172.18.0.2", "192.0.2.1", UDP, 5000, 6969, False, "")
    assert leak_capture.parse(packet(protocol=TCP, flags=2)).opening
    assert not leak_capture.parse(packet(protocol=TCP, flags=0x12)).opening
    assert leak_capture.parse(b"\x45") is None
    six = bytes([0x60]) + b"\0" * 5 + bytes([UDP, 64]) + b"\0" * 15 + b"\1" + b"\0" * 15 + b"\2" + b"\0\5\0\6"
    assert leak_capture.parse(six) == ("::1", "::2", UDP, 5, 6, False, "")


ALLOWED = leak_capture.Allowed(
    endpoints=(Endpoint("198.51.100.7", UDP, 51820),),
    networks=(ipaddress.ip_network("172.18.0.0/16"),),
    subnets=(ipaddress.ip_network("192.168.1.0/24"),),
    published=((TCP, 8080), (UDP, 6881)),
    own_ports=(40000,),
)


@pytest.mark.parametrize(
    ("changes", "outside"),
    [
        ({}, True),
        ({"target": "198.51.100.7", "ports": (5, 51820)}, False),
        ({"target": "198.51.100.7", "ports": (5, 443)}, True),
        ({"target": "198.51.100.7", "ports": (5, 51820), "protocol": TCP}, True),
        ({"target": "198.51.100.7", "protocol": 1}, False),
        ({"protocol": 1}, True),
        ({"target": "172.18.0.5"}, False),
        ({"target": "192.168.1.20", "ports": (5, 445), "protocol": TCP}, False),
        ({"target": "192.168.1.1", "ports": (5, 53)}, True),
        ({"target": "192.168.1.1", "ports": (5, 853), "protocol": TCP}, True),
        ({"target": "192.168.1.1", "ports": (40000, 53)}, False),
        ({"ports": (40000, 80)}, True),
        # A resolver in a container beside gluetun.
        ({"target": "172.18.0.5", "ports": (5, 53)}, True),
        # Torrents send from the port that they listen at; at home it is an answer.
        ({"target": "9.9.9.9", "ports": (6881, 6881)}, True),
        ({"target": "192.168.77.2", "ports": (6881, 50000)}, False),
        ({"ports": (8080, 50000), "protocol": TCP, "flags": 0x10}, False),
        ({"ports": (8080, 50000), "protocol": TCP, "flags": 2}, True),
        ({"ports": (8080, 50000)}, True),
        ({"target": "239.192.152.143"}, False),
        ({"target": "255.255.255.255"}, False),
    ],
)
def test_what_the_tunnel_should_have_carried(changes, outside):
    assert leak_capture.is_outside(leak_capture.parse(packet(**changes)), ALLOWED) is outside


def test_what_is_none_of_the_internets():
    for text in ("192.168.0.0/16", "10.1.2.0/24", "100.64.0.0/10", "fd00::/8"):
        assert leak_judge.is_reserved(ipaddress.ip_network(text)), text
    for text in ("0.0.0.0/1", "128.0.0.0/1", "9.9.9.9/32", "192.0.0.0/8", "2000::/3"):
        assert not leak_judge.is_reserved(ipaddress.ip_network(text)), text


OWN_LINK = b"\x02\x42\xac\x12\0\1" + b"\x02\x42\xac\x12\0\2" + b"\x08\0"


def passes(code, raw, kind=0, ether=0x0800, link=b"\0" * 14):
    """What the kernel makes of a filter program: the bytes that it lets pass."""
    extra = {leak_capture._EXTRA: ether, leak_capture._EXTRA + 4: kind}
    accumulator = index = place = 0
    while True:
        operation, yes, no, k = code[place]
        place += 1
        if operation == leak_capture._RET:
            return k
        if operation == leak_capture._JEQ:
            place += yes if accumulator == k else no
        elif operation == leak_capture._LDX_HEADER:
            index = (raw[k] & 15) * 4
        elif k in extra:
            accumulator = extra[k]
        elif leak_capture._LINK <= k < leak_capture._EXTRA:
            start = k - leak_capture._LINK
            accumulator = int.from_bytes(link[start : start + {0x20: 4, 0x28: 2}[operation]], "big")
        else:
            size, start = {0x20: (4, k), 0x28: (2, k), 0x30: (1, k), 0x48: (2, k + index)}[operation]
            accumulator = int.from_bytes(raw[start : start + size], "big")


def test_the_filter_in_the_kernel():
    code = leak_capture.program(ALLOWED.endpoints, ["172.18.0.2", "172.18.0.3"])
    assert passes(code, packet())
    assert passes(code, packet(source="172.18.0.3"))
    assert not passes(code, packet(source="172.18.0.9"))
    assert not passes(code, packet(target="198.51.100.7", ports=(5, 51820)))
    assert passes(code, packet(target="198.51.100.7", ports=(5, 443)))
    assert passes(code, packet(target="198.51.100.7", ports=(5, 51820), protocol=TCP))
    assert passes(code, b"\x60" + b"\0" * 40, ether=0x86DD)
    assert not passes(code, packet(), ether=0x0806)
    # What leaves past the tunnel with the tunnel's address is known by whose card sent it.
    code = leak_capture.program(ALLOWED.endpoints, ["172.18.0.2"], hardware=["02:42:ac:12:00:09", "02:42:ac:12:00:02"])
    assert passes(code, packet(source="10.64.0.2"), link=OWN_LINK)
    assert passes(code, packet())
    assert not passes(code, packet(source="10.64.0.2"))
    assert not passes(code, packet(source="10.64.0.2", target="198.51.100.7", ports=(5, 51820)), link=OWN_LINK)
    uplink = leak_capture.program(ALLOWED.endpoints, None, True)
    assert passes(uplink, packet(source="192.0.2.200"), kind=4)
    assert not passes(uplink, packet(), kind=0)


def wire(name, flows=None, unseen=0):
    return SimpleNamespace(interface=name, flows=flows or {}, unseen=unseen)


def test_the_verdict_of_a_count():
    leak = leak_capture.parse(packet())
    host = leak_capture.parse(packet(source="203.0.113.9"))
    judged = leak_capture.verdict(["172.18.0.2"], [wire("br-1", {leak: 3})], wire("eth0", {host: 9}), ALLOWED, 60)
    assert (judged.state, judged.leak) == ("failed", True)
    assert judged.evidence == (
        "3 packets past the tunnel on br-1 in 60 s, most of them UDP to 192.0.2.1 port 6969 (3); "
        "up to 3 of them went on by eth0"
    )
    clean = leak_capture.verdict(["172.18.0.3"], [wire("br-1", {leak: 3})], wire("eth0", {host: 9}), ALLOWED, 60)
    assert (clean.state, clean.evidence) == ("passed", "0 packets past the tunnel on br-1 and eth0 in 60 s")
    late = leak._replace(source="10.64.0.2", sender="02:42:ac:12:00:02")
    judged = leak_capture.verdict(["172.18.0.2", "02:42:ac:12:00:02"], [wire("br-1", {late: 1})], None, ALLOWED, 60)
    assert judged.state == "failed"
    assert leak_capture.verdict(["172.18.0.3"], [wire("br-1", {}, 4)], None, ALLOWED, 60).state == "inconclusive"


# -- around


LOG = (
    "\x1b[36mINFO\x1b[0m [wireguard] Connecting to 198.51.100.7:51820\n"
    "[openvpn] UDPv4 link remote: [AF_INET]198.51.100.8:1194\n"
)
RULES = (
    "-P OUTPUT DROP\n-A OUTPUT -d 198.51.100.9/32 -o eth0 -p tcp -m tcp --dport 443 -j ACCEPT\n"
    "-A OUTPUT -d 192.168.1.0/24 -o eth0 -j ACCEPT\n"
)
GIVEN = {"WIREGUARD_ENDPOINT_IP": "198.51.100.7"}


@pytest.mark.parametrize(
    ("log", "environment", "found"),
    [
        # A hole in the firewall is no VPN server where others say which one it is.
        (LOG, GIVEN, [Endpoint("198.51.100.7", UDP, 51820), Endpoint("198.51.100.8", UDP, 1194)]),
        ("", GIVEN, [Endpoint("198.51.100.7", UDP, 51820)]),
        ("", {}, [Endpoint("198.51.100.9", TCP, 443)]),
    ],
)
def test_the_vpn_servers(log, environment, found):
    def run(*words, **_options):
        return SimpleNamespace(rc=0, out=RULES if words[0] == "exec" else log, err="")

    docker = SimpleNamespace(run=run)
    assert leak_around.endpoints(docker, SimpleNamespace(id="1"), environment) == tuple(found)


def test_resolvers_that_gluetun_itself_asks():
    environment = {"DNS_ADDRESS": "192.168.1.2", "DNS_UPSTREAM_PLAIN_ADDRESSES": "192.168.1.3:53,[fd00::2]:53,junk"}
    assert leak_around.upstreams(environment) == ["192.168.1.2", "192.168.1.3", "fd00::2"]
    assert leak_around.upstreams({"DNS_UPSTREAM_RESOLVERS": "cloudflare"}) == []


def test_resolvers_that_must_not_answer(tmp_path, monkeypatch):
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "# nameserver 9.9.9.9\nsearch lan\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n"
    )
    monkeypatch.setattr(leak_around, "RESOLV_CONFS", (str(conf), "/nowhere"))
    monkeypatch.setattr(leak_around, "default_gateway", lambda: "192.168.1.254")
    monkeypatch.setattr(leak_around, "own_address", lambda subnet: "192.168.1.20")
    subnets = leak_around.home_networks({"FIREWALL_OUTBOUND_SUBNETS": "192.168.1.7/24, junk"})
    found = leak_around.foreign_resolvers(subnets, ["172.18.0.1"], ["192.168.1.53"])
    assert found == [
        "192.168.1.53", "192.0.2.53", "fe80::1", "172.18.0.1", "192.168.1.254", "192.168.1.20", "192.168.1.1",
    ]  # fmt: skip


def test_the_hosts_router(tmp_path):
    table = tmp_path / "route"
    table.write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\neth0 00000000 FE01A8C0 0003 0 0 0 00000000 0 0 0\n"
    )
    assert leak_around.default_gateway(str(table)) == "192.168.1.254"
    assert leak_around.default_gateway("/nowhere") is None


# -- the echo, and the tools of gluetun's image


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("198.51.100.7\n", "198.51.100.7"),
        ('{"ip": "198.51.100.7", "city": "Face"}', "198.51.100.7"),
        ("<p>Your IP is 2001:DB8::1.</p>", "2001:db8::1"),
        ('"198.51.100.7"', "198.51.100.7"),
        ('{"origin": "198.51.100.7", "server": "192.0.2.80"}', "198.51.100.7"),
        ("fl=1\nh=x\nip=198.51.100.7\nts=1.5\n", "198.51.100.7"),
        ("no address", None),
        ("1.2.3", None),
        ("", None),
        # A page of somebody in between: the same wherever it is asked from.
        ("<style>li::after{} a::before{}</style><h1>Log in</h1>", None),
        ("<p>192.0.2.1 blocked 198.51.100.7</p>", None),
        ('{"ip": ["198.51.100.7"], "proxy": "192.0.2.1"}', None),
        ("<script src=jquery-3.6.0.1.js></script>", None),
        ("0.0.0.0", None),
    ],
)
def test_the_address_in_an_echos_answer(text, address):
    assert leak_probe.address_in(text) == address


ANSWERS = {
    "plain": b"HTTP/1.0 200 OK\r\n\r\n198.51.100.7\n",
    "elsewhere": b"HTTP/1.0 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n198.51.100.7",
    "busy": b"HTTP/1.0 429 Too Many Requests\r\n\r\n198.51.100.7",
    "portal": b"HTTP/1.0 200 OK\r\n\r\n<h1>Log in</h1> 192.0.2.1, 192.0.2.2",
    "huge": b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 3_000_000 + b" 198.51.100.7",
    "garbage": b"\x00\xff\xfe junk 198.51.100.7\r\n\r\n",
    "nothing": b"",
    "hangs": None,
}


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("plain", "198.51.100.7"),
        ("elsewhere", "HTTP 302"),
        ("busy", "HTTP 429"),
        ("portal", "no IP address, or several"),
        ("huge", "no IP address, or several"),
        ("garbage", "^its answer is not HTTP$"),
        ("nothing", "Remote end closed"),
        ("hangs", "no answer in time"),
    ],
)
def test_what_an_echo_may_do(kind, outcome):
    """Nothing but an address alone is one."""
    over = threading.Event()

    def serve(server):
        link, _client = server.accept()
        with link:
            link.recv(4096)
            if ANSWERS[kind] is None:
                over.wait(10)
            else:
                with contextlib.suppress(OSError):
                    link.sendall(ANSWERS[kind])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        echo = leak_probe.Echo(f"http://127.0.0.1:{server.getsockname()[1]}/ip")
        try:
            if kind == "plain":
                assert echo.ask("127.0.0.1", 2) == outcome
            else:
                with pytest.raises(leak_probe.EchoError, match=outcome):
                    echo.ask("127.0.0.1", 0.5)
        finally:
            over.set()
            thread.join(5)


def test_what_busybox_prints():
    text = (
        "I eth0 lo tun0 \n6 fd000000000000000000000000000002 00 eth0\n6 fe800000000000000000000000000002 20 eth0\n"
        "R 1.1.1.1 1.1.1.1 dev tun0 table 51820 src 10.64.0.2 uid 0\nR 208.67.222.222 \nS \n"
        "N 127.0.0.1 0 lo Server: 127.0.0.1 Name: cloudflare.com Address: 192.0.2.1\n"
        "N 192.168.1.1 1 eth0 ;; connection timed out; no servers could be reached\n"
        "N 10.0.0.1 143 tun0 \nB eth0 1.1.1.1 1 PING 1.1.1.1: 56 data bytes ping: sendto: Operation not permitted\n"
        "B eth1 1.1.1.1 0 PING 1.1.1.1 64 bytes from 1.1.1.1\n"
        "B eth2 1.1.1.1 1 1 packets transmitted, 0 packets received\n"
        "B eth3 1.1.1.1 127 sh: ping: not found\nE 198.51.100.7 \n"
    )
    asked = {"echo": "https://echo.example/", "resolvers": ["127.0.0.1"], "others": ["192.168.1.1", "10.0.0.1"]}
    found = leak_exec.read(text, asked)
    assert found["interfaces"] == ["eth0", "lo", "tun0"]
    assert found["addresses6"] == [("fd00::2", "eth0")]
    assert found["routes"] == {"1.1.1.1": "tun0", "208.67.222.222": None}
    assert (found["route6"], found["echo"]["address"]) == (None, "198.51.100.7")
    assert [(one["how"], one["done"], one["reason"]) for one in found["bypass"]] == [
        ("bound to eth0", False, "EPERM"),
        ("bound to eth1", True, None),
        ("bound to eth2", False, "sent"),
        ("bound to eth3", False, "untried"),
    ]
    assert [(entry["server"], entry["answered"], entry["knows"]) for entry in found["resolvers"] + found["others"]] == [
        ("127.0.0.1", True, True),
        ("192.168.1.1", False, False),
        ("10.0.0.1", False, False),
    ]


# -- child processes


def test_a_child_that_hangs_or_dies_is_an_error():
    import os
    import time

    assert leak_space.in_child(lambda: [1], (), 5) == [1]
    with pytest.raises(leak_space.SpaceError, match="longer than 0.2 s"):
        leak_space.in_child(time.sleep, (5,), 0.2)
    with pytest.raises(leak_space.SpaceError, match="ended without a result"):
        leak_space.in_child(os._exit, (1,), 5)
    with pytest.raises(leak_space.SpaceError, match="ValueError: no"):
        leak_space.in_child(_raise, (), 5)


def _raise():
    raise ValueError("no")
