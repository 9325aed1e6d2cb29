#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure a no-op site against a ping play and against the same job written the usual way, and a look at its health.

The stack is the demo's, on a project, ports, names and directories of its own, so that a demo beside it stays as it is.
All three plays run in turn, five times each, in one go; so does the module `stack_health` with everything that `status`
asks, once with all well and once with an app that hangs. Updates are measured on a small stack with a registry
(updates.py). Medians count. Results: build/bench/results.json and a table.
Ends with 1 when a run was not a no-op, when a service was not healthy, or when a bound is missed.
"""

import datetime
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
import describe  # noqa: E402
import updates  # noqa: E402
from describe import EXTRA, INVENTORY, ROOT, WORK  # noqa: E402

ROUNDS = 5
MAX_NOOP_RATIO = 2.5
MIN_IDIOMATIC_RATIO = 8.0
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
            taken, output = play(name, log=key)
            changed = re.findall(r"\bchanged=(\d+)", output)
            if not changed or any(count != "0" for count in changed):
                raise SystemExit(f"{name} was no no-op (changed={changed}):\n{output[-3000:]}")
            seconds[key].append(round(taken, 3))
            print(f"  round {number}: {key:<10} {taken:6.2f} s", flush=True)
    return seconds


def versions():
    """Return what the numbers depend on."""

    def first_line(*command):
        return (
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            .stdout.splitlines()[0]
            .strip()
        )

    return {
        "ansible_core": first_line(".venv/bin/python", "-c", "import ansible.release as r; print(r.__version__)"),
        "engine": first_line("docker", "version", "--format", "{{.Server.Version}}"),
        "compose": first_line("docker", "compose", "version", "--short"),
        "python": first_line(".venv/bin/python", "-c", "import platform; print(platform.python_version())"),
        "commit": first_line("git", "rev-parse", "--short", "HEAD"),
    }


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
        **updates.results(seconds),
        "rounds": seconds,
        "cpus": len(os.sched_getaffinity(0)),
        "load_1m": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
    }


def verdict(numbers):
    """Print the table; return whether every bound is kept."""
    bounds = [
        ("services", numbers["services"] >= MIN_SERVICES, f"≥ {MIN_SERVICES}"),
        ("sweep_s", numbers["sweep_s"] <= MAX_SWEEP, f"≤ {MAX_SWEEP} s"),
        (
            "sweep_hang_s",
            numbers["sweep_hang_s"] <= HANG_TIMEOUT + MAX_OVER_TIMEOUT,
            f"≤ its timeout of {HANG_TIMEOUT} s + {MAX_OVER_TIMEOUT} s",
        ),
        ("ping_s", True, ""),
        ("noop_site_s", True, ""),
        ("noop_ratio", numbers["noop_ratio"] <= MAX_NOOP_RATIO, f"≤ {MAX_NOOP_RATIO} × ping"),
        ("idiomatic_s", True, ""),
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
        ("idiomatic_ratio", numbers["idiomatic_ratio"] >= MIN_IDIOMATIC_RATIO, f"≥ {MIN_IDIOMATIC_RATIO} × no-op site"),
    ]
    print()
    for key, kept, bound in bounds:
        print(f"  {key:<23} {numbers[key]:>8}   {bound} {'' if not bound else 'kept' if kept else 'MISSED'}".rstrip())
    return all(kept for _key, kept, _bound in bounds)


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
    finally:
        describe.remove()
    seconds.update(updates.measure())
    numbers = results(seconds, services)
    (WORK / "results.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    kept = verdict(numbers)
    print(f"\nwritten: {(WORK / 'results.json').relative_to(ROOT)}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
