# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a pull run, with real processes in place of Ansible's programs."""

from __future__ import annotations

import io
import json
import os
import pathlib
import sys
import threading
import time

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import pull_lock, pull_place, pull_steps
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_git import Git

COMMIT = "a" * 40
TELLS = "import json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\n"


class World:
    """A place whose venv has programs of our own."""

    def __init__(self, root):
        self.place = pull_place.Place(str(root))
        self.release = self.place.release(COMMIT)
        os.makedirs(self.release)
        os.makedirs(os.path.join(self.place.venv, "bin"))
        pathlib.Path(self.release, "inventory.yml").write_text("{}", encoding="utf-8")
        self.config = pull_place.Config(project="stack", host="nas", url="/x")
        self.log = io.StringIO()

    def program(self, name, text):
        path = pathlib.Path(self.place.tool(name))
        path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        path.chmod(0o755)

    @property
    def steps(self):
        return pull_steps.Steps(self.place, self.config, Git(self.place, self.config), self.log)

    def pull(self):
        """What `site` is called with: (arguments, environment)."""
        self.program("ansible-pull", TELLS)
        return json.loads(self.steps.pull("site", "site", self.release, COMMIT).output)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_host_by_the_name_of_the_machine_is_checked_out_for_once_at_a_time(world):
    # ansible-pull takes it and localhost as two hosts, and has both use the same directory.
    assert world.pull()[1]["ANSIBLE_FORKS"] == "1"


def test_the_inventory_of_the_repository_comes_first(world):
    # A host belongs to the inventory that names it first, and its files lie beside that one.
    arguments = world.pull()[0]
    inventories = [arguments[at + 1] for at, word in enumerate(arguments) if word == "--inventory"]
    assert inventories == [os.path.join(world.release, "inventory.yml"), "localhost,"]


class Ends(threading.Thread):
    """A step's time limit, over as soon as a file has come and not a moment earlier."""

    def __init__(self, due, function):
        super().__init__(daemon=True)
        self._due, self._function, self._over = due, function, threading.Event()

    def run(self):
        deadline = time.monotonic() + 60
        while not self._due.exists() and time.monotonic() < deadline:
            if self._over.wait(0.02):
                return
        self._function()

    def cancel(self):
        self._over.set()


def test_a_step_that_takes_too_long_ends_with_what_it_has_started_in_sessions_of_its_own(world, tmp_path, monkeypatch):
    started = tmp_path / "started"
    monkeypatch.setattr(pull_steps.threading, "Timer", lambda seconds, function: Ends(started, function))
    # The worker holds the pipe open: without its end there is none of the step.
    world.program(
        "ansible-pull",
        "import pathlib, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        f"pathlib.Path({str(started)!r}).touch()\n"
        "time.sleep(300)\n",
    )
    step = world.steps.pull("site", "site", world.release, COMMIT)
    assert step.rc and f"was stopped after {world.config.step_timeout} s" in step.reason
    assert pull_lock.orphans(world.place) == []
    assert not alive(int(step.output))


def alive(number):
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_inventory_program_that_is_killed_blames_no_commit(world):
    world.program("ansible-inventory", "import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(pull_place.PullError, match="killed by signal 9"):
        world.steps.variables(world.release, COMMIT)
