# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pull run says of itself: `last.json`, the same as Prometheus text, and the same to a webhook."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import urllib.error

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_decide import GOOD, RESULTS, WAITING
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import SCHEMA

_WEBHOOK_SECONDS = 15
# Of a reason, in one line for people.
_LINE = 300
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def document(config, result, **facts):
    """`last.json`.

    Parameters:
        config: the Config.
        result: one of pull_decide.RESULTS.
        facts: `wanted`, `live` (ids or None), `live_since`, `reason`, `started`, `ended`, `steps` (of Step), `healthy`
            (None: not looked), `drift` (list of sentences), `messages`, `log`.
    """
    started, ended = (datetime.datetime.strptime(facts[name], _TIME) for name in ("started", "ended"))
    steps = facts["steps"]
    return {
        "schema": SCHEMA,
        "project": config.project,
        "host": config.host,
        "result": result,
        "ok": result in (GOOD, WAITING),
        "commit": {
            "wanted": facts["wanted"],
            "live": facts["live"],
            "live_since": facts["live_since"],
            "refused": facts["wanted"] if result == "refused" else None,
        },
        "reason": facts["reason"],
        "healthy": facts["healthy"],
        "changed": any(step.changed for step in steps),
        "drift": facts["drift"],
        "messages": facts["messages"],
        "steps": [{"name": step.name, "rc": step.rc, "reason": step.reason} for step in steps],
        "started": facts["started"],
        "ended": facts["ended"],
        "duration_s": int((ended - started).total_seconds()),
        "next_run": (started + datetime.timedelta(seconds=config.interval + config.jitter)).strftime(_TIME),
        "log": facts["log"],
    }


def sentence(last):
    """One line for people."""
    commit = last["commit"]
    live = "commit %s live since %s" % ((commit["live"] or "?")[:12], commit["live_since"] or "?")
    if not commit["live"]:
        live = "no commit live yet"
    wanted = (commit["wanted"] or "?")[:12]
    why = " ".join(last["reason"].split())
    why = why if len(why) <= _LINE else why[: _LINE - 1] + "…"
    words = {
        "good": "pull: %s" % live,
        "waiting": "pull: %s; %s waits: %s" % (live, wanted, why),
        "refused": "pull: commit %s refused: %s; %s" % (wanted, why, live),
        "failed": "pull: failed: %s; %s" % (why, live),
        "paused": "pull: paused: %s; %s" % (why, live),
    }[last["result"]]
    return words + ("; %d changes by others were put right" % len(last["drift"]) if last["drift"] else "")


def metrics(last):
    """`last.json` as Prometheus text."""
    labels = 'host="%s",project="%s"' % (_label(last["host"]), _label(last["project"]))
    ended = datetime.datetime.strptime(last["ended"], _TIME).replace(tzinfo=datetime.timezone.utc)
    rows = [
        ("ok", "1 where the host is where it is to be and well.", {"": last["ok"]}),
        ("result", "What the last run came to.", {',result="%s"' % name: last["result"] == name for name in RESULTS}),
        ("drift", "Changes that somebody made and the last run put right.", {"": len(last["drift"])}),
        ("changed", "1 where the last run changed something.", {"": last["changed"]}),
        ("last_run_timestamp_seconds", "When the last run ended.", {"": int(ended.timestamp())}),
        ("last_run_duration_seconds", "How long it took.", {"": last["duration_s"]}),
        (
            "commit_info",
            "The commits, as labels.",
            {
                ',live="%s",wanted="%s"'
                % (_label(last["commit"]["live"] or ""), _label(last["commit"]["wanted"] or "")): 1
            },
        ),
    ]
    if last["healthy"] is not None:
        rows.insert(1, ("healthy", "1 where every service was well at the end.", {"": last["healthy"]}))
    lines = []
    for name, help_text, values in rows:
        lines.append("# HELP mediastack_pull_%s %s" % (name, help_text))
        lines.append("# TYPE mediastack_pull_%s gauge" % name)
        lines += ["mediastack_pull_%s{%s%s} %d" % (name, labels, more, int(value)) for more, value in values.items()]
    return "\n".join(lines) + "\n"


def write(place, config, last):
    """Write both files, and the copy for node_exporter. Sentences on what could not be done."""
    problems = []
    text = metrics(last).encode("utf-8")
    jobs = [lambda: atomic_files.write_json(place.last, last), lambda: atomic_files.write(place.metrics, text, 0o644)]
    if config.textfile_directory:
        name = "mediastack_pull_%s.prom" % config.project
        jobs.append(lambda: atomic_files.write(os.path.join(config.textfile_directory, name), text, 0o644))
    for job in jobs:
        try:
            job()
        except atomic_files.FileError as error:
            problems.append(str(error))
    return problems


def post(url, last):
    """Send `last.json` to a webhook; why that failed, without its address (which is a secret), or None."""
    from ansible.module_utils.urls import open_url

    try:
        open_url(
            url,
            data=json.dumps(last).encode("utf-8"),
            headers={"Content-Type": "application/json"},
            method="POST",
            timeout=_WEBHOOK_SECONDS,
        ).close()
        return None
    except urllib.error.HTTPError as error:
        return "the webhook answered with %d" % error.code
    except (OSError, ValueError, http.client.HTTPException) as error:
        return "the webhook could not be reached (%s)" % type(error).__name__


def _label(text):
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
