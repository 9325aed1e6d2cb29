# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as one page that needs nothing else: no script, no font, no picture, no request. Text: report.html.j2."""

from __future__ import annotations

import functools
import os
import urllib.parse

import jinja2

from . import report_facts, table
from .report_model import STATUSES

TEMPLATE = "report.html.j2"


def render(report, _fail_on=None):
    """The report of `report_model.build` as text."""
    rows = report["services"]
    return _template().render(
        report=report,
        sentence=table.summary(rows, lambda row: row["status"] != "HEALTHY", most=len(rows)),
        generated=report["generated"].replace("T", " ").replace("Z", " UTC"),
        statuses=STATUSES,
        counts={status: sum(row["status"] == status for row in rows) for status in STATUSES},
        runs=any(row.get("runs") for row in rows),
        hosts=[_host(name, facts, rows) for name, facts in report["hosts"].items()],
    )


@functools.lru_cache(maxsize=1)
def _template():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(tag=table.tag, latency=table.latency, link=link)
    return environment.get_template(TEMPLATE)


def _finalize(value):
    """Text as a page may hold it: without the control signs that HTML forbids, and nothing for None."""
    return (
        table.clean(value)
        if isinstance(value, str) and not hasattr(value, "__html__")
        else ""
        if value is None
        else value
    )


def link(url):
    """*url* if it is one that a page may lead to, else an empty text: a page must not run `javascript:`."""
    try:
        parts = urllib.parse.urlsplit(url or "")
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.netloc else ""


def _host(name, facts, rows):
    mine = [row for row in rows if row["host"] == name]
    bad = {row["name"] for row in mine if row["status"] != "HEALTHY"}
    return {
        "name": name,
        "rows": mine,
        "healthy": len(mine) - len(bad),
        # The disks are drawn; everything else is said in a line.
        "facts": [fact for fact in report_facts.of_host(name, facts, mine) if fact.what != report_facts.DISKS],
        "disks": report_facts.file_systems(facts["disks"], bad),
    }
