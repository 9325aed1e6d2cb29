# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `status` says of a host's backups. A warning never makes a host unhealthy: a new stack has no backup yet."""

from __future__ import annotations

ABOUT = "backup"
# A drill that is older proves little about the backups of today.
DRILL_DAYS = 90


def warnings(known):
    """Sentences on what is wrong with the backups of a host; none where nothing is known of them.

    Args:
        known: `backup` of the host in the report, as `backup_facts.read` gives it.
    """
    if "path" not in known:
        return []
    found = []
    if known.get("error"):
        found.append(f"the backups cannot be looked at: {known['error']}")
    elif not known.get("count"):
        found.append("there is no backup yet: the playbook backup makes one")
    elif known.get("age_hours", 0) > known.get("max_age_hours", float("inf")):
        found.append(
            f"the last backup is {_hours(known['age_hours'])} old, more than {known['max_age_hours']} hours "
            "(mediastack_backup_max_age)"
        )
    if known.get("ok") is False:
        found.append(f"the last backup failed: {known.get('why') or 'no reason given'}")
    if known.get("same_disk") and not known.get("copied"):
        found.append(
            "backups lie on the same disk as the configuration, and nowhere else: set mediastack_backup_target, or "
            "mediastack_backup_path to another disk"
        )
    return found + _drill(known)


def _drill(known):
    if known.get("drill_ok") is False:
        return [f"the last restore drill failed: {known.get('drill_why') or 'no reason given'}"]
    if known.get("count") and "drill_ok" not in known:
        return ["no backup was ever restored in a drill: restore -e drill=true tries one"]
    if known.get("drill_age_days", 0) > DRILL_DAYS:
        return [f"the last restore drill was {known['drill_age_days']} days ago: restore -e drill=true tries one"]
    return []


def words(known, size):
    """One line: `2 h ago, 34 MB, 7 kept · copied · drill 3 days ago`; None when nothing is known.

    Args:
        known: as for `warnings`.
        size: function of bytes that gives words.
    """
    if "path" not in known:
        return None
    if known.get("error"):
        return f"unknown ({known['error']})"
    if not known.get("count"):
        parts = ["none yet"]
    else:
        first = [f"{_hours(known['age_hours'])} ago"] if "age_hours" in known else []
        first += [size(known["bytes"])] if "bytes" in known else []
        parts = [", ".join([*first, f"{known['count']} kept"])]
        if known.get("age_hours", 0) > known.get("max_age_hours", float("inf")):
            parts[0] += ", TOO OLD"
    if known.get("ok") is False:
        parts.append(f"last one FAILED: {known.get('why') or 'no reason given'}")
    if known.get("target"):
        parts.append({True: "copied", False: "NOT copied"}.get(known.get("copied"), "not copied yet"))
    else:
        parts.append("on the same disk as the configuration" if known.get("same_disk") else "no copy elsewhere")
    if known.get("count") or "drill_ok" in known:
        parts.append(_drill_words(known))
    return " · ".join(parts)


def _drill_words(known):
    if "drill_ok" not in known:
        return "never drilled"
    age = known.get("drill_age_days")
    when = "" if age is None else " today" if age == 0 else " 1 day ago" if age == 1 else f" {age} days ago"
    return f"drill{when}" if known["drill_ok"] else f"drill{when} FAILED"


def _hours(hours):
    if hours < 1:
        return f"{max(0, round(hours * 60))} min"
    return f"{round(hours)} h" if hours < 72 else f"{round(hours / 24)} days"
