# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""gluetun's kill switch and policy routing, as nftables rules and ip(8) commands.

Sources: internal/firewall (enable.go, iptables.go) and internal/routing of gluetun v3.41: every rule stands for the
iptables rule that gluetun writes, in its order. gluetun writes them one by one; here the whole set is replaced in one
transaction.
"""

import contextlib
import ipaddress
import json
import pathlib
import subprocess

INTERFACE = "tun0"
MARK, TUNNEL_TABLE = 0xCA6C, 51820
OUTBOUND_TABLE, INBOUND_TABLE = 199, 200
LOCAL_PRIORITY, OUTBOUND_PRIORITY, INBOUND_PRIORITY, TUNNEL_PRIORITY = 98, 99, 100, 101
USER_RULES = "/iptables/post-rules.txt"
USER_PROGRAMS = ("iptables", "ip6tables")
#: IPv6 needs its neighbours (gluetun: ff02::1:ff00:0/104 out, the local subnets in and out).
NEIGHBOURS = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept"
TABLE = """
table inet gluetun
delete table inet gluetun
table inet gluetun {{
  chain input {{
    type filter hook input priority 0; policy drop;
    {input}
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
  }}
  chain output {{
    type filter hook output priority 0; policy drop;
    {output}
  }}
}}
"""


def run(*argv, stdin=None):
    """Run a command; returns its output. Raises OSError with its last words."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv[:4])}: {done.stderr.strip()}")
    return done.stdout


def links():
    """Return [(interface, ip_interface)] of everything but lo and the tunnel."""
    found = json.loads(run("ip", "-j", "address", "show"))
    return [
        (link["ifname"], ipaddress.ip_interface(f"{item['local']}/{item['prefixlen']}"))
        for link in found
        if link["ifname"] not in ("lo", INTERFACE)
        for item in link["addr_info"]
    ]


def default_routes():
    """Return [(interface, gateway or "")] of the main table, IPv4 before IPv6."""
    routes = [
        route for family in "46" for route in json.loads(run("ip", f"-{family}", "-j", "route", "show", "default"))
    ]
    return [(route["dev"], route.get("gateway", "")) for route in routes if route.get("dev") not in (None, INTERFACE)]


def family(address):
    """Return nft's word for the family of an address, interface or network."""
    return "ip6" if address.version == 6 else "ip"


def run_user_rules(path=USER_RULES):
    """Run the rules of the user's file as gluetun does (RunUserPostRules): with iptables itself, in order.

    A line that begins with none of its program names is left out without a word, as gluetun leaves it out. Raises
    OSError at the first rule that fails; gluetun then ends.
    """
    lines = []
    with contextlib.suppress(FileNotFoundError):
        lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
    for line in lines:
        program, _space, rule = line.partition(" ")
        if program.removesuffix("-nft").removesuffix("-legacy") in USER_PROGRAMS and rule:
            run(program.removesuffix("-nft").removesuffix("-legacy"), *rule.split())


class Firewall:
    """The rules and what they depend on. Everything here may change while they stand; apply() replaces them."""

    def __init__(self, outbound=(), input_ports=(), tunnel_ports=()):
        """Take FIREWALL_OUTBOUND_SUBNETS (networks), FIREWALL_INPUT_PORTS and FIREWALL_VPN_INPUT_PORTS."""
        self.outbound = list(outbound)
        self.input_ports, self.tunnel_ports = list(input_ports), list(tunnel_ports)
        self.links, self.defaults = [], []
        self.endpoint = None  # (address, protocol, port) of the VPN server
        self.forwarded = []

    def read(self):
        """Look at the interfaces and routes of this namespace, before there is a tunnel."""
        self.links, self.defaults = links(), default_routes()

    def outwards(self):
        """Return the interfaces of the default routes, each once."""
        return list(dict.fromkeys(interface for interface, _gateway in self.defaults))

    def rules(self):
        """Return the rules (input, output) as lists."""
        arriving = ["iifname lo accept", "ct state established,related accept", NEIGHBOURS]
        leaving = ["oifname lo accept", "ct state established,related accept", NEIGHBOURS]
        if self.endpoint:
            address, protocol, port = self.endpoint
            leaving += [
                f'oifname "{interface}" {family(address)} daddr {address} {protocol} dport {port} accept'
                for interface in self.outwards()
            ]
            leaving.append(f'oifname "{INTERFACE}" accept')
        for interface, own in self.links:
            word = family(own)
            leaving.append(f'oifname "{interface}" {word} saddr {own.ip} {word} daddr {own.network} accept')
            arriving.append(f'iifname "{interface}" {word} daddr {own.network} accept')
        for network in self.outbound:
            word = family(network)
            leaving += [
                f'oifname "{interface}" {word} saddr {own.ip} {word} daddr {network} accept'
                for interface, own in self.links
                if own.version == network.version and interface in self.outwards()
            ]
        ports = [(interface, port) for interface in self.outwards() for port in self.input_ports]
        ports += [(INTERFACE, port) for port in [*self.tunnel_ports, *self.forwarded]]
        arriving += [
            f'iifname "{interface}" {protocol} dport {port} accept'
            for interface, port in ports
            for protocol in ("tcp", "udp")
        ]
        return arriving, leaving

    def text(self):
        """Return the whole table, which takes the place of the one that is there."""
        arriving, leaving = self.rules()
        return TABLE.format(input="\n    ".join(arriving), output="\n    ".join(leaving))

    def apply(self):
        """Set the rules, all at once. Raises OSError with nft's words; the old ones then stay."""
        run("nft", "--file", "-", stdin=self.text())

    def enable(self):
        """Raise the kill switch as a start does: the rules, then the user's. Raises OSError; gluetun then ends."""
        self.apply()
        run_user_rules()

    def routing(self):
        """Return ip(8) commands: own networks by the main table, answers from where the question came, LAN subnets."""
        commands = []
        for _interface, own in self.links:
            commands.append(f"rule add to {own.network} lookup main priority {LOCAL_PRIORITY}")
        for interface, gateway in self.defaults:
            version = 6 if ":" in gateway else 4
            via = f"via {gateway} dev {interface}" if gateway else f"dev {interface}"
            every = "::/0" if version == 6 else "0.0.0.0/0"
            commands.append(f"route replace {every} {via} table {INBOUND_TABLE}")
            for name, own in self.links:
                if name == interface and own.version == version and not own.ip.is_link_local:
                    commands.append(f"rule add from {own.ip} lookup {INBOUND_TABLE} priority {INBOUND_PRIORITY}")
            for network in self.outbound:
                if network.version == version:
                    commands.append(f"route replace {network} {via} table {OUTBOUND_TABLE}")
                    commands.append(f"rule add to {network} lookup {OUTBOUND_TABLE} priority {OUTBOUND_PRIORITY}")
        return commands

    def set_routing(self):
        """Run the commands of routing(). Raises OSError."""
        for command in self.routing():
            run("ip", *(["-6"] if ":" in command else []), *command.split())
