# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sample pipelines, step by step as their forges run them, on a real inventory and this machine's engine.

Install (from the built artifact), lint, validate, plan, the comment, deploy, the lock, the JUnit report, drift.
"""

from __future__ import annotations

import contextlib
import json
import xml.etree.ElementTree as ElementTree

import ci_lab
import ci_runner
import pytest
import stack_harness as h
import yaml
from fault_stack import TARGET

# One forge in the short form: what differs between them is the YAML.
KINDS = ["github", pytest.param("forgejo", marks=pytest.mark.long), pytest.param("gitlab", marks=pytest.mark.long)]
LIMIT = 96 * 1024 * 1024


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return ci_lab.build(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="module", params=KINDS)
def lab(request, artifact, tmp_path_factory):
    place = tmp_path_factory.mktemp(f"ci-{request.param}")
    directory = ci_lab.prepared(tmp_path_factory.mktemp("prepared"))
    with contextlib.closing(ci_lab.Lab(request.param, place, artifact, directory)) as lab:
        yield lab


def said(jobs):
    return "\n\n".join(f"== {name}: {job.result} {job.steps}\n{job.log}" for name, job in jobs.items())


def results(jobs):
    return {name: job.result for name, job in jobs.items()}


def test_a_fork_gets_to_the_lint_and_no_further(lab):
    lab.branch("fork")
    jobs = lab.pull_request(1, fork=True)
    assert jobs["lint"].result == "success", said(jobs)
    assert {name: job.result for name, job in jobs.items() if job.result != "skipped"} == {"lint": "success"}
    assert lab.forge.requests == []


def test_a_wrong_inventory_is_red_at_validate_and_nothing_is_touched(lab):
    lab.branch("wrong")
    lab.write(mediastack_profile=["jellyfin"])
    lab.commit("Wrong", "wrong")
    jobs = lab.pull_request(1)
    assert jobs["lint"].result == "success", said(jobs)
    assert jobs["validate"].result == "failure"
    assert "mediastack_profile (host_vars/box/mediastack.yml:" in jobs["validate"].log
    assert "Did you mean mediastack_profiles?" in jobs["validate"].log
    assert jobs.get("plan", ci_runner.Job()).result == "skipped"
    assert lab.stack.containers() == {}
    assert not lab.stack.base.exists()


def test_a_merge_is_deployed_and_its_status_is_a_report(lab):
    jobs = lab.deploy()
    assert set(results(jobs).values()) == {"success"}, said(jobs)
    containers = lab.stack.containers()
    assert {name: one["State"]["Health"]["Status"] for name, one in containers.items() if "Health" in one["State"]}
    assert set(containers) == lab.stack.expected
    # The settings in the vault were read.
    assert f"WORD={ci_lab.WORD}" in containers[TARGET]["Config"]["Env"]
    answer, _body = h.get(f"http://127.0.0.1:{lab.stack.ports[TARGET]}/ping")
    assert answer == 200
    if lab.kind != "forgejo":
        (text,) = (text for name, text in lab.runner.artifacts.items() if name in ("status", "report.xml"))
        names = {case.get("name") for case in ElementTree.fromstring(text).iter("testcase")}
        assert lab.stack.expected <= names
    shown = jobs["deploy"].summary + jobs["deploy"].log
    assert "healthy" in shown
    assert lab.without_secrets


def test_a_pull_request_is_planned_in_one_comment_and_touches_nothing(lab):
    before = lab.lives()
    lab.branch("limit")
    lab.write(mediastack_overrides={TARGET: {"mem_limit": "64m"}})
    lab.commit("A limit", "limit")
    jobs = lab.pull_request(1)
    assert set(results(jobs).values()) == {"success"}, said(jobs)
    (comment,) = lab.comments
    assert "### Plan: would change" in comment
    assert f"| {TARGET} | recreate |" in comment
    assert lab.lives() == before
    assert lab.without_secrets


@pytest.mark.long
def test_another_push_changes_the_comment(lab):
    (comment,) = lab.comments
    lab.write(mediastack_overrides={TARGET: {"mem_limit": LIMIT}})
    lab.commit("Another", "limit")
    assert set(results(lab.pull_request(1)).values()) == {"success"}
    (again,) = lab.comments
    assert again != comment
    assert str(LIMIT) in again


@pytest.mark.long
def test_its_merge_brings_the_servers_to_the_inventory_and_to_the_lock(lab):
    # The lock as it was resolved, and a release that somebody has reviewed in the same pull request.
    lab.stack.play("update", "-e", "lock_only=true")
    text = lab.stack.lock_file.read_text()
    (old,) = (entry["digest"] for entry in yaml.safe_load(text)["images"] if entry["service"] == TARGET)
    new = lab.stack.publish(TARGET)
    assert old != new
    (lab.clone / "mediastack.lock.yml").write_text(text.replace(old, new))
    lab.commit("The lock", "limit")
    lab.merge("limit")
    others = {name: life for name, life in lab.lives().items() if name != TARGET}
    jobs = lab.deploy()
    assert set(results(jobs).values()) == {"success"}, said(jobs)
    container = lab.stack.containers()[TARGET]
    assert container["HostConfig"]["Memory"] == LIMIT
    image = json.loads(h.docker("image", "inspect", container["Image"]))[0]
    assert [one.partition("@")[2] for one in image["RepoDigests"]] == [new]
    assert {name: life for name, life in lab.lives().items() if name != TARGET} == others


@pytest.mark.long
def test_drift_is_an_issue_until_it_is_gone(lab):
    assert set(results(lab.drift()).values()) == {"success"}
    assert lab.forge.issues == []
    h.docker("update", "--restart=no", lab.stack.container(TARGET))
    jobs = lab.drift()
    assert "failure" in results(jobs).values(), said(jobs)
    (issue,) = lab.forge.issues
    assert "restart policy" in str(issue)
    assert issue["state"] == "open"
    h.docker("update", "--restart=unless-stopped", lab.stack.container(TARGET))
    assert set(results(lab.drift()).values()) == {"success"}
    assert issue["state"] == "closed"


@pytest.mark.long
def test_a_deployment_that_fails_is_red_and_still_tells_the_status(lab):
    """The next release does not start: the pipeline is red, and the report is there."""
    h.docker("stop", "-t", "1", lab.stack.container(TARGET))
    h.docker("update", "--restart=no", lab.stack.container(TARGET))
    lab.branch("broken")
    lab.write(mediastack_overrides={TARGET: {"command": ["false"]}})
    lab.commit("Broken", "broken")
    lab.merge("broken")
    jobs = lab.deploy()
    assert jobs["deploy"].result == "failure", said(jobs)
    if lab.kind == "github":
        assert jobs["deploy"].steps["Bring running services to the lock"] == "skipped"
        assert f"| box | {TARGET} |" in jobs["deploy"].summary
    if lab.kind != "forgejo":
        (text,) = (text for name, text in lab.runner.artifacts.items() if name in ("status", "report.xml"))
        cases = {case.get("name"): case for case in ElementTree.fromstring(text).iter("testcase")}
        assert len(cases[TARGET]) > 0


@pytest.mark.long
def test_everything_is_installed_from_the_package_index(artifact, tmp_path):
    """The install step with nothing there: what pip and ansible-galaxy bring is enough to validate."""
    with contextlib.closing(ci_lab.Lab("github", tmp_path, artifact, None)) as lab:
        lab.branch("same")
        jobs = lab.pull_request(1)
        assert (jobs["lint"].result, jobs["validate"].result) == ("success", "success"), said(jobs)
        assert (jobs["validate"].place / "work/.ci/venv/bin/ansible-playbook").exists()
