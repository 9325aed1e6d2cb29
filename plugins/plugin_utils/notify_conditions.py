# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a run saw to what is wrong with the host: the findings that `notify_state.compare` takes (pure).

A condition has a `mark`: as long as that is the same it is the same trouble, however its words change. So numbers that
are others at every look (free bytes, stalled torrents) stand in the words only.
"""

from __future__ import annotations

import hashlib
import json
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import holds

from . import notify_drift

FAILURE, WARNING, INFO, SUCCESS = "failure", "warning", "info", "success"
#: Keys that no look at the services clears.
UNREACHABLE, ENGINE, DRIFT_UNKNOWN = "host/unreachable", "host/engine", "drift/unknown"
_DISK = re.compile(r"\(disk (.+)\)")
_DOWN = ("STOPPED", "MISSING")
_LEAK = "leak/test"


def condition(event, severity, title, words="", mark=None):
    """One trouble. `mark`: what makes it another one; by default how bad it is."""
    return {"event": event, "severity": severity, "mark": mark or severity, "title": title, "words": words}


def findings():
    """Findings that say nothing yet."""
    return {"bad": {}, "good": {}, "quiet": [], "gone": [], "keep": [], "events": []}


def of_status(result):
    """Of a whole look at a host: what `stack_health` returns for the playbook `status`."""
    found = findings()
    rows = result.get("services") or []
    if not rows or result.get("failed"):
        return found
    if all(row["status"] == "UNKNOWN" for row in rows):
        found["bad"][ENGINE] = condition("unhealthy", FAILURE, "the services", rows[0]["message"] or "nothing is known")
        return found
    found["good"][ENGINE] = []
    found["gone"] = ["unhealthy/"]
    _rows(found, rows, result, whole=True)
    for name, disk in (result.get("disks") or {}).items():
        key = f"disk/{name}"
        if key not in found["bad"] and "error" not in disk:
            found["good"][key] = []
    _vpn(found, result.get("vpn") or {}, rows, result.get("holds") or {})
    _backup(found, result.get("backup") or {})
    return found


def of_converge(result, verb, services=()):
    """Of a run of `site` or `start`: whether it came to its end, and what it saw of the services at last.

    Its look is a shorter one than that of `status`: the apps themselves are not asked. So it clears no warning, and
    nothing that an app said. `services`: those that it was about; empty: all.
    """
    found = findings()
    key = f"{verb}/{'+'.join(services) or 'failed'}"
    if result.get("failed"):
        words = _failure(result)
        found["bad"][key] = condition("unhealthy", FAILURE, verb, f"failed: {words}", _mark(words))
        return found
    found["good"][key] = []
    if not services:
        # It was about what the others were about, too.
        found["good"].update(dict.fromkeys(["start/failed", *(["site/failed"] if verb == "site" else [])], []))
        found["gone"] = ["start/"]
    health = result.get("health") or {}
    _rows(found, health.get("services") or [], health, whole=False)
    return found


def of_change(result, verb):
    """Of `update`, `rollback` or `restore`."""
    found = findings()
    done = result.get("transaction") or {}
    if result.get("failed"):
        words = _failure(result)
        mark = f"{done.get('txn')}" if done else _mark(words)
        if done.get("result") == "rolled_back":
            found["bad"]["update/rolled-back"] = condition("update", FAILURE, verb, f"was rolled back: {words}", mark)
        else:
            found["bad"][f"update/{verb}"] = condition("update", FAILURE, verb, f"failed: {words}", mark)
        return found
    for key in (f"update/{verb}", *(["update/rolled-back"] if done.get("result") == "committed" else [])):
        found["quiet"].append(key)
    if done.get("result") == "committed":
        moved = done.get("services") or {}
        words = ", ".join(f"{name} {_version(one)}" for name, one in sorted(moved.items()))
        found["events"].append(
            _event(f"update/{done['txn']}", "update", f"{verb} done", words or "the data was put back")
        )
    _rows(found, (result.get("health") or {}).get("services") or [], result.get("health") or {}, whole=False)
    return found


def of_backup(result, partial=False):
    """Of the playbook `backup`."""
    found = findings()
    if result.get("failed"):
        words = str(result.get("msg") or "no reason given")
        # What a host remembers of its backups, and `status` reads, are those of everything.
        key = "backup/partial" if partial else "backup/failed"
        found["bad"][key] = condition("backup", FAILURE, "the backup", f"failed: {words}", "failed")
    else:
        found["good"] = {"backup/partial": [], **({} if partial else {"backup/failed": [], "backup/old": []})}
    return found


def of_drill(result, partial=False):
    """Of a restore drill; one of some services proves nothing of the others."""
    found = findings()
    if result.get("failed"):
        words = str(result.get("msg") or "no reason given")
        found["bad"]["backup/drill"] = condition("backup", FAILURE, "the restore drill", f"failed: {words}", "failed")
    elif not partial:
        found["good"]["backup/drill"] = []
    return found


def of_leak_test(result):
    """Of a leak test."""
    found = findings()
    trouble = result.get("trouble") or {}
    wrong = [row for row in result.get("checks") or [] if row["state"] != "passed"]
    leaks = [row for row in wrong if row.get("leak")]
    if result.get("passed") and not trouble:
        found["good"][_LEAK] = []
    elif leaks or trouble.get("state") == "failed":
        names = sorted({row["app"] for row in leaks})
        words = f"traffic gets past the VPN: {', '.join(names)}" if names else str(trouble.get("evidence"))
        mark = "leak:" + ",".join(names)
        found["bad"][_LEAK] = condition("leak", FAILURE, "the leak test", words, mark)
    else:
        # Inconclusive is not a pass, and not a leak either.
        failed = any(row["state"] == "failed" for row in wrong)
        names = sorted({f"{row['app']} {row['check']}" for row in wrong})
        words = ("failed: " if failed else "proved nothing: ") + (", ".join(names) or str(trouble.get("evidence")))
        mark = "failed" if failed else "inconclusive"
        found["bad"][_LEAK] = condition("leak", FAILURE if failed else WARNING, "the leak test", words, mark)
    return found


def of_plan(plan):
    """Of a plan of one host, as `plan_model.host` or `trouble` gives it."""
    found = findings()
    if plan["result"] == "error":
        words = "\n".join(plan["messages"])
        found["bad"][DRIFT_UNKNOWN] = condition("drift", WARNING, "the plan", f"is not known: {words}", _mark(words))
        return found
    found["good"][DRIFT_UNKNOWN] = []
    for key, title, words, mark in notify_drift.groups(plan):
        if words:
            found["bad"][key] = condition("drift", WARNING, title, words, mark)
        else:
            found["good"][key] = []
    return found


def of_unreachable(reason):
    """Of a host that this controller cannot ask anything."""
    found = findings()
    found["bad"][UNREACHABLE] = condition("unhealthy", FAILURE, "the host", f"cannot be asked: {reason}", "unreachable")
    return found


def of_reached():
    """Of a host that answers."""
    return {**findings(), "good": {UNREACHABLE: []}}


def from_outside(name, bad, message):
    """A condition that somebody else tells: pull mode, a script of the user's. `name` begins with a kind of event."""
    found = findings()
    key = f"reported/{name}"
    if bad:
        event = name.partition("/")[0]
        found["bad"][key] = condition(event, FAILURE, name, message or "is not well", _mark(message))
    else:
        found["good"][key] = []
    return found


