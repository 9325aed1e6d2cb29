# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun: settings, kill switch, control server and health server.

With the settings of a custom provider it brings a real tunnel up (gluetun_vpn). With any other provider's nothing of a
VPN runs, so that nothing leaves: the firewall drops every packet that is not for its own Docker networks.
"""

import ipaddress
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import time

from .. import core, gluetun_control, gluetun_firewall, gluetun_vpn, identity
from .. import gluetun_rules as rules

NET_ADMIN = 12
ADDRESS = pathlib.Path("/tmp/gluetun/ip")
RETRY_ADDRESS = 30.0  # seconds
REFUSED_AGAIN = 1.0  # seconds between two tries of OpenVPN with a login that the provider refuses


def log(level, message):
    """Print a line as gluetun's log has it."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {level} {message}", flush=True)


def refuse(message):
    """End the start as gluetun does."""
    log("ERROR", message)
    log("INFO", "Shutdown successful")
    raise identity.StartError("", 1)


def healthcheck(address="127.0.0.1:9999"):
    """Ask the health server; returns the exit code of `gluetun-entrypoint healthcheck`."""
    host, _colon, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            connection.settimeout(1)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
    except OSError as error:
        print(f'Get "http://{address}": dial tcp {address}: {error}')
        return 1
    head, _blank, body = answer.decode().partition("\r\n\r\n")
    if " 200 " in head.split("\r\n", 1)[0]:
        return 0
    print(f"HTTP response status is not OK: 500 500 Internal Server Error: {body.strip()}")
    return 1


