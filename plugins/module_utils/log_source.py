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


class _Reading:
    """One running command."""

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
        """Hand over the lines of a chunk; an empty one is the end."""
        data = self.rest + chunk
        if chunk:
            lines, newline, self.rest = data.rpartition(b"\n")
            lines = lines.split(b"\n") if newline else []
        else:
            lines = [data] if data else []
        for line in lines:
            parsed = log_text.parse(line)
            if parsed:
                take(self.key, *parsed)
            elif line.strip():
                # No line of the container, for it has no time: docker itself complains.
                self.complaints = [*self.complaints[-2:], line.decode("utf-8", "replace").strip()]

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

    Args:
        docker: docker_cli.Docker.
        jobs: [(key, arguments)], each a `logs --timestamps …`.
        take: function of (key, *what `log_text.parse` returned), called for every line, in the order of each log.
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
                    reading = _Reading(docker, *waiting.pop(0))
                    running.append(reading)
                    selector.register(reading.process.stdout, selectors.EVENT_READ, reading)
                left = deadline - clock()
                if left <= 0:
                    raise docker_cli.DeadlineExceeded(
                        "the logs could not be read within %g s: ask for fewer lines or a later time" % seconds
                    )
                for ready, _events in selector.select(left):
                    reading = ready.data
                    chunk = os.read(ready.fd, CHUNK)
                    reading.feed(chunk, take)
                    if not chunk:
                        selector.unregister(ready.fileobj)
                        running.remove(reading)
                        failed[reading.key] = reading.end()
        finally:
            for reading in running:
                reading.kill()
    return {key: complaint for key, complaint in failed.items() if complaint}
