# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers of a host that hold secrets are not said, however many -v there are."""

from __future__ import annotations

import contextlib


@contextlib.contextmanager
def answers(action):
    """While it lasts nothing of what the hosts answer to *action* is displayed or logged.

    Connection plugins print what a host answers with -vvv, but not of a task that has no_log.

    Args:
        action: the action plugin.
    """
    # That of the connection is another one where the connection is kept for the tasks of a play.
    asked = [action._task, action._play_context, action._connection._play_context]
    kept = [each.no_log for each in asked]
    for each in asked:
        each.no_log = True
    try:
        yield
    finally:
        for each, value in zip(asked, kept, strict=True):
            each.no_log = value
