# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The user's editor, and a question, at the terminal that ansible-playbook was started from.

Workers have neither terminal nor standard input. The device is opened so that it does not become the worker's
controlling terminal; an editor gets one of its own, see `editor_pty`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import shutil
import termios

from . import editor_pty

INTERRUPT, END = b"\x03", b"\x04"
_FALLBACKS = ("vi", "nano")


def _device():
    try:
        return os.ttyname(0)
    except OSError:
        return None


TERMINAL = _device()
"""Path of the terminal on standard input, or None. Looked up here: Ansible's main process imports the action."""


class EditorError(ValueError):
    """There is no editor, or it cannot be started; the text says what to set."""


def command(environ):
    """The editor as an argument list: $VISUAL, $EDITOR, then what there is.

    Raises:
        EditorError: it is not installed, or there is none.
    """
    for variable in ("VISUAL", "EDITOR"):
        text = environ.get(variable, "").strip()
        if not text:
            continue
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise EditorError(f"{variable}={text}: {error}. Write it as on a command line.") from error
        if not shutil.which(words[0], path=environ.get("PATH")):
            raise EditorError(f"{variable}={text}: there is no program {words[0]}. Set {variable} to your editor.")
        return words
    for name in _FALLBACKS:
        if shutil.which(name, path=environ.get("PATH")):
            return [name]
    raise EditorError(f"There is no editor: neither {' nor '.join(_FALLBACKS)} is installed. Set EDITOR to yours.")


class Terminal:
    """The terminal, open.

    Args:
        device: its path.
        held: context manager in which a signal waits (`interruption.Interruption.held`).

    Raises:
        OSError: it cannot be opened any more.
    """

    def __init__(self, device, held=contextlib.nullcontext):
        self.held = held
        self._descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY)

    def __enter__(self):
        """Keep how it is set, for editors that are killed."""
        self._modes = termios.tcgetattr(self._descriptor)
        return self

    def __exit__(self, *_error):
        """Set it as it was."""
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._modes)
        os.close(self._descriptor)

    def edit(self, words, path):
        """Run the editor on a file; its exit code. It ends with us when a signal takes us away.

        Raises:
            EditorError: it cannot be started.
            OSError: the terminal is gone.
        """
        try:
            return editor_pty.run([*words, path], self._descriptor, self.held)
        except OSError as error:
            if error.errno == errno.EIO:
                raise
            raise EditorError(f"{words[0]} cannot be started: {error.strerror}. Set EDITOR to your editor.") from error

    def write(self, text):
        """Print *text* as it is."""
        os.write(self._descriptor, text.encode())

    def key(self, question, keys):
        """Ask for one key of *keys*; Enter is the first. `INTERRUPT` and `END` count as None."""
        modes = termios.tcgetattr(self._descriptor)
        modes[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
        modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
        before = termios.tcgetattr(self._descriptor)
        # What was typed while nothing was asked is no answer.
        termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, modes)
        try:
            self.write(question)
            while True:
                typed = os.read(self._descriptor, 1)
                if typed in (b"", INTERRUPT, END):
                    self.write("\n")
                    return None
                choice = keys[0] if typed in b"\r\n" else typed.decode("latin-1").lower()
                if choice in keys:
                    self.write(f"{choice}\n")
                    return choice
        finally:
            termios.tcsetattr(self._descriptor, termios.TCSANOW, before)
