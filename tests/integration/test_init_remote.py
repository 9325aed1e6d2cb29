# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`init` without an inventory, for a server by SSH as awkward as a NAS: no SFTP, docker not on PATH, sudo asks."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest
import yaml
from init_harness import WIREGUARD_KEY, User
from nested import CLIENT_PACKAGES, image, run
from stack_harness import wait_for

pytestmark = pytest.mark.long

PROJECT = f"msinit-remote-{os.getpid()}"
HOST = f"{PROJECT}-host"
PORT = 26410
PASSWORD = "correct horse"
OFF = "bazarr, flaresolverr, unpackerr, radarr"


@pytest.fixture
def place():
    """Not pytest's own directory: whoever has PUID could not come so far."""
    with tempfile.TemporaryDirectory(prefix="init-remote-test-") as found:
        pathlib.Path(found).chmod(0o755)
        yield pathlib.Path(found)


@pytest.fixture
def user(place):
    found = User(place, PROJECT)
    programs = place / "programs"
    programs.mkdir()
    # ssh takes its configuration from the home that passwd names, not from $HOME.
    for name in ("ssh", "sftp", "scp"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {place}/ssh_config "$@"\n')
        program.chmod(0o755)
    found.extra["PATH"] = f"{programs}:{found.environment['PATH']}"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / "key")])
    (place / "ssh_config").write_text(f"IdentityFile {place}/key\nUserKnownHostsFile {place}/known_hosts\n")
    return found


@pytest.fixture
def server(user):
    """A container with sshd that shares this machine's engine."""
    box = image("trixie", CLIENT_PACKAGES)
    run(["docker", "rm", "--force", HOST], check=False)
    run(
        ["docker", "run", "--detach", "--init", "--name", HOST, "--device", "/dev/net/tun"]
        + ["--publish", f"127.0.0.1:{PORT}:22", "--volume", "/var/run/docker.sock:/var/run/docker.sock"]
        + ["--volume", f"{user.place}:{user.place}", box, "sleep", "infinity"]
    )
    inside(
        "useradd --create-home --groups sudo --shell /bin/bash you && mkdir -p /run/sshd /snap/bin /home/you/.ssh"
        " && mv /usr/bin/docker /snap/bin/docker && sed -i '/^Subsystem/d' /etc/ssh/sshd_config"
        f" && cat > /home/you/.ssh/authorized_keys && chown -R you: /home/you && echo 'you:{PASSWORD}' | chpasswd"
        " && /usr/sbin/sshd",
        (user.place / "key.pub").read_text(),
    )
    yield HOST
    run(["docker", "rm", "--force", HOST])


def inside(command, text=None):
    """Run a shell command on the server as root."""
    return run(["docker", "exec", "--interactive", HOST, "sh", "-c", command], input=text).stdout


def test_an_awkward_server_by_ssh(user, server):
    target = f"you@127.0.0.1:{PORT}"
    session = user.at_terminal()
    session.answer("user@host", f"nobody@127.0.0.1:{PORT + 1}")
    session.answer("user@host", target)

    def keys():
        scan = ["ssh-keyscan", "-p", str(PORT), "127.0.0.1"]
        return subprocess.run(scan, capture_output=True, text=True, timeout=30, check=False).stdout

    session.child.expect("ssh you@127.0.0.1")
    (user.place / "known_hosts").write_text(wait_for(keys, 30, "the server's keys"))
    session.answers(
        [
            ("user@host", target),
            ("Its name", "nas"),
            ("Directory for the inventory", ""),
            ("Password of sudo on nas", "wrong"),
            ("Password of sudo on nas", PASSWORD),
            ("number of a disk", str(user.data)),
            ("Library and downloads in it", ""),
            ("through a VPN only", ""),
            ("VPN provider", "nordvpn"),
            ("Protocol", "1"),
            ("PrivateKey", WIREGUARD_KEY),
            ("Countries", ""),
            ("Profiles on top", "-"),
            ("Single apps to leave out", OFF),
            ("Single apps to add", ""),
            ("Change these", ""),
            ("Keep sudo's password", ""),
            ("Password file", ""),
            ("Write this", "yes"),
        ]
    )
    assert session.end() == 0, session.transcript
    said = session.transcript
    for sentence in (
        "Connection refused. Switch SSH on there",
        "no SFTP there: by SSH instead",
        "/snap/bin/docker; not on PATH, but the collection looks there",
        "asks for a password",
        "sudo does not take that.",
    ):
        assert sentence in said, sentence
    assert PASSWORD not in said and WIREGUARD_KEY not in said
    (host,) = yaml.safe_load((user.work / "inventory.yml").read_text())["mediastack"]["hosts"].values()
    assert host == {
        "ansible_host": "127.0.0.1",
        "ansible_user": "you",
        "ansible_port": PORT,
        "ansible_ssh_transfer_method": "piped",
        "ansible_become": True,
    }
    owner = os.stat(user.data / "media").st_uid
    assert owner == 1000 and (user.data / "compose" / "compose.core.yml").exists()

    checked = user.run("site", "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert user.containers() == []


def test_a_server_without_python_is_named_with_a_remedy(user, server):
    inside("rm -f /usr/bin/python3*; touch /etc/unraid-version; rm -f /snap/bin/docker")
    (user.place / "ssh_config").write_text((user.place / "ssh_config").read_text() + "StrictHostKeyChecking no\n")
    before = user.snapshot()
    done = user.run("init", "-e", f"server=you@127.0.0.1:{PORT}", timeout=60)
    assert done.returncode == 2
    assert "Python: none was found. Install Python 3.8" in done.stdout and "the plugin Python 3" in done.stdout
    assert "docker: it was found neither on PATH" in done.stdout and "Docker Compose Manager" in done.stdout
    after = user.snapshot()
    after.pop("known_hosts", None)
    assert after == before
