# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NZBGet's queue, asked over JSON-RPC. Never a name of a download.

https://nzbget.com/documentation/api/: `status` and `listgroups`.
"""

from __future__ import annotations

from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import basic, shaped
from ansible_collections.homelab.mediastack.plugins.module_utils.app_reading import count, whole
from ansible_collections.homelab.mediastack.plugins.module_utils.app_reads_downloaders import SECOND_LOOK

DOWNLOADING = ("DOWNLOADING", "FETCHING")
WAITING = DOWNLOADING + ("QUEUED",)
INCOMPLETE = WAITING + ("PAUSED",)
"""States of a job; in all others it is complete and being unpacked."""


def read(access, http, reading):
    """`status` and `listgroups`, twice when nothing comes in although something should."""
    path = access.spec.get("api") or "/jsonrpc"
    headers = basic(access.username(), access.password())

    def ask(method, kind, *params):
        answer = http.json("POST", path, headers, {"method": method, "params": list(params), "id": 1})
        return shaped(shaped(answer, dict, "POST %s" % path).get("result"), kind, method)

    def look():
        status, jobs = ask("status", dict), ask("listgroups", list, 0)
        shaped(status.get("DownloadPaused"), bool, "status")
        shaped(status.get("NewsServers"), list, "status")
        shaped(status.get("DownloadRate"), int, "status")
        for job in jobs:
            shaped(shaped(job, dict, "listgroups").get("Status"), str, "listgroups")
        return status, jobs

    first, later = look(), None
    if not first[0]["DownloadPaused"] and not _speed(first[0]) and _in(first[1], WAITING):
        http.pause(SECOND_LOOK)
        later = look()
    judge(first, later, reading)


def judge(first, later, reading):
    """The queue from a look, `(status, jobs of listgroups)`; `later`: a second one at one that stood still, or None."""
    status, jobs = later or first
    paused, waiting = status["DownloadPaused"], _in(jobs, WAITING)
    still = (
        later is not None
        and not _speed(status)
        and _large(status, "DownloadedSize") == _large(first[0], "DownloadedSize")
    )
    stalled = waiting if still and not paused else 0
    failed = sum(1 for job in jobs if job["Status"] in INCOMPLETE and _is_beyond_repair(job))
    reading.queue = {
        "active": 0 if paused or stalled else _in(jobs, DOWNLOADING),
        "speed_bytes": _speed(status),
        "stalled": stalled,
        "total": _in(jobs, INCOMPLETE),
        "failed": failed,
        "paused": paused,
    }
    if stalled:
        reading.problem("%s stalled: %s" % (count(stalled, "job"), _reason(status)), settles=True)
    if failed:
        words = "too much of %s is missing on the news servers" % ("it" if failed == 1 else "them")
        reading.problem("%s: %s" % (count(failed, "job has failed", "jobs have failed"), words))
    if paused and reading.queue["total"]:
        reading.hint("paused with %s in the queue" % count(reading.queue["total"], "job"))
    if not status["NewsServers"] and not stalled:
        reading.hint("not set up yet: no news server")


def _in(jobs, states):
    return sum(1 for job in jobs if job["Status"] in states)


def _is_beyond_repair(job):
    """Its health, in permille, is below what its par files can make up for."""
    return whole(job.get("Health", 1000)) < whole(job.get("CriticalHealth"))


def _reason(status):
    if status.get("QuotaReached"):
        return "the quota of its settings is reached"
    if not any(isinstance(server, dict) and server.get("Active") for server in status["NewsServers"]):
        return "no news server is active"
    return "nothing comes in"


def _speed(status):
    """Bytes per second; since 24.2 in two halves, and the one number may be cut."""
    return _large(status, "DownloadRate") if "DownloadRateLo" in status else whole(status["DownloadRate"])


def _large(status, name):
    """A number that it gives in two halves of 32 bits."""
    return (whole(status.get(name + "Hi")) << 32) + whole(status.get(name + "Lo"))
