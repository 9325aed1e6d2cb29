# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who of a stack's apps is online, seen from inside their own networks, and somebody in there who tries to get out.

A thread enters the network namespace of each app (setns(2) is a thread's own) and stays there, also when gluetun has
got another one since: an app that is left behind in a dead network is a case to look at.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import socket
import struct
import threading
import time

from world_plan import WorldError

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NET = 0x40000000  # CLONE_NEWNET of <linux/sched.h>
EVERY = 0.1  # seconds between two tries
PATIENCE = 0.5  # seconds that the echo may take


def enter(descriptor):
    """Move this thread into a network namespace. Raises OSError."""
    if _LIBC.setns(descriptor, _NEW_NET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Space:
    """One network namespace: what the echo answered there, and when."""

    def __init__(self, watch, file):
        """Hold the namespace that a file below /proc is. Raises OSError when its process has ended."""
        self.watch = watch
        self.descriptor = os.open(file, os.O_RDONLY)
        self.answers = []  # (seconds since the epoch, address)
        self.tries, self.held, self.heard = 0, None, 0.0
        works = (self.ask, self.talk)
        self.threads = [threading.Thread(target=self.inside, args=(work,), daemon=True) for work in works]
        for thread in self.threads:
            thread.start()

    def inside(self, work):
        """Do a piece of work in the namespace, again and again, until the watch ends."""
        enter(self.descriptor)
        while not self.watch.ended.wait(EVERY):
            with contextlib.suppress(OSError, http.client.HTTPException):
                work()

    def ask(self):
        """Ask the echo for the address that it sees."""
        link = http.client.HTTPConnection(self.watch.world.echo_address, 80, timeout=PATIENCE)
        try:
            link.request("GET", "/watch")
            self.answers.append((time.time(), link.getresponse().read().decode().strip()))
        finally:
            link.close()

    def talk(self):
        """Try to get out once: by UDP to tracker and resolver past gluetun, and by a connection that is held.

        What belongs to an old connection is "established" for a firewall, which is the hardest case.
        """
        world = self.watch.world
        self.tries += 1
        for address, port, words in (
            (world.tracker_address, 6969, struct.pack(">QII", 0x41727101980, 0, 1)),
            (world.resolver, 53, struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\5watch\7example\0\0\1\0\1"),
        ):
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
                link.sendto(words, (address, port))
        if self.held is None or time.monotonic() > self.heard + 30:
            self.held = socket.create_connection((world.echo_address, 80), PATIENCE)
            self.held.setblocking(False)
            self.heard = time.monotonic()
        try:
            self.held.sendall(b"GET /held HTTP/1.1\r\nHost: echo.example\r\n\r\n")
            if not self.held.recv(65536):
                self.held = None
        except BlockingIOError:
            pass
        except OSError:
            self.held = None
            raise


class Watch:
    """Watches a WorldStack from entry to exit (context manager)."""

    def __init__(self, world, stack):
        """Take the world and the stack."""
        self.world, self.stack = world, stack
        self.ended = threading.Event()
        self.spaces = {}  # inode of a namespace → Space
        self.seen = []  # (seconds since the epoch, {app: inode})
        self.thread = threading.Thread(target=self.follow, daemon=True)

    def __enter__(self):
        """Start."""
        self.thread.start()
        return self

    def __exit__(self, *_error):
        """End every thread."""
        self.ended.set()
        for thread in (self.thread, *(thread for space in self.spaces.values() for thread in space.threads)):
            thread.join()
        for space in self.spaces.values():
            os.close(space.descriptor)

    def follow(self):
        """Look where the apps are, and enter what is new."""
        while not self.ended.wait(EVERY):
            try:
                places = self.stack.places()
            except (WorldError, OSError):
                places = {}  # a container went meanwhile, or the host is down
            for app, (pid, inode) in places.items():
                # Not where gluetun is alone: nothing of an app is in there.
                if app != "gluetun" and inode not in self.spaces:
                    with contextlib.suppress(OSError):
                        self.spaces[inode] = Space(self, self.stack.space(pid))
            self.seen.append((time.time(), {app: inode for app, (_pid, inode) in places.items() if app != "gluetun"}))

    def online(self, app, since=0.0, until=float("inf")):
        """Return when an app was seen online: times, in order."""
        found, moments = [], [entry for entry in self.seen if entry[0] <= until]
        for number, (began, places) in enumerate(moments):
            over = moments[number + 1][0] if number + 1 < len(moments) else min(until, began + 1)
            space = self.spaces.get(places.get(app))
            if space and over >= since:
                found += [at for at, _address in list(space.answers) if max(began, since) <= at < over]
        return found

    def all_online(self, apps, since):
        """Return whether every app has been online after `since`, at the provider's present exit address."""
        where = self.seen[-1][1] if self.seen else {}
        for app in apps:
            space = self.spaces.get(where.get(app))
            last = space.answers[-1] if space and space.answers else (0.0, "")
            if last[0] < since or last[1] != self.world.exit_address:
                return False
        return True

    def gap(self, apps, since, until):
        """Return the longest time without network of any app between two moments, in seconds."""
        longest = 0.0
        for app in apps:
            times = [since, *self.online(app, since, until), until]
            longest = max(longest, *(after - before for before, after in zip(times, times[1:], strict=False)))
        return longest

    def addresses(self, since=0.0):
        """Return the addresses that the echo has seen these apps at."""
        return {address for space in self.spaces.values() for at, address in list(space.answers) if at >= since}
