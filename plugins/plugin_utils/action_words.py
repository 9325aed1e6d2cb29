# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run does, in words: the sentences of a module (`stop sonarr: asked for`) as a reader wants them."""

from __future__ import annotations

import re

# Of many services the same may be said: `hold sonarr stopped, until …`, `create sonarr: there is no container`.
_OF_A_SERVICE = re.compile(
    r"(hold|rotate|stop|start|restart|create|recreate|set the first login of) ([^\s:,]+)([ :].*)?", re.DOTALL
)
_PAST = {
    "bring": "brought",
    "connect": "connected",
    "create": "created",
    "disconnect": "disconnected",
    "hold": "held",
    "let": "let",
    "recreate": "recreated",
    "remove": "removed",
    "rename": "renamed",
    "restart": "restarted",
    "rotate": "rotated",
    "start": "started",
    "stop": "stopped",
}


def predicted(actions):
    """The sentences of a run in check mode.

    Parameters:
        actions: sentences that begin with a verb, one a service.
    Returns:
        Sentences that begin with `would`, one for all services of which the same is said; in the order of the first.
    """
    groups = {}
    for action in actions:
        found = _OF_A_SERVICE.fullmatch(action)
        verb, name, rest = found.groups("") if found else (action, None, "")
        groups.setdefault((verb, rest), []).append(name)
    return [
        f"would {verb} {', '.join(names)}{rest}" if names[0] else f"would {verb}"
        for (verb, rest), names in groups.items()
    ]


def past(actions):
    """The sentences of a run that is over, each with its verb in the past tense where it is known."""
    words = [action.split(" ", 1) for action in actions]
    return [" ".join([_PAST.get(verb, verb), *rest]) for verb, *rest in words]
