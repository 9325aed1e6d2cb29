# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action of homelab.mediastack.exposure_report: the table of all hosts, the report files, and the verdict."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils import color
from ansible.utils.display import Display

from ansible_collections.homelab.mediastack.plugins.plugin_utils import (
    exposure_report,
    play_results,
    report_files,
    terminal,
)

display = Display()


class ActionModule(ActionBase):
    """Prints, writes and judges on the controller; nothing is sent to a host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Print every port of every host of the play, write `output`, fail unless all passed."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "variable": {"type": "str", "required": True},
                "output": {"type": "str", "default": ""},
            }
        )
        try:
            outputs = report_files.check_outputs(arguments["output"], exposure_report.FORMATS)
        except report_files.OutputError as error:
            raise AnsibleActionFail(f"output: {error}") from error
        report = exposure_report.build(play_results.registered(arguments["variable"], task_vars))
        sentence = exposure_report.summary(report)
        if report_files.STDOUT in outputs:
            display.display(report_files.as_json(report).rstrip())
        else:
            paint = color.stringc if color.ANSIBLE_COLOR else None
            columns = display.columns if terminal.ON_TERMINAL else None
            display.display(
                "\n".join([*exposure_report.lines(report, columns, paint), *([sentence] * report["passed"])])
            )
        files = [path for path in outputs if path != report_files.STDOUT]
        try:
            for path in files:
                report_files.write(path, exposure_report.render(path, report))
        except report_files.OutputError as error:
            return {"failed": True, "changed": False, "msg": f"output: {error}; {sentence}"}
        if files and report_files.STDOUT not in outputs:
            display.display("report: " + ", ".join(files))
        return {"failed": not report["passed"], "changed": False, "msg": sentence}
