# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of `status`: built from the results of all hosts, and written where `output` says."""

from __future__ import annotations

import json
import os
import tempfile

SCHEMA = 1
STDOUT = "-"
FORMATS = (".json",)

NOT_READ = "its health was not read: the run failed for this host earlier"


class OutputError(Exception):
    """The report cannot be written where `output` says; the text says why and what can be."""


def check_output(output):
    """Where to write: an absolute path, `-`, or None when *output* is empty. Raises OutputError."""
    if not output:
        return None
    if output == STDOUT:
        return STDOUT
    path = os.path.abspath(os.path.expanduser(output))
    extension = os.path.splitext(path)[1]
    if extension.lower() not in FORMATS:
        what = f"the format {extension!r} is not there" if extension else "it names no format"
        raise OutputError(f"output={output}: {what}; write to a file that ends in .json, or - for standard output")
    if os.path.isdir(path):
        raise OutputError(f"output={output}: that is a directory; name a file in it")
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise OutputError(f"output={output}: there is no directory {folder}; create it, or name another")
    return path


def rows_of(host, result):
    """The result model's entries of one host, from what its `stack_health` task registered.

    *result* may be None (the host never came so far), unreachable, or failed: then one entry says so, as UNKNOWN.
    """
    if isinstance(result, dict) and result.get("services") and not result.get("failed"):
        return [{**row, "host": host} for row in result["services"]]
    if not isinstance(result, dict):
        message = NOT_READ
    elif result.get("unreachable"):
        message = "unreachable: " + _first_line(result)
    elif result.get("failed"):
        message = _first_line(result)
    else:
        message = "no service to look at"
    return [
        {
            "host": host,
            "name": "(host)",
            "title": "",
            "status": "UNKNOWN",
            "message": message,
            "latency_ms": None,
            "container": None,
            "image": None,
            "url": None,
        }
    ]


def _first_line(result):
    lines = str(result.get("msg") or "no reason given").strip().splitlines()
    return lines[0] if lines else "no reason given"


def build(results):
    """The report from `{host: registered result or None}`: `{schema, healthy, services[], hosts{}}`.

    `healthy` is true only when there is something to judge and every service of it is HEALTHY.
    """
    services = [row for host, result in results.items() for row in rows_of(host, result)]
    hosts = {}
    for host, result in results.items():
        known = result if isinstance(result, dict) else {}
        hosts[host] = {key: known.get(key) or {} for key in ("vpn", "disks", "queues")}
    healthy = bool(services) and all(row["status"] == "HEALTHY" for row in services)
    return {"schema": SCHEMA, "healthy": healthy, "services": services, "hosts": hosts}


def as_json(report):
    """The report as text, its keys in the order of the documentation."""
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def write(path, text):
    """Write *text* to *path*: the old report stays until the new one is complete. Raises OutputError."""
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".", suffix=".tmp")
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes 0600; a report is for whoever may read the directory
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise OutputError(f"output={path}: cannot be written: {error.strerror}") from error
