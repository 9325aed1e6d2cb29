# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's repository with a pipeline in it: what `init` writes, the sample of a forge, and the servers behind it.

The server is this machine with three small apps from a registry on loopback (tests/faults), the forge's API a stand-in
(tests/unit/forge_server.py).
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import ci_runner
import stack_harness as h
import yaml

for other in ("faults", "unit"):
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / other))

import forge_server  # noqa: E402
from fault_stack import FaultStack  # noqa: E402

SAMPLES = h.ROOT / "docs" / "examples" / "ci"
WORKFLOWS = {"github": ".github/workflows", "forgejo": ".forgejo/workflows", "gitlab": ".gitlab-ci.yml"}
VAULT_PASSWORD = "correct horse battery staple"
WORD = "only-in-the-vault"
REPOSITORY = "me/homelab"


def build(place):
    """The built artifact of this checkout."""
    command = [h.VENV / "ansible-galaxy", "collection", "build", "--output-path", place, h.ROOT]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, cwd=place, timeout=120)
    (artifact,) = pathlib.Path(place).glob("homelab-mediastack-*.tar.gz")
    return artifact


def prepared(place):
    """A directory for PIPELINE_DIRECTORY in which pip finds everything there already: this checkout's own venv."""
    venv = pathlib.Path(place) / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for tool in ("ansible-playbook", "ansible-galaxy", "yamllint"):
        (venv / "bin" / tool).symlink_to(h.VENV / tool)
    return pathlib.Path(place)


