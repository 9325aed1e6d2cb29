# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From no container to everything healthy: `site` against a bare `docker compose up -d`.

Images, files and the apps' configuration are there; containers and networks are not. Both are over when the same probes
pass (`module_utils/health_sweep.py`).
"""

import json
import pathlib
import statistics
import subprocess
import time

import describe

# describe makes the collection importable.
# pylint: disable=wrong-import-order
from ansible_collections.homelab.mediastack.plugins.module_utils import health_sweep
from ansible_collections.homelab.mediastack.plugins.plugin_utils import bundle as bundles

ROUNDS = 3
LONGEST = 300


def measure(play):
    """Return the seconds of every round: `{cold_bare, cold_site}`.

    `play`: function of a playbook's name that runs it on the bench's host and returns its seconds.
    """
    extra = json.loads(describe.EXTRA.read_text(encoding="utf-8"))
    bundle = describe.bundle(extra)
    project = pathlib.Path(bundle["project"]["path"])
    seconds = {"cold_bare": [], "cold_site": []}
    for _round in range(ROUNDS):
        _down(project)
        began = time.perf_counter()
        subprocess.run(["docker", "compose", "up", "--detach"], cwd=project, check=True, capture_output=True)
        _until_healthy(bundle, project)
        seconds["cold_bare"].append(round(time.perf_counter() - began, 2))
        _down(project)
        seconds["cold_site"].append(round(play("homelab.mediastack.site"), 2))
    for key, values in seconds.items():
        print(f"  {key:<18} {', '.join(f'{taken:.1f}' for taken in values)} s", flush=True)
    return seconds


def _down(project):
    subprocess.run(["docker", "compose", "down", "--volumes"], cwd=project, check=True, capture_output=True)


def _until_healthy(bundle, project):
    services = bundles.health_services(bundle)
    name = bundle["project"]["name"]
    found = health_sweep.result(services, describe.HOST, name, str(project), {}, timeout=30, grace=60, wait=LONGEST)
    if not found["healthy"]:
        unwell = [row["name"] for row in found["services"] if row["status"] != "HEALTHY"]
        raise SystemExit(f"after a bare 'docker compose up' not healthy: {', '.join(unwell)}")


def results(seconds):
    """Return what goes into results.json."""
    bare, site = statistics.median(seconds["cold_bare"]), statistics.median(seconds["cold_site"])
    return {"cold_bare_s": bare, "cold_site_s": site, "cold_ratio": round(site / bare, 2)}
