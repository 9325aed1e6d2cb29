# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as JUnit XML: a test suite for each host, a test case for each service, for pipelines that show them."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # nosec B405 # writes only

from . import report_facts
from .report_model import PASSING
from .table import clean

SUITES = "homelab.mediastack.status"


def render(report, fail_on="degraded"):
    """The report of `report_model.build` as text.

    HEALTHY passes, UNKNOWN is an error, everything else a failure; what `fail_on=unhealthy` lets pass is skipped, so
    that nothing is green that is not HEALTHY. `never` concerns the exit code only.
    """
    tolerated = PASSING[fail_on] if fail_on != "never" else PASSING["degraded"]
    suites = [_suite(host, facts, report, tolerated) for host, facts in report["hosts"].items()]
    root = ET.Element("testsuites", {"name": SUITES, **_counts(suites)})
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(host, facts, report, tolerated):
    rows = [row for row in report["services"] if row["host"] == host]
    suite = ET.Element("testsuite", {"name": _text(host), "hostname": _text(host)})
    properties = list(_properties(host, facts, rows))
    if properties:
        element = ET.SubElement(suite, "properties")
        for name, value in properties:
            ET.SubElement(element, "property", {"name": name, "value": _text(value)})
    suite.extend(_case(host, row, tolerated) for row in rows)
    suite.attrib.update(_counts([suite]))
    # The schemas of JUnit want a local time without a zone; this is UTC.
    suite.set("timestamp", report["generated"].rstrip("Z"))
    return suite


def _case(host, row, tolerated):
    seconds = (row["latency_ms"] or 0) / 1000
    case = ET.Element(
        "testcase", {"classname": f"{SUITES}.{_text(host)}", "name": _text(row["name"]), "time": f"{seconds:.3f}"}
    )
    status, message = row["status"], _text(row["message"])
    if status == "HEALTHY":
        if message:
            ET.SubElement(case, "system-out").text = message
        return case
    said = f"{status}: {message}" if message else status
    if status in tolerated:
        ET.SubElement(case, "skipped", {"message": said})
        return case
    what = "error" if status == "UNKNOWN" else "failure"
    ET.SubElement(case, what, {"message": said, "type": status}).text = _details(row)
    return case


def _details(row):
    known = {
        "service": f"{row['title'] or row['name']} on {row['host']}",
        "status": row["status"],
        "message": row["message"],
        "container": row["container"],
        "image": row["image"],
        "url": row["url"],
    }
    return "\n".join(f"{key}: {_text(value)}" for key, value in known.items() if value)


def _properties(host, facts, rows):
    vpn = facts["vpn"]
    for key in ("enabled", "connected", "provider", "country", "public_ip", "forwarded_ports"):
        if key in vpn:
            value = vpn[key]
            yield f"vpn.{key}", ", ".join(map(str, value)) if isinstance(value, list) else _plain(value)
    for group, entries in (("disk", facts["disks"]), ("queue", facts["queues"])):
        for name, entry in entries.items():
            for key, value in entry.items():
                if key != "device":
                    yield f"{group}.{_text(name)}.{key}", _plain(value)
    for fact in report_facts.of_host(host, {"holds": facts["holds"]}, ()):
        yield "hold", fact.text


def _plain(value):
    return str(value).lower() if isinstance(value, bool) else value


def _counts(elements):
    cases = [case for element in elements for case in element.iter("testcase")]
    counts = {"tests": str(len(cases))}
    for plural, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[plural] = str(sum(case.find(name) is not None for case in cases))
    counts["time"] = f"{sum(float(case.get('time')) for case in cases):.3f}"
    return counts


def _text(value):
    """*value* on one line, of signs that XML can hold."""
    return clean(value).replace("\ufffe", "").replace("\uffff", "")
