# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of what happened: `build/vpn/results.json`, printed, and with `--docs` written into docs/vpn-proof.md."""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE = ROOT / "build" / "vpn" / "results.json"
PAGE = ROOT / "docs" / "vpn-proof.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
HEAD = ("event", "packets past the tunnel", "packets in the tunnel", "longest without network", "back by")
WIDE = (62, 23, 21, 23, 16)


def forget():
    """Begin anew."""
    save([])


def save(found):
    """Write rows down, and what they were seen on."""
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps({"ran_on": versions(), "rows": found}, indent=1) + "\n", encoding="utf-8")


def add(kind, **row):
    """Write down one row: kind (wireguard, openvpn, engine, leaky), name, leaked, tunnel, gap (s), back."""
    save([*read()["rows"], {"kind": kind, **row}])


def read():
    """Return what was written down."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"ran_on": "", "rows": []}


def cells(row):
    """Return a row's cells as text."""
    gap, tunnel = "under 1 s" if row["gap"] < 1 else f"{row['gap']:.1f} s", str(row["tunnel"])
    if row["kind"] == "leaky":
        gap = tunnel = "–"
    return f"{row['name']} ({row['kind']})", str(row["leaked"]), tunnel, gap, row["back"]


def summary(found):
    """Return the sentence that sums the rows up."""
    proof = [row for row in found if row["kind"] != "leaky"]
    caught = [row for row in found if row["kind"] == "leaky"]
    text = f"{len(proof)} events, {sum(row['leaked'] for row in proof)} packets past the tunnel"
    if caught:
        least = min(row["leaked"] for row in caught)
        text += f"; with holes made on purpose {least} or more in each of {len(caught)} cases"
    return f"{text}."


def versions():
    """Return what it ran on."""

    def told(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "?"

    engine = told("docker", "version", "--format", "{{.Server.Version}}")
    compose = told("docker", "compose", "version", "--short")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{day}, {system}, kernel {platform.release().partition('-')[0]}, Docker Engine {engine}, Compose {compose}"


def markdown(found, ran_on):
    """Return the table for the docs."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---:|---:|---:|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in found]
    return "\n".join([*lines, "", f"{summary(found)} Written by `make test-vpn`: {ran_on}."])


def main():
    """Print the table; with --docs also write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help="write docs/vpn-proof.md")
    known = read()
    found = sorted(known["rows"], key=lambda row: row["kind"] == "leaky")
    for row in (HEAD, *map(cells, found)):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, WIDE, strict=True)).rstrip())
    print(summary(found))
    if parser.parse_args().docs:
        text = PAGE.read_text(encoding="utf-8")
        table = f"{BEGIN}\n{markdown(found, known['ran_on'])}\n{END}"
        PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _match: table, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
