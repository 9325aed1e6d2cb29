# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""At which step of a run something happens, and what: kills, signals, full disks, stolen ports."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import signal
import socket
import time

from stack_harness import docker, processes_with

#: Steps of `site`, which keeps no journal: seen from outside.
PULLING, RECREATING, GATING = "pulling", "recreating", "gating"
STEP_SECONDS = 60


class NeverCame(AssertionError):
    """The run was over before the step came."""


# -- steps -------------------------------------------------------------------------------------------------------------


def until(run, condition, what, pause=0.03):
    """Wait until `condition()`, while the run lasts; its value. pause: s between two looks."""
    deadline = time.monotonic() + STEP_SECONDS
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        if run.process.poll() is not None:
            raise NeverCame(f"{what}: the run was over before\n{run.output()[-3000:]}")
        time.sleep(pause)
    raise NeverCame(f"{what}: not within {STEP_SECONDS} s\n{run.output()[-3000:]}")


def journal_at(run, *steps):
    """Wait until the journal of the transaction says one of these steps."""

    def there():
        entry = run.stack.state("journal")
        return entry and entry.get("step") in steps

    until(run, there, f"step {' or '.join(steps)}", 0.002)


def compose_runs(run):
    """Wait until Compose makes containers anew."""
    until(run, lambda: compose_processes(run), "docker compose")


def gate_looks(run):
    """Wait until the new container of the target runs."""
    before = run.before_ids.get(run.target)

    def there():
        one = run.stack.containers().get(run.target)
        return one and one["Id"] != before and one["State"]["Running"] and not compose_processes(run)

    until(run, there, "a new container that runs")


# -- who is killed -----------------------------------------------------------------------------------------------------


def _command(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def compose_processes(run):
    """Numbers of the processes of Compose that the run has started and that make containers."""
    return [pid for pid in processes_with(run.mark) if "compose" in (told := _command(pid)) and " up " in f"{told} "]


def module_processes(run):
    """Numbers of the processes of a module, without the docker programs that it has started."""
    return [pid for pid in processes_with(run.mark) if "AnsiballZ_" in _command(pid)]


def _send(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_all(run):
    """SIGKILL of everything at once, as when the power goes: Ansible, module, docker programs."""
    # What one of them has just started comes to light at the second look.
    for _look in range(3):
        _send(processes_with(run.mark), signal.SIGKILL)


def kill_module(run):
    """SIGKILL of the module on the host; Ansible and a docker program that it has started go on."""
    found = until(run, lambda: module_processes(run), "the module")
    _send(found, signal.SIGKILL)


def kill_compose(run):
    """SIGKILL of Compose alone."""
    found = until(run, lambda: compose_processes(run), "docker compose")
    _send(found, signal.SIGKILL)


def terminate(run):
    """SIGTERM to everything, as a service manager or a CI pipeline does that ends a job."""
    _send(processes_with(run.mark), signal.SIGTERM)


# -- what else happens -------------------------------------------------------------------------------------------------


def steal_port(run, port, seconds=120):
    """Take a port as soon as nobody has it; the socket, which the caller closes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        thief = socket.socket()
        # Connections that have just ended do not keep the port then; somebody who listens does.
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            thief.bind(("127.0.0.1", port))
            thief.listen()
            run.after(thief.close)
            return thief
        except OSError as error:
            thief.close()
            if error.errno != errno.EADDRINUSE:
                raise
            if run.process is not None and run.process.poll() is not None:
                raise NeverCame(f"port {port} was never free\n{run.output()[-3000:]}") from error
            time.sleep(0.002)
    raise NeverCame(f"port {port} was not free within {seconds} s")


def fill(run, folder, leave=0):
    """Fill the disk that `folder` is on but for so many bytes; freed when the fault is over."""
    filler = pathlib.Path(folder) / "filler"
    run.after(lambda: filler.unlink(missing_ok=True))
    with open(filler, "wb", buffering=0) as handle:
        end = 0
        for size in (1 << 26, 1 << 22, 1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(handle.fileno(), end, size)
                    end += size
        handle.truncate(max(0, end - leave))
        os.fsync(handle.fileno())


def kill_container(name, *options):
    """SIGKILL of a container's process."""
    docker("kill", *options, name, check=False)
