# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pull mode of files and real git, with everything that Ansible would do replaced by a script."""

from __future__ import annotations

import io
import json
import os
import pathlib
import subprocess

from ansible_collections.homelab.mediastack.plugins.module_utils import pull_git
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_git import Git
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import Config, Place
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_run import Run
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_state import Journal, State
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_steps import Step


def ssh_key(path):
    """Make a key pair; the public key's line."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(path)], check=True)
    return pathlib.Path(f"{path}.pub").read_text(encoding="utf-8").strip()


class Remote:
    """The user's repository, with a working copy."""

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.key = self.place / "key"
        self.signer = f"me@example.org {ssh_key(self.key)}"
        self.git("init", "-q", "-b", "main", str(self.place / "work"), there=False)

    def git(self, *words, there=True, key=None):
        """Output of git."""
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        for name in ("author", "committer"):
            env |= {f"GIT_{name.upper()}_NAME": "me", f"GIT_{name.upper()}_EMAIL": "me@example.org"}
        options = ["-c", "core.fsync=none", "-c", "gpg.format=ssh", "-c", f"user.signingkey={key or self.key}"]
        place = ["-C", str(self.place / "work")] if there else []
        argv = ["git", *options, *place, *words]
        return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text, sign=True, key=None):
        """A commit of one file; its id."""
        (self.place / "work" / "inventory.yml").write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", text, *(["-S"] if sign else []), key=key)
        return self.git("rev-parse", "HEAD")


class Script:
    """In place of Steps: `fails` says which steps of which commits fail, and what they say."""

    def __init__(self):
        self.done, self.calls = [], []
        #: Those of `calls` that were to try again what failed its gate.
        self.retried = []
        self.fails, self.rollout, self.unreadable = {}, 100, {}
        #: What `plan` writes as the state of the host; None: nothing.
        self.plan = None
        #: Called before every step; a test that kills raises here.
        self.before = lambda name, commit: None

    def variables(self, _release, commit):
        if commit in self.unreadable:
            return {}, self.unreadable[commit]
        return {"mediastack_gitops_rollout": self.rollout}, None

    def pull(self, name, _playbook, _release, commit, *extra):
        return self._step(name, commit, extra)

    def play(self, name, _playbook, _release, commit, *extra):
        if name == "plan" and self.plan:
            path = json.loads(extra[-1])["output"]
            pathlib.Path(path).write_text(json.dumps({"hosts": {"nas": self.plan}}), encoding="utf-8")
        return self._step(name, commit, extra)

    def has_playbook(self, _playbook, _release):
        return False

    def _step(self, name, commit, extra):
        self.before(name, commit)
        self.calls.append((name, commit))
        if "retry_failed=true" in extra:
            self.retried.append((name, commit))
        reason = self.fails.get((name, commit), "")
        self.done.append(Step(name, 1 if reason else 0, reason, False))
        return self.done[-1]


class World:
    """A host and the repository that it follows."""

    def __init__(self, place):
        self.remote = Remote(place)
        self.place = Place(str(pathlib.Path(place) / "host"))
        os.makedirs(self.place.root)
        self.settings = {
            "project": "stack",
            "host": "nas",
            "url": str(pathlib.Path(place) / "work"),
            "allowed_signers": [self.remote.signer],
            "digest": "one",
        }
        self.script = Script()
        self.said = io.StringIO()

    def run(self, retry=False):
        """One run; the Run, its result told. `script.calls` are those of this run."""
        self.script.calls.clear()
        self.script.done.clear()
        self.script.retried.clear()
        config = Config(**self.settings)
        self.journal = Journal(self.place)
        self.state = State(self.place)
        say = lambda text: self.said.write(f"{text}\n")  # noqa: E731
        run = Run(
            self.place, config, Git(self.place, config), self.script, self.state, self.journal, say, retry
        )  # fmt: skip
        run.work()
        self.journal.close()
        return run

    @property
    def good(self):
        """Id of the last good commit."""
        return State(self.place).last_good

    @property
    def steps(self):
        """Names of the steps of the last run, with the commits shortened to a word."""
        return self.script.calls


def quick(place, monkeypatch):
    """A World on a disk that is not waited for: there is no power cut here."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(pull_git, "_CONFIG", pull_git._CONFIG.replace("fsync = all", "fsync = none"))
    return World(place)
