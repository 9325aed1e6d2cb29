# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`EngineStack`: a stack on a nested host with an engine of its own, which can end, and whose disk can be full."""

from __future__ import annotations

import inspect as source_of
import json
import os
import pathlib

import fault_data
import nested
from fault_stack import FaultStack
from stack_harness import docker, wait_for

#: Where the engine's data is, and its size in megabytes.
GRAPH, SIZE = "/graph", 1400
BASE = pathlib.Path("/srv/mediastack")
READ = """
import pathlib
found = read_all(pathlib.Path(%r), %r, None)
print(__import__("json").dumps({k: v and [v.schema, v.digest, sorted(v.beats)] for k, v in found.items()}))
"""


class EngineStack(FaultStack):
    """A FaultStack on a nested host."""

    def __init__(self, **variables):
        name = f"faults-{os.getpid()}-host"
        gateway = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
        self.gateway = gateway or "172.17.0.1"
        self.nested_name = name
        super().__init__(
            ansible_connection="community.docker.docker",
            ansible_host=name,
            ansible_python_interpreter="/usr/bin/python3",
            mediastack_base_path=str(BASE),
            mediastack_engine_install=False,
            **variables,
        )
        self.base, self.project_path, self.config = BASE, BASE / "compose", BASE / "config"
        packages = [*nested.BASE_PACKAGES, *nested.ENGINE_PACKAGES]
        self.host = self.closing.enter_context(nested.host(name, packages=packages))
        self.address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        self.set(mediastack_bind_addresses=[self.address])
        self.host.sh(f"mkdir -p {GRAPH} && mount -t tmpfs -o size={SIZE}m tmpfs {GRAPH}")
        self.start_engine()
        self.host.forward(self.proxy_port, self.gateway, self.proxy_port)

    def _registry(self):
        self.proxy_addresses = ("127.0.0.1", self.gateway)
        super()._registry()

    # -- its host ------------------------------------------------------------------------------------------------------

    def start_engine(self):
        """Start the engine and wait for it."""
        command = f"rm -f /var/run/docker.pid; dockerd --data-root {GRAPH} >>/var/log/dockerd.log 2>&1"
        docker("exec", "--detach", self.nested_name, "sh", "-c", command)
        wait_for(
            lambda: self.host.sh("docker version >/dev/null 2>&1 && echo up", check=False), 60, "the nested engine"
        )

    def restart_engine(self, signal="TERM"):
        """End the engine, and start it again."""
        self.host.sh(f"pkill -{signal} -x dockerd", check=False)
        wait_for(lambda: not self.host.sh("pgrep -x dockerd", check=False), 40, "the end of the nested engine")
        if signal == "KILL":
            self.host.sh("pkill -KILL -x containerd; rm -f /var/run/docker/containerd/containerd.pid", check=False)
        self.start_engine()

    def docker(self, *words, check=True):
        """Standard output of docker on the nested host."""
        return docker("exec", self.nested_name, "docker", *words, check=check)

    def containers(self):
        """Containers of the project, by Compose service."""
        label = f"label=com.docker.compose.project={self.project}"
        ids = self.docker("ps", "-aq", "--filter", label, check=False).split()
        found = json.loads(self.docker("inspect", *ids, check=False) or "[]") if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def remove(self):
        """It goes with its host."""

    def in_its_directory(self, one):
        """Nothing pulls a directory away there."""
        return True

    def state(self, name):
        """A JSON file of `.mediastack`; None where there is none that can be read."""
        try:
            return json.loads(self.host.sh(f"cat {self.project_path}/.mediastack/{name}.json 2>/dev/null", check=False))
        except ValueError:
            return None

    def user_files(self):
        """What a user has written beside the databases."""
        for service in self.services:
            path = f"{self.config}/{service}/settings.ini"
            self.host.sh(f"cat >{path} && chown 1000:1000 {path}", stdin="name=mine\n")

    def read(self):
        """service → Contents of its config directory, read on the nested host by the app's user."""
        program = source_of.getsource(fault_data) + READ % (str(self.config), list(self.databases))
        argv = ["docker", "exec", "-i", "-u", "1000", self.nested_name, "python3", "-"]
        found = json.loads(nested.run(argv, input=program).stdout)
        return {
            name: one and fault_data.Contents(one[0], one[1], frozenset((number, note) for number, note in one[2]))
            for name, one in found.items()
        }

    @property
    def kept(self):
        """Copies of what was put aside on the nested host."""
        place = self.directory / "aside"
        place.mkdir(exist_ok=True)
        docker("cp", f"{self.nested_name}:{BASE}/backups", str(place), check=False)
        return [place]

    def leftovers(self):
        """As everywhere, with the nested host's files."""
        found = super().leftovers()
        listed = self.host.sh(
            f"find {BASE} -name '*.tmp' -o -name '*.new' -o -name '*.part' -o -name journal.json", check=False
        )
        return sorted({*found, *(f"file {line.removeprefix(str(BASE))}" for line in listed.split())})
