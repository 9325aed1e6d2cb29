# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`DiskStack`: configuration and snapshots each on a small disk of its own, which can be full or gone."""

from __future__ import annotations

import os
import subprocess

import fault_inject as inject
from fault_stack import UID, FaultStack

#: Megabytes. Preflight asks for 256.
SIZE = 320
CONFIG, BACKUPS = "config", "backups"


def _run(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=60)


class DiskStack(FaultStack):
    """A FaultStack with two disks."""

    def __init__(self, **variables):
        super().__init__(**variables)
        self.disks = {CONFIG: self.config, BACKUPS: self.directory / "backups"}
        self.set(mediastack_backup_path=str(self.disks[BACKUPS]))
        for name, place in self.disks.items():
            place.mkdir(parents=True)
            image = self.directory / f"{name}.img"
            with image.open("wb") as handle:
                handle.truncate(SIZE << 20)
            _run("mkfs.ext4", "-q", "-m0", "-F", str(image))
            self.closing.callback(self.unmount, name)
            self.mount(name)
            # mkfs makes it, and no app has a configuration of that name.
            (place / "lost+found").rmdir()
        os.chown(self.config, UID, UID)
        self.config.chmod(0o2775)

    @property
    def kept(self):
        """Also what a run has put below the mount point of a disk that was gone."""
        below = self.directory / "below"
        if not below.exists():
            below.mkdir()
            # The directory alone: without the disks in it.
            _run("mount", "--bind", str(self.directory), str(below))
            self.closing.callback(subprocess.run, ["umount", "--lazy", str(below)], check=False)
        return [*super().kept, below / "backups"]

    def mount(self, name):
        """Plug a disk in."""
        _run("mount", "-o", "loop", str(self.directory / f"{name}.img"), str(self.disks[name]))

    def unmount(self, name):
        """Pull a disk out, also from under those who use it."""
        subprocess.run(["umount", "--lazy", str(self.disks[name])], check=False, capture_output=True)


def full(name, wait=None, leave=0):
    """A disk is full: from before the run when `wait` is None, else from that step on."""

    def act(run):
        if wait:
            wait(run)
        inject.fill(run, run.stack.disks[name], leave)

    return act


def gone(name):
    """A disk is not there until the run is over."""

    def act(run):
        run.stack.unmount(name)
        run.after(lambda: run.stack.mount(name))

    return act
