#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check what the built artifact holds: check_artifact.py build/artifact/homelab-mediastack-X.Y.Z.tar.gz

Everything that a run needs is in it, nothing of the workshop is, nothing is writable by all, its version is right.
"""

import json
import pathlib
import subprocess
import sys
import tarfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a run, a reader or Galaxy needs: every file that git has below these.
SHIPPED = (
    "plugins/",
    "roles/",
    "playbooks/",
    "compose_templates/",
    "meta/",
    "docs/",
    "inventory.example/",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
)
# What stays in the repository.
WORKSHOP = (
    "tests",
    "molecule",
    "mk",
    "requirements",
    "Makefile",
    "build",
    ".ci",
    ".git",
    ".venv",
    ".cache",
    ".ansible",
)
MADE_BY_GALAXY = {"MANIFEST.json", "FILES.json"}


def tracked():
    """Return the names of the files that git has or would take and that are there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listing = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    return {name for name in listing.split("\0") if name and (ROOT / name).is_file()}


def complaints(artifact):
    """Yield what is wrong with the tar file, as text."""
    with tarfile.open(artifact) as tar:
        members = {member.name: member for member in tar.getmembers()}
        info = json.load(tar.extractfile("MANIFEST.json"))["collection_info"]
    files = {name for name, member in members.items() if not member.isdir()}
    wanted = {name for name in tracked() if name.startswith(SHIPPED)}
    for name in sorted(wanted - files):
        yield f"{name} is missing"
    for name in sorted(files - tracked() - MADE_BY_GALAXY):
        yield f"{name} is in it, but git does not have it"
    for name in sorted(members):
        if name.split("/")[0] in WORKSHOP:
            yield f"{name} belongs to the workshop"
        if members[name].mode & 0o002:
            yield f"{name} is writable by everyone"
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    if info["version"] != version:
        yield f"it says version {info['version']}, galaxy.yml {version}"
    if "community.docker" not in info["dependencies"]:
        yield "it does not declare its dependency community.docker"


def main(arguments):
    """Print every complaint; return the exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    found = list(complaints(arguments[0]))
    print("\n".join(found) or f"{pathlib.Path(arguments[0]).name}: complete, and nothing else in it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
