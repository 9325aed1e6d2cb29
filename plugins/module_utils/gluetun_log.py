# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why gluetun is not connected, in its own log: the lines that tell, and what to do about them.

Lines: `internal/openvpn/logs.go`, `internal/tun`, `internal/firewall`, `internal/vpn` and
`internal/configuration/settings` of gluetun v3.41.3, and the pages `errors/` and `faq/healthcheck.md` of its wiki.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils.probes import excerpt

LINES = 400
"""Lines of the log that are looked at."""

CONNECTED = re.compile(r"Public IP address is ")
"""What gluetun writes when the tunnel works; what stands before is history."""

_ERROR = re.compile(r"\bERROR\b\s+(.*)")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


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
_TUN = "gluetun cannot use /dev/net/tun: load the kernel's module tun on the host (sudo modprobe tun)"
_SILENT = (
    "the VPN server does not answer: it is gone, or something on the way drops UDP. Choose other "
    "mediastack_vpn_server_countries, then run site"
)
_EMPTY = (
    "the tunnel carries nothing: a wrong or expired key (WireGuard never says so), a wrong address, a server that is "
    "gone, or a firewall on the way. Compare mediastack_vpn_* with the provider's configuration, then run site"
)
_KEY = r"(?P<what>(private|pre-shared|public) key is not (set|valid)|endpoint (IP|port) is not set)"
_IPTABLES = r"no iptables supported found|can't initialize iptables table|ip6tables is required"

# What a line holds, the sentence, and whether waiting will not change it.
_SIGNS = (
    (r"AUTH_FAILED|Your credentials might be wrong", _LOGIN, True),
    (_KEY, _SETTINGS, True),
    (r"TUN device|TUN file", _TUN, True),
    (r"NET_ADMIN capability is missing", "gluetun lacks the capability NET_ADMIN: run site, which gives it", True),
    (_IPTABLES, "gluetun cannot raise its firewall: the host's kernel lacks iptables modules", True),
    (r"TLS key negotiation failed", _SILENT, False),
    (r"failed to pass the healthcheck|startup check: ", _EMPTY, False),
)
_COMPILED = tuple((re.compile(pattern), text, final) for pattern, text, final in _SIGNS)


def find(lines):
    """The Reason in the lines of gluetun's log, oldest first, after the last connection; None when they tell none."""
    recent = []
    for line in lines:
        plain = _COLOR.sub("", line)
        recent = [] if CONNECTED.search(plain) else [*recent, plain]
    for pattern, text, final in _COMPILED:
        for line in recent:
            match = pattern.search(line)
            if match:
                return Reason(text.format(**match.groupdict()), final)
    errors = [match.group(1) for match in map(_ERROR.search, recent) if match]
    return Reason("gluetun says: %s" % excerpt(errors[-1], 200), False) if errors else None


def read(docker, container, since=None):
    """The last `LINES` lines that a container wrote, oldest first, of both streams.

    `since`: seconds since 1970, None: all. A log that cannot be read is empty: it explains, it does not decide.
    """
    arguments = ["logs", "--tail", LINES]
    if since is not None:
        arguments += ["--since", "%.3f" % since]
    done = docker.run(*arguments, container.id, check=False, deadline=20)
    return [] if done.rc else [line.rstrip() for line in (done.out + done.err).splitlines() if line.strip()]
