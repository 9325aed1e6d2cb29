# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The log of one pull run. A full disk costs lines of it, never the run: a step that is killed because nobody can write
down what it says would leave the host half-way.
"""

from __future__ import annotations

import contextlib
import os


class Log:
    """A text file that is appended to for as long as that works."""

    def __init__(self, path):
        """`path`: of the file, which nobody else may read."""
        self._descriptor, self._written = None, 0
        with contextlib.suppress(OSError):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, text):
        """Append `text`."""
        data = text.encode("utf-8", "replace")
        self._written += len(data)
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]

    def tell(self):
        """How much was to be written, in bytes."""
        return self._written

    def close(self):
        """Done with it."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
