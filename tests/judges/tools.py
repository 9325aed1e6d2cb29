# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The judges: each a function that takes files, and returns what the tool found in them.

What cannot be read, or is not judged, is an error and never a clean result.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml
from compose_harden import parser, scanner
from findings import Finding

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What is shipped. Tests start programs and hold made-up values by trade.
SHIPPED = ("*.py", ":!tests", ":!molecule")
# compose-lint's rule about a credential in an environment.
_CREDENTIAL_IN_ENVIRONMENT = "CL-0020"


class Broken(Exception):
    """A judge did not judge; the text is its own."""


def compose_lint(projects):
    """Judge Compose projects, each a directory with its `.env`, whose files are merged as Compose merges them."""
    firsts = [sorted(project.glob("compose.*.yml"))[0] for project in projects]
    output = _output(sys.executable, "-m", "compose_lint", "check", "--format", "json", *firsts, good=(0, 1))
    answer = json.loads(output)
    if answer["errors"]:
        raise Broken("; ".join(f"{error['file']}: {error['message']}" for error in answer["errors"][:5]))
    return {
        Finding(
            "compose-lint",
            found["rule_id"],
            found["severity"],
            found["service"],
            found["message"],
            _variable(found) if found["rule_id"] == _CREDENTIAL_IN_ENVIRONMENT else "",
        )
        for found in answer["findings"]
    }


def _variable(found):
    """The value of the variable that a finding names: it may be the path of a secret file."""
    name = re.search(r"key '([^']+)'", found["message"])[1]
    document = yaml.safe_load((ROOT / found["file"]).read_text(encoding="utf-8"))
    return str(document["services"][found["service"]]["environment"][name])


def dclint(files):
    """Judge Compose files, each by itself."""
    with tempfile.TemporaryDirectory() as place:
        # It ends before a pipe has taken all that it says.
        report = pathlib.Path(place) / "report.json"
        options = ("--formatter", "json", "--output-file", report)
        _output(ROOT / "tests" / "tools" / "dclint.sh", *options, *files, good=(0, 1))
        answer = json.loads(report.read_text(encoding="utf-8"))
    if {pathlib.Path(file["filePath"]).resolve() for file in answer} != {file.resolve() for file in files}:
        raise Broken(f"{len(files)} files were given to dclint, and it judged {len(answer)}")
    return {
        Finding("dclint", found["rule"], found["type"], pathlib.Path(file["filePath"]).name, found["message"])
        for file in answer
        for found in file["messages"]
    }


def compose_harden(files):
    """Return `(findings, passed, applicable)` over the Compose files of one project."""
    findings, passed, applicable = set(), 0, 0
    for file in files:
        failed, good, of = _hardened(file.read_text(encoding="utf-8"))
        findings, passed, applicable = findings | failed, passed + good, applicable + of
    return findings, passed, applicable


@functools.cache
def _hardened(text):
    """compose-harden's verdict on a file; the same file is in many stacks."""
    document = parser.parse("compose.yml", text)
    named = document.data.get("services") or {}
    if set(document.services) != set(named):
        raise Broken(f"compose-harden sees {sorted(document.services)} of {sorted(named)}")
    result = scanner.analyze_document(document)
    failed = {
        Finding("compose-harden", check.check_id, "failed", check.service, check.message)
        for check in result.checks
        if not check.passed
    }
    return failed, result.passed_count, result.applicable_count


def detect_secrets(files, names=None):
    """Judge files; `names`: file → what it is called in the findings."""
    output = _output(
        sys.executable, ROOT / "tests" / "judges" / "scan_secrets.py", given="\0".join(map(str, files)), good=(0,)
    )
    return {
        Finding("detect-secrets", kind, "secret", (names or {}).get(file, file), f"line {line}", value)
        for kind, file, line, value in json.loads(output)
    }


def bandit(files):
    """Judge Python files."""
    output = _output(sys.executable, "-m", "bandit", "--quiet", "--format", "json", *files, good=(0, 1))
    answer = json.loads(output)
    if answer["errors"]:
        raise Broken("; ".join(f"{error['filename']}: {error['reason']}" for error in answer["errors"][:5]))
    return {
        Finding(
            "bandit",
            found["test_id"],
            found["issue_severity"].lower(),
            os.path.relpath(found["filename"]),
            f"line {found['line_number']}: {found['issue_text']}",
        )
        for found in answer["results"]
    }


def tracked(*patterns):
    """The files that git has or would take, below the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", "--", *patterns]
    names = _output(*command, good=(0,)).split("\0")
    return [name for name in names if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def versions():
    """Judge → version, as the tools say."""
    from importlib import metadata

    found = {name: metadata.version(name) for name in ("compose-lint", "compose-harden", "detect-secrets", "bandit")}
    found["dclint"] = _output(ROOT / "tests" / "tools" / "dclint.sh", "--version", good=(0,)).strip()
    return found


def _output(*command, good, given=None):
    done = subprocess.run(
        [str(word) for word in command], cwd=ROOT, check=False, text=True, capture_output=True, input=given
    )
    if done.returncode not in good:
        raise Broken(f"{command[0]} {' '.join(map(str, command[1:4]))}…: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout
