# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at every service of a host: containers, probes and free space; and the wait until all is well."""

from __future__ import annotations

import functools
import os
import time
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    bind_address,
    docker_cli,
    engine_state,
    health_address,
    health_holds,
    health_model,
    probes,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.health_model import (
    DEGRADED,
    MISSING,
    STOPPED,
    UNHEALTHY,
    UNKNOWN,
    Verdict,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import names

POLL_FIRST = 0.25
POLL_MOST = 2.0
"""Seconds between two looks while waiting: short at first, for what is about to be ready, then doubling."""


class Snapshot:
    """What the engine knows of a project at one moment."""

    def __init__(self, project, parents, now):
        """`project`: engine_state.Project; `parents`: containers outside of it whose network is used; `now`: in s."""
        self.project = project
        self.now = now
        self._parents = {parent.id: parent for parent in parents}

    def container(self, service):
        """The container of a service. After an interrupted recreate there are two: the one that runs counts."""
        found = self.project.of(service["name"])
        return next((container for container in found if container.active), found[0] if found else None)

    def parent(self, container):
        """The container whose network namespace `container` uses, or None."""
        identifier = container.parent_id
        return self.project.by_id(identifier) or self._parents.get(identifier) if identifier else None

    def foreign(self, service):
        """A container that is not ours although it has our project's name and the service's."""
        return next((other for other in self.project.foreign if other.service == service["name"]), None)


def read_snapshot(docker, project_name, project_path, project=None):
    """A Snapshot, by one `docker ps` and one `docker inspect` (a second one for parents outside the project).

    `project`: what was read already.
    """
    project = project or engine_state.read_project(docker, project_name, project_path)
    outside = {c.parent_id for c in project.containers if c.parent_id and not project.by_id(c.parent_id)}
    return Snapshot(project, engine_state.inspect(docker, sorted(outside)), time.time())


class Examined(NamedTuple):
    """A service before its probe: its container, what the engine says, and the probe to run, if any."""

    container: engine_state.Container | None
    verdict: Verdict
    job: tuple | None = None
    url: str = ""
    holder: engine_state.Container | None = None


def result(services, host, project_name, project_path, paths, timeout, grace, wait, apps=None, say=None, project=None):
    """The result of `stack_health`: `wait_for_health` on a project of this host's engine, and how long it took.

    `project`: what whoever asks has read a moment ago, for the first look.
    """
    began = time.monotonic()
    known = [project] if project else []

    def read():
        # Find docker at every look: with `wait`, an engine that is being installed or started may appear.
        return read_snapshot(docker_cli.Docker(), project_name, project_path, known.pop() if known else None)

    held, trouble = health_holds.read(project_path)
    more = health_holds.also(services, held)
    rows, disks = wait_for_health(services + more, host, read, paths, timeout, grace, wait, apps, say)
    rows = health_holds.explain(services, more, rows, held)
    return {
        "changed": False,
        "healthy": health_model.is_healthy(rows),
        "services": rows,
        "disks": disks,
        "holds": held,
        "holds_unreadable": trouble,
        "diff": {"before": "", "after": ""},
        "duration_ms": int((time.monotonic() - began) * 1000),
    }


def wait_for_health(services, host, read, paths, timeout, grace, wait, apps=None, say=None):
    """Look until every service is HEALTHY, none can become so by itself, or `wait` seconds have passed.

    Args:
        services: entries of the module's `services`.
        host: the inventory's name of this host, for the rows.
        read: function without arguments that returns a `Snapshot` or raises `DockerError`.
        paths: `{name: directory}` whose free space is reported.
        timeout: seconds for all probes of one look together.
        grace: seconds after a container's start in which a failing probe means STARTING.
        wait: seconds; 0 = look once.
        apps: an `app_reads.AppReads`, for `status` only: `site` neither loads nor pays for it.
        say: `progress.Progress.say`, told what is waited for and why.

    Returns:
        `(rows, disks)`: entries of the result model, and what `_disks` says of each path.
    """
    deadline = time.monotonic() + wait
    pause = POLL_FIRST
    while True:
        rows, disks = look(services, host, read, paths, timeout, grace, apps)
        # Nobody starts a stopped service, makes a missing one or moves one to another network, while we watch.
        waited_for = [row for row in rows if row["status"] != health_model.HEALTHY and not health_model.stays_so(row)]
        left = deadline - time.monotonic()
        if not waited_for or left <= 0:
            return rows, disks
        if say:
            _tell(say, waited_for)
        time.sleep(min(pause, left))
        pause = min(pause * 2, POLL_MOST)


def _tell(say, rows):
    first = "%s: %s" % (rows[0]["status"], rows[0]["message"]) if rows[0]["message"] else rows[0]["status"]
    why = first if len(rows) == 1 else "%s is %s" % (rows[0]["name"], first)
    say("waiting for %s" % names(row["name"] for row in rows), why)


def look(services, host, read, paths, timeout, grace, apps=None):
    """One sweep over all services; arguments and result as for `wait_for_health`."""
    free = {}
    jobs = {("disk", name): (path, functools.partial(_disk, path, name, free)) for name, path in paths.items()}
    try:
        snapshot = read()
    except docker_cli.DockerError as error:
        outcomes = probes.sweep(jobs, timeout)
        rows = [health_model.row(service, host, UNKNOWN, str(error)) for service in services]
        return rows, _disks(paths, free, outcomes)
    seen = {service["name"]: _examine(service, snapshot) for service in services}
    jobs.update({("service", name): examined.job for name, examined in seen.items() if examined.job})
    if apps:
        jobs.update(apps.jobs([(service, seen[service["name"]]) for service in services]))
    outcomes = probes.sweep(jobs, timeout)
    rows = [
        _row(service, host, seen[service["name"]], outcomes.get(("service", service["name"])), snapshot.now, grace)
        for service in services
    ]
    _spread_holder_trouble(services, rows)
    if apps:
        apps.judge(rows, outcomes, lambda name: _is_young(seen[name].container, snapshot.now, grace))
    return rows, _disks(paths, free, outcomes)


def _is_young(container, now, grace):
    return health_model.uptime(container, now) < health_model.start_period(container, grace)


def _examine(service, snapshot):
    """What the engine says of a service, and the probe that is still to be made."""
    container = snapshot.container(service)
    if container is None:
        foreign = snapshot.foreign(service)
        if foreign:
            what = "no container of ours; %s belongs to the project in %s" % (foreign.name, foreign.working_directory)
            return Examined(None, Verdict(MISSING, what))
        return Examined(None, health_model.judge_container(service, None, None, snapshot.now))
    parent = snapshot.parent(container)
    verdict = health_model.judge_container(service, container, parent, snapshot.now)
    holder = parent or container
    url = health_address.web_url(service, holder, bind_address.default_address)
    if not verdict.probe:
        return Examined(container, verdict, None, url, holder)
    try:
        return Examined(container, verdict, health_address.probe_of(service, holder), url, holder)
    except health_address.NoAddress as error:
        return Examined(container, Verdict(UNKNOWN, "cannot be probed: %s" % error), None, url, holder)


def _row(service, host, examined, outcome, now, grace):
    status, message = health_model.combine(examined.verdict, outcome, examined.container, now, grace)
    note = health_model.image_note(service, examined.container) if examined.container else ""
    message = "; ".join(part for part in (message, note) if part)
    latency = outcome.latency_ms if outcome else None
    return health_model.row(service, host, status, message, examined.container, latency, examined.url)


def _spread_holder_trouble(services, rows):
    """A service behind a VPN that is not well may answer us, yet does not reach the world: DEGRADED."""
    status = {}
    for service, row in zip(services, rows):
        status[service["name"]] = status[service.get("container") or service["name"]] = row["status"]
    for service, row in zip(services, rows):
        holder = service.get("holder")
        if row["status"] == health_model.HEALTHY and status.get(holder) in (UNHEALTHY, DEGRADED, STOPPED, MISSING):
            row["status"] = DEGRADED
            row["message"] = "answers, but %s, whose network it uses, is %s" % (holder, status[holder])


def _disk(path, name, free, _attempt):
    """Job of a sweep, because the file system of a NAS that is gone blocks whoever asks it."""
    usage, device = os.statvfs(path), os.stat(path).st_dev
    free[name] = {
        "total_bytes": usage.f_blocks * usage.f_frsize,
        "free_bytes": usage.f_bavail * usage.f_frsize,
        "used_percent": _used(usage.f_blocks - usage.f_bfree, usage.f_bavail),
        # None: a file system that makes them as it needs them.
        "inodes_used_percent": _used(usage.f_files - usage.f_ffree, usage.f_favail) if usage.f_files else None,
        "device": device,
    }


def _used(used, available):
    """Percent as `df` has it: of what users without privileges can use."""
    return round(100.0 * used / (used + available), 1) if used + available else 0.0


def _disks(paths, free, outcomes):
    """`{name: {path, total_bytes, free_bytes, used_percent, inodes_used_percent, device}}`, or `{path, error}`."""
    disks = {}
    for name, path in paths.items():
        disks[name] = {"path": path}
        if name in free:
            disks[name].update(free[name])
        else:
            disks[name]["error"] = outcomes["disk", name].message
    return disks
