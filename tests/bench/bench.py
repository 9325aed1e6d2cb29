#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure a no-op site against a ping play and against the same job written the usual way, and a look at its health.

The stack is the demo's, on a project, ports, names and directories of its own, so that a demo beside it stays as it is.
All three plays run in turn, five times each (the usual one, of a minute, three times), in one go; so does the module
`stack_health` with everything that `status` asks, once with all well and once with an app that hangs. Then the start
from nothing (cold.py), fleets of 20 and 100 hosts (fleets.py), and updates on a small stack with a registry
(updates.py). Medians count. Results: build/bench/results.json, a table, and the same table in docs/performance.md.
Ends with 1 when a run was not a no-op, when a service was not healthy, or when a bound is missed.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import cold  # noqa: E402
import describe  # noqa: E402
import fleets  # noqa: E402
import page  # noqa: E402
import updates  # noqa: E402
from describe import EXTRA, INVENTORY, ROOT, WORK  # noqa: E402
from surroundings import surroundings  # noqa: E402

ROUNDS = 5
# Of a play that takes longer than half a minute.
LONG_ROUNDS = 3
MAX_NOOP_RATIO = 2.0
MIN_IDIOMATIC_RATIO = 11.0
MIN_HOSTS20_RATIO = 8.0
MAX_HOSTS100_OVER_20 = 5.5
MAX_CONTROLLER_RSS = 400
MAX_COLD_RATIO = 1.15
MIN_SERVICES = 20
MAX_SWEEP = 1.0
SWEEP_ROUNDS = 5
HANG_TIMEOUT = 3
MAX_OVER_TIMEOUT = 0.5
MAX_EXTRA_DOWNTIME = 1.0
MAX_NOOP_UPDATE_RATIO = 1.5
HANGING = "sonarr"

PLAYS = {
    "ping": "tests/bench/ping.yml",
    "noop_site": "homelab.mediastack.site",
    "idiomatic": "tests/bench/idiomatic/site.yml",
}


def play(name, *arguments, log):
    """Run a playbook on the bench's host; return seconds and output. A failure ends the bench with its last lines."""
    command = [".venv/bin/ansible-playbook", "-i", str(INVENTORY), "-e", f"@{EXTRA}", name, *arguments]
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    (WORK / f"{log}.log").write_text(done.stdout, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode} (all of it: {WORK / log}.log):\n{done.stdout[-3000:]}")
    return seconds, done.stdout


def measure():
    """Return the seconds of every run, by play. Each run must change nothing."""
    seconds = {key: [] for key in PLAYS}
    for number in range(1, ROUNDS + 1):
        for key, name in PLAYS.items():
            if key == "idiomatic" and number > LONG_ROUNDS:
                continue
            taken, output = play(name, log=key)
            changed = re.findall(r"\bchanged=(\d+)", output)
            if not changed or any(count != "0" for count in changed):
                raise SystemExit(f"{name} was no no-op (changed={changed}):\n{output[-3000:]}")
            seconds[key].append(round(taken, 3))
            print(f"  round {number}: {key:<10} {taken:6.2f} s", flush=True)
    return seconds


def healthy_services():
    """Return the number of services, all of which must be healthy."""
    report = WORK / "status.json"
    play("homelab.mediastack.status", "-e", json.dumps({"output": str(report)}), log="status")
    status = json.loads(report.read_text(encoding="utf-8"))
    if not status["healthy"]:
        unwell = [service["name"] for service in status["services"] if service["status"] != "HEALTHY"]
        raise SystemExit(f"not healthy: {', '.join(unwell)}")
    return len(status["services"])


