# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`bin/mediastack-backup`, for people, timers and task schedulers. No Ansible anywhere near."""

from __future__ import annotations

import argparse
import json
import os
import sys

from ansible_collections.homelab.mediastack.plugins.module_utils import backup_run, backup_state, snapshot_store
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.progress import size

PROGRAM = "mediastack-backup"
WELL, FAILED = 0, 1
_DESCRIPTION = """\
Back up the configuration of every app, with the host's own secrets and files: databases while their apps run,
other files while nobody writes to them. Keeps as many as the inventory says, and copies them to where it says.
The stack is the one in
%s
"""
_EPILOG = """\
return code: 0 the backup is whole (and copied, if it is to be), 1 something is missing, 2 wrong usage
https://github.com/homelab-mediastack/homelab.mediastack/blob/main/docs/backup.md
"""


def main(arguments, project_path, out=None, err=None, docker=None):
    """Run the program for the project at `project_path`; its return code."""
    out, err = out or sys.stdout, err or sys.stderr
    options = _parser(project_path).parse_args(arguments)
    state = os.path.join(project_path, ".mediastack")
    if os.path.isdir(state) and not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        err.write(
            "%s: no permission for %s: run it as root (sudo %s)\n"
            % (PROGRAM, state, os.path.join(project_path, "bin", PROGRAM))
        )
        return FAILED
    try:
        if options.list:
            return _list(options, project_path, out)
        made = backup_run.Backup(project_path, docker or Docker(), who=options.who, lock_timeout=options.lock_timeout)
    except backup_run.ERRORS as error:
        err.write("%s: %s\n" % (PROGRAM, error))
        return FAILED
    error = None
    try:
        made.run()
    except backup_run.ERRORS as failure:
        error = str(failure)
    result = made.result()
    if options.json:
        out.write(json.dumps(dict(result, failed=error is not None, msg=error or ""), sort_keys=True) + "\n")
    else:
        for line in [*result["actions"], *result["messages"]]:
            out.write("%s\n" % line)
    if error:
        err.write("%s: %s\n" % (PROGRAM, error))
    elif not options.json:
        out.write("%s, %s s, in %s\n" % (size(result["bytes"]), result["seconds"], result["path"]))
    return FAILED if error else WELL


def _parser(project_path):
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_DESCRIPTION % project_path,
        epilog=_EPILOG,
    )
    parser.add_argument("--list", action="store_true", help="only say which backups there are, newest first")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument(
        "--lock-timeout",
        type=float,
        default=None,
        metavar="SECONDS",
        help="wait so long for another run on this stack (default: mediastack_lock_timeout)",
    )
    parser.add_argument("--who", default=None, help="who asks, for the audit log")
    return parser


def _list(options, project_path, out):
    plan = backup_state.read_plan(project_path)
    rows = []
    for snapshot in snapshot_store.Store(plan["backup"]).all():
        rows.append(
            {
                "id": snapshot.id,
                "kind": snapshot.kind,
                "taken": backup_state.iso(snapshot.taken),
                "bytes": snapshot.size,
                "services": sorted(name for name in snapshot.services if name != backup_run.HOST),
            }
        )
    if options.json:
        out.write(json.dumps({"backups": rows, "path": plan["backup"]}, sort_keys=True) + "\n")
        return WELL
    for row in rows:
        out.write("%s  %8s  %d services\n" % (row["id"], size(row["bytes"]), len(row["services"])))
    if not rows:
        out.write("there is no backup in %s\n" % plan["backup"])
    return WELL
