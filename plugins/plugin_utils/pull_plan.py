# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller hands to a host for pull mode: its configuration, the program, and this very collection."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import pathlib
import tarfile

from . import host_program

PROGRAM = "bin/mediastack-pull"
ENTRY = "pull_cli"
DEFAULT_PATH = "/var/lib/mediastack-pull"
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_TOP = ("MANIFEST.json", "FILES.json", "galaxy.yml", "LICENSE", "README.md")
_DIRECTORIES = ("compose_templates", "inventory.example", "meta", "playbooks", "plugins", "roles")
_PLACE = "ansible_collections/homelab/mediastack"
_PREFIX = "mediastack_gitops_"
# Settings that the program knows, there without the prefix.
_PASSED = (
    "mediastack_gitops_url",
    "mediastack_gitops_branch",
    "mediastack_gitops_inventory",
    "mediastack_gitops_verify",
    "mediastack_gitops_commit",
    "mediastack_gitops_allow_rewind",
    "mediastack_gitops_allowed_signers",
    "mediastack_gitops_gpg_keys",
    "mediastack_gitops_known_hosts",
    "mediastack_gitops_ssh_key_file",
    "mediastack_gitops_vault_password_file",
    "mediastack_gitops_age_key_file",
    "mediastack_gitops_webhook_url",
    "mediastack_gitops_textfile_directory",
    "mediastack_gitops_interval",
    "mediastack_gitops_jitter",
    "mediastack_gitops_keep_logs",
)


def path(values):
    """The directory on the host."""
    return values["mediastack_gitops_path"] or f"{DEFAULT_PATH}/{values['mediastack_project_name']}"


def config(values, host):
    """What the program is to know; `values`: the settings, `host`: the name in the inventory."""
    found = {name[len(_PREFIX) :]: values[name] for name in _PASSED}
    return {**found, "project": values["mediastack_project_name"], "host": host}


def problems(values):
    """What is missing in the settings for pull mode, one sentence a problem."""
    found = []
    verify = values["mediastack_gitops_verify"]
    if not values["mediastack_gitops_url"]:
        found.append("mediastack_gitops_url is empty: name the git repository that the host is to follow.")
    signers = values["mediastack_gitops_allowed_signers"] or values["mediastack_gitops_gpg_keys"]
    if verify == "signature" and not signers:
        found.append(
            "mediastack_gitops_verify is signature (the default), and neither mediastack_gitops_allowed_signers nor "
            "mediastack_gitops_gpg_keys names whose: see docs/gitops.md, or pin a commit "
            "(mediastack_gitops_verify: commit)."
        )
    if verify == "commit" and not values["mediastack_gitops_commit"]:
        found.append("mediastack_gitops_verify is commit, and mediastack_gitops_commit names none.")
    if verify != "commit" and values["mediastack_gitops_commit"]:
        found.append("mediastack_gitops_commit pins a commit: write mediastack_gitops_verify: commit, or remove it.")
    return found


def warnings(values):
    """What the user should hear of."""
    if values["mediastack_gitops_verify"] != "none":
        return []
    sentence = (
        "mediastack_gitops_verify: none: whoever can write to the repository, or answers in its place, becomes root "
    )
    return [sentence + "on this host. Sign your commits (docs/gitops.md)."]


@functools.cache
def archive(root=_ROOT):
    """(digest, bytes) of the collection as a packed tar, the same bytes every time."""
    names = [name for name in _TOP if (root / name).is_file()]
    for directory in _DIRECTORIES:
        names += [
            str(found.relative_to(root))
            for found in sorted((root / directory).rglob("*"))
            if found.is_file() and "__pycache__" not in found.parts and found.suffix != ".pyc"
        ]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for name in sorted(names):
            data = (root / name).read_bytes()
            member = tarfile.TarInfo(f"{_PLACE}/{name}")
            member.size, member.mode = len(data), 0o644
            packed.addfile(member, io.BytesIO(data))
    data = plain.getvalue()
    return hashlib.sha256(data).hexdigest()[:16], gzip.compress(data, 6, mtime=0)


def program():
    """The program, as it travels."""
    return host_program.packed(PROGRAM, ENTRY)
