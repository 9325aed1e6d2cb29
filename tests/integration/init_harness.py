# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user at a real pseudo-terminal who runs `init` in a directory of his own, with a home of his own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess

import pexpect
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv" / "bin"
# A well-formed WireGuard key (32 bytes, base64) that belongs to nobody.
WIREGUARD_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class User:
    """Somebody with a home, a working directory and a data disk, all below one directory."""

    def __init__(self, place, project, **environment):
        self.place = pathlib.Path(place)
        self.project = project
        self.home, self.work, self.data = (self.place / name for name in ("home", "work", "data"))
        for directory in (self.home, self.work):
            directory.mkdir(parents=True, exist_ok=True)
        # A repository of their own: the home is not in it.
        (self.work / ".git").mkdir(exist_ok=True)
        self.extra = environment

    @property
    def environment(self):
        """Nothing of the caller's Ansible; of settings only what keeps a test's project from others."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MEDIASTACK_", "ANSIBLE_", "XDG_"))}
        return {
            **kept,
            "HOME": str(self.home),
            "PATH": f"{VENV}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "TERM": "xterm",
            "MEDIASTACK_PROJECT_NAME": self.project,
            "MEDIASTACK_CONTAINER_PREFIX": f"{self.project}-",
            "MEDIASTACK_LAB_IMAGES": "true",
            "MEDIASTACK_BIND_ADDRESSES": "127.0.0.1",
            **self.extra,
        }

    def inventory(self, **variables):
        """An inventory of this machine in the working directory, and the options that name it."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        hosts = {"mediastack": {"hosts": {"box": local}, "vars": variables}}
        path = self.work / "inventory.yml"
        path.write_text(yaml.safe_dump(hosts, sort_keys=False))
        return ["-i", str(path)]

    def run(self, playbook, *options, timeout=200):
        """A run without a terminal; the completed process."""
        return subprocess.run(
            [str(VENV / "ansible-playbook"), f"homelab.mediastack.{playbook}", *options],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def at_terminal(self, *options):
        """`init` at a pseudo-terminal."""
        return Session(self, options)

    def snapshot(self):
        """Every file and directory below the place with its mode and bytes, but for Ansible's own temporary ones."""
        found = {}
        for path in sorted(self.place.rglob("*")):
            if ".ansible" in path.parts:
                continue
            info = path.lstat()
            found[str(path.relative_to(self.place))] = (info.st_mode, path.read_bytes() if path.is_file() else None)
        return found

    def containers(self):
        """Ids of the project's containers."""
        label = f"label=com.docker.compose.project={self.project}"
        listing = subprocess.run(
            ["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, timeout=60, check=True
        )
        return listing.stdout.split()


class Session:
    """One run of `init`, question by question."""

    def __init__(self, user, options):
        self.child = pexpect.spawn(
            str(VENV / "ansible-playbook"),
            ["homelab.mediastack.init", *options],
            cwd=str(user.work),
            env=user.environment,
            encoding="utf-8",
            timeout=60,
            dimensions=(50, 200),
        )
        self.said = ""

    def answer(self, question, text=""):
        """Wait for a question and answer it, as often as it takes: keys typed before a prompt is up are dropped."""
        self._expect(re.escape(question) + r"[^\n]*:\s*\n")
        for _turn in range(5):
            self.child.send(text + "\r")
            with contextlib.suppress(pexpect.TIMEOUT):
                self._expect(r"  >[^\n]*\n", timeout=6)
                return self
        raise AssertionError(f"the answer to {question!r} was not taken:\n{self.transcript}")

    def answers(self, pairs):
        """Several, in order."""
        for question, text in pairs:
            self.answer(question, text)
        return self

    def press(self, question, key="\x03"):
        """Wait for a question and press a key, Ctrl-C by default."""
        self._expect(re.escape(question) + r"[^\n]*:\s*\n")
        for _turn in range(5):
            self.child.send(key)
            with contextlib.suppress(pexpect.TIMEOUT):
                self._expect(r"PLAY RECAP", timeout=6)
                return self.end()
        raise AssertionError(f"{key!r} at {question!r} had no effect:\n{self.transcript}")

    def end(self):
        """Wait for the end; the exit code."""
        self._expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus

    @property
    def transcript(self):
        """All that was on the screen."""
        return _CONTROL.sub("", self.said)

    def _expect(self, pattern, timeout=60):
        try:
            self.child.expect(pattern, timeout=timeout)
        except pexpect.EOF:
            self.said += self.child.before
            raise AssertionError(f"it ended before {pattern!r}:\n{_CONTROL.sub('', self.said)}") from None
        except pexpect.TIMEOUT:
            if timeout == 60:
                said = _CONTROL.sub("", self.said + (self.child.before or ""))
                raise AssertionError(f"{pattern!r} did not come:\n{said}") from None
            raise
        self.said += self.child.before + (self.child.after if isinstance(self.child.after, str) else "")
