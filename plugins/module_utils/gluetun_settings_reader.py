# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading gluetun's environment variables as gluetun does: old names first, empty is unset, its own ideas of booleans,
durations and lists.

Sources: github.com/qdm12/gosettings v0.4.4 and `internal/configuration/settings` of gluetun v3.41.3.
"""

from __future__ import annotations

import difflib
import ipaddress
import re

from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_providers import MASTER
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_variables import (
    OLD_NAMES,
    SECRET,
    SINCE_V3_41,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.probes import excerpt

TRUE = ("enabled", "yes", "on", "true")
FALSE = ("disabled", "no", "off", "false")
_NEWEST = {(3, 41): 3, (3, 40): 4, (3, 39): 1, (3, 38): 1}
"""The last patch of a line, which a tag such as v3.41 means."""

_DURATION = re.compile(r"[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
# Values that keep their case, for they are names of files, commands or secrets.
_CASE_MATTERS = SECRET | {
    "OPENVPN_CUSTOM_CONFIG",
    "OPENVPN_FLAGS",
    "WIREGUARD_PUBLIC_KEY",
    "VPN_INTERFACE",
    "PUBLICIP_API",
    "PUBLICIP_FILE",
}


def version_of(release):
    """`(major, minor, patch)` of a release, with or without `v`; a line (`v3`, `v3.41`) is its newest release.

    Anything else is `MASTER`, the development version: `latest`, a branch, a pull request, and what comes after v3.41.
    """
    found = re.match(r"v?(\d+)(?:\.(\d+)(?:\.(\d+))?)?$", str(release).strip().lower())
    if not found:
        return MASTER
    major, minor, patch = (None if part is None else int(part) for part in found.groups())
    if minor is None:
        major, minor = (3, 41) if major == 3 else (major, 0)
    if patch is None:
        patch = _NEWEST.get((major, minor), 0)
    return min((major, minor, patch), MASTER)


def closest(word, names):
    """`Did you mean …?`, or the names."""
    near = difflib.get_close_matches(word, list(names), 1, 0.6)
    return "Did you mean %s?" % near[0] if near else "Possible: %s." % ", ".join(names)


class Reader:
    """The variables of one gluetun. What cannot be read becomes a problem and counts as unset."""

    def __init__(self, env, release):
        """`env`: name → value, texts or what YAML makes of them; `release` as of `version_of`."""
        self.version = version_of(release)
        self.env = {
            str(name): ("true" if value is True else "false" if value is False else str(value))
            for name, value in env.items()
            if value is not None
        }
        self.problems = []

    # Finding

    def names(self, name):
        """The names under which this release reads `name`, in its order."""
        old = OLD_NAMES.get(name, ())
        if name in SINCE_V3_41 and self.version < (3, 41):
            return old
        return (*old, name)

    def find(self, name):
        """`(name that counts, its value)`; `(name, "")` when unset. Spaces and quotes around it are not part of it."""
        for candidate in self.names(name):
            value = self.env.get(candidate, "").strip().strip("\"'").strip()
            if value:
                return candidate, value if name in _CASE_MATTERS else value.lower()
        return name, ""

    def get(self, name):
        """The value of `name`, "" when unset."""
        return self.find(name)[1]

    def problem(self, name, text):
        """Note a problem: `text` about the variable that counts for `name`."""
        self.problems.append("%s: %s" % (self.find(name)[0], text))

    def shown(self, name, value=None):
        """A value for a message, or that it is not shown."""
        counting, found = self.find(name)
        hidden = name in SECRET or counting in SECRET
        return "the value (not shown)" if hidden else '"%s"' % excerpt(found if value is None else value)

    # Types

    def flag(self, name, default=False):
        """A boolean."""
        value = self.get(name)
        if not value:
            return default
        if value not in TRUE + FALSE:
            self.problem(name, "%s is not a switch. Write on or off (1 and 0 are not accepted)." % self.shown(name))
            return default
        return value in TRUE

    def number(self, name, least=0, most=65535):
        """A whole number, None when unset."""
        value = self.get(name)
        if not value:
            return None
        if not re.fullmatch(r"-?[0-9]+", value) or not least <= int(value) <= most:
            self.problem(name, "%s is not a whole number from %d to %d." % (self.shown(name), least, most))
            return None
        return int(value)

    def seconds(self, name):
        """A duration in seconds, None when unset."""
        value = self.get(name)
        if not value:
            return None
        if not _DURATION.fullmatch(value):
            self.problem(
                name,
                "%s is not a duration. Write a number with its unit: 30s, 15m, 24h (days are not known)."
                % self.shown(name),
            )
            return None
        size = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(value))
        return -size if value.startswith("-") else size

    def choice(self, name, choices, default=None):
        """One of `choices`."""
        value = self.get(name) or default
        if value is not None and value not in choices:
            self.problem(name, "%s is unknown. %s" % (self.shown(name), closest(value, choices)))
            return default
        return value

    def items(self, name):
        """The items of a list; as gluetun reads it, a space after a comma belongs to the item."""
        value = self.get(name)
        return value.split(",") if value else []

    def parsed(self, name, parse, what):
        """The items of a list through `parse`, which raises ValueError; an item that is none becomes a problem."""
        found = []
        for item in self.items(name):
            try:
                found.append(parse(item))
            except ValueError:
                spaces = " Put no space and nothing empty between commas." if item != item.strip() or not item else ""
                self.problem(name, "%s is not %s.%s" % (self.shown(name, item), what, spaces))
        return found

    def address(self, name):
        """An IP address, None when unset."""
        value = self.get(name)
        if not value:
            return None
        try:
            return ipaddress.ip_address(value)
        except ValueError:
            self.problem(
                name, "%s is not an IP address. Write the address that the name stands for." % self.shown(name)
            )
            return None

    def listening(self, name):
        """Check an address to listen at: `host:port` or `:port`."""
        counting, value = self.find(name)
        if not value:
            return
        if counting.endswith("_PORT"):
            self.number(name)
            return
        _host, colon, port = value.rpartition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            self.problem(name, "%s is not host:port. To listen at every address write :8000." % self.shown(name))


def port(text):
    """A port of a list, 0 to 65535. ValueError."""
    if not re.fullmatch(r"[0-9]+", text) or int(text) > 65535:
        raise ValueError(text)
    return int(text)


def network(text):
    """An address with its prefix length; host bits are allowed. ValueError."""
    if not re.fullmatch(r"[^/]+/(0|[1-9][0-9]{0,2})", text):
        raise ValueError(text)
    return ipaddress.ip_interface(text)
