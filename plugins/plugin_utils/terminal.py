# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The terminal that the user looks at. Action plugins run in workers, which have none: what they need is kept here.

Looked up when this module is imported, which Ansible's main process does (it loads a task's action before it starts the
workers); afterwards the workers know the device by its name.
"""

from __future__ import annotations

import os
import sys

CLEAR_TO_END_OF_LINE = "\x1b[K"
CLEAR_BELOW = "\x1b[J"
HOME = "\x1b[H"


def _device():
    try:
        return os.ttyname(sys.stdout.fileno())
    except (OSError, ValueError):
        return None


ON_TERMINAL = bool(sys.stdout) and sys.stdout.isatty()
"""Whether standard output is a terminal, not a pipe or file."""

DEVICE = _device() if ON_TERMINAL else None
"""Path of the terminal, or None where it has none."""


def can_move():
    """Whether standard output is a terminal that can be painted on in place."""
    return ON_TERMINAL and os.environ.get("TERM", "") not in ("", "dumb")


def size():
    """`(columns, lines)` of the terminal at this moment, or None: it may be another user's, or gone."""
    if DEVICE is None:
        return None
    try:
        # Not as the controlling terminal: a worker leads a session of its own and would get the user's signals.
        descriptor = os.open(DEVICE, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        columns, lines = os.get_terminal_size(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return (columns, lines) if columns > 0 and lines > 0 else None


def link(text, url):
    """*text* as a link to *url* (OSC 8), for terminals that can show one; the others show the text."""
    return f"\x1b]8;;{url}\x1b\\{text}\x1b]8;;\x1b\\"
