# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of faults: `build/faults/results.json`, printed, and with `--docs` written into docs/fault-matrix.md.

Every cell is a file in build/faults/cells, so that several workers can write at once.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "faults"
CELLS = FOLDER / "cells"
FILE = FOLDER / "results.json"
PAGE = ROOT / "docs" / "fault-matrix.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = (
    "what happens",
    "while",
    "what the run said",
    "without an answer",
    "the others",
    "config databases",
    "well by",
    "image",
)
VERBS = ("site", "update", "rollback", "restore")
STEPS = (
    "resolving",
    "pulling",
    "checking",
    "prepared",
    "snapshot",
    "recreating",
    "gating",
    "committing",
    "rolling_back",
)
SAID = 140
# Names, ports and times of one run, which nobody wants to compare.
_PLAIN = (
    (re.compile(r"127\.0\.0\.1:\d+/faults/"), ""),
    (re.compile(r"faults-\d+-\d+-"), ""),
    (re.compile(r"/var/tmp/[\w-]+/data"), "…"),
    (re.compile(r"/var/tmp/[\w-]+"), "…"),
    (re.compile(r"sha256:([0-9a-f]{6})[0-9a-f]+"), r"sha256:\1…"),
    (re.compile(r"127\.0\.0\.1:\d+"), "the registry"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:]+Z"), "DATE"),
)


def forget():
    """Begin anew."""
    shutil.rmtree(CELLS, ignore_errors=True)


def save(row):
    """Write a cell down.

    Keys: verb, fault, step; rc, said; well (when the run had ended); gap, others (s without an answer, of the service
    that the run is about and of the worst other one); hashes {service: [before, after]}; lost_rows, lost_bytes;
    leftovers; converged, by; image (old or new); false_greens; seconds; problems.
    """
    CELLS.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", f"{row['verb']} {row['fault']} {row['step']}").strip("-").lower()
    (CELLS / f"{name}.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")


def read():
    """Return all rows, in the order of the table."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(CELLS.glob("*.json"))]
    return sorted(rows, key=_order)


def _order(row):
    step = STEPS.index(row["step"]) if row["step"] in STEPS else len(STEPS)
    return VERBS.index(row["verb"]), row["fault"].lower(), step


def results(rows):
    """Return the object of results.json."""
    return {
        "cells": len(rows),
        "converged": sum(row["converged"] for row in rows),
        "bytes_lost": sum(row["lost_bytes"] for row in rows),
        "false_greens": sum(bool(row["false_greens"]) for row in rows),
        "leftovers": sum(bool(row["leftovers"]) for row in rows),
        "by_itself": sum(row["by"] == "itself" for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows)),
        "ran_on": versions(),
        "rows": rows,
    }


def versions():
    """Return what it ran on."""

    def told(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "?"

    engine = told("docker", "version", "--format", "{{.Server.Version}}")
    compose = told("docker", "compose", "version", "--short")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{day}, {system}, Docker Engine {engine}, Compose {compose}"


def plain(text):
    """Return what a run said without the names of this one run."""
    for pattern, instead in _PLAIN:
        text = pattern.sub(instead, text)
    return text if len(text) <= SAID else f"{text[: SAID - 1].rstrip()}…"


def cells(row):
    """Return a row's cells as text."""
    same = sum(before == after for before, after in row["hashes"].values())
    databases = f"{same} of {len(row['hashes'])} the same"
    if row["lost_bytes"]:
        databases += f", {row['lost_bytes']} bytes lost"
    by = row["by"] if row["converged"] else "NOT"
    if row["false_greens"]:
        by += ", FALSE GREEN"
    if row["leftovers"]:
        by += f", left: {len(row['leftovers'])}"
    said = plain(row["said"])
    return (row["fault"], row["step"], said, seconds(row["gap"]), seconds(row["others"]), databases, by, row["image"])


def seconds(number):
    """Return a time without an answer as text."""
    return "–" if not number else f"{number:.1f} s"


def summary(rows):
    """Return the sentence that sums the rows up."""
    found = results(rows)
    return (
        f"{found['cells']} cells: {found['converged']} well after at most one `site` ({found['by_itself']} by "
        f"themselves), {found['bytes_lost']} bytes of configuration lost, {found['false_greens']} runs that said ok "
        "when it was not."
    )


def markdown(rows):
    """Return the tables for the docs, one a verb."""
    lines = []
    for verb in VERBS:
        mine = [row for row in rows if row["verb"] == verb]
        if mine:
            lines += [f"### `{verb}`", "", "| " + " | ".join(HEAD) + " |", "|---|---|---|---:|---:|---|---|---|"]
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in mine]
            lines += [""]
    return "\n".join([*lines, f"{summary(rows)} Written by `make test-faults`: {versions()}."])


def main():
    """Print the table and write results.json, with --docs also the page; 1 where a cell is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write docs/fault-matrix.md")
    parser.add_argument("--forget", action="store_true", help="only remove what earlier runs wrote")
    options = parser.parse_args()
    if options.forget:
        forget()
        return 0
    rows = read()
    FOLDER.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(results(rows), indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(f"{row['verb']:<9}", "  ".join(cells(row)))
    print(summary(rows))
    if options.docs:
        text = PAGE.read_text(encoding="utf-8")
        tables = f"{BEGIN}\n{markdown(rows)}\n{END}"
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _match: tables, text, flags=re.DOTALL), encoding="utf-8")
    return 0 if rows and all(not row["problems"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
