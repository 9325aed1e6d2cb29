# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The life of a real tunnel in the stand-in: start, checks, public address, forwarded port, crash, restart.

Sources: internal/vpn (run.go, tunnelup.go, cleanup.go), internal/healthcheck, internal/publicip and
internal/portforward of gluetun v3.41. What is not there: TLS in the health check, sources of the public address other
than echoip, providers' server lists, PUT /v1/vpn/settings to another server.

Settings of the stand-in's own: LAB_DNS_UPSTREAM (plain DNS server beyond the tunnel), LAB_CHECK_SECONDS (60: the
period of the small check; all of gluetun's waiting times shrink with it), LAB_LEASE_SECONDS (45: until a forwarded port
is renewed).
"""

import contextlib
import ipaddress
import json
import socket
import struct
import threading
import time
import urllib.request

from . import gluetun_dns, gluetun_rules
from .gluetun_firewall import Firewall
from .gluetun_tunnel import Openvpn, Wireguard, ping

TRIES = (5, 5, 5, 10, 10, 10, 15, 15, 15, 30)  # seconds for each try of the small check
STARTUP = 6.0  # seconds for the check after a start
LEAST = 0.5  # seconds, however much the times shrink
BACKOFF = 15.0  # seconds after a crash, doubled each time
LEASE = 60  # seconds that a forwarded port is asked for


def is_real(source, provider):
    """Return whether these settings name a tunnel that the stand-in can bring up: a custom provider's."""
    return provider == "custom" and bool(source.get("WIREGUARD_ENDPOINT_IP") or source.get("OPENVPN_CUSTOM_CONFIG"))


