# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No-op runs on 20 and 100 hosts (fleet/rig.py), beside the running stack of the bench."""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fleet"))

# pylint: disable=wrong-import-position
import rig  # noqa: E402

SMALL, LARGE = 20, 100
ROUNDS = 3
SITE, IDIOMATIC = "homelab.mediastack.site", "tests/bench/idiomatic/site.yml"


def measure():
    """Return the seconds of every run, and the controller's memory: `{hosts20, hosts20_idiomatic, hosts100, rss}`."""
    rig.needs_root()
    hosts = rig.Rig(LARGE)
    found = {"hosts20": [], "hosts20_idiomatic": [], "hosts100": [], "controller_rss": []}
    try:
        hosts.inventory(hosts.names[:1])
        with hosts.recording():
            for name in (SITE, IDIOMATIC):
                rig.play(name, log="record").must_be_a_noop(1)
        # In turn, for a machine is not equally fast from one minute to the next.
        for _round in range(ROUNDS):
            hosts.inventory(hosts.names[:SMALL])
            found["hosts20"].append(rig.play(SITE, log="hosts20").must_be_a_noop(SMALL).seconds)
            hosts.inventory(hosts.names)
            done = rig.play(SITE, log="hosts100").must_be_a_noop(LARGE)
            found["hosts100"].append(done.seconds)
            found["controller_rss"].append(done.memory_mb)
        # Once: it takes minutes.
        hosts.inventory(hosts.names[:SMALL])
        found["hosts20_idiomatic"].append(rig.play(IDIOMATIC, log="hosts20_idiomatic").must_be_a_noop(SMALL).seconds)
    finally:
        rig.remove()
    for key, values in found.items():
        print(f"  {key:<18} {', '.join(f'{value:g}' for value in values)}", flush=True)
    return found


def results(seconds):
    """Return what goes into results.json."""
    median = {key: statistics.median(seconds[key]) for key in ("hosts20", "hosts20_idiomatic", "hosts100")}
    return {
        "hosts20_s": median["hosts20"],
        "hosts100_s": median["hosts100"],
        "hosts20_ratio": round(median["hosts20_idiomatic"] / median["hosts20"], 2),
        "hosts100_over_20": round(median["hosts100"] / median["hosts20"], 2),
        "controller_rss_mb": max(seconds["controller_rss"]),
    }
