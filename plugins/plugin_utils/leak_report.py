# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of leak tests: all hosts as one model, as a table, as JSON and as JUnit XML (pure)."""

from __future__ import annotations

import datetime
import os
import xml.etree.ElementTree as ET  # nosec B405 # writes only

from . import play_results, report_files, table

SCHEMA = 1
PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"
FORMATS = (".json", ".xml")
COLORS = {PASSED: "green", FAILED: "red", INCONCLUSIVE: "yellow"}
SUITES = "homelab.mediastack.leak_test"
HEADING = ["HOST", "APP", "CHECK", "RESULT", "EVIDENCE"]
WHOLE_HOST = "(host)"
EVIDENCE_AT_LEAST = 20


def build(results):
    """The report: `{schema, generated, passed, checks[], hosts{<name>: {passed, leaking, messages}}}`.

    Args:
        results: host → result of the module leak_test, None or a failed one where there is none.
    """
    checks, hosts = [], {}
    for host, result in results.items():
        known = result if isinstance(result, dict) else {}
        rows = [{"host": host, **row} for row in known.get("checks") or []]
        trouble = known.get("trouble")
        if not trouble and not rows:
            trouble = {"state": INCONCLUSIVE, "evidence": play_results.reason(result)}
        if trouble:
            rows.append({"host": host, "app": WHOLE_HOST, "check": "", "leak": False, **trouble})
        checks += rows
        hosts[host] = {
            "passed": all(row["state"] == PASSED for row in rows),
            "leaking": known.get("leaking") or [],
            "messages": known.get("messages") or [],
        }
        if known.get("host_ip"):
            hosts[host]["host_ip"] = known["host_ip"]
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    passed = bool(hosts) and all(host["passed"] for host in hosts.values())
    return {"schema": SCHEMA, "generated": now, "passed": passed, "checks": checks, "hosts": hosts}


def summary(report):
    """One sentence: `20 of 20 checks passed`, or how many did not and which, leaks first."""
    rows = report["checks"]
    bad = [row for row in rows if row["state"] != PASSED]
    if not bad:
        return f"{len(rows)} of {len(rows)} checks passed"
    words = []
    leaking = [f"{name}/{app}" for name, host in report["hosts"].items() for app in host["leaking"]]
    if leaking:
        words.append(f"LEAK: {', '.join(leaking)}")
    for state in (FAILED, INCONCLUSIVE):
        names = [_place(row) for row in bad if row["state"] == state]
        if names:
            listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            words.append(f"{len(names)} of {len(rows)} checks {state}: {listed}")
    return table.clean("; ".join(words))


def _place(row):
    return " ".join(part for part in (f"{row['host']}/{row['app']}", row["check"]) if part)


def lines(report, columns=None, paint=None):
    """The table; `columns`: width of the terminal, None: nothing is cut; `paint`: function of (text, colour name)."""
    cells = [
        [table.clean(row[key]) for key in ("host", "app", "check", "state", "evidence")] for row in report["checks"]
    ]
    widths = [max(table.width(line[i]) for line in [HEADING, *cells]) for i in range(len(HEADING))]
    if columns:
        room = columns - sum(widths[:-1]) - len(table.GAP) * (len(widths) - 1)
        # What did not pass is shown whole, on more lines than one if need be.
        widths[-1] = max(EVIDENCE_AT_LEAST, room)
    found = [_line(HEADING, widths)]
    before = None
    for row, line in zip(report["checks"], cells, strict=True):
        if before not in (None, (row["host"], row["app"])):
            found.append("")
        before = (row["host"], row["app"])
        if row["state"] == PASSED:
            line[-1] = table.cut(line[-1], widths[-1])
        found.append(_line(line, widths, paint))
    return found


def _line(cells, widths, paint=None):
    shown = list(cells)
    if paint and cells[3] in COLORS:
        shown[3] = paint(cells[3], COLORS[cells[3]])
    padded = [text + " " * (widths[i] - table.width(cells[i])) for i, text in enumerate(shown[:-1])]
    return table.GAP.join([*padded, shown[-1]]).rstrip()


def render(path, report):
    """The report in the format that the end of `path` names."""
    return junit(report) if os.path.splitext(path)[1].lower() == ".xml" else report_files.as_json(report)


def junit(report, suites=SUITES):
    """The report as JUnit XML: a suite for each host, a case for each check; inconclusive is an error, never green.

    `suites`: what the whole is called. A check's `leak` may be a text, the kind of its failure.
    """
    root = ET.Element("testsuites", {"name": suites})
    for host in report["hosts"]:
        rows = [row for row in report["checks"] if row["host"] == host]
        name = table.clean(host)
        suite = ET.SubElement(root, "testsuite", {"name": name, "hostname": name, **_counts(rows)})
        suite.set("timestamp", report["generated"].rstrip("Z"))
        for row in rows:
            suite.append(_case(row, suites))
    # The schema knows no "skipped" here.
    root.attrib.update({key: value for key, value in _counts(report["checks"]).items() if key != "skipped"})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(row, suites):
    evidence = table.clean(row["evidence"]).replace("\ufffe", "").replace("\uffff", "")
    name = table.clean(" ".join(part for part in (row["app"], row["check"]) if part))
    case = ET.Element("testcase", {"classname": f"{suites}.{table.clean(row['host'])}", "name": name, "time": "0.000"})
    if row["state"] == PASSED:
        ET.SubElement(case, "system-out").text = evidence
        return case
    what = "failure" if row["state"] == FAILED else "error"
    kind = row["leak"] if isinstance(row["leak"], str) else "leak" if row["leak"] else ""
    ET.SubElement(case, what, {"message": evidence, "type": kind or row["state"]}).text = evidence
    return case


def _counts(rows):
    states = [row["state"] for row in rows]
    return {
        "tests": str(len(rows)),
        "failures": str(states.count(FAILED)),
        "errors": str(states.count(INCONCLUSIVE)),
        "skipped": "0",
        "time": "0.000",
    }
