# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program on a pseudo-terminal of its own that is carried to the user's terminal and back.

Editors such as micro and emacs open /dev/tty, the terminal of their session. The worker's session has none, and the
user's belongs to the session of the user's shell. Ctrl-C is a key for the program here, and does not end the run.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import subprocess
import termios
import tty

# Seconds between two looks whether the user's terminal has another size: a worker is not told.
_PAUSE = 0.2
_CHUNK = 65536
# Seconds for a program to end by itself: after its terminal has gone, and after each signal.
_PATIENCE = 1.0


def run(argv, terminal, held=contextlib.nullcontext):
    """Run a program to its end; its exit code as `subprocess` has it.

    It does not outlive this call: when something is raised here it is ended, with all of its process group.

    Args:
        argv: its command line.
        terminal: descriptor of the user's terminal.
        held: context manager in which a signal waits.

    Raises:
        OSError: it cannot be started, or the user's terminal is gone.
    """
    modes = termios.tcgetattr(terminal)
    master, slave = os.openpty()
    process = None
    try:
        try:
            termios.tcsetattr(slave, termios.TCSANOW, modes)
            _copy_size(terminal, master)
            # What was typed ahead is the program's.
            tty.setraw(terminal, termios.TCSADRAIN)
            # It may be at work before we know it: a signal just then must not leave it behind.
            with held():
                streams = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
                process = subprocess.Popen(argv, start_new_session=True, preexec_fn=_take_terminal, **streams)
        finally:
            os.close(slave)
        _carry(process, terminal, master)
        return process.wait()
    finally:
        # Whoever still uses its terminal is told by SIGHUP.
        os.close(master)
        if process is not None:
            _end(process)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, modes)


def _take_terminal():
    """In the new process, which leads a session: standard input becomes that session's terminal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _carry(process, terminal, master):
    """Carry what is typed and what is shown until the program has ended."""
    os.set_blocking(master, False)
    typed = b""
    while True:
        # What it showed last is carried, too, even where something that it has started keeps the terminal.
        over = process.poll() is not None
        sources = [master] if over or len(typed) > _CHUNK else [master, terminal]
        ready, writable, _errors = select.select(sources, [master] if typed else [], [], 0 if over else _PAUSE)
        _copy_size(terminal, master)
        if master in ready:
            shown = _read(master)
            _write(terminal, shown)
            if not shown:
                # Nobody has its terminal open any more, so it has ended, or is about to.
                return
        elif over:
            return
        if terminal in ready:
            more = _read(terminal)
            if not more:
                raise OSError(errno.EIO, "the terminal is gone")
            typed += more
        if master in writable:
            # Never waiting: the program may be waiting for us to take what it shows.
            with contextlib.suppress(BlockingIOError):
                typed = typed[os.write(master, typed) :]


def _read(descriptor):
    """What there is, b"" at the end: Linux says that with an error."""
    try:
        return os.read(descriptor, _CHUNK)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


def _write(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


def _copy_size(source, target):
    """Give *target* the size of *source*; the kernel tells the program when that is another one."""
    with contextlib.suppress(OSError, termios.error):
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, b"\0" * 8)
        if size != fcntl.ioctl(target, termios.TIOCGWINSZ, b"\0" * 8):
            fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _end(process):
    """End it together with what it has started in its group."""
    try:
        for number in (None, signal.SIGTERM):
            if number is not None:
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
                return
    finally:
        # A signal that comes in between must not leave it behind.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_PATIENCE)
