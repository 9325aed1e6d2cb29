# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report as people read it in a terminal or a log: the table, what is known of each host, sentences, the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from . import report_facts, report_model, table

LEVEL_COLORS = {"good": "green", "bad": "red"}


@dataclasses.dataclass(frozen=True)
class Style:
    """How to write.

    Attributes:
        columns: width of the terminal; None = a pipe or file, where nothing is cut or wrapped.
        paint: function of (text, colour name) that colours a text; None = plain.
        link: function of (text, URL) that makes a text a link; None = plain.
    """

    columns: int | None = None
    paint: Callable[[str, str], str] | None = None
    link: Callable[[str, str], str] | None = None


PLAIN = Style()


def picture(report, sentences=(), style=PLAIN, height=None):
    """Everything there is to say, as lines.

    Args:
        report: of `report_model.build`.
        sentences: what else to tell, each a line.
        style: a `Style`.
        height: lines that there is room for; None = any number. What is well gives way first.
    """
    facts = facts_lines(report, style=style)
    end = [line for sentence in sentences for line in wrap(table.clean(sentence), style.columns)]

    def lines(rows, more=()):
        return [*table_lines(report, rows, style), *more, *([""] if facts else []), *facts, *end]

    rows = table.collapse(report["services"])
    whole = lines(rows)
    if height is None or len(whole) <= height:
        return whole
    if len(report["hosts"]) > 1:
        facts = facts_lines(report, only_bad=True, style=style)
    # One line for what is left out, and one for each gap between hosts that may stay.
    hosts = len({row["host"] for row in rows})
    kept = most_important(rows, max(0, height - len(lines([])) - hosts))
    fitting = lines(kept, [left_out(rows, kept)])
    # Where not even the facts have room, the last sentence, which is the result, still has.
    return fitting if len(fitting) <= height else [*fitting[: height - 1], *end[-1:]]


def table_lines(report, rows, style=PLAIN):
    """The table of *rows*, some of the report's."""
    runs = any(row.get("runs") for row in report["services"])
    return table.render(rows, runs, style.columns, style.paint, style.link)


def most_important(rows, count):
    """At most *count* of *rows*, in their order: what is not HEALTHY, then what has a message, then the rest."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["status"] == "HEALTHY", not rows[i]["message"], i))
    chosen = set(order[:count])
    return [row for i, row in enumerate(rows) if i in chosen]


def left_out(rows, kept):
    """A line about those of *rows* for which there was no room."""
    bad = sum(row["status"] != "HEALTHY" for row in rows) - sum(row["status"] != "HEALTHY" for row in kept)
    return f"… and {len(rows) - len(kept)} more, " + (f"{bad} of them not HEALTHY" if bad else "all HEALTHY")


def problems(report):
    """The rows that are not HEALTHY or have a message."""
    return [row for row in report["services"] if row["status"] != "HEALTHY" or row["message"]]


def summary(rows):
    """The result in one sentence, whatever `fail_on` lets pass."""
    return table.summary(rows, lambda row: row["status"] != "HEALTHY")


def facts_lines(report, only_bad=False, style=PLAIN):
    """Lines about each host: `nas  VPN  connected · …`; *only_bad*: what needs attention."""
    found = [
        (table.clean(host), fact)
        for host, known in report["hosts"].items()
        for fact in report_facts.of_host(host, known, report["services"])
        if not only_bad or fact.level == "bad"
    ]
    host_width = max((table.width(host) for host, _fact in found), default=0)
    what_width = max((len(fact.what) for _host, fact in found), default=0)
    indent = host_width + what_width + 2 * len(table.GAP)
    lines = []
    for host, fact in found:
        what = fact.what + " " * (what_width - len(fact.what))
        if style.paint and fact.level in LEVEL_COLORS:
            what = style.paint(what, LEVEL_COLORS[fact.level])
        start = host + " " * (host_width - table.width(host)) + table.GAP + what + table.GAP
        first, *others = wrap(table.clean(fact.text), style.columns and max(style.columns - indent, 20))
        lines += [start + first, *(" " * indent + line for line in others)]
    return lines


def wrap(text, columns):
    """*text* as lines of at most *columns* columns, broken between words; None = one line."""
    if not columns or table.width(text) <= columns:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if line and table.width(candidate) > columns:
            lines.append(line)
            line = word
        else:
            line = candidate
    return [*lines, line]


def notes(results):
    """Sentences of the hosts' results, each once; with the hosts' names unless it holds for all of them.

    *results*: as for `report_model.build`.
    """
    hosts_of = {}
    for host, result in results.items():
        if isinstance(result, dict):
            for sentence in dict.fromkeys(result.get("messages") or []):
                hosts_of.setdefault(sentence, []).append(host)
    return [
        ("" if len(hosts) == len(results) else ", ".join(hosts) + ": ") + table.clean(sentence)
        for sentence, hosts in hosts_of.items()
    ]


def verdict(report, fail_on):
    """`(failed, sentence)`: whether a run with `fail_on` fails, and the sentence for it."""
    rows, passing = report["services"], report_model.PASSING[fail_on]
    failed = not rows or any(row["status"] not in passing for row in rows)
    return failed, table.summary(rows, lambda row: row["status"] not in passing)
