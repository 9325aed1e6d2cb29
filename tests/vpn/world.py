# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A world of its own for a VPN: an internet, a VPN provider in it, and this machine's direct route to both.

::

    app ─ gluetun ══ tunnel ══ provider ── internet   what it sees comes from the provider's exit address
              └──── bridge ──── host ─────────┘       a leak: it comes from the host's address

Everything lives in containers and network namespaces that World makes and removes; the addresses are those kept for
documentation. Nothing reaches, or is sent to, the real internet. It needs root, an engine, and the lab's images
(``tests/lab/bin/images build``).

Usage::

    with World() as world:
        gluetun = world.gluetun()                      # a stand-in, connected (world.settings() for one of your own)
        app = world.container("app", network=f"container:{gluetun}")
        assert world.echo(app) == world.exit_address   # through the tunnel
        with world.capture(world.network()) as capture:
            world.provider_down()
            assert world.echo(app) == ""
        assert not capture.outside_the_tunnel(world.address(gluetun))
        assert not world.direct.leaks()                # nothing came by the host's own route
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import world_plan as plan
from world_capture import Capture
from world_plan import WorldError, docker, run

HERE = pathlib.Path(__file__).resolve().parent
IMAGE = os.environ.get("MEDIASTACK_TEST_VPN_IMAGE", "mediastack-lab/rootfs:trixie")
GLUETUN = "qmcgaw/gluetun:v3.41.3"
WIREGUARD_PORT, OPENVPN_PORT = 51820, 1194
CLIENT = (HERE / "inside" / "client.py").read_text(encoding="utf-8")


