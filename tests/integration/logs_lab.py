# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A little project of containers that write logs, for tests of the playbook logs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import struct
import subprocess
import termios
import threading
import time

import yaml
from compose_stack_lab import build_image
from stack_harness import ROOT, VENV, docker, wait_for

# With the process, so that the tests may run twice on one machine.
PROJECT = f"mslogs-{os.getpid()}"
IMAGE = f"{PROJECT}:1"
# With the VPN off and nothing but the user's own services selected.
OFF = ("bazarr", "flaresolverr", "prowlarr", "qbittorrent", "radarr", "sabnzbd", "sonarr", "unpackerr")
OWN = ("writer", "talker", "mute", "absent")
SERVICE = """services:
  NAME:
    image: IMAGE
    x-mediastack: {title: NAME, profiles: [always], health: {kind: container}, login: {kind: no_ui}}
"""
# Numbered lines, `$1` a second in bursts of ten a second, for ever or `$2` bursts. After each burst $STAMP.
COUNT = """
n=0
while [ $# -lt 2 ] || [ $2 -gt 0 ]; do
  i=0
  while [ $i -lt $(($1 / 10)) ]; do echo "$PREFIX$n end"; n=$((n+1)); i=$((i+1)); done
  [ -z "$STAMP" ] || echo "$STAMP $(cat /proc/uptime)"
  [ $# -lt 2 ] || set -- $1 $(($2 - 1))
  sleep 0.1
done
"""


def name_of(service):
    """The container of a service."""
    return f"{PROJECT}-{service}"


class Logs:
    """A user's directory with an inventory, and containers that look like those of its stack."""

    def __init__(self, directory):
        build_image(IMAGE, "1")
        self.directory = pathlib.Path(directory)
        self.path = self.directory / "data" / "compose"
        (self.path / ".mediastack").mkdir(parents=True, mode=0o700)
        (self.path / "secrets").mkdir()
        (self.directory / "services").mkdir()
        for name in OWN:
            (self.directory / "services" / f"{name}.yml.j2").write_text(
                SERVICE.replace("NAME", name).replace("IMAGE", IMAGE)
            )
        self.made = []
        self.write({"nas": {}})

    def write(self, hosts, **variables):
        """The inventory: `hosts` → their variables."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        settings = {
            "mediastack_project_name": PROJECT,
            "mediastack_base_path": str(self.directory / "data"),
            "mediastack_vpn_enabled": False,
            "mediastack_profiles": [],
            "mediastack_bind_addresses": ["127.0.0.1"],
            "mediastack_services": dict.fromkeys(OFF, False),
            **variables,
        }
        inventory = {
            "mediastack": {"hosts": {name: {**local, **more} for name, more in hosts.items()}, "vars": settings}
        }
        (self.directory / "inventory.yml").write_text(yaml.safe_dump(inventory))

    def run(self, service, script, *options, arguments=()):
        """A container of the service; its name is returned."""
        name = name_of(service)
        labels = {"project": PROJECT, "service": service, "project.working_dir": self.path, "container-number": 1}
        labels["oneoff"] = "False"
        marks = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
        self.made.append(name)
        docker(
            "run",
            "--pull",
            "never",
            "-d",
            "--name",
            name,
            *marks,
            *options,
            IMAGE,
            "sh",
            "-c",
            script,
            "sh",
            *arguments,
        )
        return name

    def ended(self, service, script, *options):
        """As `run`, and wait until it has ended."""
        name = self.run(service, script, *options)
        docker("wait", name)
        return name

    def remove(self, *services):
        """Remove containers; all without a name."""
        names = [name_of(service) for service in services] or self.made
        if names:
            docker("rm", "-f", *names, check=False)

    def clean(self):
        """Remove everything that was made on the engine."""
        self.remove()
        docker("image", "rm", "-f", IMAGE, check=False)

    # Running

    def command(self, *arguments):
        """The command line."""
        inventory = str(self.directory / "inventory.yml")
        return [str(VENV / "ansible-playbook"), "-i", inventory, "homelab.mediastack.logs", *arguments]

    def environment(self, **more):
        """A user's own, with nothing of the checkout's ansible.cfg but the way to the collection."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MEDIASTACK_", "NO_COLOR"))}
        kept["PATH"] = f"{VENV}:{kept['PATH']}"
        kept["ANSIBLE_COLLECTIONS_PATH"] = str(ROOT / ".ansible" / "collections")
        kept["XDG_CONFIG_HOME"] = str(self.directory / "xdg")
        return {**kept, **more}

    def logs(self, *arguments, **environment):
        """The playbook, to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    @contextlib.contextmanager
    def following(self, *arguments, **environment):
        """The playbook with follow=true, in a session of its own as at a terminal; ended by Ctrl-C at the latest."""
        process = subprocess.Popen(
            self.command("-e", "follow=true", *arguments),
            cwd=self.directory,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        followed = Followed(process)
        try:
            yield followed
        finally:
            followed.end()


class Followed:
    """A run that follows: its lines, each with the moment in which it came."""

    def __init__(self, process):
        self.process = process
        self.lines, self.errors = [], []
        self._reads = threading.Event()
        self._reads.set()
        self._readers = [
            threading.Thread(target=self._read, args=(process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe, lines):
        for line in pipe:
            lines.append((time.time(), line.rstrip("\n")))
            self._reads.wait()

    def stop_reading(self):
        """As a pager that waits for a key; returns when the pipe is full."""
        self._reads.clear()
        wait_for(lambda: self._unread() > 60000, 60, "a full pipe")

    def read_on(self):
        """After `stop_reading`."""
        self._reads.set()

    def _unread(self):
        """Bytes in the pipe; it holds 65536."""
        return struct.unpack("i", fcntl.ioctl(self.process.stdout, termios.FIONREAD, b"    "))[0]

    @property
    def texts(self):
        """The lines so far."""
        return [line for _at, line in list(self.lines)]

    @property
    def said(self):
        """What came on standard error so far."""
        return "\n".join(line for _at, line in list(self.errors))

    def wait(self, text, seconds=60):
        """Wait for a line that ends with the text; the moment in which it came."""

        def found():
            assert self.process.poll() is None or self._is_there(text), f"ended: {self.said}"
            return self._is_there(text)

        return wait_for(found, seconds, f"the line {text!r}")

    def _is_there(self, text):
        return next((at for at, line in list(self.lines) if line.endswith(text)), None)

    def end(self, sign=signal.SIGINT):
        """Ctrl-C: to all of the terminal's processes; the exit code."""
        for _turn in range(3):
            # Now and then Ansible misses one; whoever pressed it presses it again.
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(self.process.pid, sign)
                    self.process.wait(timeout=10)
        code = self.process.wait(timeout=10)
        self.read_on()
        for reader in self._readers:
            reader.join(10)
        return code


def processes(*words):
    """Command lines of the machine's processes that hold one of the words; the containers' own keepers are none."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found += [line] if any(word in line for word in words) and "shim" not in line else []
    return found


def memory(pid):
    """Resident memory in kB of a run of ansible-playbook and of its workers, by process id."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    total, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError):
            status = pathlib.Path(f"/proc/{one}/status").read_text()
            if "ansible-playbook" in pathlib.Path(f"/proc/{one}/cmdline").read_text():
                total[one] = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))
        waiting += children.get(one, [])
    return total


def write_store(logs, **secrets):
    """The secrets that a host has generated."""
    path = logs.path / ".mediastack" / "secrets.json"
    path.write_text(json.dumps({"schema": 1, "secrets": secrets, "salts": {}, "derived": {}}))
