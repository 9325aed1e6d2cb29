# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers that behave well and badly, for tests of stack_health: one busybox, one script a behaviour."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from compose_stack_lab import busybox

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".ansible" / "collections"
# With the process, so that the tests may run twice on one machine.
PREFIX = f"mshealth-{os.getpid()}"
IMAGE = f"{PREFIX}-app"

# Each is run for one connection, with the client on its standard input and output.
ANSWER = """#!/bin/sh
read -r method path version
while read -r line && [ "${#line}" -gt 1 ]; do :; done
respond() { printf 'HTTP/1.1 %s X\\r\\nContent-Length: %s\\r\\n\\r\\n%s' "$1" "${#2}" "$2"; }
now=$(date +%s)
case "$BEHAVE" in
  ok) respond 200 '{"status": "OK"}' ;;
  warming) # well from the third request on
    if [ -e /tmp/second ]; then respond 200 '{"status": "OK"}'
    else if [ -e /tmp/first ]; then touch /tmp/second; else touch /tmp/first; fi; respond 503 'starting'; fi ;;
  degraded) respond 200 'Degraded' ;;
  wrong) respond 200 '{"status": "Error"}' ;;
  slow) [ -e /tmp/fast ] || sleep 1; respond 200 '{"status": "OK"}' ;;
  login) respond 401 '' ;;
  hang) sleep 600 ;;
  trickle) printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 100000\\r\\n\\r\\n'; while printf x; do sleep 0.1; done ;;
esac
"""
SERVE = """#!/bin/sh
case "$BEHAVE" in
  crash) exit 3 ;;
  deaf) exec sleep 100000 ;;
  *) exec nc -ll -p 8080 -e /bin/answer ;;
esac
"""


def docker(*argv, check=True, timeout=60, stdin=None):
    """Standard output of a docker command."""
    done = subprocess.run(["docker", *argv], input=stdin, capture_output=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"docker {argv}: {done.stderr.decode()}")
    return done.stdout.decode().strip()


def wait_for(predicate, what, seconds=30.0):
    """Poll until *predicate* is true; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.05)


def build_image():
    """The image, under two tags."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder, "root")
        for name in ("bin", "tmp"):
            (root / name).mkdir(parents=True)
        (root / "bin" / "busybox").write_bytes(busybox().read_bytes())
        for tool in ("sh", "nc", "sleep", "date", "touch", "rm", "test", "false", "echo"):
            (root / "bin" / tool).symlink_to("busybox")
        (root / "bin" / "answer").write_text(ANSWER)
        (root / "bin" / "serve").write_text(SERVE)
        for program in ("busybox", "answer", "serve"):
            (root / "bin" / program).chmod(0o755)
        archive = subprocess.run(["tar", "-C", root, "-c", "."], capture_output=True, check=True, timeout=60).stdout
    docker(
        "import",
        "--change",
        'CMD ["/bin/serve"]',
        "--change",
        "ENV PATH=/bin",
        "--change",
        "LABEL mshealth=1",
        "-",
        f"{IMAGE}:1",
        stdin=archive,
    )
    docker("tag", f"{IMAGE}:1", f"{IMAGE}:2")


def remove_image():
    """Remove what `build_image` made."""
    docker("rmi", f"{IMAGE}:1", f"{IMAGE}:2", check=False)


class Project:
    """Containers labelled as Compose labels those of a project in a directory."""

    def __init__(self, name, path):
        self.name = name
        self.path = str(path)
        self.network = name
        docker("network", "create", self.network)

    def run(self, service, behave="ok", port=None, network=None, options=(), command=(), working_dir=None):
        """Start one service; `port` on loopback leads to 8080 in it. Returns the container's name."""
        name = f"{self.name}-{service}"
        labels = {
            "project": self.name,
            "service": service,
            "oneoff": "False",
            "container-number": "1",
            "project.working_dir": working_dir or self.path,
        }
        argv = ["run", "--detach", "--name", name, "--restart", "unless-stopped", "--env", f"BEHAVE={behave}"]
        for key, value in labels.items():
            argv += ["--label", f"com.docker.compose.{key}={value}"]
        argv += ["--network", network or self.network]
        if port:
            argv += ["--publish", f"127.0.0.1:{port}:8080"]
        docker(*argv, *options, f"{IMAGE}:1", *command)
        return name

    def remove(self):
        """Remove the containers and the network."""
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").split()
        if found:
            docker("rm", "--force", "--volumes", *found)
        docker("network", "rm", self.network, check=False)


def service(name, project, health=None, **more):
    """An entry of the module's `services`, as the collection renders it."""
    entry = {
        "name": name,
        "title": name.capitalize(),
        "container": f"{project.name}-{name}",
        "image": f"{IMAGE}:1",
        "health": health or {"kind": "http", "port": "web", "path": "/ping", "json": {"status": "OK"}},
        "holder": f"{project.name}-{name}",
        "ports": [{"name": "web", "protocol": "tcp", "port": 1, "target": 8080, "addresses": [], "service": name}],
        "url": "",
    }
    entry.update(more)
    return entry


def stack_health(project, services, environ=None, **arguments):
    """Run the module as Ansible does on a target; its result."""
    given = {
        "project_name": project.name,
        "project_path": project.path,
        "services": services,
        "host": "box",
        "timeout": 5,
        **arguments,
    }
    text = json.dumps({"ANSIBLE_MODULE_ARGS": given})
    done = subprocess.run(
        [sys.executable, "-m", "ansible_collections.homelab.mediastack.plugins.modules.stack_health"],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS), **(environ or {})},
    )
    with contextlib.suppress(ValueError):
        return json.loads(done.stdout)
    raise AssertionError(f"no result: {done.stdout}{done.stderr}")
