# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module does after its run, in the same call: ask every service how it is, and look whether the disk of the
configuration has room.
"""

from __future__ import annotations


def due(result, error, health):
    """Whether there is anything to ask; arguments as of `look`."""
    untouched = result["engine_missing"] or result["render_also"] or result.get("issue")
    return bool(health) and not (error or untouched)


def look(result, error, check, health, progress, project=None):
    """Add to `result` what was asked for.

    `error`: text of the run's failure, or None; `health`: arguments of `health_sweep.result`, or None; `project`: the
    Project as a run has just read it that did nothing.
    """
    if not due(result, error, health) or check:
        return
    # What is held is not what this run was to bring about; `status` tells of it.
    health = dict(health, services=[one for one in health["services"] if one["name"] not in result["left"]])
    if health["services"]:
        from ansible_collections.homelab.mediastack.plugins.module_utils import disk_health, health_model, health_sweep

        progress.later("asking every service how it is")
        found = health_sweep.result(say=progress.say, project=project, **health)
        found["services"] += disk_health.full(found["disks"], health["host"])
        result["health"] = dict(found, healthy=health_model.is_healthy(found["services"]))
