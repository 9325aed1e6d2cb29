# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Output that nobody reads: a reader that is gone (`| head`), and one that waits for a key (`| less`).

A pipe that is full stops Ansible's results thread, and with it all workers as soon as they have something to say:
nothing is lost, and no memory is taken. But everything at the end of a run waits for that thread too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

DROP_AFTER = 0.5
"""Seconds that a reader has after Ctrl-C for what was printed before."""


def discard(stream):
    """From now on what is written to a stream of this process goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def end_all_the_same():
    """From now on Ctrl-C ends the run also while nobody reads: what is not read a moment later is dropped.

    To be called in Ansible's main process, in its main thread.
    """
    before, pressed = signal.getsignal(signal.SIGINT), threading.Event()
    if not callable(before):
        return

    def press(number, frame):
        pressed.set()
        before(number, frame)

    def drop():
        pressed.wait()
        time.sleep(DROP_AFTER)
        discard(sys.stdout)
        discard(sys.stderr)
        # A signal that means nothing: whoever waits in a write is woken, and writes the rest to where nothing is kept.
        for thread in threading.enumerate():
            signal.pthread_kill(thread.ident, signal.SIGURG)

    signal.signal(signal.SIGURG, lambda _number, _frame: None)
    threading.Thread(target=drop, daemon=True).start()
    signal.signal(signal.SIGINT, press)
