#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A thousand hosts: a no-op run, and rollouts that must stop.

1. No-op `site` on 100 and on 1,000 hosts: seconds, and the controller's memory. Growth must not be faster than linear.
2. The canary fails: how many hosts a run touched, and how long until it stopped.
3. The canary cannot be reached; a host of the second batch cannot be reached.
4. Of 200, one in twenty cannot be reached and one in fifty fails, with a budget of 10 percent: all others are done.

What fails has a `docker` that answers nothing; what cannot be reached is behind a port where nobody listens. Results:
build/bench/fleet.json, and a table in docs/performance.md. Ends with 1 when a bound is missed.
"""

import json
import pathlib
import statistics
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent / "fleet")]

# pylint: disable=wrong-import-position
import bench  # noqa: E402
import describe  # noqa: E402
import page  # noqa: E402
import rig  # noqa: E402
from surroundings import surroundings  # noqa: E402

HOSTS, PART, WITH_BUDGET = 1000, 100, 200
MAX_GROWTH = 11.0
BATCHES = json.dumps({"mediastack_site_serial": ["1", "10%", "100%"]})
BUDGET = json.dumps({"mediastack_site_serial": ["50%"], "mediastack_max_fail_percentage": 10})
SITE = "homelab.mediastack.site"
GONE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}


def noops(hosts):
    """Return the figures of no-op runs: the part before and after the whole, for a machine's speed drifts meanwhile."""
    seconds, memory = {PART: [], HOSTS: []}, {PART: [], HOSTS: []}
    for count in (PART, HOSTS, PART):
        hosts.inventory(hosts.names[:count])
        done = rig.play(SITE, "-e", BATCHES, log=f"hosts{count}").must_be_a_noop(count)
        seconds[count].append(done.seconds)
        memory[count].append(done.memory_mb)
        print(f"  {count} hosts: {done.seconds} s, {done.memory_mb} MB", flush=True)
    whole, part = (round(statistics.mean(seconds[count]), 2) for count in (HOSTS, PART))
    return {
        f"hosts{PART}_s": part,
        f"hosts{HOSTS}_s": whole,
        f"hosts{PART}_rss_mb": max(memory[PART]),
        f"hosts{HOSTS}_rss_mb": max(memory[HOSTS]),
        "growth": round(whole / part, 2),
        "hosts_a_minute": round(60 * HOSTS / whole),
    }


def rollout(hosts, words, *arguments, count=HOSTS, **variables):
    """Run `site` on the first *count* hosts; return `(hosts touched, the run)`."""
    hosts.inventory(hosts.names[:count], **variables)
    began = time.time()
    done = rig.play(SITE, *arguments, log=words)
    touched = hosts.touched(began)
    print(f"  {words}: {len(touched)} hosts touched, rc {done.rc}, {done.seconds} s", flush=True)
    return touched, done


def stops(hosts):
    """Return how many hosts were touched by rollouts that must stop, by what stopped them."""
    names, found = hosts.names, {}
    fails = {"ansible_python_interpreter": str(hosts.without_answers())}
    touched, done = rollout(hosts, "canary_fails", "-e", BATCHES, **{names[0]: fails})
    found["canary_fails_touched"] = len([name for name in touched if name != names[0]])
    found["canary_fails_s"] = done.seconds
    touched, done = rollout(hosts, "canary_gone", "-e", BATCHES, **{names[0]: GONE})
    found["canary_gone_touched"] = len(touched)
    # The canary and its batch, and nothing of the third.
    touched, done = rollout(hosts, "second_batch_gone", "-e", BATCHES, **{names[5]: GONE})
    batch = 1 + HOSTS // 10
    found["second_batch_gone_touched_later"] = len([name for name in touched if name not in names[:batch]])
    return found


def goes_on(hosts):
    """Return how many hosts are done although some fail, within the budget."""
    names = hosts.names[:WITH_BUDGET]
    gone, failing = names[::20], names[7::50]
    fails = {"ansible_python_interpreter": str(hosts.without_answers())}
    variables = {**dict.fromkeys(failing, fails), **dict.fromkeys(gone, GONE)}
    touched, done = rollout(hosts, "budget", "-e", BUDGET, count=WITH_BUDGET, **variables)
    return {"budget_done": len(touched), "budget_wanted": WITH_BUDGET - len(variables), "budget_s": done.seconds}


def main():
    """Bring the stack up, make the hosts, measure; return the exit code."""
    rig.needs_root()
    describe.prepare()
    try:
        bench.play(SITE, log="up")
        bench.healthy_services()
        describe.describe()
        print(f"making {HOSTS} hosts", flush=True)
        hosts = rig.Rig(HOSTS)
        hosts.inventory(hosts.names[:1])
        with hosts.recording():
            rig.play(SITE, log="record").must_be_a_noop(1)
        numbers = {"hosts": HOSTS, **noops(hosts), **stops(hosts), **goes_on(hosts), **surroundings()}
    finally:
        rig.remove()
        describe.remove()
    (bench.WORK / "fleet.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    rows = bounds(numbers)
    print()
    for line in page.plain(numbers, rows):
        print(line)
    page.write("fleet", numbers, rows)
    return 0 if all(kept for _key, kept, _bound in rows) else 1


def bounds(numbers):
    """Return the rows of the table, as of `bench.bounds`."""
    return [
        ("hosts", True, ""),
        (f"hosts{PART}_s", True, ""),
        (f"hosts{HOSTS}_s", True, ""),
        ("growth", numbers["growth"] <= MAX_GROWTH, f"≤ {MAX_GROWTH} × {PART} hosts"),
        ("hosts_a_minute", True, ""),
        (f"hosts{PART}_rss_mb", True, ""),
        (f"hosts{HOSTS}_rss_mb", True, ""),
        ("canary_fails_s", True, ""),
        ("canary_fails_touched", numbers["canary_fails_touched"] == 0, "0 other hosts"),
        ("canary_gone_touched", numbers["canary_gone_touched"] == 0, "0 hosts"),
        (
            "second_batch_gone_touched_later",
            numbers["second_batch_gone_touched_later"] == 0,
            "0 hosts of the third batch",
        ),
        ("budget_s", True, ""),
        ("budget_done", numbers["budget_done"] == numbers["budget_wanted"], "all that can be"),
    ]


if __name__ == "__main__":
    sys.exit(main())
