# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tunnel itself: wireguard-go with wg(8), or openvpn, as gluetun starts and stops them.

Sources: internal/wireguard (run.go: the order of start and cleanup), internal/openvpn and
internal/provider/custom/openvpnconf.go of gluetun v3.41.
"""

import contextlib
import ipaddress
import os
import signal
import socket
import subprocess
import threading
import time

from .gluetun_firewall import INTERFACE, MARK, TUNNEL_PRIORITY, TUNNEL_TABLE, run

ALIVE_AFTER = 0.1  # seconds that a process has to survive to be called running
REPLACED = (  # lines of a custom configuration that gluetun takes out, to put its own in their place
    "mute-replay-warnings", "auth-nocache", "auth-retry", "suppress-timestamps", "persist-tun", "persist-key", "verb",
    "auth-user-pass", "user", "proto", "remote", "dev",
)  # fmt: skip


class Tunnel:
    """What both kinds share: one process that ends when the tunnel does."""

    process = None

    def ended(self):
        """Return whether the process is gone by itself."""
        return self.process is not None and self.process.poll() is not None

    def survive(self):
        """Wait until the process counts as running. Raises OSError."""
        time.sleep(ALIVE_AFTER)
        if self.ended():
            raise OSError(f"{self.process.args[0]} ended with {self.process.returncode}")

    def kill(self, number=signal.SIGTERM):
        """End the process."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Wireguard(Tunnel):
    """A WireGuard device in user space."""

    def __init__(self, source):
        """Read the settings; raises ValueError for an endpoint that is no address."""
        self.source = source
        address = ipaddress.ip_address(source.get("WIREGUARD_ENDPOINT_IP"))
        self.endpoint = (address, "udp", int(source.get("WIREGUARD_ENDPOINT_PORT")))
        self.addresses = [ipaddress.ip_interface(item.strip()) for item in source.items("WIREGUARD_ADDRESSES")]
        self.families = [version for version in (4, 6) if any(own.version == version for own in self.addresses)]

    def configuration(self):
        """Return what wg setconf reads; never on a command line."""
        host, _protocol, port = self.endpoint
        lines = ["[Interface]", f"PrivateKey = {self.source.get('WIREGUARD_PRIVATE_KEY')}", f"FwMark = {MARK}"]
        lines += ["[Peer]", f"PublicKey = {self.source.get('WIREGUARD_PUBLIC_KEY')}", "AllowedIPs = 0.0.0.0/0, ::/0"]
        lines.append(f"Endpoint = [{host}]:{port}" if host.version == 6 else f"Endpoint = {host}:{port}")
        shared = self.source.get("WIREGUARD_PRESHARED_KEY")
        return "\n".join([*lines, *([f"PresharedKey = {shared}"] if shared else [])]) + "\n"

    def start(self):
        """Make the device, its addresses, its routes; raises OSError."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(["wireguard-go", "--foreground", INTERFACE], **quiet)
        until = time.monotonic() + 10
        while not os.path.exists(f"/var/run/wireguard/{INTERFACE}.sock"):
            if self.ended() or time.monotonic() > until:
                raise OSError("wireguard-go: cannot create TUN device")
            time.sleep(0.02)
        for address in self.addresses:
            run("ip", "address", "add", str(address), "dev", INTERFACE)
        run("wg", "setconf", INTERFACE, "/dev/stdin", stdin=self.configuration())
        run("ip", "link", "set", INTERFACE, "mtu", self.source.get("WIREGUARD_MTU", "1320"), "up")
        for version in self.families:
            run("ip", f"-{version}", "route", "add", "default", "dev", INTERFACE, "table", str(TUNNEL_TABLE))
            run("ip", f"-{version}", *self.rule("add").split())
        self.survive()

    @staticmethod
    def rule(verb):
        """Return the rule that sends everything but the tunnel's own packets into the tunnel."""
        return f"rule {verb} not fwmark {MARK:#x} lookup {TUNNEL_TABLE} priority {TUNNEL_PRIORITY}"

    def stop(self):
        """Take it down in gluetun's order: the rule, the link, the device; then the process.

        Between the rule and the device, connections of the tunnel's address find the way by eth0, and the kill switch
        lets them pass as established ones. gluetun does it all in one process, in less than a millisecond, so it is one
        process here. With both families the IPv4 rule goes last, for want of a command that does both.
        """
        order = sorted(self.families, reverse=True)
        with contextlib.suppress(OSError):
            steps = [self.rule("delete"), f"link set {INTERFACE} down", f"link delete {INTERFACE}"]
            run("ip", f"-{order[0]}", "-batch", "-", stdin="\n".join(steps) + "\n")
        for version in order[1:]:
            with contextlib.suppress(OSError):
                run("ip", f"-{version}", *self.rule("delete").split())
        self.kill()
        with contextlib.suppress(OSError):  # where it was not all there
            run("ip", f"-{order[0]}", *self.rule("delete").split())

    def gateway(self):
        """Return the provider's address in the tunnel: the first of the client's /24."""
        own = next(address for address in self.addresses if address.version == 4)
        return str(ipaddress.ip_network(f"{own.ip}/24", strict=False)[1])


