#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have other people's tools judge what the collection renders and what it is made of.

compose-lint, dclint, compose-harden and detect-secrets see every stack of stacks.py as it would lie on a host;
detect-secrets also the repository, bandit the shipped Python. Nothing is downloaded or started but the tools.

judges.py           ends with 1 on a finding that no line of waivers.yml or known_values.yml has a reason for, on a line
                    that nothing needs any more, and when docs/judges.md has other numbers than this run
judges.py --docs    the same, and writes docs/judges.md
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import datetime
import json
import pathlib
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import page  # noqa: E402
import stacks  # noqa: E402
import tools  # noqa: E402
from findings import Waivers  # noqa: E402

OUT = tools.ROOT / "build" / "judges"
# What of a judge's levels must not be; compose-harden's number is published only: it asks every service for `user:`,
# which an image that starts as root and then becomes PUID:PGID cannot have.
BOUND = {
    "compose-lint": ("critical", "high"),
    "dclint": ("error",),
    "detect-secrets": ("secret",),
    "bandit": ("high", "medium", "low", "undefined"),
}
WIDEST = "all-vpn-proxy"


class Rendered:
    """All stacks on disk: `projects` (name → directory), `files` (each distinct Compose file once), `texts`."""

    def __init__(self, directory):
        """Render every stack below *directory*, which is emptied before."""
        shutil.rmtree(directory, ignore_errors=True)
        self.projects, distinct, readable = {}, {}, {}
        with tempfile.TemporaryDirectory() as catalogue:
            world = stacks.render_harness.World(catalogue, shipped=stacks.render_harness.SHIPPED)
            for stack in stacks.every():
                project = directory / "stacks" / stack.name
                files = stacks.render(world, stack)
                stacks.write(project, files)
                self.projects[stack.name] = project
                for file in files:
                    if pathlib.PurePath(file.path).match("compose.*.yml"):
                        distinct.setdefault((file.path, file.text), project / file.path)
                    if not file.secret:
                        readable.setdefault((file.path, file.readable), stack.name)
        self.files = list(distinct.values())
        # path on disk → how it is called: the file's name says which one it is, whatever stack it was seen in first
        self.texts = {}
        for number, (path, text) in enumerate(readable):
            target = directory / "readable" / str(number) / pathlib.PurePath(path).name
            target.parent.mkdir(parents=True)
            target.write_text(text, encoding="utf-8")
            self.texts[str(target)] = f"rendered {path}"


def judge(rendered):
    """Ask every judge, two at a time; return `(findings, harden)`: a set, and stack name → `(passed, applicable)`."""
    compose = {name: sorted(project.glob("compose.*.yml")) for name, project in rendered.projects.items()}
    repository = tools.tracked()
    # Longest first.
    asked = [
        (tools.detect_secrets, repository),
        (tools.detect_secrets, list(rendered.texts), rendered.texts),
        (tools.compose_lint, list(rendered.projects.values())),
        (tools.dclint, rendered.files),
        (tools.bandit, tools.tracked(*tools.SHIPPED)),
    ]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(*call) for call in asked]
        harden, findings = {}, set()
        for name, files in compose.items():
            failed, passed, applicable = tools.compose_harden(files)
            findings |= failed
            harden[name] = (passed, applicable)
        for call in waiting:
            findings |= call.result()
    return findings, harden


def measure(findings, harden, waivers):
    """Return the results: counts, what is left, what is waived, and what no finding needs."""
    counts, left, waived = collections.Counter(), [], collections.Counter()
    rules = collections.defaultdict(set)
    for finding in sorted(findings):
        if finding.judge in BOUND and waivers.waived(finding):
            waived[finding.judge] += 1
            continue
        counts[finding.judge, finding.level] += 1
        if finding.level in BOUND.get(finding.judge, ()):
            left.append(finding)
        if finding.judge in ("compose-lint", "compose-harden", "dclint"):
            rules[finding.judge, finding.rule, finding.level].add(finding.where)
    return {
        "counts": {f"{judge} {level}": number for (judge, level), number in sorted(counts.items())},
        "waived": dict(sorted(waived.items())),
        "rules": [[*key, sorted(where)] for key, where in sorted(rules.items())],
        "left": [finding.line() for finding in left],
        "unneeded": waivers.unneeded(BOUND),
        "harden": {
            "widest": harden[WIDEST],
            "worst": min((share(*pair), name) for name, pair in harden.items() if pair[1]),
            "best": max((share(*pair), name) for name, pair in harden.items() if pair[1]),
        },
    }


def share(passed, applicable):
    """compose-harden's score: how much of what applies has passed, of 100."""
    return round(100 * passed / applicable)


def main():
    """Render, judge, tell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write docs/judges.md")
    docs = parser.parse_args().docs
    began = time.monotonic()
    rendered = Rendered(OUT)
    results = measure(*judge(rendered), Waivers())
    results |= {
        "stacks": len(rendered.projects),
        "files": len(rendered.files),
        "seconds": round(time.monotonic() - began, 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": tools.versions(),
    }
    (OUT / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print("\n".join(page.plain(results)))
    stale = [f"waivers.yml: nothing needs this line any more: {line}" for line in results["unneeded"]]
    wrong = [*results["left"], *stale]
    print("\n".join(wrong))
    if docs:
        page.write(results)
    elif not page.agrees(results):
        wrong.append(f"{page.PAGE.relative_to(tools.ROOT)} has other numbers than this run: make judges")
        print(wrong[-1])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
