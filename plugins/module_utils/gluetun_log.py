# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why gluetun is not connected, in its own log: the lines that tell, and what to do about them. Where the host lacks
something, the remedy is the one that preflight would have named (`vpn_remedies`).

Lines: `internal/openvpn/logs.go`, `internal/tun`, `internal/firewall`, `internal/vpn` and
`internal/configuration/settings` of gluetun v3.41.3, and the pages `errors/` and `faq/healthcheck.md` of its wiki.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import vpn_remedies
from ansible_collections.homelab.mediastack.plugins.module_utils.kernel_features import Kernel
from ansible_collections.homelab.mediastack.plugins.module_utils.probes import excerpt

LINES = 400
"""Lines of the log that are looked at."""

CONNECTED = re.compile(r"Public IP address is ")
"""What gluetun writes when the tunnel works; what stands before is history."""

_ERROR = re.compile(r"\bERROR\b\s+(.*)")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_HOST = re.compile(r"\{(?!what)\w+\}")


class Reason(NamedTuple):
    """Why: `text`, a sentence with its remedy; `final` when waiting will not change it."""

    text: str
    final: bool


_LOGIN = (
    "the VPN provider refuses the login (AUTH_FAILED): user name or password is wrong, the plan has ended, or too many "
    "devices are connected. Many providers have a login of its own for OpenVPN. Correct mediastack_vpn_openvpn_user "
    "and mediastack_vpn_openvpn_password, then run site"
)
_SETTINGS = "gluetun refuses its settings: {what}. Correct mediastack_vpn_wireguard_*, then run site"
_TUN = "gluetun cannot use /dev/net/tun; {tun}"
_DENIED = "gluetun cannot use /dev/net/tun, which is denied to it; with SELinux {selinux}; else {tun}"
_BUSY = "OpenVPN is interrupted again and again: on a QNAP, QVPN or QuCenter has taken the tun device; {tun}"
_NET_ADMIN = (
    "gluetun lacks the capability NET_ADMIN: run site, which gives it. Where that does not help, the engine has none "
    "to give; {net_admin}"
)
_SILENT = (
    "the VPN server does not answer: it is gone, or something on the way drops UDP. Choose other "
    "mediastack_vpn_server_countries, then run site"
)
_EMPTY = (
    "the tunnel carries nothing: a wrong or expired key (WireGuard never says so), a wrong address, a server that is "
    "gone, or a firewall on the way. Compare mediastack_vpn_* with the provider's configuration, then run site"
)
_KEY = r"(?P<what>(private|pre-shared|public) key is not (set|valid)|endpoint (IP|port) is not set)"
_CONNMARK = r"mangle .*(connmark|CONNMARK)"
_GUARD = "gluetun cannot raise the connection guard's rules: the host's kernel lacks xt_connmark. {connmark}"
_TUN_SIGN = r"TUN device|TUN file|/dev/net/tun\b.*no such file"
_DENIED_SIGN = r"open(ing)? /dev/net/tun: permission denied"
_IPTABLES = (
    r"no iptables supported found|can't initialize iptables table|ip6tables is required|Couldn't load match .conntrack|"
    r"Extension conntrack .*not supported"
)
_FIREWALL = "gluetun cannot raise its firewall: the host's kernel lacks iptables modules; {firewall}"
_ROUTING = "gluetun cannot route into the tunnel: the host's kernel lacks CONFIG_IP_MULTIPLE_TABLES; {kernel}"
_IPV6 = "the host's kernel is without IPv6, so the engine cannot switch it off in gluetun's network: {ipv6}"

# What a line holds, the sentence, and whether waiting will not change it.
_SIGNS = (
    (r"AUTH_FAILED|Your credentials might be wrong", _LOGIN, True),
    (_KEY, _SETTINGS, True),
    (_DENIED_SIGN, _DENIED, True),
    (_TUN_SIGN, _TUN, True),
    (r"NET_ADMIN capability is missing|CAP_NET_ADMIN", _NET_ADMIN, True),
    (_CONNMARK, _GUARD, True),
    (_IPTABLES, _FIREWALL, True),
    (r"(cannot list|listing) rules: operation not supported", _ROUTING, True),
    (r"net[./]ipv6\S*: no such file", _IPV6, True),
    (r"openvpn.*Interrupted system call", _BUSY, False),
    (r"TLS key negotiation failed", _SILENT, False),
    (r"failed to pass the healthcheck|startup check: ", _EMPTY, False),
)
_COMPILED = tuple((re.compile(pattern), text, final) for pattern, text, final in _SIGNS)


def find(lines, root="/"):
    """The Reason in the lines of gluetun's log, oldest first, after the last connection; None when they tell none.

    `root`: of the host, on which some remedies depend.
    """
    recent = _recent(lines)
    known = _known(recent, root)
    if known:
        return known
    errors = [match.group(1) for match in map(_ERROR.search, recent) if match]
    return Reason("gluetun says: %s" % excerpt(errors[-1], 200), False) if errors else None


def explain(what, lines):
    """`what` went wrong with gluetun's container, with the remedy when the engine's words or the log's lines tell."""
    known = _known([what, *_recent(lines)], "/")
    return "%s: %s" % (what, known.text) if known and known.final else what


def _recent(lines):
    """The lines after the last connection, without colours."""
    recent = []
    for line in lines:
        plain = _COLOR.sub("", line)
        recent = [] if CONNECTED.search(plain) else [*recent, plain]
    return recent


def _known(lines, root):
    for pattern, text, final in _COMPILED:
        for line in lines:
            match = pattern.search(line)
            if match:
                return Reason(text.format(**match.groupdict(), **_remedies(text, root)), final)
    return None


def _remedies(text, root):
    """The remedies that a sentence has a place for."""
    if not _HOST.search(text):
        return {}
    host = vpn_remedies.look(root, Kernel(root, whole=vpn_remedies.container(root) is None))
    return {
        "tun": vpn_remedies.tun(host),
        "net_admin": vpn_remedies.net_admin(host),
        "firewall": vpn_remedies.firewall(host),
        "kernel": vpn_remedies.kernel(host),
        "connmark": vpn_remedies.connmark(host),
        "selinux": vpn_remedies.SELINUX,
        "ipv6": vpn_remedies.IPV6_OFF,
    }


def read(docker, container, since=None):
    """The last `LINES` lines that a container wrote, oldest first, of both streams.

    `since`: seconds since 1970, None: all. A log that cannot be read is empty: it explains, it does not decide.
    """
    arguments = ["logs", "--tail", LINES]
    if since is not None:
        arguments += ["--since", "%.3f" % since]
    done = docker.run(*arguments, container.id, check=False, deadline=20)
    return [] if done.rc else [line.rstrip() for line in (done.out + done.err).splitlines() if line.strip()]