def _rows(found, rows, result, whole):
    """Entries of the result model; *whole*: the apps were asked themselves."""
    held = [holds.since(entry) for entry in (result.get("holds") or {}).values()]
    for row in rows:
        disk = _DISK.fullmatch(row["name"])
        key = f"disk/{disk[1]}" if disk else f"unhealthy/{row['name']}"
        status, message = row["status"], row.get("message") or ""
        if status == "HEALTHY":
            found["good"][key] = [] if whole else [FAILURE]
        elif status == "STARTING":
            found["keep"].append(key)
        elif any(words in message for words in held) and (status in _DOWN or holds.VPN in (result.get("holds") or {})):
            # Somebody did this on purpose. gluetun keeps the last result of its health check, whatever that was.
            found["quiet"].append(key)
        elif not whole and status == "DEGRADED":
            # What `status` says of it counts.
            found["keep"].append(key)
        else:
            severity = WARNING if status == "DEGRADED" else FAILURE
            title = row.get("title") or row["name"]
            event = "disk" if disk else "unhealthy"
            found["bad"][key] = condition(event, severity, title, f"{status}: {message}" if message else status)
            # What the app itself said; a look that does not ask it cannot know that it is over.
            found["bad"][key]["deep"] = bool(row.get("asked"))


def _vpn(found, known, rows, held):
    key = "vpn/down"
    starting = any(row["name"] == "gluetun" and row["status"] == "STARTING" for row in rows)
    if known.get("enabled") is False or holds.VPN in held:
        found["quiet"].append(key)
    elif known.get("connected") is True:
        found["good"][key] = []
    elif known.get("connected") is False and not starting:
        found["bad"][key] = condition("vpn", FAILURE, "the VPN", known.get("message") or "is not connected")


