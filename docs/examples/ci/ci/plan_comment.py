# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""python3 ci/plan_comment.py plan.json: the report of the playbook plan as Markdown for a comment, on standard output.

Needs nothing but Python. A report that is not there or not readable is said so in the text: the run that should have
written it has failed then, and whoever reads the comment ought to know.
"""

from __future__ import annotations

import json
import os
import sys

from safe_markdown import block, inline, size

# Forges take 65,536 characters; one variable of the environment takes 131,072 bytes.
LIMIT = 60000
ROWS = 100
WORDS = {"in_sync": "In sync", "drift": "Would change", "error": "Error"}
CUT = "\n\nThe rest is left out here: the whole report is in the log of the job.\n"


def read(path):
    """`(report, None)`, or `(None, what is wrong)`."""
    try:
        with open(path, encoding="utf-8") as stream:
            report = json.load(stream)
    except FileNotFoundError:
        return None, "plan has written no report: it ended before it began. The log of the job says why."
    except (OSError, ValueError) as error:
        return None, f"the report of plan cannot be read ({error}). The log of the job says more."
    if not isinstance(report, dict) or report.get("schema") != 1 or not isinstance(report.get("hosts"), dict):
        return None, "the report of plan has a form that this script does not know: update ci/ with the collection."
    return report, None


def changes(host):
    """The changes of a host as a table, at most `ROWS` of them."""
    rows = ["| | what | why |", "| --- | --- | --- |"]
    for change in host["changes"][:ROWS]:
        subject = change["service"] or change["path"] or change["kind"]
        why = change["why"] or " → ".join(part for part in (change["before"], change["after"]) if part)
        rows.append(f"| {inline(subject)} | {inline(change['what'])} | {inline(why)} |")
    text = "\n".join(rows)
    if len(host["changes"]) > ROWS:
        text += f"\n\nand {len(host['changes']) - ROWS} more"
    return text


def section(name, host):
    """`(text, diff)` of one host; the diff is what may be left out."""
    parts = [f"#### {inline(name)}: {WORDS.get(host['result'], 'Error').lower()}"]
    if host["changes"]:
        parts.append(changes(host))
    said = [*host["messages"]]
    said += [f"held: {hold['service']}: {hold['why']}" for hold in host["holds"]]
    if said:
        parts.append("\n".join(f"* {inline(one)}" for one in said))
    diff = ""
    if host["diff"].strip():
        shown = block(host["diff"], "diff")
        diff = f"<details><summary>Files of {inline(name)}</summary>\n\n{shown}\n\n</details>"
    return "\n\n".join(parts), diff


def cut(text, limit):
    """*text* of at most *limit* bytes, ended between two lines."""
    kept = text.encode()[: limit - size(CUT)].decode(errors="ignore")
    return kept.rpartition("\n")[0] + CUT


def comment(report, problem, commit, limit=LIMIT):
    """The whole comment.

    *report* is what `plan -e output=` wrote, or `None` with *problem*, a sentence. *commit* is what was planned, or
    empty. No more than *limit* bytes: diffs are left out first, each whole, then the end of the tables.
    """
    about = f"\n\nPlanned for {inline(commit[:12])}." if commit else ""
    if report is None:
        return f"### Plan: error\n\n{inline(problem)}{about}\n"
    head = f"### Plan: {WORDS.get(report['result'], 'Error').lower()}\n\n{inline(report['message'])}{about}"
    texts, diffs = [head], []
    # What is wrong first, what is as it should be last.
    order = {"error": 0, "drift": 1}
    for name, host in sorted(report["hosts"].items(), key=lambda pair: (order.get(pair[1]["result"], 2), pair[0])):
        text, diff = section(name, host)
        texts.append(text)
        diffs.append((len(texts) - 1, diff))
    whole = "\n\n".join(texts) + "\n"
    if size(whole) > limit:
        return cut(whole, limit)
    left = limit - size(whole) - size(CUT)
    missing = False
    for number, diff in diffs:
        if diff and size(diff) + 2 <= left:
            texts[number] += f"\n\n{diff}"
            left -= size(diff) + 2
        else:
            missing = missing or bool(diff)
    return "\n\n".join(texts) + (CUT if missing else "\n")


def main(arguments):
    """Write the comment for the report in the file that the only argument names."""
    if len(arguments) != 1:
        print("usage: plan_comment.py plan.json", file=sys.stderr)
        return 2
    report, problem = read(arguments[0])
    commit = os.environ.get("PLANNED_COMMIT") or os.environ.get("CI_COMMIT_SHA") or os.environ.get("GITHUB_SHA", "")
    sys.stdout.write(comment(report, problem, commit))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
