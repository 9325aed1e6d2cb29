# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module does after its run, in the same call: ask every service how it is, look whether the disk of the
configuration has room, and compare the forwarded port.
"""

from __future__ import annotations


def look(result, error, check, bundle, health, forwarding, progress):
    """Add to `result` what was asked for.

    `error`: text of the run's failure, or None; `health`: arguments of `health_sweep.result`, or None; `forwarding`:
    services of it that a forwarded port is about.
    """
    if not health or error or result["engine_missing"] or result["render_also"]:
        return
    # What is held is not what this run was to bring about; `status` tells of it.
    health = dict(health, services=[one for one in health["services"] if one["name"] not in result["left"]])
    if health["services"] and not check:
        from ansible_collections.homelab.mediastack.plugins.module_utils import disk_health, health_model, health_sweep

        progress.later("asking every service how it is")
        found = health_sweep.result(say=progress.say, **health)
        found["services"] += disk_health.full(found["disks"], health["host"])
        result["health"] = dict(found, healthy=health_model.is_healthy(found["services"]))
    if forwarding:
        progress.later("comparing the forwarded port")
        _forward(result, forwarding, bundle, health, check)


def _forward(result, services, bundle, health, check):
    """Bring a torrent client in line with the forwarded port; what is recreated first cannot be asked in check mode."""
    if check and result["actions"]:
        return
    from ansible_collections.homelab.mediastack.plugins.module_utils import forwarded_port_set

    outcome = forwarded_port_set.bring_in_line(
        services, bundle["secrets"], health["project_name"], health["project_path"], health["timeout"], check
    )
    result["actions"] = result["actions"] + list(outcome.actions)
    result["messages"] = result["messages"] + list(outcome.messages)
    result["changed"] = result["changed"] or bool(outcome.actions)
    result["diff"] = result["diff"] + list(outcome.diff)
