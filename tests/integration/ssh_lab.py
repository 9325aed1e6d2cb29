# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SSH servers of Debian's on loopback, for tests of what depends on the connection; nothing of them is installed.

`server` is this machine as root; `user_host` a container where one is a user with a password for sudo.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess

from compose_stack_lab import CACHE
from nested import CLIENT_PACKAGES, image, run
from stack_harness import wait_for

PACKAGES = ("openssh-server", "libwrap0")
USER, PASSWORD = "you", "correct horse"
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/user.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
PermitRootLogin yes
Subsystem sftp internal-sftp
"""
# sshd wants a user of its own: in a view of the file system that only it and its sessions have.
START = """mount --bind {place}/passwd /etc/passwd && LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu:\
{root}/lib/x86_64-linux-gnu exec {root}/usr/sbin/sshd -D -e -f {place}/config"""


def _unpacked():
    """Where the packages are unpacked; fetched on first use."""
    root = CACHE / "sshd"
    if not (root / "usr/sbin/sshd").exists():
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=root, check=True, capture_output=True, timeout=120)
        for package in root.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True, timeout=60)
    return root


@contextlib.contextmanager
def server(place, port):
    """Run a server for the length of a ``with``; the host variables with which Ansible reaches this machine through it.

    Needs root, for the mount.
    """
    place = pathlib.Path(place)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True, timeout=60)
    users = pathlib.Path("/etc/passwd").read_text(encoding="utf-8")
    (place / "passwd").write_text(users + "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n", encoding="utf-8")
    (place / "config").write_text(CONFIG.format(place=place, port=port), encoding="utf-8")
    os.makedirs("/run/sshd", exist_ok=True)
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", START.format(place=place, root=_unpacked())],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _answers(port), 20, "the SSH server")
        yield {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(place / "user"),
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        return connection.recv(4) == b"SSH-"
    return False


class UserHost:
    """A container with sshd that shares this machine's engine and network.

    Attributes:
        variables: the host variables with which Ansible reaches it; sudo's password is not among them.
    """

    def __init__(self, name, place, port):
        self.name, self.place, self.port = name, pathlib.Path(place), port
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        self.variables = {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": USER,
            "ansible_become": True,
            "ansible_ssh_private_key_file": str(self.place / "key"),
            "ansible_ssh_common_args": options,
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def sh(self, command, text=None):
        """Standard output of a shell command there, as root."""
        return run(["docker", "exec", "-i", self.name, "sh", "-c", command], input=text).stdout

    def left(self):
        """What runs left there: their files, and processes of the user or of Ansible."""
        files = self.sh("find ~/.ansible ~you/.ansible -type f 2>/dev/null || true").split()
        listing = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null; echo; done"
        return files + [line for line in self.sh(listing).splitlines() if "python" in line or "sudo" in line]


@contextlib.contextmanager
def user_host(name, place, port):
    """A `UserHost` for the length of a ``with``; *place* is there too: the engine takes paths as they are here."""
    host = UserHost(name, place, port)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.place / "key")])
    box = image("trixie", CLIENT_PACKAGES)
    run(["docker", "rm", "--force", name], check=False)
    run(
        ["docker", "run", "--detach", "--init", "--name", name, "--network", "host", "--device", "/dev/net/tun"]
        + ["--volume", "/var/run/docker.sock:/var/run/docker.sock", "--volume", f"{place}:{place}"]
        + [box, "sleep", "infinity"]
    )
    try:
        host.sh(
            f"useradd --create-home --groups sudo --shell /bin/bash {USER} && mkdir -p /run/sshd /home/{USER}/.ssh"
            f" && cat > /home/{USER}/.ssh/authorized_keys && chown -R {USER}: /home/{USER}"
            f" && echo '{USER}:{PASSWORD}' | chpasswd && /usr/sbin/sshd -p {port} -o ListenAddress=127.0.0.1",
            (host.place / "key.pub").read_text(),
        )
        wait_for(lambda: _answers(port), 20, "the SSH server")
        yield host
    finally:
        run(["docker", "rm", "--force", name])
