# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host knows of its backups: the plan that the converge wrote, how the last backup and drill went, the audit.

`<project>/.mediastack/backup.json` is rendered (plugin_utils/backup_plan.py); `backup-state.json` is written here:
`{schema, last: {…}, good: {id, taken}, drill: {…}}`; `audit.log` has a line of JSON for each run.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError

SCHEMA = 1
PLAN_FILE = "backup.json"
STATE_FILE = "backup-state.json"
LOCK_FILE = "backup-state.lock"
AUDIT_FILE = "audit.log"
#: Kinds of snapshots that a backup makes: of everything, and of services that were named.
WHOLE, PART = "backup", "partial"
#: An id of a snapshot: when it was begun, its kind, and what tells it from others.
ID = re.compile(r"^(\d{8}T\d{6}Z)-([a-z][a-z0-9_]*)-[0-9a-f]{4}$")
#: What an encrypted copy is called, after its id; and an empty file beside a copy in which something is missing.
ENCRYPTED, INCOMPLETE = ".tar.age", ".incomplete"
#: What an encrypted copy that is being sent is called here, after its name.
SEALED = ".sealed"
#: All that a copy elsewhere may consist of, after its id.
ENDINGS = ("", ENCRYPTED, ENCRYPTED + ".sha256", INCOMPLETE)
# Copies of one host do not overlap for as long as that.
_STALE = datetime.timedelta(days=1)
#: How an id begins.
STAMP = "%Y%m%dT%H%M%SZ"


class BackupError(Exception):
    """The backup, its copy or its drill did not come about; the text says why and what to do."""


def state_path(project_path, name):
    """Path of a file in the project's state directory."""
    return os.path.join(project_path, ".mediastack", name)


def read_plan(project_path):
    """The plan, a dict. BackupError where there is none, FileError where it is damaged."""
    path = state_path(project_path, PLAN_FILE)
    plan = atomic_files.read_json(path, None)
    if plan is None:
        raise BackupError("there is no %s, so nobody knows what to back up: run site, which writes it" % path)
    if plan.get("schema") != SCHEMA or not isinstance(plan.get("services"), dict):
        raise BackupError(
            "%s is of another version (schema %s): run site, which writes it anew" % (path, plan.get("schema"))
        )
    return plan


def read(project_path):
    """How the last backup and drill went: `{}` where nothing is known, also when the record is damaged."""
    try:
        return atomic_files.read_json(state_path(project_path, STATE_FILE), {})
    except FileError:
        return {}


def update(project_path, **parts):
    """Write parts of the record; the others stay. A backup and a drill may do so at the same time. FileError."""
    atomic_files.state_directory(project_path)
    try:
        descriptor = os.open(state_path(project_path, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileError("cannot open %s: %s" % (error.filename, atomic_files.reason(error))) from error
    try:
        # The lock ends with the descriptor; it is held for the length of one write.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        record = dict(read(project_path), schema=SCHEMA, **parts)
        atomic_files.write_json(state_path(project_path, STATE_FILE), record)
    finally:
        os.close(descriptor)


def audit(project_path, **entry):
    """Add a line to the audit log. On a full disk the run may just have failed for that reason: nothing is raised."""
    line = json.dumps(entry, sort_keys=True) + "\n"
    with contextlib.suppress(OSError):
        path = state_path(project_path, AUDIT_FILE)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(line)


def audit_run(project_path, identifier, verb, who, started, why):
    """Add the line of a backup or a drill that ends now. `why`: it failed; empty: it did not."""
    audit(
        project_path,
        txn=identifier,
        verb=verb,
        who=who,
        started=started,
        ended=now(),
        result="failed" if why else "committed",
        services={},
        why=why,
    )


def now():
    """This moment as records have it: UTC, ISO 8601, whole seconds."""
    return iso(datetime.datetime.now(datetime.timezone.utc))


def iso(moment):
    """A datetime as records have it."""
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def taken(identifier):
    """The moment in the id of a snapshot as a datetime in UTC; None when it is no id."""
    match = ID.match(identifier)
    if not match:
        return None
    with contextlib.suppress(ValueError):
        return datetime.datetime.strptime(match.group(1), STAMP).replace(tzinfo=datetime.timezone.utc)
    return None


def kind_of(identifier):
    """The kind in the id of a snapshot; None when it is no id."""
    return ID.match(identifier).group(2) if taken(identifier) else None


def is_stale(identifier):
    """Whether nobody works any more on what belongs to an id, by its time."""
    moment = taken(identifier)
    return moment is not None and datetime.datetime.now(datetime.timezone.utc) - moment > _STALE


def surplus(found, incomplete, keep):
    """Those of the ids `found` (of one kind, newest first) that go, so that `keep` complete ones stay.

    Those in `incomplete` take no complete one's place. At most `keep` of them stay, and none that is older than the
    oldest complete one that stays, unless there are too few of these: then it may be the best that there is.
    """
    complete = [one for one in found if one not in incomplete]
    stay = complete[:keep]
    oldest = stay[-1] if stay and len(complete) >= keep else ""
    stay += [one for one in found if one in incomplete and one > oldest][:keep]
    return [one for one in found if one not in stay]


def ids(directory, kind):
    """Ids of the whole snapshots of a kind in a directory, newest first, by their names alone. OSError."""
    return identifiers(os.listdir(directory), kind)


def identifiers(names, kind):
    """Ids of a kind among file names, newest first; an encrypted copy is called `<id>.tar.age`."""
    plain = {name[: -len(ENCRYPTED)] if name.endswith(ENCRYPTED) else name for name in names}
    return sorted((name for name in plain if kind_of(name) == kind), reverse=True)
