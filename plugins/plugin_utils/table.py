# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The status table: aligned, coloured and cut to width on a terminal, whole and plain everywhere else (pure)."""

from __future__ import annotations

import functools
import unicodedata

COLORS = {
    "HEALTHY": "green",
    "DEGRADED": "yellow",
    "STARTING": "cyan",
    "UNHEALTHY": "red",
    "STOPPED": "bright gray",
    "MISSING": "red",
    "UNKNOWN": "bright purple",
}
"""Colour names as ansible.utils.color knows them."""

GAP = "  "
MESSAGE_AT_LEAST = 20
"""Columns that a message keeps on a narrow terminal; then the lines wrap."""


def width(text):
    """Columns that *text* takes on a terminal: two for East Asian wide signs and emoji, none for combining ones."""
    columns = 0
    for sign in text:
        if unicodedata.combining(sign) or unicodedata.category(sign) in ("Mn", "Me", "Cf"):
            continue
        columns += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
    return columns


_INSTEAD = {"Cc": " ", "Zl": " ", "Zp": " ", "Cf": "", "Cs": "\ufffd"}
"""Category of a sign → what stands for it: nothing for those that turn the direction of what follows."""

_JOINERS = "\u200c\u200d"
"""Invisible, but parts of words and emoji."""


def clean(value):
    """*value* on one line, without control signs: an app's answer must not move the cursor."""
    text = "" if value is None else str(value)
    signs = (c if c in _JOINERS else _INSTEAD.get(unicodedata.category(c), c) for c in text)
    return " ".join("".join(signs).split())


def cut(text, columns):
    """*text* in at most *columns* columns, with an ellipsis where something was left out."""
    if width(text) <= columns:
        return text
    kept = ""
    for sign in text:
        if width(kept + sign) > columns - 1:
            break
        kept += sign
    return kept.rstrip() + "…"


def tag(image):
    """The tag of an image reference; of a digest its beginning; `latest` where none is named."""
    image = image or ""
    if image.startswith("sha256:"):
        return image[7:19]
    name, _at, digest = image.partition("@")
    last = name.rsplit("/", 1)[-1]
    if ":" in last:
        return last.rsplit(":", 1)[1]
    if digest:
        return digest.rpartition(":")[2][:12]
    return "latest" if image else ""


def latency(milliseconds):
    """A latency for people: `4 ms`, `1.2 s`."""
    if milliseconds is None:
        return ""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.0f} ms" if milliseconds >= 1 else "<1 ms"


def render(rows, runs=False, columns=None, paint=None, link=None):
    """The table as lines.

    Args:
        rows: entries of the result model.
        runs: add the column RUNS, what really runs in an image of the lab.
        columns: width of the terminal; None = a pipe or file, where nothing is cut.
        paint: function of (text, colour name) that colours a cell; None = plain.
        link: function of (text, URL) that makes a service's name a link to its web interface; None = plain.

    Returns:
        A list of lines, the heading first. Between hosts with several rows stands an empty one.
    """
    heading = ["HOST", "SERVICE", "STATUS", "MESSAGE", "LATENCY", "IMAGE"] + (["RUNS"] if runs else [])
    message_at = heading.index("MESSAGE")
    rows = collapse(rows)
    cells = [_cells(row, runs) for row in rows]
    widths = [max(width(line[i]) for line in [heading, *cells]) for i in range(len(heading))]
    if columns:
        others = sum(widths) - widths[message_at] + len(GAP) * (len(widths) - 1)
        widths[message_at] = min(widths[message_at], max(MESSAGE_AT_LEAST, columns - others))
    lines = [_line(heading, widths)]
    gaps = _gaps(rows)
    for position, (row, line) in enumerate(zip(rows, cells, strict=True)):
        line[message_at] = cut(line[message_at], widths[message_at])
        dress = {}
        if link and row.get("url"):
            dress[heading.index("SERVICE")] = functools.partial(link, url=clean(row["url"]))
        if paint and row.get("status") in COLORS:
            dress[heading.index("STATUS")] = functools.partial(paint, color=COLORS[row["status"]])
        if position in gaps:
            lines.append("")
        lines.append(_line(line, widths, dress))
    return lines


def _gaps(rows):
    """Positions of the rows before which a new host begins, if some host has several rows."""
    starts = [i for i, row in enumerate(rows) if i == 0 or row["host"] != rows[i - 1]["host"]]
    return set(starts[1:]) if len(starts) < len(rows) else set()


def _cells(row, runs):
    cells = [
        clean(row.get("host")),
        clean(row.get("name")),
        clean(row.get("status")),
        clean(row.get("message")),
        latency(row.get("latency_ms")),
        clean(tag(row.get("image"))),
    ]
    return [*cells, clean(row.get("runs"))] if runs else cells


def _line(cells, widths, dress=None):
    """The cells beside each other; *dress*: position → function of a cell's text, whose result takes no more room."""
    line = ""
    for position, (cell, columns) in enumerate(zip(cells, widths, strict=True)):
        shown = dress[position](cell) if dress and position in dress else cell
        line += (GAP if position else "") + shown + " " * (columns - width(cell))
    return line.rstrip()


def collapse(rows):
    """One row for a host of which nothing is known: the same UNKNOWN, for the same reason, of all its services.

    Rows that concern the host as a whole, such as `(disk media)`, stay.
    """
    hosts = {}
    for row in rows:
        hosts.setdefault(row["host"], []).append(row)
    collapsed = []
    for host, mine in hosts.items():
        services = [row for row in mine if not row["name"].startswith("(")]
        reasons = {(row["status"], row["message"]) for row in services}
        if len(services) > 1 and len(reasons) == 1 and services[0]["status"] == "UNKNOWN":
            whole = {"name": f"(all {len(services)})", "status": "UNKNOWN", "message": services[0]["message"]}
            collapsed += [{"host": host, **whole}, *(row for row in mine if row not in services)]
        else:
            collapsed += mine
    return collapsed


def summary(rows, bad, most=12):
    """One sentence: `22 of 22 healthy`, or `3 of 22 not healthy: nas/sonarr, nas/radarr, attic (all 9)`.

    *bad* is a function that tells whether a row counts as not healthy; at most *most* of them are named.
    """
    if not rows:
        return "no service to look at"
    count = sum(1 for row in rows if bad(row))
    if not count:
        return f"{len(rows)} of {len(rows)} healthy"
    names = [_place(row) for row in collapse(rows) if bad(row)]
    listed = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return f"{count} of {len(rows)} not healthy: {listed}"


def _place(row):
    """`nas/sonarr`; `nas (all 9)` and `nas (host)` for what concerns the host as a whole."""
    separator = " " if row["name"].startswith("(") else "/"
    return clean(f"{row['host']}{separator}{row['name']}")
