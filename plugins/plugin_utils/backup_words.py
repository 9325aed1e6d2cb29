# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup or a drill did, for people."""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.progress import size


def backed_up(result):
    """One line on a backup that is there; *result*: of the module stack_backup."""
    count = len(result["services"])
    what = "1 service" if count == 1 else f"{count} services"
    words = f"backed up {what}, {size(result['bytes'])} in {result['seconds']:g} s: {result['path']}"
    target = result.get("target")
    return words + ("; copied" if target and target.get("ok") else "")


def drilled(result):
    """One line on a drill; *result*: of the module stack_drill."""
    of = {}
    for name, one in sorted(result["services"].items()):
        of.setdefault(one["state"], []).append((name, one["why"]))
    parts = [f"{', '.join(name for name, _why in of['passed'])} passed"] if "passed" in of else []
    if "skipped" in of:
        parts.append("not drilled: " + "; ".join(f"{name} ({why})" for name, why in of["skipped"]))
    words = "passed" if result["passed"] else "did not pass"
    return f"the drill of {result['id']} {words} in {result['seconds']:g} s: {'; '.join(parts) or 'no app came up'}"
