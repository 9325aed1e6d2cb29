# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Three hosts of one inventory, which share this machine's engine: each has its own project, directories and ports."""

from __future__ import annotations

import copy
import json
import pathlib
import sys

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

import fault_data  # noqa: E402
from fault_stack import STEADY, TARGET, UID, FaultStack  # noqa: E402, F401
from stack_harness import docker, free_ports, inspect, lasting  # noqa: E402

#: In the order of the inventory; "box" is the one that FaultStack knows.
HOSTS = ("box", "second", "third")


class Fleet(FaultStack):
    """A FaultStack on three hosts.

    Attributes:
        own: host → variables that it alone has.
    """

    own = {}

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
            hosts[host] = {**own, **self.own.get(host, {})}
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

    def bytes(self, *hosts):
        """host → its containers as inspected: changes whenever anything is done to one of them."""
        return {
            host: json.dumps([lasting(one) for _name, one in sorted(self.on(host).items())], sort_keys=True).encode()
            for host in hosts
        }

    def unreachable(self, *hosts):
        """From now on nobody answers at these hosts' port for ssh; without any: all are reached as before."""
        nobody = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": free_ports(1)}
        self.own = dict.fromkeys(hosts, nobody)
        self.write()

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
