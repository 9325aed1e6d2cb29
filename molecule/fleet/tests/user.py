# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user of the fleet: a directory with the scenario's inventory, the playbooks, and what they left on the servers."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import world  # noqa: E402
from shelf import Shelf  # noqa: E402
from stack_harness import lasting  # noqa: E402
from world import SERVERS  # noqa: E402

DIRECTORY = world.PLACE / "user"
BIN = world.ROOT / ".venv" / "bin"
RECAP = re.compile(r"^(\w+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


class User:
    """Whoever runs the playbooks against the fleet."""

    def __init__(self):
        """Begin with a copy of the inventory: what a test changes in it is gone with the next `User`."""
        lock = DIRECTORY / "mediastack.lock.yml"
        kept = lock.read_bytes() if lock.exists() else None
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        shutil.copytree(world.ROOT / "molecule" / "fleet" / "inventory", DIRECTORY)
        if kept is not None:
            lock.write_bytes(kept)
        self.set()

    def set(self, **variables):
        """Have the group's variables be those of the scenario and these; without any: as it was."""
        extra = DIRECTORY / "group_vars" / "mediastack"
        extra.mkdir(exist_ok=True)
        base = DIRECTORY / "group_vars" / "mediastack.yml"
        if base.exists():
            base.rename(extra / "scenario.yml")
        (extra / "test.yml").write_text(yaml.safe_dump(variables, sort_keys=False), encoding="utf-8")

    @property
    def lock_file(self):
        """The lock file, which `update` writes."""
        return DIRECTORY / "mediastack.lock.yml"

    def play(self, playbook, *arguments, check=True, timeout=580):
        """Run a playbook against the fleet; the completed process. Fails when ``check`` and it failed."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MEDIASTACK_", "ANSIBLE_"))}
        kept.update(ANSIBLE_CONFIG=str(world.ROOT / "ansible.cfg"), PATH=f"{BIN}:{os.environ['PATH']}")
        kept.update(
            XDG_CONFIG_HOME=str(DIRECTORY / "xdg"), ANSIBLE_NOCOLOR="1", MOLECULE_PROJECT_DIRECTORY=str(world.ROOT)
        )
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", DIRECTORY / "hosts.yml", f"homelab.mediastack.{playbook}", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=world.ROOT,
            env=kept,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{playbook} ended with {done.returncode}\n{done.stdout[-9000:]}\n{done.stderr[-3000:]}"
            )
        return done


def shelf():
    """The registry's releases."""
    return Shelf(world.REGISTRY_PORT, world.PLACE)


def recap(done):
    """server → {"ok", "changed", "unreachable", "failed"}: what the last lines of a run say."""
    words = ("ok", "changed", "unreachable", "failed")
    return {
        found[1]: dict(zip(words, map(int, found.groups()[1:]), strict=True)) for found in RECAP.finditer(done.stdout)
    }


def containers(name):
    """service → container of a server as inspected, as far as nothing changes by itself."""
    host = SERVERS[name].nested
    ids = host.sh("docker ps -aq --filter label=com.docker.compose.project").split()
    listed = json.loads(host.sh("docker inspect " + " ".join(sorted(ids)))) if ids else []
    return {one["Config"]["Labels"]["com.docker.compose.service"]: lasting(one) for one in listed}


def untouched(*names):
    """The containers of servers as bytes: differs when anything was done to one of them."""
    return {name: json.dumps(containers(name), sort_keys=True).encode() for name in names}


def images(name):
    """service → the id of the image that it runs."""
    return {service: one["Image"] for service, one in containers(name).items()}
