# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.report: the status table of all hosts, the report file, and the verdict."""

from __future__ import annotations

import sys

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_files, table

ON_TERMINAL = bool(sys.stdout) and sys.stdout.isatty()
"""Read here because the plugin is imported by the main process; the workers, where it runs, have no terminal."""

PASSING = {
    "degraded": ("HEALTHY",),
    "unhealthy": ("HEALTHY", "DEGRADED"),
    "never": tuple(table.COLORS),
}
"""`fail_on` → the statuses that let the run pass."""

display = Display()


class ActionModule(ActionBase):
    """Prints, writes and judges on the controller; nothing is sent to a host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        """Print the table of every host of the play, write `output`, fail unless all is well."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "results": {"type": "dict"},
                "variable": {"type": "str"},
                "fail_on": {"type": "str", "choices": list(PASSING), "default": "degraded"},
                "output": {"type": "str", "default": ""},
                "rows": {"type": "str", "choices": ["all", "problems"], "default": "all"},
            },
            required_one_of=[("results", "variable")],
            mutually_exclusive=[("results", "variable")],
        )
        try:
            output = report_files.check_output(arguments["output"])
        except report_files.OutputError as error:
            raise AnsibleActionFail(str(error)) from error
        results = arguments["results"]
        if results is None:
            results = _registered(arguments["variable"], task_vars)
        report = report_files.build(results)
        passing = PASSING[arguments["fail_on"]]
        failing = table.summary(report["services"], lambda row: row["status"] not in passing)
        failed = not report["services"] or any(row["status"] not in passing for row in report["services"])
        if output == report_files.STDOUT:
            display.display(report_files.as_json(report).rstrip())
        else:
            self._print(report, results, arguments["rows"], failed)
        if output not in (None, report_files.STDOUT):
            try:
                report_files.write(output, report_files.as_json(report))
            except report_files.OutputError as error:
                raise AnsibleActionFail(str(error)) from error
            display.display(f"report: {output}")
        if failed:
            return {"failed": True, "changed": False, "msg": failing}
        return {"changed": False, "healthy": report["healthy"], "msg": failing}

    def _print(self, report, results, which, failed):
        """The table, then what else there is to know, then the sentence (a failure says it itself)."""
        rows = report["services"]
        shown = rows if which == "all" else [row for row in rows if row["status"] != "HEALTHY" or row["message"]]
        if shown:
            runs = any(row.get("runs") for row in rows)
            columns = display.columns if ON_TERMINAL else None
            paint = color.stringc if color.ANSIBLE_COLOR else None
            display.display("\n".join(table.render(shown, runs, columns, paint)))
        for line in _notes(results):
            display.display(line)
        if not failed:
            display.display(table.summary(rows, lambda row: row["status"] != "HEALTHY"))


def _registered(variable, task_vars):
    """`{host: what its task registered as *variable*, or None}` for every host of the play, failed ones included."""
    hostvars = task_vars["hostvars"]
    results = {}
    for host in task_vars["ansible_play_hosts_all"]:
        known = hostvars.raw_get(host)
        results[host] = known.get(variable) if hasattr(known, "get") else None
    return results


def _notes(results):
    """Sentences of the hosts' results, each once; with the hosts' names unless it holds for all of them."""
    hosts_of = {}
    for host, result in results.items():
        if not isinstance(result, dict):
            continue
        sentences = list(result.get("messages") or [])
        errors = [disk["error"] for disk in (result.get("disks") or {}).values() if disk.get("error")]
        if errors:
            sentences.append("free space unknown: " + ", ".join(dict.fromkeys(errors)))
        for sentence in dict.fromkeys(sentences):
            hosts_of.setdefault(sentence, []).append(host)
    lines = []
    for sentence, hosts in hosts_of.items():
        prefix = "" if len(hosts) == len(results) else ", ".join(hosts) + ": "
        lines.append(prefix + table.clean(sentence))
    return lines
