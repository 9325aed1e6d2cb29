# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of the comment, and of the summary: what is in it, what can never be, and how long it gets."""

from __future__ import annotations

import copy
import html
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

CI = pathlib.Path(__file__).resolve().parents[2] / "docs/examples/ci/ci"
WIREGUARD_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
CHANGE = {
    "kind": "changed by hand",
    "service": "sonarr",
    "path": None,
    "what": "recreate",
    "why": "restart policy unless-stopped → no",
    "before": "running sonarr:4.0.19",
    "after": "running sonarr:4.0.19",
}
FILE = {**CHANGE, "kind": "file", "service": None, "path": "/srv/ms/compose/.env", "what": "change", "why": ""}
EMPTY = {"changes": [], "images": [], "holds": [], "messages": [], "diff": ""}
REPORT = {
    "schema": 1,
    "result": "drift",
    "generated": "2026-11-23T07:18:21Z",
    "message": "1 of 2 hosts in sync; not in sync: nas (2 changes)",
    "hosts": {
        "attic": {"result": "in_sync", **EMPTY},
        "nas": {
            "result": "drift",
            **EMPTY,
            "changes": [CHANGE, FILE],
            "holds": [{"service": "bazarr", "why": "held stopped since 2026-11-22 by anna@laptop", "asked": "stop"}],
            "messages": ["images are unlocked"],
            "diff": "--- a\n+++ b\n-PUID=1000\n+PUID=1001\n",
        },
    },
}


def run(script, path, **environment):
    kept = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, str(CI / script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=kept, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def comment(tmp_path):
    """Makes the comment of a report, as it reads when it is shown."""

    def make(report, raw=False, **environment):
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(report))
        text = run("plan_comment.py", path, **environment)
        return text if raw else html.unescape(text)

    return make


def changed(**more):
    """The report with another nas."""
    report = copy.deepcopy(REPORT)
    report["hosts"]["nas"].update(more)
    return report


def test_all_of_a_report_is_in_it(comment):
    text = comment(REPORT, PLANNED_COMMIT="0123456789abcdef")
    assert text.startswith("### Plan: would change\n\n1 of 2 hosts in sync; not in sync: nas (2 changes)")
    assert "Planned for 0123456789ab." in text
    assert "| sonarr | recreate | restart policy unless-stopped → no |" in text
    assert "| /srv/ms/compose/.env | change | running sonarr:4.0.19 → running sonarr:4.0.19 |" in text
    assert "* images are unlocked" in text
    assert "* held: bazarr: held stopped since 2026-11-22 by anna@laptop" in text
    assert "<summary>Files of nas</summary>\n\n```diff\n--- a\n+++ b\n-PUID=1000\n+PUID=1001\n```" in text
    # What somebody has to look at comes first.
    assert text.index("#### nas: would change") < text.index("#### attic: in sync")


def test_in_sync_is_the_first_line(comment):
    """The pipeline of GitLab closes its issue by it."""
    report = {**REPORT, "result": "in_sync", "hosts": {"attic": REPORT["hosts"]["attic"]}}
    assert comment(report, raw=True).splitlines()[0] == "### Plan: in sync"


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"schema": 2, "hosts": {}}'])
def test_no_report_is_an_error_and_never_in_sync(tmp_path, text):
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    said = run("plan_comment.py", path)
    assert said.startswith("### Plan: error\n")
    assert "in sync" not in said


SECRETS = [
    f"PrivateKey = {WIREGUARD_KEY}",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    "https://me:hunter2hunter2@tracker.example/announce",
    "SMTP_PASSWORD: hunter2hunter2",
    'api_key="0123456789abcdef0123456789abcdef"',
    "the vault's own: correct horse",
]
LEAKS = (WIREGUARD_KEY, "b3BlbnNz", "MIIEv", "hunter2", "0123456789abcdef01", "correct horse")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["diff", "messages", "why"])
def test_no_secret_is_in_it(comment, secret, place):
    """The playbook masks them; should one have got through, it ends here."""
    value = {
        "diff": {"diff": f"+{secret}\n"},
        "messages": {"messages": [secret]},
        "why": {"changes": [{**CHANGE, "why": secret}]},
    }[place]
    text = comment(changed(**value), VAULT_PASSWORD="correct horse")
    assert not [leak for leak in LEAKS if leak in text]
    assert "********" in text


def test_digests_and_versions_are_no_secrets(comment):
    why = "lscr.io/linuxserver/sonarr:4.0.18 sha256:" + "1f0e" * 16
    assert why in comment(changed(changes=[{**CHANGE, "why": why}]))


HOSTILE = "| x | <img src=x> @everyone #1 [a](http://e.example) `c` **b** https://e.example\n# head"


@pytest.mark.parametrize("place", ["messages", "why", "service"])
def test_nothing_in_it_is_markup_of_others(comment, place):
    value = {"messages": [HOSTILE]} if place == "messages" else {"changes": [{**CHANGE, place: HOSTILE}]}
    text = comment(changed(**value), raw=True)
    line = next(line for line in text.splitlines() if "everyone" in line)
    assert not re.search(r"[<>@`\[\]]|\*\*|https?:", line.replace("* ", "", 1))
    # A table keeps its three columns.
    assert place == "messages" or line.count("|") == 4
    assert "\n# head" not in text


def test_a_fence_in_a_diff_does_not_end_the_block(comment):
    text = comment(changed(diff="+ ````\n+<script>\n"), raw=True)
    assert "`````diff\n+ ````\n+<script>\n`````" in text


def test_a_long_diff_is_left_out_whole_and_said_so(comment):
    text = comment(changed(diff="+äöü\n" * 30000))
    assert "<details>" not in text
    assert "| sonarr | recreate |" in text
    assert "The rest is left out here" in text
    assert len(text.encode()) <= 60000


def test_long_tables_are_cut_between_lines(comment):
    report = copy.deepcopy(REPORT)
    nas = {**REPORT["hosts"]["nas"], "changes": [{**CHANGE, "why": "ä" * 50}] * 200}
    report["hosts"] = {f"nas{number}": nas for number in range(30)}
    text = comment(report, raw=True)
    assert 50000 < len(text.encode()) <= 60000
    assert text.endswith("The rest is left out here: the whole report is in the log of the job.\n")
    assert "and 100 more" in text
    assert [line for line in text.splitlines() if line.startswith("| sonarr") and line.count("|") != 4] == []


JUNIT = """<?xml version="1.0"?><testsuites><testsuite name="nas" tests="4">
<testcase name="sonarr"/><testcase name="radarr"><failure message="UNHEALTHY | connection refused"/></testcase>
<testcase name="jellyfin"><skipped message="DEGRADED"/></testcase>
<testcase name="lidarr"><error message="x"/></testcase>
</testsuite></testsuites>"""


def test_the_summary_names_what_is_not_healthy(tmp_path):
    path = tmp_path / "report.xml"
    path.write_text(JUNIT)
    text = run("junit_summary.py", path)
    assert text.startswith("### Status: 1 of 4 healthy\n")
    assert "| nas | radarr | not healthy | UNHEALTHY &#124; connection refused |" in text
    assert "| nas | jellyfin | degraded | DEGRADED |" in text
    assert "| nas | lidarr | unknown | x |" in text
    assert "sonarr" not in text


@pytest.mark.parametrize("text", [None, "", "<testsuites>"])
def test_no_status_report_is_said_so(tmp_path, text):
    path = tmp_path / "report.xml"
    if text is not None:
        path.write_text(text)
    assert run("junit_summary.py", path).startswith("### Status: no report\n")
