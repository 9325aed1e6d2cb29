# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is demanded of an image, judged from texts alone: nothing here talks to an engine or a registry."""

from __future__ import annotations

import re

PASSED, FAILED, INCONCLUSIVE = RESULTS = ("passed", "failed", "inconclusive")
_BAD_FIRST = (FAILED, INCONCLUSIVE, PASSED)
# A registry's answer that no second attempt will change: users would get it too.
_NOT_THERE = re.compile(
    r"manifest unknown|name unknown|no such manifest|not found|no matching manifest|repository does not exist|denied"
)
_COMMAND = re.compile(r"(?:^|\$\(|&&|[|;({])\s*([\w./-]+)")
# Numbers of linux/capability.h, of those that service files give.
_BITS = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SETPCAP": 8, "NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18, "SYS_NICE": 23, "MKNOD": 27,
    "AUDIT_WRITE": 29, "SETFCAP": 31,
}  # fmt: skip
_KILLED = 137
_BUILTINS = {"", "exit", "test", "true", "false", "echo", "cd", "set", "export", "if", "then", "else", "fi"}


def rewritten(image, registry):
    """The name under which a registry of one's own serves `image`; without `registry` the image's own name."""
    return f"{registry}/{image}" if registry else image


def worst(results):
    """The result of several: one failure fails, one open question leaves it open, and nothing at all proves nothing."""
    return next((result for result in _BAD_FIRST if result in results), INCONCLUSIVE)


def pull_refused(complaint):
    """(result, reason) of a pull that did not work.

    Only a registry that says that there is no such image, or none for everybody, has answered the question; one that
    cannot be reached, or limits us, has not.
    """
    if _NOT_THERE.search(complaint.lower()) and "dial tcp" not in complaint:
        return FAILED, f"the registry has no such image for us: {complaint}"
    return INCONCLUSIVE, f"could not be pulled: {complaint}"


def runs(facts, apps):
    """The runs that cover `apps`: `{app: all apps of its run}`.

    An app that another one's run brings along (`requires`) has no run of its own.
    """

    def closure(app):
        found, queue = [], [app]
        while queue:
            one = queue.pop()
            if one not in found:
                found.append(one)
                queue += facts[one].requires
        return found

    whole = {app: closure(app) for app in apps}
    return {
        app: sorted(found)
        for app, found in whole.items()
        if not any(app in other for name, other in whole.items() if name != app and name not in found)
    }


def health_programs(healthcheck, image_test, has_probe):
    """The programs that a health check starts in the image, or the complaint that there is no check: `(list, text)`.

    Args:
        healthcheck: of the Compose definition, or None.
        image_test: the `Test` of the image's own health check, or None.
        has_probe: whether the service is asked over the network as well.
    """
    test = (healthcheck or {}).get("test") or image_test
    if not test or test == ["NONE"]:
        needed = healthcheck is not None or not has_probe
        return [], "our file counts on the image's own health check, and it has none" if needed else ""
    if isinstance(test, str):
        test = ["CMD-SHELL", test]
    if test[0] == "CMD":
        return [test[1]], ""
    words = _COMMAND.findall(test[1].replace("$$", "$"))
    return list(dict.fromkeys(["/bin/sh", *(word for word in words if word not in _BUILTINS)])), ""


def wrong_ids(definition, ids, processes):
    """Why a container does not run as it should, or None; with what was demanded: `(problem, demand)`.

    Args:
        definition: of the service, as Compose gets it.
        ids: (PUID, PGID).
        processes: of its container: [(uid, gid, name)].
    """
    puid, pgid = (str(number) for number in ids)
    user = str(definition.get("user") or "").replace("${PUID}", puid).replace("${PGID}", pgid)
    running = ", ".join(sorted({f"{name} {uid}:{gid}" for uid, gid, name in processes})) or "no process"
    if user:
        wanted = user if ":" in user else f"{user}:"
        strangers = [one for one in processes if not f"{one[0]}:{one[1]}".startswith(wanted)]
        return ("runs as %s" % running if strangers or not processes else None), f"every process {user}"
    # gluetun needs root all the time; PUID and PGID are for the files that it writes.
    if "PUID" not in (definition.get("environment") or {}) or "NET_ADMIN" in (definition.get("cap_add") or []):
        return None, "ids: none demanded"
    if any((uid, gid) == (puid, pgid) for uid, gid, _name in processes):
        return None, f"drops to {puid}:{pgid}"
    return f"has no process of PUID:PGID {puid}:{pgid}: {running}", f"drops to {puid}:{pgid}"


