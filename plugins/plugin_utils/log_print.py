# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Log lines as they are printed: `host/service | text`, aligned, in the service's colour on a terminal (pure)."""

from __future__ import annotations

import zlib

from ansible_collections.homelab.mediastack.plugins.module_utils import log_text

from . import table

# Names as ansible.utils.color knows them. Red and yellow are for errors and warnings.
COLORS = ("cyan", "green", "bright blue", "purple", "bright cyan", "bright green", "bright purple", "blue")


class Printer:
    """Makes text of lines."""

    def __init__(self, places, paint=None):
        """`places`: all (host, service) that may come, for the width; `paint`: function of (text, colour name), None =
        without colours, the services' own left out too.
        """
        self._paint = paint
        self._prefixes = {}
        self._width = max((table.width(_place(*place)) for place in places), default=0)

    def text(self, host, lines):
        """The lines [(time, service, text)] of a host as one text, without a newline at its end."""
        return "\n".join(self.line(host, service, text) for _time, service, text in lines)

    def line(self, host, service, text):
        """One line."""
        return self._prefix(host, service) + (text if self._paint else log_text.plain(text))

    def _prefix(self, host, service):
        known = self._prefixes.get((host, service))
        if known is None:
            place = _place(host, service)
            color = COLORS[zlib.crc32(place.encode()) % len(COLORS)]
            padding = " " * max(0, self._width - table.width(place))
            known = f"{self._paint(place, color) if self._paint else place}{padding} | "
            self._prefixes[host, service] = known
        return known


def merged(results):
    """The lines of all hosts in the order of their time: [(time, host, service, text)]; *results*: host → result."""
    lines = [(line[0], host, line[1], line[2]) for host, result in results.items() for line in result["lines"]]
    lines.sort(key=lambda line: line[0])
    return lines


def _place(host, service):
    return table.clean(f"{host}/{service}")


def notes(result, named, tail_given):
    """Sentences about what is not among the lines.

    Parameters:
        result: of `stack_logs`.
        named: the services that were asked for; empty: all.
        tail_given: whether the number of lines was the user's own.
    """
    found = [f"{name} has no container here: start it with site or start" for name in result["missing"]]
    if not named and not result["services"]:
        found.append("there is no container of the stack here: run site")
    found += [f"{service}: {reason}" for service, reason in sorted(result["troubles"].items())]
    if not tail_given:
        found += [
            f"{service}: {number} earlier lines are left out, tail=NUMBER shows more"
            for service, number in sorted(result["left_out"].items())
        ]
    return found
