# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""python3 ci/junit_summary.py report.xml: the JUnit report of the playbook status as a Markdown table.

For forges that show no JUnit by themselves. Every service that is not healthy has a row; how many are is a number.
"""

from __future__ import annotations

import sys
from xml.etree import ElementTree  # nosec B405 # only what this pipeline wrote itself

from safe_markdown import inline

BAD = {"failure": "not healthy", "error": "unknown", "skipped": "degraded"}


def summary(root):
    """The table of a report's root element."""
    rows, count = [], 0
    for suite in root.iter("testsuite"):
        for case in suite.findall("testcase"):
            count += 1
            for tag, word in BAD.items():
                found = case.find(tag)
                if found is not None:
                    cells = [suite.get("name", ""), case.get("name", ""), word, found.get("message") or ""]
                    rows.append(f"| {' | '.join(inline(cell) for cell in cells)} |")
                    break
    text = f"### Status: {count - len(rows)} of {count} healthy\n"
    if rows:
        text += "\n| host | service | | |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    return text


def main(arguments):
    """Write the table for the report in the file that the only argument names."""
    if len(arguments) != 1:
        print("usage: junit_summary.py report.xml", file=sys.stderr)
        return 2
    try:
        root = ElementTree.parse(arguments[0]).getroot()  # nosec B314 # as above
    except FileNotFoundError:
        sys.stdout.write("### Status: no report\n\nstatus has not run to its end. The log of the job says why.\n")
        return 0
    except (OSError, ElementTree.ParseError) as error:
        sys.stdout.write(f"### Status: no report\n\n{inline(f'{arguments[0]} cannot be read: {error}')}\n")
        return 0
    sys.stdout.write(summary(root))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
