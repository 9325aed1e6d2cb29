# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bad release on a fleet: `update` stops at the first host, which is back on the old image and data.

Three hosts of one inventory, which share this machine's engine: each has its own project, directories and ports.
"""

from __future__ import annotations

import copy
import json
import pathlib
import sys

import pytest
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

import fault_data  # noqa: E402
from fault_stack import STEADY, TARGET, UID, FaultStack  # noqa: E402
from stack_harness import docker, inspect  # noqa: E402

#: In the order of the inventory; "box" is the one that FaultStack knows.
HOSTS = ("box", "second", "third")


class Fleet(FaultStack):
    """A FaultStack on three hosts."""

    def write(self):
        """Write the inventory of all hosts."""
        super().write()
        hosts = {}
        for number, host in enumerate(HOSTS):
            own = copy.deepcopy(self.variables)
            own["mediastack_project_name"] = self.name_on(host)
            own["mediastack_container_prefix"] = f"{self.name_on(host)}-"
            own["mediastack_base_path"] = str(self.base_on(host))
            own["mediastack_ports"] = {name: port + 4 * number for name, port in own["mediastack_ports"].items()}
            hosts[host] = own
        text = yaml.safe_dump({"mediastack": {"hosts": hosts}}, sort_keys=False)
        (self.directory / "inventory.yml").write_text(text)

    def name_on(self, host):
        """The project's name on a host."""
        return self.project if host == "box" else f"{self.project}-{host}"

    def base_on(self, host):
        """The base path of a host."""
        return self.base if host == "box" else self.directory / host

    def on(self, host):
        """service → container (as inspected) of one host."""
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name_on(host)}").split()
        found = inspect(*ids) if ids else {}
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found.values()}

    def lives(self, host):
        """service → (container, its start, its image): changes whenever anything is done to it."""
        return {name: (one["Id"], one["State"]["StartedAt"], one["Image"]) for name, one in self.on(host).items()}

    def data(self, host):
        """service → Contents."""
        return fault_data.read_all(self.base_on(host) / "config", self.services, UID)

    def remove(self):
        """Remove what the hosts left on the engine."""
        own = self.project
        for host in HOSTS:
            self.project = self.name_on(host) if host != "box" else own
            super().remove()
            self.project = own


@pytest.fixture(scope="module")
def fleet():
    """Three hosts on the first release, with a lock."""
    made = Fleet(services=(TARGET, STEADY))
    try:
        made.play("site")
        made.play("update")
        yield made
    finally:
        made.close()


def test_a_bad_release_stops_at_the_first_host_which_is_back_on_the_old_image_and_data(fleet):
    lives, data = {host: fleet.lives(host) for host in HOSTS}, fleet.data("box")
    lock = fleet.lock_file.read_bytes()
    digest = fleet.publish(TARGET, "bad")
    done = fleet.play("update", check=False)
    assert done.returncode != 0, done.stdout
    assert "rolled back" in done.stdout, done.stdout
    # The others never changed: same containers, not even restarted.
    assert {host: fleet.lives(host) for host in HOSTS[1:]} == {host: lives[host] for host in HOSTS[1:]}
    # The first one is back, image and data, and remembers why.
    first = fleet.on("box")
    assert {name: one["Image"] for name, one in first.items()} == {name: life[2] for name, life in lives["box"].items()}
    assert all(one["State"]["Running"] for one in first.values())
    assert fleet.lives("box")[STEADY] == lives["box"][STEADY]
    now = fleet.data("box")
    assert {name: (one.schema, one.digest) for name, one in now.items()} == {
        name: (one.schema, one.digest) for name, one in data.items()
    }
    assert fault_data.lost(data, now, [fleet.base / "backups"]).rows == 0
    refused = json.loads((fleet.project_path / ".mediastack" / "refused.json").read_text())
    assert refused["services"][TARGET]["digest"] == digest
    assert not list(fleet.base_on("second").glob("compose/.mediastack/refused.json"))
    # Nobody else may get what the first host refused.
    assert fleet.lock_file.read_bytes() == lock
    fleet.play("site")
    fleet.play("status")


def test_a_good_release_then_goes_to_all_of_them(fleet):
    digest = fleet.publish(TARGET)
    fleet.play("update")
    images = {host: fleet.on(host)[TARGET]["Image"] for host in HOSTS}
    assert len(set(images.values())) == 1
    assert digest in fleet.lock_file.read_text()
    repository = fleet.on("box")[TARGET]["Image"]
    assert any(digest in one for one in json.loads(docker("image", "inspect", repository))[0]["RepoDigests"])
    fleet.play("status")
