# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a run, in the same call: bring the torrent client in line with the port that the VPN forwards."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils import after_run, forwarded_port_set


def bring_in_line(result, error, check, bundle, health, forwarding, progress):
    """Add to `result` what was done.

    `forwarding`: services of `bundle` that a forwarded port is about; the others as of `after_run.look`. What is
    recreated first cannot be asked in check mode.
    """
    if not (forwarding and after_run.due(result, error, health)):
        return
    progress.later("comparing the forwarded port")
    if check and result["actions"]:
        return
    outcome = forwarded_port_set.bring_in_line(
        forwarding, bundle["secrets"], health["project_name"], health["project_path"], health["timeout"], check
    )
    result["actions"] = result["actions"] + list(outcome.actions)
    result["messages"] = result["messages"] + list(outcome.messages)
    result["changed"] = result["changed"] or bool(outcome.actions)
    result["diff"] = result["diff"] + list(outcome.diff)
