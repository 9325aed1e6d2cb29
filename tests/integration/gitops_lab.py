# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A nested host in pull mode, the git repository that it follows, and what its user does: sign, push, look."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import subprocess
import sys

import nested
import systemd_host
import yaml
from compose_stack_lab import CACHE, IMAGE
from stack_harness import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = "git,openssh-client,python3-venv"
HOST = "nas"
PROJECT = "mspull"
PLACE = f"/var/lib/mediastack-pull/{PROJECT}"
PROGRAM = f"{PLACE}/venv/bin/python -I {PLACE}/bin/mediastack-pull"
SERVICE = f"mediastack-{PROJECT}-pull.service"
TIMER = f"mediastack-{PROJECT}-pull.timer"
ALWAYS_ON = ("gluetun", "qbittorrent", "sabnzbd", "prowlarr", "sonarr", "radarr", "bazarr", "flaresolverr", "unpackerr")
# One app of one busybox, well after a second. What it greets with shows which commit is live.
APP = """\
services:
  {{ mediastack_service }}:
    image: IMAGE
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    environment: {GREETING: "{{ greeting }}"}
    healthcheck:
      test: {{ (['CMD'] + (probe | default('true')).split()) | to_json }}
      interval: 1s
      timeout: 5s
      retries: 2
      start_period: {{ patience | default('0s') }}
    x-mediastack:
      title: Hello
      profiles: [hello]
      run_as: ids
      health: {kind: container}
      login: {kind: no_ui}
"""


def wheels():
    """Directory of the wheels that the role installs, for the nested host's Python; from PyPI, once."""
    place = CACHE / "pull-wheels"
    CACHE.mkdir(parents=True, exist_ok=True)
    pins = yaml.safe_load((ROOT / "roles/gitops/vars/main.yml").read_text())["gitops_python_packages"]
    done = place / "pins.json"
    with open(CACHE / "pull-wheels.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or json.loads(done.read_text()) != pins:
            words = ["download", "-q", "--no-deps", "--only-binary", ":all:", "--python-version", "3.13"]
            nested.run([sys.executable, "-m", "pip", *words, "-d", str(place), *pins], timeout=300)
            done.write_text(json.dumps(pins))
    return place


class Repository:
    """The user's repository: a working copy that signs, and the bare one that the host follows."""

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.work, self.bare, self.key = (self.place / name for name in ("work", "origin.git", "key"))
        #: What the app runs, as the service file names it.
        self.image = IMAGE
        nested.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(self.key)])
        nested.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)])
        nested.run(["git", "init", "-q", "-b", "main", str(self.work)])
        self.git("remote", "add", "origin", str(self.bare))
        self.variables = {
            # As a push would need it; a pull must not care.
            "ansible_connection": "ssh",
            "ansible_host": "192.0.2.1",
            "ansible_become": True,
            "mediastack_project_name": PROJECT,
            "mediastack_vpn_enabled": False,
            "mediastack_profiles": ["hello"],
            "mediastack_services": dict.fromkeys(ALWAYS_ON, False),
            "mediastack_lab_images": True,
            "mediastack_bind_addresses": ["127.0.0.1"],
            "mediastack_wait_timeout": 20,
            "mediastack_backup_timer": "false",
            "mediastack_boot_repair": "false",
            "greeting": "first",
        }

    @property
    def signer(self):
        """The line for `mediastack_gitops_allowed_signers`."""
        return "me@example.org " + self.key.with_suffix(".pub").read_text().strip()

    def git(self, *words):
        """Output of git in the working copy."""
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        sign = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.key}"]
        return nested.run(["git", *who, *sign, "-C", str(self.work), *words], env=env).stdout.strip()

    def commit(self, sign=True, push=True, **variables):
        """A commit with these variables of the host changed; its id."""
        self.variables.update(variables)
        self.write_app(self.work)
        hosts = {"mediastack": {"hosts": {HOST: self.variables}}}
        (self.work / "inventory.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change", *(["-S"] if sign else []))
        if push:
            self.push()
        return self.head()

    def write_app(self, directory):
        """The service file of the app, beside an inventory."""
        (directory / "services").mkdir(parents=True, exist_ok=True)
        (directory / "services" / "hello.yml.j2").write_text(APP.replace("IMAGE", self.image))

    def push(self, *words):
        """Publish what the working copy is at."""
        self.git("push", "-q", "--force", "origin", *(words or ("HEAD:main",)))

    def head(self):
        """Id of the working copy's commit."""
        return self.git("rev-parse", "HEAD")


