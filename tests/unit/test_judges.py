# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The judges of docs/judges.md see what they are there for: each finds what is wrong in something made to be wrong."""

import itertools
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "judges"))

import findings  # noqa: E402
import page  # noqa: E402
import stacks  # noqa: E402
import tools  # noqa: E402

OPEN = """\
services:
  app:
    image: example/app:latest
    privileged: true
    network_mode: host
    environment:
      DB_PASSWORD: "hunter2hunter2"
    ports:
    - 8080:80
    volumes:
    - /var/run/docker.sock:/var/run/docker.sock
version: "3"
"""
# Made here, so that this file does not hold what it plants.
PLANTED = "".join(["wJalrXUtnFEMI", "/K7MDENG/", "bPxRfiCYzEXAMPLEKEY"])


@pytest.fixture
def project(tmp_path):
    """Write a Compose project of one file; a function."""

    def write(text, name="project"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / ".env").write_text('COMPOSE_FILE="compose.core.yml"\n')
        (folder / "compose.core.yml").write_text(text)
        return folder

    return write


@pytest.fixture(scope="module")
def every():
    return list(stacks.every())


def rules(found, *levels):
    return {finding.rule for finding in found if finding.level in levels}


# -- an open stack is red


def test_compose_lint_is_red_on_an_open_stack(project):
    found = tools.compose_lint([project(OPEN)])
    assert {"CL-0001", "CL-0002", "CL-0008", "CL-0020"} <= rules(found, "critical", "high")
    waivers = findings.Waivers()
    assert not [
        finding for finding in found if finding.rule in ("CL-0001", "CL-0002", "CL-0020") and waivers.waived(finding)
    ]


def test_what_is_open_in_one_of_several_stacks_is_found(project):
    closed = "services:\n  app:\n    image: example/app:1\n"
    found = tools.compose_lint([project(closed, "a"), project(OPEN, "b"), project(closed, "c")])
    assert "CL-0002" in rules(found, "critical")


def test_dclint_is_red_on_what_it_calls_an_error(project):
    found = tools.dclint([project(OPEN) / "compose.core.yml"])
    assert rules(found, "error")


def test_compose_harden_names_what_failed(project):
    found, passed, applicable = tools.compose_harden([project(OPEN) / "compose.core.yml"])
    assert {"cap_drop", "no_new_privileges", "read_only", "privileged", "unpinned_image", "host_network"} <= {
        finding.rule for finding in found
    }
    assert passed == applicable - len(found)


def test_bandit_is_red_on_a_shell(tmp_path):
    file = tmp_path / "bad.py"
    file.write_text("import subprocess\nsubprocess.run('rm ' + input(), shell=True)\n")
    assert "B602" in rules(tools.bandit([file]), "high")


@pytest.mark.parametrize(
    "line",
    [
        f'aws_secret_access_key = "{PLANTED}"',
        f"mediastack_vpn_openvpn_password: {PLANTED}",
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        f"https://user:{PLANTED[:12]}@example.org/",
    ],
)
def test_a_planted_secret_is_found(tmp_path, line):
    file = tmp_path / "notes.yml"
    file.write_text(f"---\nharmless: yes\n{line}\n")
    found = tools.detect_secrets([file])
    waivers = findings.Waivers()
    assert [finding for finding in found if not waivers.waived(finding)]
    assert {finding.text for finding in found} == {"line 3"}


def test_a_judge_that_cannot_read_is_no_clean_result(project, tmp_path):
    with pytest.raises(tools.Broken):
        tools.compose_lint([project("services: [\n")])
    bad = tmp_path / "bad.py"
    bad.write_text("def (:\n")
    with pytest.raises(tools.Broken, match="syntax error"):
        tools.bandit([bad])


# -- the stacks


def test_every_two_profiles_stand_together_in_all_ways(every):
    """The cover is what it says, beside the stacks that are asked for by name."""
    named = stacks.profiles()
    seen = set()
    for stack in every:
        chosen = set(stack.settings["mediastack_profiles"])
        on = [(profile, profile in chosen) for profile in named]
        on.append(("vpn", stack.settings.get("mediastack_vpn_enabled", True)))
        seen |= set(itertools.combinations(on, 2))
    wanted = {
        pair
        for one, other in itertools.combinations([*named, "vpn"], 2)
        for pair in itertools.product([(one, True), (one, False)], [(other, True), (other, False)])
    }
    assert seen == wanted


def test_every_shape_is_there_with_vpn_and_proxy_on_and_off(every):
    names = {stack.name for stack in every}
    assert len(names) == len(every)
    for profile in stacks.profiles():
        if profile != stacks.PROXY:
            assert {
                f"{shape}-{profile}-{vpn}{proxy}"
                for shape in ("only", "without")
                for vpn in ("vpn", "open")
                for proxy in ("", "-proxy")
            } <= names


def test_a_stack_is_rendered_as_on_a_host_and_twice_the_same(tmp_path, every):
    world = stacks.render_harness.World(tmp_path, shipped=stacks.render_harness.SHIPPED)
    stack = next(stack for stack in every if stack.name == "none-vpn-proxy")
    files = stacks.render(world, stack)
    assert files == stacks.render(world, stack)
    core = next(file for file in files if file.path == "compose.core.yml")
    assert "@@mediastack:" not in core.text
    assert "lscr.io/linuxserver/qbittorrent:" in core.text
    secret = {file.path for file in files if file.secret}
    assert ".env" in secret and any(path.startswith("secrets/") for path in secret)


# -- waivers


FOUND = findings.Finding("compose-lint", "CL-0001", "critical", "app", "Docker socket mounted")


def test_a_waiver_counts_for_what_it_names_and_is_missed_when_nothing_needs_it():
    waivers = findings.Waivers({"compose-lint": [{"rule": "CL-0001", "where": "proxy", "reason": "because"}]}, {})
    assert waivers.waived(FOUND) is None
    assert len(waivers.unneeded(["compose-lint"])) == 1
    assert waivers.waived(findings.dataclasses.replace(FOUND, where="proxy")) == "because"
    assert waivers.unneeded(["compose-lint"]) == []


@pytest.mark.parametrize("entry", [{"rule": "CL-0001"}, {"reason": "all of it"}, {"rule": "CL-0001", "reason": ""}])
def test_a_waiver_without_a_reason_or_for_everything_is_refused(entry):
    with pytest.raises(ValueError, match="its reason"):
        findings.Waivers({"compose-lint": [entry]}, {})


def test_a_known_value_is_known_wherever_it_is_and_no_other_is():
    made_up = findings.Finding("detect-secrets", "Secret Keyword", "secret", "a.py", "line 1", "correct horse")
    waivers = findings.Waivers({}, {made_up.digest: "made up"})
    assert waivers.waived(made_up) == "made up"
    assert waivers.waived(findings.dataclasses.replace(made_up, value="correct horsf")) is None


def test_the_page_has_marks_for_both_parts():
    text = page.PAGE.read_text(encoding="utf-8")
    for mark in ("judges", "judges-run"):
        assert text.count(f"<!-- {mark}: begin -->") == text.count(f"<!-- {mark}: end -->") == 1
