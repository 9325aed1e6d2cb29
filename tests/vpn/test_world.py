# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The world is what the proofs rest on: a leak can happen in it and is seen, and the tunnel in it is a real one.

What is proved here of the kill switch is proved of the lab's gluetun, a stand-in with gluetun's rules.
"""

import itertools
import pathlib
import time

import pytest
from world import World
from world_plan import docker, run

NUMBER = itertools.count(1)
KINDS = ("wireguard", pytest.param("openvpn", marks=pytest.mark.full))
CATALOGUE = pathlib.Path(__file__).resolve().parents[2] / "compose_templates" / "core" / "gluetun.yml.j2"


@pytest.fixture
def cleared(world):
    """The world with the provider as it was, and nothing of the test left running."""
    before = set(names(world))
    yield world
    world.forward_port(40001)
    world.provider_up(0)
    for name in set(names(world)) - before:
        run("docker", "rm", "--force", "--volumes", name)


def names(world):
    """The world's containers."""
    return docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={world.prefix}-").split()


def pair(world, kind="wireguard", guarded=True, **more):
    """A connected gluetun and an app in its namespace.

    guarded: with the rules that the collection gives gluetun as /iptables/post-rules.txt.
    """
    number = next(NUMBER)
    options = guard(world) if guarded else ()
    gluetun = world.gluetun(kind, name=f"gluetun{number}", options=options, **more)
    return gluetun, world.container(f"app{number}", f"container:{gluetun}")


def guard(world):
    """Words for ``docker run`` that mount the catalogue's connection guard."""
    lines = [line.strip() for line in CATALOGUE.read_text().splitlines() if line.strip().startswith("iptables ")]
    assert len(lines) == 3
    folder = world.folder / "guard"
    folder.mkdir(exist_ok=True)
    (folder / "post-rules.txt").write_text("\n".join(lines) + "\n")
    return ("--volume", f"{folder}:/iptables:ro")


def status(world, gluetun, wanted=None):
    """The VPN's status by the control server, after it was asked for another."""
    if wanted:
        answer = world.control(gluetun, "PUT", "/v1/vpn/status", {"status": wanted})
        assert answer == (200, {"outcome": wanted})
    return world.control(gluetun, "GET", "/v1/vpn/status")[1]["status"]


def lost(world, gluetun):
    """Wait until gluetun knows that the tunnel is dead."""
    said = {"public_ip": ""}
    world.wait(lambda: world.control(gluetun, "GET", "/v1/publicip/ip")[1] == said, 60, "no public address", gluetun)


def online(world, app):
    """Wait until an app is seen at the provider's exit address: one try may be lost on a busy machine."""
    world.wait(lambda: world.echo(app) == world.exit_address, 60, f"{app} is seen at {world.exit_address}", app)


def texts(packets):
    """Packets as text, for a readable assertion."""
    return [str(packet) for packet in packets]


# -- the direct route -------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_plain_container_is_seen_with_the_hosts_address(cleared):
    """The host's own route to the same internet exists: this is what a leak looks like."""
    world, began = cleared, time.time()
    plain = world.container("plain")
    with world.capture(world.network()) as capture:
        assert world.echo(plain) == world.host_address
        assert world.resolve(plain, "tracker.example") == world.tracker_address
        assert world.announce(plain) == "announced"
    assert {entry["source"] for entry in world.seen(since=began)} == {world.host_address}
    assert [entry["name"] for entry in world.dns_queries(began)] == ["tracker.example"]
    assert [(entry["transport"], entry["port"]) for entry in world.announces(began)] == [("udp", 6881)]
    targets = {packet.destination for packet in capture.outside_the_tunnel(world.address(plain))}
    assert targets == {world.echo_address, world.resolver, world.tracker_address}
    assert {packet.source for packet in world.direct.leaks() if packet.at > began} == {world.host_address}


@pytest.mark.full
def test_ipv6_of_a_plain_container_is_seen_too(cleared):
    """With its own global address, on a network that has IPv6."""
    world, began = cleared, time.time()
    plain = world.container("plain6", world.network("net", ipv6=True))
    source = world.wait(lambda: world.echo(plain, 6), 60, "its address is not tentative any more", plain)
    assert source.startswith(f"{world.plan.prefix6}:c")
    assert world.announce(plain, 6) == "announced"
    assert {packet.source for packet in world.direct.leaks() if packet.at > began} == {source}


