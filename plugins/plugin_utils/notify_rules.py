# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for `mediastack_notify_*`, as in `setting_rules.py`. What an address says is a secret, and in no error.

Whether Apprise understands an address takes half a second to find out, so that is asked once a run (the action
`settings`, `config_validate`) and not by every action that resolves the settings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib

from ansible_collections.homelab.mediastack.plugins.module_utils import notify_state

from . import notify_send
from .closest import hint
from .setting_types import shown


class NotifyRules:
    """Checks of `mediastack_notify_*`."""

    @staticmethod
    def _check_notify_urls(value, errors):
        for number, url in enumerate(value, 1):
            if "://" not in url:
                errors.append(f"entry {number} (not shown) is no address such as ntfy://ntfy.example/topic.")
        lack = notify_send.missing() if value else None
        if lack:
            errors.append(f"{lack}. To run without notifications once: -e '{{\"mediastack_notify_urls\": []}}'.")
        return value

    @staticmethod
    def _check_notify_events(value, errors):
        for event in value:
            if event not in notify_state.EVENTS:
                errors.append(f"{shown(event)} is nothing that is told. {hint(event, notify_state.EVENTS)}")
        return value


def slow_problems(values, directory=None):
    """What Apprise says of the addresses in *values* (resolved settings): sentences as those of the settings.

    *directory*: of this run on the controller, where the answer is kept for the workers of the other hosts.
    """
    urls = values["mediastack_notify_urls"]
    if not urls:
        return []
    name = "notify-" + hashlib.sha256("\n".join(urls).encode()).hexdigest()
    kept = pathlib.Path(directory, name) if directory else None
    # Whatever becomes of the file, to look again is right too.
    with contextlib.suppress(OSError, ValueError):
        if kept:
            return list(json.loads(kept.read_text(encoding="utf-8")))
    found = [f"mediastack_notify_urls: {problem}" for problem in notify_send.problems(urls)]
    with contextlib.suppress(OSError):
        if kept:
            fresh = kept.with_name(f"{name}.{os.getpid()}")
            fresh.write_text(json.dumps(found), encoding="utf-8")
            fresh.replace(kept)
    return found