class Vpn:
    """One tunnel after the other, with gluetun's kill switch around them from the first moment."""

    def __init__(self, source, kind, control, log, command):
        """Take settings, VPN type, the control server, log(level, text) and command(text, ports).

        Raises SettingsError for settings that name no endpoint.
        """
        self.source, self.control, self.log, self.command = source, control, log, command
        self.kind = kind
        try:
            self.endpoint = self.make().endpoint
        except (ValueError, OSError) as error:
            raise gluetun_rules.SettingsError(f"VPN settings: {error}") from None
        networks = [ipaddress.ip_network(item, strict=False) for item in source.items("FIREWALL_OUTBOUND_SUBNETS")]
        self.firewall = Firewall(
            networks, source.items("FIREWALL_INPUT_PORTS"), source.items("FIREWALL_VPN_INPUT_PORTS")
        )
        self.scale = float(source.get("LAB_CHECK_SECONDS", "60")) / 60
        self.renew_after = float(source.get("LAB_LEASE_SECONDS", "45"))
        self.healthy = "healthcheck did not run yet"
        self.tunnel, self.up, self.dns = None, False, None
        self.next_check = self.next_renewal = self.retry_at = 0.0
        self.crashes, self.announced = 0, False
        control.start_vpn, control.stop_vpn = self.start, self.stop
        control.start_seconds = 0.0

    def make(self):
        """Return a tunnel of the VPN type, not started."""
        if self.kind == "wireguard":
            return Wireguard(self.source)
        return Openvpn(self.source, self.source.get("OPENVPN_CUSTOM_CONFIG"), self.log)

    def prepare(self):
        """Raise the kill switch and set the routing, before anything else runs. Raises OSError."""
        self.firewall.read()
        self.firewall.enable()
        self.log("INFO", "[firewall] enabled successfully")
        self.firewall.set_routing()

    def shrunk(self, seconds):
        """Return one of gluetun's times, shrunk."""
        return max(LEAST, seconds * self.scale)

    # -- start and stop: called by the control server while it is "starting" or "stopping" -------------------------

    def start(self):
        """Start the tunnel; returns whether it runs, which is not whether it is connected."""
        self.up = False
        self.tunnel = self.make()
        self.firewall.endpoint = self.endpoint
        try:
            self.firewall.apply()
            self.tunnel.start()
        except OSError as error:
            self.log("ERROR", f"[vpn] {error}")
            self.tunnel.stop()
            self.crashed()
            return False
        host, protocol, port = self.endpoint
        self.log("INFO", f"[{self.kind}] connecting to {host}:{port} ({protocol})")
        return True

    def stop(self):
        """Stop the tunnel; the kill switch stays."""
        self.up = False
        self.end_forwarding()
        if self.tunnel:
            self.tunnel.stop()
        self.log("INFO", "[vpn] stopped")

    def crashed(self):
        """Note when to try again."""
        self.crashes += 1
        wait = self.shrunk(BACKOFF * 2 ** (self.crashes - 1))
        self.retry_at = time.time() + wait
        self.log("INFO", f"[vpn] retrying in {wait:g}s")

    def restart(self, why):
        """Restart as the health check does, unless somebody stops it meanwhile."""
        self.log("WARN", f"[vpn] restarting VPN because it failed to pass the healthcheck: {why}")
        if self.control.set_vpn("stopped") == "stopped":
            self.control.set_vpn("running")

    # -- the loop ----------------------------------------------------------------------

    def live(self):
        """Follow the tunnel for ever."""
        self.control.set_vpn("running")
        while True:
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - a stand-in that stops looking would prove nothing
                self.log("ERROR", f"[vpn] {type(error).__name__}: {error}")
                time.sleep(LEAST)
            time.sleep(0.05)

    def step(self):
        """Do what is due."""
        control, now = self.control, time.time()
        if control.vpn == "crashed" and now >= self.retry_at:
            control.vpn = "stopped"
            control.set_vpn("running")
        elif control.vpn != "running":
            return
        elif self.tunnel.ended():
            self.log("ERROR", f"[vpn] {self.kind} ended")
            with control.lock:
                control.vpn = "crashed"
                control.clear()
            self.stop()
            self.crashed()
        elif not self.up:
            self.bring_up()
        elif now >= self.next_check:
            self.small_check()
        elif self.forwarding() and now >= self.next_renewal:
            self.renew()

    def bring_up(self):
        """Do what gluetun does once the tunnel runs: health, DNS, public address, forwarded port."""
        tunnel = self.tunnel
        wrong = self.startup_check(tunnel)
        if self.control.vpn != "running" or self.tunnel is not tunnel or tunnel.ended():
            return
        if wrong:
            self.healthy = wrong
            if self.source.get("HEALTH_RESTART_VPN", "on").lower() in gluetun_rules.TRUE:
                self.restart(wrong)
            return
        self.healthy, self.crashes = "", 0
        if self.dns is None and self.source.get("DNS_SERVER", "on").lower() in gluetun_rules.TRUE:
            self.dns = gluetun_dns.Dns(self.source.get("LAB_DNS_UPSTREAM"), lambda: self.control.dns == "running")
            self.dns.start()
            self.log("INFO", "[dns] ready")
        self.next_check = time.time() + 60 * self.scale
        self.next_renewal = 0.0
        self.look_up()
        self.up = True

    def startup_check(self, tunnel):
        """Return what is wrong, "" when one of the targets takes a connection through the tunnel."""
        until = time.monotonic() + self.shrunk(STARTUP) + (2 if self.kind == "openvpn" else 0)
        targets = self.source.items("HEALTH_TARGET_ADDRESSES") or ["cloudflare.com:443", "github.com:443"]
        error = "no target"
        while (left := until - time.monotonic()) > 0 and self.tunnel is tunnel and self.control.vpn == "running":
            for target in targets:
                host, _colon, port = target.rpartition(":")
                try:
                    socket.create_connection((host.strip("[]"), int(port)), min(left, 1.0)).close()
                except OSError as trouble:
                    error = f"dialing {target}: {trouble}"
                else:
                    return ""
            time.sleep(0.05)
        return f"startup check: all check tries failed: {error}"

    def small_check(self):
        """Ask a target for an echo, several times; restart the VPN when none answers."""
        tunnel = self.tunnel
        targets = self.source.items("HEALTH_ICMP_TARGET_IPS") or ["1.1.1.1", "8.8.8.8"]
        targets = [str(self.endpoint[0])] if targets == ["0.0.0.0"] else targets
        for number, seconds in enumerate(TRIES):
            if ping(targets[number % len(targets)], self.shrunk(seconds)):
                self.next_check = time.time() + 60 * self.scale
                self.healthy = ""
                return
            if self.control.vpn != "running" or self.tunnel is not tunnel or tunnel.ended():
                return
        self.healthy = "periodic small check: all check tries failed: ICMP echo: timed out"
        self.restart(self.healthy)

    def look_up(self):
        """Ask for the public address, through the tunnel."""
        if self.source.get("PUBLICIP_ENABLED", "on").lower() not in gluetun_rules.TRUE:
            return
        for api in self.source.items("PUBLICIP_API"):
            name, _sign, url = api.partition("#")
            if name != "echoip":
                self.log("ERROR", f"[ip getter] the stand-in knows echoip#URL only, not {api}")
                continue
            try:
                with urllib.request.urlopen(f"{url.rstrip('/')}/json", timeout=self.shrunk(15)) as answer:
                    told = json.load(answer)
                words = {key: told[key] for key in ("region", "country", "city") if told.get(key)}
                found = {"public_ip": str(ipaddress.ip_address(told["ip"])), **words}
            except (OSError, ValueError, KeyError) as error:
                self.log("ERROR", f"[ip getter] {error}")
                continue
            if self.control.vpn == "running":
                self.control.public_ip = found
                self.log("INFO", f"[ip getter] Public IP address is {found['public_ip']} (source: {url})")
            return

    # -- the forwarded port ----------------------------------------------------------------------

    def forwarding(self):
        """Return whether a port is asked for."""
        return self.control.settings["provider"]["port_forwarding"]["enabled"]

    def renew(self):
        """Ask the provider for the port, the first time or again; a new one runs both commands."""
        self.next_renewal = time.time() + min(self.renew_after, 1.0 if not self.control.ports else self.renew_after)
        try:
            ports = {map_port(self.tunnel.gateway(), protocol, self.shrunk(10)) for protocol in ("udp", "tcp")}
        except OSError as error:
            self.log("ERROR", f"[port forwarding] adding port mapping: {error}")
            ports = set()
        if self.control.vpn != "running" or not self.up:
            return
        new = sorted(ports)
        if new == (self.control.ports or []):
            return
        self.end_forwarding()
        self.control.ports = new
        if new:
            self.firewall.forwarded = new
            self.firewall.apply()
            self.announced = True
            self.log("INFO", f"[port forwarding] port forwarded is {new[0]}")
            self.run_in_background("up_command", new)

    def end_forwarding(self):
        """Close the port and say so to the down command."""
        self.firewall.forwarded = []
        with contextlib.suppress(OSError):
            self.firewall.apply()
        if self.announced:
            self.announced = False
            self.run_in_background("down_command", self.control.ports or [0])

    def run_in_background(self, name, ports):
        """Run a command of the settings; the port is open meanwhile."""
        text = self.control.settings["provider"]["port_forwarding"][name]
        if text:
            threading.Thread(target=self.command, args=(text, ports), daemon=True).start()


def map_port(gateway, protocol, seconds):
    """Ask a NAT-PMP gateway for any port (RFC 6886); returns it. Raises OSError when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(seconds)
        link.connect((gateway, 5351))
        link.send(struct.pack(">BBHHHI", 0, 1 if protocol == "udp" else 2, 0, 0, 1, LEASE))
        answer = link.recv(64)
    if len(answer) < 16:
        raise OSError("response is too short")
    result, _seconds, _internal, port, _lifetime = struct.unpack(">HIHHI", answer[2:16])
    if result or not port:
        raise OSError(f"result code {result}: no port")
    return port