# -- the tunnel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_everything_leaves_by_the_exit_address(cleared, kind):
    """From the container's first packet on: address, DNS by gluetun, announce; the bridge carries the tunnel only."""
    world, began = cleared, time.time()
    with world.capture(world.network()) as capture:
        gluetun, app = pair(world, kind)
        assert world.echo(app) == world.exit_address
        assert world.resolve(app, "echo.example", "127.0.0.1") == world.echo_address
        assert world.announce(app) == "announced"
        route = docker("exec", app, "ip", "route", "get", world.echo_address)
    assert " dev tun0 " in f"{route} "
    assert docker("exec", app, "cat", "/etc/resolv.conf").startswith("nameserver 127.0.0.1\n")
    assert {entry["kind"] for entry in world.seen(since=began)} == {"echo", "dns", "announce"}
    assert {entry["source"] for entry in world.seen(since=began)} == {world.exit_address}
    assert capture.in_the_tunnel()
    assert texts(capture.outside_the_tunnel()) == []
    assert capture.dropped == 0
    assert texts(packet for packet in world.direct.leaks() if packet.at > began) == []
    secret = next(iter(world.secrets(kind).values())).strip().splitlines()[-2:][0]
    processes = docker("exec", gluetun, "ps", "-eo", "args")
    assert ("wireguard-go" if kind == "wireguard" else "openvpn") in processes
    assert secret not in processes
    assert secret not in docker("inspect", gluetun)


def test_ipv6_goes_through_the_tunnel_or_nowhere(cleared):
    """A tunnel with both families, on a network where IPv6 could leak."""
    world, began = cleared, time.time()
    network = world.network("net", ipv6=True)
    with world.capture(network) as capture:
        gluetun, app = pair(world, network=network, ipv6=True)
        assert world.echo(app, 6) == world.exit_address6
        assert status(world, gluetun, "stopped") == "stopped"
        assert world.echo(app, 6) == ""
        assert world.announce(app, 6) == ""
    assert texts(capture.outside_the_tunnel()) == []
    assert texts(packet for packet in world.direct.leaks() if packet.at > began) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_kill_switch_holds_when_the_provider_dies(cleared, kind):
    """Nothing gets out until the provider is back; then everything leaves by its new exit address."""
    world = cleared
    gluetun, app = pair(world, kind)
    began = time.time()
    with world.capture(world.network()) as capture, world.chatter(app):
        world.wait(lambda: world.seen("echo", began), 60, "the chatter is heard", app)
        world.provider_down()
        assert world.echo(app) == ""
        lost(world, gluetun)
        assert world.announce(app) == ""
        world.provider_up(3)
        world.wait_connected(gluetun, address=world.exit_address)
        back = time.time()
        world.wait(lambda: world.seen("echo", back), 60, "the chatter is heard again", app)
    online(world, app)
    assert world.exit_address == world.plan.exit(3)
    assert capture.in_the_tunnel()
    assert texts(capture.outside_the_tunnel()) == []
    assert capture.dropped == 0
    assert texts(packet for packet in world.direct.leaks() if packet.at > began) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_kill_switch_stays_when_the_vpn_is_stopped_or_crashes(cleared, kind):
    """By the control server, and by an openvpn that dies (gluetun's WireGuard is no process of its own)."""
    world = cleared
    gluetun, app = pair(world, kind)
    began = time.time()
    with world.capture(world.network()) as capture, world.chatter(app):
        world.wait(lambda: world.seen("echo", began), 60, "the chatter is heard", app)
        assert status(world, gluetun, "stopped") == "stopped"
        assert "tun0" not in docker("exec", app, "ls", "/sys/class/net").split()
        assert world.echo(app) == ""
        assert status(world, gluetun, "running") == "running"
        world.wait_connected(gluetun)
        online(world, app)
        if kind == "openvpn":
            run("docker", "exec", gluetun, "pkill", "openvpn")
            world.wait(lambda: status(world, gluetun) == "crashed", 60, "it has crashed", gluetun)
            world.wait_connected(gluetun)
            online(world, app)
    assert texts(capture.outside_the_tunnel()) == []
    assert texts(packet for packet in world.direct.leaks() if packet.at > began) == []


