# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Print what is known of the health of hosts: the whole table, or what is not well, and the sentences on it."""

from __future__ import annotations

from ansible.utils import color
from ansible.utils.display import Display

from . import status_text, terminal

display = Display()


def show(report, results, which, failed):
    """Print a report; a failure says its sentence itself.

    Args:
        report: of `report_model.build`.
        results: host → its result of `stack_health`.
        which: `all` rows, or `problems`.
        failed: whether the task fails for it.
    """
    style = status_text.Style(
        columns=display.columns if terminal.ON_TERMINAL else None,
        paint=color.stringc if color.ANSIBLE_COLOR else None,
        link=terminal.link if color.ANSIBLE_COLOR and terminal.can_move() else None,
    )
    sentences = status_text.notes(results)
    if not failed:
        sentences.append(status_text.summary(report["services"]))
    if which == "all":
        lines = status_text.picture(report, sentences, style)
    else:
        shown = status_text.problems(report)
        lines = status_text.table_lines(report, shown, style) if shown else []
        lines += [*status_text.facts_lines(report, only_bad=True, style=style), *sentences]
    if lines:
        display.display("\n".join(lines))
