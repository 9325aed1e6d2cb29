# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.plan_report: the report of all hosts, its files, and then the verdict on each host."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    plan_model,
    plan_text,
    play_results,
    report_files,
    table,
)

display = Display()


class ActionModule(ActionBase):
    """Prints, writes and judges on the controller; nothing is sent to a host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Print and write the report of every host of the play; with `verdict`, fail where this host is not in sync."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "required": True},
                "output": {"type": "str", "default": ""},
                "verdict": {"type": "bool", "default": False},
                "fail_on_drift": {"type": "bool", "default": True},
            }
        )
        report = plan_model.report(play_results.registered(arguments["variable"], task_vars))
        if arguments["verdict"]:
            return self._verdict(report["hosts"], arguments["fail_on_drift"], task_vars["inventory_hostname"])
        return self._report(report, arguments["output"])

    def _report(self, report, output):
        try:
            outputs = report_files.check_outputs(output, plan_model.FORMATS)
        except report_files.OutputError as error:
            raise AnsibleActionFail(f"output: {error}") from error
        text = report_files.as_json(report)
        if report_files.STDOUT in outputs:
            display.display(text.rstrip())
        else:
            paint = color.stringc if color.ANSIBLE_COLOR else None
            display.display("\n".join(plan_text.lines(report, self._task.diff, paint)))
        files = [path for path in outputs if path != report_files.STDOUT]
        errors = []
        for path in files:
            try:
                report_files.write(path, text)
            except report_files.OutputError as error:
                errors.append(str(error))
        if errors:
            return {"failed": True, "changed": False, "msg": f"output: {'; '.join(errors)}; {report['message']}"}
        if files and report_files.STDOUT not in outputs:
            display.display("report: " + ", ".join(files))
        return {"changed": False, "result": report["result"], "msg": report["message"]}

    @staticmethod
    def _verdict(hosts, fail_on_drift, host):
        one = hosts[host]
        if one["result"] == plan_model.ERROR:
            message = "\n".join(map(_clean, one["messages"]))
            same = next(name for name, other in hosts.items() if other["messages"] == one["messages"])
            if same != host and not one.get("unreachable"):
                # Our callback plugin keeps quiet about this result.
                return {"failed": True, "changed": False, "said_of": same, "msg": f"as for {same}"}
            return {"unreachable" if one.get("unreachable") else "failed": True, "changed": False, "msg": message}
        drifted = one["result"] == plan_model.DRIFT
        return {"failed": drifted and fail_on_drift, "changed": False, "msg": plan_model.words(one)}


def _clean(message):
    """A message of several lines, its lists indented, without signs that move the cursor."""
    return "\n".join(("  " if line.startswith(" ") else "") + table.clean(line) for line in message.split("\n"))
