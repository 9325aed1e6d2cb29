# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts without engines: as many as one likes, each with its own copy of the bench's stack, in the same place.

A host's Python is a script that mounts the host's own directory over the stack's (for itself only, in a mount namespace
of its own) and puts a `docker` on PATH that answers as the real one did. All the rest is real: the inventory, Ansible,
the files, the run lock, the modules, and the probes, which ask the apps of the bench's one stack. Needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
from describe import EXTRA, INVENTORY, ROOT, WORK  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FLEET = WORK / "fleet"
PYTHON = """\
#!/bin/sh
exec unshare --mount sh -c 'mount --bind "$0" "{base}" && exec env PATH="{tools}:$PATH" "{python}" "$@"' "{own}" "$@"
"""
POLL_SECONDS = 0.2


class Rig:
    """The hosts, and plays on them."""

    def __init__(self, count):
        """Make `count` hosts of the bench's stack, which must be up and described."""
        self.names = [f"host{number:04}" for number in range(1, count + 1)]
        self.base = pathlib.Path(json.loads(EXTRA.read_text(encoding="utf-8"))["mediastack_base_path"])
        remove()
        self.answers = FLEET / "tools" / "answers"
        self.answers.mkdir(parents=True)
        shutil.copy(HERE / "docker.sh", FLEET / "tools" / "docker")
        self._template()
        for name in self.names:
            self._make(name)
        self.inventory(self.names)

    def own(self, name):
        """Where a host's files are."""
        return FLEET / "hosts" / name / "data"

    def _template(self):
        """Take the stack's files once: the apps are at work, and a database takes files away while it is read."""
        for last in (False, False, False, True):
            copied = subprocess.run(["cp", "--archive", "--link", str(self.base), str(FLEET / "template")], check=last)
            if copied.returncode == 0:
                return
            shutil.rmtree(FLEET / "template")

    def _make(self, name):
        own = self.own(name)
        own.parent.mkdir(parents=True)
        # What a no-op run does not write is shared; it replaces its own notes, and never writes into them.
        subprocess.run(["cp", "--archive", "--link", str(FLEET / "template"), str(own)], check=True)
        # Two hosts do not share a lock.
        for lock in own.glob("compose/.mediastack/*.lock"):
            lock.unlink()
        script = own.parent / "python"
        script.write_text(
            PYTHON.format(base=self.base, tools=FLEET / "tools", python=ROOT / ".venv/bin/python", own=own),
            encoding="utf-8",
        )
        script.chmod(0o755)

    def inventory(self, names, **variables):
        """Write the inventory with the hosts *names*; *variables*: host → more variables. Return its path."""
        path = FLEET / "inventory"
        shutil.rmtree(path, ignore_errors=True)
        group = path / "group_vars" / "mediastack"
        shutil.copytree(INVENTORY / "group_vars" / "mediastack", group)
        shutil.copy(INVENTORY / "host_vars" / "demo" / "mediastack.yml", group / "stack.yml")
        hosts = {
            name: {
                "ansible_connection": "local",
                "ansible_python_interpreter": str(FLEET / "hosts" / name / "python"),
                **variables.get(name, {}),
            }
            for name in names
        }
        (path / "hosts.yml").write_text(yaml.safe_dump({"mediastack": {"hosts": hosts}}), encoding="utf-8")
        return path

    def without_answers(self):
        """The Python of a host whose engine answers nothing."""
        script = FLEET / "python-without-answers"
        script.write_text(
            '#!/bin/sh\nexec env PATH="%s:$PATH" "%s" "$@"\n' % (FLEET / "broken", ROOT / ".venv/bin/python"),
            encoding="utf-8",
        )
        script.chmod(0o755)
        broken = FLEET / "broken" / "docker"
        broken.parent.mkdir(exist_ok=True)
        broken.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n", encoding="utf-8")
        broken.chmod(0o755)
        return script

    @contextlib.contextmanager
    def recording(self):
        """What is asked inside the `with`, is asked of the real engine."""
        flag = self.answers / "recording"
        flag.write_text(shutil.which("docker") or "docker", encoding="utf-8")
        try:
            yield
        finally:
            flag.unlink()

    def touched(self, since):
        """The hosts on which a run began after `since` (seconds since 1970)."""
        return [name for name in self.names if _changed(self.own(name) / "compose/.mediastack/run.json") >= since]


def play(name, *arguments, log):
    """Run a playbook on the fleet: `Played`."""
    command = [".venv/bin/ansible-playbook", "-i", str(FLEET / "inventory"), "-e", f"@{EXTRA}", name, *arguments]
    with open(FLEET / f"{log}.log", "w", encoding="utf-8") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        memory = _Memory(process.pid)
        rc = process.wait()
        seconds = time.perf_counter() - began
    return Played(rc, round(seconds, 2), memory.end(), (FLEET / f"{log}.log").read_text(encoding="utf-8"))


class Played:
    """One run: exit code, seconds, the controller's memory in MB at its highest, and what it printed."""

    def __init__(self, rc, seconds, memory_mb, output):
        self.rc, self.seconds, self.memory_mb, self.output = rc, seconds, memory_mb, output

    def must_be_a_noop(self, hosts):
        """SystemExit unless every one of `hosts` hosts ended well and unchanged."""
        rows = [line for line in self.output.splitlines() if " ok=" in line]
        good = [line for line in rows if "changed=0 " in line and "failed=0 " in line and "unreachable=0 " in line]
        if self.rc or len(good) != hosts:
            raise SystemExit(f"no no-op: rc {self.rc}, {len(good)} of {hosts} hosts are well\n{self.output[-3000:]}")
        return self


class _Memory:
    """VmHWM of the main process; its workers are others."""

    def __init__(self, pid):
        self._status = pathlib.Path(f"/proc/{pid}/status")
        self._highest, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self):
        while not self._over.wait(POLL_SECONDS):
            with contextlib.suppress(OSError):
                for line in self._status.read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        self._highest = int(line.split()[1])

    def end(self):
        """The highest that was seen, in MB."""
        self._over.set()
        self._thread.join()
        return round(self._highest / 1024)


def _changed(path):
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def remove():
    """Remove all hosts."""
    if FLEET.exists():
        shutil.rmtree(FLEET)


def needs_root():
    """SystemExit for anybody else: mounting is not for everybody."""
    if os.geteuid() != 0:
        raise SystemExit("the fleet's hosts are mount namespaces: run this as root")