def _backup(found, known):
    """What `backup_facts.read` knows. Where nothing is known nothing is said."""
    if "path" not in known:
        return
    if known.get("error"):
        words = f"cannot be looked at: {known['error']}"
        found["bad"]["backup/unreadable"] = condition("backup", FAILURE, "the backups", words)
        return
    found["good"]["backup/unreadable"] = []
    age, most = known.get("age_hours", 0), known.get("max_age_hours", float("inf"))
    if not known.get("count"):
        found["bad"]["backup/old"] = condition("backup", WARNING, "the backup", "there is none yet", "none")
    elif age > most:
        words = f"is {round(age)} hours old, more than {most}"
        found["bad"]["backup/old"] = condition("backup", FAILURE, "the backup", words)
    else:
        found["good"]["backup/old"] = []
    for key, title, fact in (
        ("failed", "the backup", "ok"),
        ("copy", "the copy of the backup", "copied"),
        ("drill", "the restore drill", "drill_ok"),
    ):
        if known.get(fact) is False and not (key == "copy" and known.get("ok") is False):
            why = {"failed": "why", "drill": "drill_why"}.get(key)
            reason = known.get(why) or "no reason given" if why else "is not at mediastack_backup_target"
            words = f"failed: {reason}" if why else reason
            found["bad"][f"backup/{key}"] = condition("backup", FAILURE, title, words, "failed")
        elif known.get(fact) is True:
            found["good"][f"backup/{key}"] = []


def _version(one):
    """`4.0.18 → 4.0.19`; where the tag is the same, the digests' beginnings."""
    before, after = (one.get(name) or {} for name in ("from", "to"))
    tags = [str(each.get("image") or "").rpartition(":")[2].partition("@")[0] for each in (before, after)]
    if tags[0] == tags[1]:
        digests = [str(each.get("digest") or each.get("image_id") or "")[:19] for each in (before, after)]
        return f"{tags[0]} ({digests[0]} → {digests[1]})"
    return f"{tags[0]} → {tags[1]}"


def _event(name, event, title, words):
    return {"id": name, "event": event, "severity": SUCCESS, "title": title, "words": words}


def _failure(result):
    """Why a run failed, without the lines of logs that its message has: those name downloads."""
    failures = result.get("failures") or []
    if not failures:
        return str(result.get("msg") or "").strip()
    return "; ".join(f"{one['service']} {one['what']}" for one in failures)


def _mark(words):
    """What stays the same of a message when only its numbers change."""
    first = str(words or "").strip().split("\n")[:3]
    return hashlib.sha256(json.dumps([re.sub(r"\d+", "#", line) for line in first]).encode()).hexdigest()[:16]
