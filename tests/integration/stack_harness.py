# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's own directory with an inventory of one local host, for tests that run the playbooks on the lab's images."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv" / "bin"
# A well-formed WireGuard key (32 bytes, base64) that belongs to nobody.
WIREGUARD_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
_keepers = []
SMALL = {"bazarr": False, "flaresolverr": False, "unpackerr": False, "radarr": False}


def wait_for(predicate, seconds=60.0, what="the state"):
    """Poll until ``predicate()`` is true; its last value is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.1)


def free_ports(count=8):
    """The first of so many ports in a row that nobody has, at most 39, below those that the kernel gives out.

    They are chosen at random, so that tests may run twice at once, and are this process's own: it keeps the port before
    them.
    """
    while True:
        keeper = random.randrange(27000, 32700, 40)
        with contextlib.suppress(OSError), contextlib.ExitStack() as taken:
            _keepers.append(socket.create_server(("", keeper)))
            for port in range(keeper + 1, keeper + 1 + count):
                taken.enter_context(socket.create_server(("", port)))
            return keeper + 1


def processes_with(mark):
    """Numbers of the processes of this machine whose environment holds *mark*."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found += [int(entry.name)] if mark.encode() in (entry / "environ").read_bytes() else []
    return found


def hang_up(child, mark):
    """Take the terminal of a `pexpect` child away, and wait until nothing of the run is left.

    *mark*: what stands in the environment of its processes only.
    """
    assert processes_with(mark)
    # Not `child.close`, which sends signals of its own.
    child.ptyproc.fileobj.close()
    child.closed = child.ptyproc.closed = True
    wait_for(lambda: not processes_with(mark), 30, "the end of every process")
    os.waitpid(child.pid, 0)


def docker(*argv, check=True, timeout=120):
    """Standard output of a docker command."""
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"docker {argv}: {done.stderr}")
    return done.stdout.strip()


def inspect(*names):
    """``docker inspect`` of containers by name; those that do not exist are left out."""
    out = subprocess.run(["docker", "inspect", *names], capture_output=True, text=True, timeout=60, check=False)
    return {entry["Name"].lstrip("/"): entry for entry in json.loads(out.stdout or "[]")}


def lasting(raw):
    """A container as inspected, without what changes by itself: what health checks do and say, the mounts' order."""
    state = dict(raw["State"])
    if "Health" in state:
        state["Health"] = state["Health"]["Status"]
    mounts = sorted(raw["Mounts"], key=lambda mount: mount["Destination"])
    return {**raw, "ExecIDs": None, "State": state, "Mounts": mounts}


def get(url, timeout=5.0):
    """(status, body) of a GET; the status is 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return 0, ""


class Stack:
    """A directory with an inventory, and what a user runs in it."""

    def __init__(self, directory, project, first_port, **variables):
        self.directory = pathlib.Path(directory)
        self.project = project
        self.base = self.directory / "data"
        self.project_path = self.base / "compose"
        self.variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "mediastack_project_name": project,
            "mediastack_base_path": str(self.base),
            "mediastack_lab_images": True,
            # The machine under the tests may be one that systemd runs.
            "mediastack_boot_repair": False,
            "mediastack_backup_timer": "false",
            "mediastack_bind_addresses": ["127.0.0.1"],
            "mediastack_profiles": [],
            # What a test waits for most is the first health check of a new container. Each check costs 85 ms of a core
            # (in runc and the engine, mostly), and some thirty containers stand beside each other: every two seconds,
            # they took more of two cores than the tests did.
            "mediastack_healthcheck_interval": 4,
            "mediastack_services": dict(SMALL),
            "mediastack_vpn_provider": "mullvad",
            "mediastack_vpn_type": "wireguard",
            "mediastack_vpn_wireguard_private_key": WIREGUARD_KEY,
            "mediastack_vpn_wireguard_addresses": ["10.64.0.2/32"],
            "mediastack_vpn_control_port": first_port,
            "mediastack_ports": {
                "qbittorrent": first_port + 1,
                "sabnzbd": first_port + 2,
                "prowlarr": first_port + 3,
                "sonarr": first_port + 4,
                "lidarr": first_port + 5,
                "radarr": first_port + 6,
                "bazarr": first_port + 7,
            },
        }
        self.variables.update(variables)
        self.write()

    def write(self):
        """Write the inventory as it stands."""
        self.directory.mkdir(parents=True, exist_ok=True)
        hosts = {"mediastack": {"hosts": {"box": self.variables}}}
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))

    def set(self, **variables):
        """Change variables of the inventory."""
        self.variables.update(variables)
        self.write()

    @property
    def prefix(self):
        """What container names start with (the lab stacks of several tests live side by side)."""
        return self.variables.get("mediastack_container_prefix", "")

    def command(self, playbook, *arguments):
        """The command line of a playbook."""
        inventory = str(self.directory / "inventory.yml")
        return [str(VENV / "ansible-playbook"), "-i", inventory, f"homelab.mediastack.{playbook}", *arguments]

    @property
    def environment(self):
        """The environment of a run: the checkout's collections, nothing of the caller's settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MEDIASTACK_", "ANSIBLE_"))}
        kept.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), PATH=f"{VENV}:{os.environ['PATH']}")
        kept.update(XDG_CONFIG_HOME=str(self.directory / "xdg"), ANSIBLE_NOCOLOR="1")
        return kept

    def play(self, playbook, *arguments, check=True, timeout=400, env=None):
        """Run a playbook to its end; returns the completed process, fails when ``check`` and it failed."""
        done = subprocess.run(
            self.command(playbook, *arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
            raise AssertionError(f"{playbook} ended with {done.returncode}\n{said}")
        return done

    def start(self, playbook, *arguments):
        """Start a playbook without waiting for it, in a process group of its own."""
        return subprocess.Popen(
            self.command(playbook, *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def containers(self):
        """Containers of the project, by Compose service."""
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}").split()
        found = inspect(*ids) if ids else {}
        return {entry["Config"]["Labels"]["com.docker.compose.service"]: entry for entry in found.values()}

    def remove(self):
        """Remove what the project left on the engine."""
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}").split()
        if ids:
            docker("rm", "-f", "-v", *ids)
        networks = docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={self.project}").split()
        if networks:
            docker("network", "rm", *networks, check=False)


def changed(process):
    """The recap's ``changed`` count over all hosts."""
    counts = re.findall(r"changed=(\d+)", process.stdout)
    assert counts, process.stdout + process.stderr
    return sum(int(count) for count in counts)
