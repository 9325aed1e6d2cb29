# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes away what tests left that were killed: containers, networks, images, registries, mounts, directories."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import subprocess

from stack_harness import docker

PLACE = pathlib.Path("/var/tmp")
_NAME = re.compile(r"faults-(\d+)-[\w-]+")


def _dead(name):
    found = _NAME.match(name)
    return bool(found) and not pathlib.Path("/proc", found[1]).exists()


def _registries():
    for entry in pathlib.Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if words and words[0].endswith(b"docker-registry"):
            places = [pathlib.Path(os.fsdecode(word)) for word in words if word.startswith(os.fsencode(PLACE))]
            if any(_dead(place.relative_to(PLACE).parts[0]) for place in places):
                yield int(entry.name)


def sweep():
    """Remove all of it that belongs to processes that are no more."""
    for listing, removal in (
        (("ps", "--all", "--format", "{{.Names}}"), ("rm", "--force", "--volumes")),
        (("network", "ls", "--format", "{{.Name}}"), ("network", "rm")),
        (("volume", "ls", "--format", "{{.Name}}"), ("volume", "rm")),
    ):
        dead = [name for name in docker(*listing).split() if _dead(name)]
        if dead:
            docker(*removal, *dead, check=False)
    label = '{{.Id}} faults-{{index .Config.Labels "mediastack.faults"}}-'
    known = docker("image", "ls", "--quiet", "--filter", "label=mediastack.faults").split()
    told = docker("image", "inspect", "--format", label, *set(known), check=False) if known else ""
    dead = [line.split()[0] for line in told.splitlines() if _dead(line.split()[1])]
    if dead:
        docker("image", "rm", "--force", *dead, check=False)
    for pid in _registries():
        os.kill(pid, signal.SIGTERM)
    for line in pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        place = line.split()[1]
        if place.startswith(f"{PLACE}/") and _dead(pathlib.Path(place).relative_to(PLACE).parts[0]):
            subprocess.run(["umount", "--lazy", place], check=False)
    for folder in PLACE.glob("faults-*"):
        if _dead(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