class Openvpn(Tunnel):
    """Debian's openvpn with a custom configuration file."""

    TARGET = "/run/lab/target.ovpn"

    def __init__(self, source, path, log):
        """Read the configuration; raises ValueError or OSError for one without a remote address."""
        self.source, self.log = source, log
        with open(path, encoding="utf-8") as stream:
            self.lines = stream.read().splitlines()
        words = {}
        for line in self.lines:
            name, *rest = line.split() or [""]
            words.setdefault(name, rest)
        if not words.get("remote"):
            raise ValueError("failed extracting information from custom configuration file: remote line not found")
        remote = words["remote"]
        protocol = (remote[2:3] or words.get("proto") or ["udp"])[0][:3]
        self.endpoint = (ipaddress.ip_address(remote[0]), protocol, int((remote[1:2] or ["1194"])[0]))
        self.ipv6 = any(link.startswith("0") for link in self.disable_ipv6())

    @staticmethod
    def disable_ipv6():
        """Return the sysctl that turns IPv6 off, as a list of one text; empty without IPv6 in the kernel."""
        with contextlib.suppress(OSError), open("/proc/sys/net/ipv6/conf/all/disable_ipv6", encoding="ascii") as stream:
            return [stream.read()]
        return []

    def configuration(self):
        """Return the configuration with gluetun's own lines."""
        host, protocol, port = self.endpoint
        lines = [line for line in self.lines if line.split() and line.split()[0] not in REPLACED]
        lines += [f"proto {protocol}", f"remote {host} {port}", f"dev {INTERFACE}", "dev-type tun"]
        lines += ["mute-replay-warnings", "auth-nocache", 'pull-filter ignore "auth-token"', "auth-retry nointeract"]
        lines += ["suppress-timestamps", f"verb {self.source.get('OPENVPN_VERBOSITY', '1')}"]
        if self.source.get("OPENVPN_USER"):
            login = f"{self.source.get('OPENVPN_USER')}\n{self.source.get('OPENVPN_PASSWORD')}\n"
            write_secret("/run/lab/auth.conf", login)
            lines.append("auth-user-pass /run/lab/auth.conf")
        if not self.ipv6:
            lines += [f'pull-filter ignore "{name}"' for name in ("route-ipv6", "ifconfig-ipv6")]
        return "\n".join(lines) + "\n"

    def start(self):
        """Start openvpn; it connects by itself, and tries again for ever. Raises OSError."""
        write_secret(self.TARGET, self.configuration())
        self.process = subprocess.Popen(
            ["openvpn", "--config", self.TARGET], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self.follow, args=(self.process.stdout,), daemon=True).start()
        self.survive()

    def follow(self, stream):
        """Hand openvpn's lines to the log, with gluetun's comment."""
        for line in stream:
            self.log("INFO", f"[openvpn] {line.rstrip()}")
            if "AUTH_FAILED" in line:
                self.log("INFO", "[openvpn] Your credentials might be wrong 🤨")

    def stop(self):
        """End openvpn, which takes its routes and the device with it."""
        self.kill()

    def gateway(self):
        """Return the first address of the tunnel's network; raises OSError while there is none."""
        words = run("ip", "-4", "-o", "address", "show", "dev", INTERFACE).split()
        if "inet" not in words:
            raise OSError("the tunnel has no address")
        return str(ipaddress.ip_interface(words[words.index("inet") + 1]).network[1])


def write_secret(path, text):
    """Write a file that only root reads."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def ping(address, seconds):
    """Return whether an address answers an ICMP echo in time."""
    kind = socket.IPPROTO_ICMPV6 if ":" in address else socket.IPPROTO_ICMP
    number = os.getpid() & 0xFFFF
    head = bytes([128 if ":" in address else 8, 0, 0, 0]) + number.to_bytes(2, "big") + b"\0\1"
    total = sum(int.from_bytes(head[place : place + 2], "big") for place in range(0, 8, 2))
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    packet = head[:2] + total.to_bytes(2, "big") + head[4:]
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_RAW, kind) as link:
            link.sendto(packet, (address, 0))
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                link.settimeout(left)
                answer, peer = link.recvfrom(256)
                body = answer if ":" in address else answer[20:]
                if peer[0] == address and body[0] in (0, 129) and body[4:6] == packet[4:6]:
                    return True
    except OSError:
        pass
    return False
