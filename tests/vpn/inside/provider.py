# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The VPN provider of a World: WireGuard and OpenVPN servers, NAT to an exit address, port forwarding by NAT-PMP.

Runs in a container. ``serve``: all of it; ``nat``: the rules anew, after /world/exit has changed.
Port forwarding is as ProtonVPN's (RFC 6886, https://protonvpn.com/support/port-forwarding-manual-setup): the client
asks its gateway for any port with a lease of 60 s, and renews.
"""

import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

WORLD = pathlib.Path("/world")
PLAN = json.loads((WORLD / "plan.json").read_text())
GATEWAYS = {"10.2.0.1": "wg0", "10.8.0.1": "tun0"}
NAT = """
table inet provider
delete table inet provider
table inet provider {{
  chain zone_arriving {{
    type filter hook prerouting priority raw;
    ct zone set {zone}
  }}
  chain zone_leaving {{
    type filter hook output priority raw;
    ct zone set {zone}
  }}
  chain arriving {{
    type nat hook prerouting priority dstnat;
    {forward}
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat;
    oifname eth0 ip saddr {{ 10.2.0.0/24, 10.8.0.0/24 }} snat ip to {exit}
    oifname eth0 ip6 saddr {{ fd00:2::/64, fd00:8::/64 }} snat ip6 to {exit6}
  }}
}}
"""
SERVER = """
dev tun0
dev-type tun
proto udp4
local {address}
port 1194
topology subnet
server 10.8.0.0 255.255.255.0
server-ipv6 fd00:8::/64
push "redirect-gateway def1"
push "route-ipv6 2000::/3"
keepalive 2 10
duplicate-cn
dh none
cert /world/ovpn-server.crt
key /world/ovpn-server.key
<peer-fingerprint>
{fingerprint}
</peer-fingerprint>
"""
CLIENT = """client
dev tun
proto udp
remote {address} 1194
nobind
persist-key
persist-tun
verb 3
peer-fingerprint "{fingerprint}"
<cert>
{cert}
</cert>
<key>
{key}
</key>
"""
LIFETIME = 60


def run(*command, stdin=None):
    """Run a command; returns its output, or ends the program with what it said."""
    done = subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def read(name):
    """Return the text of a shared file, stripped."""
    path = WORLD / name
    return path.read_text().strip() if path.exists() else ""


def write(name, text, mode=0o644):
    """Write a shared file in one step."""
    temporary = WORLD / f".{name}.{threading.get_ident()}"
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(WORLD / name)


def nat():
    """Set the rules: exit address, forwarded port. Another exit is another conntrack zone: old connections end."""
    number = int(read("exit") or 0)
    lease, forward = read("lease"), ""
    if lease:
        port, client = lease.split()
        address = PLAN["exits"][number]
        forward = "\n    ".join(
            f"ip daddr {address} {protocol} dport {port} dnat ip to {client}:{port}" for protocol in ("tcp", "udp")
        )
    exits = {"exit": PLAN["exits"][number], "exit6": PLAN["exits6"][number]}
    run("nft", "--file", "-", stdin=NAT.format(zone=number + 1, forward=forward, **exits))
    write("forwarded", lease.split()[0] if lease else "0")


def make_wireguard():
    """Make keys and the server's interface."""
    server, client = run("wg", "genkey"), run("wg", "genkey")
    write("client.key", client + "\n", 0o600)
    write("provider.key", server + "\n", 0o600)
    write("provider.pub", run("wg", "pubkey", stdin=server) + "\n")
    run("wireguard-go", "wg0")
    peer = ["peer", run("wg", "pubkey", stdin=client), "allowed-ips", "10.2.0.2/32,fd00:2::2/128"]
    run("wg", "set", "wg0", "listen-port", "51820", "private-key", str(WORLD / "provider.key"), *peer)
    for command in (
        "address add 10.2.0.1/24 dev wg0",
        "address add fd00:2::1/64 dev wg0 nodad",
        "link set wg0 mtu 1320 up",
    ):
        run("ip", *command.split())


def make_openvpn():
    """Make certificates that each other's side knows by fingerprint, and start the server."""
    prints = {}
    for name in ("server", "client"):
        files = ["-keyout", f"/world/ovpn-{name}.key", "-out", f"/world/ovpn-{name}.crt"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "30"]
        run("openssl", "req", "-x509", *curve, *files, "-subj", f"/CN={name}.example")
        line = run("openssl", "x509", "-in", f"/world/ovpn-{name}.crt", "-noout", "-fingerprint", "-sha256")
        prints[name] = line.partition("=")[2]
    client = {"cert": read("ovpn-client.crt"), "key": read("ovpn-client.key"), "fingerprint": prints["server"]}
    write("client.ovpn", CLIENT.format(address=PLAN["provider"], **client), 0o600)
    write("server.ovpn", SERVER.format(address=PLAN["provider"], fingerprint=prints["client"]))
    return subprocess.Popen(["openvpn", "--config", str(WORLD / "server.ovpn"), "--verb", "3"])


def natpmp(gateway):
    """Answer NAT-PMP at a tunnel's gateway address, for ever."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((gateway, 5351))
    began = time.time()
    while True:
        packet, peer = link.recvfrom(64)
        if len(packet) < 2 or packet[0] != 0:
            continue
        operation, seconds = packet[1], int(time.time() - began)
        if operation == 0:
            address = socket.inet_aton(PLAN["exits"][int(read("exit") or 0)])
            link.sendto(struct.pack(">BBHI", 0, 128, 0, seconds) + address, peer)
        elif operation in (1, 2) and len(packet) >= 12:
            internal, _external, lifetime = struct.unpack(">HHI", packet[4:12])
            port = int(read("port") or 0)
            if not port:  # "out of resources": no port for this client
                link.sendto(struct.pack(">BBHIHHI", 0, 128 + operation, 4, seconds, internal, 0, 0), peer)
                continue
            lease = f"{port} {peer[0]}" if lifetime else ""
            if lease != read("lease"):
                write("lease", lease)
                nat()
            granted = (port, min(lifetime, LIFETIME))
            link.sendto(struct.pack(">BBHIHHI", 0, 128 + operation, 0, seconds, internal or port, *granted), peer)


def keep_lease():
    """Take a lease away when the provider has another port, or none: what the client believes is then out of date."""
    while True:
        lease = read("lease")
        if lease and lease.split()[0] != read("port"):
            write("lease", "")
            nat()
        time.sleep(0.1)


def serve():
    """Start everything and watch over it."""
    while not os.path.exists("/sys/class/net/eth0") or not run("ip", "route", "show", "default"):
        time.sleep(0.05)
    nat()
    make_wireguard()
    openvpn = make_openvpn()
    while not run("ip", "-4", "-o", "address", "show", "to", "10.8.0.1"):
        if openvpn.poll() is not None:
            sys.exit("openvpn ended")
        time.sleep(0.05)
    for gateway in GATEWAYS:
        threading.Thread(target=natpmp, args=(gateway,), daemon=True).start()
    threading.Thread(target=keep_lease, daemon=True).start()
    write("provider.ready", "yes\n")
    sys.exit(openvpn.wait())


if __name__ == "__main__":
    {"serve": serve, "nat": nat}[sys.argv[1]]()
