# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entering a container's network namespace from the host: no tool of its image is needed, none of the host's either.

A child process joins the namespace (setns(2)) and does the work there; the engine's own processes stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import time
from typing import NamedTuple

try:
    import ctypes
except ImportError:  # some NAS systems' Python
    ctypes = None

CLONE_NEWNET = 0x40000000


class SpaceError(Exception):
    """The namespace cannot be entered; the text says why, as the end of a sentence."""


class Space(NamedTuple):
    """The network namespace of a running process: its pid, and the kernel's name of the namespace."""

    pid: int
    inode: str

    def run(self, function, *arguments, deadline):
        """`function(*arguments)` inside; its result must be JSON. SpaceError, also after `deadline` seconds."""
        return in_child(function, arguments, deadline, enter=self)

    def read(self, name):
        """The text of a file as the container sees it, its links included. SpaceError."""
        return in_child(_read_inside, (self.pid, name), 10)


def _read_inside(pid, name):
    try:
        os.chroot("/proc/%d/root" % pid)
        with open(name, encoding="utf-8", errors="replace") as handle:
            return handle.read(65536)
    except OSError as error:
        raise SpaceError("its %s cannot be read: %s" % (name, error.strerror)) from error


def of(container):
    """The Space of a running `engine_state.Container`. SpaceError where the engine's processes are not ours to see."""
    pid = (container.raw["State"] or {}).get("Pid") or 0
    if not pid:
        raise SpaceError("it does not run")
    if os.geteuid() != 0:
        raise SpaceError("only root may enter a network namespace (become: true)")
    # With an engine elsewhere (DOCKER_HOST, a container with its socket) this pid is another process of ours.
    try:
        with open("/proc/%d/cgroup" % pid, encoding="utf-8", errors="replace") as handle:
            if container.id not in handle.read():
                raise SpaceError("process %d here is not the engine's: the engine runs elsewhere" % pid)
        return Space(pid, os.readlink("/proc/%d/ns/net" % pid))
    except OSError as error:
        raise SpaceError("the engine's processes cannot be seen from here (%s)" % error.strerror) from error


def in_child(function, arguments, deadline, enter=None):
    """The JSON result of `function(*arguments)` in a child process, in the namespace of `enter`. SpaceError."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _work(reader, writer, function, arguments, enter)
    os.close(writer)
    try:
        text = _read(reader, time.monotonic() + deadline)
    finally:
        os.close(reader)
        end(child)
    if text is None:
        raise SpaceError("it took longer than %g s" % deadline)
    try:
        answer = json.loads(text)
    except ValueError:
        raise SpaceError("the helper process ended without a result") from None
    if "error" in answer:
        raise SpaceError(answer["error"])
    return answer["result"]


def _work(reader, writer, function, arguments, enter):
    """The child's whole life: nothing of the parent's may run in it, least of all its exit handlers."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.close(reader)
        try:
            if enter:
                join(enter)
            answer = {"result": function(*arguments)}
        except SpaceError as error:
            answer = {"error": str(error)}
        except Exception as error:  # whatever it is, the parent is to hear of it
            answer = {"error": "%s: %s" % (error.__class__.__name__, error)}
        with os.fdopen(writer, "w", encoding="utf-8") as handle:
            json.dump(answer, handle)
        code = 0
    finally:
        os._exit(code)


def join(space):
    """Move this process into the namespace. SpaceError."""
    if ctypes is None:
        raise SpaceError("this host's Python has no ctypes")
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open("/proc/%d/ns/net" % space.pid, os.O_RDONLY)
    try:
        if library.setns(descriptor, CLONE_NEWNET) != 0:
            raise SpaceError("the kernel refuses setns: %s" % os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)
    if os.readlink("/proc/self/ns/net") != space.inode:
        raise SpaceError("the container was restarted meanwhile")


def _read(descriptor, until):
    parts = []
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        part = os.read(descriptor, 65536)
        if not part:
            return b"".join(parts).decode("utf-8", "replace")
        parts.append(part)


def end(child):
    """End a child of ours and take its exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


_NAMESERVER = re.compile(r"^\s*nameserver\s+(\S+)", re.MULTILINE)


def nameservers(text):
    """The resolvers in the text of a resolv.conf, in order, without zones of IPv6 addresses."""
    return [found.split("%")[0] for found in _NAMESERVER.findall(text)]
