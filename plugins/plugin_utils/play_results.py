# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task of every host of the play has registered, for the one task that prints it all."""

from __future__ import annotations


def registered(variable, task_vars):
    """`{host: what its task registered as *variable*, or None}` for every host of the play, failed ones included."""
    hostvars = task_vars["hostvars"]
    results = {}
    for host in task_vars["ansible_play_hosts_all"]:
        known = hostvars.raw_get(host)
        results[host] = known.get(variable) if hasattr(known, "get") else None
    return results


def reason(result):
    """Why a host has no result: the first line of its message, or that it never came so far."""
    if not isinstance(result, dict):
        return "not looked at: the run failed for this host earlier"
    lines = str(result.get("msg") or "").strip().splitlines()
    return lines[0] if lines else "no message"
