# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a notification says, and what it must not say (pure)."""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state

from . import table

#: Signs of a whole message, and of one trouble in it. Discord takes 2000, ntfy 4096 bytes.
MOST, MOST_OF_ONE = 1800, 1200
#: Beginnings of an error that are told; what follows quotes commands and advice.
LINES_OF_ONE = 40
ADDRESS = "(public address)"
_ORDER = ("failure", "warning", "info", "success")
_HEADINGS = {
    notify_state.NEW: "",
    notify_state.CHANGED: "changed: ",
    notify_state.RECOVERED: "recovered: ",
    notify_state.HAPPENED: "",
}
# What looks like an address: IPv4, or IPv6 of at least two groups.
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w)"
    r"|(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?![\w:]))"
)


def message(host, changes):
    """`(severity, title, body)` of what one channel is told of one host.

    Parameters:
        host: its name.
        changes: of `notify_state.compare`.
    """
    worst = min((one["severity"] for one in changes), key=_ORDER.index)
    if len(changes) == 1:
        title = f"{host}: {_headline(changes[0])}"
    else:
        bad = [one for one in changes if one["what"] in (notify_state.NEW, notify_state.CHANGED)]
        well = [one for one in changes if one["what"] == notify_state.RECOVERED]
        parts = [_named(bad, "not well"), _named(well, "recovered")]
        parts += [one["title"] for one in changes if one["what"] == notify_state.HAPPENED]
        title = f"{host}: " + "; ".join(part for part in parts if part)
    return worst, table.cut(title, 120), _cut("\n".join(_line(one) for one in changes), MOST)


def clean(text, mask):
    """*text* fit for a message: without secrets, public addresses and control signs, and not too long.

    Parameters:
        text: of any number of lines.
        mask: function of a text that hides secrets in it.
    """
    lines = [_plain(line) for line in mask(str(text)).strip().splitlines()[:LINES_OF_ONE]]
    return _cut("\n".join(line for line in lines if line.strip()), MOST_OF_ONE)


def without_addresses(text):
    """*text* without addresses that are reached from anywhere: the host's own one is nobody's business (P16)."""
    return _ADDRESS.sub(lambda match: ADDRESS if _is_public(match[0]) else match[0], text)


def _headline(one):
    if one["what"] == notify_state.HAPPENED:
        return one["title"]
    if one["what"] == notify_state.RECOVERED:
        return f"{one['title']} recovered"
    first = one["words"].partition("\n")[0]
    return f"{one['title']}: {first}" if first else one["title"]


def _line(one):
    since = f" (since {one['since'][:16].replace('T', ' ')} UTC)" if one["what"] == notify_state.RECOVERED else ""
    words = f": {one['words']}" if one["words"] else ""
    return f"{_HEADINGS[one['what']]}{one['title']}{words}{since.replace('since', 'bad since')}"


def _named(changes, words):
    """`Sonarr, Radarr and 3 more not well`."""
    if not changes:
        return ""
    names = list(dict.fromkeys(one["title"] for one in changes))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {words}"


def _plain(line):
    """A line without control signs, its indentation kept: a diff lives by it."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    return without_addresses(indent + table.clean(line))


def _cut(text, most):
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _is_public(text):
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
