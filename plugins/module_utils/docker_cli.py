# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the host's own `docker` program: always with a deadline, errors as DockerError with a remedy."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import subprocess
from typing import NamedTuple

# Where NAS systems keep the program outside of the PATH of a non-interactive login (globs).
EXTRA_PLACES = (
    "/usr/local/bin/docker",
    "/usr/bin/docker",
    "/snap/bin/docker",
    "/volume*/@appstore/ContainerManager/usr/bin/docker",
    "/volume*/@appstore/Docker/usr/bin/docker",
    "/share/*/.qpkg/container-station/bin/docker",
    "/share/*/.qpkg/container-station/usr/bin/docker",
)

# What of our own environment reaches docker: how to find the engine, registries and proxies. Nothing else, because
# Compose prefers a variable of the environment to the same one in `.env` (a TZ of the login shell would win over the
# inventory's).
PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)

READ_DEADLINE = 60


class DockerError(Exception):
    """A docker command failed: `str()` is readable; `command`, `rc` and `stderr` are kept."""

    def __init__(self, message, command=(), rc=None, stderr=""):
        super().__init__(message)
        self.command = list(command)
        self.rc = rc
        self.stderr = stderr


class DeadlineExceeded(DockerError):
    """The command did not end in time and was killed."""


class EngineRefused(DockerError):
    """There is an engine, but this user may not talk to it."""


class EngineMissing(DockerError):
    """No usable engine. `what`: `cli` (no program), `daemon` (not running) or `compose` (no Compose plugin)."""

    def __init__(self, message, what, **details):
        super().__init__(message, **details)
        self.what = what


class Completed(NamedTuple):
    """What a command left behind."""

    rc: int
    out: str
    err: str


def find_docker(path=None, places=EXTRA_PLACES):
    """Absolute path of the docker program, on `path` (default: PATH) or at one of `places`.

    EngineMissing when there is none.
    """
    found = shutil.which("docker", path=path)
    if found:
        return found
    for pattern in places:
        for candidate in sorted(glob.glob(pattern)):
            if os.access(candidate, os.X_OK):
                return candidate
    raise EngineMissing(
        "the docker program was found neither on PATH (%s) nor at %s: install Docker Engine with Compose v2"
        % (path or os.environ.get("PATH", ""), ", ".join(places)),
        "cli",
    )


def clean_environment(environ=None):
    """The environment for docker: DOCKER_* and `PASSED_ON` of `environ`, and the switches that make Compose
    predictable.
    """
    environ = os.environ if environ is None else environ
    kept = {name: value for name, value in environ.items() if name in PASSED_ON or name.startswith("DOCKER_")}
    kept["LC_ALL"] = "C"
    kept["COMPOSE_ANSI"] = "never"
    # Orphans are ours to judge: Compose removes whatever has the project's name, also another's containers.
    kept["COMPOSE_REMOVE_ORPHANS"] = "false"
    kept["COMPOSE_IGNORE_ORPHANS"] = "true"
    return kept


class Docker:
    """The docker program of this host."""

    def __init__(self, executable=None, environ=None):
        """`executable`: path of the program, None: found at the first command; `environ`: see `clean_environment`."""
        self.environ = clean_environment(environ)
        self.executable = executable
        # Files that every command inherits: with the run lock among them, the lock outlives us until the last command
        # has ended.
        self.inherit = ()

    def run(self, *arguments, deadline=READ_DEADLINE, check=True, cwd=None, env=None, stdin=None, stdout=None):
        """Run `docker ARGUMENTS` and return Completed.

        `deadline` in seconds; `env` is added to the clean environment; `stdin` is text, an open file or None; `stdout`
        is an open file to write to instead of `Completed.out`, or None.
        With `check`, a return code other than 0 raises DockerError, EngineMissing or EngineRefused.
        """
        self._find()
        command = [self.executable] + [str(argument) for argument in arguments]
        environ = dict(self.environ, **env) if env else self.environ
        text = isinstance(stdin, str)
        try:
            # A session of its own, so that at the deadline the Compose plugin, a child of docker, ends as well.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE if text else stdin,
                stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=environ,
                pass_fds=self.inherit,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineMissing(
                "cannot run %s: %s" % (self.executable, error.strerror), "cli", command=command
            ) from error
        try:
            out, err = process.communicate(stdin.encode("utf-8") if text else None, timeout=deadline)
        except subprocess.TimeoutExpired as expired:
            _kill_session(process)
            raise DeadlineExceeded(
                "'docker %s' did not end within %g s and was stopped: is the engine overloaded, or its disk slow?"
                % (_short(arguments), deadline),
                command=command,
            ) from expired
        done = Completed(process.returncode, (out or b"").decode("utf-8", "replace"), err.decode("utf-8", "replace"))
        if check and done.rc != 0:
            raise explain(arguments, done, command)
        return done

    def _find(self):
        if self.executable is None:
            self.executable = find_docker(self.environ.get("PATH"))
            # QNAP and Synology keep the plugins' helpers beside the program.
            places = [self.environ.get("PATH", os.defpath), os.path.dirname(self.executable)]
            self.environ["PATH"] = os.pathsep.join(places)


def explain(arguments, done, command=()):
    """The DockerError that tells why `docker ARGUMENTS` failed, with the remedy where it is known."""
    details = {"command": command, "rc": done.rc, "stderr": done.err}
    text = done.err.lower()
    if "permission denied" in text and (
        "docker daemon socket" in text or "docker api" in text or "docker.sock" in text
    ):
        return EngineRefused(
            "this user may not use the Docker Engine (%s): run with become: true, or add the user to the group docker "
            "(sudo usermod -aG docker USER) and log in again" % _last_line(done.err),
            **details,
        )
    if (
        "cannot connect to the docker daemon" in text
        or "is the docker daemon running" in text
        or "failed to connect to the docker api" in text
    ):
        return EngineMissing(
            "the Docker Engine does not answer (%s): start it (sudo systemctl start docker)" % _last_line(done.err),
            "daemon",
            **details,
        )
    if arguments and arguments[0] == "compose" and _is_no_compose(text):
        return EngineMissing(
            "the Compose v2 plugin of docker is missing: install docker-compose-plugin", "compose", **details
        )
    return DockerError("'docker %s' failed: %s" % (_short(arguments), complaint(done)), **details)


def complaint(done, limit=3):
    """The lines of a failed command that say why: its last error lines, at most `limit`."""
    lines = [line.strip() for line in (done.err or done.out).splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "failed" in line or "denied" in line or "invalid" in line]
    return " / ".join((telling or lines)[-limit:]) or "return code %d, and it said nothing" % done.rc


def _is_no_compose(text):
    # An old docker reads the flags of a missing plugin as its own.
    return any(
        sign in text
        for sign in (
            "'compose' is not a docker command",
            "unknown command: docker compose",
            "unknown flag: --ansi",
            "unknown flag: --project-name",
            "unknown shorthand flag: 'p'",
        )
    )


def _kill_session(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _short(arguments, limit=120):
    text = " ".join(str(argument) for argument in arguments)
    return text if len(text) <= limit else text[:limit] + " …"


def _last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
