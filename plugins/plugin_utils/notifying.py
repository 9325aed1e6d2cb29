# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what a run found: the actions of the verbs call this at their end, also when they failed.

Nothing of this runs where `mediastack_notify_urls` is empty: no task, no module, and none of what does the work is
imported. A channel that takes nothing is a warning in one line; no run fails for it, and the next one tells.
"""

from __future__ import annotations

import contextlib

from ansible import context
from ansible.errors import AnsibleConnectionFailure

from . import settings

URLS = "mediastack_notify_urls"


def tell(action, task_vars, values, what, *seen):
    """Tell the channels of a host what they do not know yet.

    Args:
        action: the `ActionBase` of a task on that host.
        task_vars: of its run.
        values: its resolved settings.
        what: name of a function of `notify_conditions`, such as `of_status`.
        seen: what that is to judge.

    Returns:
        How many messages were taken; nothing is raised.
    """
    if not values[URLS] or _only_predicts(action):
        return 0
    from . import notify_conditions, notify_teller

    teller = notify_teller.Teller(action, task_vars, values)
    with teller.whatever_happens():
        teller.tell(getattr(notify_conditions, what)(*seen))
    return teller.told


def unreachable(action, task_vars, values, reason):
    """Tell that a host cannot be asked. It cannot remember that, so this controller does."""
    if not values[URLS] or _only_predicts(action):
        return
    from . import notify_conditions, notify_teller

    teller = notify_teller.Teller(action, task_vars, values)
    with teller.whatever_happens():
        teller.tell_here(notify_conditions.of_unreachable(reason))


@contextlib.contextmanager
def unreachable_is_told(action, task_vars):
    """Around what asks a host: where it cannot be reached that is told, and raised as before."""
    try:
        yield
    except AnsibleConnectionFailure as error:
        with contextlib.suppress(settings.SettingsError):
            values = settings.resolve(task_vars, action._templar).values
            unreachable(action, task_vars, values, first_line(error))
        raise


def first_line(error):
    """What went wrong, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


def _only_predicts(action):
    """Check mode of the run; `plan` sets that of its task itself."""
    return bool(context.CLIARGS.get("check")) or (action._task.check_mode and not getattr(action, "ONLY_LOOKS", False))
