# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run several `docker logs` at once and hand over their lines as they come: no log is ever whole in memory."""

from __future__ import annotations

import os
import selectors
import subprocess
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import docker_cli, log_text

AT_ONCE = 4
CHUNK = 256 * 1024


class _Command:
    """One that runs."""

    def __init__(self, docker, key, arguments):
        self.key = key
        self.rest = b""
        self.complaints = []
        self.process = subprocess.Popen(
            [docker.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # One pipe for both streams keeps the order in which the engine filed their lines.
            stderr=subprocess.STDOUT,
            env=docker.environ,
        )

    def feed(self, chunk, take):
        """Hand over the lines of a chunk; an empty one is the end. Whether `take` has enough."""
        data = self.rest + chunk
        if chunk:
            lines, newline, self.rest = data.rpartition(b"\n")
            lines = lines.split(b"\n") if newline else []
        else:
            lines = [data] if data else []
        for line in lines:
            parsed = log_text.parse(line)
            if parsed:
                if take(self.key, *parsed):
                    return True
            elif line.strip():
                # No line of the container, for it has no time: docker itself complains.
                self.complaints = [*self.complaints[-2:], line.decode("utf-8", "replace").strip()]
        return False

    def end(self):
        """What docker complained about, "" when all went well."""
        self.process.stdout.close()
        code = self.process.wait()
        if code == 0:
            return ""
        return " / ".join(self.complaints) or "docker ended with code %d" % code

    def kill(self):
        """End it; harmless when it has ended."""
        self.process.kill()
        self.end()


def sweep(docker, jobs, take, seconds, clock=time.monotonic):
    """Run `docker ARGUMENTS` for each job, a few at once.

    Parameters:
        docker: docker_cli.Docker.
        jobs: [(key, arguments)], each a `logs --timestamps …`.
        take: function of (key, *what `log_text.parse` returned), called for every line, in the order of each log, until
            it returns true: that is enough of this log.
        seconds: for all of it.

    Returns:
        key → what docker complained about, of those that failed.

    Raises:
        docker_cli.EngineMissing: there is no docker program.
        docker_cli.DeadlineExceeded: it took longer than `seconds`.
    """
    if docker.executable is None:
        docker.executable = docker_cli.find_docker(docker.environ.get("PATH"))
    deadline, waiting, running, failed = clock() + seconds, list(jobs), [], {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    command = _Command(docker, *waiting.pop(0))
                    running.append(command)
                    selector.register(command.process.stdout, selectors.EVENT_READ, command)
                left = deadline - clock()
                if left <= 0:
                    raise docker_cli.DeadlineExceeded(
                        "the logs could not be read within %g s: ask for fewer lines or a later time" % seconds
                    )
                for ready, _events in selector.select(left):
                    command = ready.data
                    chunk = os.read(ready.fd, CHUNK)
                    enough = command.feed(chunk, take)
                    if enough or not chunk:
                        selector.unregister(ready.fileobj)
                        running.remove(command)
                        failed[command.key] = command.kill() if enough else command.end()
        finally:
            for command in running:
                command.kill()
    return {key: complaint for key, complaint in failed.items() if complaint}
