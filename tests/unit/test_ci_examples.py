# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sample pipelines as text: the forges' own schemas, an analyser of workflows, and the rules of docs/pipelines.md.

What their steps do is shown by tests/integration/test_ci_pipelines.py.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import ci_policy
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CI = ROOT / "docs" / "examples" / "ci"
GITHUB = sorted((CI / "github/.github/workflows").glob("*.yml"))
FORGEJO = sorted((CI / "forgejo/.forgejo/workflows").glob("*.yml"))
GITLAB = CI / "gitlab/.gitlab-ci.yml"
BIN = pathlib.Path(sys.executable).parent
CHECKOUT = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0"


def names(paths):
    return [f"{path.parts[-4]}-{path.name}" for path in paths]


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)


def schema(name, *paths):
    return run(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{name}", *paths)


def zizmor(*paths):
    return run(BIN / "zizmor", "--offline", "--persona=pedantic", "--strict-collection", "--format=plain", *paths)


def test_the_same_three_are_there_for_both():
    assert [path.name for path in GITHUB] == [path.name for path in FORGEJO] == EXPECTED


EXPECTED = ["deploy.yml", "drift.yml", "pull-request.yml"]


@pytest.mark.parametrize(
    ("name", "paths"), [("github-workflows", GITHUB), ("github-workflows", FORGEJO), ("gitlab-ci", [GITLAB])]
)
def test_the_schema_of_the_forge_is_met(name, paths):
    done = schema(name, *paths)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schemas_refuse_what_is_wrong(tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text(GITHUB[0].read_text().replace("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04"))
    assert schema("github-workflows", bad).returncode == 1
    bad.write_text(GITLAB.read_text().replace("resource_group: mediastack", "resource_group: [mediastack]"))
    assert schema("gitlab-ci", bad).returncode == 1


def test_the_analyser_finds_nothing():
    done = zizmor(*GITHUB, *FORGEJO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("finding", "old", "new"),
    [
        ("unpinned-uses", CHECKOUT, "actions/checkout@v5"),
        ("dangerous-triggers", "  pull_request:\n", "  pull_request_target:\n"),
        ("excessive-permissions", "permissions: {}", "permissions: write-all"),
        ("template-injection", "printf '%s\\n' \"$TEXT\"", "echo '${{ github.event.pull_request.title }}'"),
        ("artipacked", "persist-credentials: false", "fetch-depth: 1"),
    ],
)
def test_the_analyser_finds_what_is_wrong(tmp_path, finding, old, new):
    text = next(path for path in GITHUB if path.name == "pull-request.yml").read_text()
    assert old in text
    # Only below this path does it take a file for a workflow.
    bad = tmp_path / ".github/workflows/bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(text.replace(old, new))
    done = zizmor(bad)
    assert done.returncode != 0
    assert finding in done.stdout + done.stderr


@pytest.mark.parametrize("path", [*GITHUB, *FORGEJO], ids=names([*GITHUB, *FORGEJO]))
def test_the_rules_for_workflows_are_kept(path):
    assert ci_policy.actions(path.read_text()) == []


def test_the_rules_for_gitlab_are_kept():
    assert ci_policy.gitlab(GITLAB.read_text()) == []


@pytest.mark.parametrize("path", sorted((CI / "ci").iterdir()), ids=lambda path: path.name)
def test_host_keys_are_checked_by_every_script(path):
    assert path.is_dir() or ci_policy.everywhere(path.read_text()) == []


BAD = [
    ("pull-request.yml", "  pull_request:\n", "  pull_request_target:\n", "runs on pull_request_target"),
    ("pull-request.yml", "\npermissions: {}\n", "\npermissions:\n  contents: read\n", "permissions of the workflow"),
    ("pull-request.yml", "pull-requests: write", "contents: write", "comment: permissions"),
    (
        "pull-request.yml",
        "      contents: read\n    outputs",
        "      issues: write\n    outputs",
        "the right to write to",
    ),
    ("pull-request.yml", CHECKOUT, "actions/checkout@v5", "is not a known commit"),
    ("pull-request.yml", CHECKOUT, CHECKOUT.replace("08c6", "18c6"), "is not a known commit"),
    ("pull-request.yml", CHECKOUT, CHECKOUT.replace("v5.0.0", "v4.0.0"), "is not a known commit"),
    ("pull-request.yml", CHECKOUT, CHECKOUT.partition(" #")[0], "is not a known commit"),
    ("pull-request.yml", "persist-credentials: false", "fetch-depth: 0", "credentials stay in the checkout"),
    (
        "pull-request.yml",
        f"    needs: validate\n    if: {ci_policy.SAME_REPOSITORY}\n",
        "    needs: validate\n",
        "forks",
    ),
    ("pull-request.yml", f"    needs: lint\n    if: {ci_policy.SAME_REPOSITORY}\n", "    needs: lint\n", "forks"),
    ("pull-request.yml", f" && {ci_policy.SAME_REPOSITORY} }}}}", " }}", "comment: secrets, rights"),
    ("pull-request.yml", '"$NUMBER"', "${{ github.event.pull_request.number }}", "an expression in a script"),
    ("pull-request.yml", "concurrency:\n", "x-concurrency:\n", "no concurrency"),
    ("deploy.yml", "  cancel-in-progress: false", "  cancel-in-progress: true", "cancelled half-way"),
    ("deploy.yml", "    timeout-minutes: 180\n", "", "deploy: no timeout"),
    ("deploy.yml", "\njobs:\n", "\nenv:\n  KEY: ${{ secrets.SSH_PRIVATE_KEY }}\n\njobs:\n", "a secret for every job"),
    (
        "deploy.yml",
        "    needs: check\n",
        "    needs: check\n    env:\n      KEY: ${{ secrets.SSH_PRIVATE_KEY }}\n",
        "a secret for every step",
    ),
    ("deploy.yml", "run: ci/install.sh", "run: ANSIBLE_HOST_KEY_CHECKING=false ci/install.sh", "host keys"),
    ("deploy.yml", "run: ci/install.sh", "run: ssh -o StrictHostKeyChecking=no nas", "host keys"),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), BAD)
def test_each_rule_for_workflows_finds_its_breach(name, old, new, expected):
    text = next(path for path in GITHUB if path.name == name).read_text()
    assert old in text
    assert any(expected in one for one in ci_policy.actions(text.replace(old, new)))


BAD_GITLAB = [
    (f" && {ci_policy.SAME_PROJECT}", "", "for merge requests from forks"),
    ("  resource_group: mediastack\n", "", "two deployments at once"),
    ("  interruptible: false\n", "", "cancelled half-way"),
    ("  timeout: 5 minutes\n", "", "comment: no timeout"),
    ("variables:\n", "include: https://example.org/x.yml\nvariables:\n", "includes what is elsewhere"),
    ('"$CI_MERGE_REQUEST_IID"', "$CI_MERGE_REQUEST_IID", "not quoted"),
    ("ci/install.sh", "ANSIBLE_HOST_KEY_CHECKING=False ci/install.sh", "host keys"),
]


@pytest.mark.parametrize(("old", "new", "expected"), BAD_GITLAB)
def test_each_rule_for_gitlab_finds_its_breach(old, new, expected):
    text = GITLAB.read_text()
    assert old in text
    assert any(expected in one for one in ci_policy.gitlab(text.replace(old, new)))


def test_both_forges_run_the_same():
    """But for the checkout and for what Forgejo does not show."""

    def scripts(path):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        lines = [step.get("run", "") for job in jobs.values() for step in job["steps"] if step["name"] != "Check out"]
        return [re.sub(r' >> "\$GITHUB_STEP_SUMMARY"', "", line) for line in lines if line]

    for one, other in zip(GITHUB, FORGEJO, strict=True):
        assert scripts(one) == scripts(other)


def test_what_is_installed_is_what_the_release_was_tested_with():
    """Everything pinned, and nothing that only comes along is missing."""
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements/constraints.txt").read_text(), re.MULTILINE))
    lines = (CI / "ci/requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert pinned.items() <= tested.items()
    assert {"ansible-core", "requests", "yamllint"} <= pinned.keys()


def test_the_playbooks_are_there():
    texts = [path.read_text() for path in [*GITHUB, *FORGEJO, GITLAB]]
    used = {name for text in texts for name in re.findall(r"ci/run\.sh (\w+)", text)}
    assert used == {"config_validate", "plan", "site", "update", "status"}
    assert all((ROOT / "playbooks" / f"{name}.yml").exists() for name in used)
