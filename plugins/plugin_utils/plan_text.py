# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `plan` for people (pure)."""

from __future__ import annotations

import re

from . import plan_model, table

COLORS = {plan_model.IN_SYNC: "green", plan_model.DRIFT: "yellow", plan_model.ERROR: "red"}
HEADINGS = {
    "changed by hand": "changed by hand",
    "dead namespace": "dead namespaces",
    "orphan": "orphans",
    "container": "containers",
    "image": "images",
    "network": "networks",
    "file": "files",
    "directory": "directories",
    "unit": "units",
    "app setting": "app settings",
    "hold": "holds",
}
# Lines of the diff that a host shows without --diff.
DIFF_LINES = 60
# What is done to a container: what it is before and after says nothing more.
_STATES = ("create", "recreate", "start", "restart", "stop", "remove")
# As much of a digest as people compare.
_DIGEST = re.compile(r"\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b")
_SIGNS = {"+": "green", "-": "red", "@": "cyan"}


def lines(report, whole_diff=False, paint=None):
    """All hosts, and the sentence at the end.

    `whole_diff`: show the diff to its end; `paint`: function of (text, colour name), None: plain.
    """
    paint = paint or (lambda text, _color: text)
    found = []
    for name, one in report["hosts"].items():
        found.append(f"{table.clean(name)}: {paint(plan_model.words(one), COLORS[one['result']])}")
        if one["result"] == plan_model.ERROR:
            found += [f"  {table.clean(text)}" for message in one["messages"] for text in message.splitlines()]
            continue
        found += _changes(one["changes"])
        found += _holds(one["holds"])
        found += [f"  note: {table.clean(message)}" for message in one["messages"]]
        found += _diff(one["diff"], whole_diff, paint)
    return [*found, report["message"]]


def _changes(changes):
    found, kinds = [], list(dict.fromkeys(one["kind"] for one in changes))
    for kind in kinds:
        rows = [_row(one) for one in changes if one["kind"] == kind]
        columns = [max(table.width(row[i]) for row in rows) for i in range(2)]
        found.append(f"  {HEADINGS.get(kind, kind)}")
        for row in rows:
            cells = [text + " " * (columns[i] - table.width(text)) for i, text in enumerate(row[:2]) if columns[i]]
            found.append(("    " + table.GAP.join([*cells, row[2]])).rstrip())
    return found


def _row(one):
    """(about what, what, why) of a change."""
    place = one["path"] or one["service"] or ""
    why = one["why"]
    if one["before"] and one["after"] and (one["kind"] == "image" or one["what"] not in _STATES):
        why = "; ".join(filter(None, [f"{one['before']} → {one['after']}", why]))
    return tuple(table.clean(_DIGEST.sub(r"\1", text)) for text in (place, one["what"], why))


def _holds(holds):
    return [f"  held: {table.clean(one['service'])}: {table.clean(one['why'])}" for one in holds]


def _diff(text, whole, paint):
    shown = text.splitlines()
    more = 0 if whole else len(shown) - DIFF_LINES
    found = [f"  {line}" for line in (_painted(line, paint) for line in (shown[:DIFF_LINES] if more > 0 else shown))]
    return [*found, f"  … {more} more lines of the diff: --diff shows them"] if more > 0 else found


def _painted(line, paint):
    # Tabs and spaces of a file are a part of it; anything that moves the cursor is not.
    clean = "".join(sign if sign == "\t" or sign.isprintable() else "?" for sign in line)
    return paint(clean, _SIGNS[clean[0]]) if clean and clean[0] in _SIGNS else clean