def look(*arguments):
    """Run `stack_health` as `status` does; return its seconds by its own clock and what is not healthy."""
    command = [".venv/bin/ansible", describe.HOST, "-i", str(INVENTORY), "-e", f"@{EXTRA}"]
    command += ["-m", "homelab.mediastack.stack_health", "-a", " ".join(arguments)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    _host, found, text = done.stdout.partition("=> ")
    if done.returncode or not found:
        raise SystemExit(f"stack_health ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    result = json.loads(text)
    return result["duration_ms"] / 1000, [row["name"] for row in result["services"] if row["status"] != "HEALTHY"]


def sweep():
    """Return the seconds of every look: `{sweep: […], sweep_hang: […]}`. Each must find exactly what is wrong."""
    seconds = {"sweep": [], "sweep_hang": []}
    fault = ["docker", "exec", f"{describe.PREFIX}{HANGING}", "lab-fault"]
    for key, arguments, wanted in (("sweep", [], []), ("sweep_hang", [f"timeout={HANG_TIMEOUT}"], [HANGING])):
        if wanted:
            subprocess.run([*fault, "hang"], check=True)
        for _round in range(SWEEP_ROUNDS):
            taken, unwell = look(*arguments)
            if unwell != wanted:
                raise SystemExit(f"{key}: not healthy are {unwell}, expected {wanted}")
            seconds[key].append(round(taken, 3))
        print(f"  {key:<10} {', '.join(f'{taken:.2f}' for taken in seconds[key])} s", flush=True)
    subprocess.run(fault, check=True)
    return seconds


def results(seconds, services):
    """Return the object of results.json."""
    median = {key: statistics.median(values) for key, values in seconds.items()}
    return {
        "ping_s": median["ping"],
        "noop_site_s": median["noop_site"],
        "noop_ratio": round(median["noop_site"] / median["ping"], 2),
        "idiomatic_s": median["idiomatic"],
        "idiomatic_ratio": round(median["idiomatic"] / median["noop_site"], 2),
        "services": services,
        "sweep_s": median["sweep"],
        "sweep_hang_s": median["sweep_hang"],
        "sweep_hang_timeout_s": HANG_TIMEOUT,
        **cold.results(seconds),
        **fleets.results(seconds),
        **updates.results(seconds),
        "rounds": seconds,
        **surroundings(),
    }


def bounds(numbers):
    """Return the rows of the table: `(key, whether it is kept, the bound in words)`; no words: a figure by itself."""
    longest = HANG_TIMEOUT + MAX_OVER_TIMEOUT
    return [
        ("services", numbers["services"] >= MIN_SERVICES, f"≥ {MIN_SERVICES}"),
        ("sweep_s", numbers["sweep_s"] <= MAX_SWEEP, f"≤ {MAX_SWEEP} s"),
        (
            "sweep_hang_s",
            numbers["sweep_hang_s"] <= longest,
            f"≤ its timeout of {HANG_TIMEOUT} s + {MAX_OVER_TIMEOUT} s",
        ),
        ("ping_s", True, ""),
        ("noop_site_s", True, ""),
        ("noop_ratio", numbers["noop_ratio"] <= MAX_NOOP_RATIO, f"≤ {MAX_NOOP_RATIO} × ping"),
        ("idiomatic_s", True, ""),
        ("idiomatic_ratio", numbers["idiomatic_ratio"] >= MIN_IDIOMATIC_RATIO, f"≥ {MIN_IDIOMATIC_RATIO} × no-op site"),
        ("cold_bare_s", True, ""),
        ("cold_site_s", True, ""),
        ("cold_ratio", numbers["cold_ratio"] <= MAX_COLD_RATIO, f"≤ {MAX_COLD_RATIO} × bare docker compose up"),
        ("hosts20_s", True, ""),
        (
            "hosts20_ratio",
            numbers["hosts20_ratio"] >= MIN_HOSTS20_RATIO,
            f"≥ {MIN_HOSTS20_RATIO} × faster than idiomatic",
        ),
        ("hosts100_s", True, ""),
        (
            "hosts100_over_20",
            numbers["hosts100_over_20"] <= MAX_HOSTS100_OVER_20,
            f"≤ {MAX_HOSTS100_OVER_20} × 20 hosts",
        ),
        (
            "controller_rss_mb",
            numbers["controller_rss_mb"] <= MAX_CONTROLLER_RSS,
            f"≤ {MAX_CONTROLLER_RSS} MB at 100 hosts",
        ),
        (
            "update_extra_downtime_s",
            numbers["update_extra_downtime_s"] <= MAX_EXTRA_DOWNTIME,
            f"≤ {MAX_EXTRA_DOWNTIME} s more than a bare recreate",
        ),
        (
            "noop_update_ratio",
            numbers["noop_update_ratio"] <= MAX_NOOP_UPDATE_RATIO,
            f"≤ {MAX_NOOP_UPDATE_RATIO} × no-op site",
        ),
    ]


def main():
    """Bring the bench's stack up, measure, take it down; return the exit code."""
    describe.prepare()
    try:
        print("bringing the bench's stack up", flush=True)
        play("homelab.mediastack.site", log="up")
        services = healthy_services()
        seconds = sweep()
        describe.describe()
        seconds.update(measure())
        seconds.update(fleets.measure())
        seconds.update(cold.measure(lambda name: play(name, log="cold")[0]))
    finally:
        describe.remove()
    seconds.update(updates.measure())
    numbers = results(seconds, services)
    (WORK / "results.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    rows = bounds(numbers)
    print()
    for line in page.plain(numbers, rows):
        print(line)
    page.write("bench", numbers, rows)
    print(f"\nwritten: {(WORK / 'results.json').relative_to(ROOT)}, {page.PAGE.relative_to(ROOT)}")
    return 0 if all(kept for _key, kept, _bound in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
