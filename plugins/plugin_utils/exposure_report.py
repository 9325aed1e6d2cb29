# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `exposure`: all hosts as one model, as a table, as JSON and as JUnit XML (pure)."""

from __future__ import annotations

import datetime
import os

from . import leak_report, play_results, report_files, table
from .leak_report import FAILED, INCONCLUSIVE, PASSED

SCHEMA = 1
FORMATS = leak_report.FORMATS
SUITES = "homelab.mediastack.exposure"
HEADING = ["HOST", "SERVICE", "LISTENS", "REACHED", "LOGIN", "RESULT", "EVIDENCE"]
WHOLE_HOST = "(host)"
RESULT = HEADING.index("RESULT")
SHOWN = 8


def build(results):
    """The report: `{schema, generated, passed, ports[], hosts{<name>: {passed, open, messages}}}`.

    Args:
        results: host → result of the module exposure, None or a failed one where there is none.
    """
    ports, hosts = [], {}
    for host, result in results.items():
        known = result if isinstance(result, dict) else {}
        rows = [{"host": host, **row} for row in known.get("ports") or []]
        trouble = known.get("trouble") or (None if rows else play_results.reason(result))
        if trouble:
            rows.append(_whole_host(host, trouble))
        ports += rows
        hosts[host] = {
            "passed": all(row["state"] == PASSED for row in rows),
            "open": known.get("open") or [],
            "messages": known.get("messages") or [],
        }
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    passed = bool(hosts) and all(host["passed"] for host in hosts.values())
    return {"schema": SCHEMA, "generated": now, "passed": passed, "ports": ports, "hosts": hosts}


def _whole_host(host, evidence):
    row = {"host": host, "service": WHOLE_HOST, "name": "", "protocol": "", "address": "", "port": None, "kernel": None}
    end = {"state": INCONCLUSIVE, "evidence": evidence, "open": False, "remedy": ""}
    return {**row, "reached": "unknown", "login": "unknown", **end}


def place(row):
    """`address:port/protocol` of a row, and the port's name in the service file; empty for a row without an address."""
    if not row["address"]:
        return ""
    address = f"[{row['address']}]" if ":" in row["address"] else row["address"]
    return f"{address}:{row['port']}/{row['protocol']}"


def summary(report):
    """One sentence: `12 of 12 ports passed`, or which did not, with the remedy for each, open ones first."""
    rows = report["ports"]
    bad = sorted((row for row in rows if row["state"] != PASSED), key=lambda row: (not row["open"], row["state"]))
    if not bad:
        allowed = sum(row["open"] for row in rows)
        return f"{len(rows)} of {len(rows)} ports passed" + (f", {allowed} of them open and allowed" if allowed else "")
    words = []
    for row in bad[:SHOWN]:
        kind = "OPEN" if row["open"] else row["state"]
        where = " at ".join(part for part in (f"{row['host']}/{row['service']}", place(row)) if part)
        words.append(f"{kind}: {where} ({row['remedy'] or row['evidence']})")
    more = [f"and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
    return table.clean(f"{len(bad)} of {len(rows)} ports did not pass; " + "; ".join([*words, *more]))


def lines(report, columns=None, paint=None):
    """The table; `columns`: width of the terminal, None: nothing is cut; `paint`: function of (text, colour name)."""
    cells = [[table.clean(text) for text in _cells(row)] for row in report["ports"]]
    widths = [max(table.width(line[i]) for line in [HEADING, *cells]) for i in range(len(HEADING))]
    if columns:
        room = columns - sum(widths[:-1]) - len(table.GAP) * (len(widths) - 1)
        widths[-1] = max(leak_report.EVIDENCE_AT_LEAST, room)
    found = [_line(HEADING, widths)]
    for row, line in zip(report["ports"], cells, strict=True):
        if row["state"] == PASSED:
            # What did not pass is shown whole, on more lines than one if need be.
            line[-1] = table.cut(line[-1], widths[-1])
        found.append(_line(line, widths, paint))
    return found


def _cells(row):
    evidence = f"{row['evidence']}. {row['remedy']}" if row["remedy"] else row["evidence"]
    name = f" ({row['name']})" if row["name"] and place(row) else ""
    return [row["host"], row["service"], place(row) + name, row["reached"], row["login"], row["state"], evidence]


def _line(cells, widths, paint=None):
    shown = list(cells)
    if paint and cells[RESULT] in leak_report.COLORS:
        shown[RESULT] = paint(cells[RESULT], leak_report.COLORS[cells[RESULT]])
    padded = [text + " " * (widths[i] - table.width(cells[i])) for i, text in enumerate(shown[:-1])]
    return table.GAP.join([*padded, shown[-1]]).rstrip()


def render(path, report):
    """The report in the format that the end of `path` names."""
    if os.path.splitext(path)[1].lower() != ".xml":
        return report_files.as_json(report)
    checks = [
        {
            "host": row["host"],
            "app": row["service"],
            "check": place(row),
            "state": row["state"],
            "evidence": _cells(row)[-1],
            "leak": "open" if row["open"] and row["state"] == FAILED else "",
        }
        for row in report["ports"]
    ]
    return leak_report.junit({**report, "checks": checks}, SUITES)