@pytest.mark.parametrize("guarded", [False, True])
def test_established_connections_pass_gluetuns_kill_switch_by_any_interface(cleared, guarded):
    """Known of gluetun's own rules: what it does in the moment in which the route is gone and the device is not.

    The rules that the collection gives gluetun as /iptables/post-rules.txt close it.
    """
    world = cleared
    gluetun, app = pair(world, guarded=guarded)
    with world.capture(world.network()) as capture, world.chatter(app):
        began = time.time()
        world.wait(lambda: world.seen("echo", began), 60, "the chatter is heard", app)
        docker("exec", gluetun, "ip", "rule", "delete", "priority", "101")
        if guarded:
            world.wait(lambda: dropped(gluetun), 60, "the guard had something to drop", gluetun)
            assert texts(capture.outside_the_tunnel()) == []
        else:
            leaked = world.wait(capture.outside_the_tunnel, 60, "an established connection leaks", gluetun)
            assert {packet.source for packet in leaked} == {"10.2.0.2"}


def dropped(gluetun):
    """How many packets the guard has dropped."""
    listed = docker("exec", gluetun, "iptables", "-t", "mangle", "-L", "POSTROUTING", "-n", "-v", "-x")
    return sum(int(line.split()[0]) for line in listed.splitlines() if "DROP" in line)


# -- the detector -----------------------------------------------------------------------------------------------------


def test_a_container_outside_the_namespace_is_caught(cleared):
    """On the same network as gluetun, by its own address and by the host's."""
    world, began = cleared, time.time()
    pair(world)
    leaky = world.container("leaky")
    with world.capture(world.network()) as capture:
        assert world.announce(leaky) == "announced"
    assert capture.outside_the_tunnel(world.address(leaky))
    assert {packet.source for packet in world.direct.leaks() if packet.at > began} == {world.host_address}


def test_a_kill_switch_that_is_not_there_is_seen(cleared):
    """The same gluetun without its rules: the app's packets leave by the bridge as soon as the tunnel is gone."""
    world = cleared
    gluetun, app = pair(world)
    assert status(world, gluetun, "stopped") == "stopped"
    assert world.echo(app) == ""
    docker("exec", gluetun, "nft", "delete", "table", "inet", "gluetun")
    with world.capture(world.network()) as capture:
        assert world.echo(app) == world.host_address
    assert capture.outside_the_tunnel(world.address(gluetun))


# -- the forwarded port -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.full
def test_a_forwarded_port_is_open_from_the_providers_side_and_follows_it(cleared, kind):
    """NAT-PMP: the port that the provider gives, another one when it changes, none when it has none."""
    world = cleared
    gluetun, app = pair(world, kind, VPN_PORT_FORWARDING="on", VPN_PORT_FORWARDING_PROVIDER="protonvpn")

    def port(number):
        return lambda: world.control(gluetun, "GET", "/v1/portforward")[1]["port"] == number

    world.wait(port(40001), 60, "port 40001", gluetun)
    assert world.connect_from_provider_side(40001) == "closed"
    listen = "import socket\nlink = socket.create_server(('', {}))\nwhile True: link.accept()[0].close()"
    for number in (40001, 40777):
        run("docker", "exec", "--detach", app, "python3", "-c", listen.format(number))
    world.wait(lambda: world.connect_from_provider_side(40001) == "open", 60, "40001 is open", gluetun)
    assert world.connect_from_provider_side(40777) != "open"
    world.forward_port(40777)
    world.wait(port(40777), 60, "port 40777", gluetun)
    assert world.forwarded() == 40777
    assert world.connect_from_provider_side(40777) == "open"
    assert world.connect_from_provider_side(40001) != "open"
    world.forward_port(0)
    world.wait(port(0), 60, "no port", gluetun)
    assert world.connect_from_provider_side(40777) != "open"


# -- afterwards -------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_world_leaves_nothing_and_may_stand_beside_another(world):
    """Containers, networks, the host's cable and routes, files."""
    with World() as other:
        assert other.plan.slot != world.plan.slot
        assert other.echo(other.container("plain")) == other.host_address != world.host_address
        uplink, prefix, folder = other.plan.uplink, other.prefix, other.folder
    assert run("ip", "link", "show", uplink, check=False).returncode
    assert docker("ps", "--all", "--quiet", "--filter", f"name={prefix}") == ""
    assert docker("network", "ls", "--quiet", "--filter", f"name={prefix}") == ""
    assert not folder.exists()
