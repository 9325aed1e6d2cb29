# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`mediastack-pull`: what the timer runs, and people (docs/gitops.md). One run at a time: a second one leaves."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import traceback

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    atomic_files,
    pull_lock,
    pull_notify,
    pull_report,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.atomic_files import FileError
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_decide import FAILED, PAUSED
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_git import Git
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_log import Log
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import Place, PullError, read_config
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_run import Paused, Run
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_state import Journal, State, now
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_steps import Steps

PROGRAM = "mediastack-pull"
WELL, BAD, BUSY = 0, 1, 3
_EPILOG = """\
return code: 0 all is well (or it is not this host's turn, or pull mode is paused), 1 it is not, 2 wrong usage,
3 another run is at work
https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/gitops.md
"""


def main(arguments, root, out=None, err=None):
    """Run the program for the directory `root`; its return code."""
    out, err = out or sys.stdout, err or sys.stderr
    options = _parser(root).parse_args(arguments)
    place = Place(root)
    # Of the steps, as on a push; what is made here has modes of its own, in a directory of root.
    os.umask(0o022)
    try:
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise PullError("no permission for %s: run it as root (sudo %s)" % (root, place.program))
        config = read_config(place)
        if options.status:
            return _status(place, options, out)
        if options.pause is not None or options.resume:
            return _pause(place, options, out)
        with pull_lock.held(place) as lock, _reported(place, config):
            return _run(place, config, options, lock, out)
    except pull_lock.Busy as error:
        if isinstance(error, pull_lock.Left):
            _failed(place, config, str(error))
        err.write("%s: %s\n" % (PROGRAM, error))
        return BUSY
    except (PullError, FileError, OSError) as error:
        err.write("%s: %s\n" % (PROGRAM, error))
        return BAD


def _parser(root):
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make this host match the git repository that it follows, or stay where it is and say why.\n%s"
        % root,
        epilog=_EPILOG,
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--retry", action="store_true", help="try the commit again that was refused")
    group.add_argument("--status", action="store_true", help="only say what the last run came to")
    group.add_argument("--pause", nargs="?", const="", metavar="WHY", help="do nothing until --resume")
    group.add_argument("--resume", action="store_true", help="end --pause")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return parser


def _status(place, options, out):
    last = atomic_files.read_json(place.last, None)
    if last is None:
        raise PullError("there was no run yet")
    out.write((json.dumps(last, sort_keys=True) if options.json else pull_report.sentence(last)) + "\n")
    return WELL if last["ok"] or last["result"] == PAUSED else BAD


def _pause(place, options, out):
    if options.resume:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.paused)
        out.write("pull mode goes on with the next run\n")
    else:
        record = {"who": pull_lock.who(), "when": now(), "why": options.pause}
        atomic_files.write_json(place.paused, record)
        out.write("paused: no run does anything until %s --resume\n" % place.program)
    return WELL


@contextlib.contextmanager
def _reported(place, config):
    """Whatever goes wrong in there: `last.json` must not go on telling of an earlier run that all was well."""
    try:
        yield
    except Exception as error:
        _failed(place, config, _words(error))
        raise


def _failed(place, config, reason):
    """Write down that a run failed which did not come as far as a report of its own."""
    before = {}
    with contextlib.suppress(FileError):
        before = atomic_files.read_json(place.last, None) or {}
    commit, at = before.get("commit") or {}, now()
    facts = {name: commit.get(name) for name in ("wanted", "live", "live_since")}
    facts.update(healthy=None, drift=[], messages=[], steps=[], started=at, ended=at, log=None)
    last = pull_report.document(config, FAILED, reason=reason, **facts)
    pull_report.write(place, config, last)
    if config.webhook_url:
        pull_report.post(config.webhook_url, last)


def _words(error):
    known = isinstance(error, (PullError, FileError, OSError))
    return str(error) if known else "%s: %s" % (type(error).__name__, error)


def _run(place, config, options, lock, out):
    started = now()
    state, journal = State(place), Journal(place)
    os.makedirs(place.logs, mode=0o700, exist_ok=True)
    log_path = os.path.join(place.logs, "%s.log" % time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    log = Log(log_path)

    def say(text):
        log.write("%s\n" % text)
        if not options.json:
            # Somebody's terminal may be gone.
            with contextlib.suppress(OSError):
                out.write("%s\n" % text)
                out.flush()

    git = Git(place, config)
    steps = Steps(place, config, git, log, keep_open=[lock])
    run = Run(place, config, git, steps, state, journal, say, options.retry)
    paused = atomic_files.read_json(place.paused, None)
    if paused is not None:
        run.result, run.reason = PAUSED, _who_paused(paused)
    else:
        _work(run, place, log)
    try:
        last = _report(run, state, started, log_path)
        problems = pull_report.write(place, config, last)
        if config.webhook_url:
            problems.append(pull_report.post(config.webhook_url, last))
        for problem in filter(None, problems):
            say(problem)
        if run.result != PAUSED:
            pull_notify.tell(run, last)
    finally:
        # The run has come to its end, whoever could be told of it.
        if paused is None:
            journal.close()
        log.close()
        _keep(place.logs, config.keep_logs)
    out.write((json.dumps(last, sort_keys=True) if options.json else pull_report.sentence(last)) + "\n")
    return WELL if last["ok"] or run.result == PAUSED else BAD


def _work(run, place, log):
    """Do the work of a run; what keeps it from that is its result."""
    try:
        run.work()
    except Paused:
        run.result, run.reason = PAUSED, _who_paused(atomic_files.read_json(place.paused, {}))
    except Exception as error:
        if not isinstance(error, (PullError, FileError, OSError)):
            log.write(traceback.format_exc())
        run.result, run.reason = FAILED, _words(error)


def _who_paused(paused):
    return "%(who)s at %(when)s %(why)s" % dict({"who": "somebody", "when": "some time", "why": ""}, **paused)


def _report(run, state, started, log_path):
    """`last.json` of a run."""
    return pull_report.document(
        run.config,
        run.result,
        wanted=run.wanted,
        live=state.last_good,
        live_since=state.live_since,
        reason=run.reason.strip(),
        healthy=run.healthy,
        drift=run.drift,
        messages=run.messages,
        steps=list(run.steps.done),
        started=started,
        ended=now(),
        log=log_path,
    )


def _keep(directory, most):
    for name in sorted(name for name in os.listdir(directory) if name.endswith(".log"))[:-most]:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(directory, name))
