# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In pull mode an image moves by the lock of a commit, and by the transaction of `update`: what does not get well is
taken back.
"""

from __future__ import annotations

import contextlib
import os
import shutil

import gitops_lab
import pytest
from compose_stack_lab import build_image, docker
from gitops_lab import TIMER
from registry import running_registry
from stack_harness import free_ports

pytestmark = pytest.mark.long
PATIENCE = 600
LOCK = "mediastack.lock.yml"
# What build_image writes into an image tells a good one from a bad one.
WELL = "grep -q good /mark"


class Releases:
    """The registry with the app, which this machine and the nested host both call 127.0.0.1."""

    def __init__(self, port):
        self.image = f"127.0.0.1:{port}/hello:1"

    def publish(self, mark):
        """A release under the same tag; its digest."""
        build_image(self.image, mark)
        docker("push", self.image)
        named = docker("image", "inspect", self.image, "--format", "{{index .RepoDigests 0}}")
        docker("image", "rm", "-f", self.image)
        return named.partition("@")[2]


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """One registry on two addresses: loopback here, and the bridge, to which the nested host's loopback is led."""
    place, port = tmp_path_factory.mktemp("registry"), free_ports(1)
    gateway = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}") or "172.17.0.1"
    with contextlib.ExitStack() as closing:
        for address in ("127.0.0.1", gateway):
            folder = place / address
            folder.mkdir()
            (place / "storage").mkdir(exist_ok=True)
            (folder / "storage").symlink_to(place / "storage")
            closing.enter_context(running_registry(folder, f"{address}:{port}"))
        made = Releases(port)
        made.port, made.gateway = port, gateway
        yield made


@pytest.fixture(scope="module")
def host(releases, tmp_path_factory):
    """A host in pull mode without its timer, at a commit with a lock of the first release."""
    place = tmp_path_factory.mktemp("gitops")
    for directory in (place, *place.parents):
        if directory.stat().st_uid == os.geteuid() and len(directory.parts) > 2:
            directory.chmod(0o755)
    with gitops_lab.puller(place, f"mspullup-{os.getpid()}") as made:
        made.box.forward(releases.port, releases.gateway, releases.port)
        made.repository.image = releases.image
        made.repository.variables.update(probe=WELL, mediastack_wait_timeout=60)
        made.digest = releases.publish("good 1")
        lock(made)
        made.play("gitops")
        made.box.sh(f"systemctl stop {TIMER}")
        made.wait(made.idle, PATIENCE, "the end of a run by the timer")
        made.pull()
        yield made


def lock(host):
    """What a user does to lock what the registry has now: `update -e lock_only=true`, commit, push. The commit."""
    host.play("update", "-e", "lock_only=true")
    shutil.copy(host.place / "push" / LOCK, host.repository.work / LOCK)
    return host.repository.commit()


def runs(host):
    """The digest of what the app runs."""
    image = host.app()["Image"]
    named = host.box.sh(f"docker image inspect {image} --format '{{{{join .RepoDigests \" \"}}}}'")
    return named.partition("@")[2]


def test_a_new_image_comes_with_the_lock_of_a_commit_and_not_with_its_tag(host, releases):
    assert host.last()["result"] == "good", host.log()
    assert runs(host) == host.digest
    newer = releases.publish("good 2")
    host.repository.commit(greeting="second")
    host.pull()
    # The tag is another image now, and nobody has locked it.
    assert (host.greeting(), runs(host)) == ("second", host.digest)
    locked = lock(host)
    _done, last = host.pull()
    assert (last["result"], last["commit"]["live"]) == ("good", locked), host.log()
    assert runs(host) == newer
    host.digest = newer


def test_a_lock_whose_image_does_not_get_well_leaves_the_last_good_one(host, releases):
    live = host.last()["commit"]["live"]
    bad = releases.publish("broken 3")
    wanted = lock(host)
    _done, last = host.pull()
    assert last["ok"] is False and last["commit"]["live"] == live, host.log()
    assert last["commit"]["refused"] == wanted and last["reason"]
    assert runs(host) == host.digest != bad
    assert host.app()["State"]["Health"]["Status"] == "healthy"
    # And it stays so: the next run neither tries it again nor moves anything.
    life = host.app()["Id"]
    _done, last = host.pull()
    assert last["commit"]["live"] == live and host.app()["Id"] == life


def test_a_mended_image_gets_live_after_a_refused_one(host, releases):
    mended = releases.publish("good 4")
    wanted = lock(host)
    _done, last = host.pull()
    assert (last["result"], last["commit"]["live"]) == ("good", wanted), host.log()
    assert runs(host) == mended