def wrong_flags(definition, container):
    """Read-only flags of our file that the container lacks, and how many there are: `(list, number)`.

    `container`: as `docker inspect` shows it.
    """
    targets = [
        volume["target"]
        for volume in definition.get("volumes") or []
        if isinstance(volume, dict) and volume.get("read_only")
    ]
    targets += [f"/run/secrets/{name}" for name in definition.get("secrets") or [] if isinstance(name, str)]
    writable = {mount["Destination"]: mount.get("RW", True) for mount in container.get("Mounts") or []}
    lacking = [target for target in targets if writable.get(target, True)]
    if definition.get("read_only"):
        targets.append("/")
        if not container["HostConfig"].get("ReadonlyRootfs"):
            lacking.append("/")
    return lacking, len(targets)


def wrong_rights(definition, processes):
    """What a container may do beyond our file, or short of it, or None; with what was demanded: `(problem, demand)`.

    Args:
        definition: of the service, as Compose gets it.
        processes: of its container, as the kernel has them: [`/proc/<pid>/status` as a map]. None: they cannot be read
            from here.
    """
    if processes is None:
        return None, "rights not looked at: the engine is on another machine"
    problems = []
    if any(str(option).startswith("no-new-privileges") for option in definition.get("security_opt") or []):
        privileged = [one["Name"] for one in processes if one.get("NoNewPrivs") != "1"]
        problems += [f"without no-new-privileges: {', '.join(privileged)}"] if privileged else []
    powers = sorted(definition.get("cap_add") or [])
    if "ALL" in (definition.get("cap_drop") or []):
        wanted = sum(1 << _BITS[power] for power in powers)
        found = {int(one["CapBnd"], 16) for one in processes} - {wanted}
        problems += (
            [f"capabilities {', '.join(f'{mask:x}' for mask in sorted(found))} and not {wanted:x}"] if found else []
        )
    demand = f"rights: {' '.join(powers) or 'none'}"
    return "; ".join(problems) or None, demand


def wrong_end(definition, exit_code):
    """Why a supervised app did not end as it should, or None: a supervisor that may not signal it has it killed."""
    if "KILL" not in (definition.get("cap_add") or []) or exit_code != _KILLED:
        return None
    return "was killed, for it did not end when it was asked to"


def merged(image, digest, findings, date):
    """The entry of one image in the report, from what was found for each service that uses it.

    `findings`: service → {result, reason, checked}; `digest`: None where it was not pulled.
    """
    result = worst([finding["result"] for finding in findings.values()])
    reasons = [f"{name}: {found['reason']}" for name, found in findings.items() if found["reason"]]
    checked = [check for found in findings.values() for check in found["checked"]]
    return {
        "image": image,
        "digest": digest,
        "result": result,
        "reason": "; ".join(reasons) or ("" if findings else "not reached"),
        "checked": list(dict.fromkeys(checked)),
        "services": list(findings),
        "date": date,
    }


def table(entries):
    """The report as lines of text."""
    width = max([len(entry["image"]) for entry in entries] + [5])
    lines = [f"{'IMAGE':<{width}}  {'RESULT':<12}  DIGEST         WHAT"]
    for entry in entries:
        digest = (entry["digest"] or "-").removeprefix("sha256:")[:12]
        what = entry["reason"] or ", ".join(entry["checked"])
        lines.append(f"{entry['image']:<{width}}  {entry['result']:<12}  {digest:<13}  {' '.join(what.split())}")
    return lines
