# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the sample pipelines must hold to, as functions that name every breach in a text."""

from __future__ import annotations

import re

import yaml

# Commits that were looked up, and the releases that they are.
PINNED = {
    "actions/checkout": ("08c6903cd8c0fde910a37f88322edcfb5dd907a8", "v5.0.0"),
    "actions/upload-artifact": ("ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
}
EVENTS = {"pull_request", "push", "schedule", "workflow_dispatch"}
WRITES = {"pull-requests", "issues"}
SAME_REPOSITORY = "github.event.pull_request.head.repo.full_name == github.repository"
SAME_PROJECT = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID"
NO_HOST_KEYS = re.compile(
    r"StrictHostKeyChecking[= ](?:no|off|accept-new)|HOST_KEY_CHECKING[=: ]+[\"']?(?:false|no|0)", re.I
)
SECRETS = re.compile(r"\bsecrets\b")


def actions(text):
    """Breaches of a workflow of GitHub or Forgejo."""
    workflow = yaml.safe_load(text)
    events = workflow["on"] if isinstance(workflow["on"], dict) else dict.fromkeys(workflow["on"])
    found = [f"runs on {event}" for event in events if event not in EVENTS]
    if workflow.get("permissions") != {}:
        found.append("permissions of the workflow are not {}")
    if "concurrency" not in workflow:
        found.append("no concurrency")
    if SECRETS.search(str(workflow.get("env", ""))):
        found.append("a secret for every job")
    for name, job in workflow["jobs"].items():
        found += [f"{name}: {what}" for what in _job(job, "pull_request" in events)]
        if name == "deploy" and workflow.get("concurrency", {}).get("cancel-in-progress") is not False:
            found.append("a deployment can be cancelled half-way")
    return [*found, *_uses(text), *everywhere(text)]


def _job(job, reachable_by_forks):
    secret = bool(SECRETS.search(str(job)))
    at_home = "mediastack" in str(job["runs-on"])
    permissions = job.get("permissions")
    if not isinstance(permissions, dict) or any(
        right != "read" and (right != "write" or scope not in WRITES) for scope, right in permissions.items()
    ):
        yield f"permissions {permissions}"
    elif "write" in permissions.values() and (secret or at_home):
        yield "the right to write together with secrets or a way to the servers"
    if "timeout-minutes" not in job:
        yield "no timeout"
    if (
        reachable_by_forks
        and (secret or at_home or "write" in str(permissions))
        and SAME_REPOSITORY not in job.get("if", "")
    ):
        yield "secrets, rights or a runner at home for pull requests from forks"
    if SECRETS.search(str(job.get("env", ""))) or job.get("secrets"):
        yield "a secret for every step"
    for step in job["steps"]:
        label = step.get("name", "a step")
        if "${{" in step.get("run", ""):
            yield f"{label}: an expression in a script"
        if "actions/checkout" in step.get("uses", "") and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{label}: credentials stay in the checkout"
        if "toJSON(secrets)" in str(step):
            yield f"{label}: all secrets at once"


def _uses(text):
    for action, ref, version in re.findall(r"uses: *(\S+?)@(\S+)(?: # (\S+))?", text):
        if (ref, version) != PINNED.get(action):
            yield f"{action}@{ref} {version}".rstrip() + " is not a known commit with its version"


def gitlab(text):
    """Breaches of a pipeline of GitLab."""
    pipeline = yaml.safe_load(text)
    found = ["includes what is elsewhere"] if "include" in pipeline else []
    for name, job in pipeline.items():
        if not isinstance(job, dict) or "script" not in job:
            continue
        reachable = [rule["if"] for rule in job.get("rules", [{"if": "always"}]) if _for_merge_requests(rule["if"])]
        if ("environment" in job or "tags" in job) and any(SAME_PROJECT not in rule for rule in reachable):
            found.append(f"{name}: secrets or a runner at home for merge requests from forks")
        if "timeout" not in job and job.get("extends") != ".job":
            found.append(f"{name}: no timeout")
    deploy = pipeline["deploy"]
    if "resource_group" not in deploy:
        found.append("two deployments at once")
    if deploy.get("interruptible") is not False:
        found.append("a deployment can be cancelled half-way")
    if any("CI_MERGE_REQUEST" in line for job in pipeline.values() for line in _lines(job) if '"$' not in line):
        found.append("what somebody else wrote in a script, not quoted")
    return [*found, *everywhere(text)]


def _for_merge_requests(rule):
    named = re.findall(r'\$CI_PIPELINE_SOURCE == "(\w+)"', rule)
    return "merge_request_event" in named if named else True


def _lines(job):
    if not isinstance(job, dict):
        return []
    return [line for key in ("before_script", "script", "after_script") for line in job.get(key, [])]


def everywhere(text):
    """Breaches that a script can have as well."""
    return ["host keys are not checked"] if NO_HOST_KEYS.search(text) else []
