# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where pull mode keeps its things on a host, and what it was told: one directory, one configuration file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import NamedTuple, Sequence

SCHEMA = 1
CONFIG_FILE = "config.json"
COLLECTION = os.path.join("ansible_collections", "homelab", "mediastack")
LOCK_NAME = "mediastack.lock.yml"


class PullError(Exception):
    """Something about this host or its configuration keeps pull mode from working; no commit is to blame."""


class Config(NamedTuple):
    """What the role wrote down. `digest` changes with any of it."""

    project: str
    host: str
    url: str
    branch: str = "main"
    inventory: str = "inventory.yml"
    verify: str = "signature"
    commit: str = ""
    allow_rewind: bool = False
    allowed_signers: Sequence[str] = ()
    gpg_keys: Sequence[str] = ()
    known_hosts: Sequence[str] = ()
    ssh_key_file: str = ""
    vault_password_file: str = ""
    age_key_file: str = ""
    webhook_url: str = ""
    textfile_directory: str = ""
    interval: int = 900
    jitter: int = 300
    keep_logs: int = 20
    step_timeout: int = 7200
    digest: str = ""


class Place:
    """Paths below the directory of one project's pull mode."""

    def __init__(self, root):
        """`root`: such as `/var/lib/mediastack-pull/homelab-mediastack`."""
        self.root = root
        join = os.path.join
        self.config = join(root, CONFIG_FILE)
        self.state = join(root, "state.json")
        self.journal = join(root, "journal.json")
        self.lock = join(root, "lock")
        self.holder = join(root, "holder.json")
        self.paused = join(root, "paused.json")
        self.mirror = join(root, "mirror.git")
        self.releases = join(root, "releases")
        self.live = join(root, "live")
        self.logs = join(root, "logs")
        self.last = join(root, "last.json")
        self.metrics = join(root, "metrics.prom")
        self.collections = join(root, "collections")
        self.venv = join(root, "venv")
        self.program = join(root, "bin", "mediastack-pull")
        # What the program makes anew in every run.
        self.work = join(root, "work")
        self.gitconfig = join(self.work, "gitconfig")
        self.signers = join(self.work, "allowed_signers")
        self.known_hosts = join(self.work, "known_hosts")
        self.gnupg = join(self.work, "gnupg")
        self.temporary = join(self.work, "tmp")

    def tool(self, name):
        """A program of the venv."""
        return os.path.join(self.venv, "bin", name)

    def release(self, commit):
        """Where a commit is checked out."""
        return os.path.join(self.releases, commit)

    def collection(self, release):
        """The collection that plays a release: its own below `collections/`, or the one that the role brought."""
        own = os.path.join(release, "collections", COLLECTION)
        return own if os.path.isdir(os.path.join(own, "playbooks")) else os.path.join(self.collections, COLLECTION)

    @staticmethod
    def lock_file(release, inventory):
        """The lock file beside the inventory, or None where there is none."""
        path = os.path.join(release, inventory)
        beside = path if os.path.isdir(path) else os.path.dirname(path)
        found = os.path.join(beside, LOCK_NAME)
        return found if os.path.exists(found) else None


def read_config(place):
    """The Config of a place. PullError where it is missing or damaged."""
    again = "Run ansible-playbook homelab.mediastack.gitops for this host again."
    try:
        with open(place.config, "rb") as handle:
            data = handle.read()
        known = json.loads(data.decode("utf-8"))
        if known.get("schema") != SCHEMA:
            raise ValueError("schema %r is not %d" % (known.get("schema"), SCHEMA))
        values = {name: known[name] for name in Config._fields if name in known and name != "digest"}
        return Config(digest=hashlib.sha256(data).hexdigest(), **values)
    except OSError as error:
        raise PullError("cannot read %s: %s. %s" % (place.config, error.strerror, again)) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise PullError("%s is damaged (%s). %s" % (place.config, error, again)) from error


def check_secret_file(path, setting):
    """PullError unless `path` is root's (or ours) alone: what it holds opens everything in the repository."""
    if not path:
        return
    try:
        info = os.stat(path)
    except OSError as error:
        raise PullError(
            "%s: %s cannot be read on this host: %s. Put the file there, owned by root, mode 0600."
            % (setting, path, error.strerror)
        ) from error
    loose = stat.S_IMODE(info.st_mode) & 0o077
    if loose or info.st_uid not in (0, os.geteuid()) or not stat.S_ISREG(info.st_mode):
        raise PullError(
            "%s: %s is refused: mode %04o, owner %d; others could read or change it. "
            "chown root:root %s && chmod 600 %s" % (setting, path, stat.S_IMODE(info.st_mode), info.st_uid, path, path)
        )
