# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a pull run: ansible-pull and ansible-playbook of the venv, each with its log, for one host, local."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pwd
import signal
import subprocess
import threading
from typing import NamedTuple

from ansible_collections.homelab.mediastack.plugins.module_utils import pull_lock, pull_reason
from ansible_collections.homelab.mediastack.plugins.module_utils.pull_place import PullError
from ansible_collections.homelab.mediastack.plugins.module_utils.run_lock import WHO_VARIABLE

_MOST_LOGGED = 2 * 1024 * 1024
_TAIL = 600


class Step(NamedTuple):
    """What came of one step."""

    name: str
    rc: int
    reason: str
    changed: bool
    output: str = ""


class Steps:
    """Runs steps for one host; everything they print goes to one log."""

    def __init__(self, place, config, git, log, keep_open=()):
        """`log`: a Log; `keep_open`: descriptors that the steps inherit, so that a lock lasts as long as the last of
        them."""
        self._place, self._config, self._git = place, config, git
        self._log, self._keep_open = log, tuple(keep_open)
        #: Every Step, in order.
        self.done = []

    def _environ(self, release, commit):
        environ = {
            name: value
            for name, value in self._git.environ.items()
            if not name.startswith(("ANSIBLE_", "MEDIASTACK_", "SOPS_", "PYTHON", "VIRTUAL_ENV"))
        }
        own = os.path.join(release, "collections")
        environ.update(
            ANSIBLE_COLLECTIONS_PATH=os.pathsep.join([own, self._place.collections]),
            ANSIBLE_LOCAL_TEMP=os.path.join(self._place.work, "ansible", "tmp"),
            ANSIBLE_REMOTE_TEMP=os.path.join(self._place.work, "ansible", "tmp"),
            ANSIBLE_NOCOLOR="1",
            # ansible-pull checks out for localhost and for a host by the name of this one, into the same directory.
            ANSIBLE_FORKS="1",
            ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default",
            ANSIBLE_RETRY_FILES_ENABLED="0",
            ANSIBLE_LOCALHOST_WARNING="0",
            PATH=os.pathsep.join([os.path.join(self._place.venv, "bin"), environ.get("PATH") or os.defpath]),
            # The engine's logins to registries are below it; a service of systemd has none.
            HOME=pwd.getpwuid(os.geteuid()).pw_dir,
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONUNBUFFERED="1",
        )
        name, value = pull_lock.mark(self._place)
        environ[name] = value
        environ[WHO_VARIABLE] = "pull of commit %s" % commit[:12]
        if self._config.vault_password_file:
            environ["ANSIBLE_VAULT_PASSWORD_FILE"] = self._config.vault_password_file
        if self._config.age_key_file:
            environ["SOPS_AGE_KEY_FILE"] = self._config.age_key_file
        return environ

    def variables(self, release, commit):
        """The host's variables as the inventory of a release has them; (variables, why not)."""
        inventory = os.path.join(release, self._config.inventory)
        if not os.path.exists(inventory):
            return {}, "there is no %s in it (mediastack_gitops_inventory)" % self._config.inventory
        argv = [self._place.tool("ansible-inventory"), "-i", inventory, "--host", self._config.host]
        try:
            done = subprocess.run(
                argv, cwd=release, env=self._environ(release, commit), stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8", errors="replace", timeout=300, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return json.loads(done.stdout), None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PullError("ansible-inventory cannot be run: %s" % error) from error
        except ValueError:
            return {}, "ansible-inventory says no JSON of host %s" % self._config.host
        if done.returncode < 0:
            raise PullError("ansible-inventory was killed by signal %d" % -done.returncode)
        return {}, "its inventory cannot be read for host %s: %s" % (
            self._config.host,
            pull_reason.failure(done.stderr) or "ansible-inventory ended with %d" % done.returncode,
        )

    def _common(self):
        # These win over what the inventory says of a way to the host: this is the host.
        given = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": self._place.tool("python"),
        }
        return ["--limit", self._config.host, "--extra-vars", json.dumps(given, sort_keys=True)]

    def pull(self, name, playbook, release, commit, *extra):
        """A playbook by ansible-pull, which checks out and verifies once more, out of the mirror. `extra`: words for
        its `-e`."""
        argv = [self._place.tool("ansible-pull"), "--url", self._place.mirror, "--checkout", commit]
        argv += ["--directory", release, "--full", "--clean"]
        if self._config.verify == "signature":
            argv.append("--verify-commit")
        # The second inventory is for its own checkout, which wants a host by the name of this one, or localhost. It
        # comes last: a host is of the inventory that names it first (inventory_dir of a host called localhost).
        argv += ["--inventory", os.path.join(release, self._config.inventory), "--inventory", "localhost,"]
        argv += [*self._common(), *_extra_vars(extra), self._playbook(playbook, release)]
        return self._run(name, argv, release, commit)

    def play(self, name, playbook, release, commit, *extra):
        """A playbook of the collection, by ansible-playbook. `extra`: words for its `-e`."""
        argv = [self._place.tool("ansible-playbook"), "--inventory", os.path.join(release, self._config.inventory)]
        argv += [*self._common(), *_extra_vars(extra)]
        return self._run(name, [*argv, self._playbook(playbook, release)], release, commit)

    def has_playbook(self, playbook, release):
        """Whether the collection that plays a release has a playbook."""
        return os.path.exists(self._playbook(playbook, release))

    def _playbook(self, playbook, release):
        return os.path.join(self._place.collection(release), "playbooks", "%s.yml" % playbook)

    def _run(self, name, argv, release, commit):
        self._log.write("== %s: %s\n" % (name, " ".join(argv)))
        tail = collections.deque(maxlen=_TAIL)
        try:
            process = subprocess.Popen(
                argv, cwd=release, env=self._environ(release, commit), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
                pass_fds=self._keep_open, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise PullError("%s cannot be run: %s" % (argv[0], error.strerror)) from error
        late = threading.Event()
        timer = threading.Timer(self._config.step_timeout, lambda: (late.set(), self._end(process)))
        timer.daemon = True
        timer.start()
        try:
            for line in process.stdout:
                tail.append(line)
                if self._log.tell() < _MOST_LOGGED:
                    self._log.write(line)
            rc = process.wait()
        except BaseException:
            self._end(process)
            raise
        finally:
            timer.cancel()
        output = "".join(tail)
        reason = ""
        if late.is_set():
            reason = "%s was stopped after %d s" % (name, self._config.step_timeout)
        elif rc:
            reason = pull_reason.failure(output) or "%s ended with %d" % (name, rc)
        self._log.write("== %s ended with %d\n" % (name, rc))
        self.done.append(Step(name, rc, reason, pull_reason.changed(output), output))
        return self.done[-1]

    def _end(self, process):
        """End a step with everything that it has started: Ansible's workers are in sessions of their own."""
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        pull_lock.end_orphans(self._place)


def _extra_vars(words):
    return [argument for word in words for argument in ("--extra-vars", word)]