class Puller:
    """The host, seen by its user."""

    def __init__(self, box, repository, place):
        self.box, self.repository, self.place = box, repository, pathlib.Path(place)
        self.settings = {
            "mediastack_gitops_url": "file:///repository/origin.git",
            "mediastack_gitops_allowed_signers": [repository.signer],
            "mediastack_gitops_interval": 3600,
            "mediastack_gitops_jitter": 0,
            "mediastack_gitops_pip_arguments": ["--no-index", "--find-links=/wheels"],
        }

    def play(self, playbook, *arguments, check=True, **settings):
        """A playbook by push, from this machine."""
        self.settings.update(settings)
        variables = {**self.repository.variables, **self.settings}
        variables.update(ansible_connection="community.docker.docker", ansible_host=self.box.name, ansible_become=False)
        variables["ansible_python_interpreter"] = "/usr/bin/python3"
        push = self.place / "push"
        self.repository.write_app(push)
        (push / "inventory.yml").write_text(yaml.safe_dump({"mediastack": {"hosts": {HOST: variables}}}))
        command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(push / "inventory.yml")]
        return nested.run(
            [*command, f"homelab.mediastack.{playbook}", *arguments],
            timeout=500, check=check, cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip

    def pull(self, *options, check=True, timeout=300):
        """A run by hand; (return code, last.json)."""
        argv = ["docker", "exec", self.box.name, "sh", "-c", f"{PROGRAM} {' '.join(options)}"]
        done = nested.run(argv, check=False, timeout=timeout)
        if check and done.returncode not in (0, 1):
            raise AssertionError(f"{done.stdout}\n{done.stderr}")
        return done, self.last()

    def last(self):
        """last.json; None before the first run has ended."""
        text = self.box.sh(f"cat {PLACE}/last.json 2>/dev/null || true")
        return json.loads(text) if text else None

    def log(self):
        """The newest log, for a failed test."""
        return self.box.sh(f"cat $(ls {PLACE}/logs/*.log | tail -1)")

    def app(self):
        """`docker inspect` of the app; None where there is none."""
        return self.box.inspect("hello").get("hello")

    def greeting(self):
        """What the app that runs greets with."""
        app = self.app()
        if not app or not app["State"]["Running"]:
            return None
        return next((one.partition("=")[2] for one in app["Config"]["Env"] if one.startswith("GREETING=")), None)

    def wait(self, predicate, seconds, what):
        """Wait for a state of the host."""
        try:
            return wait_for(predicate, seconds, what)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.last()}\n{self.box.sh(f'cat {PLACE}/logs/*.log', check=False)[-6000:]}"
            ) from error

    def start(self):
        """Start a run in the background, as the timer does."""
        self.box.sh(f"systemctl start --no-block {SERVICE}")

    def idle(self):
        """Whether no run is at work."""
        return self.box.sh(f"systemctl show -p ActiveState --value {SERVICE}") in ("inactive", "failed")


@contextlib.contextmanager
def puller(place, name):
    """A host that is in pull mode already, at a first good commit."""
    place = pathlib.Path(place)
    repository = Repository(place)
    mounts = ["-v", f"{place}:/repository:ro", "-v", f"{wheels()}:/wheels:ro"]
    with systemd_host.host(name, *mounts, packages=PACKAGES) as box:
        box.load(IMAGE)
        yield Puller(box, repository, place)


def kill_everything(box):
    """kill -9 of every process of a run, program, Ansible and modules at once, as a power cut would.

    All are stopped first: of one that is killed after another, the first would see the other's end and report it.
    """
    script = """
for signal in STOP STOP KILL KILL KILL; do
  for p in /proc/[0-9]*; do
    if tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q 'mediastack-pull\\|ansible\\|AnsiballZ\\|docker-compose'; then
      case $(cat $p/comm 2>/dev/null) in
        sh|tr|grep|dockerd|containerd*) ;;
        *) kill -$signal ${p#/proc/} 2>/dev/null ;;
      esac
    fi
  done
done; true"""
    subprocess.run(["docker", "exec", box.name, "sh", "-c", script], check=True, timeout=60)
