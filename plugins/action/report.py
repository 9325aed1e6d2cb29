# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.report: the status table of all hosts, the report files, and the verdict."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    local_hosts,
    report_files,
    report_model,
    status_print,
    status_text,
)

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
                "fail_on": {"type": "str", "choices": list(report_model.PASSING), "default": "degraded"},
                "output": {"type": "str", "default": ""},
                "rows": {"type": "str", "choices": ["all", "problems"], "default": "all"},
            },
            required_one_of=[("results", "variable")],
            mutually_exclusive=[("results", "variable")],
        )
        try:
            outputs = report_files.check_outputs(arguments["output"])
        except report_files.OutputError as error:
            raise AnsibleActionFail(f"output: {error}") from error
        results = arguments["results"]
        if results is None:
            results = _registered(arguments["variable"], task_vars)
        report = report_model.build(results, local_hosts.among(results, task_vars, self._task.connection))
        failed, sentence = status_text.verdict(report, arguments["fail_on"])
        if report_files.STDOUT in outputs:
            display.display(report_files.as_json(report).rstrip())
        else:
            status_print.show(report, results, arguments["rows"], failed)
        files = [path for path in outputs if path != report_files.STDOUT]
        try:
            report_files.write_all(files, report, arguments["fail_on"])
        except report_files.OutputError as error:
            return {"failed": True, "changed": False, "msg": f"output: {error}; {sentence}"}
        if files and report_files.STDOUT not in outputs:
            display.display("report: " + ", ".join(files))
        if failed:
            return {"failed": True, "changed": False, "msg": sentence}
        return {"changed": False, "healthy": report["healthy"], "msg": sentence}


def _registered(variable, task_vars):
    """`{host: what its task registered as *variable*, or None}` for every host of the play, failed ones included."""
    hostvars = task_vars["hostvars"]
    results = {}
    for host in task_vars["ansible_play_hosts_all"]:
        known = hostvars.raw_get(host)
        results[host] = known.get(variable) if hasattr(known, "get") else None
    return results
