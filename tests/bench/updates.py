# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an update costs: how much longer its service is away than by a bare `docker compose up -d`, and a no-op update.

On a stack of small apps of its own (tests/faults): the lab's images stand in no registry, and an update asks one.
"""

import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / place) for place in ("tests/faults", "tests/integration", ".ansible/collections")]

# pylint: disable=wrong-import-position
from fault_polls import Polls  # noqa: E402
from fault_stack import STEADY, TARGET, FaultStack  # noqa: E402

ROUNDS = 5
# Seconds between two questions to the service that is away.
PAUSE = 0.01
SERVICES = (TARGET, STEADY, "books", "films", "music", "photos", "series", "words")


def _play(stack, name, *arguments):
    """Run a playbook; return its seconds."""
    began = time.perf_counter()
    stack.play(name, *arguments)
    return time.perf_counter() - began


def _away(stack, work):
    """Return the seconds that the target does not answer while `work()` makes its container anew."""
    before = stack.containers()[TARGET]["Id"]
    with Polls({TARGET: stack.ports[TARGET]}, pause=PAUSE) as polls:
        work()
    if stack.containers()[TARGET]["Id"] == before:
        raise SystemExit("nothing was made anew")
    return polls.gap(TARGET, 3)


def _recreate(stack):
    """Do it the bare way."""
    command = ["docker", "compose", "up", "--detach", "--wait", "--no-deps", "--pull", "never", "--force-recreate"]
    subprocess.run([*command, TARGET], cwd=stack.project_path, check=True, capture_output=True)


def measure():
    """Return the seconds of every round: {bare, update: a service is away; site_8, update_8: plays without work}."""
    seconds = {"bare_recreate_away": [], "update_away": [], "noop_site_small": [], "noop_update": []}
    stack = FaultStack(services=SERVICES)
    try:
        _play(stack, "site")
        # With a lock: from here on nothing of it changes.
        stack.publish(TARGET, schema=1)
        _play(stack, "update")
        for _round in range(ROUNDS):
            seconds["noop_site_small"].append(round(_play(stack, "site"), 3))
            seconds["noop_update"].append(round(_play(stack, "update"), 3))
        for _round in range(ROUNDS):
            seconds["bare_recreate_away"].append(_away(stack, lambda: _recreate(stack)))
        _play(stack, "site")
        for _round in range(ROUNDS):
            # The same version of the database: what an app takes to migrate is not the update's.
            stack.publish(TARGET, schema=1)
            seconds["update_away"].append(_away(stack, lambda: _play(stack, "update")))
    finally:
        stack.close()
    for key, values in seconds.items():
        print(f"  {key:<18} {', '.join(f'{taken:.2f}' for taken in values)} s", flush=True)
    return seconds


def results(seconds):
    """Return what goes into results.json."""
    median = {key: statistics.median(values) for key, values in seconds.items()}
    return {
        "update_extra_downtime_s": round(median["update_away"] - median["bare_recreate_away"], 2),
        "noop_update_ratio": round(median["noop_update"] / median["noop_site_small"], 2),
    }
