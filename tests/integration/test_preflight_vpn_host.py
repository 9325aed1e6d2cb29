# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the user of `site` reads about a host that cannot run gluetun: a container without /dev/net/tun that uses this
machine's engine; and about a gluetun that got past the checks and does not start."""

from __future__ import annotations

import os
import pathlib
import shutil

import nested
import pytest
import stack_harness as h

PROJECT = f"mstun-{os.getpid()}"
FIRST_PORT = h.free_ports()
GONE = "this host has no /dev/net/tun, without which gluetun cannot start"
# The kernel is this machine's, which has tun.
NO_NODE = "this host has no /dev/net/tun, although its kernel has tun"
OPEN = "import os; os.close(os.open('/dev/net/tun', os.O_RDWR))"


class Box:
    """A host without the device, and a user's inventory for it."""

    def __init__(self, directory):
        self.name = f"{PROJECT}-host"
        self.stack = h.Stack(
            directory,
            PROJECT,
            FIRST_PORT,
            ansible_connection="community.docker.docker",
            ansible_host=self.name,
            ansible_python_interpreter="/usr/bin/python3",
            mediastack_base_path="/srv/mediastack",
            mediastack_container_prefix=f"{PROJECT}-",
        )

    def sh(self, command):
        return nested.run(["docker", "exec", self.name, "sh", "-c", command]).stdout

    def state(self):
        """What a run could have changed: the host's files but for Ansible's own, its modules, the engine's objects."""
        home = self.sh("echo ~").strip()
        changed = sorted(line for line in h.docker("diff", self.name).splitlines() if home not in line)
        kernel = self.sh("cat /proc/misc; cat /proc/modules 2>/dev/null || true")
        mark = ["--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"]
        owned = [h.docker("ps", "--all", *mark), h.docker("network", "ls", *mark), h.docker("volume", "ls", *mark)]
        return changed, kernel, owned

    def refused(self, *words):
        """`site` fails with the words, and has touched nothing."""
        before = self.state()
        done = self.stack.play("site", check=False)
        said = " ".join((done.stdout + done.stderr).replace("\\n", " ").split())
        assert done.returncode == 2 and "to solve first; nothing was changed" in said, said
        assert [word for word in words if word not in said] == [], said
        assert self.state() == before
        return said


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    made = Box(tmp_path_factory.mktemp("tun"))
    source = nested.image("trixie", nested.CLIENT_PACKAGES)
    socket = "/var/run/docker.sock:/var/run/docker.sock"
    nested.run(["docker", "run", "-d", "--init", "--name", made.name, "-v", socket, source, "sleep", "infinity"])
    try:
        # Where Ansible keeps its files while it works.
        made.sh("mkdir -p ~/.ansible/tmp /srv; test ! -e /dev/net/tun")
        yield made
    finally:
        nested.run(["docker", "rm", "-f", "-v", made.name], check=False)
        made.stack.remove()


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "unmake", "words"),
    [
        (":", ":", [GONE, "on a container: start the container that this host is with '--device /dev/net/tun'"]),
        (
            "touch /etc/synoinfo.conf",
            "rm /etc/synoinfo.conf",
            [NO_NODE, "on Synology DSM: 'sudo insmod /lib/modules/tun.ko', and at every boot: Control Panel"],
        ),
        (
            "mkdir -p /run/systemd; printf lxc > /run/systemd/container",
            "rm /run/systemd/container",
            [GONE, "on an LXC container: on the Proxmox host 'pct set ID -dev0 /dev/net/tun'", "c 10:200 rwm"],
        ),
        # What the engine makes of a device that is missing when it is mounted.
        ("mkdir -p /dev/net/tun", "rmdir /dev/net/tun", ["not the kernel's tun device, but a directory", "rm -r"]),
    ],
    ids=["container", "synology", "lxc", "directory"],
)
def test_site_says_what_is_missing_and_how_to_get_it_here(box, make, unmake, words):
    box.sh(make)
    try:
        box.refused(*words)
    finally:
        box.sh(unmake)


@pytest.mark.long
def test_a_node_that_the_containers_rules_for_devices_keep_shut(box):
    """As in an LXC container without the two lines, and with runc from 1.2 on. An older one is told to."""
    box.sh("mkdir -p /dev/net; mknod /dev/net/tun c 10 200")
    try:
        deny = pathlib.Path("/sys/fs/cgroup/devices/docker", h.inspect(box.name)[box.name]["Id"], "devices.deny")
        if deny.exists():
            deny.write_text("c 10:200 rwm")
        if box.sh(f'python3 -c "{OPEN}" 2>/dev/null && echo opened || true'):
            pytest.skip("nothing here keeps a container from the device")
        box.refused("/dev/net/tun cannot be opened: operation not permitted", "--device /dev/net/tun")
    finally:
        box.sh("rm /dev/net/tun")


def test_it_is_one_of_all_problems_and_none_without_a_vpn(box):
    before = dict(box.stack.variables)
    try:
        box.stack.set(mediastack_bind_addresses=["192.0.2.9"])
        assert "2 problems to solve first" in box.refused(GONE, "192.0.2.9")
        box.stack.set(mediastack_bind_addresses=["127.0.0.1"], mediastack_vpn_enabled=False)
        done = box.stack.play("site", "--check")
        assert "/dev/net/tun" not in done.stdout and "VPN OFF" in done.stdout
    finally:
        box.stack.variables = before
        box.stack.write()


@pytest.mark.long
def test_a_gluetun_that_got_past_the_checks_says_the_same_words(tmp_path):
    """Here the host has all that it needs; gluetun is kept from it afterwards."""
    project = f"{PROJECT}-late"
    stack = h.Stack(
        tmp_path,
        project,
        FIRST_PORT,
        mediastack_container_prefix=f"{project}-",
        mediastack_services={**h.SMALL, "prowlarr": False, "sabnzbd": False, "sonarr": False},
        mediastack_overrides={"gluetun": {"user": "1000:1000"}},
    )
    try:
        done = stack.play("site", check=False)
        said = " ".join(done.stdout.replace("\\n", " ").split())
        assert done.returncode == 2 and "gluetun" in said
        assert "gluetun lacks the capability NET_ADMIN: run site, which gives it" in said, said
        assert "the engine has none to give; on " in said and "systemctl cat docker" in said
        status = stack.play("vpn_status", check=False)
        assert "gluetun lacks the capability NET_ADMIN" in status.stdout + status.stderr
    finally:
        stack.set(mediastack_overrides={})
        stack.play("remove", "-e", "purge_config=true", "-e", "confirm=box", check=False)
        stack.remove()
        shutil.rmtree(tmp_path, ignore_errors=True)