class APP(core.App):
    """Control server on :8000, health server on 127.0.0.1:9999; root all along."""

    family = "user"
    owned = ()
    config_dir = "/gluetun"
    refuse = 0.2
    connect_seconds = 0.6  # from "running" to the first public address
    refused_at = 0.0  # when the provider last refused the login
    vpn = None  # the real tunnel, where there is one

    def check(self):
        """Refuse to start without NET_ADMIN, the tun device and valid settings."""
        with open("/proc/self/status", encoding="utf-8") as stream:
            capabilities = int(next(line for line in stream if line.startswith("CapEff:")).split()[1], 16)
        if not capabilities >> NET_ADMIN & 1:
            refuse(
                "iptables: NET_ADMIN capability is missing: iptables v1.8.11 (nf_tables): "
                "Could not fetch rule set generation id: "
                "Permission denied (you must be root)"
            )
        try:
            os.close(os.open("/dev/net/tun", os.O_RDWR))
        except FileNotFoundError:
            refuse(
                "checking TUN device: TUN device is not available: open /dev/net/tun: no such file or directory "
                "(see the Wiki errors/tun page)"
            )
        except OSError:
            refuse(
                "unix opening TUN device file: operation not permitted "
                "(did you specify --device /dev/net/tun to your container command?)"
            )
        self.source = rules.Source(self.env)
        era = gluetun_control.era_of(self.version)
        try:
            provider, kind = rules.check(self.source)
            path = (self.env.get("HTTP_CONTROL_SERVER_AUTH_CONFIG_FILEPATH") or "/gluetun/auth/config.toml").lower()
            roles = rules.read_roles(path, gluetun_control.known_routes(era))
            role = rules.default_role(self.source)
        except rules.SettingsError as error:
            refuse(str(error))
        except RuntimeError as error:
            print(f"panic: runtime error: {error}", file=sys.stderr, flush=True)
            raise identity.StartError("", 2) from None
        version = {"version": self.version or "latest", "commit": "0000000", "created": "2026-01-01T00:00:00Z"}
        settings = rules.settings_object(self.source, provider, kind, era)
        self.control = gluetun_control.Control(era, settings, version, roles, role)
        self.control.start_vpn = self.connect
        self.control.start_seconds = 0.3
        self.healthy = "healthcheck did not run yet"
        if gluetun_vpn.is_real(self.source, provider):
            try:
                self.vpn = gluetun_vpn.Vpn(self.source, kind, self.control, log, self.run_command)
            except rules.SettingsError as error:
                refuse(str(error))
        tunnel = "with a real tunnel" if self.vpn else "there is no tunnel"
        log("INFO", f"[vpn] settings of {provider} ({kind}) are valid; a stand-in of the lab: {tunnel}")

    def prepare(self):
        """Raise the kill switch before anything else runs in this namespace."""
        outbound = [ipaddress.ip_network(item, strict=False) for item in self.source.items("FIREWALL_OUTBOUND_SUBNETS")]
        try:
            if self.vpn:
                self.vpn.prepare()
                return
            firewall = gluetun_firewall.Firewall(outbound)
            firewall.read()
            firewall.enable()
        except OSError as error:
            refuse(f"enabling firewall: {error}")
        own = ", ".join(str(own.network) for _interface, own in firewall.links)
        log("INFO", f"[firewall] enabled; own networks: {own or 'none'}")

    def connect(self):
        """Start the VPN: running at once, connected a moment later."""
        self.connected_at = time.time() + self.connect_seconds
        return True

    def background(self):
        """Start the servers' loops, then follow the VPN's state."""
        host, _colon, port = (self.env.get("HTTP_CONTROL_SERVER_ADDRESS") or ":8000").rpartition(":")
        core.serve((host.strip("[]"), int(port)), self.answer, self.faults.now)
        core.serve(
            ("127.0.0.1", int((self.env.get("HEALTH_SERVER_ADDRESS") or "127.0.0.1:9999").rpartition(":")[2])),
            self.health,
        )
        self.control.dns = "running"
        if self.vpn:
            self.vpn.live()
        self.control.set_vpn("running")
        while True:
            control = self.control
            if "disconnected" in self.faults.now():
                control.public_ip, control.ports = {}, []
                time.sleep(0.1)
                continue
            if self.refused_by_the_provider():
                time.sleep(0.1)
                continue
            if control.vpn == "running" and not control.public_ip and time.time() >= self.connected_at:
                if "unhealthy" in self.faults.now():
                    self.healthy = "startup check: all check tries failed"
                else:
                    self.connected()
            time.sleep(0.1)

    def refused_by_the_provider(self):
        """Whether the login is wrong: OpenVPN then tries for ever, and gluetun calls itself running.

        The provider of the lab takes every password but `wrong`.
        """
        control = self.control
        openvpn = control.settings["type"] == "openvpn"
        if control.vpn != "running" or not openvpn or self.source.get("OPENVPN_PASSWORD") != "wrong":
            return False
        if time.time() >= self.refused_at + REFUSED_AGAIN:
            self.refused_at = time.time()
            self.healthy = "startup check: all check tries failed"
            log("ERROR", "[openvpn] AUTH: Received control message: AUTH_FAILED")
            log("INFO", "[openvpn] Your credentials might be wrong 🤨")
        return True

    def connected(self):
        """The tunnel is up: health, public address (TEST-NET-2), forwarded port and its command."""
        self.healthy = ""
        if self.source.get("PUBLICIP_ENABLED", "on").lower() in rules.TRUE and self.keep_address("198.51.100.7"):
            self.control.public_ip = {
                "public_ip": "198.51.100.7",
                "country": "Netherlands",
                "city": "Amsterdam",
                "timezone": "Europe/Amsterdam",
            }
            log("INFO", "[ip getter] Public IP address is 198.51.100.7 (Netherlands, Amsterdam - source: ipinfo)")
        forwarding = self.control.settings["provider"]["port_forwarding"]
        if forwarding["enabled"]:
            self.control.ports = [5914]
            log("INFO", "[port forwarding] port forwarded is 5914")
            if forwarding["up_command"]:
                self.run_command(forwarding["up_command"], self.control.ports)

    def keep_address(self, address):
        """Write the address where the image has it, in a directory of PUID:PGID; without that gluetun knows none.

        Takes CHOWN, and DAC_OVERRIDE: root writes into what is not root's.
        """
        try:
            os.makedirs(ADDRESS.parent, exist_ok=True)
            os.chown(ADDRESS.parent, int(self.env.get("PUID") or 1000), int(self.env.get("PGID") or 1000))
            ADDRESS.write_text(address, encoding="utf-8")
        except PermissionError as error:
            log("ERROR", f"[ip getter] {error.filename}: {error.strerror.lower()}")
            self.connected_at = time.time() + RETRY_ADDRESS
            return False
        return True

    def run_command(self, command, ports):
        """Run the up command with its templates filled in; its output and failure go to the log."""
        interface = self.control.settings["wireguard"]["interface"]
        for name, value in (
            ("PORTS", ",".join(map(str, ports))),
            ("PORT", str(ports[0])),
            ("VPN_INTERFACE", interface),
        ):
            command = command.replace("{{%s}}" % name, value)
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            log("INFO", f"[port forwarding] {line}")
        if done.returncode:
            log("ERROR", f"[port forwarding] running up command: exit status {done.returncode}")

    def answer(self, request):
        """Answer on the control port, and log it as gluetun does."""
        response = self.control.answer(request)
        log(
            "INFO",
            f"[http server] {response.status} {request.method} {request.path} "
            f"wrote {len(response.body)}B to {request.client}",
        )
        return response

    def health(self, request):
        """Answer on the health port."""
        if request.method != "GET":
            return gluetun_control.text_error(400, "method not supported for healthcheck")
        told = self.vpn.healthy if self.vpn else self.healthy
        wrong = "unhealthy by request" if "unhealthy" in self.faults.now() else told
        return gluetun_control.text_error(500, wrong) if wrong else core.Response(200, b"", None)

    def run(self):
        """Run the image's command: the VPN, or `healthcheck`. Returns the exit code."""
        if self.args[:1] == ["healthcheck"]:
            return healthcheck(self.env.get("HEALTH_SERVER_ADDRESS") or "127.0.0.1:9999")
        if self.args:
            print(f"command {self.args[0]} is not part of the stand-in", file=sys.stderr)
            return 1
        return core.run(self)
