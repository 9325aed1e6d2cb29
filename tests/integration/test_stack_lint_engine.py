# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stack linter and a real engine come to the same verdict: `docker compose` creates and starts, or refuses."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import compose_stack_lab as lab
import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "unit"))

import lint_cases as cases  # noqa: E402

from ansible_collections.homelab.mediastack.plugins.plugin_utils import lint_model, stack_lint  # noqa: E402

LABEL = f"label=com.docker.compose.project={cases.PROJECT}"
# The engine looks for a plugin of that name for 15 s.
SLOW = ("log-driver", "network driver")


def marked(table, keep=()):
    """The names of a table; variants of a case, and what takes long, are for the long form."""
    seen, found = set(), []
    for name in table:
        kind = name.replace("-", " ").split()[0]
        long = name in SLOW or (kind in seen and kind not in keep)
        seen.add(kind)
        found.append(pytest.param(name, marks=pytest.mark.long if long else ()))
    return found


def errors(document):
    return [finding for finding in stack_lint.lint(lint_model.of_documents([document])) if finding.level == "error"]


class Engine:
    """A Compose project on the engine."""

    def __init__(self, directory):
        self.file = directory / "compose.yml"

    def up(self, *services):
        """What `up` of some services, or of all, says: (exit code, standard error)."""
        command = ["docker", "compose", "-f", str(self.file), "up", "--detach", "--pull", "never"]
        command += ["--no-deps", *services] if services else []
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        return done.returncode, done.stderr

    def write(self, document):
        """Take *document* as the project."""
        self.file.write_text(yaml.safe_dump(document))

    def clean(self):
        """Remove what there is of it."""
        containers = lab.docker("ps", "-aq", "--filter", LABEL).split()
        if containers:
            lab.docker("rm", "-f", "-v", *containers)
        for kind in ("network", "volume"):
            for name in lab.docker(kind, "ls", "-q", "--filter", LABEL).split():
                lab.docker(kind, "rm", name, check=False)


@pytest.fixture(scope="module")
def image():
    lab.build_image(cases.IMAGE, "lint")
    yield
    lab.docker("image", "rm", "-f", cases.IMAGE, check=False)


@pytest.fixture
def engine(image, tmp_path):
    found = Engine(tmp_path)
    found.clean()
    yield found
    found.clean()


@pytest.fixture(scope="module")
def services(image, tmp_path_factory):
    """All services in one project, and what the linter says of each."""
    found = Engine(tmp_path_factory.mktemp("lint"))
    found.clean()
    document = cases.services_document()
    found.write(document)
    try:
        code, text = found.up("vpn")
        assert code == 0, text
        yield found, errors(document)
    finally:
        found.clean()


@pytest.mark.long
@pytest.mark.parametrize("name", marked([name for name, case in cases.SERVICES.items() if case[1]], keep=["joined"]))
def test_a_service_that_both_refuse(services, name):
    engine, findings = services
    assert [each for each in findings if each.service == name or f" {name} (" in each.message]
    code, text = engine.up(name)
    assert code != 0, text


def test_services_that_both_accept(services):
    engine, findings = services
    accepted = [name for name, (_keys, refused) in cases.SERVICES.items() if not refused]
    assert [each.text for each in findings if each.service in accepted] == []
    code, text = engine.up(*accepted)
    assert code == 0, text
    running = lab.docker("ps", "--filter", LABEL, "--format", '{{.Label "com.docker.compose.service"}}').split()
    assert set(accepted) <= set(running)


@pytest.mark.parametrize("name", marked(cases.PROJECTS))
def test_a_project(engine, name):
    change, refused = cases.PROJECTS[name]
    document = cases.project_document(change)
    engine.write(document)
    found = [each.text for each in errors(document)]
    code, text = engine.up()
    assert (code != 0, bool(found)) == (refused, refused), f"{text}\n{found}"
