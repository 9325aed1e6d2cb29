# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kill switch, tried: the tunnel is taken down, every way out is tried, and the tunnel is brought back whatever
happens, even when this very process is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import gluetun_client, leak_probe, leak_space
from ansible_collections.homelab.mediastack.plugins.module_utils.gluetun_http import GluetunError
from ansible_collections.homelab.mediastack.plugins.module_utils.vpn_tunnel import VpnError

GUARD_POLL = 1.0
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_DONE = b"k"


def tried(verb, attempt):
    """(what `attempt()` returned while the tunnel was down, whether it stayed down), with the tunnel up again.

    `verb`: a `vpn_started.Started` with the run lock held. VpnError, GluetunError when it cannot be taken down, or does
    not come back.
    """
    with Guard(verb.tunnel, verb.ask.wait_timeout) as guard, _interrupted():
        begun = time.time()
        try:
            verb.ask.progress.say("taking the VPN down for the test")
            verb.put("stopped")
            verb.actions.append("take the VPN down for the test")
            found = attempt()
            stayed = verb.tunnel.read()["status"] == "stopped"
        finally:
            with _deaf():
                _bring_back(verb, begun)
                guard.release()
    return found, stayed


def _bring_back(verb, begun):
    verb.ask.progress.say("bringing the VPN back")
    verb.deadline = time.monotonic() + verb.ask.wait_timeout
    try:
        verb.connect(begun)
    except (GluetunError, VpnError) as error:
        raise VpnError(
            "the VPN was taken down for the test and does not come back: %s. Run vpn_start" % error
        ) from error


class Guard:
    """A process of its own that brings the tunnel back when this one ends without having done so (SIGKILL).

    It holds the run lock, as it inherits the file, until it has ended.
    """

    def __init__(self, tunnel, patience):
        """`patience`: seconds that it tries for."""
        self._tunnel, self._patience = tunnel, patience
        self._writer = self._child = None

    def __enter__(self):
        reader, self._writer = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            try:
                os.close(self._writer)
                self._watch(reader)
            finally:
                os._exit(0)
        os.close(reader)
        return self

    def release(self):
        """It is not needed any more."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                os.write(self._writer, _DONE)

    def __exit__(self, *_error):
        os.close(self._writer)
        self._writer = None
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def _watch(self, reader):
        # Ctrl-C goes to the whole foreground group, and Ansible waits until its pipes are closed.
        os.setsid()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        if os.read(reader, 1) == _DONE:
            return
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            with contextlib.suppress(Exception):
                if gluetun_client.reached(self._tunnel.put("running", 30.0), "running"):
                    return
            time.sleep(GUARD_POLL)


@contextlib.contextmanager
def _interrupted():
    """A signal that would end the process is an error instead, which brings the tunnel back on its way."""

    def interrupt(number, _frame):
        raise VpnError("interrupted by signal %d; the VPN was brought back" % number)

    with _handlers(interrupt):
        yield


@contextlib.contextmanager
def _deaf():
    """While the tunnel comes back nothing interrupts."""
    with _handlers(signal.SIG_IGN):
        yield


@contextlib.contextmanager
def _handlers(handler):
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def inside(spaces, asked, deadline):
    """`{namespace: of leak_probe.attempts, or the SpaceError's text}` for every namespace.

    `spaces`: {inode: Space}; `asked`: {inode: what to try}.
    """
    found = {}
    for inode, space in spaces.items():
        try:
            found[inode] = space.run(leak_probe.attempts, asked[inode], deadline=deadline)
        except leak_space.SpaceError as error:
            found[inode] = str(error)
    return found