class Lab:
    """The world of one forge."""

    def __init__(self, kind, place, artifact, ci_directory):
        """*kind*: github, forgejo or gitlab. *ci_directory*: what the install step finds there already, or None."""
        self.kind, self.place, self.artifact = kind, pathlib.Path(place), artifact
        self.closing = contextlib.ExitStack()
        self.stack = self.closing.enter_context(contextlib.closing(FaultStack(mediastack_update_stable_for=2)))
        self.forge, self.address = self.closing.enter_context(forge_server.serving(kind))
        self.origin = self.place / "me" / "homelab"
        self.clone = self.place / "clone"
        self._repository()
        secrets = {"VAULT_PASSWORD": VAULT_PASSWORD, "SSH_PRIVATE_KEY": "", "SSH_KNOWN_HOSTS": ""}
        given = {"PIPELINE_DIRECTORY": str(ci_directory)} if ci_directory else {}
        if kind == "gitlab":
            scoped = {"VAULT_PASSWORD_FILE": str(self._file("password", VAULT_PASSWORD))}
            token = {"FORGE_TOKEN": forge_server.TOKEN}
            secrets = {"mediastack": scoped, "mediastack-plan": scoped, "mediastack-comment": token}
            self.runner = ci_runner.GitLabRunner(self.place / "runs", self.origin, secrets, given)
        else:
            self.runner = ci_runner.ActionsRunner(self.place / "runs", self.origin, secrets, given)

    def close(self):
        """Everything goes."""
        self.closing.close()

    def _file(self, name, text):
        path = self.place / name
        path.write_text(text)
        return path

    def _repository(self):
        """What `init` writes, the services, the pipeline, all of it committed and pushed."""
        ci_runner.git("init", "--quiet", "--bare", self.origin)
        ci_runner.git("clone", "--quiet", self.origin, self.clone)
        ci_runner.git("checkout", "--quiet", "-b", "main", cwd=self.clone)
        for name in ("ansible.cfg", ".gitignore"):
            shutil.copy(h.ROOT / "inventory.example" / name, self.clone)
        # As `init` writes it; on a runner there is no such file.
        config = (self.clone / "ansible.cfg").read_text()
        line = "vault_password_file = ~/.config/mediastack/vault-password"
        assert f"# {line}" in config
        (self.clone / "ansible.cfg").write_text(config.replace(f"# {line}", line))
        requirements = {"collections": [{"name": str(self.artifact), "type": "file"}]}
        (self.clone / "requirements.yml").write_text(yaml.safe_dump(requirements))
        variables = dict(self.stack.variables)
        hosts = {name: variables.pop(name) for name in list(variables) if name.startswith("ansible_")}
        (self.clone / "inventory.yml").write_text(yaml.safe_dump({"mediastack": {"hosts": {"box": hosts}}}))
        self.settings.parent.mkdir(parents=True)
        self.settings.write_text(yaml.safe_dump(variables, sort_keys=False))
        vault = self.settings.with_name("mediastack.vault.yml")
        vault.write_text(f"faults_word: {WORD}\n")
        command = [h.VENV / "ansible-vault", "encrypt", "--vault-password-file", self._file("password", VAULT_PASSWORD)]
        subprocess.run([*map(str, command), str(vault)], check=True, capture_output=True, timeout=60)
        shutil.copytree(self.stack.directory / "services", self.clone / "services")
        shutil.copytree(SAMPLES / "ci", self.clone / "ci", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(SAMPLES / self.kind, self.clone, dirs_exist_ok=True)
        self.commit("The servers", "main")

    @property
    def settings(self):
        """The file with the host's settings."""
        return self.clone / "host_vars" / "box" / "mediastack.yml"

    def branch(self, name):
        """Go to a new branch from main."""
        ci_runner.git("checkout", "--quiet", "-B", name, "main", cwd=self.clone)

    def write(self, **settings):
        """Change settings of the host."""
        variables = yaml.safe_load(self.settings.read_text())
        self.settings.write_text(yaml.safe_dump({**variables, **settings}, sort_keys=False))

    def commit(self, message, branch):
        """Commit everything, push it as a branch; the commit."""
        ci_runner.git("add", "--all", cwd=self.clone)
        ci_runner.git("commit", "--quiet", "--allow-empty", "-m", message, cwd=self.clone)
        ci_runner.git("push", "--quiet", "--force", "origin", f"HEAD:{branch}", cwd=self.clone)
        return ci_runner.git("rev-parse", "HEAD", cwd=self.clone)

    def merge(self, branch):
        """The branch is main's from now on."""
        ci_runner.git("checkout", "--quiet", "main", cwd=self.clone)
        ci_runner.git("merge", "--quiet", "--ff-only", branch, cwd=self.clone)
        ci_runner.git("push", "--quiet", "origin", "main", cwd=self.clone)

    def pull_request(self, number, fork=False):
        """Run the pipeline of a pull request for what is checked out in the clone."""
        sha = ci_runner.git("rev-parse", "HEAD", cwd=self.clone)
        source = "mallory/homelab" if fork else REPOSITORY
        if self.kind == "gitlab":
            more = {"CI_MERGE_REQUEST_IID": str(number), "CI_MERGE_REQUEST_PROJECT_ID": "42"}
            more["CI_MERGE_REQUEST_SOURCE_PROJECT_ID"] = "43" if fork else "42"
            return self._run("", "merge_request_event", sha, **more)
        more = {"github.event.pull_request.number": str(number), "github.event.pull_request.head.sha": sha}
        more["github.event.pull_request.head.repo.full_name"] = source
        return self._run("pull-request", "pull_request", sha, **more, **{"secrets are given": not fork})

    def deploy(self):
        """Run the pipeline of main."""
        return self._run("deploy", "push", ci_runner.git("rev-parse", "main", cwd=self.clone))

    def drift(self):
        """Run the nightly pipeline."""
        return self._run("drift", "schedule", ci_runner.git("rev-parse", "main", cwd=self.clone))

    def _run(self, name, event, sha, **more):
        path = self.clone / WORKFLOWS[self.kind]
        if self.kind == "gitlab":
            address = {key: text for key, text in self.address.items() if key != "FORGE_TOKEN"}
            known = {"CI_PIPELINE_SOURCE": event, "CI_COMMIT_SHA": sha, "CI_DEFAULT_BRANCH": "main", **address}
            known.update({} if "CI_MERGE_REQUEST_IID" in more else {"CI_COMMIT_BRANCH": "main"})
            return self.runner.run(path, {**known, **more})
        context = {
            "github.event_name": event,
            "github.sha": sha,
            "github.ref": f"refs/pull/{more.get('github.event.pull_request.number')}/merge"
            if event == "pull_request"
            else "refs/heads/main",
            "github.repository": REPOSITORY,
            "github.token": forge_server.TOKEN,
            "GITHUB_API_URL": self.address["GITHUB_API_URL"],
            "GITHUB_SERVER_URL": f"file://{self.place}",
            "secrets are given": True,
            **more,
        }
        return self.runner.run(path / f"{name}.yml", context)

    def lives(self):
        """service → (container, its start): other ones whenever anything is done to it."""
        return {name: (one["Id"], one["State"]["StartedAt"]) for name, one in self.stack.containers().items()}

    @property
    def comments(self):
        """Texts of the comments on pull request 1."""
        return [entry["body"] for entry in self.forge.comments.get(1, [])]

    @property
    def without_secrets(self):
        """Whether no place that others read has a secret of the vault, nor its password."""
        read = [str(self.forge.comments), str(self.forge.issues), str(self.runner.artifacts)]
        return not any(secret in text for secret in (WORD, VAULT_PASSWORD, forge_server.TOKEN) for text in read)
