# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `plan`: from what compose_stack predicts of each host to one model (pure).

docs/plan.md explains its words.
"""

from __future__ import annotations

import datetime
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import holds, made_record

from . import plan_settings, play_results

SCHEMA = 1
IN_SYNC, DRIFT, ERROR = "in_sync", "drift", "error"
# In the order in which people read them.
KINDS = (
    "engine",
    "changed by hand",
    "dead namespace",
    "orphan",
    "container",
    "image",
    "network",
    "file",
    "directory",
    "unit",
    "app setting",
    "hold",
    "other",
)
FORMATS = (".json",)
UNFINISHED = "the run has not come to its end"
UNLOCKED = "no lock: %s, so nothing says which digests of these tags belong here; update writes one"
_DEAD = re.compile(r"dead network|its network parent|does not run in the network of")
_ACTIONS = (
    (re.compile(r"pull (?P<what>\S+) for (?P<names>.+)"), "image", "pull {what}", "for {names}"),
    (re.compile(r"remove (?P<name>\S+): (?P<why>.+ is no longer wanted)"), "orphan", "remove {name}", "{why}"),
    (re.compile(r"remove (?P<name>\S+), (?P<why>left behind .+)"), "orphan", "remove {name}", "{why}"),
    (re.compile(r"rename (?P<name>\S+) to (?P<to>\S+)"), "container", "rename {name} to {to}", "an interrupted run"),
    (re.compile(r"remove a duplicate of the network (?P<name>\S+)"), "network", "remove a duplicate of {name}", ""),
    (re.compile(r"set the first login of (?P<name>\S+)"), "app setting", "set the first login of {name}", ""),
    (re.compile(r"let go of (?P<name>[^\s,]+), (?P<why>.+)"), "hold", "let go of {name}", "{why}"),
    (re.compile(r"hold (?P<name>\S+) (?P<why>.+)"), "hold", "hold {name}", "{why}"),
    (re.compile(r"set (?P<what>.+)"), "app setting", "set {what}", ""),
)
_OF_A_SERVICE = re.compile(r"(start|restart|create|recreate|stop|remove) (\S+): ")


def change(kind, what, why="", before=None, after=None, **place):
    """One change. `place`: `service` or `path` that it is about; both may be absent.

    `before` and `after` are texts, None where the diff shows it or there is nothing to show.
    """
    where = {"service": place.get("service"), "path": place.get("path")}
    return {"kind": kind, **where, "what": what, "why": why, "before": before, "after": after}


def host(result, bundle, messages=(), now=None):
    """What is to be said of one host: `{result, changes, images, holds, messages, diff}`.

    Parameters:
        result: of compose_stack in check mode.
        bundle: what it predicted with.
        messages: sentences that the controller has.
        now: a datetime, None: now.
    """
    settings = plan_settings.Settings(result.get("diff") or [])
    images = _images(result, bundle, now or datetime.datetime.now(datetime.UTC))
    changes = [
        *_engine(result),
        *_services(result, bundle, settings),
        *_by_hand(result),
        *_image_changes(result, images),
        *_other_actions(result),
        *_files(result, bundle, settings),
    ]
    changes.sort(key=lambda one: (KINDS.index(one["kind"]), one["service"] or "", one["path"] or ""))
    return {
        "result": DRIFT if changes else IN_SYNC,
        "changes": changes,
        "images": images,
        "holds": _holds(result),
        "messages": _messages(result, bundle, images, messages),
        "diff": settings.text,
    }


def trouble(message, unreachable=False):
    """What is to be said of a host about which nothing is known."""
    text = str(message or "").strip() or "no message"
    found = {"result": ERROR, "changes": [], "images": [], "holds": [], "messages": [text], "diff": ""}
    return {**found, "unreachable": True} if unreachable else found


def report(results):
    """All hosts: `{schema, result, generated, message, hosts}`.

    `results`: host → what its task registered, whose `plan` is of `host` or `trouble`; or something else for a host
    that never came so far.
    """
    hosts = {}
    for name, result in results.items():
        known = result.get("plan") if isinstance(result, dict) else None
        hosts[name] = dict(known) if isinstance(known, dict) else trouble(play_results.reason(result))
    states = [one["result"] for one in hosts.values()]
    whole = ERROR if ERROR in states or not hosts else DRIFT if DRIFT in states else IN_SYNC
    return _whole(whole, summary(hosts), hosts)


def unfinished():
    """The report of a run that is not over: what stays when it is never over."""
    return _whole(ERROR, UNFINISHED, {})


def summary(hosts):
    """`2 of 3 hosts in sync`, and who is not."""
    good = sum(one["result"] == IN_SYNC for one in hosts.values())
    bad = [f"{name} ({words(one)})" for name, one in hosts.items() if one["result"] != IN_SYNC]
    listed = ", ".join(bad[:8]) + (f" and {len(bad) - 8} more" if len(bad) > 8 else "")
    return f"{good} of {len(hosts)} hosts in sync" + (f"; not in sync: {listed}" if bad else "")


def words(one):
    """The state of a host in two words: `in sync`, `3 changes`, `error`, `unreachable`."""
    if one["result"] == ERROR:
        return "unreachable" if one.get("unreachable") else "error"
    count = len(one["changes"])
    return "in sync" if not count else "1 change" if count == 1 else f"{count} changes"


def _whole(result, message, hosts):
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"schema": SCHEMA, "result": result, "generated": now, "message": message, "hosts": hosts}


def _engine(result):
    if not result.get("engine_missing"):
        return []
    what = "Docker Compose" if result.get("engine_missing_reason") == "compose" else "Docker Engine and Compose"
    return [change("engine", f"install {what}", "the host has none that can be used")]


def _services(result, bundle, settings):
    found = []
    for name, service in (result.get("services") or {}).items():
        if service.get("action", "none") == "none":
            continue
        reasons = [_told(reason, name, settings) for reason in service.get("reasons") or []]
        kind = "container"
        if any(reason.startswith(made_record.BY_HAND) for reason in reasons):
            kind = "changed by hand"
        elif any(_DEAD.search(reason) for reason in reasons):
            kind = "dead namespace"
        if service["state"] == "absent" and service["action"] == "remove":
            kind = "orphan"
        there = service.get("state") not in (None, "absent")
        image = (bundle["services"].get(name) or {}).get("image")
        after = service.get("image") if service["action"] in ("start", "restart") else image
        found.append(
            change(
                kind,
                service["action"],
                "; ".join(reason.removeprefix(made_record.BY_HAND) for reason in reasons),
                f"{service['state']} {service.get('image') or ''}".strip() if there else "absent",
                "absent" if service["action"] == "remove" else f"running {after or ''}".strip(),
                service=name,
            )
        )
    return found


def _told(reason, name, settings):
    """A reason, with what changed in the definition where the diff shows that."""
    # A variable that it uses stands in another file.
    differences = settings.of(name) or settings.variables()
    if differences and reason.startswith("its definition"):
        return f"{reason} ({'; '.join(differences)})"
    return reason


def _by_hand(result):
    """Images that somebody changed: nothing is done about these, so no decision names them."""
    found = []
    for name, sentences in (result.get("by_hand") or {}).items():
        for sentence in sentences:
            if sentence.startswith(made_record.BY_HAND + "image "):
                before, _arrow, after = sentence.removeprefix(made_record.BY_HAND + "image ").partition(" → ")
                what = "runs another image than it was made with"
                why = "somebody, or an updater such as Watchtower, made it anew; site keeps it, update decides"
                found.append(change("changed by hand", what, why, before, after, service=name))
    return found


def _image_changes(result, images):
    """Services whose image is not the one that lock or inventory name."""
    notes = {name: one.get("note") for name, one in (result.get("images") or {}).items()}
    found = []
    for row in images:
        name, locked = row["service"], row["locked"]
        digest = (result.get("services") or {}).get(name, {}).get("digest")
        if notes.get(name) or ("images" not in result and digest and locked and digest != locked):
            age = f", built {row['age_days']} days ago" if row["age_days"] is not None else ""
            why = (notes.get(name) or "the lock names another digest").removeprefix(f"{name}: ")
            wanted = f"{row['image']} {locked or ''}".strip() + age
            shown = f"{row['running_image'] or row['image']} {row['running'] or ''}".strip()
            found.append(change("image", "update", why, shown, wanted, service=name))
    return found


def _images(result, bundle, now):
    chosen, rows = result.get("images") or {}, []
    for name, service in bundle["services"].items():
        seen = (result.get("services") or {}).get(name) or {}
        one = chosen.get(name) or {}
        lock = service.get("locked") or {}
        created = lock.get("created")
        rows.append(
            {
                "service": name,
                "image": service["image"],
                "running_image": seen.get("image"),
                "running": one.get("digest") or seen.get("digest") or seen.get("image_id"),
                "locked": lock.get("digest"),
                "created": created,
                "age_days": _age(created, now),
            }
        )
    return rows


def _age(created, now):
    try:
        built = datetime.datetime.fromisoformat(str(created))
    except ValueError:
        return None
    return max(0, (now - (built if built.tzinfo else built.replace(tzinfo=datetime.UTC))).days)


def _other_actions(result):
    """Sentences of the run that are about no decision on a service."""
    services, found = result.get("services") or {}, []
    for action in result.get("actions") or []:
        about = _OF_A_SERVICE.match(action)
        if about and services.get(about[2], {}).get("action", "none") != "none":
            continue
        for pattern, kind, what, why in _ACTIONS:
            match = pattern.fullmatch(action)
            if match:
                parts = match.groupdict()
                service = parts["name"] if kind in ("hold",) or "login" in what else None
                found.append(change(kind, what.format(**parts), why.format(**parts), service=service))
                break
        else:
            found.append(change("other", action))
    return found


def _files(result, bundle, settings):
    presets = {preset["path"]: preset["service"] for preset in bundle.get("presets") or []}
    listed = {entry["path"] for entry in bundle.get("files") or []}
    reasons, found = result.get("file_reasons") or {}, []
    for path, action in sorted((result.get("files") or {}).items()):
        before, after = settings.words(path)
        kind = "file"
        if path in presets:
            kind = "app setting"
        elif path.endswith((".service", ".timer")):
            kind = "unit"
        elif settings.makes_directory(path) or (action == "mode" and path not in listed):
            kind = "directory"
        why = reasons.get(path, "")
        if kind == "file" and settings.variables(path):
            why += f" ({'; '.join(settings.variables(path))})"
        found.append(change(kind, action, why, before, after, service=presets.get(path), path=path))
    return found


def _holds(result):
    held, left = result.get("held") or {}, result.get("left") or {}
    why = {**left, **{name: holds.since(entry) for name, entry in held.items()}}
    return [{"service": name, "why": why[name], "asked": held.get(name, {}).get("verb")} for name in {**held, **left}]


def _messages(result, bundle, images, messages):
    left = result.get("left") or {}
    # Told by the images and by the holds.
    told = {one.get("note") for one in (result.get("images") or {}).values()}
    told.update(f"{name} is left as it is: {why}" for name, why in left.items())
    known = [*messages, *(bundle.get("messages") or []), *(result.get("messages") or [])]
    said = [text for text in known if text not in told]
    for name, sentences in (result.get("by_hand") or {}).items():
        if (result.get("services") or {}).get(name, {}).get("action", "none") == "none":
            texts = [text for text in sentences if not text.startswith(made_record.BY_HAND + "image ")]
            said += [f"{name} is left as it is, {text}" for text in texts]
    unlocked = [row["service"] for row in images if not row["locked"] and "@" not in row["image"]]
    if unlocked and not any("unlocked" in text or "no lock" in text for text in said):
        every = len(unlocked) == len(images)
        said.append(UNLOCKED % ("every image is unlocked" if every else f"{', '.join(unlocked)} are unlocked"))
    unknown = result.get("unknown_files") or []
    if unknown:
        said.append(f"not of this collection, left alone, and read by nothing here: {', '.join(unknown)}")
    return list(dict.fromkeys(said))
