# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ctrl-C in a worker that works for ever: it ends soon, and tidies up before it does.

Ansible's main process sends its workers SIGINT, soon after that SIGTERM, and waits until they are gone. A worker of
ansible-core dies of the first one and leaves its temporary directory on the host.
"""

from __future__ import annotations

import contextlib
import os
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 2
"""Seconds for what is under way: a module that is stopped while it starts or ends leaves its files behind."""

PATIENCE = 4
"""Seconds for tidying up after it; a host that does not answer must not hold up the end."""


class Interrupted(BaseException):
    """Raised where the worker happens to be; not an `Exception`, so that nothing on the way takes it for a failure."""


class Interruption:
    """Turns the signals of the end into `Interrupted`, once. To be used in the main thread of a worker."""

    def __init__(self):
        self._held = False
        self._pending = False
        self._raised = False

    @contextlib.contextmanager
    def raised(self):
        """Inside, a signal raises `Interrupted`. What follows has `PATIENCE` seconds; further signals are ignored."""
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            if not self._pending:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self):
        """Inside, a signal waits until the end of the block, for `GRACE` seconds."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._pending and not self._raised:
                self._raise()

    def _receive(self, _number, _frame):
        self._pending = True
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self._held:
            signal.signal(signal.SIGALRM, self._overdue)
            signal.alarm(GRACE)
        else:
            self._raise()

    def _overdue(self, _number, _frame):
        _end_children()
        self._raise()

    def _raise(self):
        self._raised = True
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        raise Interrupted


def _end_children():
    """Pass it on to what runs for this worker, a module on a local host or an ssh, which do not get the user's Ctrl-C.

    Before ansible-core 2.19 workers are in the main process's group, and so are they: then they do.
    """
    if os.getpgrp() == os.getpid():
        with contextlib.suppress(OSError):
            os.killpg(os.getpgrp(), signal.SIGINT)
