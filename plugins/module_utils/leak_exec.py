# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking from gluetun's network by the tools of its own image, where the host lets nobody but root enter namespaces.

`docker exec` is all that a user of the group docker needs. Only what shares gluetun's network by the engine's record
can be looked at so; less is seen than by `leak_probe.py`.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.homelab.mediastack.plugins.module_utils import leak_bypass, leak_space
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_probe import (
    ROUTE_TARGET6,
    ROUTE_TARGETS,
    Echo,
    address_in,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.leak_space import SpaceError

_PING = {"not permitted": "EPERM", "unreachable": "ENETUNREACH", "is down": "ENETDOWN"}
"""What ping says when the kernel does not send."""
# One line for each thing seen. busybox has all of it.
SCRIPT = r"""
url=$1; name=$2; seconds=$3; targets=$4; target6=$5; servers=$6; tunnel=$7
echo "I $(ls /sys/class/net | tr '\n' ' ')"
[ -r /proc/net/if_inet6 ] && while read -r address index prefix scope flags interface; do
  echo "6 $address $scope $interface"
done < /proc/net/if_inet6
for target in $targets; do echo "R $target $(ip route get "$target" 2>/dev/null | head -n 1)"; done
echo "S $(ip -6 route get "$target6" 2>/dev/null | head -n 1)"
for server in $servers; do
  said=$(timeout "$seconds" nslookup "$name" "$server" 2>&1)
  echo "N $server $? $(ip route get "$server" 2>/dev/null | head -n 1 | sed 's/.* dev \([^ ]*\).*/\1/') $(echo $said)"
done
for interface in $(ls /sys/class/net); do
  case $interface in lo|"$tunnel") continue ;; esac
  grep -q 1 "/sys/class/net/$interface/carrier" 2>/dev/null || continue
  said=$(ping -c 1 -W "$seconds" -I "$interface" "${targets%% *}" 2>&1)
  echo "B $interface ${targets%% *} $? $(echo $said)"
done
echo "E $(wget -q -T "$seconds" -O - "$url" 2>/dev/null | head -c 300 | tr '\n' ' ')"
"""


def look(docker, container, asked):
    """As `leak_probe.look`, in the namespace of gluetun's container. SpaceError."""
    servers = [*asked["resolvers"], *asked["others"]]
    patience = 30 + asked["timeout"] * (len(servers) + 1)
    seconds = max(1, round(asked["timeout"]))
    targets = " ".join(ROUTE_TARGETS)
    texts = (asked["echo"], asked["name"], seconds, targets, ROUTE_TARGET6, " ".join(servers), asked["tunnel"])
    done = docker.run("exec", container.id, "sh", "-c", SCRIPT, "sh", *texts, check=False, deadline=patience)
    if done.rc or not done.out.startswith("I "):
        raise SpaceError("gluetun's image has not the tools: %s" % (done.err.strip() or "it said nothing"))
    return read(done.out, asked)


def read(text, asked):
    """What `SCRIPT` printed, in the shape of `leak_probe.look` (pure)."""
    echo = Echo(asked["echo"])
    seen = {"interfaces": [], "addresses6": [], "routes": {}, "route6": None, "six": None, "own_ports": []}
    seen["bypass"] = []
    servers = {}
    found = None
    for line in text.splitlines():
        kind, _space, rest = line.partition(" ")
        words = rest.split()
        if kind == "I":
            seen["interfaces"] = sorted(words)
        elif kind == "6" and words[1] == "00" and words[2] != "lo":
            seen["addresses6"].append((str(ipaddress.IPv6Address(bytes.fromhex(words[0]))), words[2]))
        elif kind == "R":
            seen["routes"][words[0]] = _device(words[1:])
        elif kind == "S":
            seen["route6"] = _device(words)
        elif kind == "N":
            servers[words[0]] = _server(words)
        elif kind == "B":
            seen["bypass"].append(_ping(words))
        elif kind == "E":
            found = address_in(rest)
    seen["resolvers"] = [servers[name] for name in asked["resolvers"] if name in servers]
    seen["others"] = [servers[name] for name in asked["others"] if name in servers]
    seen["echo"] = {"at": None, "at6": None, "port": echo.port, "address": found, "reason": None}
    if not found:
        seen["echo"]["reason"] = "wget in gluetun's image got no address from it"
    return seen


def _device(words):
    """The interface in a line of `ip route get`."""
    return words[words.index("dev") + 1] if "dev" in words[:-1] else None


def _ping(words):
    """A ping that was bound to an interface, in the shape of `leak_bypass.jobs`."""
    name, target, code, said = words[0], words[1], words[2], " ".join(words[3:])
    done = code == "0"
    refused = next((reason for sign, reason in _PING.items() if sign in said), None)
    # "sent" must not be said of a ping that is not there.
    reason = refused or ("sent" if "transmitted" in said else "untried")
    how = "%s %s" % (leak_bypass.BOUND, name)
    return {"how": how, "what": "ICMP", "to": target, "done": done, "reason": None if done else reason}


def _server(words):
    name, code, said = words[0], words[1], " ".join(words[2:])
    silent = any(sign in said for sign in ("timed out", "no servers could be reached", "refused", "can't connect"))
    # 143: timeout(1) ended it.
    answered = not silent and code not in ("124", "143")
    return {
        "server": name,
        "route": words[2] if len(words) > 2 else None,
        "answered": answered,
        "knows": answered and (code == "0" or "NXDOMAIN" in said),
        "addresses": [],
        "reason": None if answered else "timeout",
    }


def nameservers(docker, container):
    """The resolvers of an app, read through the engine. SpaceError."""
    done = docker.run("cp", "-L", container.id + ":/etc/resolv.conf", "-", check=False, deadline=20)
    if done.rc:
        raise SpaceError("its /etc/resolv.conf cannot be read")
    # A tar archive of one small text.
    return leak_space.nameservers(done.out.replace("\0", "\n"))