class World:
    """The internet, the provider and the direct route. A context manager; several may exist at once.

    Attributes (text), all set on entry:

    * ``prefix``: what the names of all its containers and networks begin with (the process id is in it)
    * ``host_address``, ``host_address6``: this machine as the internet sees it by the direct route
    * ``provider_address``: the VPN endpoint
    * ``exit_address``, ``exit_address6``: what the internet sees of traffic through the tunnel now
    * ``echo_address``, ``echo_address6``, ``echo_url``, ``echo_url6``: HTTP on port 80 answers the caller's address as
      text, ``/json`` as ``{"ip": …, "country": …}``. The address answers ICMP echo, too.
    * ``resolver``, ``resolver6``: the DNS server that logs; ``echo.example`` and every other name is the echo's
      address, ``tracker.example`` the trackers'
    * ``tracker_address``, ``tracker_url`` (``udp://…``), ``tracker_url6``, ``tracker_http_url`` (``http://…/announce``)
    * ``news_address``: an NNTP server on port 119 (``news.example``) that has every article, slowly
    * ``direct``: the Capture of the direct route, which runs from entry to exit
    """

    def __init__(self):
        """Take the next free slot of addresses; nothing is made yet."""
        self.prefix = f"msvpn-{os.getpid()}-{next(plan.COUNTER)}"
        self.closing = contextlib.ExitStack()

    def __enter__(self):
        """Make everything. Raises WorldError with what is missing and how to get it."""
        try:
            self.make()
        except BaseException:
            self.closing.close()
            raise
        return self

    def __exit__(self, *_error):
        """Remove everything that was made."""
        self.closing.close()

    # -- what a gluetun needs ----------------------------------------------------------------------

    def settings(self, kind="wireguard", ipv6=False, **more):
        """Return gluetun's environment for this provider, names of v3.41, without secrets.

        kind: "wireguard" or "openvpn". ipv6: with addresses of both families in the tunnel (the container then needs
        the sysctl ``net.ipv6.conf.all.disable_ipv6=0``). more: further variables. What begins with LAB_ is the
        stand-in's own (tests/lab/README.md).
        """
        family = {
            "wireguard": {
                "WIREGUARD_ENDPOINT_IP": self.provider_address,
                "WIREGUARD_ENDPOINT_PORT": str(WIREGUARD_PORT),
                "WIREGUARD_PUBLIC_KEY": self.read("provider.pub"),
                "WIREGUARD_ADDRESSES": ",".join(plan.TUNNEL_ADDRESSES[: 1 + ipv6]),
            },
            "openvpn": {"OPENVPN_CUSTOM_CONFIG": "/run/secrets/custom.ovpn"},
        }[kind]
        return {
            "VPN_SERVICE_PROVIDER": "custom",
            "VPN_TYPE": kind,
            **family,
            "PUBLICIP_API": f"echoip#{self.echo_url}",
            "HEALTH_TARGET_ADDRESSES": f"{self.echo_address}:80",
            "HEALTH_ICMP_TARGET_IPS": self.echo_address,
            "LAB_DNS_UPSTREAM": self.resolver,
            "LAB_CHECK_SECONDS": "2",
            "LAB_LEASE_SECONDS": "2",
            **more,
        }

    def secrets(self, kind="wireguard"):
        """Return {name in /run/secrets: text} that go with settings(kind)."""
        if kind == "wireguard":
            return {"wireguard_private_key": self.read("client.key")}
        return {"custom.ovpn": self.read("client.ovpn") + "\n"}

    def stack_variables(self, kind="wireguard", **environment):
        """Return inventory variables (mediastack_vpn_*, mediastack_overrides) of a stack behind this provider.

        environment: further variables of gluetun's container.
        """
        settings = self.settings(kind)
        common = {"mediastack_vpn_enabled": True, "mediastack_vpn_provider": "custom", "mediastack_vpn_type": kind}
        if kind == "wireguard":
            common.update(
                mediastack_vpn_wireguard_private_key=self.read("client.key"),
                mediastack_vpn_wireguard_public_key=settings["WIREGUARD_PUBLIC_KEY"],
                mediastack_vpn_wireguard_addresses=[plan.TUNNEL_ADDRESSES[0]],
                mediastack_vpn_wireguard_endpoint_ip=self.provider_address,
                mediastack_vpn_wireguard_endpoint_port=WIREGUARD_PORT,
            )
        else:
            common["mediastack_vpn_openvpn_custom_config"] = self.read("client.ovpn")
        own = {name: value for name, value in settings.items() if name.startswith(("LAB_", "HEALTH_", "PUBLICIP_"))}
        return {
            **common,
            "mediastack_overrides": {"gluetun": {"environment": {**own, **environment}, "dns": [self.resolver]}},
        }

    def gluetun(self, kind="wireguard", name="gluetun", network=None, ipv6=False, wait=True, options=(), **environment):
        """Start the lab's gluetun with this provider and wait until it is connected; returns the container's name.

        kind, ipv6, environment: see settings(). network: name of a Docker network (default: network()). options:
        further words for ``docker run``. wait: False returns at once. Raises AssertionError with its log.
        """
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        for secret, text in self.secrets(kind).items():
            (folder / secret).write_text(text, encoding="utf-8")
            (folder / secret).chmod(0o400)
        words = ["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun:/dev/net/tun"]
        words += ["--sysctl", f"net.ipv6.conf.all.disable_ipv6={0 if ipv6 else 1}"]
        words += ["--volume", f"{folder}:/run/secrets:ro", *plan.as_options(self.settings(kind, ipv6, **environment))]
        container = self.container(name, network or self.network(), GLUETUN, (), [*words, *options])
        if wait:
            self.wait_connected(container)
        return container

    def container(self, name, network=None, image=IMAGE, command=("sleep", "infinity"), options=()):
        """Start a plain container; returns its name, which is removed with the world.

        network: a Docker network or ``container:NAME`` (default: network()).
        """
        full = f"{self.prefix}-{name}"
        words = ["--detach", "--init", "--name", full, "--network", network or self.network(), "--label", self.label]
        docker("run", *words, *options, image, *command)
        return full

    def network(self, name="net", ipv6=False):
        """Return the name of a Docker network of the world, made at the first call.

        ipv6: with global IPv6 addresses, which the internet can answer by the host's direct route: an IPv6 leak can
        happen.
        """
        key = f"{self.prefix}-{name}{'6' if ipv6 else ''}"
        if key not in self.networks:
            more = ["--ipv6", "--subnet", self.plan.network6(len(self.networks))] if ipv6 else []
            docker("network", "create", "--label", self.label, *more, key)
            self.networks.append(key)
        return key

    # -- what a container sees ----------------------------------------------------------------------

    def echo(self, container, family=4, seconds=2.0):
        """Return the public address that a container has at the echo, or "" when it gets no answer in time."""
        return self.inside(container, "fetch", self.echo_url if family == 4 else self.echo_url6, seconds)

    def resolve(self, container, name, server=None, seconds=2.0):
        """Return the IPv4 address of a name by DNS over UDP (server: default the world's resolver), or ""."""
        return self.inside(container, "resolve", name, server or self.resolver, seconds)

    def announce(self, container, family=4, seconds=2.0):
        """Announce to the UDP tracker from a container; returns "announced", or "" when there is no answer."""
        address = self.tracker_address if family == 4 else self.plan.tracker6
        return self.inside(container, "announce", address, 6969, seconds)

    @contextlib.contextmanager
    def chatter(self, container, family=4, seconds=0.05):
        """Have a container try to get out all the time, by TCP, DNS and a UDP tracker, while the block runs.

        TCP connections are never closed, so that established ones live through what happens. seconds: between rounds.
        """
        ends = [self.echo_address, self.resolver, self.tracker_address]
        if family == 6:
            ends = [self.echo_address6, self.resolver6, self.plan.tracker6]
        command = [
            "docker",
            "exec",
            "--interactive",
            container,
            "python3",
            "-c",
            CLIENT,
            "chatter",
            *ends,
            str(seconds),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            if running.stdout.readline() != "chatter\n":
                raise WorldError(f"{container}: chatter did not start (it needs python3)")
            try:
                yield
            finally:
                running.stdin.close()

    @staticmethod
    def inside(container, *words):
        """Run a verb of inside/client.py in a container, which needs python3 only; returns its answer."""
        done = run("docker", "exec", container, "python3", "-c", CLIENT, *map(str, words), check=False)
        return done.stdout.strip()

    @staticmethod
    def address(container):
        """Return a container's IPv4 address on its (first) Docker network, "" when it has none."""
        networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
        return next((network["IPAddress"] for network in networks.values() if network["IPAddress"]), "")

    def control(self, container, method, path, body=None, headers=(), seconds=30.0):
        """Ask gluetun's control server; returns (status, decoded JSON or text), (0, "") when nobody answers."""
        link = http.client.HTTPConnection(self.address(container), 8000, timeout=seconds)
        try:
            link.request(method, path, json.dumps(body) if body else None, dict(headers))
            answer = link.getresponse()
            text = answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            link.close()
        return answer.status, json.loads(text) if text.startswith("{") else text

    def wait_connected(self, container, seconds=60.0, address=None):
        """Wait until gluetun says its public address (address: this one); returns it. Raises AssertionError."""

        def there():
            answer = self.control(container, "GET", "/v1/publicip/ip")[1]
            found = answer.get("public_ip") if isinstance(answer, dict) else ""
            return found if address in (None, found) else ""

        return self.wait(there, seconds, f"{container} is connected", container)

    @staticmethod
    def wait(question, seconds=30.0, what="it", container=None):
        """Poll until question() is true and return its value; AssertionError (with the container's log) if not."""
        deadline = time.monotonic() + seconds
        while not (value := question()):
            if time.monotonic() > deadline:
                log = run("docker", "logs", "--tail", "40", container, check=False) if container else None
                raise AssertionError(f"not within {seconds} s: {what}\n{log.stdout + log.stderr if log else ''}")
            time.sleep(0.1)
        return value

    # -- the provider ----------------------------------------------------------------------

    def provider_down(self):
        """The provider is gone: its cable is pulled, no packet comes or goes."""
        run("nsenter", "--target", str(self.internet_pid), "--net", "ip", "link", "set", "provider", "down")

    def provider_up(self, exit_number=None):
        """The provider is back; exit_number (0 … 9): with another exit address. Existing connections are cut then."""
        if exit_number is not None:
            self.write("exit", str(exit_number))
            docker("exec", f"{self.prefix}-provider", "python3", "/world/code/provider.py", "nat")
            self.exit_address = self.plan.exit(exit_number)
            self.exit_address6 = self.plan.exit6(exit_number)
        run("nsenter", "--target", str(self.internet_pid), "--net", "ip", "link", "set", "provider", "up")

    def forward_port(self, port):
        """The provider forwards another port (0: none) from now on; a client hears of it when it renews its lease."""
        self.write("port", str(port))

    def forwarded(self):
        """Return the port that the provider forwards to a client now, 0 for none."""
        text = self.read("forwarded")
        return int(text) if text else 0

    def connect_from_provider_side(self, port, seconds=2.0, address=None):
        """Connect from the internet to the exit address (or another); returns "open", "closed" or "silent"."""
        return self.inside(f"{self.prefix}-internet", "connect", address or self.exit_address, port, seconds)

    # -- what the internet saw ----------------------------------------------------------------------

    def seen(self, kind=None, since=0.0):
        """Return what reached the internet's services, oldest first: dicts with ``at`` (seconds since the epoch),
        ``kind`` (echo, dns, announce, news), ``source`` (address) and what the kind has.
        """
        entries = [json.loads(line) for line in self.read("seen.jsonl").splitlines()]
        return [entry for entry in entries if kind in (None, entry["kind"]) and entry["at"] >= since]

    def announces(self, since=0.0):
        """Return the announces: ``source``, ``transport`` (udp, http), ``port``, ``info_hash`` (hex), ``event``."""
        return self.seen("announce", since)

    def dns_queries(self, since=0.0):
        """Return the DNS queries: ``source``, ``name``, ``type`` (number), ``transport``."""
        return self.seen("dns", since)

    def articles(self, since=0.0):
        """Return the articles that were fetched: ``source``, ``article``."""
        return self.seen("news", since)

    def echoes(self, since=0.0):
        """Return the requests to the echo: ``source``, ``path``."""
        return self.seen("echo", since)

    def capture(self, network):
        """Return a Capture (context manager) of a Docker network's bridge."""
        found = json.loads(docker("network", "inspect", network))[0]
        return Capture(self, f"br-{found['Id'][:12]}", [part["Subnet"] for part in found["IPAM"]["Config"]])

    def tunnel_ends(self):
        """Return the (address, port) pairs that the tunnel may go to."""
        return {(self.provider_address, WIREGUARD_PORT), (self.provider_address, OPENVPN_PORT)}

    # -- how it is made ----------------------------------------------------------------------

    def read(self, name):
        """Return the text of a file that the containers share, stripped; "" when there is none."""
        path = self.folder / name
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def write(self, name, text):
        """Write a file that the containers share, in one step."""
        (self.folder / f".{name}").write_text(text, encoding="utf-8")
        (self.folder / f".{name}").replace(self.folder / name)

    def make(self):
        """Make namespaces, routes and services, and wait until they answer."""
        plan.check(IMAGE)
        self.plan = self.closing.enter_context(plan.slot())
        self.label = f"mediastack.vpn.slot={self.plan.slot}"
        plan.remove_leftovers(self.label)
        self.networks = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.closing.callback(plan.remove_leftovers, self.label)
        for name, value in self.plan.names().items():
            setattr(self, name, value)
        shutil.copytree(HERE / "inside", self.folder / "code", ignore=shutil.ignore_patterns("__pycache__"))
        self.write("plan.json", json.dumps(self.plan.for_the_inside()))
        self.write("exit", "0")
        self.write("port", "40001")
        share = ["--volume", f"{self.folder}:/world", "--cap-add", "NET_ADMIN"]
        share += plan.sysctls("net.ipv4.ip_forward=1", "net.ipv6.conf.all.disable_ipv6=0")
        share += plan.sysctls("net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.accept_dad=0")
        internet = self.container("internet", "none", IMAGE, ("python3", "/world/code/internet.py"), share)
        tun = ["--device", "/dev/net/tun:/dev/net/tun"]
        provider = self.container(
            "provider", "none", IMAGE, ("python3", "/world/code/provider.py", "serve"), [*share, *tun]
        )
        self.internet_pid = int(docker("inspect", "--format", "{{.State.Pid}}", internet))
        provider_pid = int(docker("inspect", "--format", "{{.State.Pid}}", provider))
        self.closing.callback(plan.unplug, self.plan)
        plan.plug(self.plan, self.internet_pid, provider_pid)
        self.wait(lambda: self.read("internet.ready"), 20, "the internet's services answer", internet)
        self.wait(lambda: self.read("provider.ready"), 30, "the provider's servers listen", provider)
        self.direct = self.closing.enter_context(Capture(self, self.plan.uplink))


__all__ = ["World", "WorldError"]
