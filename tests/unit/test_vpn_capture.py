# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests/vpn takes from a capture file, and what it calls a leak."""

import pathlib
import struct
import sys
import types

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "vpn"))

import world_capture  # noqa: E402
import world_plan  # noqa: E402

PLAN = world_plan.Plan(0)


def frame(source, destination, protocol=17, ports=(1, 2), first=None):
    """An Ethernet frame with an IPv4 packet."""
    ends = b"".join(bytes(int(part) for part in address.split(".")) for address in (source, destination))
    body = struct.pack(">HH", *ports) if first is None else bytes([first, 0, 0, 0])
    return b"\0" * 12 + b"\x08\0" + b"\x45" + b"\0" * 8 + bytes([protocol]) + b"\0\0" + ends + body


def pcap(*frames):
    """A capture file."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 128, 1)
    return head + b"".join(struct.pack("<IIII", 5, 250000, len(one), len(one)) + one for one in frames)


def capture(tmp_path, *frames, local=()):
    """A Capture that has these packets."""
    (tmp_path / "x.pcap").write_bytes(pcap(*frames))
    world = types.SimpleNamespace(folder=tmp_path, prefix="x", plan=PLAN, tunnel_ends=lambda: {(PLAN.near(7), 51820)})
    made = world_capture.Capture(world, "eth9", local)
    made.file = "x.pcap"
    return made


def test_a_packet_is_read_with_time_ends_and_ports_and_a_torn_one_waits():
    whole = pcap(frame("198.51.100.2", "203.0.113.3", ports=(4711, 6969)))
    torn = whole + struct.pack("<IIII", 6, 0, 60, 60) + b"\0" * 20
    (packet,) = world_capture.parse(torn)
    assert (packet.at, packet.source, packet.destination) == (5.25, "198.51.100.2", "203.0.113.3")
    assert (packet.protocol, packet.source_port, packet.destination_port) == ("udp", 4711, 6969)
    assert list(world_capture.parse(b"")) == []


def test_the_tunnel_and_the_link_are_no_leak_and_everything_else_is(tmp_path):
    own, server = "172.18.0.5", PLAN.near(7)
    made = capture(
        tmp_path,
        frame(own, server, ports=(40000, 51820)),
        frame(server, own, ports=(51820, 40000)),
        frame(own, server, protocol=1, first=3),  # no taker for a packet of the tunnel
        frame(own, "172.18.0.1", ports=(8000, 40000)),
        frame(own, "224.0.0.22", protocol=2),
        frame(own, server, ports=(40000, 80)),
        frame(own, PLAN.far(1), protocol=1, first=8),
        frame("10.2.0.2", PLAN.far(1), protocol=6, ports=(5, 80)),
        local=["172.18.0.0/16"],
    )
    assert len(made.in_the_tunnel()) == 3
    outside = [(packet.source, packet.destination, packet.protocol) for packet in made.outside_the_tunnel()]
    assert outside == [
        (own, server, "udp"),
        (own, PLAN.far(1), "icmp"),
        ("10.2.0.2", PLAN.far(1), "tcp"),
    ]
    assert len(made.outside_the_tunnel(own)) == 2


def test_on_the_direct_route_answers_of_the_internet_are_no_leak(tmp_path):
    made = capture(tmp_path, frame(PLAN.far(1), PLAN.near(2)), frame(PLAN.near(2), PLAN.far(1)))
    assert [packet.source for packet in made.leaks()] == [PLAN.near(2)]


def test_slots_do_not_touch_each_other():
    plans = [world_plan.Plan(slot) for slot in range(world_plan.SLOTS)]
    taken = [value for plan in plans for value in plan.names().values()]
    assert len(set(taken)) == len(taken)
    assert plans[0].is_internet(plans[0].exit6(0))
    assert not plans[0].is_internet(plans[1].near(7))
    assert not plans[0].is_internet(plans[0].network6(1).replace("::/64", "::2"))


@pytest.mark.parametrize(
    ("source", "kind", "stays"),
    [("fe80::1", 135, True), ("fe80::1", 136, True), ("fe80::1", 128, False), ("2001:db8:9::9", 135, False)],
)
def test_neighbour_discovery_of_the_link_is_no_leak_and_a_ping_is(source, kind, stays):
    packet = world_capture.Packet(0.0, source, "2001:db8:1::20", "icmp6", 0, 0, 86, kind)
    assert packet.on_the_link is stays
