# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One comment and one issue, however often the pipeline runs, by the API of each forge."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import forge_server
import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "docs/examples/ci/ci/post_comment.py"
MARK = "<!-- homelab.mediastack: plan -->"


@pytest.fixture(params=["github", "forgejo", "gitlab"])
def forge(request):
    with forge_server.serving(request.param) as (forge, environment):
        forge.environment = environment
        yield forge


def post(forge, text, *options, code=0, **environment):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        input=text,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], **forge.environment, **environment},
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert forge_server.TOKEN not in done.stdout + done.stderr
    return done.stdout.strip() or done.stderr.strip()


def test_a_comment_is_added_once_and_then_changed(forge):
    assert post(forge, "first", "--pull-request", "3") == "comment added"
    assert post(forge, "second", "--pull-request", "3") == "comment changed"
    (comment,) = forge.comments[3]
    assert comment["body"] == f"{MARK}\nsecond\n"


def test_another_pull_request_has_its_own(forge):
    post(forge, "third", "--pull-request", "3")
    assert post(forge, "fourth", "--pull-request", "4") == "comment added"
    assert [len(forge.comments[number]) for number in (3, 4)] == [1, 1]


def test_it_is_found_behind_many_others(forge):
    forge.comments[3] = [forge.entry(forge_server.SOMEBODY, body="talk") for _ in range(250)]
    post(forge, "first", "--pull-request", "3")
    assert post(forge, "second", "--pull-request", "3") == "comment changed"
    assert len(forge.comments[3]) == 251


def test_somebody_elses_comment_with_the_mark_is_left_alone(forge):
    """Its author could change the text of the plan afterwards."""
    forge.comments[3] = [forge.entry(forge_server.SOMEBODY, body=f"{MARK}\nmine")]
    assert post(forge, "ours", "--pull-request", "3") == "comment added"
    assert [entry["body"] for entry in forge.comments[3]] == [f"{MARK}\nmine", f"{MARK}\nours\n"]


def test_an_issue_is_opened_changed_and_closed(forge):
    drift = ("--issue", "Drift")
    assert post(forge, "one", *drift, "--resolved") == "no issue"
    assert forge.issues == []
    assert post(forge, "two", *drift) == "issue opened"
    assert post(forge, "three", *drift) == "issue changed"
    (issue,) = forge.issues
    assert issue["title"] == "Drift"
    assert "three" in issue["description" if forge.kind == "gitlab" else "body"]
    assert post(forge, "all is well", *drift, "--resolved") == "issue closed"
    assert issue["state"] == "closed"
    # The next drift is a new matter.
    assert post(forge, "four", *drift) == "issue opened"
    assert len(forge.issues) == 2


@pytest.mark.parametrize("token", ["", "another"])
def test_without_the_right_it_says_so_in_one_line(forge, token):
    said = post(forge, "text", "--pull-request", "3", code=1, FORGE_TOKEN=token)
    assert "FORGE_TOKEN" in said
    assert len(said.splitlines()) == 1


def test_no_text_is_an_error(forge):
    assert "there is no text" in post(forge, " \n", "--pull-request", "3", code=1)
    assert forge.requests == []


def test_a_forge_that_is_away_is_one_line():
    class Away:
        environment = {"GITHUB_API_URL": "http://127.0.0.1:9", "GITHUB_REPOSITORY": "a/b", "FORGE_TOKEN": "x"}

    said = post(Away, "text", "--pull-request", "3", code=1)
    assert "127.0.0.1:9" in said
    assert len(said.splitlines()) == 1
